package smtpwire

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"

	"mailserver/internal/address"
)

var (
	// ErrSyntax says that the words FROM:<path> or TO:<path> are not there.
	ErrSyntax = errors.New("syntax error")
	// ErrPath says that the path is not an address.
	ErrPath = errors.New("bad address syntax")
	// ErrParam says that the parameters cannot be read.
	ErrParam = errors.New("bad parameter syntax")
)

// Param is an ESMTP parameter, its Key in upper case.
type Param struct {
	Key      string
	Value    string
	HasValue bool
}

// String gives the parameter as it was written, its key in upper case.
func (p Param) String() string {
	if !p.HasValue {
		return p.Key
	}
	return p.Key + "=" + p.Value
}

// maxParams bounds the parameters of one command; eight are defined.
const maxParams = 32

// ParsePath reads the arguments of MAIL and RCPT: word ("FROM", "TO"), colon,
// path, parameters, as RFC 5321 §4.1.2. As Postfix does, it takes a space after
// the colon and a path without angle brackets. A source route is read over
// (RFC 5321 Appendix C). Errors are ErrSyntax, ErrPath, ErrParam.
func ParsePath(args, word string) (address.Address, []Param, error) {
	n := len(word)
	if len(args) <= n || !strings.EqualFold(args[:n], word) || args[n] != ':' {
		return address.Address{}, nil, ErrSyntax
	}
	rest := strings.TrimLeft(args[n+1:], " \t")
	if rest == "" {
		return address.Address{}, nil, ErrSyntax
	}
	addr, rest, err := path(rest)
	if err != nil {
		return address.Address{}, nil, err
	}
	params, err := ParseParams(rest)
	return addr, params, err
}

// PathWord is the path as arguments of MAIL or RCPT have it, without
// parameters: up to a ">" outside quotes, or without brackets up to a space.
func PathWord(args string) string {
	_, path, _ := strings.Cut(args, ":")
	path = strings.Trim(path, " \t")
	if !strings.HasPrefix(path, "<") {
		path, _, _ = strings.Cut(path, " ")
		return path
	}
	quoted := false
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return path[:i+1]
		}
	}
	return path
}

// ParseAddress reads a mailbox with or without angle brackets, as VRFY has it.
func ParseAddress(s string) (address.Address, error) {
	addr, rest, err := path(s)
	if err == nil && rest != "" {
		err = ErrPath
	}
	return addr, err
}

func path(s string) (address.Address, string, error) {
	inner := strings.HasPrefix(s, "<")
	if !inner {
		return mailbox(s, false)
	}
	s = s[1:]
	if strings.HasPrefix(s, ">") {
		return closed(address.Address{}, s)
	}
	if strings.HasPrefix(s, "@") {
		var ok bool
		if s, ok = afterRoute(s); !ok {
			return address.Address{}, "", ErrPath
		}
	}
	addr, rest, err := mailbox(s, true)
	if err != nil {
		return address.Address{}, "", ErrPath
	}
	return closed(addr, rest)
}

// closed wants ">" and then a space or nothing.
func closed(addr address.Address, s string) (address.Address, string, error) {
	rest, ok := strings.CutPrefix(s, ">")
	if !ok || rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return address.Address{}, "", ErrPath
	}
	return addr, rest, nil
}

// afterRoute reads over "@a,@b:".
func afterRoute(s string) (string, bool) {
	for {
		domain, rest, ok := domain(s[1:])
		switch {
		case !ok || domain == "" || rest == "":
			return "", false
		case rest[0] == ':':
			return rest[1:], true
		case !strings.HasPrefix(rest, ",@"):
			return "", false
		}
		s = rest[1:]
	}
}

// mailbox reads local-part [ "@" domain ] and returns what follows.
func mailbox(s string, bracketed bool) (address.Address, string, error) {
	bad := func() (address.Address, string, error) { return address.Address{}, "", ErrPath }
	local, rest, ok := localPart(s)
	if !ok {
		return bad()
	}
	addr := address.Address{Local: local}
	if strings.HasPrefix(rest, "@") {
		addr.Domain, rest, ok = domain(rest[1:])
		if !ok || addr.Domain == "" {
			return bad()
		}
	}
	if !bracketed && rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return bad()
	}
	return addr, rest, nil
}

// localPart reads a quoted string or atoms with dots anywhere, as Postfix
// takes them: addresses such as a..b@ and a.@ are in use.
func localPart(s string) (local, rest string, ok bool) {
	if strings.HasPrefix(s, `"`) {
		return quotedLocal(s)
	}
	i := 0
	for i < len(s) && (s[i] == '.' || isAtext(s[i])) {
		i++
	}
	return s[:i], s[i:], i > 0 && utf8.ValidString(s[:i])
}

func quotedLocal(s string) (local, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			return b.String(), s[i+1:], b.Len() > 0 && utf8.ValidString(b.String())
		case c == '\\' && i+1 < len(s):
			i++
			c = s[i]
		case c == '\\':
			return "", "", false
		}
		if c < ' ' || c == 0x7f {
			return "", "", false
		}
		b.WriteByte(c)
	}
	return "", "", false
}

func isAtext(c byte) bool {
	return isAlnum(c) || c >= 0x80 || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Limits of a domain name, RFC 1035 §2.3.4.
const (
	maxDomain = 255
	maxLabel  = 63
)

// domain reads a domain or an address literal. One dot at the end is dropped,
// as Postfix does. "_" occurs in names and is taken.
func domain(s string) (name, rest string, ok bool) {
	if strings.HasPrefix(s, "[") {
		return literal(s)
	}
	i := 0
	for i < len(s) && (isAlnum(s[i]) || s[i] >= 0x80 || s[i] == '.' || s[i] == '-' || s[i] == '_') {
		i++
	}
	name, rest = strings.TrimSuffix(s[:i], "."), s[i:]
	if len(name) > maxDomain || !utf8.ValidString(name) {
		return "", "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel {
			return "", "", false
		}
	}
	return name, rest, true
}

// literal reads [192.0.2.1] or [IPv6:2001:db8::1], RFC 5321 §4.1.3.
func literal(s string) (name, rest string, ok bool) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return "", "", false
	}
	inner, v6 := s[1:end], false
	if len(inner) > 5 && strings.EqualFold(inner[:5], "IPv6:") {
		inner, v6 = inner[5:], true
	}
	ip, err := netip.ParseAddr(inner)
	if err != nil || ip.Is6() != v6 || ip.Zone() != "" {
		return "", "", false
	}
	return s[:end+1], s[end+1:], true
}

// ParseParams reads ESMTP parameters separated by spaces, RFC 5321 §4.1.2
// Mail-parameters.
func ParseParams(s string) ([]Param, error) {
	var list []Param
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == '\t' }) {
		key, value, has := strings.Cut(word, "=")
		if key == "" || len(list) == maxParams {
			return nil, ErrParam
		}
		list = append(list, Param{strings.ToUpper(key), value, has})
	}
	return list, nil
}
