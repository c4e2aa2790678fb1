package policy

import (
	"fmt"
	"strings"

	"mailserver/schema"
)

func recipientRules() []rule {
	return []rule{
		{name: "check_recipient_access", arg: tableArg, needs: recipient, run: withRecipient(func(x *query, it *item) outcome {
			return x.mailAccess(it, x.rcpt.Address, x.recipient(), ClassRecipient)
		})},
		{name: "check_recipient_class", needs: recipient, run: withRecipient(runClassOfRecipient)},
		{name: "permit_auth_destination", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			if !x.authorized() {
				return dunno
			}
			return permit
		})},
		{name: "reject_unauth_destination", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.unauthorized(x.cfg.RelayCode)
		})},
		{name: "defer_unauth_destination", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.unauthorized(x.cfg.RelayCode - 100)
		})},
		{name: "reject_non_fqdn_recipient", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.needFQDN(x.rcpt.Original, x.recipient(), ClassRecipient)
		})},
		{name: "reject_unlisted_recipient", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.unlistedRecipientRule()
		})},
	}
}

func withRecipient(test func(*query, *item) outcome) func(*query, *item) outcome {
	return func(x *query, it *item) outcome {
		if x.rcpt == nil {
			return dunno
		}
		return test(x, it)
	}
}

// authorized reports whether mail for the recipient ends here or in a domain
// that we relay for. An address that names a further way behind its domain
// (user%elsewhere@here) goes on from there, and is not.
func (x *query) authorized() bool {
	c := x.rcpt.Class
	if c == schema.External {
		return false
	}
	return x.cfg.UntrustedRoute || !x.sourceRouted()
}

// sourceRouted reports whether the local part names a way to go on.
func (x *query) sourceRouted() bool {
	for _, local := range []string{x.rcpt.Address.Local, x.rcpt.Original.Local} {
		if strings.Contains(local, "@") ||
			x.cfg.PercentHack && strings.Contains(local, "%") ||
			x.cfg.SwapBangPath && strings.Contains(local, "!") {
			return true
		}
	}
	return false
}

func (x *query) unauthorized(code int) outcome {
	if x.authorized() {
		return dunno
	}
	return x.refuse(code, RelayDenied, x.recipient(), ClassRecipient, "")
}

// runClassOfRecipient evaluates the restriction class whose number stands with
// the recipient: the row RClass gives it a name, the class RCnn-name is a row
// of Restriction. A number or class that is missing defers the mail.
func runClassOfRecipient(x *query, _ *item) outcome {
	num := x.rcpt.RClass
	name, err := x.view.RClass(x.ctx, num)
	if err != nil {
		return x.lookupFailed(x.recipient(), err)
	}
	if name == "" {
		return x.misconfigured("restriction class %02d of <%s> has no row in RClass", num, x.recipient())
	}
	full := fmt.Sprintf("RC%02d-%s", num, name)
	x.traceLookup("RClass", fmt.Sprint(num), full)
	rs, err := x.view.Restriction(x.ctx, full)
	if err != nil {
		return x.lookupFailed(x.recipient(), err)
	}
	if rs == nil {
		return x.misconfigured("restriction class %s of <%s> has no row in Restriction", full, x.recipient())
	}
	x.by = full
	x.path = x.path[:len(x.path)-1] // the name of the class says it better
	defer func() { x.path = append(x.path, "check_recipient_class") }()
	return x.runClass(rs)
}

// unlistedRecipientRule refuses a recipient that does not exist, has moved, or
// is routed to error(8) or retry(8). It is asked once.
func (x *query) unlistedRecipientRule() outcome {
	if x.unlistedRcpt {
		return dunno
	}
	x.unlistedRcpt = x.warn == 0
	r := x.rcpt
	switch {
	case r.MovedTo != "":
		return x.refuse(550, UserMoved, x.recipient(), ClassRecipient, r.MovedTo)
	case r.Rejects != "":
		return x.undeliverable(r.Rejects)
	case r.Listed:
		return dunno
	}
	return x.refuse(x.unknownCode(r.Class), UserUnknown, x.recipient(), ClassRecipient, x.shownTable(r.Table))
}

// undeliverable refuses with the text of a transport row error: or retry:.
func (x *query) undeliverable(text string) outcome {
	code, enhanced, words := splitReply(text)
	if code == 0 {
		code = 550
		if strings.HasPrefix(enhanced, "4") {
			code = 450
		}
	}
	v := x.verdict(code, Undeliverable, x.recipient(), ClassRecipient, "")
	if strings.HasSuffix(enhanced, ".0.0") {
		enhanced = "" // says nothing; that of the reason says more
	}
	v.Code, v.Enhanced, v.Text = code, enhanced, words
	return x.reject(v)
}
