package policy

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"mailserver/internal/arc"
	"mailserver/internal/dkim"
	"mailserver/internal/dmarc"
	"mailserver/internal/dns"
	"mailserver/internal/spf"
)

// authentic is what is known of who sent a message. Each check is made once,
// when a restriction or a header wants it.
type authentic struct {
	spf    *spf.Result
	read   bool // DKIM and DMARC are made
	dkim   []dkim.Signature
	from   string // author domain; '' unless there is exactly one
	dmarc  dmarc.Result
	arc    *arc.Chain // nil: not asked
	trust  string     // the chain that stands in for DMARC, for people; '' none
	did    string     // reject or quarantine, for its DMARC policy
	asks   []ask      // of recipients that are accepted
	asking []ask      // of the one that is judged
}

// ask is a restriction about the message as a whole that the class of a
// recipient has named before there was a message.
type ask struct {
	rcpt       int // index among the accepted recipients; allRcpts
	quarantine bool
	warn       bool
	verdict    Verdict // with its rule and the words of its class
}

const allRcpts = -1

func authenticRules() []rule {
	return []rule{
		{name: "reject_spf_fail", needs: sender, run: spfRule(spf.Fail)},
		{name: "reject_spf_softfail", needs: sender, run: spfRule(spf.Fail, spf.SoftFail)},
		{name: "reject_dmarc", needs: recipient, run: dmarcRule(false)},
		{name: "quarantine_dmarc", needs: recipient, run: dmarcRule(true)},
	}
}

// spfRule refuses what the owner of the sender's domain disowns; RFC 7208 §8.
// Who has logged in sends from where he is: nothing is checked.
func spfRule(bad ...string) func(*query, *item) outcome {
	return func(x *query, _ *item) outcome {
		if x.s.sender == nil || x.s.user != "" {
			return dunno
		}
		r := x.spf()
		subject, class := x.sender(), ClassSender
		if r.Helo {
			subject, class = x.s.helo, ClassHelo
		}
		detail := fmt.Sprintf("%s: domain of %s does not allow %s to send", r.Result, r.Domain, x.s.client.Addr)
		if r.Explanation != "" { // RFC 7208 §6.2: whose words these are is said
			detail += "; it explains: " + r.Explanation
		}
		switch {
		case slices.Contains(bad, r.Result):
			return x.refuse(550, SPFFailed, subject, class, detail)
		case r.Result == spf.TempError:
			return x.tempFail(x.cfg.AddressTempFail, x.verdict(451, SPFUnknown, subject, class, "no answer about "+r.Domain))
		}
		return dunno
	}
}

// spf checks the sender once.
func (x *query) spf() *spf.Result {
	if x.s.auth.spf == nil {
		r := spf.Check(x.lookup, spf.Client{Addr: x.s.client.Addr, Helo: x.s.helo, Host: x.cfg.Hostname, Now: x.s.e.d.Now}, x.s.sender.Original.Plain())
		x.s.auth.spf = &r
	}
	x.traceLookup("SPF", x.s.auth.spf.Domain, strings.TrimSpace(x.s.auth.spf.Result+" "+x.s.auth.spf.Why))
	return x.s.auth.spf
}

// dmarcRule is reject_dmarc and quarantine_dmarc. Before there is a message
// they are noted for its recipient: one answer to DATA is for all of them.
func dmarcRule(quarantine bool) func(*query, *item) outcome {
	return func(x *query, _ *item) outcome {
		if x.s.user != "" || x.s.sender == nil {
			return dunno
		}
		a := ask{rcpt: x.s.accepted, quarantine: quarantine, warn: x.warn > 0}
		a.verdict = x.verdict(550, DMARCFailed, "END-OF-MESSAGE", ClassEndOfData, "")
		switch x.where {
		case "END-OF-MESSAGE":
			a.rcpt = allRcpts
			return x.dmarcAsked([]ask{a})
		case "DATA":
			a.rcpt = allRcpts
			x.s.auth.asks = append(x.s.auth.asks, a)
		case "RCPT":
			x.s.auth.asking = append(x.s.auth.asking, a)
		}
		return dunno
	}
}

