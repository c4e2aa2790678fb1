package delivery

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote/remotetest"
	"mailserver/internal/maillog"
	"mailserver/policy"
)

// TestFilterLoop: what leaves goes to a proxy, comes back at a listener with a
// tag, and goes on; what stays is delivered at once.
func TestFilterLoop(t *testing.T) {
	f := newFixture(t, "INSERT INTO Setting VALUES ('relay_content_filter', 'smtp:[sink.test]:10027');")
	proxy := &remotetest.Sink{}
	f.must(proxy.Start("tcp", "127.0.0.1:0"))
	t.Cleanup(proxy.Stop)
	f.dialed["192.0.2.1:10027"] = proxy
	f.run()
	f.ok("s@x.test", "mixed@box.test")
	f.until("the proxy has it", func() bool { return len(proxy.Messages()) == 1 })
	if len(f.box("a@box.test")) != 1 || len(f.sink.Messages()) != 0 {
		t.Errorf("mailbox %q, sink %+v", f.box("a@box.test"), f.sink.Messages())
	}
	back := proxy.Messages()[0]
	env := envelope("s@x.test", strings.Trim(back.To[0], "<>"))
	env.Client.Tag = "DKIM"
	f.send(env, back.Data, policy.Effects{})
	f.until("it has left", func() bool { return len(f.sink.Messages()) == 1 })
	if got := f.sink.Messages()[0]; got.Data != back.Data || got.To[0] != "<x@out.test>" || len(proxy.Messages()) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestContentFilterTakesAll(t *testing.T) {
	f := newFixture(t, "INSERT INTO Setting VALUES ('content_filter', 'smtp:[sink.test]');")
	f.run()
	f.ok("s@x.test", "a@box.test", "b@box.test")
	f.until("the filter has it", func() bool { return len(f.sink.Messages()) == 1 })
	if got := f.sink.Messages()[0]; len(got.To) != 2 || len(f.box("a@box.test")) != 0 {
		t.Errorf("%+v", got)
	}
	env := envelope("s@x.test", "a@box.test")
	env.Client.Tag = "filtered"
	if _, out := f.send(env, text, policy.Effects{}); out[0].Code != 250 || len(f.box("a@box.test")) != 1 {
		t.Errorf("back from the filter: %+v", out)
	}
}

func TestCanonicalSenderOfTheEnvelope(t *testing.T) {
	f := newFixture(t, "INSERT INTO Canonical (cnMap, cnAddress, cnTarget) VALUES ('sender_canonical', 'root@box.test', 'admin@box.test');")
	f.run()
	f.ok("root@box.test", "mixed@box.test")
	f.until("it has left", func() bool { return len(f.sink.Messages()) == 1 })
	if got := f.sink.Messages()[0].From; !strings.HasPrefix(got, "<admin@box.test>") {
		t.Errorf("MAIL FROM:%s", got)
	}
	if got := f.box("a@box.test"); len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <admin@box.test>\n") {
		t.Errorf("mailbox %q", got)
	}
}

func TestListOfNextHops(t *testing.T) {
	f := newFixture(t, "INSERT INTO RelayHost (rhSender, rhNexthop) VALUES ('', '[down.test], [sink.test]:25');")
	f.run()
	f.ok("s@x.test", "who@far.test")
	f.until("the second one has it", func() bool { return len(f.sink.Messages()) == 1 })
}

func TestNexthopNames(t *testing.T) {
	for _, c := range []struct {
		name string
		want queue.Result
	}{
		{"error:5.2.1 closed", queue.Result{Status: queue.Bounced, Enhanced: "5.2.1", Text: "closed"}},
		{"error:closed", queue.Result{Status: queue.Bounced, Enhanced: "5.0.0", Text: "closed"}},
		{"retry:5.3.2 later", queue.Result{Status: queue.Deferred, Enhanced: "4.3.2", Text: "later"}},
		{"discard:silently", queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: "silently"}},
		{"uucp:x", queue.Result{Status: queue.Deferred, Enhanced: "4.3.5", Text: "mail transport unavailable: uucp"}},
		{"smtp:a:b:c", queue.Result{Status: queue.Deferred, Enhanced: "4.3.5", Text: "bad next hop: smtp:a:b:c"}},
		{"smtp:a, [b:25", queue.Result{Status: queue.Deferred, Enhanced: "4.3.5", Text: "bad next hop: smtp:a, [b:25"}},
	} {
		_, res := nexthop(c.name)
		if res == nil || res.Status != c.want.Status || res.Enhanced != c.want.Enhanced || res.Text != c.want.Text {
			t.Errorf("%s: %+v", c.name, res)
		}
	}
	to, res := nexthop("smtp:a.test, [b.test]:26 inet:c.test:27")
	if res != nil {
		t.Fatalf("%+v", res)
	}
	x := to.(*target)
	if got := fmt.Sprintln(x.hop.Host, x.hop.MX, x.more[0].Host, x.more[0].MX, x.more[0].Port, x.more[1].Host); got != "a.test true b.test false 26 c.test\n" || x.tag != maillog.SMTP {
		t.Errorf("list: %s", got)
	}
}

// TestPutApartAfterHold: a message that waited goes where policy has put it.
func TestPutApartAfterHold(t *testing.T) {
	f := newFixture(t)
	f.run()
	_, out := f.send(envelope("s@x.test", "a@box.test"), text, policy.Effects{Hold: true, Quarantine: []int{0}})
	if !out[0].OK() {
		t.Fatalf("%+v", out)
	}
	_, err := f.s.Queue().Release(context.Background(), "")
	f.must(err)
	junk := func() int {
		list, _ := filepath.Glob(filepath.Join(f.dir, "mail", "box.test", "a", "Mail", ".*", "new", "*"))
		return len(list)
	}
	f.until("delivered", func() bool { return junk()+len(f.box("a@box.test")) > 0 })
	if junk() != 1 || len(f.box("a@box.test")) != 0 {
		t.Errorf("%d in the mailbox for what was put apart, inbox %q", junk(), f.box("a@box.test"))
	}
}
