package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/queue"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
)

// transit is one Commit: what it has found out so far.
type transit struct {
	*Message
	c     *Config
	eff   policy.Effects
	head  header
	stops []*stop
	// failed is set for recipients whose address could not be looked up.
	failed map[int]Outcome
	lost   *Outcome        // the message could not be queued
	from   address.Address // the sender, once canonical(5) is applied
	signed string          // DKIM-Signature fields for the copies that leave
	// reports are rows of recipients that only have to be reported.
	reports []queue.Recipient
	copies  []string // who gets a blind copy besides those of eff
}

// stop is one place where the message goes.
type stop struct {
	route.Destination
	options smtp.RcptOptions
	rcpts   []int         // recipients that lead here; none for a blind copy
	res     *queue.Result // nil: not tried
	took    time.Duration
	apart   bool // goes into the mailbox for what was put apart
	owed    bool // was tried, and must be tried again or reported
	refused bool
	queued  bool // depends on the queue
}

// plan finds every stop, each once.
func (t *transit) plan(ctx context.Context) {
	t.failed = make(map[int]Outcome)
	seen := make(map[string]*stop)
	for i, r := range t.recipients() {
		if err := t.expand(ctx, seen, i, r); err != nil {
			o := t.temporary("look up "+r.Address.String(), err)
			o.Text = "Error: address lookup failure"
			if isA(err, route.ErrAliasLoop) {
				o.Enhanced, o.Text = "4.6.0", "Error: alias expansion error"
			}
			t.failed[i] = o
		}
	}
	if len(t.failed) > 0 && !t.env.LocalOnly {
		t.stops = nil // one reply for all: the client comes again with all
	}
}

// recipients are those of the envelope, as policy has changed them.
func (t *transit) recipients() []Recipient {
	list := t.env.To
	if t.eff.Redirect != "" {
		if a, err := address.Parse(t.eff.Redirect); err == nil {
			list = []Recipient{{Address: a}}
		}
	}
	list = list[:len(list):len(list)]
	for _, bcc := range append(t.eff.Bcc[:len(t.eff.Bcc):len(t.eff.Bcc)], t.copies...) {
		if a, err := address.Parse(bcc); err == nil {
			list = append(list, Recipient{Address: a, Options: smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}})
		}
	}
	return list
}

func (t *transit) expand(ctx context.Context, seen map[string]*stop, i int, r Recipient) error {
	dests, err := t.s.d.Route.Expand(ctx, r.Address)
	if err != nil {
		return err
	}
	if t.expanded(dests, &r) {
		t.reports = append(t.reports, queue.Recipient{Address: r.Address.String(), Original: r.Address.String(), ORCPT: orcpt(r.Options), Notify: "SUCCESS",
			Site: aliasSite, State: schema.QueueDelivered, Status: "2.0.0", Reply: "alias expanded", Due: t.s.now()})
	}
	for _, d := range dests {
		key := fmt.Sprintf("%d %s %s", d.Kind, strings.ToLower(d.Address.String()), d.Target)
		st := seen[key]
		if st == nil {
			st = &stop{Destination: d, options: r.Options}
			if st.Original = r.Address; !r.Original.IsNull() {
				st.Original = r.Original
			}
			seen[key] = st
			t.stops = append(t.stops, st)
		}
		st.rcpts = append(st.rcpts, t.answersFor(i)...)
		st.apart = st.apart || slices.Contains(t.eff.Quarantine, i)
	}
	return nil
}

// aliasSite is the site of a recipient that was replaced by others.
const aliasSite = "alias:"

// expanded reports whether aliases have replaced a recipient whose sender wants
// to hear of success. That is told now; what becomes of the others is not, since
// the sender does not know them. RFC 3461 §5.2.7.1
func (t *transit) expanded(dests []route.Destination, r *Recipient) bool {
	if !wants(r.Options, smtp.DSNNotifySuccess) || !slices.ContainsFunc(dests, func(d route.Destination) bool { return d.Aliased }) {
		return false
	}
	r.Options.Notify = slices.DeleteFunc(slices.Clone(r.Options.Notify), func(n smtp.DSNNotify) bool { return n == smtp.DSNNotifySuccess })
	if len(r.Options.Notify) == 0 {
		r.Options.Notify = []smtp.DSNNotify{smtp.DSNNotifyNever}
	}
	return true
}

