// Package mutf7 is modified UTF-7, in which IMAP4rev1 and Maildir++ directories
// spell mailbox names: RFC 3501 §5.1.3.
package mutf7

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrSyntax says that a text is not modified UTF-7 in its one canonical form.
// Two spellings of one name would be two mailboxes to one client and one to
// another, so only the form that Encode gives is read.
var ErrSyntax = errors.New("not canonical modified UTF-7")

// ErrUTF8 says that a text given to Encode is not UTF-8.
var ErrUTF8 = errors.New("not valid UTF-8")

// b64 is base64 with "," for "/", without padding.
var b64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

func isDirect(c byte) bool { return c >= 0x20 && c <= 0x7e }

// Encode gives the modified UTF-7 of a UTF-8 text; ErrUTF8. Control characters
// are encoded too, so that the result is always printable ASCII.
func Encode(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", ErrUTF8
	}
	if isPlain(s) {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if isDirect(s[i]) {
			b.WriteByte(s[i])
			if s[i] == '&' {
				b.WriteByte('-')
			}
			i++
			continue
		}
		n := i
		for n < len(s) && !isDirect(s[n]) {
			n++
		}
		writeShifted(&b, s[i:n])
		i = n
	}
	return b.String(), nil
}

// isPlain reports whether both forms of s are s itself.
func isPlain(s string) bool {
	for i := range len(s) {
		if !isDirect(s[i]) || s[i] == '&' {
			return false
		}
	}
	return true
}

func writeShifted(b *strings.Builder, s string) {
	var raw []byte
	for _, u := range utf16.Encode([]rune(s)) {
		raw = append(raw, byte(u>>8), byte(u))
	}
	b.WriteByte('&')
	b.WriteString(b64.EncodeToString(raw))
	b.WriteByte('-')
}

// Decode gives the UTF-8 of modified UTF-7; ErrSyntax for anything that Encode
// does not give: 8-bit or control characters, "&" left open, printable ASCII in
// base64, two shifted runs side by side, padding bits, lone surrogates.
func Decode(s string) (string, error) {
	if isPlain(s) {
		return s, nil
	}
	var b strings.Builder
	afterRun := false
	for i := 0; i < len(s); {
		if !isDirect(s[i]) {
			return "", ErrSyntax
		}
		if s[i] != '&' {
			b.WriteByte(s[i])
			afterRun = false
			i++
			continue
		}
		end := strings.IndexByte(s[i:], '-')
		if end < 0 {
			return "", ErrSyntax
		}
		run := s[i+1 : i+end]
		i += end + 1
		if run == "" {
			b.WriteByte('&')
			afterRun = false
			continue
		}
		if afterRun || !readShifted(&b, run) {
			return "", ErrSyntax
		}
		afterRun = true
	}
	return b.String(), nil
}

func readShifted(b *strings.Builder, run string) bool {
	if strings.ContainsAny(run, "\r\n") { // which package base64 skips
		return false
	}
	raw, err := b64.DecodeString(run)
	if err != nil || len(raw) == 0 || len(raw)%2 != 0 {
		return false
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i == len(raw) {
				return false
			}
			r = utf16.DecodeRune(r, rune(raw[i])<<8|rune(raw[i+1]))
			if r == utf8.RuneError {
				return false
			}
		}
		if r < utf8.RuneSelf && isDirect(byte(r)) {
			return false
		}
		b.WriteRune(r)
	}
	return true
}
