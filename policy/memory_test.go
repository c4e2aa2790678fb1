package policy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
)

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(c.at.Load(), 0) }
func (c *clock) pass(d time.Duration) { c.at.Add(int64(d / time.Second)) }

func (v *env) withClock() *clock {
	c := &clock{}
	c.at.Store(1_800_000_000)
	v.deps.Now = c.now
	v.e = policy.New(v.deps)
	return c
}

func client(ip, name string) policy.Client {
	return policy.Client{Addr: netipAddr(ip), Name: name, ReverseName: name}
}

func TestGreylist(t *testing.T) {
	v := newEnv(t)
	v.withState()
	c := v.withClock()
	v.class("RC70-grey", "check_greylist")
	v.exec(`INSERT OR REPLACE INTO RClass VALUES (70, 'grey')`)
	v.set("greylist_auto_clients", "2")
	try := func(ip, sender, to string) string {
		return reply(v.rcpt(client(ip, "unknown"), "h.example", sender, here(to, 70)))
	}
	grey := func(to string) string {
		return "450 4.2.0 <" + to + ">: Recipient address rejected: Greylisted, try again later"
	}
	steps := []struct {
		name       string
		pass       time.Duration
		ip, sender string
		to         string
		want       string
	}{
		{"first", 0, "198.51.100.1", "a@x.example", "u@here.example", grey("u@here.example")},
		{"too soon", 100 * time.Second, "198.51.100.1", "a@x.example", "u@here.example", grey("u@here.example")},
		{"another recipient", 0, "198.51.100.1", "a@x.example", "w@here.example", grey("w@here.example")},
		{"in time", 201 * time.Second, "198.51.100.1", "a@x.example", "u@here.example", "ok"},
		{"known", 0, "198.51.100.1", "a@x.example", "u@here.example", "ok"},
		{"same network, other case", 0, "198.51.100.77", "A@X.example", "U@here.example", "ok"},
		{"another network", 0, "198.51.101.1", "a@x.example", "u@here.example", grey("u@here.example")},
		{"six", 0, "2001:db8:1:2::1", "a@x.example", "u@here.example", grey("u@here.example")},
		{"six, same /64", 301 * time.Second, "2001:db8:1:2:ffff::1", "a@x.example", "u@here.example", "ok"},
		{"numbers in the sender", 0, "198.51.100.1", "bounce-1234-abc9@l.example", "u@here.example", grey("u@here.example")},
		{"other numbers", 301 * time.Second, "198.51.100.1", "bounce-77-ffe2@l.example", "u@here.example", "ok"},
		{"too late", 0, "203.0.113.9", "a@x.example", "u@here.example", grey("u@here.example")},
		{"too late again", 49 * time.Hour, "203.0.113.9", "a@x.example", "u@here.example", grey("u@here.example")},
		{"null sender", 0, "203.0.113.9", "", "u@here.example", grey("u@here.example")},
		// 198.51.100.1 has come back twice within different hours.
		{"comes back a second time", time.Hour, "198.51.100.1", "a@x.example", "u@here.example", "ok"},
		{"known client, new sender", 0, "198.51.100.1", "new@y.example", "z@here.example", "ok"},
		{"all forgotten", 40 * 24 * time.Hour, "198.51.100.1", "a@x.example", "u@here.example", grey("u@here.example")},
	}
	for _, st := range steps {
		c.pass(st.pass)
		check(t, st.name, try(st.ip, st.sender, st.to), st.want)
	}
	v.set("greylist_text", "5.9.9 Greylisted for %s seconds")
	v.class("RC70-grey", "check_greylist, reject")
	check(t, "a later refusal wins", try("203.0.113.77", "a@x.example", "u@here.example"), "554 5.7.1 <u@here.example>: Recipient address rejected: Access denied")
	v.class("RC70-grey", "check_greylist, permit")
	if got := try("203.0.113.78", "a@x.example", "u@here.example"); !strings.Contains(got, "Greylisted for 300 seconds") {
		t.Error(got)
	}
	s := v.e.NewSession(client("203.0.113.200", "unknown"))
	s.Dry = true
	s.Mail(ctx, from("a@x.example"), 0)
	s.Rcpt(ctx, here("dry@here.example", 70))
	v.state.Greylist(ctx, false, func(r schema.GreyRow) error {
		if strings.Contains(r.Key, "dry@") {
			t.Errorf("a dry run has left %q", r.Key)
		}
		return nil
	})
}

