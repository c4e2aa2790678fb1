package postfixconf

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Bounds of what is read.
const (
	maxLine  = 1 << 20   // bytes of a logical line
	maxBytes = 256 << 20 // bytes of a file
)

// logical is a logical line: what continues on lines that begin with white
// space is joined to it; postconf(5), FORMAT.
type logical struct {
	text string
	line int // where it begins, from 1
}

// eachLine calls fn for every logical line. Comments and empty lines do not
// end one.
func eachLine(r io.Reader, fn func(logical) error) error {
	in := bufio.NewScanner(io.LimitReader(r, maxBytes))
	in.Buffer(make([]byte, 0, 4096), maxLine)
	var now logical
	var text strings.Builder
	end := func() error {
		if now.line == 0 {
			return nil
		}
		now.text = strings.TrimRight(text.String(), " \t\r\n\v\f")
		text.Reset()
		l := now
		now = logical{}
		return fn(l)
	}
	n := 0
	for in.Scan() {
		n++
		line := in.Text()
		trimmed := strings.TrimLeft(line, " \t\r\n\v\f")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if len(trimmed) == len(line) {
			if err := end(); err != nil {
				return err
			}
			now.line = n
		} else if now.line == 0 {
			return fmt.Errorf("line %d: begins with white space, and there is nothing that it goes on", n)
		}
		if text.Len()+len(line) > maxLine {
			return fmt.Errorf("line %d: longer than %d bytes", now.line, maxLine)
		}
		text.WriteString(line)
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("line %d: %w", n+1, err)
	}
	return end()
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'
}

// Words splits a list by white space, and commas where commas is true. What
// stands in braces is one word, with them.
func Words(text string, commas bool) []string {
	var list []string
	depth, start := 0, -1
	for i := 0; i <= len(text); i++ {
		end := i == len(text)
		sep := !end && (isSpace(text[i]) || commas && text[i] == ',')
		switch {
		case end || sep && depth == 0:
			if start >= 0 {
				list = append(list, text[start:i])
				start = -1
			}
			continue
		case text[i] == '{':
			depth++
		case text[i] == '}' && depth > 0:
			depth--
		}
		if start < 0 && !sep {
			start = i
		}
	}
	return list
}

// Unbrace takes the braces off a word, and the white space within them.
func Unbrace(s string) (inner string, braced bool) {
	if len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}' {
		return strings.TrimSpace(s[1 : len(s)-1]), true
	}
	return s, false
}
