package delivery

import (
	"cmp"
	"context"
	"strings"

	"mailserver/delivery/queue"
	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

// next is a destination on another host, or for a program. Where the class of
// the address leaves the choice, the row of RelayHost for the listener's tag or
// the sender makes it.
func (s *Service) next(ctx context.Context, m *queue.Message, d *route.Destination) (queue.Target, *queue.Result) {
	name := site(d)
	if d.Choice != route.ByRow {
		row, err := s.relayRow(ctx, m)
		if err != nil {
			return nil, s.lookupFailed("look up the way of "+d.Address.String(), m, err)
		}
		if row != nil {
			name = replaced(d, row)
		}
	}
	return s.way(ctx, m, name)
}

func (s *Service) lookupFailed(doing string, m *queue.Message, err error) *queue.Result {
	s.complain(doing, m.ID, err)
	return &queue.Result{Status: queue.Deferred, Enhanced: "4.3.0", Text: "address lookup failure", Tag: maillog.ErrorMail, Relay: "none"}
}

// replaced is the way of d that a row makes. postconf(5)
// sender_dependent_default_transport_maps, sender_dependent_relayhost_maps
func replaced(d *route.Destination, row *schema.RelayHost) string {
	hop := row.Nexthop
	if strings.EqualFold(hop, "DUNNO") {
		hop = ""
	}
	transport, own := d.Transport, row.Transport != "" && d.External
	if own {
		transport = row.Transport
	}
	switch {
	case hop != "" && (own || d.Choice == route.ByClass):
		return transport + ":" + hop
	case own && d.Choice == route.BySetting: // a transport takes its next hop with it
		return transport + ":" + strings.ToLower(d.Address.Domain)
	}
	_, rest, _ := strings.Cut(site(d), ":")
	return transport + ":" + rest
}

// relayRow is the row of the listener's tag, of the sender or of its domain;
// nil if there is none.
func (s *Service) relayRow(ctx context.Context, m *queue.Message) (*schema.RelayHost, error) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.d.Config(ctx)
	if err != nil {
		return nil, err
	}
	keys := senderKeys(m.Sender, c.Delimiter)
	if m.Tag != "" {
		keys = append([]string{"tag:" + m.Tag}, keys...)
	}
	for _, key := range keys {
		if row, err := view.RelayHost(ctx, key); err != nil || row != nil {
			return row, err
		}
	}
	return nil, nil
}

// senderKeys are the forms in which tables of senders are asked.
func senderKeys(from, delimiter string) []string {
	if from == "" {
		return []string{"<>"}
	}
	a, err := address.Parse(from)
	if err != nil {
		return nil
	}
	keys := []string{a.Plain()}
	if user, _, ok := address.SplitExtension(a.Local, delimiter); ok {
		keys = append(keys, address.Address{Local: user, Domain: a.Domain}.Plain())
	}
	return append(keys, "@"+a.Domain)
}

// way makes a target of transport:nexthop, with the credentials and the TLS
// policy of each next hop.
func (s *Service) way(ctx context.Context, m *queue.Message, name string) (queue.Target, *queue.Result) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, s.lookupFailed("look up "+name, m, err)
	}
	transport, _, _ := strings.Cut(name, ":")
	row, err := view.Pipe(ctx, transport)
	switch {
	case err != nil:
		return nil, s.lookupFailed("look up "+name, m, err)
	case row != nil:
		c, err := s.d.Config(ctx)
		if err != nil {
			return nil, s.lookupFailed("read settings", m, err)
		}
		return &target{name: name, tag: maillog.Pipe, pipe: row, most: cmp.Or(row.MaxProc, c.PipeProc)}, nil
	}
	to, res := nexthop(name)
	if res != nil {
		return nil, res
	}
	t := to.(*target)
	if err := s.dress(ctx, view, m, &t.hop, t.written[0]); err != nil {
		return nil, s.lookupFailed("look up "+name, m, err)
	}
	for i := range t.more {
		if err := s.dress(ctx, view, m, &t.more[i], t.written[i+1]); err != nil {
			return nil, s.lookupFailed("look up "+name, m, err)
		}
	}
	return t, nil
}

// dress gives a next hop its credentials and its TLS policy.
func (s *Service) dress(ctx context.Context, view *schema.View, m *queue.Message, hop *remote.Hop, written string) (err error) {
	if hop.TLS, err = tlsPolicy(ctx, view, written); err != nil {
		return err
	}
	hop.User, hop.Passwd, err = s.credentials(ctx, view, m, written)
	return err
}

// credentials are those of the RelayHost row that says this very next hop, or
// of SaslPassword: with smtp_sender_dependent_authentication of the sender, else
// of the next hop as it is written, or of its host.
func (s *Service) credentials(ctx context.Context, view *schema.View, m *queue.Message, written string) (user, passwd string, err error) {
	c, err := s.d.Config(ctx)
	if err != nil {
		return "", "", err
	}
	own, err := s.relayRow(ctx, m)
	if err != nil {
		return "", "", err
	}
	all, err := view.RelayHost(ctx, "")
	if err != nil {
		return "", "", err
	}
	for _, row := range []*schema.RelayHost{own, all} {
		if row != nil && row.User != "" && leadsTo(row.Nexthop, written) {
			return row.User, row.Passwd, nil
		}
	}
	var keys []string
	if c.SenderAuth {
		keys = senderKeys(m.Sender, c.Delimiter)
	}
	keys = append(keys, written)
	if host, _, _ := splitHop(written); host != written && host != "" {
		keys = append(keys, host)
	}
	for _, key := range keys {
		if row, err := view.SaslPassword(ctx, key); err != nil || row != nil {
			if row == nil {
				return "", "", err
			}
			return row.User, row.Passwd, nil
		}
	}
	return "", "", nil
}

// leadsTo reports whether a list of next hops has this one.
func leadsTo(list, written string) bool {
	a, aMX, aPort := splitHop(written)
	for one := range strings.FieldsFuncSeq(list, isListSpace) {
		b, bMX, bPort := splitHop(one)
		if strings.EqualFold(one, written) || a != "" && strings.EqualFold(a, b) && aMX == bMX && aPort == bPort {
			return true
		}
	}
	return false
}

func isListSpace(r rune) bool { return r == ',' || r == ' ' || r == '\t' }

// tlsPolicy looks for the row of a next hop: as written, without port, and of
// the domains above it. postconf(5) smtp_tls_policy_maps
func tlsPolicy(ctx context.Context, view *schema.View, hop string) (string, error) {
	keys := []string{hop}
	host, _, _ := splitHop(hop)
	if host != hop {
		keys = append(keys, host)
	}
	for rest := host; ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
		keys = append(keys, "."+rest)
	}
	for _, key := range keys {
		if policy, err := view.TLSPolicy(ctx, key); err != nil || policy != "" {
			return policy, err
		}
	}
	return "", nil
}
