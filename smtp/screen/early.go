package screen

import (
	"context"
	"time"

	"mailserver/internal/maillog"
)

// stress is how full, in parts of a hundred, makes the wait short.
const (
	stress     = 90
	stressWait = 2 * time.Second
)

// maxEarly bounds what is read of a client that talks too early.
const maxEarly = 512

// before is the tests before the greeting: who talks before it is asked, and
// who is listed. false: the client is dealt with.
func (x *client) before(ctx context.Context, stopping func() bool) bool {
	now := x.s.d.Now()
	greet := x.c.GreetWait > 0 && !x.pass.Greet.After(now)
	var lists chan listing
	if !x.pass.DNSBL.After(now) && len(x.c.Sites) > 0 {
		sites, _ := parseSites(x.c.Sites) // Validate has read them
		lists = x.s.ask(ctx, x.c, sites, x.addr)
	}
	if x.c.GreetWait == 0 {
		x.pass.Greet = now.Add(x.c.GreetTTL)
	}
	wait := x.c.GreetWait
	if x.s.Waiting()*100 > x.c.Most*stress {
		wait = min(wait, stressWait)
	}
	until := time.Now().Add(wait)
	if greet && !x.greet(until, lists, stopping) {
		return false
	}
	if lists != nil {
		return x.listed(x.answers(lists, until))
	}
	return true
}

// answers waits for the lists.
func (x *client) answers(lists chan listing, until time.Time) listing {
	t := time.NewTimer(max(time.Until(until), 10*time.Millisecond))
	defer t.Stop()
	select {
	case l := <-lists:
		return l
	case <-t.C:
		return listing{early: true}
	}
}

// greet says half a greeting and listens. true: the client goes on, and may
// have failed.
func (x *client) greet(until time.Time, lists chan listing, stopping func() bool) bool {
	if x.c.GreetBanner != "" && x.send("220-"+x.c.GreetBanner+"\r\n") != nil {
		x.hangup()
		return false
	}
	x.nc.SetReadDeadline(until)
	if lists != nil && x.c.AllowThreshold < 0 {
		x.setWaiting(true)
		defer x.setWaiting(false)
		x.s.running.Go(func() { x.goodName(lists) })
	}
	var buf [maxEarly]byte
	n, err := x.nc.Read(buf[:])
	x.nc.SetReadDeadline(time.Time{})
	switch {
	case n > 0:
		x.early = append([]byte(nil), buf[:n]...)
		return x.pregreeted()
	case !isTimeout(err):
		x.hangup()
		return false
	case stopping():
		x.send("421 4.3.2 " + x.c.Hostname + " Service shutting down, closing transmission channel\r\n")
		return false
	}
	x.pass.Greet = x.s.d.Now().Add(x.c.GreetTTL)
	return true
}

// goodName ends the wait of a client that lists speak well of.
func (x *client) goodName(lists chan listing) {
	l := <-lists
	lists <- l // for whom it is
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting && l.score <= x.c.AllowThreshold {
		x.nc.SetReadDeadline(time.Unix(1, 0))
	}
}

func (x *client) setWaiting(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.waiting = on; !on {
		x.nc.SetReadDeadline(time.Time{})
	}
}

// pregreeted is a client that has talked before its turn.
func (x *client) pregreeted() bool {
	x.log("pregreet", "PREGREET %d after %s from %s: %s", len(x.early), x.after(), x.from, maillog.Escaped(x.early, 100))
	return !x.fail(x.c.GreetAction, "5.5.1 Protocol error")
}

// listed makes of the lists' answer what the settings want.
func (x *client) listed(l listing) bool {
	now := x.s.d.Now()
	switch {
	case l.score >= x.c.Threshold && l.domain != "":
		x.log("dnsbl", "DNSBL rank %d for %s", l.score, x.from)
		return !x.fail(x.c.DNSBLAction, "5.7.1 Service unavailable; client ["+x.addr.String()+"] blocked using "+x.shown(l.domain))
	case l.early: // judged by what has come in time; asked again
		x.pass.DNSBL = now.Add(x.c.DNSBLMinTTL)
		return true
	}
	x.pass.DNSBL = now.Add(l.ttl)
	if x.c.AllowThreshold < 0 && l.score <= x.c.AllowThreshold && !x.failed && len(x.early) == 0 {
		// No other test is made of a client of good name.
		x.pass.Greet = latest(x.pass.Greet, x.pass.DNSBL)
		x.pass.Pipelining = latest(x.pass.Pipelining, x.pass.DNSBL)
		x.pass.NonSMTP = latest(x.pass.NonSMTP, x.pass.DNSBL)
		x.pass.BareNewline = latest(x.pass.BareNewline, x.pass.DNSBL)
	}
	return true
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// shown is the name of a list as replies say it, without a secret part.
func (x *client) shown(domain string) string {
	if x.c.ReplyMap == "" || x.s.d.Text == nil {
		return domain
	}
	if text, err := x.s.d.Text(context.Background(), x.c.ReplyMap, domain); err == nil && text != "" {
		return text
	}
	return domain
}
