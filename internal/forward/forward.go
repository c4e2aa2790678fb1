// Package forward reads what aliases(5) calls a list of destinations, as it
// stands in a row, in a .forward file, in an :include: file.
package forward

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"mailserver/internal/address"
)

// Kind is what a target is.
type Kind int

// Values of Kind.
const (
	Address Kind = iota
	User         // \user: the user itself, nothing is followed any more
	File         // /file, or /directory/ with a slash at the end
	Command      // |command
	Include      // :include:/file
)

// Target is one destination.
type Target struct {
	Kind    Kind
	Address address.Address // Address, User; @domain has no Local
	Text    string          // File, Command, Include
}

// String writes a target as aliases(5) does.
func (t Target) String() string {
	switch t.Kind {
	case User:
		return `\` + t.Address.Local
	case File:
		return t.Text
	case Command:
		return "|" + t.Text
	case Include:
		return include + t.Text
	}
	return t.Address.Plain()
}

const include = ":include:"

// MaxSize bounds a .forward or :include: file, in bytes.
const MaxSize = 1 << 20

// MaxTargets bounds the targets of one file.
const MaxTargets = 10000

// Read reads a file: # begins a comment line, white space at the start of a
// line continues the one before; a comma or white space outside of quotes
// separates targets, so that a command with arguments needs quotes.
func Read(r io.Reader) ([]Target, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxSize {
		return nil, fmt.Errorf("more than %d bytes", MaxSize)
	}
	var list []Target
	for _, line := range logical(string(data)) {
		for _, s := range words(line) {
			t, err := Parse(s)
			if err != nil {
				return nil, fmt.Errorf("target %q: %w", clip(s), err)
			}
			if list = append(list, t); len(list) > MaxTargets {
				return nil, fmt.Errorf("more than %d targets", MaxTargets)
			}
		}
	}
	return list, nil
}

func clip(s string) string { return s[:min(len(s), 100)] }

// logical joins continued lines and leaves out comments.
func logical(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case (line[0] == ' ' || line[0] == '\t') && len(list) > 0:
			list[len(list)-1] += " " + trimmed
		default:
			list = append(list, trimmed)
		}
	}
	return list
}

// Row splits the text of one row of Alias: a command or a file there is the
// whole row, with its commas.
func Row(text string) []string {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	if strings.ContainsRune("|/:", rune(text[0])) || strings.HasPrefix(text, `"|`) || strings.HasPrefix(text, `"/`) {
		return []string{text}
	}
	return Split(text)
}

// words splits a line of a file.
func words(line string) []string {
	var list []string
	for _, part := range Split(line) {
		if i := strings.LastIndexByte(part, '<'); i > 0 && strings.HasSuffix(part, ">") {
			list = append(list, part[i:]) // Name <address>
			continue
		}
		list = append(list, split(part, " \t")...)
	}
	return list
}

// Split splits a list at commas outside of double quotes.
func Split(text string) []string { return split(text, ",") }

func split(text, at string) []string {
	var list []string
	start, quoted := 0, false
	for i := 0; i <= len(text); i++ {
		switch {
		case i >= len(text) || !quoted && strings.IndexByte(at, text[i]) >= 0:
			if s := strings.TrimSpace(text[start:min(i, len(text))]); s != "" {
				list = append(list, s)
			}
			start = min(i+1, len(text))
		case text[i] == '\\' && i+1 < len(text):
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return list
}

// Parse reads one target.
func Parse(s string) (Target, error) {
	if len(s) > 2 && s[0] == '"' && s[len(s)-1] == '"' && strings.IndexByte(`|/:\`, s[1]) >= 0 {
		s = unquote(s[1 : len(s)-1])
	}
	switch {
	case strings.ContainsRune(s, 0):
		return Target{}, address.ErrSyntax
	case strings.HasPrefix(s, "|"):
		return command(s[1:])
	case strings.HasPrefix(s, "/"):
		return Target{Kind: File, Text: s}, nil
	case len(s) > len(include) && strings.EqualFold(s[:len(include)], include):
		file := strings.TrimSpace(s[len(include):])
		if !filepath.IsAbs(file) {
			return Target{}, errors.New("the file of :include: is not absolute")
		}
		return Target{Kind: Include, Text: file}, nil
	case strings.HasPrefix(s, `\`):
		a, err := address.Parse(s[1:])
		if err == nil && a.Local == "" {
			err = address.ErrSyntax
		}
		return Target{Kind: User, Address: a}, err
	}
	a, err := ParseAddress(s)
	return Target{Address: a}, err
}

// command reads |command, where the quotes may stand after the bar too.
func command(s string) (Target, error) {
	s = strings.TrimSpace(s)
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' && strings.Count(s, `"`)-strings.Count(s, `\"`) == 2 {
		s = strings.TrimSpace(unquote(s[1 : len(s)-1]))
	}
	if s == "" {
		return Target{}, errors.New("empty command")
	}
	return Target{Kind: Command, Text: s}, nil
}

// unquote takes the backslashes of a quoted string, RFC 5322 §3.2.4.
func unquote(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// ParseAddress reads an address, <address>, or @domain for the same name
// elsewhere.
func ParseAddress(s string) (address.Address, error) {
	if len(s) > 2 && s[0] == '<' && s[len(s)-1] == '>' {
		s = s[1 : len(s)-1]
	}
	if domain, ok := strings.CutPrefix(s, "@"); ok && domain != "" {
		return address.Address{Domain: domain}, nil
	}
	a, err := address.Parse(s)
	if err == nil && a.Local == "" {
		err = address.ErrSyntax
	}
	return a, err
}
