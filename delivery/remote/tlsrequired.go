package remote

import (
	"io"
	"strings"

	"mailserver/internal/message"
)

// waives reports whether the sender asks that the TLS policies of recipients,
// DANE and MTA-STS, be ignored: the field TLS-Required: No, RFC 8689 §5. Of
// mail with REQUIRETLS it says nothing. What the operator asks for by rows or
// settings stands.
func (a *attempt) waives() bool {
	if a.m.RequireTLS || a.m.Open == nil || !a.cfg.TLSRequired {
		return false
	}
	if a.waived == nil {
		yes := false
		if f, err := a.m.Open(); err == nil { // unreadable, the strict way is taken
			yes = TLSNotRequired(f)
			f.Close()
		}
		a.waived = &yes
	}
	return *a.waived
}

// TLSNotRequired reads the header of a message for TLS-Required: No. Two such
// fields contradict each other, and are none.
func TLSNotRequired(text io.Reader) bool {
	fields, no := 0, false
	message.ReadHeader(io.LimitReader(text, maxHeader), func(f message.Field) bool {
		if strings.EqualFold(f.Name, "TLS-Required") {
			fields++
			no = strings.EqualFold(f.Value, "No")
		}
		return true
	})
	return fields == 1 && no
}

// maxHeader bounds what is read of a header, in bytes.
const maxHeader = 1 << 20
