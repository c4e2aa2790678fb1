package milter

import (
	"fmt"
	"strings"
)

// stage is when macros are sent. The first seven are numbered as in the
// protocol.
type stage int

const (
	stageConnect stage = iota
	stageHelo
	stageMail
	stageRcpt
	stageData
	stageEOM
	stageEOH
	stageUnknown
	stages
	noMacros // of the events within a message
)

// names are the macros of a stage.
func (c *Config) names(st stage) []string {
	switch st {
	case stageConnect:
		return c.ConnectMacros
	case stageHelo:
		return c.HeloMacros
	case stageMail:
		return c.MailMacros
	case stageRcpt:
		return c.RcptMacros
	case stageData:
		return c.DataMacros
	case stageEOM:
		return c.EODMacros
	case stageEOH:
		return c.EOHMacros
	case stageUnknown:
		return c.UnknownMacros
	}
	return nil
}

// macrosOf gives names and values of the macros of a stage that have a value.
func (f *filter) macrosOf(st stage) []string {
	if st >= stages {
		return nil
	}
	names := f.s.d.Config.names(st)
	if f.chosen[st] {
		names = f.macros[st]
	}
	var list []string
	for _, name := range names {
		if v, ok := f.s.macro(name); ok {
			list = append(list, name, v)
		}
	}
	return list
}

// macro is the value of one. Names of more than one letter have braces.
func (s *Session) macro(name string) (string, bool) {
	c := s.d.Config
	switch name {
	case "j", "{j}":
		return c.Hostname, true
	case "v", "{v}":
		return c.Version, true
	case "{daemon_name}":
		return c.DaemonName, true
	}
	if s.d.Macro != nil {
		if v, ok := s.d.Macro(name); ok {
			return v, true
		}
	}
	v, ok := s.fixed[bare(name)]
	return v, ok
}

func bare(name string) string { return strings.TrimSuffix(strings.TrimPrefix(name, "{"), "}") }

// parseDefaults reads milter_macro_defaults: name=value, {name}=value,
// { name = value with spaces }.
func parseDefaults(text string) (map[string]string, error) {
	m := make(map[string]string)
	for rest := strings.TrimLeft(text, separators); rest != ""; rest = strings.TrimLeft(rest, separators) {
		var word string
		name, _, _ := strings.Cut(rest, "}")
		if rest[0] == '{' && strings.Contains(name, "=") {
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return nil, fmt.Errorf("a { without its }")
			}
			word, rest = rest[1:end], rest[end+1:]
		} else {
			end := strings.IndexAny(rest, separators)
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		name, value, ok := strings.Cut(word, "=")
		name = bare(strings.TrimSpace(name))
		if !ok || name == "" {
			return nil, fmt.Errorf("%q is not name=value", word)
		}
		m[name] = strings.TrimSpace(value)
	}
	return m, nil
}