// prober answers probes; a gate holds them up.
type prober struct {
	mu      sync.Mutex
	asked   map[string]int
	answers map[string]policy.Probed
	gate    chan struct{}
}

func (p *prober) probe(ctx context.Context, a address.Address) policy.Probed {
	p.mu.Lock()
	p.asked[a.Plain()]++
	got := p.answers[a.Plain()]
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return got
}

func (p *prober) set(a string, st schema.VerifyStatus, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[a] = policy.Probed{Status: st, Text: text}
}

func (p *prober) times(a string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[a]
}

func (v *env) withProber() *prober {
	p := &prober{asked: make(map[string]int), answers: make(map[string]policy.Probed)}
	v.deps.Probe = p.probe
	v.e = policy.New(v.deps)
	v.t.Cleanup(v.e.Close)
	return p
}

func TestAddressVerification(t *testing.T) {
	v := newEnv(t)
	v.withState()
	c := &clock{}
	c.at.Store(1_800_000_000)
	v.deps.Now = c.now
	p := v.withProber()
	v.set("smtpd_sender_restrictions", "reject_unverified_sender")
	v.set("address_verify_poll_delay", "5s")
	try := func(sender string) string {
		return reply(v.rcpt(stranger, "h.example", sender, here("u@here.example", 99)))
	}
	rcpt := func(to string) string {
		return reply(v.rcpt(stranger, "h.example", "", here(to, 99)))
	}
	p.set("good@x.example", schema.VerifyOK, "250 ok")
	p.set("bad@x.example", schema.VerifyBounce, "host mx said: 550 no")
	p.set("busy@x.example", schema.VerifyDefer, "connect to mx: Connection refused")
	const rejected = ": Sender address rejected: "
	check(t, "good", try("Good@x.example"), "450 4.1.7 <Good@x.example>"+rejected+"unverified address: Address verification in progress")
	check(t, "good", try("good@x.example"), "ok")
	check(t, "null sender", try(""), "ok")
	check(t, "bad", try("bad@x.example"), "450 4.1.7 <bad@x.example>"+rejected+"unverified address: host mx said: 550 no")
	check(t, "busy", try("busy@x.example"), "450 4.1.7 <busy@x.example>"+rejected+"unverified address: connect to mx: Connection refused")
	v.set("unverified_sender_reject_code", "550")
	check(t, "bad, 550", try("bad@x.example"), "550 5.1.7 <bad@x.example>"+rejected+"undeliverable address: host mx said: 550 no")
	check(t, "busy, 550", try("busy@x.example"), "450 4.1.7 <busy@x.example>"+rejected+"unverified address: connect to mx: Connection refused")
	v.set("unverified_sender_reject_reason", "call back failed")
	check(t, "reason", try("bad@x.example"), "550 5.1.7 <bad@x.example>"+rejected+"undeliverable address: call back failed")
	if n := p.times("bad@x.example"); n != 1 {
		t.Errorf("asked %d times, want 1: the cache holds", n)
	}
	// A bad answer is asked for again after negative_refresh_time, a good one
	// not; a failure does not replace a good answer until it expires.
	p.set("bad@x.example", schema.VerifyOK, "250 ok")
	p.set("good@x.example", schema.VerifyBounce, "550 gone")
	c.pass(4 * time.Hour)
	try("bad@x.example") // says what was known, and asks
	waitFor(t, func() bool { return try("bad@x.example") == "ok" })
	check(t, "good, not asked again", try("good@x.example"), "ok")
	c.pass(8 * 24 * time.Hour)
	try("good@x.example")
	waitFor(t, func() bool { return p.times("good@x.example") >= 1 })
	check(t, "good, for now", try("good@x.example"), "ok")
	c.pass(31 * 24 * time.Hour)
	waitFor(t, func() bool { return strings.HasPrefix(try("good@x.example"), "550 5.1.7") })

	v.set("smtpd_sender_restrictions", "")
	v.set("smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient")
	v.set("unverified_recipient_reject_code", "550")
	p.set("u@here.example", schema.VerifyBounce, "unknown user")
	check(t, "recipient", rcpt("u@here.example"), "550 5.1.1 <u@here.example>: Recipient address rejected: undeliverable address: unknown user")
	v.set("smtpd_recipient_restrictions", "reject_unauth_destination, warn_if_reject reject_unverified_recipient")
	check(t, "warned", rcpt("u@here.example"), "ok")
	v.set("smtpd_recipient_restrictions", "reject_unauth_destination, reject_unverified_recipient")
	v.set("address_verify_negative_cache", "no")
	before := p.times("u@here.example")
	rcpt("u@here.example")
	if p.times("u@here.example") != before+1 {
		t.Error("without a negative cache each look-up asks")
	}
}

