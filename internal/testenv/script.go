package testenv

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"golang.org/x/tools/txtar"
)

// Script is a test in one file: a dialog, then sections that say what there is
// before it and what must be there after it.
type Script struct {
	Name  string
	Steps []Step
	SQL   string    // statements run on mail.sqlite before the server starts
	Zone  string    // zone file of the DNS server
	Fail  []string  // names that it cannot look up
	Mail  []Section // messages in mailboxes before the dialog
	Want  []Section // what mailboxes must hold after it
	Log   string    // lines that the log must hold
}

// Section is a file of the archive; Path is what follows the first slash.
type Section struct {
	Path string
	Text string
}

// Step is one line of a dialog.
type Step struct {
	Line   int
	Client string // '' is the only client of most scripts
	Verb   string
	Text   string
}

// verbs are the words that begin a line, longest first where one begins
// another. The flag says whether text must follow.
var verbs = []struct {
	word string
	text bool
}{
	{"C64:", false}, {"C=", true}, {"C:", false},
	{"S...", true}, {"S~", true}, {"S:", false},
	{"CONNECT", true}, {"CLOSED", false}, {"CLOSE", false}, {"TLS", false}, {"SQL:", true},
}

// ReadScript reads a script file.
func ReadScript(name string) (*Script, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return ParseScript(name, data)
}

// ParseScript parses the text of a script.
func ParseScript(name string, data []byte) (*Script, error) {
	ar := txtar.Parse(data)
	s := &Script{Name: name}
	var err error
	if s.Steps, err = parseDialog(name, string(ar.Comment)); err != nil {
		return nil, err
	}
	for _, f := range ar.Files {
		if err := s.section(f.Name, string(f.Data)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

func (s *Script) section(name, text string) error {
	kind, path, _ := strings.Cut(name, "/")
	switch kind {
	case "sql":
		s.SQL += text
	case "zone":
		s.Zone += text
	case "servfail":
		s.Fail = append(s.Fail, strings.Fields(text)...)
	case "log":
		s.Log += text
	case "mail":
		s.Mail = append(s.Mail, Section{path, text})
	case "want":
		s.Want = append(s.Want, Section{path, text})
	default:
		return fmt.Errorf("no section is called %q", name)
	}
	return nil
}

var clientPrefix = regexp.MustCompile(`^\[([a-z0-9]+)\] `)

func parseDialog(name, text string) ([]Step, error) {
	var steps []Step
	for i, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		st := Step{Line: i + 1}
		if m := clientPrefix.FindStringSubmatch(line); m != nil {
			st.Client = m[1]
			line = line[len(m[0]):]
		}
		if err := st.parse(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, st.Line, err)
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func (st *Step) parse(line string) error {
	for _, v := range verbs {
		rest, ok := strings.CutPrefix(line, v.word)
		if !ok || rest != "" && rest[0] != ' ' {
			continue
		}
		st.Verb = v.word
		st.Text = strings.TrimPrefix(rest, " ")
		if v.text && st.Text == "" {
			return fmt.Errorf("%s needs text after it", v.word)
		}
		return nil
	}
	return fmt.Errorf("%q begins with no verb of a dialog", line)
}
