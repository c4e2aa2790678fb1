package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// memory is a Target that keeps everything, and may fail.
type memory struct {
	boxes map[string][]string
	wait  []string
	fail  int // Flush fails at the call of this number
	lost  bool
	calls int
}

func (m *memory) Prepare(_ context.Context, b Box) error { m.wait = nil; return nil }

func (m *memory) Add(_ context.Context, b Box, msg *Message, text io.Reader) error {
	body, err := io.ReadAll(text)
	m.wait = append(m.wait, fmt.Sprintf("%v %s %s", msg.Flags, msg.Time.UTC().Format("2006-01-02 15:04:05"), body))
	return err
}

func (m *memory) Flush(_ context.Context, b Box) error {
	m.calls++
	if m.calls == m.fail && m.lost {
		return errors.New("before it was done")
	}
	m.boxes[b.Name] = append(m.boxes[b.Name], m.wait...)
	m.wait = nil
	if m.calls == m.fail {
		return errors.New("after it was done")
	}
	return nil
}

func (m *memory) Next(_ context.Context, b Box) (uint32, error) {
	return uint32(len(m.boxes[b.Name]) + 1), nil
}

// sample is a Maildir of n messages.
func sample(t *testing.T, n int) *Maildir {
	t.Helper()
	dir := t.TempDir()
	m := NewMaildir(dir)
	ctx := t.Context()
	for _, b := range []Box{{Name: "INBOX"}, {Name: "Größe.b", Subscribed: true}} {
		if err := m.Prepare(ctx, b); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			meta := &Message{Time: time.Date(2021, 3, 1+i%28, 10, 0, i/28, 0, time.UTC), Flags: []imap.Flag{imap.FlagSeen, "$Forwarded"}}
			if i%2 == 0 {
				meta.Flags = []imap.Flag{"NonJunk", imap.FlagFlagged}
			}
			if err := m.Add(ctx, b, meta, strings.NewReader(fmt.Sprintf("Subject: %d\r\n\r\nFrom here\r\n>From there\r\n\r\nend\r\n", i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func do(t *testing.T, from Source, to Target, journal string) (Progress, error) {
	t.Helper()
	var j *Journal
	if journal != "" {
		var err error
		if j, err = OpenJournal(journal); err != nil {
			t.Fatal(err)
		}
		defer j.Close()
	}
	r := &Run{From: from, To: to, Journal: j}
	return r.Do(t.Context())
}

// TestRound: Maildir to mbox to Maildir to memory is what Maildir to memory is.
func TestRound(t *testing.T) {
	src := sample(t, 30)
	direct, round := &memory{boxes: map[string][]string{}}, &memory{boxes: map[string][]string{}}
	files, again := t.TempDir()+"/mbox", NewMaildir(t.TempDir())
	for _, step := range []struct {
		from Source
		to   Target
	}{{src, direct}, {src, &Mbox{Path: files}}, {&Mbox{Path: files}, again}, {again, round}} {
		if p, err := do(t, step.from, step.to, ""); err != nil || p.Messages != 60 {
			t.Fatalf("%T: %+v, %v", step.to, p, err)
		}
	}
	for name, want := range direct.boxes {
		name = strings.ReplaceAll(name, ".", "_") // a file cannot tell levels
		got := round.boxes[name]
		if len(got) != len(want) {
			t.Fatalf("%s: %d messages, want %d", name, len(got), len(want))
		}
		for i := range want {
			// Keywords come after system flags in mbox.
			if strings.ReplaceAll(got[i], `[\Flagged NonJunk]`, `[NonJunk \Flagged]`) != strings.ReplaceAll(want[i], `[\Flagged NonJunk]`, `[NonJunk \Flagged]`) {
				t.Errorf("%s %d: %q, want %q", name, i, got[i], want[i])
			}
		}
	}
}

// TestResume: whenever a run ends early, the next one neither loses a message
// nor brings one twice.
func TestResume(t *testing.T) {
	src := sample(t, 130)
	want := &memory{boxes: map[string][]string{}}
	if _, err := do(t, src, want, ""); err != nil {
		t.Fatal(err)
	}
	for fail := 1; fail <= 6; fail++ {
		for _, lost := range []bool{true, false} {
			journal := filepath.Join(t.TempDir(), "journal")
			got := &memory{boxes: map[string][]string{}, fail: fail, lost: lost}
			if _, err := do(t, src, got, journal); err == nil {
				t.Fatal("no failure")
			}
			if f, err := os.OpenFile(journal, os.O_APPEND|os.O_WRONLY, 0); err == nil {
				f.WriteString(`{"box":"INB`) // torn
				f.Close()
			}
			if _, err := do(t, src, got, journal); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.boxes, want.boxes) {
				t.Errorf("failure %d, lost %v: %d and %d messages", fail, lost, len(got.boxes["INBOX"]), len(got.boxes["Größe.b"]))
			}
			if p, err := do(t, src, got, journal); err != nil || p.Messages != 0 {
				t.Errorf("a third run: %+v %v", p, err)
			}
		}
	}
}

func TestMboxOfOthers(t *testing.T) {
	const text = "From MAILER-DAEMON Thu Nov 19 10:00:00 2026\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 1 2\n\ntext\n\n" +
		"From a@b Thu Nov 19 10:00:01 2026 +0100\nStatus: RO\nX-Status: AF\nX-UID: 7\nX-Keywords: a b\nSubject: x\nContent-Length: 5\n\nFrom here to there\n>>From q\n\n\nend\n\n" +
		"From c Thu Nov 19 10:00:02 2026\nSubject: y\n\n\nFrom d Thu Nov 19 10:00:03 2026\nno body\nFrom e Thu Nov 19 10:00:04 2026\n\nno end"
	file := filepath.Join(t.TempDir(), "x")
	os.WriteFile(file, []byte(text), 0o600)
	got := &memory{boxes: map[string][]string{}}
	if _, err := do(t, &Mbox{Path: file}, got, ""); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"[\\Seen \\Answered \\Flagged a b] 2026-11-19 09:00:01 Subject: x\r\n\r\nFrom here to there\r\n>From q\r\n\r\n\r\nend\r\n",
		"[] 2026-11-19 10:00:02 Subject: y\r\n\r\n",
		"[] 2026-11-19 10:00:03 no body\r\n",
		"[] 2026-11-19 10:00:04 \r\nno end",
	}
	norm := func(s string) string { return strings.ReplaceAll(s, `\Flagged \Answered`, `\Answered \Flagged`) }
	if len(got.boxes["INBOX"]) != len(want) {
		t.Fatalf("%q", got.boxes)
	}
	for i := range want {
		if norm(got.boxes["INBOX"][i]) != want[i] {
			t.Errorf("%q, want %q", got.boxes["INBOX"][i], want[i])
		}
	}
}

func FuzzMbox(f *testing.F) {
	f.Add("From a Thu Nov 19 10:00:00 2026\na: b\nStatus: RO\n\nx\n\nFrom b Thu Nov 19 10:00:00 2026\n\n\n")
	f.Add("From a Thu Nov 19 10:00:00 2026\n" + strings.Repeat("x", 70000) + "\n\n>From\n\n\n\n")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in string) {
		file := filepath.Join(dir, "x")
		if err := os.WriteFile(file, []byte(in), 0o600); err != nil {
			t.Fatal(err)
		}
		got := &memory{boxes: map[string][]string{}}
		if _, err := do(t, &Mbox{Path: file}, got, ""); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, m := range got.boxes["INBOX"] {
			n += len(m)
		}
		if n > 4*len(in)+200*len(got.boxes["INBOX"]) {
			t.Errorf("%d bytes of %d", n, len(in))
		}
	})
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]Server{
		"imaps://joe@example.org":              {Address: "example.org:993", TLS: true, User: "joe"},
		"imap://joe%40example.org@192.0.2.1":   {Address: "192.0.2.1:143", User: "joe@example.org"},
		"imaps://joe@[2001:db8::1]:9993":       {Address: "[2001:db8::1]:9993", TLS: true, User: "joe"},
		"imap://joe@example.org:1143/whatever": {Address: "example.org:1143", User: "joe"},
	} {
		if got, err := ParseURL(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"joe@example.org", "imaps://example.org", "imaps://joe:pw@example.org", "pop3://joe@x", "imaps://joe@"} {
		if got, err := ParseURL(bad); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}
