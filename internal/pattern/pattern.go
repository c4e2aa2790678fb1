// Package pattern reads the patterns of regexp_table(5) and pcre_table(5).
package pattern

import (
	"fmt"
	"regexp"
	"strings"
)

// most bounds a pattern, in bytes.
const most = 4096

// Parse reads /pattern/flags as regexp_table(5) writes it, or a bare
// pattern. Case does not count unless the flag i says so. The syntax is RE2:
// no back references, which is why no pattern can take longer than its input
// is long.
func Parse(text string) (*regexp.Regexp, error) {
	pattern, flags := text, ""
	if len(text) > 1 && !isAlnum(text[0]) && text[0] != '^' && text[0] != '(' && text[0] != '.' && text[0] != '[' && text[0] != '\\' {
		if end := strings.LastIndexByte(text, text[0]); end > 0 && !strings.ContainsAny(text[end+1:], " \t") && isFlags(text[end+1:]) {
			pattern, flags = text[1:end], text[end+1:]
		}
	}
	if len(pattern) > most {
		return nil, fmt.Errorf("longer than %d bytes", most)
	}
	fold, multi, dot := true, false, true
	for i := range len(flags) {
		switch flags[i] {
		case 'i':
			fold = !fold
		case 'm':
			multi = !multi
		case 's':
			dot = !dot
		}
	}
	opts := ""
	for _, o := range []struct {
		on   bool
		flag string
	}{{fold, "i"}, {multi, "m"}, {dot, "s"}} {
		if o.on {
			opts += o.flag
		}
	}
	if opts != "" {
		opts = "(?" + opts + ")"
	}
	re, err := regexp.Compile(opts + pattern)
	if err != nil {
		return nil, fmt.Errorf("this server does not know the pattern: %v", err)
	}
	return re, nil
}

func isFlags(s string) bool { return strings.Trim(s, "imsxADEUX") == "" }

// Substitute puts what the groups matched in place of $1, ${1}, $(1); $$ is a
// dollar sign.
func Substitute(action, key string, m []int) string {
	if !strings.Contains(action, "$") {
		return action
	}
	var b strings.Builder
	for i := 0; i < len(action); i++ {
		if action[i] != '$' || i+1 == len(action) {
			b.WriteByte(action[i])
			continue
		}
		if action[i+1] == '$' {
			b.WriteByte('$')
			i++
			continue
		}
		n, width := groupNumber(action[i+1:])
		if width == 0 {
			b.WriteByte('$')
			continue
		}
		if 2*n+1 < len(m) && m[2*n] >= 0 {
			b.WriteString(key[m[2*n]:m[2*n+1]])
		}
		i += width
	}
	return b.String()
}

// groupNumber reads 1, {1} or (1); width is 0 if it is none.
func groupNumber(s string) (n, width int) {
	open := strings.IndexByte("{(", s[0]) >= 0
	i := 0
	if open {
		i = 1
	}
	start := i
	for i < len(s) && i < start+2 && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		i++
	}
	if i == start {
		return 0, 0
	}
	if open {
		if i == len(s) || strings.IndexByte("})", s[i]) < 0 {
			return 0, 0
		}
		i++
	}
	return n, i
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
