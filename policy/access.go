package policy

import (
	"slices"
	"strings"

	"mailserver/internal/address"
)

// key looks one key up in the table of an item and acts on what it finds.
func (x *query) key(it *item, key string, full bool, subject, class string) (out outcome, found bool) {
	action, found, out := x.find(it.table, key, full)
	if out == refused {
		return refused, true
	}
	if !found {
		return dunno, false
	}
	return x.act(it, key, action, subject, class), true
}

// checkTable reports a table that nothing defines. A table of its own type
// that has lost its last row is an empty one: emptying a block list must not
// stop all mail.
func (x *query) checkTable(it *item) outcome {
	if it.table.kind > foreignTable {
		return dunno
	}
	has, err := x.view.HasAccess(x.ctx, it.table.name)
	switch {
	case err != nil:
		return x.lookupFailed(x.subject, err)
	case has:
		return dunno
	case it.table.kind == foreignTable || it.bare:
		return x.misconfigured("access table %q in %s has no rows", it.arg, x.where2())
	}
	x.warnOnce("access table " + it.arg + " in " + x.list + " has no rows")
	return dunno
}

// warnOnce logs a text once a generation.
func (x *query) warnOnce(text string) {
	remember(x.made, x.made.nets, "\x00warned "+text, func() *netPattern {
		x.warnf("%s", text)
		return &netPattern{}
	})
}

// domainAccess looks up a name and its parents: access(5) "HOST NAME/ADDRESS
// PATTERNS". An address is not a name: it has no parents here.
func (x *query) domainAccess(it *item, name string, full bool, subject, class string) (outcome, bool) {
	if out := x.checkTable(it); out == refused {
		return refused, true
	}
	plain := slices.Contains(x.cfg.ParentDomains, "smtpd_access_maps")
	for key := name; key != ""; full = false {
		if out, found := x.key(it, key, full, subject, class); found {
			return out, true
		}
		dot := strings.IndexByte(key[1:], '.') + 1
		if dot == 0 || key == name && validAddr(name) {
			break
		}
		key = key[dot:]
		if plain {
			key = key[1:]
		}
	}
	return dunno, false
}

// addrAccess looks up an address and the networks that it is in, by leaving
// out octets (IPv4) or pairs of them (IPv6) from the right.
func (x *query) addrAccess(it *item, addr, subject, class string) (outcome, bool) {
	sep := "."
	if strings.Contains(addr, ":") {
		sep = ":"
	}
	for key, full := addr, true; ; full = false {
		if out, found := x.key(it, key, full, subject, class); found {
			return out, true
		}
		i := strings.LastIndex(key, sep)
		if i <= 0 {
			return dunno, false
		}
		key = key[:i]
	}
}

// nameAddrAccess looks up the name of the client, then its address.
func (x *query) nameAddrAccess(it *item, name, subject, class string) outcome {
	if out, found := x.domainAccess(it, name, true, subject, class); found {
		return out
	}
	out, _ := x.addrAccess(it, x.s.client.Addr.String(), subject, class)
	return out
}

// mailAccess looks up an address: access(5) "E-MAIL ADDRESS PATTERNS".
func (x *query) mailAccess(it *item, a address.Address, subject, class string) outcome {
	if it.table.kind == classTable {
		if x.rcpt == nil || class != ClassRecipient {
			return x.misconfigured("%q in %s: only recipients have a class", it.text, x.list)
		}
		return runClassOfRecipient(x, it)
	}
	if out := x.checkTable(it); out == refused {
		return refused
	}
	a = address.Address{Local: strings.ToLower(a.Local), Domain: strings.ToLower(a.Domain)} // for patterns
	out := x.addressAccess(it, a, subject, class)
	// A recipient with a way to go on behind its domain is not what the row
	// meant to permit.
	if out == permit && class == ClassRecipient && !x.s.discard && !x.cfg.UntrustedRoute && x.sourceRouted() {
		return dunno
	}
	return out
}

func (x *query) addressAccess(it *item, a address.Address, subject, class string) outcome {
	base, _, ext := address.SplitExtension(a.Local, x.cfg.Delimiter)
	if out, found := x.key(it, a.Plain(), true, subject, class); found {
		return out
	}
	if ext {
		if out, found := x.key(it, base+"@"+a.Domain, false, subject, class); found {
			return out
		}
	}
	if out, found := x.domainAccess(it, a.Domain, false, subject, class); found {
		return out
	}
	out, found := x.key(it, a.Local+"@", false, subject, class)
	if !found && ext {
		out, _ = x.key(it, base+"@", false, subject, class)
	}
	return out
}

// neverPermit refuses a permit that is won by something the client says or its
// DNS says: a name it chose must not open the door.
func (x *query) neverPermit(it *item, target string, out outcome) outcome {
	if out != permit || x.s.discard {
		return out
	}
	return x.misconfigured("restriction %s returns OK for %s; say DUNNO to make an exception", it.name, target)
}
