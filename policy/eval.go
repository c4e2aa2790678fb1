package policy

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// outcome is what a restriction, a list or a class comes to.
type outcome int

const (
	dunno outcome = iota
	permit
	refused // query.refusal says how
)

// maxDepth bounds classes within classes, and actions that name classes; a
// loop between them ends here. As Postfix's limit on recursion.
const maxDepth = 100

// query is the judgement of one command.
type query struct {
	s     *Session
	ctx   context.Context
	cfg   *Config
	texts lists
	view  *schema.View
	made  *compiled

	where string // CONNECT, EHLO, MAIL, RCPT, VRFY, ETRN, DATA, END-OF-MESSAGE
	rcpt  *Recipient
	etrn  string

	list     string // the setting whose list is evaluated
	implicit string // check_*_access that a bare table stands for; '' if none
	subject  string // of whoever refuses without saying what: reject, defer ...
	class    string

	depth    int
	warn     int      // depth of a warn_if_reject that holds; 0: none
	path     []string // classes that led here
	words    []string // rsText of those classes
	ifPermit *Verdict
	ifReject *Verdict

	dnsUntil time.Time // when the DNS look-ups of this command must end

	unlistedRcpt, unlistedSender bool // reject_unlisted_* has been asked

	hasPermit bool   // by is what has permitted
	by        string // what has permitted the recipient, or the class that had nothing against it

	refusal  Verdict
	effects  Effects
	warnings []Verdict
}

// judge evaluates one command.
func (s *Session) judge(ctx context.Context, where string, run func(*query) outcome) Verdict {
	x := &query{s: s, ctx: ctx, where: where, subject: s.nameAddr(), class: ClassClient}
	if err := x.open(); err != nil {
		s.e.d.Log.LogAttrs(ctx, slog.LevelError, "policy look-up failed", slog.Any(maillog.Err, err))
		return Verdict{Action: Refuse, Reason: LookupFailure, Code: 451, Subject: x.subject, Class: x.class, Rule: "mail.sqlite"}
	}
	s.beginSteps(x.cfg)
	if run(x) == refused {
		v := x.refusal
		v.Warnings, v.Steps = x.warnings, s.endSteps(s.steps != nil && s.e.mayTell())
		return v
	}
	return Verdict{Effects: x.effects, Warnings: x.warnings, By: x.by, Steps: s.endSteps(strings.EqualFold(x.cfg.TraceSteps, "all"))}
}

// open takes the View before the settings, so that what is cached under its
// generation is never older than it.
func (x *query) open() (err error) {
	if x.view, err = x.s.e.d.Mail.View(x.ctx); err != nil {
		return err
	}
	if x.cfg, err = x.s.e.d.Config(x.ctx); err != nil {
		return err
	}
	x.texts = x.cfg.lists(x.s.client.Role)
	x.made = x.s.e.compiledFor(x.view)
	return nil
}

// clientList evaluates smtpd_client_restrictions.
func (x *query) clientList() outcome {
	x.ifPermit = nil
	out := x.top(x.texts.client, "smtpd_client_restrictions", "check_client_access", x.s.nameAddr(), ClassClient)
	x.s.ifPermitClient = x.ifPermit
	return out
}

// heloList evaluates smtpd_helo_restrictions.
func (x *query) heloList() outcome {
	if !x.s.hasHelo {
		return dunno
	}
	x.ifPermit = x.s.ifPermitClient
	out := x.top(x.texts.helo, "smtpd_helo_restrictions", "check_helo_access", x.s.helo, ClassHelo)
	x.s.ifPermitHelo = x.ifPermit
	return out
}

// senderList evaluates smtpd_sender_restrictions.
func (x *query) senderList() outcome {
	x.ifPermit = first(x.s.ifPermitClient, x.s.ifPermitHelo)
	x.s.ifPermitSender = x.ifPermit
	if x.s.sender == nil { // VRFY outside of a transaction
		return dunno
	}
	out := x.top(x.texts.sender, "smtpd_sender_restrictions", "check_sender_access", x.sender(), ClassSender)
	x.s.ifPermitSender = x.ifPermit
	if out != refused && x.cfg.UnlistedSender && !x.s.discard {
		return x.unasked("smtpd_reject_unlisted_sender", "reject_unlisted_sender", x.sender(), ClassSender)
	}
	return out
}

// rcptLists evaluates what stands before a recipient.
func (x *query) rcptLists() outcome {
	if x.guard() == refused {
		return refused
	}
	if x.cfg.DelayReject {
		for _, l := range []func() outcome{x.clientList, x.heloList, x.senderList} {
			if l() == refused {
				return refused
			}
		}
	}
	x.ifPermit = x.s.ifPermitSender
	out := x.relayAndRecipient()
	if out != refused && x.ifPermit != nil {
		out = x.reject(*x.ifPermit)
	}
	if out != refused && x.cfg.UnlistedRecipient && !x.s.discard {
		out = x.unasked("smtpd_reject_unlisted_recipient", "reject_unlisted_recipient", x.recipient(), ClassRecipient)
	}
	if out != refused && !x.s.discard {
		out = x.userLimit()
	}
	return out
}

// unasked evaluates a restriction that a setting adds behind the lists.
func (x *query) unasked(setting, name, subject, class string) outcome {
	x.reset(setting, "", subject, class)
	return x.step(&item{text: name, name: name, rule: x.s.e.rules[name]})
}

// relayAndRecipient evaluates smtpd_relay_restrictions and
// smtpd_recipient_restrictions. Each permits for itself; defer_if_reject holds
// for both.
func (x *query) relayAndRecipient() outcome {
	relay := func() outcome { return x.run(x.compile(x.texts.relay)) }
	rcpt := func() outcome { return x.run(x.compile(x.texts.recipient)) }
	steps := []func() outcome{relay, rcpt}
	names := []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"}
	if !x.cfg.RelayBeforeRecipient {
		slices.Reverse(steps)
		slices.Reverse(names)
	}
	x.reset(names[0], "check_recipient_access", x.recipient(), ClassRecipient)
	for i, step := range steps {
		x.list = names[i]
		x.by, x.hasPermit = "", false
		if step() == refused {
			return refused
		}
	}
	return dunno
}

// etrnList evaluates smtpd_etrn_restrictions.
func (x *query) etrnList() outcome {
	if x.cfg.DelayReject {
		if x.clientList() == refused || x.heloList() == refused {
			return refused
		}
	}
	x.ifPermit = first(x.s.ifPermitClient, x.s.ifPermitHelo)
	out := x.top(x.texts.etrn, "smtpd_etrn_restrictions", "check_etrn_access", x.etrn, ClassEtrn)
	if out != refused && x.ifPermit != nil {
		return x.reject(*x.ifPermit)
	}
	return out
}

// messageList evaluates a list that concerns the message. It knows a recipient
// only when there is one: naming one of several would be wrong for the others.
func (x *query) messageList(text, name, subject, class string) outcome {
	if x.s.accepted == 1 {
		x.rcpt = x.s.last
	}
	out := x.top(text, name, "", subject, class)
	if out != refused && x.ifPermit != nil {
		return x.reject(*x.ifPermit)
	}
	return out
}

func first(list ...*Verdict) *Verdict {
	for _, v := range list {
		if v != nil {
			return v
		}
	}
	return nil
}

// top evaluates the list of a setting.
func (x *query) top(text, name, implicit, subject, class string) outcome {
	x.reset(name, implicit, subject, class)
	return x.run(x.compile(text))
}

// reset prepares for the list of a setting.
func (x *query) reset(name, implicit, subject, class string) {
	x.list, x.implicit, x.subject, x.class = name, implicit, subject, class
	x.depth, x.warn, x.ifReject = 0, 0, nil
	x.path, x.words = x.path[:0], x.words[:0]
}

func (x *query) compile(text string) *list {
	if text == "" {
		return &list{}
	}
	return remember(x.made, x.made.lists, text, func() *list { return x.s.e.compile(text) })
}