// answersFor are the recipients of the envelope whose reply the i-th of
// recipients decides: itself, all after REDIRECT, none for a blind copy.
func (t *transit) answersFor(i int) []int {
	if t.eff.Redirect == "" {
		if i < len(t.env.To) {
			return []int{i}
		}
		return nil
	}
	if i > 0 {
		return nil
	}
	all := make([]int, len(t.env.To))
	for n := range all {
		all[n] = n
	}
	return all
}

// waits reports whether nothing may be tried now: HOLD, FILTER.
func (t *transit) waits() bool { return t.eff.Hold || t.eff.Filter != "" }

// here reports whether a stop is settled inside the transaction.
func (t *transit) here(st *stop) bool {
	if t.waits() {
		return false
	}
	switch st.Kind {
	case route.Mailbox, route.Failure, route.Discard:
		return true
	}
	return false
}

// secure makes the spool file durable before any mailbox has the message, if
// it will be needed: what most likely fails comes first, while the whole
// message can still be refused without a copy of it being anywhere.
func (t *transit) secure(ctx context.Context) {
	var rows []queue.Recipient
	for _, st := range t.stops {
		if !t.here(st) {
			row, _ := t.row(ctx, st, new(time.Time))
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return
	}
	if err := t.text.Keep(t.record(), rows); err != nil {
		o := t.temporary("queue", err)
		t.lost, t.stops = &o, nil
	}
}

// deliver settles what can be settled inside the transaction.
func (t *transit) deliver(ctx context.Context) {
	var boxes []*stop
	for _, st := range t.stops {
		switch {
		case !t.here(st):
		case st.Kind == route.Mailbox:
			boxes = append(boxes, st)
		case st.Kind == route.Discard:
			st.res = &queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: discardText(st), Relay: "none", Tag: "postfix/discard"}
		default:
			st.res = failure(&st.Destination)
		}
	}
	if len(boxes) > 0 {
		t.s.mailboxes(ctx, t, boxes)
	}
}

func discardText(st *stop) string {
	if st.Text != "" {
		return st.Text
	}
	return "discarded"
}

// reason is the line that says why the message was taken. It is nobody else's
// business: only mailboxes here get it.
func (t *transit) reason() string { return headerLine(t.eff.Reason) }

// headerLine is a field with its end, or ” for none.
func headerLine(field string) string {
	if field == "" {
		return ""
	}
	return field + "\r\n"
}

// prepend is the text of PREPEND actions.
func (t *transit) prepend() string {
	var b strings.Builder
	for _, line := range t.eff.Prepend {
		for i, part := range strings.FieldsFunc(line, isBreak) {
			if i > 0 && part[0] != ' ' && part[0] != '\t' {
				b.WriteByte('\t') // line ends within a field may only fold it
			}
			b.WriteString(part)
			b.WriteString("\r\n")
		}
	}
	return b.String()
}

func isBreak(r rune) bool { return r == '\r' || r == '\n' }

// judge decides, group by group, whether the message is taken. A group is the
// recipients that share a reply: all of them in SMTP, each alone in LMTP.
func (t *transit) judge() {
	for _, group := range t.groups() {
		taken := t.ours
		for _, st := range group {
			taken = taken || st.res == nil || st.res.Status == queue.Sent
		}
		for _, st := range group {
			st.owed = st.owed || taken
		}
	}
	for _, st := range t.stops {
		st.owed = st.owed || len(st.rcpts) == 0 // nobody to refuse a blind copy to
		st.refused = !st.owed && st.res != nil && st.res.Status != queue.Sent
	}
}

func (t *transit) groups() [][]*stop {
	if !t.env.LocalOnly {
		return [][]*stop{t.stops}
	}
	groups := make([][]*stop, len(t.env.To))
	for _, st := range t.stops {
		for _, i := range st.rcpts {
			groups[i] = append(groups[i], st)
		}
	}
	return groups
}

