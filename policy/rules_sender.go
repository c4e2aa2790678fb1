package policy

import (
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

func senderRules() []rule {
	return []rule{
		{name: "check_sender_access", arg: tableArg, needs: sender, run: runSenderAccess},
		{name: "reject_non_fqdn_sender", needs: sender, run: withSender(func(x *query) outcome {
			return x.needFQDN(x.s.sender.Original, x.sender(), ClassSender)
		})},
		{name: "reject_unlisted_sender", needs: sender, run: withSender((*query).unlistedSenderRule)},
		{name: "reject_sender_login_mismatch", needs: sender, run: withSender(func(x *query) outcome {
			return x.loginMismatch(true, false, true)
		})},
		{name: "reject_authenticated_sender_login_mismatch", needs: sender, run: withSender(func(x *query) outcome {
			return x.loginMismatch(true, false, false)
		})},
		{name: "reject_unauthenticated_sender_login_mismatch", needs: sender, run: withSender(func(x *query) outcome {
			return x.loginMismatch(false, false, true)
		})},
		{name: "reject_known_sender_login_mismatch", needs: sender, run: withSender(func(x *query) outcome {
			return x.loginMismatch(true, true, true)
		})},
	}
}

// withSender makes a restriction that leaves the null sender alone.
func withSender(test func(*query) outcome) func(*query, *item) outcome {
	return func(x *query, _ *item) outcome {
		if x.s.sender == nil || x.s.sender.Original.IsNull() {
			return dunno
		}
		return test(x)
	}
}

func runSenderAccess(x *query, it *item) outcome {
	switch {
	case x.s.sender == nil:
		return dunno
	case x.s.sender.Original.IsNull():
		out, _ := x.key(it, x.cfg.NullKey, true, "", ClassSender)
		return out
	}
	return x.mailAccess(it, x.s.sender.Address, x.sender(), ClassSender)
}

// needFQDN refuses an address whose domain is not the full name of a host.
func (x *query) needFQDN(a address.Address, subject, class string) outcome {
	if strings.HasPrefix(a.Domain, "[") && strings.HasSuffix(a.Domain, "]") {
		return dunno
	}
	d := trimDot(a.Domain)
	if strings.Contains(d, ".") && validMailDomain(d) {
		return dunno
	}
	return x.refuse(x.cfg.NonFQDNCode, NotFQDNAddress, subject, class, "")
}

// validMailDomain is validHostname for names that may be in UTF-8, RFC 6531.
func validMailDomain(d string) bool {
	for i := range len(d) {
		if d[i] >= 0x80 {
			return !strings.ContainsAny(d, " \t@[]<>()")
		}
	}
	return address.ValidHostname(d)
}

// unlistedSenderRule refuses a sender of our domains that does not exist.
func (x *query) unlistedSenderRule() outcome {
	if x.unlistedSender {
		return dunno
	}
	x.unlistedSender = x.warn == 0
	s := x.s.sender
	if s.Listed || s.Table == "" {
		return dunno
	}
	v := x.verdict(x.unknownCode(s.Class), UserUnknown, x.sender(), ClassSender, x.shownTable(s.Table))
	if s.Class == schema.VirtualAlias && v.Enhanced == "" {
		v.Enhanced = "5.1.1" // as of the error(8) transport that such domains have
	}
	return x.reject(v)
}

// unknownCode is the reply code for an unknown user of a class.
func (x *query) unknownCode(c schema.Class) int {
	switch {
	case c == schema.Local:
		return x.cfg.UnknownLocalCode
	case c == schema.Relay:
		return x.cfg.UnknownRelayCode
	case c == schema.VirtualAlias:
		return x.cfg.UnknownAliasCode
	case c.IsMailbox():
		return x.cfg.UnknownMailboxCode
	}
	return 550
}

func (x *query) shownTable(table string) string {
	if !x.cfg.ShowTable {
		return ""
	}
	return table
}

// loginMismatch refuses a sender that whoever is logged in does not own
// (authenticated), and one that has an owner when nobody is (unauthenticated).
// With known, an address that nobody owns is nobody's matter.
func (x *query) loginMismatch(authenticated, known, unauthenticated bool) outcome {
	owners, err := x.owners(x.s.sender.Address)
	if err != nil {
		return x.lookupFailed(x.sender(), err)
	}
	switch {
	case x.s.user == "" && unauthenticated && len(owners) > 0:
		return x.refuse(553, NotLoggedIn, x.sender(), ClassSender, "")
	case x.s.user == "" || !authenticated || known && len(owners) == 0:
		return dunno
	case slices.ContainsFunc(owners, func(o string) bool { return strings.EqualFold(o, x.s.user) }):
		return dunno
	}
	return x.refuse(553, NotOwned, x.sender(), ClassSender, x.s.user)
}

// owners returns who may send as a, by the first of smtpd_sender_login_maps
// that knows somebody.
func (x *query) owners(a address.Address) ([]string, error) {
	for _, name := range x.cfg.SenderLogins {
		find := func() ([]string, error) { return x.ownerRows(a) }
		if strings.EqualFold(name, "address") {
			find = x.ownersOfMail
		}
		list, err := find()
		if err != nil || len(list) > 0 {
			return list, err
		}
	}
	return nil, nil
}

// ownersOfMail are those who get the mail of the sender's address: an answer
// to them is theirs to give.
func (x *query) ownersOfMail() ([]string, error) {
	if x.s.sender.Owners == nil {
		return nil, nil
	}
	list, err := x.s.sender.Owners(x.ctx)
	x.traceLookup("mailboxes of", x.sender(), strings.Join(list, ","))
	return list, err
}

// ownerRows are the rows of the first key that has any.
func (x *query) ownerRows(a address.Address) ([]string, error) {
	for _, key := range x.addressKeys(a) {
		rows, err := x.view.SenderOwners(x.ctx, key)
		if err != nil {
			return nil, err
		}
		var list []string
		for _, row := range rows {
			words, _ := tokens(row)
			list = append(list, words...)
		}
		x.traceLookup("SenderOwner", key, strings.Join(list, ","))
		if len(list) > 0 {
			return list, nil
		}
	}
	return nil, nil
}

// addressKeys are the keys of a map of addresses, most specific first, as
// canonical(5): with extension, without, the bare names if the domain is local,
// then @domain.
func (x *query) addressKeys(a address.Address) []string {
	base, _, ext := address.SplitExtension(a.Local, x.cfg.Delimiter)
	keys := []string{a.Plain()}
	if ext {
		keys = append(keys, base+"@"+a.Domain)
	}
	if x.s.sender.Class == schema.Local {
		keys = append(keys, a.Local)
		if ext {
			keys = append(keys, base)
		}
	}
	return append(keys, "@"+a.Domain)
}
