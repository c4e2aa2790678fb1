package addrfield

import "strings"

// only returns the address of a field that is like most of them, so that it
// need not be taken apart: <user@example.org>, perhaps behind a name.
func only(text string) (string, bool) {
	text = strings.Trim(text, " \t\r\n")
	open := strings.LastIndexByte(text, '<')
	if open < 0 {
		return text, plain(text)
	}
	addr, ends := strings.CutSuffix(text[open+1:], ">")
	return addr, ends && plain(addr) && isName(text[:open])
}

// plain reports whether an address is made of atoms and dots alone, with a dot
// in its domain: its standard form is what it is.
func plain(a string) bool {
	local, domain, ok := strings.Cut(a, "@")
	return ok && atoms(local) && atoms(domain) && strings.Contains(domain, ".")
}

func atoms(s string) bool {
	dot := true // before the first, and after each
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if dot {
				return false
			}
		case !isAtomChar(c):
			return false
		}
		dot = c == '.'
	}
	return !dot
}

func isAtomChar(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '+' || c == '='
}

// isName reports whether words, or one quoted string, stand before an address.
func isName(s string) bool {
	s = strings.Trim(s, " \t")
	if n := len(s); n >= 2 && s[0] == '"' && s[n-1] == '"' {
		return !strings.ContainsAny(s[1:n-1], "\"\\\r\n")
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c != ' ' && !isAtomChar(c) {
			return false
		}
	}
	return true
}