// messageAuth does at the end of data what classes have asked for before.
func (x *query) messageAuth() outcome {
	a := &x.s.auth
	x.reset("check of the author", "", "END-OF-MESSAGE", ClassEndOfData)
	if x.s.discard || x.s.sender == nil {
		return dunno
	}
	if len(a.asks) > 0 && x.dmarcAsked(a.asks) == refused {
		return refused
	}
	if x.s.content.Open != nil && x.s.user == "" && x.s.client.Role == MX && x.cfg.AuthResults == "always" {
		x.spf()
		x.readAuthor()
	}
	return dunno
}

// dmarcAsked refuses a message that all recipients want refused, and marks it
// for those who want it apart. If only some want it refused, it is marked for
// them.
func (x *query) dmarcAsked(asks []ask) outcome {
	res := x.readAuthor()
	x.traceLookup("DMARC", res.From, strings.TrimSpace(res.Result+" "+string(res.Policy)))
	rejects, apart := res.Policy == dmarc.Reject, res.Policy == dmarc.Reject || res.Policy == dmarc.Quarantine
	var code int
	switch {
	case res.Result == dmarc.Fail && apart && x.s.auth.trust != "":
		x.traceLookup("ARC", res.From, x.s.auth.trust)
		return dunno
	case res.Result == dmarc.Fail && apart:
		code = 550
	case res.Result == dmarc.PermError: // no author, or more than one: nothing that a policy could protect
		code, rejects, apart = 550, true, true
	case res.Result == dmarc.TempError:
		code, rejects, apart = 451, true, false
	default:
		return dunno
	}
	refuse := make(map[int]*ask)
	for i := range asks {
		a := &asks[i]
		v := x.dmarcVerdict(a.verdict, code, res)
		switch {
		case a.warn && (rejects || a.quarantine):
			v.Event = "reject_warning"
			x.warnings = append(x.warnings, v)
		case a.warn:
		case a.quarantine && apart:
			x.quarantine(a)
		case !a.quarantine && rejects:
			refuse[a.rcpt] = a
		}
	}
	if all := refuse[allRcpts]; all != nil {
		x.s.auth.did = "reject"
		return x.reject(x.dmarcVerdict(all.verdict, code, res))
	}
	if len(refuse) > 0 && len(refuse) == x.s.accepted {
		x.s.auth.did = "reject"
		return x.reject(x.dmarcVerdict(refuse[0].verdict, code, res))
	}
	if apart {
		for _, a := range refuse {
			x.quarantine(a)
		}
	}
	return dunno
}

func (x *query) dmarcVerdict(v Verdict, code int, res dmarc.Result) Verdict {
	if v.Code == 550 || code < 500 {
		v.Code = code
	}
	v.Reason = DMARCFailed
	switch res.Result {
	case dmarc.Fail:
		v.Detail = fmt.Sprintf("%s is not authenticated and asks for p=%s", res.From, res.Policy)
	case dmarc.PermError:
		v.Detail = "not exactly one author domain in From"
	default:
		v.Reason, v.Enhanced, v.Text = DMARCUnknown, "", ""
		v.Detail = "no answer about " + res.From
	}
	return v
}

// quarantine marks the message for one recipient, or for all.
func (x *query) quarantine(a *ask) {
	list := []int{a.rcpt}
	x.s.auth.did = "quarantine"
	if a.rcpt == allRcpts {
		list = list[:0]
		for i := range x.s.accepted {
			list = append(list, i)
		}
	}
	for _, i := range list {
		if !slices.Contains(x.effects.Quarantine, i) {
			x.effects.Quarantine = append(x.effects.Quarantine, i)
		}
	}
	x.warnings = append(x.warnings, Verdict{Event: "quarantine", Subject: a.verdict.Subject, Class: a.verdict.Class,
		Text: "<" + a.verdict.Subject + ">: " + a.verdict.Class + " triggers quarantine", Rule: a.verdict.Rule})
}

