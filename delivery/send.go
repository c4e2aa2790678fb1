package delivery

import (
	"context"
	"net"
	"strconv"
	"strings"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

// sender makes the attempts of the queue.
type sender struct{ s *Service }

// target is where a queued recipient goes at this attempt.
type target struct {
	name    string
	box     *route.Destination // a mailbox here
	tag     string
	hop     remote.Hop
	more    []remote.Hop // tried after hop, in order
	written []string     // hop and more, as they were written
	pipe    *schema.Pipe // a program
	most    int          // runs of it at the same time; 0 any
}

func (t *target) Site() string { return t.name }

// Distant: deliveries on this host have no connection that may hang.
func (t *target) Distant() bool { return t.hop.Host != "" }

// RecipientLimit: a mailbox takes one recipient, so that each gets its headers.
func (t *target) RecipientLimit() int {
	switch {
	case t.box != nil:
		return 1
	case t.pipe != nil:
		if pipeSpec(t.pipe).Single() {
			return 1
		}
		return t.pipe.Recipients
	}
	return 0
}

// ConcurrencyLimit is queue.Narrow.
func (t *target) ConcurrencyLimit() int { return t.most }

// Route asks again where the recipient goes, so that a changed row acts on
// mail in the queue. Aliases are not followed a second time.
func (x sender) Route(ctx context.Context, m *queue.Message, r *queue.Recipient) (queue.Target, *queue.Result) {
	if m.Filter != "" {
		return x.s.way(ctx, m, m.Filter)
	}
	c, err := x.s.d.Config(ctx)
	if err == nil && c.RelayFilter != "" && r.Site == c.RelayFilter {
		return x.s.way(ctx, m, r.Site)
	}
	to, err := address.Parse(r.Address)
	if err != nil {
		return nil, &queue.Result{Status: queue.Bounced, Enhanced: "5.1.3", Text: "bad address syntax", Tag: maillog.ErrorMail, Relay: "none"}
	}
	d, err := x.s.resolve(ctx, to, r.Site)
	if err != nil {
		x.s.complain("look up "+r.Address, m.ID, err)
		return nil, &queue.Result{Status: queue.Deferred, Enhanced: "4.3.0", Text: "address lookup failure", Tag: maillog.ErrorMail, Relay: "none"}
	}
	if d == nil { // the row that it came by is gone
		return x.s.way(ctx, m, r.Site)
	}
	d.Original, _ = address.Parse(r.Original)
	switch d.Kind {
	case route.Mailbox, route.File, route.Command, route.Forward:
		return &target{name: site(d), box: d}, nil
	case route.Next:
		return x.s.next(ctx, m, d)
	case route.Discard:
		return nil, &queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: "discarded", Tag: "postfix/discard", Relay: "none"}
	}
	return nil, failure(d)
}

// resolve finds the destination of a queued recipient among those that its
// address has now: the same way as before, or else the same address. nil: the
// address leads elsewhere now.
func (s *Service) resolve(ctx context.Context, to address.Address, before string) (*route.Destination, error) {
	dests, err := s.d.Route.Expand(ctx, to)
	if err != nil {
		return nil, err
	}
	var found *route.Destination
	kind, _, _ := strings.Cut(before, ":")
	for i := range dests {
		d := &dests[i]
		if site(d) == before && d.Address.Equal(to) {
			return d, nil
		}
		if d.Address.Equal(to) && (found == nil || strings.HasPrefix(site(d), kind+":") && !strings.HasPrefix(site(found), kind+":")) {
			found = d
		}
	}
	if found == nil && len(dests) == 1 && dests[0].Kind == route.Failure {
		found = &dests[0]
	}
	if found == nil && kind == "virtual" {
		return s.mailbox(ctx, to)
	}
	return found, nil
}

// mailbox is the mailbox of an address whatever aliases it has.
func (s *Service) mailbox(ctx context.Context, to address.Address) (*route.Destination, error) {
	b, err := s.d.Route.Account(ctx, to.Plain())
	if err != nil {
		return nil, err
	}
	if b == nil {
		return &route.Destination{Kind: route.Failure, Address: to, Permanent: true, Enhanced: "5.1.1",
			Text: "unknown user: \"" + to.Plain() + "\""}, nil
	}
	return &route.Destination{Kind: route.Mailbox, Address: to, Box: b}, nil
}

// failure is the outcome of a destination that nothing can be delivered to.
func failure(d *route.Destination) *queue.Result {
	res := &queue.Result{Status: queue.Deferred, Enhanced: d.Enhanced, Text: d.Text, Tag: maillog.ErrorMail, Relay: "none"}
	if d.Permanent {
		res.Status = queue.Bounced
	}
	if res.Enhanced == "" {
		res.Enhanced = map[queue.Status]string{queue.Deferred: "4.3.0", queue.Bounced: "5.0.0"}[res.Status]
	}
	return res
}