// enqueue queues what is not settled.
func (t *transit) enqueue(ctx context.Context) {
	var rows []queue.Recipient
	if slices.ContainsFunc(t.stops, func(st *stop) bool { return !st.refused }) {
		rows = t.reports
	}
	var next time.Time
	for _, st := range t.stops {
		if st.refused {
			continue
		}
		if row, ok := t.row(ctx, st, &next); ok {
			rows = append(rows, row)
			st.queued = row.State != schema.QueueDelivered
		}
	}
	t.report(len(rows) == 0)
	if len(rows) == 0 {
		return
	}
	if err := t.s.queue.Add(ctx, t.text, t.record(), rows); err != nil {
		o := t.temporary("queue", err)
		t.lost = &o
	}
}

// row is what the queue must know of a stop; ok is false if nothing.
func (t *transit) row(ctx context.Context, st *stop, next *time.Time) (row queue.Recipient, ok bool) {
	now := t.s.now()
	row = queue.Recipient{
		Address: st.Address.String(), Original: st.Original.String(), Notify: notify(st.options),
		ORCPT: orcpt(st.options), Site: t.site(st), Due: now, Apart: st.apart,
	}
	switch {
	case st.res == nil && t.eff.Hold:
		row.State = schema.QueueHeld
		return row, true
	case st.res == nil:
		row.State = schema.QueueActive
		return row, true
	}
	row.Attempts, row.Status, row.Reply = 1, st.res.Enhanced, st.res.Text
	switch st.res.Status {
	case queue.Sent:
		row.State, row.Reply = schema.QueueDelivered, queue.Via(*st.res)
		return row, wants(st.options, smtp.DSNNotifySuccess)
	case queue.Bounced:
		row.State = schema.QueueFailed
	default:
		row.State = schema.QueueWaiting
		if next.IsZero() {
			*next = now.Add(5 * time.Minute)
			if at, err := t.s.queue.NextTry(ctx, now); err == nil {
				*next = at
			}
		}
		row.Due = *next
	}
	return row, true
}

// record is the message as the queue keeps it.
func (t *transit) record() *queue.Message {
	e := t.env
	client := ""
	if e.Client.Addr.IsValid() {
		client = fmt.Sprintf("%s[%s]", e.Client.Name, e.Client.Addr.Unmap())
	}
	return &queue.Message{
		Arrived: t.arrived(), Sender: t.from.String(), Body: string(e.Options.Body), UTF8: e.Options.UTF8, RequireTLS: e.Options.RequireTLS,
		Ret: string(e.Options.Return), EnvID: e.Options.EnvelopeID, User: e.User, Client: client,
		Helo: e.Helo, Proto: e.Proto, Tag: e.Client.Tag, Filter: t.eff.Filter, Prepend: t.signed + t.prepend(), Reason: t.eff.Reason,
	}
}

func (m *Message) arrived() time.Time {
	if at, ok := queue.Arrival(m.ID()); ok {
		return at
	}
	return m.s.now()
}

// report logs what was settled inside the transaction.
func (t *transit) report(last bool) {
	m := t.record()
	m.ID, m.Size = t.ID(), t.Size()
	if last && len(t.stops) > 0 {
		queue.LogActive(t.s.d.Log, m, len(t.stops))
	}
	now := t.s.now()
	for _, st := range t.stops {
		if st.res == nil {
			continue
		}
		r := &queue.Recipient{Address: st.Address.String(), Original: st.Original.String()}
		queue.LogOutcome(t.s.d.Log, m.ID, r, *st.res,
			[4]time.Duration{now.Sub(m.Arrived) - st.took, 0, 0, st.took})
	}
	if last {
		queue.LogRemoved(t.s.d.Log, m.ID)
	}
}

func notify(o smtp.RcptOptions) string {
	words := make([]string, len(o.Notify))
	for i, n := range o.Notify {
		words[i] = string(n)
	}
	return strings.Join(words, ",")
}

func wants(o smtp.RcptOptions, word smtp.DSNNotify) bool {
	for _, n := range o.Notify {
		if n == word {
			return true
		}
	}
	return false
}

func orcpt(o smtp.RcptOptions) string {
	if o.OriginalRecipient == "" {
		return ""
	}
	return strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
}
