package pop3

import (
	"fmt"
	"strconv"
	"strings"
)

// format is a parsed pop3_uidl_format.
type format []field

// field is text, or a variable as Dovecot writes it: %[0][width][modifiers]name.
type field struct {
	text  string
	name  byte // 0: text
	zeros bool
	width int
	mods  string
}

const (
	maxUIDL = 70 // RFC 1939 §7
	// modifiers are X hexadecimal, L lower case, U upper case.
	modifiers = "XLU"
)

// parseFormat reads a pop3_uidl_format. It needs a variable that differs from
// message to message.
func parseFormat(text string) (format, error) {
	var f format
	unique := false
	for rest := text; rest != ""; {
		at := strings.IndexByte(rest, '%')
		if at != 0 {
			if at < 0 {
				at = len(rest)
			}
			f = append(f, field{text: rest[:at]})
			rest = rest[at:]
			continue
		}
		v, n, err := parseField(rest)
		if err != nil {
			return nil, err
		}
		unique = unique || v.name == 'u' || v.name == 'f' || v.name == 'g'
		f = append(f, v)
		rest = rest[n:]
	}
	if !unique {
		return nil, fmt.Errorf("%q tells no message from another: it needs one of %%u, %%f, %%g", text)
	}
	return f, nil
}

// parseField reads a variable at the start of text, and how long it is there.
func parseField(text string) (v field, n int, err error) {
	n = 1
	if n < len(text) && text[n] == '0' {
		v.zeros = true
		n++
	}
	digits := n
	for n < len(text) && text[n] >= '0' && text[n] <= '9' {
		n++
	}
	if n > digits {
		if v.width, err = strconv.Atoi(text[digits:n]); err != nil || v.width > maxUIDL {
			return v, 0, fmt.Errorf("width in %q is not one up to %d", text, maxUIDL)
		}
	}
	mods := n
	for n < len(text) && strings.IndexByte(modifiers, text[n]) >= 0 {
		n++
	}
	v.mods = text[mods:n]
	if n == len(text) {
		return v, 0, fmt.Errorf("nothing follows %q", text)
	}
	switch text[n] {
	case 'u', 'v', 'f', 'g':
		v.name = text[n]
	case '%':
		v.text = "%"
	case 'm':
		return v, 0, fmt.Errorf("%%m is not to be had from a Maildir")
	default:
		return v, 0, fmt.Errorf("%q is not a variable that is known here", "%"+text[n:n+1])
	}
	return v, n + 1, nil
}

// needsFile reports whether a variable is of the message's file.
func (f format) needsFile() bool {
	for _, v := range f {
		if v.name == 'f' || v.name == 'g' {
			return true
		}
	}
	return false
}

// known is what the variables of a format are for one message.
type known struct {
	uid, validity uint32
	file, guid    string
}

// append writes the identifier of a message.
func (f format) append(buf []byte, k known) []byte {
	for _, v := range f {
		switch v.name {
		case 0:
			buf = append(buf, v.text...)
		case 'u':
			buf = v.number(buf, k.uid)
		case 'v':
			buf = v.number(buf, k.validity)
		case 'f':
			buf = v.word(buf, k.file)
		case 'g':
			buf = v.word(buf, k.guid)
		}
	}
	return buf
}

func (v field) number(buf []byte, n uint32) []byte {
	base := 10
	if strings.Contains(v.mods, "X") {
		base = 16
	}
	var digits [10]byte
	text := strconv.AppendUint(digits[:0], uint64(n), base)
	if v.zeros {
		for range v.width - len(text) {
			buf = append(buf, '0')
		}
	}
	return v.letters(buf, text)
}

// word cuts at the width, as Dovecot does.
func (v field) word(buf []byte, text string) []byte {
	if v.width > 0 && len(text) > v.width {
		text = text[:v.width]
	}
	return v.letters(buf, []byte(text))
}

func (v field) letters(buf, text []byte) []byte {
	if v.mods == "" || v.mods == "X" {
		return append(buf, text...)
	}
	if strings.Contains(v.mods, "U") {
		return append(buf, strings.ToUpper(string(text))...)
	}
	return append(buf, strings.ToLower(string(text))...)
}
