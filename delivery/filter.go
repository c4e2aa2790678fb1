package delivery

import (
	"context"

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
