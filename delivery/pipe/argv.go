package pipe

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// words splits the command line: by white space; { words } is one word.
func (s *Spec) words() ([]string, error) {
	var list []string
	for rest := strings.TrimLeft(s.Argv, space); rest != ""; rest = strings.TrimLeft(rest, space) {
		var word string
		if rest[0] == '{' {
			end := closing(rest)
			if end < 0 {
				return nil, fmt.Errorf("pipe %s: a brace is not closed", s.Name)
			}
			word, rest = strings.Trim(rest[1:end], space), rest[end+1:]
		} else {
			end := strings.IndexAny(rest, space)
			if end < 0 {
				end = len(rest)
			}
			word, rest = rest[:end], rest[end:]
		}
		list = append(list, word)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("pipe %s: no command", s.Name)
	}
	return list, nil
}

const space = " \t\r\n"

// closing is where the brace at the beginning of s ends; -1 nowhere.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// perRecipient are the variables that make as many arguments of one as a run
// has recipients.
var perRecipient = []string{"recipient", "original_recipient", "user", "extension", "mailbox", "domain"}

// arguments expands the command line for a run.
func (s *Spec) arguments(m *Message, to []Recipient) ([]string, error) {
	words, err := s.words()
	if err != nil {
		return nil, err
	}
	var args []string
	common := s.common(m)
	for _, w := range words {
		each := false
		_, err := expand(w, func(name string) (string, bool) {
			for _, p := range perRecipient {
				each = each || p == name
			}
			_, ok := common[name]
			return "", ok || each
		})
		if err != nil {
			return nil, fmt.Errorf("pipe %s: %w", s.Name, err)
		}
		runs := to
		if !each {
			runs = to[:1]
		}
		for _, r := range runs {
			own := s.own(r)
			word, err := expand(w, func(name string) (string, bool) {
				v, ok := own[name]
				if !ok {
					v, ok = common[name]
				}
				return v, ok
			})
			if err != nil {
				return nil, fmt.Errorf("pipe %s: %w", s.Name, err)
			}
			args = append(args, word)
		}
	}
	return args, nil
}

// common are the variables of the message.
func (s *Spec) common(m *Message) map[string]string {
	sender := s.NullSender
	if m.Sender != "" {
		sender = s.quoted(m.Sender) // h and u are for recipients
	}
	hop := m.Nexthop
	if s.has('h') {
		hop = strings.ToLower(hop)
	}
	v := map[string]string{"sender": sender, "nexthop": hop, "size": strconv.FormatInt(m.Size, 10), "queue_id": m.ID, "envid": m.EnvID,
		"client_address": m.Address, "client_helo": m.Helo, "client_hostname": m.Client, "client_protocol": m.Proto, "sasl_username": m.Login,
		// What the queue does not keep is what Postfix says of mail without it.
		"client_port": "", "sasl_method": "", "sasl_sender": ""}
	return v
}

func (s *Spec) has(flag byte) bool { return strings.IndexByte(s.Flags, flag) >= 0 }

// own are the variables of one recipient.
func (s *Spec) own(r Recipient) map[string]string {
	v := map[string]string{"recipient": s.morph(r.Address), "original_recipient": s.morph(r.Original)}
	local, domain := r.Address, ""
	if i := strings.LastIndexByte(r.Address, '@'); i >= 0 {
		local, domain = r.Address[:i], r.Address[i+1:]
	}
	local = (&Spec{}).quoted(local)
	if s.has('u') {
		local = strings.ToLower(local)
	}
	if s.has('h') {
		domain = strings.ToLower(domain)
	}
	v["mailbox"], v["user"], v["extension"], v["domain"] = local, local, "", domain
	if i := strings.IndexAny(local, s.Delimiter); s.Delimiter != "" && i > 0 {
		v["user"], v["extension"] = local[:i], local[i+1:]
	}
	return v
}

// morph is an address as the flags want it: without q its local part is as it
// is, without quotes.
func (s *Spec) morph(a string) string {
	i := strings.LastIndexByte(a, '@')
	if i < 0 {
		i = len(a)
	}
	local, domain := s.quoted(a[:i]), a[i:]
	if s.has('u') {
		local = strings.ToLower(local)
	}
	if s.has('h') {
		domain = strings.ToLower(domain)
	}
	return local + domain
}

// quoted takes the quotes of a local part away, unless q keeps them.
func (s *Spec) quoted(a string) string {
	i := strings.LastIndexByte(a, '@')
	if i < 0 {
		i = len(a)
	}
	if local := a[:i]; !s.has('q') && len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"' {
		return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(local[1:len(local)-1]) + a[i:]
	}
	return a
}

// expand replaces $name, ${name} and $(name). $$ is a dollar.
func expand(s string, value func(string) (string, bool)) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New("a dollar stands at the end")
		}
		if s[i] == '$' {
			b.WriteByte('$')
			continue
		}
		expr, end := "", i
		if s[i] == '{' || s[i] == '(' {
			close := strings.IndexByte(s[i:], map[byte]byte{'{': '}', '(': ')'}[s[i]])
			if close < 0 {
				return "", fmt.Errorf("%q is not closed", s[i-1:])
			}
			expr, end = s[i+1:i+close], i+close
		} else {
			for end < len(s) && isName(s[end]) {
				end++
			}
			expr, end = s[i:end], end-1
		}
		text, ok := value(expr)
		if !ok {
			return "", fmt.Errorf("unknown macro name: %q", expr)
		}
		b.WriteString(text)
		i = end
	}
	return b.String(), nil
}

func isName(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
