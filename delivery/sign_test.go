package delivery

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"mailserver/internal/dkim"
	"mailserver/policy"
)

// keyRows makes the rows of a domain with both algorithms, and their records.
func keyRows(t *testing.T, domain string, txt map[string]string) string {
	t.Helper()
	var rows strings.Builder
	for _, alg := range dkim.Algorithms() {
		key, err := dkim.NewKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := dkim.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if txt[dkim.Name(domain, alg)], err = dkim.Record(s); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rows, "INSERT INTO DkimKey (dkDomain, dkSelector, dkAlgorithm, dkKey) VALUES ('%s', '%s', '%s', '%s');\n", domain, alg, alg, key)
	}
	return rows.String()
}

// signatures counts those that hold; the text is as the next hop has it.
func signatures(t *testing.T, text string, txt map[string]string) (n int) {
	t.Helper()
	got, err := msgauth.VerifyWithOptions(strings.NewReader(text), &msgauth.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		return []string{txt[name]}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range got {
		if v.Err != nil {
			t.Errorf("signature of %s: %v", v.Domain, v.Err)
		}
		n++
	}
	return n
}

func TestSignsWhatLeaves(t *testing.T) {
	txt := make(map[string]string)
	f := newFixture(t, keyRows(t, "box.test", txt), "INSERT INTO Setting VALUES ('dkim_internal_hosts', '!192.0.2.61, 192.0.2.60/31');")
	f.run()
	letter := func(from string) string {
		return "Received: from client by me.test; Sat, 21 Nov 2026 07:00:00 +0000\r\nFrom: " + from +
			"\r\nMessage-ID: <1@x>\r\nSubject: hello\r\n\r\n.line\r\nbody \xc3\xbc, bare\rcr  \r\n\r\n"
	}
	for i, c := range []struct {
		name   string
		change func(*Envelope)
		from   string
		want   int
	}{
		{"who logged in", func(e *Envelope) { e.User = "a@box.test" }, "a@box.test", 2},
		{"a host below the domain", func(e *Envelope) { e.Submitted = true }, "root@www.box.test", 2},
		{"a client of ours", func(e *Envelope) { e.Client.Addr = netip.MustParseAddr("192.0.2.60") }, "a@BOX.test", 2},
		{"a client that is left out", func(e *Envelope) { e.Client.Addr = netip.MustParseAddr("192.0.2.61") }, "a@box.test", 0},
		{"a stranger", func(*Envelope) {}, "a@box.test", 0},
		{"back from a filter", func(e *Envelope) { e.Client.Addr, e.Client.Tag = netip.MustParseAddr("192.0.2.60"), "filter" }, "a@box.test", 0},
		{"a domain without key", func(e *Envelope) { e.User = "a@box.test" }, "a@other.test", 0},
	} {
		env := envelope("a@box.test", "x@out.test")
		env.Options.Body = "8BITMIME"
		c.change(env)
		f.send(env, letter(c.from), policy.Effects{Prepend: []string{"X-Note: " + c.name}})
		f.until(c.name, func() bool { return len(f.sink.Messages()) == i+1 })
		data := f.sink.Messages()[i].Data
		if got := signatures(t, data, txt); got != c.want {
			t.Errorf("%s: %d signatures, want %d in\n%s", c.name, got, c.want, data)
		}
	}
}

func TestSignsOnce(t *testing.T) {
	txt := make(map[string]string)
	f := newFixture(t, keyRows(t, "box.test", txt))
	f.run()
	env := envelope("a@box.test", "x@out.test")
	env.User = "a@box.test"
	f.send(env, "From: a@box.test\r\nSubject: x\r\n\r\nhello\r\n", policy.Effects{})
	f.until("first", func() bool { return len(f.sink.Messages()) == 1 })
	once := f.sink.Messages()[0].Data
	f.send(env, once, policy.Effects{})
	f.until("second", func() bool { return len(f.sink.Messages()) == 2 })
	if again := f.sink.Messages()[1].Data; again != once || signatures(t, again, txt) != 2 {
		t.Errorf("second pass changed\n%s\nto\n%s", once, again)
	}
}

func TestMailWaitsForAKeyThatCanBeRead(t *testing.T) {
	f := newFixture(t, "INSERT INTO DkimKey (dkDomain, dkSelector, dkAlgorithm, dkKey) VALUES ('box.test', 's', 'rsa', 'nonsense');")
	env := envelope("a@box.test", "x@out.test")
	env.User = "a@box.test"
	_, out := f.send(env, "From: a@box.test\r\n\r\nhello\r\n", policy.Effects{})
	if out[0].Code != 451 || out[0].Text != "Error: message cannot be signed" || f.spool() != 0 {
		t.Errorf("outcome %+v, spool %d", out[0], f.spool())
	}
	env.To[0].Address = parse("b@box.test")
	if _, out := f.send(env, "From: a@box.test\r\n\r\nhello\r\n", policy.Effects{}); out[0].Code != 250 {
		t.Errorf("mail that stays here: %+v", out[0])
	}
}