// TestSlowVerification: the client is told to come again, and one probe serves
// everybody who asks meanwhile.
func TestSlowVerification(t *testing.T) {
	v := newEnv(t)
	v.withState()
	p := v.withProber()
	p.gate = make(chan struct{})
	p.set("a@x.example", schema.VerifyOK, "250 ok")
	v.set("smtpd_sender_restrictions", "reject_unverified_sender")
	v.set("address_verify_poll_delay", "50ms")
	const wait = "450 4.1.7 <a@x.example>: Sender address rejected: unverified address: Address verification in progress"
	begun := time.Now()
	for range 3 {
		check(t, "slow", reply(v.rcpt(stranger, "h", "a@x.example", here("u@here.example", 99))), wait)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("three clients were held up for %v", took)
	}
	if n := p.times("a@x.example"); n != 1 {
		t.Errorf("%d probes", n)
	}
	v.set("address_verify_pending_request_limit", "1")
	v.rcpt(stranger, "h", "b@x.example", here("u@here.example", 99))
	if p.times("b@x.example") != 0 {
		t.Error("more probes than address_verify_pending_request_limit")
	}
	close(p.gate)
	waitFor(t, func() bool { return reply(v.rcpt(stranger, "h", "a@x.example", here("u@here.example", 99))) == "ok" })
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); {
		if time.Now().After(end) {
			t.Fatal("has not come to pass within two minutes")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (v *env) send(user string, n int) string {
	v.t.Helper()
	s := v.e.NewSession(policy.Client{Addr: netipAddr("192.0.2.44"), Role: policy.Submission})
	s.Login(user, "PLAIN")
	s.Mail(ctx, from(user+"@here.example"), 0)
	for i := range n {
		if got := s.Rcpt(ctx, there(fmt.Sprintf("r%d@x.example", i))); !got.OK() {
			return fmt.Sprintf("recipient %d: %s", i+1, reply(got))
		}
	}
	return reply(s.EndOfData(ctx, policy.Content{ID: "X", Size: 100}))
}

func TestSendLimits(t *testing.T) {
	v := newEnv(t)
	v.withState()
	c := v.withClock()
	v.set("smtpd_user_recipient_hourly_limit", "5")
	v.set("smtpd_user_recipient_daily_limit", "8")
	hour := ": 450 4.7.1 Error: too much mail from user ann: 5 recipients within an hour"
	day := ": 450 4.7.1 Error: too much mail from user ann: 8 recipients within a day"
	check(t, "three", v.send("ann", 3), "ok")
	check(t, "three more", v.send("ann", 3), "recipient 3"+hour)
	check(t, "two more", v.send("ann", 2), "ok")
	check(t, "one too many", v.send("Ann", 1), strings.ReplaceAll("recipient 1"+hour, "ann", "Ann"))
	check(t, "another user", v.send("bob", 5), "ok")
	c.pass(2 * time.Hour)
	check(t, "next hour", v.send("ann", 3), "ok")
	check(t, "day", v.send("ann", 1), "recipient 1"+day)
	if !strings.Contains(v.log.String(), "sending limit of user ann is reached: 8 recipients within a day") {
		t.Error("the operator is not told")
	}
	v.exec(`INSERT INTO SendLimit (slUser, slHour, slDay) VALUES ('ann', 0, 0)`)
	check(t, "row lifts the limits", v.send("ann", 50), "ok")
	v.exec(`UPDATE SendLimit SET active = 0`)
	check(t, "row is gone", v.send("ann", 1), "recipient 1"+day)
	if err := v.state.Write(ctx, func(tx *schema.Tx) error { return tx.ResetSent("ann") }); err != nil {
		t.Fatal(err)
	}
	check(t, "reset", v.send("ann", 5), "ok")
	v.set("smtpd_user_recipient_hourly_limit", "0")
	v.set("smtpd_user_recipient_daily_limit", "0")
	v.set("smtpd_user_message_hourly_limit", "2")
	check(t, "messages", v.send("cid", 1), "ok")
	check(t, "messages", v.send("cid", 1), "ok")
	check(t, "messages", v.send("cid", 1), "recipient 1: 450 4.7.1 Error: too much mail from user cid: 2 messages within an hour")
	n, err := v.state.Senders(ctx, c.now())
	if err != nil || len(n) != 3 || n[0].DayRecipients != 5 {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestSendLimitTogether: many sessions at once do not get past the limit.
func TestSendLimitTogether(t *testing.T) {
	v := newEnv(t)
	v.withState()
	v.set("smtpd_user_recipient_hourly_limit", "10")
	var wg sync.WaitGroup
	var sent atomic.Int32
	var sessions []*policy.Session
	for range 20 {
		s := v.e.NewSession(policy.Client{Addr: netipAddr("192.0.2.44"), Role: policy.Submission})
		s.Login("eve", "PLAIN")
		s.Mail(ctx, from("eve@here.example"), 0)
		for i := range 4 {
			s.Rcpt(ctx, there(fmt.Sprintf("r%d@x.example", i)))
		}
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		wg.Go(func() {
			if s.EndOfData(ctx, policy.Content{ID: "X", Size: 1}).OK() {
				sent.Add(4)
			}
		})
	}
	wg.Wait()
	if sent.Load() != 8 {
		t.Errorf("%d recipients, want 8", sent.Load())
	}
}

func TestOwnersOfMail(t *testing.T) {
	v := newEnv(t)
	v.withState()
	v.exec(`INSERT INTO SenderOwner (soAddress, soLogin) VALUES ('shared@here.example', 'carol')`)
	v.set("mua_sender_restrictions", "reject_sender_login_mismatch")
	try := func(user, sender string, owners ...string) string {
		s := v.e.NewSession(policy.Client{Addr: netipAddr("192.0.2.44"), Role: policy.Submission})
		s.Login(user, "PLAIN")
		f := from(sender)
		f.Owners = func(context.Context) ([]string, error) { return owners, nil }
		s.Mail(ctx, f, 0)
		return reply(s.Rcpt(ctx, there("r@x.example")))
	}
	not := func(sender, user string) string {
		return "553 5.7.1 <" + sender + ">: Sender address rejected: not owned by user " + user
	}
	check(t, "own", try("ann@here.example", "ann@here.example", "ann@here.example"), "ok")
	check(t, "alias of two", try("bob@here.example", "info@here.example", "ann@here.example", "bob@here.example"), "ok")
	check(t, "somebody else's", try("eve@here.example", "info@here.example", "ann@here.example"), not("info@here.example", "eve@here.example"))
	check(t, "nobody's", try("eve@here.example", "x@elsewhere.example"), not("x@elsewhere.example", "eve@here.example"))
	check(t, "rows come first", try("ann@here.example", "shared@here.example", "ann@here.example"), not("shared@here.example", "ann@here.example"))
	check(t, "by row", try("carol", "shared@here.example", "ann@here.example"), "ok")
	v.set("smtpd_sender_login_maps", "SenderOwner")
	check(t, "rows only", try("ann@here.example", "ann@here.example", "ann@here.example"), not("ann@here.example", "ann@here.example"))
}
