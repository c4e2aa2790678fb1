package policy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"mailserver/internal/arc"
	"mailserver/internal/dmarc"
	"mailserver/internal/maillog"
	"mailserver/internal/spf"
	"mailserver/schema"
)

// readChain checks the ARC chain of the message, RFC 8617 §5.2.
func (x *query) readChain(lookup arc.Lookup) {
	a := &x.s.auth
	chain, err := arc.Verify(x.s.content.Open(), lookup)
	if err != nil {
		x.warnf("%s: %v", x.s.content.ID, err)
		return
	}
	a.arc = chain
	if a.dmarc.Result == dmarc.Fail && chain.Result == arc.Pass {
		a.trust = x.believed(chain)
	}
}

// believed says which seals stand in for DMARC: those of arc_trusted_sealers,
// from the newest on, if one of them has seen DMARC pass for this author.
// RFC 8617 §7.2.1. ” if none.
func (x *query) believed(c *arc.Chain) string {
	var said []string
	for i := len(c.Sets) - 1; i >= 0; i-- {
		set := &c.Sets[i]
		if !slices.ContainsFunc(x.cfg.TrustedSealers, func(d string) bool { return strings.EqualFold(d, set.Domain) }) {
			return ""
		}
		said = append(said, fmt.Sprintf("as[%d].d=%s", set.Instance, set.Domain))
		if set.Passed("dmarc", "header.from", x.s.auth.from) {
			return "arc=pass " + strings.Join(said, " ")
		}
	}
	return ""
}

// arcResult is the result for Authentication-Results, RFC 8617 §4.4.
func arcResult(c *arc.Chain) string {
	text := "arc=" + c.Result
	if n := len(c.Sets); n > 0 {
		text += fmt.Sprintf(" (i=%d d=%s)", n, pvalue(c.Sets[n-1].Domain))
	}
	return text
}

// remoteIP is an address as a pvalue: one with colons is quoted.
func remoteIP(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return `"` + a.String() + `"`
}

// keepDMARC counts the message for the report of its day. The client does not
// wait for it.
func (x *query) keepDMARC() {
	a := &x.s.auth
	if !a.read || a.dmarc.Domain == "" || a.dmarc.Result == dmarc.TempError || !x.cfg.KeepDMARC || x.s.Dry || x.s.e.d.State == nil {
		return
	}
	facts, err := json.Marshal(x.dmarcFacts())
	if err != nil {
		return
	}
	line := schema.DmarcLine{Day: schema.Day(x.s.e.d.Now()), Domain: a.dmarc.Domain, Record: a.dmarc.Record.Text,
		Addr: x.s.client.Addr.String(), Facts: string(facts)}
	x.s.e.background(func() error {
		return x.s.e.d.State.Write(context.WithoutCancel(x.ctx), func(t *schema.Tx) error { return t.AddDmarc(line) })
	})
}

func (x *query) dmarcFacts() dmarc.Facts {
	a := &x.s.auth
	f := dmarc.Facts{From: a.from, DKIM: a.dmarc.DKIM, SPF: a.dmarc.SPF, Disposition: a.did}
	switch {
	case a.dmarc.Result == dmarc.Pass:
		f.Disposition = "pass"
	case f.Disposition == "":
		f.Disposition = "none"
	}
	if a.trust != "" {
		f.Reason, f.Comment = "local_policy", a.trust
	} else if a.dmarc.Result == dmarc.Fail && a.did == "" && a.dmarc.Policy != dmarc.NoPolicy {
		f.Reason, f.Comment = "local_policy", "no restriction follows the policy"
	}
	if !x.s.sender.Original.IsNull() {
		f.Envelope = ascii(strings.ToLower(x.s.sender.Original.Domain))
	}
	for _, s := range a.dkim {
		f.Signatures = append(f.Signatures, [3]string{ascii(s.Domain), s.Selector, s.Result})
	}
	if a.spf != nil && a.spf.Result != spf.None {
		f.SPFDomain, f.SPFResult, f.Helo = ascii(strings.ToLower(a.spf.Domain)), a.spf.Result, a.spf.Helo
	}
	return f
}

// background runs do while others go on; Close waits for it. When too much
// waits, it runs at once.
func (e *Engine) background(do func() error) {
	p := e.probes
	run := func() {
		if err := do(); err != nil {
			e.d.Log.LogAttrs(context.Background(), slog.LevelError, "count for DMARC reports", slog.Any(maillog.Err, err))
		}
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	select {
	case p.later <- struct{}{}:
		p.wg.Go(func() {
			defer func() { <-p.later }()
			run()
		})
		p.mu.Unlock()
	default:
		p.mu.Unlock()
		run()
	}
}
