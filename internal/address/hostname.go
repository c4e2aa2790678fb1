package address

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// ValidHostname reports whether s may be the name of a host: labels of letters,
// digits, hyphens inside, and underscores, which the DNS has and RFC 1123 has
// not; not digits alone.
func ValidHostname(s string) bool {
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

// ToASCII turns a name in UTF-8 into the form that the DNS has, RFC 5891; one
// that has none stays as it is.
func ToASCII(name string) string {
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			if a, err := idna.Lookup.ToASCII(name); err == nil {
				return a
			}
			break
		}
	}
	return name
}

// CheckNew says why there can be no such address; local without quotes, ” is
// the catch-all of the domain, or of what is below .domain. It is ErrSyntax.
func CheckNew(local, domain string) error {
	if local == "" {
		domain = strings.TrimPrefix(domain, ".")
	}
	if err := CheckDomain(domain); err != nil {
		return err
	}
	switch {
	case strings.ContainsFunc(local, func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError }):
		return fmt.Errorf("%w: %q holds what no address can", ErrSyntax, local)
	case strings.HasPrefix(local, `"`):
		return fmt.Errorf("%w: %s: quotes are of SMTP; write what is between them", ErrSyntax, local)
	case len(local) > maxLocal:
		return fmt.Errorf("%w: what stands before the @ is longer than %d bytes", ErrSyntax, maxLocal)
	}
	return nil
}

// maxLocal bounds a local part, which a file system must hold. RFC 5321
// §4.5.3.1.1 has 64; senders who make addresses for replies have more.
const maxLocal = 255

// CheckDomain says why no mail can be sent to a domain: no name of the DNS, nor
// one in UTF-8, nor an address in brackets. It is ErrSyntax.
func CheckDomain(domain string) error {
	if _, ok := Literal(domain); ok || ValidHostname(ToASCII(domain)) {
		return nil
	}
	return fmt.Errorf("%w: %q is no domain", ErrSyntax, domain)
}

// Literal returns the address in [1.2.3.4] or [IPv6:::1]; RFC 5321 §4.1.3.
func Literal(s string) (netip.Addr, bool) {
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
