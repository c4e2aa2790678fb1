// Package pipe delivers to a program as pipe(8) does: a transport that the
// operator has named, with its arguments and its user.
//
// There is no shell: what came by mail is never read as a command.
package pipe

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/asuser"
)

// Spec is a transport: the attributes of pipe(8) under their names.
type Spec struct {
	Name       string
	Argv       string // words by spaces; { words } is one
	User       string // user or user:group
	Flags      string // of BDFORXhqu.>
	Directory  string // '' is /
	EOL        string // with escapes such as \r\n
	NullSender string
	Size       int64 // bytes; 0 no limit
	Delimiter  string
	// Limit is the longest time of a run. postconf(5) transport_time_limit
	Limit time.Duration
}

// Message is what is delivered.
type Message struct {
	ID, Sender, Nexthop, EnvID string
	Size                       int64
	Client, Address            string // name and address of the client, '' unknown
	Helo, Proto                string
	Login                      string // who logged in
	DeliveredTo                []string
	Now                        time.Time
	Open                       func() (io.ReadCloser, error) // CRLF line ends
}

// Recipient is one address of a run.
type Recipient struct {
	Address, Original string
}

// flags that pipe(8) knows.
const flags = "BDFORXhqu.>"

// Single reports whether a run takes one recipient: a header names it.
func (s *Spec) Single() bool { return strings.ContainsAny(s.Flags, "DO") }

// Validate says what of the row cannot be obeyed.
func (s *Spec) Validate() error {
	if i := strings.IndexFunc(s.Flags, func(r rune) bool { return !strings.ContainsRune(flags, r) }); i >= 0 {
		return fmt.Errorf("pipe %s: flag %q is none of %s", s.Name, s.Flags[i:i+1], flags)
	}
	words, err := s.words()
	if err != nil {
		return err
	}
	known, own := s.common(&Message{}), s.own(Recipient{})
	for _, w := range words {
		_, err := expand(w, func(name string) (string, bool) {
			_, a := known[name]
			_, b := own[name]
			return "", a || b
		})
		if err != nil {
			return fmt.Errorf("pipe %s: %w", s.Name, err)
		}
	}
	if _, err := unescape(s.EOL); err != nil {
		return fmt.Errorf("pipe %s: eol %q: %w", s.Name, s.EOL, err)
	}
	if s.Directory != "" && !strings.HasPrefix(s.Directory, "/") {
		return fmt.Errorf("pipe %s: directory %q is not an absolute path", s.Name, s.Directory)
	}
	return nil
}

// Call is one run of the program.
type Call struct {
	Args  []string
	ID    asuser.ID
	Env   []string
	Dir   string
	Stdin io.ReadCloser
	Limit time.Duration
}

// Refusal is why there is no run: an enhanced code and words for the log.
type Refusal struct {
	Enhanced string
	Text     string
}

// Call is the run that delivers to recipients. The caller closes its Stdin.
func (s *Spec) Call(m *Message, to []Recipient) (*Call, *Refusal) {
	id, args, eol, err := s.prepared(m, to)
	if err != nil {
		return nil, &Refusal{"4.3.5", "mail system configuration error: " + err.Error()}
	}
	if s.Size > 0 && m.Size > s.Size {
		return nil, &Refusal{"5.2.3", "message too large"}
	}
	if s.has('D') {
		for _, seen := range m.DeliveredTo {
			if strings.EqualFold(seen, to[0].Address) {
				return nil, &Refusal{"5.4.6", "mail forwarding loop for " + to[0].Address}
			}
		}
	}
	text, err := m.Open()
	if err != nil {
		return nil, &Refusal{"4.3.0", "queue file read error"}
	}
	return &Call{Args: args, ID: id, Env: environment(os.Getenv), Dir: s.Directory, Limit: s.Limit, Stdin: struct {
		io.Reader
		io.Closer
	}{s.form(m, to[0], eol).reader(text), text}}, nil
}

// Done is what the log says of a run that went well.
func (s *Spec) Done(output string) string {
	if output != "" {
		output = " (" + output + ")"
	}
	return "delivered via " + s.Name + " service" + output
}

// prepared is what a run needs of the row.
func (s *Spec) prepared(m *Message, to []Recipient) (id asuser.ID, args []string, eol string, err error) {
	if err = s.Validate(); err != nil {
		return
	}
	if id, err = s.id(); err != nil {
		return
	}
	if eol, err = unescape(s.EOL); err != nil {
		return
	}
	args, err = s.arguments(m, to)
	return
}

// id is whose rights the program gets: never those of root.
func (s *Spec) id() (asuser.ID, error) {
	name, group, _ := strings.Cut(s.User, ":")
	u, err := user.Lookup(name)
	if err != nil {
		return asuser.ID{}, fmt.Errorf("pipe %s: user %s: %w", s.Name, name, err)
	}
	gid := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return asuser.ID{}, fmt.Errorf("pipe %s: group %s: %w", s.Name, group, err)
		}
		gid = g.Gid
	}
	id := asuser.ID{}
	var err1, err2 error
	id.UID, err1 = strconv.Atoi(u.Uid)
	id.GID, err2 = strconv.Atoi(gid)
	switch err := errors.Join(err1, err2); {
	case err != nil:
		return id, err
	case id.UID == 0 || id.GID == 0:
		return id, fmt.Errorf("pipe %s: user %s has the rights of root", s.Name, s.User)
	}
	return id, nil
}

// environment is postconf(5) export_environment.
func environment(getenv func(string) string) (env []string) {
	for _, name := range []string{"TZ", "LANG"} {
		if v := getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// unescape reads \a \b \f \n \r \t \v \nnn \\.
func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New("ends in a backslash")
		}
		if at := strings.IndexByte(`abfnrtv\`, s[i]); at >= 0 {
			b.WriteByte("\a\b\f\n\r\t\v\\"[at])
			continue
		}
		end := i
		for end < len(s) && end < i+3 && s[end] >= '0' && s[end] <= '7' {
			end++
		}
		n, err := strconv.ParseUint(s[i:end], 8, 8)
		if err != nil {
			return "", fmt.Errorf("\\%c is not known", s[i])
		}
		b.WriteByte(byte(n))
		i = end - 1
	}
	return b.String(), nil
}
