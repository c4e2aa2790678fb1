package policy

import (
	"context"
	"slices"
	"strings"

	"mailserver/schema"
)

// guards are the restrictions of which smtpd_relay_restrictions or
// smtpd_recipient_restrictions must have one: without it every recipient in
// the world would be taken. Postfix does not start without one either.
var guards = []string{"reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit"}

// guardText is what is wrong without a guard.
const guardText = "specify at least one working instance of: reject_unauth_destination, defer_unauth_destination, reject, defer or defer_if_permit"

// guarded reports whether one of the texts has a guard that is reached, in
// itself or in a class. The answer is kept for the generation.
func (x *query) guarded() (bool, error) {
	key := x.texts.relay + "\x00" + x.texts.recipient
	x.made.mu.RLock()
	yes, known := x.made.guarded[key]
	x.made.mu.RUnlock()
	if known {
		return yes, nil
	}
	for _, text := range []string{x.texts.relay, x.texts.recipient} {
		got, err := x.s.e.hasGuard(x.ctx, x.view, text, 0)
		if err != nil {
			return false, err
		}
		yes = yes || got
	}
	x.made.mu.Lock()
	x.made.guarded[key] = yes
	x.made.mu.Unlock()
	return yes, nil
}

// hasGuard looks for a guard before a permit that is not behind warn_if_reject.
func (e *Engine) hasGuard(ctx context.Context, view *schema.View, text string, depth int) (bool, error) {
	if depth > maxDepth {
		return false, nil
	}
	warned := false
	for _, it := range e.compile(text).items {
		switch {
		case it.isWarn():
			warned = true
			continue
		case warned:
			warned = false
			continue
		case it.rule != nil && it.rule.name == "permit":
			return false, nil
		case it.rule != nil && slices.Contains(guards, it.rule.name):
			return true, nil
		case it.rule != nil || it.bare:
			continue
		}
		rs, err := view.Restriction(ctx, it.name)
		if err != nil {
			return false, err
		}
		if rs == nil {
			continue
		}
		if yes, err := e.hasGuard(ctx, view, rs.List, depth+1); yes || err != nil {
			return yes, err
		}
	}
	return false, nil
}

// guard refuses for now what lists without a guard would take.
func (x *query) guard() outcome {
	yes, err := x.guarded()
	switch {
	case err != nil:
		return x.lookupFailed(x.recipient(), err)
	case !yes:
		return x.misconfigured("in %s: %s", strings.Join(x.guardNames(), " or "), guardText)
	}
	return dunno
}

func (x *query) guardNames() []string {
	if x.s.client.Role == Submission {
		return []string{"mua_relay_restrictions", "mua_recipient_restrictions"}
	}
	return []string{"smtpd_relay_restrictions", "smtpd_recipient_restrictions"}
}
