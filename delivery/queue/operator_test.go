package queue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailserver/schema"
)

// TestSoftBounce: what would go back waits, and is said to.
func TestSoftBounce(t *testing.T) {
	f := &fake{send: func(*Message, *Recipient) Result {
		return Result{Status: Bounced, Enhanced: "5.1.1", Text: "no such user"}
	}}
	bubble(t, f, func(t *testing.T, b *bench) {
		b.set(func(c *Config) { c.SoftBounce = true })
		id := b.add("s@x", "a@one")
		time.Sleep(5 * time.Second)
		rcpts, err := b.state.QueueRecipients(t.Context(), id)
		if err != nil || len(rcpts) != 1 || rcpts[0].State != schema.QueueWaiting || rcpts[0].Status != "4.1.1" {
			t.Fatalf("%+v %v", rcpts, err)
		}
		b.set(func(c *Config) { c.SoftBounce = false })
		time.Sleep(15 * time.Minute)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 a@one"}) {
			t.Errorf("reports %q", reports)
		}
	})
}

// TestExpireAndFlush: a message is given up by hand after one more attempt; mail
// of one domain is tried and no other; what is on hold stays unless asked for.
func TestExpireAndFlush(t *testing.T) {
	f := hanging(0)
	bubble(t, f, func(t *testing.T, b *bench) {
		ids := []string{b.add("s@x", "a@dead1"), b.add("s@x", "b@dead2"), b.add("s@x", "c@dead1"), b.add("s@x", "d@sub.dead1")}
		time.Sleep(5 * time.Second)
		if n, err := b.q.RetrySite(t.Context(), "DEAD1"); n != 2 || err != nil {
			t.Errorf("flush of a domain: %d %v", n, err)
		}
		if n, err := b.q.RetrySite(t.Context(), "smtp:dead2"); n != 1 || err != nil {
			t.Errorf("flush of a site: %d %v", n, err)
		}
		time.Sleep(5 * time.Second)
		for a, want := range map[string]int{"a@dead1": 2, "c@dead1": 2, "b@dead2": 2, "d@sub.dead1": 1} {
			if got := len(f.attempts(a)); got != want && !(strings.HasSuffix(a, "@dead1") && got == 1) {
				t.Errorf("%d attempts for %s", got, a)
			}
		}
		if _, err := b.q.Hold(t.Context(), ids[2]); err != nil {
			t.Fatal(err)
		}
		if _, err := b.q.Expire(t.Context(), ids[0], false); err != nil {
			t.Fatal(err)
		}
		if _, err := b.q.Expire(t.Context(), ids[2], false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 a@dead1"}) {
			t.Errorf("reports %q", reports)
		}
		if _, err := b.q.Expire(t.Context(), ids[2], true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 a@dead1", "3 c@dead1"}) {
			t.Errorf("reports %q", reports)
		}
	})
}

// TestRecover: state.sqlite is lost; the spool alone brings back the mail with
// its envelopes, each file as it was, and what is no message stays.
func TestRecover(t *testing.T) {
	f := &fake{}
	b := newBench(t, f)
	ctx := context.Background()
	var want []string
	for i, body := range []string{"no line end", "x\r\n", strings.Repeat("long line\r\n", 30_000), ""} {
		text, err := b.q.Begin()
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(text, "Subject: x\r\n\r\n"+body)
		m := &Message{Sender: "s@x", Arrived: time.Unix(1700000000, 0), Body: "8BITMIME", UTF8: true, Ret: "HDRS", EnvID: "e", User: "u", Prepend: "X-A: b\r\n", Reason: "X-B: c"}
		rcpts := []Recipient{{Address: fmt.Sprintf("a%d@one", i), Original: "alias@here", ORCPT: "rfc822;o@p", Notify: "FAILURE", Site: "smtp:one", State: schema.QueueHeld, Apart: true}}
		if i == 2 {
			if err := text.Keep(m, nil); err != nil { // what is known only later counts
				t.Fatal(err)
			}
		}
		if err := b.q.Add(ctx, text, m, rcpts); err != nil {
			t.Fatal(err)
		}
		text.Drop()
		want = append(want, entryText(t, b, m.ID))
	}
	b.state.Close()
	for _, name := range []string{"state.sqlite", "state.sqlite-wal", "state.sqlite-shm"} {
		os.Remove(filepath.Join(b.dir, name))
	}
	os.WriteFile(b.q.file("0000000000z0000"), []byte("Subject: old\r\n\r\n\n{\"mailserver_queue\":\"else\"}\n"), 0o600)
	b.open()
	defer func() { b.state.Close() }()
	if err := b.q.clean(ctx); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false, false} {
		var found, left []string
		err := b.q.Recover(ctx, dry, func(id string, e Entry, err error) error {
			if err != nil {
				left = append(left, id)
			} else {
				found = append(found, e.ID)
			}
			return nil
		})
		if n := len(found); err != nil || len(left) != 1 || n != 4 && n != 0 {
			t.Fatalf("dry %v: found %q, left %q, %v", dry, found, left, err)
		}
	}
	var got []string
	for _, e := range b.entries() {
		got = append(got, entryText(t, b, strings.Fields(e)[0]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %.500q\nwant %.500q", got, want)
	}
}

// entryText is all that the queue knows of a message, but for times of attempts.
func entryText(t *testing.T, b *bench, id string) string {
	t.Helper()
	e, r, err := b.q.Show(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	for i := range e.Recipients {
		e.Recipients[i].Num, e.Recipients[i].Due = 0, time.Time{}
	}
	return fmt.Sprintf("%+v %+v %s", *e.Message, e.Recipients, text)
}

// FuzzUnseal: a file that is no queue file, or a damaged one, gives an error or
// an envelope that fits the file.
func FuzzUnseal(f *testing.F) {
	good, err := seal(&Message{ID: "id", Size: 3, Sender: "a@b"}, []Recipient{{Address: "c@d", Site: "smtp:d"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte("abc"), good...))
	f.Add(append([]byte(""), good...))
	f.Add(bytes.Repeat([]byte("\n"), 5000))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "id")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if m, rcpts, err := unseal(file, "id"); err == nil && (m.ID != "id" || m.Size > int64(len(text)) || len(rcpts) == 0) {
			t.Errorf("%+v %v", m, rcpts)
		}
	})
}