// readAuthor reads the message: its author, its signatures, its DMARC policy.
func (x *query) readAuthor() dmarc.Result {
	a := &x.s.auth
	if a.read || x.s.content.Open == nil {
		return a.dmarc
	}
	a.read = true
	a.dmarc = dmarc.Result{Result: dmarc.TempError}
	head, err := dkim.Inspect(x.s.content.Open())
	if err != nil {
		x.warnf("%s: look for the author: %v", x.s.content.ID, err)
		return a.dmarc
	}
	a.from = ascii(head.From)
	var ask lookups
	if a.dkim, err = dkim.Verify(x.s.content.Open(), head, ask.of(x)); err != nil {
		x.warnf("%s: %v", x.s.content.ID, err)
		return a.dmarc
	}
	id := dmarc.Identity{}
	for _, s := range a.dkim {
		if s.Result == dkim.Pass {
			id.DKIM = append(id.DKIM, ascii(s.Domain))
		}
		id.Unknown = id.Unknown || s.Result == dkim.TempError
	}
	r := x.spf()
	if r.Result == spf.Pass {
		id.SPF = ascii(r.Domain)
	}
	id.Unknown = id.Unknown || r.Result == spf.TempError
	a.dmarc = dmarc.Evaluate(x.lookup, a.from, id)
	x.readChain(ask.of(x))
	return a.dmarc
}

// lookups lets signatures, which are checked at once, ask one after another: a
// query is for one goroutine.
type lookups struct{ mu sync.Mutex }

func (l *lookups) of(x *query) func(string) ([]string, error) {
	return func(name string) ([]string, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		a, err := x.lookup(name, dns.TXT)
		if err != nil {
			return nil, dns.Net(name, err)
		}
		texts := make([]string, len(a.Records))
		for i, r := range a.Records {
			texts[i] = r.Text
		}
		return texts, nil
	}
}

// authHeaders adds what was found to the message: Received-SPF (RFC 7208 §9.1)
// and Authentication-Results (RFC 8601).
func (x *query) authHeaders() {
	a := &x.s.auth
	if x.cfg.AuthResults == "never" || a.spf == nil && !a.read {
		return
	}
	var parts []string
	if a.spf != nil {
		host := x.cfg.AuthservID
		x.effects.Prepend = append(x.effects.Prepend, a.spf.Received(host, x.s.client.Addr, x.s.helo, x.s.sender.Original.Plain()))
		property := "smtp.mailfrom"
		if a.spf.Helo {
			property = "smtp.helo"
		}
		parts = append(parts, fmt.Sprintf("spf=%s %s=%s", a.spf.Result, property, pvalue(a.spf.Domain)))
	}
	for _, s := range a.dkim {
		parts = append(parts, fmt.Sprintf("dkim=%s header.d=%s", s.Result, pvalue(s.Domain)))
	}
	if a.read && len(a.dkim) == 0 {
		parts = append(parts, "dkim=none")
	}
	if a.read {
		text := "dmarc=" + a.dmarc.Result
		if a.dmarc.Domain != "" {
			text += " (p=" + string(a.dmarc.Policy) + ")"
		}
		if a.from != "" {
			text += " header.from=" + pvalue(a.from)
		}
		parts = append(parts, text)
	}
	if a.arc != nil && a.arc.Result != arc.None {
		parts = append(parts, arcResult(a.arc)+" smtp.remote-ip="+remoteIP(x.s.client.Addr))
	}
	field := "Authentication-Results: " + x.cfg.AuthservID + ";\r\n\t" + strings.Join(parts, ";\r\n\t")
	x.effects.Prepend = append([]string{field}, x.effects.Prepend...)
}

// pvalue is a domain as RFC 8601 §2.2 lets it stand; what a domain cannot hold
// becomes a question mark, so that nobody writes results of his own into ours.
func pvalue(s string) string {
	if s == "" {
		return `""`
	}
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isAlnum(byte(r)) || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '?'
	}, ascii(s))
}
