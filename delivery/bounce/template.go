package bounce

import (
	"bufio"
	"fmt"
	"strings"
)

// Template is the head and the words of a kind of notification.
// postconf(5) bounce_template_file, bounce(5)
type Template struct {
	Charset           string
	From              string // address and name, as the header has it; '' MAILER-DAEMON
	Subject           string
	PostmasterSubject string
	Text              string // for people, LF line ends, with $name
}

// templateNames are those of bounce(5). That of verifications is read, for a
// file made for Postfix, and used for them.
var templateNames = map[string]Kind{"failure_template": Failure, "delay_template": Delay, "success_template": Success, "verify_template": Verify}

// templateMost bounds a line of a template, in bytes.
const templateMost = 2000

// Templates reads a file of bounce(5). Kinds that it lacks are not in the map.
func Templates(text string) (map[Kind]*Template, error) {
	list := make(map[Kind]*Template)
	sc := bufio.NewScanner(strings.NewReader(text))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest, ok := strings.Cut(line, "=")
		end, here := strings.CutPrefix(strings.TrimSpace(rest), "<<")
		kind, known := templateNames[strings.TrimSpace(name)]
		if end = strings.TrimSpace(end); !ok || !here || end == "" || !known {
			return nil, fmt.Errorf("bounce template: %.60q is not NAME_template = <<EOF", line)
		}
		t, err := readTemplate(sc, end)
		if err != nil {
			return nil, fmt.Errorf("bounce template %s: %w", strings.TrimSpace(name), err)
		}
		list[kind] = t
	}
	return list, sc.Err()
}

func readTemplate(sc *bufio.Scanner, end string) (*Template, error) {
	t := &Template{Charset: "us-ascii"}
	var text strings.Builder
	head := true
	for sc.Scan() {
		line := sc.Text()
		switch {
		case strings.TrimRight(line, " \t\r") == end:
			t.Text = text.String()
			return t, nil
		case len(line) > templateMost:
			return nil, fmt.Errorf("a line is longer than %d bytes", templateMost)
		case head && strings.TrimSpace(line) == "":
			head = false
		case head:
			if err := t.field(line); err != nil {
				return nil, err
			}
		default:
			text.WriteString(strings.TrimRight(line, "\r") + "\n")
		}
	}
	return nil, fmt.Errorf("there is no line %s at its end", end)
}

func (t *Template) field(line string) error {
	name, value, ok := strings.Cut(line, ":")
	value = strings.TrimSpace(value)
	to := map[string]*string{"charset": &t.Charset, "from": &t.From, "subject": &t.Subject, "postmaster-subject": &t.PostmasterSubject}[strings.ToLower(strings.TrimSpace(name))]
	if !ok || to == nil || !ascii(value) {
		return fmt.Errorf("%.60q is no header of a template", line)
	}
	*to = value
	return nil
}

// Fill replaces $name, ${name} and $(name) by values; $$ is a dollar.
func Fill(text string, value func(name string) (string, bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if text, found = strings.CutPrefix(rest, "$"); found {
			b.WriteByte('$')
			continue
		}
		name, after, err := variable(rest)
		if err != nil {
			return "", err
		}
		v, ok := value(name)
		if !ok {
			return "", fmt.Errorf("$%s is not known", name)
		}
		b.WriteString(v)
		text = after
	}
}

func variable(s string) (name, rest string, err error) {
	if s != "" && (s[0] == '{' || s[0] == '(') {
		end := strings.IndexByte(s, map[byte]byte{'{': '}', '(': ')'}[s[0]])
		if end < 0 {
			return "", "", fmt.Errorf("%.30q is not closed", "$"+s)
		}
		return s[1:end], s[end+1:], nil
	}
	i := 0
	for i < len(s) && (s[i] == '_' || s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z') {
		i++
	}
	return s[:i], s[i:], nil
}
