package message

import (
	"testing"
	"time"
)

var dateCases = []struct{ in, want string }{
	{"Sat, 21 Nov 2026 07:34:55 +0000", "2026-11-21T07:34:55Z"},
	{"Sat, 21 Nov 2026 07:34:55 +0000 (UTC)", "2026-11-21T07:34:55Z"},
	{"21 Nov 2026 07:34 -0530", "2026-11-21T07:34:00-05:30"},
	{" (c) Sat (x) , 1 nov 26 7:4:5 PST", "2026-11-01T07:04:05-08:00"},
	{"Sat, 21-Nov-2026 07:34:55 GMT", "2026-11-21T07:34:55Z"},
	{"21-Nov-2026 07:34:55 -0100", "2026-11-21T07:34:55-01:00"},
	{"Sat Nov 21 07:34:55 2026", "2026-11-21T07:34:55Z"},
	{"Sat Nov 21 07:34:55 EST 2026", "2026-11-21T07:34:55-05:00"},
	{"Sat, 21 November 2026 07:34:55 +0200", "2026-11-21T07:34:55+02:00"},
	{"Thu, 1 Jan 98 00:00:00 Z", "1998-01-01T00:00:00Z"},
	{"1 Jan 103 00:00:00", "2003-01-01T00:00:00Z"},
	{"21 Nov 2026", "2026-11-21T00:00:00Z"},
	{"Sat, 21 Nov 2026 23:59:60 +0000", "2026-11-22T00:00:00Z"},
	{"Sat,21 Nov 2026 07.34.55 +0000", "2026-11-21T07:34:55Z"},
	{"", ""},
	{"Sat", ""},
	{"Sat, 32 Nov 2026 07:34:55 +0000", ""},
	{"31 Feb 2026 00:00:00 +0000", ""},
	{"21 Foo 2026 07:34:55 +0000", ""},
	{"21 Nov x 07:34:55 +0000", ""},
	{"21 Nov 2026 25:00:00 +0000", ""},
	{"2026-11-21T07:34:55Z", ""},
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	for _, c := range dateCases {
		got, err := ParseDate(c.in)
		if text := got.Format(time.RFC3339); (err == nil) != (c.want != "") || err == nil && text != c.want {
			t.Errorf("ParseDate(%q) = %s, %v; want %q", c.in, text, err, c.want)
		}
	}
}

func TestFormatDate(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 1, 7, 4, 5, 0, time.UTC)
	if got, want := FormatDate(at), "Sun,  1 Nov 2026 07:04:05 +0000 (UTC)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := FormatDate(at.In(time.FixedZone("CET", 3600))), "Sun,  1 Nov 2026 08:04:05 +0100 (CET)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSentDayIsThatWrittenInTheField(t *testing.T) {
	t.Parallel()
	d, ok := SentDay("Sat, 21 Nov 2026 23:59:00 -1100")
	if !ok || !d.Equal(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%v %v", d, ok)
	}
}

// TestPlainDay: what is read in the short way is what is read in the long one.
func TestPlainDay(t *testing.T) {
	for value, plain := range map[string]bool{
		"Mon, 02 Jan 2006 15:04:05 -0700": true,
		"Sat, 28 Feb 2026 23:59:59 +1400": true,
		"Sun, 29 Feb 2026 23:59:59 +0000": false,
		"Mon, 00 Jan 2006 15:04:05 -0700": false,
		"Mon, 02 Jxn 2006 15:04:05 -0700": false,
		"Mon, 02 Jan 2006 24:04:05 -0700": false,
		"Mon, 02 Jan 0006 15:04:05 -0700": false,
		"Mon, 02 Jan 2006 1x:04:05 -0700": false,
		"Mon, 02 Jan 2006 15:aa:05 -0700": false,
		"Mon,  2 Jan 2006 15:04:05 -0700": false,
	} {
		day, ok := plainDay(value)
		if ok != plain {
			t.Errorf("%s: %v", value, ok)
		}
		long, err := ParseDate(value)
		if ok && (err != nil || day.Format(time.DateOnly) != long.Format(time.DateOnly)) {
			t.Errorf("%s: %v and %v, %v", value, day, long, err)
		}
	}
}
