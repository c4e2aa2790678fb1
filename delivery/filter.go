package delivery

import (
	"context"
	"slices"
	"strings"

	"mailserver/delivery/route"
)

// filter has the whole message go to the content filter, unless policy has
// chosen one. What comes in at a listener with a tag comes back from a filter,
// and our own reports have nothing to be looked at.
// postconf(5) content_filter
func (t *transit) filter() {
	if t.eff.Filter == "" && t.filtered() {
		t.eff.Filter = t.c.ContentFilter
	}
}

// filtered reports whether filters of the settings apply.
func (t *transit) filtered() bool { return !t.ours && t.env.Client.Tag == "" && !t.env.LocalOnly }

// site is where a stop goes first: the filter of what leaves, or itself.
func (t *transit) site(st *stop) string {
	if st.Kind == route.Next && t.c.RelayFilter != "" && t.filtered() {
		return t.c.RelayFilter
	}
	return site(&st.Destination)
}

// blind finds who gets a blind copy of mail that comes from outside:
// postconf(5) always_bcc, sender_bcc_maps, recipient_bcc_maps.
func (t *transit) blind(ctx context.Context) *Outcome {
	if t.ours || t.env.LocalOnly {
		return nil
	}
	add := func(to string, err error) error {
		if err == nil && to != "" && !slices.ContainsFunc(t.copies, func(s string) bool { return strings.EqualFold(s, to) }) {
			t.copies = append(t.copies, to)
		}
		return err
	}
	add(t.c.AlwaysBcc, nil)
	err := add(t.s.d.Route.Bcc(ctx, "sender", t.from))
	for _, r := range t.env.To {
		if err == nil {
			err = add(t.s.d.Route.Bcc(ctx, "recipient", r.Address))
		}
	}
	if err == nil {
		return nil
	}
	o := t.temporary("look up blind copies", err)
	o.Text = "Error: address lookup failure"
	return &o
}

// sender applies canonical(5) to the envelope sender.
func (t *transit) sender(ctx context.Context) *Outcome {
	from, err := t.s.d.Route.CanonicalSender(ctx, t.env.From)
	if err != nil {
		o := t.temporary("look up "+t.env.From.String(), err)
		o.Text = "Error: address lookup failure"
		return &o
	}
	t.from = from
	return nil
}
