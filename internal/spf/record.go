package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// record is a policy that has been read: every term of it obeys the grammar.
// RFC 7208 §4.6: a fault anywhere makes the whole record void, also behind a
// mechanism that would match.
type record struct {
	directives []directive
	redirect   string // domain-spec; '' if none
	exp        string
}

// directive is a mechanism with its qualifier.
type directive struct {
	result string // of its qualifier
	name   string // in lower case
	domain string // domain-spec; '' is the current domain
	net    netip.Prefix
	bits4  int // of a and mx
	bits6  int
	text   string // as written, for people
}

// maxRecord bounds a record; more than a TXT answer of any sense.
const maxRecord = 8192

// isRecord reports whether a TXT record is an SPF record; RFC 7208 §4.5.
func isRecord(text string) bool {
	return len(text) >= 6 && strings.EqualFold(text[:6], "v=spf1") && (len(text) == 6 || text[6] == ' ')
}

// parse reads a record; RFC 7208 §12.
func parse(text string) (*record, error) {
	if len(text) > maxRecord {
		return nil, fmt.Errorf("record of %d bytes", len(text))
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return nil, errors.New("record is not printable ASCII")
		}
	}
	r := &record{}
	for term := range strings.SplitSeq(text[6:], " ") {
		if term == "" {
			continue
		}
		if err := r.add(term); err != nil {
			return nil, fmt.Errorf("%q: %w", term, err)
		}
	}
	return r, nil
}

func (r *record) add(term string) error {
	if i := strings.IndexAny(term, ":/="); i > 0 && term[i] == '=' {
		return r.modifier(term[:i], term[i+1:])
	}
	return r.mechanism(term)
}

func (r *record) modifier(name, value string) error {
	if !isName(name) {
		return errors.New("modifier without a name")
	}
	var slot *string
	switch strings.ToLower(name) {
	case "redirect":
		slot = &r.redirect
	case "exp":
		slot = &r.exp
	default:
		return checkMacros(value, false)
	}
	if *slot != "" {
		return errors.New("stands twice")
	}
	*slot = value
	return checkDomain(value)
}

func isName(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (i == 0 || strings.IndexByte("-_.", s[i]) < 0) {
			return false
		}
	}
	return s != "" && !isDigit(s[0])
}

// qualifiers of RFC 7208 §4.6.2.
var qualifiers = map[byte]string{'+': Pass, '-': Fail, '~': SoftFail, '?': Neutral}

var errTerm = errors.New("not a mechanism")

func (r *record) mechanism(term string) error {
	d := directive{result: Pass, text: term, bits4: 32, bits6: 128}
	rest := term
	if q, ok := qualifiers[rest[0]]; ok {
		d.result, rest = q, rest[1:]
	}
	end := strings.IndexAny(rest, ":/")
	if end < 0 {
		end = len(rest)
	}
	d.name, rest = strings.ToLower(rest[:end]), rest[end:]
	arg, hasArg := strings.CutPrefix(rest, ":")
	var err error
	switch d.name {
	case "all":
		if rest != "" {
			err = errTerm
		}
	case "include", "exists", "ptr":
		d.domain = arg
		if rest == "" && d.name == "ptr" {
			break
		}
		if err = checkDomain(arg); !hasArg {
			err = errTerm
		}
	case "a", "mx":
		err = d.host(rest)
	case "ip4", "ip6":
		if err = d.network(arg, d.name == "ip6"); !hasArg {
			err = errTerm
		}
	default:
		err = errTerm
	}
	r.directives = append(r.directives, d)
	return err
}

// host reads [":" domain-spec] ["/" bits4] ["//" bits6].
func (d *directive) host(rest string) error {
	var err error
	if rest, d.bits6, err = cutBits(rest, "//", 128); err != nil {
		return err
	}
	if rest, d.bits4, err = cutBits(rest, "/", 32); err != nil || rest == "" {
		return err
	}
	name, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return errTerm
	}
	d.domain = name
	return checkDomain(name)
}

// cutBits takes a prefix length from the end of s.
func cutBits(s, sep string, most int) (rest string, bits int, err error) {
	i := strings.LastIndex(s, sep)
	if i < 0 || !isDigits(s[i+len(sep):]) || sep == "/" && i > 0 && s[i-1] == '/' {
		return s, most, nil
	}
	bits, err = prefixBits(s[i+len(sep):], most)
	return s[:i], bits, err
}

func prefixBits(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n > most || n < 0 || !isDigits(s) || len(s) > 1 && s[0] == '0' {
		return 0, fmt.Errorf("prefix length %q", s)
	}
	return n, nil
}

func (d *directive) network(arg string, six bool) error {
	text, length, sized := strings.Cut(arg, "/")
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4() == six {
		return errors.New("not an address")
	}
	bits := a.BitLen()
	if sized {
		if bits, err = prefixBits(length, bits); err != nil {
			return err
		}
	}
	d.net, err = a.Prefix(bits)
	return err
}

// checkDomain reports a domain-spec that breaks the grammar: it ends in a
// macro or in a label that a top level domain may have.
func checkDomain(s string) error {
	if s == "" {
		return errors.New("domain is missing")
	}
	if err := checkMacros(s, false); err != nil {
		return err
	}
	s = strings.TrimSuffix(s, ".")
	if endsInMacro(s) {
		return nil
	}
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 || !isTop(s[dot+1:]) {
		return fmt.Errorf("%q is not a domain", s)
	}
	return nil
}

// endsInMacro reports whether the last thing of s is a macro.
func endsInMacro(s string) bool {
	if strings.HasSuffix(s, "}") {
		return strings.LastIndex(s, "%{") >= 0
	}
	if len(s) < 2 || strings.IndexByte("%_-", s[len(s)-1]) < 0 {
		return false
	}
	n := 0 // %% is one thing: count from the left
	for i := 0; i < len(s); i++ {
		n = 0
		if s[i] == '%' {
			i, n = i+1, 1
		}
	}
	return n == 1
}

// isTop: letters, digits and hyphens inside, not digits alone.
func isTop(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && (s[i] != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && !isDigits(s)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isAlnum(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }
