package imapwire

import (
	"strings"
	"time"
)

const (
	dateLayout     = "2-Jan-2006"
	dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"
)

// Date reads a date, quoted or not, as midnight UTC.
func (d *Decoder) Date() time.Time {
	s := d.AString()
	t, err := time.Parse(dateLayout, s)
	if d.err == nil && err != nil {
		d.Fail("Invalid date.")
	}
	return t
}

// DateTime reads a quoted date-time, RFC 9051 §9.
func (d *Decoder) DateTime() time.Time {
	s := d.String()
	t, err := time.Parse(dateTimeLayout, s)
	if err != nil { // as Dovecot does, take a day without its space or zero
		t, err = time.Parse(dateTimeLayout, " "+strings.TrimSpace(s))
	}
	if d.err == nil && err != nil {
		d.Fail("Invalid INTERNALDATE.")
	}
	return t
}

// AppendDateTime writes a date-time with its quotes.
func AppendDateTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, "02-Jan-2006 15:04:05 -0700")
	return append(b, '"')
}