// run evaluates a list: the algebra.
func (x *query) run(l *list) outcome {
	if x.depth >= maxDepth {
		return x.misconfigured("classes are nested deeper than %d: %s", maxDepth, strings.Join(lastOf(x.path, 4), "/"))
	}
	x.depth++
	out := dunno
	for i := range l.items {
		if x.s.discard {
			break
		}
		it := &l.items[i]
		if it.rule != nil && it.rule.prefix {
			if x.warn == 0 {
				x.warn = x.depth
			}
			continue
		}
		out = x.step(it)
		if x.warn >= x.depth {
			x.warn = 0
		}
		if out == permit && !x.hasPermit {
			x.by, x.hasPermit = strings.Join(append(x.path, it.name), "/"), true
		}
		if out != dunno || x.ifPermit != nil && x.ifReject != nil {
			break
		}
	}
	x.depth--
	if x.warn >= x.depth {
		x.warn = 0 // a warn_if_reject with nothing behind it
	}
	return out
}

func lastOf(s []string, n int) []string { return s[max(0, len(s)-n):] }

// step evaluates one restriction.
func (x *query) step(it *item) outcome {
	at := x.traceStep(it)
	var out outcome
	switch {
	case it.bad != "":
		out = x.misconfigured("restriction %q in %s: %s", it.text, x.list, it.bad)
	case it.bare:
		out = x.bareTable(it)
	case it.rule == nil:
		out = x.named(it)
	case it.rule.run == nil:
		out = x.misconfigured("restriction %q in %s is not built into this server", it.name, x.list)
	default:
		x.path = append(x.path, it.name)
		out = it.rule.run(x, it)
		x.path = x.path[:len(x.path)-1]
	}
	x.traceOutcome(at, out)
	return out
}

// bareTable evaluates a table without check_*_access: the check of the list it
// stands in.
func (x *query) bareTable(it *item) outcome {
	r := x.s.e.rules[x.implicit]
	if r == nil {
		return x.misconfigured("%s: say which check_*_access %q is for", x.list, it.text)
	}
	x.path = append(x.path, r.name)
	defer func() { x.path = x.path[:len(x.path)-1] }()
	return r.run(x, it)
}

// named evaluates a class, or an access table by its bare name.
func (x *query) named(it *item) outcome {
	rs, err := x.view.Restriction(x.ctx, it.name)
	if err != nil {
		return x.lookupFailed(x.subject, err)
	}
	if rs != nil {
		return x.runClass(rs)
	}
	has, err := x.view.HasAccess(x.ctx, it.name)
	if err != nil {
		return x.lookupFailed(x.subject, err)
	}
	if !has {
		return x.misconfigured("unknown smtpd restriction: %q in %s", it.name, x.where2())
	}
	table := item{text: it.text, name: it.name, arg: it.name, bare: true, table: tableRef{kind: anyTable, name: it.name}}
	return x.bareTable(&table)
}

// where2 is the list, or the class, that is evaluated.
func (x *query) where2() string {
	if len(x.path) > 0 {
		return x.list + " (" + strings.Join(lastOf(x.path, 4), "/") + ")"
	}
	return x.list
}

// runClass evaluates a restriction class.
func (x *query) runClass(rs *schema.Restriction) outcome {
	x.path = append(x.path, rs.Name)
	x.words = append(x.words, rs.Text)
	out := x.run(x.compile(rs.List))
	x.path = x.path[:len(x.path)-1]
	x.words = x.words[:len(x.words)-1]
	return out
}

// runWords evaluates a list that an access row or a policy service names. What
// it refuses is the subject of that row.
func (x *query) runWords(text, subject, class string) outcome {
	oldSubject, oldClass := x.subject, x.class
	x.subject, x.class = subject, class
	out := x.run(x.compile(text))
	x.subject, x.class = oldSubject, oldClass
	return out
}

// sender is MAIL FROM as the client wrote it; ” is the null sender.
func (x *query) sender() string { return x.s.sender.Original.Plain() }

// recipient is RCPT TO as the client wrote it.
func (x *query) recipient() string { return x.rcpt.Original.Plain() }
