package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailserver/internal/server"
	"mailserver/schema"
)

// RunScripts runs every script that matches the pattern against a server of
// its own, as a subtest.
func RunScripts(t *testing.T, pattern string, to Protocol) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script is called %s (%v)", pattern, err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			s, err := ReadScript(name)
			if err != nil {
				t.Fatal(err)
			}
			s.Run(t, to)
		})
	}
}

// Run plays the script.
func (s *Script) Run(t *testing.T, to Protocol) {
	t.Helper()
	e := Start(t, Options{SQL: s.SQL, Zone: s.Zone, Fail: s.Fail})
	for i, m := range s.Mail {
		e.put(m, i)
	}
	if err := e.play(s, to); err != nil {
		t.Fatalf("%v\n%s", err, e.log.tail(20))
	}
	for _, w := range s.Want {
		if err := e.want(w); err != nil {
			t.Errorf("%s: want/%s: %v\n%s", s.Name, w.Path, err, e.log.tail(20))
		}
	}
	e.CheckMailboxes()
	e.Stop()
	if err := holds(e.Log(), s.Log); err != nil {
		t.Errorf("%s: log: %v\n%s", s.Name, err, e.log.tail(40))
	}
}

// play runs the dialog.
func (e *Env) play(s *Script, to Protocol) error {
	clients := make(map[string]*Client)
	defer func() {
		for _, c := range clients {
			c.Close()
		}
	}()
	vars := e.vars()
	for _, st := range s.Steps {
		if err := e.step(st, to, clients, vars); err != nil {
			return fmt.Errorf("%s:%d: %s %s\n%w", s.Name, st.Line, st.Verb, st.Text, err)
		}
	}
	return nil
}

func (e *Env) step(st Step, to Protocol, clients map[string]*Client, vars map[string]string) error {
	if st.Verb == "SQL:" {
		return schema.Script(context.Background(), server.MailFile(e.Dir), st.Text)
	}
	c := clients[st.Client]
	if c == nil || st.Verb == "CONNECT" {
		if c != nil {
			c.Close()
		}
		if st.Verb == "CONNECT" {
			to = Protocol(st.Text)
		}
		var err error
		if c, err = e.dial(to, vars); err != nil {
			return err
		}
		if clients[st.Client] = c; st.Verb == "CONNECT" {
			return nil
		}
	}
	return c.Do(st)
}

// put writes a message of a section mail/USER/FOLDER[:FLAGS] into a mailbox.
func (e *Env) put(m Section, n int) {
	e.t.Helper()
	userName, folder, _ := strings.Cut(m.Path, "/")
	folder, flags, _ := strings.Cut(folder, ":")
	dir := e.Folder(userName, folder)
	spec := e.spec(userName)
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			e.t.Fatal(err)
		}
	}
	name := filepath.Join(dir, "cur", fmt.Sprintf("%d.M%dP1.mx.example:2,%s", 1700000000+n, n, flags))
	if err := os.WriteFile(name, []byte(m.Text), 0o600); err != nil {
		e.t.Fatal(err)
	}
	if os.Getuid() != 0 || spec.UID < 0 {
		return
	}
	for dir := name; strings.HasPrefix(dir, filepath.Join(e.Dir, "mail")+"/"); dir = filepath.Dir(dir) {
		if err := os.Lchown(dir, spec.UID, spec.GID); err != nil {
			e.t.Fatal(err)
		}
	}
}

// deliveryTime is how long a message that went through the queue may take to
// a mailbox.
const deliveryTime = time.Minute

// want compares a message with a section want/USER/FOLDER[/N].
func (e *Env) want(w Section) error {
	parts := strings.Split(w.Path, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return fmt.Errorf("the name of the section is not want/USER/FOLDER or want/USER/FOLDER/N")
	}
	n, only := 1, true
	if len(parts) == 3 {
		var err error
		if n, err = strconv.Atoi(parts[2]); err != nil || n < 1 {
			return fmt.Errorf("%q is not the number of a message", parts[2])
		}
		only = false
	}
	dir := e.Folder(parts[0], parts[1])
	if strings.TrimSpace(w.Text) == "(none)" {
		if files := messages(dir); len(files) > 0 {
			return fmt.Errorf("there are %d messages", len(files))
		}
		return nil
	}
	files := messages(dir)
	for end := time.Now().Add(deliveryTime); len(files) < n && time.Now().Before(end); files = messages(dir) {
		time.Sleep(20 * time.Millisecond)
	}
	if len(files) < n || only && len(files) > 1 {
		return fmt.Errorf("there are %d messages", len(files))
	}
	text, err := os.ReadFile(files[n-1])
	if err != nil {
		return err
	}
	return compare(string(text), w.Text)
}

// messages returns the files of a folder, the oldest first.
func messages(dir string) []string {
	var files []string
	for _, sub := range []string{"new", "cur"} {
		list, _ := filepath.Glob(filepath.Join(dir, sub, "*"))
		files = append(files, list...)
	}
	sort.Slice(files, func(i, j int) bool { return filepath.Base(files[i]) < filepath.Base(files[j]) })
	return files
}

// compare holds a message against wanted lines: exact, "~ pattern", or "...",
// which skips lines up to one that fits the next.
func compare(got, want string) error {
	lines := splitLines(got)
	skip := false
	for i, w := range splitLines(want) {
		if w == "..." {
			skip = true
			continue
		}
		fits, err := fitter(w)
		if err != nil {
			return err
		}
		for skip && len(lines) > 0 && !fits(lines[0]) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return fmt.Errorf("line %d: nothing fits %q in\n%s", i+1, w, got)
		}
		if !fits(lines[0]) {
			return fmt.Errorf("line %d: got  %q\n        want %q", i+1, lines[0], w)
		}
		lines, skip = lines[1:], false
	}
	if len(lines) > 0 && !skip {
		return fmt.Errorf("more follows: %q", lines[0])
	}
	return nil
}

func fitter(want string) (func(string) bool, error) {
	if pattern, ok := strings.CutPrefix(want, "~ "); ok {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, err
		}
		return re.MatchString, nil
	}
	return func(line string) bool { return line == want }, nil
}

func splitLines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// holds looks for patterns in the log, in their order.
func holds(log, patterns string) error {
	lines := strings.Split(log, "\n")
	for _, p := range splitLines(patterns) {
		re, err := regexp.Compile(p)
		if err != nil {
			return err
		}
		at := -1
		for i, line := range lines {
			if re.MatchString(line) {
				at = i
				break
			}
		}
		if at < 0 {
			return fmt.Errorf("no line fits %q", p)
		}
		lines = lines[at+1:]
	}
	return nil
}
