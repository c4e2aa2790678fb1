package spf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Letters of macros, RFC 7208 §7.2; the last three only in explanations.
const (
	domainLetters  = "slodiphv"
	explainLetters = domainLetters + "crt"
)

// delimiters at which the value of a macro may be split.
const delimiters = ".-+,/_="

// macro is one macro-expand.
type macro struct {
	letter  byte // in lower case; '%', '_', '-' for the three short ones
	escape  bool // the letter was a capital
	keep    int  // labels from the right; 0: all
	reverse bool
	split   string
}

var errMacro = errors.New("macro that is none")

// nextMacro reads the macro at the start of s, which begins with %.
func nextMacro(s string, explain bool) (m macro, rest string, err error) {
	if len(s) < 2 {
		return m, "", errMacro
	}
	if s[1] != '{' {
		if strings.IndexByte("%_-", s[1]) < 0 {
			return m, "", errMacro
		}
		return macro{letter: s[1]}, s[2:], nil
	}
	end := strings.IndexByte(s, '}')
	if end < 3 {
		return m, "", errMacro
	}
	m.letter, m.escape = s[2]|0x20, s[2] < 'a'
	letters := domainLetters
	if explain {
		letters = explainLetters
	}
	if strings.IndexByte(letters, m.letter) < 0 || !isAlnum(s[2]) {
		return m, "", fmt.Errorf("macro %q", s[:end+1])
	}
	body, digits := s[3:end], 0
	for digits < len(body) && isDigit(body[digits]) {
		digits++
	}
	if digits > 0 {
		if m.keep, err = strconv.Atoi(body[:digits]); err != nil || m.keep == 0 {
			return m, "", fmt.Errorf("macro %q", s[:end+1])
		}
	}
	body = body[digits:]
	if body != "" && body[0]|0x20 == 'r' {
		m.reverse, body = true, body[1:]
	}
	if strings.Trim(body, delimiters) != "" {
		return m, "", fmt.Errorf("macro %q", s[:end+1])
	}
	if m.split = body; body == "" {
		m.split = "."
	}
	return m, s[end+1:], nil
}

// checkMacros reports a macro-string that breaks the grammar.
func checkMacros(s string, explain bool) error {
	_, err := eachMacro(s, explain, func(macro) string { return "" })
	return err
}

// eachMacro puts what value returns in place of every macro.
func eachMacro(s string, explain bool, value func(macro) string) (string, error) {
	var b strings.Builder
	for {
		before, _, found := strings.Cut(s, "%")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		m, rest, err := nextMacro(s[len(before):], explain)
		if err != nil {
			return "", err
		}
		b.WriteString(value(m))
		s = rest
	}
}

// shape applies what stands behind the letter of a macro to its value.
func (m macro) shape(value string) string {
	var parts []string
	start := 0
	for i := 0; i <= len(value); i++ {
		if i == len(value) || strings.IndexByte(m.split, value[i]) >= 0 {
			parts = append(parts, value[start:i])
			start = i + 1
		}
	}
	if m.reverse {
		slices.Reverse(parts)
	}
	if m.keep > 0 && m.keep < len(parts) {
		parts = parts[len(parts)-m.keep:]
	}
	value = strings.Join(parts, ".")
	if m.escape {
		value = escape(value)
	}
	return value
}

// escape is URL escaping, RFC 3986 §2.1: all but the unreserved characters.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
