package policy

import (
	"net/netip"
	"strings"

	"mailserver/internal/address"
)

// validAddr reports whether s is an IP address.
func validAddr(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

func validLiteral(s string) bool {
	_, ok := address.Literal(s)
	return ok
}

// trimDot removes one dot at the end, as the root of a name; not one of two.
func trimDot(s string) string {
	if len(s) > 1 && strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "..") {
		return s[:len(s)-1]
	}
	return s
}
