package milter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailserver/internal/setting"
)

// Spec is one filter of a list.
type Spec struct {
	Name    string // as the list has it: inet:127.0.0.1:8891
	Network string // tcp or unix
	Address string

	DefaultAction             string
	Protocol                  int
	Connect, Command, Content time.Duration
}

// maxFilters bounds a list.
const maxFilters = 20

// Parse reads a list of filters.
func (c *Config) Parse(text string) ([]Spec, error) {
	var list []Spec
	for rest := strings.TrimLeft(text, separators); rest != ""; rest = strings.TrimLeft(rest, separators) {
		var word string
		if rest[0] == '{' {
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return nil, errors.New("a { without its }")
			}
			word, rest = rest[1:end], rest[end+1:]
		} else {
			end := strings.IndexAny(rest, separators)
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		s, err := c.parseOne(word)
		if err != nil {
			return nil, err
		}
		if list = append(list, s); len(list) > maxFilters {
			return nil, fmt.Errorf("more than %d milters", maxFilters)
		}
	}
	return list, nil
}

const separators = ", \t\r\n"

// parseOne reads a filter with its own settings.
func (c *Config) parseOne(text string) (Spec, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) })
	if len(words) == 0 {
		return Spec{}, errors.New("an empty milter")
	}
	s := Spec{Name: words[0], DefaultAction: c.DefaultAction, Protocol: c.Protocol,
		Connect: c.ConnectTimeout, Command: c.CommandTimeout, Content: c.ContentTimeout}
	kind, address, _ := strings.Cut(words[0], ":")
	switch kind {
	case "inet":
		s.Network, s.Address = "tcp", address
		if !strings.Contains(address, ":") {
			s.Address = "localhost:" + address
		}
	case "unix", "local":
		s.Network, s.Address = "unix", address
	default:
		return s, fmt.Errorf("milter service needs transport:endpoint instead of %q", words[0])
	}
	if address == "" {
		return s, fmt.Errorf("milter service needs transport:endpoint instead of %q", words[0])
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		if err := s.set(name, value); err != nil {
			return s, fmt.Errorf("milter %s: %w", s.Name, err)
		}
	}
	return s, nil
}

var actions = []string{"accept", "reject", "tempfail", "quarantine", "shutdown"}

func (s *Spec) set(name, value string) (err error) {
	switch name {
	case "default_action":
		if !slices.Contains(actions, value) {
			return fmt.Errorf("default_action %q is none of %s", value, strings.Join(actions, ", "))
		}
		s.DefaultAction = value
	case "protocol":
		n := strings.Index("--2346", value)
		if len(value) != 1 || n < 0 || value == "-" {
			return fmt.Errorf("protocol %q is none of 2, 3, 4, 6", value)
		}
		s.Protocol = int(value[0] - '0')
	case "connect_timeout":
		s.Connect, err = timeout(value)
	case "command_timeout":
		s.Command, err = timeout(value)
	case "content_timeout":
		s.Content, err = timeout(value)
	default:
		return fmt.Errorf("no such setting of a milter: %q", name)
	}
	return err
}

func timeout(text string) (time.Duration, error) {
	d, err := setting.Duration(text)
	if err == nil && d <= 0 {
		err = fmt.Errorf("%q is no time to wait", text)
	}
	return d, err
}
