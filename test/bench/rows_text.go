package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mailserver/internal/samplemail"
)

// textIndex turns the text index of our server on and off.
type textIndex struct{ binary, dir string }

func (x *textIndex) run(args ...string) ([]byte, error) {
	out, err := exec.Command(x.binary, append(args, "--data", x.dir)...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// make brings the mail of user i into the index, and returns its size.
func (x *textIndex) make(i int) (bytes float64, err error) {
	if _, err := x.run("config", "set", "fts=yes"); err != nil {
		return 0, err
	}
	if _, err := x.run("fts", "index", "-u", user(i)); err != nil {
		return 0, err
	}
	out, err := x.run("fts", "status", "-u", user(i), "--json")
	if err != nil {
		return 0, err
	}
	var st []struct{ Bytes float64 }
	if err := json.Unmarshal(out, &st); err != nil || len(st) != 1 {
		return 0, fmt.Errorf("index of texts: %s: %w", out, err)
	}
	return st[0].Bytes, nil
}

// searches are strings in messages whose words are as frequent as those of a
// language.
var searches = []struct{ name, key string }{
	{"TEXT, nowhere", `TEXT "notthere"`},
	{"TEXT, a word in 0.2 %", `TEXT "zyxneedle"`},
	{"BODY, a word in 0.2 %", `BODY "zyxneedle"`},
	{"BODY, a word in 1 %", `BODY "` + word(3000) + `"`},
	{"BODY, a frequent word", `BODY "` + word(100) + `"`},
	{"TEXT, a phrase of two frequent words", `TEXT "` + word(20) + " " + word(40) + `"`},
	{"BODY, a phrase of two frequent words", `BODY "` + word(5) + " " + word(9) + `"`},
	{"BODY, a phrase with a comma", `BODY "` + word(20) + ", " + word(40) + `"`},
}

// textRow searches texts, ours with its index. All servers must find the same
// messages.
func textRow(name string, messages int) row {
	var list []metric
	for _, q := range searches {
		list = append(list, metric{name: q.name + ", ms", digits: 1, less: true, times: 50},
			metric{name: q.name + ", found"})
	}
	list = append(list, metric{name: "index, bytes a message"}, metric{name: "index, ms CPU a message", digits: 2})
	return row{name, list, func(b *bench, s *subject) (figures, error) {
		n := b.count(messages)
		if err := s.fillWith(func(cur string) error { return s.letters(cur, n) }); err != nil {
			return nil, err
		}
		syscall.Sync()
		f := figures{}
		c, err := logIn(s.imap, s.owner, false)
		if err != nil {
			return nil, err
		}
		defer c.close()
		for _, command := range []string{"SELECT INBOX", "UID SEARCH UNSEEN"} {
			if _, err := c.do(command); err != nil {
				return nil, err
			}
		}
		if s.texts != nil {
			if err := s.indexTexts(f, n); err != nil {
				return nil, err
			}
			defer s.texts.run("config", "set", "fts=no")
		}
		return f, b.search(name, s, c, f)
	}}
}

func (s *subject) indexTexts(f figures, n int) error {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before)
	bytes, err := s.texts.make(s.owner)
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after)
	f["index, bytes a message"] = bytes / float64(n)
	f["index, ms CPU a message"] = float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) / 1e6 / float64(n)
	return err
}

// search runs all searches, and compares what is found with what others have.
func (b *bench) search(name string, s *subject, c *reader, f figures) error {
	for _, q := range searches {
		answer, took, err := c.search("UID SEARCH " + q.key)
		if err != nil {
			return err
		}
		f[q.name+", ms"] = float64(took.Microseconds()) / 1000
		f[q.name+", found"] = float64(len(strings.Fields(answer)) - 2)
		k := name + "\x00" + q.key
		if want, ok := b.found[k]; ok && answer != want {
			return fmt.Errorf("%s: %s finds other messages than the first: %.200q, %.200q", q.key, s.name, answer, want)
		}
		b.found[k] = answer
	}
	return nil
}

// search runs a SEARCH and returns its answer.
func (c *reader) search(command string) (answer string, took time.Duration, err error) {
	begun := time.Now()
	c.c.SetDeadline(begun.Add(10 * time.Minute))
	if _, err := c.c.Write([]byte("bench1 " + command + "\r\n")); err != nil {
		return "", 0, err
	}
	for {
		line, err := c.r.ReadString('\n')
		switch {
		case err != nil:
			return "", 0, err
		case strings.HasPrefix(line, "* SEARCH"):
			answer = strings.TrimSpace(line)
		case strings.HasPrefix(line, "bench1 OK"):
			return answer, time.Since(begun), nil
		case strings.HasPrefix(line, "bench1 "):
			return "", 0, fmt.Errorf("%s: %q", command, line)
		}
	}
}

// letters makes n messages, the same for every server.
func (s *subject) letters(cur string, n int) error {
	l := samplemail.New()
	for i := range n {
		path := filepath.Join(cur, fmt.Sprintf("%010d.M%06dP1.bench:2,S", 1_600_000_000+i, i%1_000_000))
		if err := os.WriteFile(path, []byte(l.Next()), 0o600); err != nil {
			return err
		}
		if err := os.Chown(path, s.uid, s.gid); err != nil {
			return err
		}
	}
	return nil
}

func word(n uint64) string { return samplemail.Word(n) }