// site names a destination: transport:nexthop, in the form of transport(5).
func site(d *route.Destination) string {
	switch d.Kind {
	case route.Mailbox:
		return "virtual:" + strings.ToLower(d.Address.String())
	case route.File:
		return "file:" + d.Target
	case route.Command:
		return "command:" + d.Target
	case route.Forward:
		return "forward:" + strings.ToLower(d.Address.String())
	case route.Failure:
		return "error:"
	case route.Discard:
		return "discard:"
	}
	if strings.HasPrefix(d.Nexthop, "unix:") {
		return d.Transport + ":" + d.Nexthop
	}
	switch d.Transport {
	case "smtp", "relay", "lmtp":
		return d.Transport + ":" + hopName(strings.ToLower(d.Nexthop), d.MX, d.Port)
	}
	return d.Transport + ":" + d.Nexthop // the words of a program
}

func hopName(host string, mx bool, port int) string {
	if !mx {
		host = "[" + host + "]"
	}
	if port != 0 {
		host += ":" + strconv.Itoa(port)
	}
	return host
}

// nexthop makes a target of transport:nexthop. A transport that we do not have
// is refused by name; the mail waits.
func nexthop(name string) (queue.Target, *queue.Result) {
	transport, hop, _ := strings.Cut(name, ":")
	bad := func(text string) (queue.Target, *queue.Result) {
		return nil, &queue.Result{Status: queue.Deferred, Enhanced: "4.3.5", Text: text, Tag: maillog.ErrorMail, Relay: "none"}
	}
	t := &target{name: name, tag: maillog.SMTP}
	switch transport {
	case "discard":
		text := hop
		if text == "" {
			text = "discarded"
		}
		return nil, &queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: text, Tag: "postfix/discard", Relay: "none"}
	case "error", "retry":
		d := &route.Destination{Kind: route.Failure, Permanent: transport == "error", Text: hop}
		if code, rest, ok := strings.Cut(hop, " "); ok && strings.Count(code, ".") == 2 && strings.Trim(code, "0123456789.") == "" {
			d.Enhanced, d.Text = map[string]string{"error": "5", "retry": "4"}[transport]+code[1:], rest
		}
		return nil, failure(d)
	case "smtp", "relay":
	case "lmtp":
		t.hop.LMTP, t.tag = true, maillog.LMTP
	default:
		return bad("mail transport unavailable: " + transport)
	}
	if path, ok := strings.CutPrefix(hop, "unix:"); ok && t.hop.LMTP {
		t.hop.Unix, t.hop.Host, t.written = true, path, []string{hop}
		return t, nil
	}
	for i, one := range strings.FieldsFunc(hop, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		host, mx, port := splitHop(strings.TrimPrefix(one, "inet:"))
		if host == "" || port < 0 || i >= mostHops {
			return bad("bad next hop: " + name)
		}
		next := t.hop
		next.Host, next.MX, next.Port = host, mx && !t.hop.LMTP, port
		if t.written = append(t.written, one); i == 0 {
			t.hop = next
		} else {
			t.more = append(t.more, next)
		}
	}
	if t.hop.Host == "" {
		return bad("bad next hop: " + name)
	}
	return t, nil
}

// mostHops bounds a list of next hops.
const mostHops = 10

// splitHop reads [host]:port, host:port, [host], host; port is -1 if it is not
// a port.
func splitHop(s string) (host string, mx bool, port int) {
	mx = true
	if rest, ok := strings.CutPrefix(s, "["); ok {
		inner, after, closed := strings.Cut(rest, "]")
		if !closed {
			return "", false, -1
		}
		host, mx = inner, false
		if after == "" {
			return host, mx, 0
		}
		s = "x" + after
	} else if !strings.Contains(s, ":") {
		return s, mx, 0
	}
	h, p, err := net.SplitHostPort(s)
	n, bad := strconv.ParseUint(p, 10, 16)
	if err != nil || bad != nil || n == 0 {
		return "", false, -1
	}
	if mx {
		host = h
	}
	return host, mx, int(n)
}

// Send makes one attempt.
func (x sender) Send(ctx context.Context, to queue.Target, m *queue.Message, rcpts []*queue.Recipient) []queue.Result {
	t := to.(*target)
	results := make([]queue.Result, len(rcpts))
	if t.box != nil {
		for i := range rcpts {
			results[i] = x.s.deliverHere(ctx, m, t.box, rcpts[i])
		}
		return results
	}
	if t.pipe != nil {
		return x.s.throughPipe(ctx, t, m, rcpts)
	}
	for from, who := range x.senders(ctx, m, rcpts, results) {
		x.sendFrom(ctx, t, from, m, rcpts, who, results)
	}
	return results
}

// deliver tries the next hops of a list in turn: each gets the recipients that
// those before have deferred.
func (s *Service) deliver(ctx context.Context, t *target, mail *remote.Mail) []remote.Result {
	results := s.smtp.Deliver(ctx, &t.hop, mail)
	for _, hop := range t.more {
		var who []int
		rest := *mail
		rest.To = nil
		for i, r := range results {
			if r.Status == remote.Deferred && !r.InDoubt {
				who, rest.To = append(who, i), append(rest.To, mail.To[i])
			}
		}
		if len(who) == 0 || ctx.Err() != nil {
			break
		}
		for n, r := range s.smtp.Deliver(ctx, &hop, &rest) {
			results[who[n]] = r
		}
	}
	return results
}

// mta is who said the words of a result; ” they are ours.
func mta(r remote.Result) string {
	if r.Reply == "" {
		return ""
	}
	return r.Host
}
