package policy

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"mailserver/schema"
)

// greylistRules: check_greylist asks a client that nobody knows to come back.
// It stands behind what finds a client suspicious: nobody else should wait.
func greylistRules() []rule {
	return []rule{{name: "check_greylist", needs: recipient, run: withRecipient(runGreylist)}}
}

func runGreylist(x *query, it *item) outcome {
	if x.s.sender == nil || x.s.user != "" {
		return dunno
	}
	if x.s.e.d.State == nil {
		return x.misconfigured("%s in %s: there is no place to remember clients", it.name, x.list)
	}
	key, addr := x.greyKey()
	g, err := x.grey(key, addr)
	switch {
	case err != nil:
		return x.lookupFailed(x.recipient(), err)
	case g.Auto:
		x.traceLookup("greylist", addr, "passes: it has come back before")
		return dunno
	case g.Wait == 0:
		x.traceLookup("greylist", key, "passes")
		if g.Waited > 0 {
			x.note("info", x.recipient(), ClassRecipient, fmt.Sprintf("<%s>: %s delayed %d seconds by greylisting",
				x.recipient(), ClassRecipient, int(g.Waited.Seconds())))
		}
		return dunno
	}
	x.traceLookup("greylist", key, "comes back in "+g.Wait.String())
	v := x.verdict(450, Greylisted, x.recipient(), ClassRecipient, "")
	if v.Text == "" {
		v.Enhanced, v.Text = "4.2.0", strings.ReplaceAll(x.cfg.GreyText, "%s", strconv.Itoa(int(math.Ceil(g.Wait.Seconds()))))
	}
	return x.deferIfPermit(v)
}

// grey asks, and records the try unless nothing may be recorded.
func (x *query) grey(key, addr string) (g schema.Grey, err error) {
	rules := schema.GreyRules{Delay: x.cfg.GreyDelay, Window: x.cfg.GreyWindow, MaxAge: x.cfg.GreyAge, Auto: x.cfg.GreyAuto, Most: x.cfg.GreyMost}
	now := x.s.e.d.Now()
	g, changed, err := x.s.e.d.State.GreyLook(x.ctx, key, addr, rules, now)
	if err != nil || !changed || x.s.Dry || x.where != "RCPT" {
		return g, err
	}
	err = x.s.e.d.State.Write(x.ctx, func(t *schema.Tx) error {
		g, err = t.Grey(key, addr, rules, now)
		return err
	})
	return g, err
}

// greyKey is the network of the client, sender and recipient; addr the client.
// Big senders try again from another host of the same network.
func (x *query) greyKey() (key, addr string) {
	a := x.s.client.Addr
	bits, own := x.cfg.GreyBits4, 32
	if a.Is6() {
		bits, own = x.cfg.GreyBits6, 64
	}
	return network(a, bits) + " " + greySender(strings.ToLower(x.sender())) + " " + strings.ToLower(x.recipient()), network(a, own)
}

func network(a netip.Addr, bits int) string {
	p, err := a.Prefix(min(bits, a.BitLen()))
	if err != nil {
		return a.String()
	}
	if p.Bits() == a.BitLen() {
		return p.Addr().String()
	}
	return p.String()
}

// greySender leaves out of a sender what changes from try to try: the part
// behind a +, and numbers, in which lists and shops write whom they wrote to.
func greySender(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "<>"
	}
	local, domain := s[:at], s[at:]
	if i := strings.IndexByte(local, '+'); i > 0 {
		local = local[:i]
	}
	var b strings.Builder
	word := 0
	for i := 0; i <= len(local); i++ {
		if i < len(local) && isAlnum(local[i]) {
			continue
		}
		if strings.ContainsAny(local[word:i], "0123456789") {
			b.WriteByte('#')
		} else {
			b.WriteString(local[word:i])
		}
		if i < len(local) {
			b.WriteByte(local[i])
		}
		word = i + 1
	}
	return b.String() + domain
}
