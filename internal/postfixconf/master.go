package postfixconf

import (
	"fmt"
	"io"
	"strings"
)

// Service is a line of master.cf; master(5).
type Service struct {
	Name                                     string // host:port, a service of services(5), a socket
	Type                                     string // inet, unix, fifo, pass, unix-dgram
	Private, Unpriv, Chroot, Wakeup, MaxProc string
	Command                                  string
	Args                                     []string // those that are not options, and -v and its like
	Options                                  []Param  // of -o, in their order
	Line                                     int
}

// ReadMaster reads master.cf. Lines with too few fields are in faults.
func ReadMaster(r io.Reader) (list []Service, faults []Param, err error) {
	err = eachLine(r, func(l logical) error {
		w := Words(l.text, false)
		if len(w) < 8 {
			faults = append(faults, Param{Value: l.text, Line: l.line})
			return nil
		}
		s := Service{Name: w[0], Type: w[1], Private: w[2], Unpriv: w[3], Chroot: w[4], Wakeup: w[5], MaxProc: w[6], Command: w[7], Line: l.line}
		if bad := s.arguments(w[8:]); bad != "" {
			faults = append(faults, Param{Name: s.Name, Value: bad, Line: l.line})
		}
		list = append(list, s)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("master.cf: %w", err)
	}
	return list, faults, nil
}

// arguments reads what stands behind the command; bad is an option that cannot
// be read. Programs of others (argv=...) keep everything as it is.
func (s *Service) arguments(words []string) (bad string) {
	if s.Command == "pipe" || s.Command == "spawn" {
		s.Args = words
		return ""
	}
	for i := 0; i < len(words); i++ {
		option := ""
		switch w := words[i]; {
		case w == "-o":
			if i++; i == len(words) {
				return w
			}
			option = words[i]
		case strings.HasPrefix(w, "-o"):
			option = w[2:]
		default:
			s.Args = append(s.Args, w)
			continue
		}
		option, _ = Unbrace(option)
		name, value, ok := strings.Cut(option, "=")
		name = strings.TrimSpace(name)
		if !ok || !isName(name) {
			bad = option
			continue
		}
		s.Options = append(s.Options, Param{name, strings.TrimSpace(value), s.Line})
	}
	return bad
}

// Option is the value of the last -o of that name.
func (s *Service) Option(name string) (string, bool) {
	for i := len(s.Options) - 1; i >= 0; i-- {
		if s.Options[i].Name == name {
			return s.Options[i].Value, true
		}
	}
	return "", false
}

// Over are all options by name.
func (s *Service) Over() map[string]string {
	m := make(map[string]string, len(s.Options))
	for _, o := range s.Options {
		m[o.Name] = o.Value
	}
	return m
}
