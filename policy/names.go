package policy

import (
	"net/netip"
	"strings"
)

// validHostname reports whether s may be the name of a host: labels of letters,
// digits, hyphens inside, and underscores, which the DNS has and RFC 1123 has
// not; not digits alone.
func validHostname(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	letters := false
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case c >= '0' && c <= '9':
			case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '-', c == '_':
				letters = true
			default:
				return false
			}
		}
	}
	return letters
}

// validAddr reports whether s is an IP address.
func validAddr(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == ""
}

// literalAddr returns the address in [1.2.3.4] or [IPv6:::1]; RFC 5321 §4.1.3.
func literalAddr(s string) (netip.Addr, bool) {
	if len(s) < 3 || s[0] != '[' || s[len(s)-1] != ']' {
		return netip.Addr{}, false
	}
	text := s[1 : len(s)-1]
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		a, err := netip.ParseAddr(text[5:])
		return a, err == nil && a.Is6() && a.Zone() == ""
	}
	a, err := netip.ParseAddr(text)
	return a, err == nil && a.Is4()
}

func validLiteral(s string) bool {
	_, ok := literalAddr(s)
	return ok
}

// trimDot removes one dot at the end, as the root of a name; not one of two.
func trimDot(s string) string {
	if len(s) > 1 && strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "..") {
		return s[:len(s)-1]
	}
	return s
}
