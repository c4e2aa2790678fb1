// Package address is what a mail address is: its parts, its quoting, its
// extension. It knows no wire format beyond RFC 5321 §4.1.2 Mailbox.
package address

import (
	"errors"
	"strings"
)

// ErrSyntax says that a text is not an address.
var ErrSyntax = errors.New("bad address syntax")

// Address is a mailbox. Local is unquoted: `"a b"@x` has Local `a b`. The zero
// value is the null reverse-path <>. A Local without Domain is a bare name,
// such as postmaster.
type Address struct {
	Local  string
	Domain string // as written; compare with EqualFold
}

// Parse reads local@domain, "quoted local"@domain, or a bare local part. The
// domain is what stands after the last @ outside of quotes.
func Parse(s string) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	if s[0] == '"' {
		return parseQuoted(s)
	}
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return Address{Local: s}, nil
	}
	if i == 0 || i == len(s)-1 {
		return Address{}, ErrSyntax
	}
	return Address{Local: s[:i], Domain: s[i+1:]}, nil
}

func parseQuoted(s string) (Address, error) {
	var local strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i == len(s) {
				return Address{}, ErrSyntax
			}
			local.WriteByte(s[i])
		case '"':
			a := Address{Local: local.String()}
			if i == len(s)-1 {
				return a, nil
			}
			if s[i+1] != '@' || i+2 == len(s) || strings.IndexByte(s[i+2:], '@') >= 0 {
				return Address{}, ErrSyntax
			}
			a.Domain = s[i+2:]
			return a, nil
		default:
			local.WriteByte(s[i])
		}
	}
	return Address{}, ErrSyntax
}

// IsNull reports whether a is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// String gives the address as RFC 5321 writes it, quoted where it must be.
// The null address is the empty string.
func (a Address) String() string {
	if a.IsNull() {
		return ""
	}
	local := a.Local
	if !isDotString(local) {
		local = quote(local)
	}
	if a.Domain == "" {
		return local
	}
	return local + "@" + a.Domain
}

// Plain gives local@domain without quotes, the form in which look-ups and
// tables name an address.
func (a Address) Plain() string {
	if a.Domain == "" {
		return a.Local
	}
	return a.Local + "@" + a.Domain
}

// Equal reports whether both name one mailbox here: local parts and domains
// are compared without case.
func (a Address) Equal(b Address) bool {
	return strings.EqualFold(a.Local, b.Local) && strings.EqualFold(a.Domain, b.Domain)
}

// isDotString: RFC 5321 §4.1.2 Dot-string, RFC 6531 §3.3 for bytes over 127.
func isDotString(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if s[i] != '.' && !isAtext(s[i]) {
			return false
		}
	}
	return true
}

func isAtext(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// SplitExtension splits a local part at the first of the delimiter characters,
// as postconf(5) recipient_delimiter: "user+ext" gives user, ext, true. Names
// that begin with a delimiter, the administrative names, and with "-" the
// names owner-x and x-request are whole.
func SplitExtension(local, delimiters string) (user, extension string, ok bool) {
	if delimiters == "" {
		return local, "", false
	}
	switch strings.ToLower(local) {
	case "postmaster", "mailer-daemon", "double-bounce":
		return local, "", false
	}
	i := strings.IndexAny(local, delimiters)
	if i <= 0 {
		return local, "", false
	}
	if strings.Contains(delimiters, "-") && isListName(local) {
		return local, "", false
	}
	return local[:i], local[i+1:], true
}

func isListName(local string) bool {
	l := strings.ToLower(local)
	return strings.HasPrefix(l, "owner-") || strings.HasSuffix(l, "-request")
}
