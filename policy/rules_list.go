package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/dns"
)

// listRules are the lists in the DNS (RFC 5782) that block or allow.
func listRules() []rule {
	clientName := func(x *query) (string, string) { return knownName(x.s.client.Name), ClassClient }
	reverseName := func(x *query) (string, string) { return knownName(x.s.client.ReverseName), ClassReverse }
	return []rule{
		{name: "reject_rbl_client", arg: listArg, run: func(x *query, it *item) outcome {
			return x.blocked(it.dnsList, addrPrefix(x.s.client.Addr), x.s.client.Addr.String(), ClassClient)
		}},
		{name: "permit_dnswl_client", arg: listArg, run: func(x *query, it *item) outcome {
			return x.allowed(it.dnsList, addrPrefix(x.s.client.Addr), x.s.client.Addr.String(), ClassClient)
		}},
		{name: "reject_rhsbl_client", arg: listArg, run: blockedName(clientName)},
		{name: "permit_rhswl_client", arg: listArg, run: func(x *query, it *item) outcome {
			name, class := clientName(x)
			return x.allowed(it.dnsList, namePrefix(name), name, class)
		}},
		{name: "reject_rhsbl_reverse_client", arg: listArg, run: blockedName(reverseName)},
		{name: "reject_rhsbl_helo", arg: listArg, needs: helo, run: blockedName(func(x *query) (string, string) { return x.s.helo, ClassHelo })},
		{name: "reject_rhsbl_sender", arg: listArg, needs: sender, run: withSenderItem(func(x *query, it *item) outcome {
			return x.blocked(it.dnsList, namePrefix(x.s.sender.Original.Domain), x.sender(), ClassSender)
		})},
		{name: "reject_rhsbl_recipient", arg: listArg, needs: recipient, run: withRecipient(func(x *query, it *item) outcome {
			return x.blocked(it.dnsList, namePrefix(x.rcpt.Original.Domain), x.recipient(), ClassRecipient)
		})},
	}
}

func knownName(name string) string {
	if strings.EqualFold(name, "unknown") {
		return ""
	}
	return name
}

func blockedName(of func(*query) (string, string)) func(*query, *item) outcome {
	return func(x *query, it *item) outcome {
		name, class := of(x)
		return x.blocked(it.dnsList, namePrefix(name), name, class)
	}
}

func withSenderItem(test func(*query, *item) outcome) func(*query, *item) outcome {
	return func(x *query, it *item) outcome {
		return withSender(func(x *query) outcome { return test(x, it) })(x, nil)
	}
}

// addrPrefix is what stands before the name of a list for an address: octets
// or nibbles, the last first.
func addrPrefix(a netip.Addr) string {
	name := dns.ReverseName(a)
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".in-addr.arpa"), ".ip6.arpa")
	return name
}

// namePrefix is the same for a name; ” if lists are not asked about it:
// address literals, names that end in a number, names that can be none.
func namePrefix(name string) string {
	if name == "" || name[0] == '[' {
		return ""
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if name = ascii(name); isDigits(last) || !address.ValidHostname(name) {
		return ""
	}
	return name
}

// dnsList is a list as a restriction names it: zone=d.d.d.d, each octet a
// number or [n..m;k].
type dnsList struct {
	text   string // as written
	zone   string
	filter *[4]octets // nil: any answer
}

// octets are the values that one octet of an answer may have.
type octets [256]bool

func parseDNSList(text string) (*dnsList, error) {
	zone, filter, filtered := strings.Cut(text, "=")
	l := &dnsList{text: text, zone: strings.ToLower(trimDot(zone))}
	if !address.ValidHostname(l.zone) {
		return nil, fmt.Errorf("%q is not the name of a DNS list", zone)
	}
	if !filtered {
		return l, nil
	}
	l.filter = new([4]octets)
	for i := range 4 {
		var ok bool
		if filter, ok = l.filter[i].parse(filter); !ok {
			return nil, fmt.Errorf("%q: the filter is not d.d.d.d with numbers or [n..m;k]", text)
		}
		if i < 3 {
			if filter, ok = strings.CutPrefix(filter, "."); !ok {
				return nil, fmt.Errorf("%q: the filter has not four octets", text)
			}
		}
	}
	if filter != "" {
		return nil, fmt.Errorf("%q: the filter has more than four octets", text)
	}
	return l, nil
}

// parse reads one octet and returns what follows it.
func (o *octets) parse(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		end := 0
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		return s[end:], o.add(s[:end], s[:end])
	}
	inside, rest, ok := strings.Cut(s[1:], "]")
	for part := range strings.SplitSeq(inside, ";") {
		from, to, isRange := strings.Cut(part, "..")
		if !isRange {
			to = from
		}
		ok = ok && o.add(from, to)
	}
	return rest, ok
}

func (o *octets) add(from, to string) bool {
	a, err1 := strconv.ParseUint(from, 10, 8)
	b, err2 := strconv.ParseUint(to, 10, 8)
	if err1 != nil || err2 != nil || a > b {
		return false
	}
	for i := a; i <= b; i++ {
		o[i] = true
	}
	return true
}

// matches reports whether an answer of the list means "listed". unusable says
// that it means something else: that we may not ask, or that somebody answers
// in place of a list that is gone.
func (l *dnsList) matches(a netip.Addr) (listed, unusable bool) {
	b := a.As4()
	if l.filter == nil {
		unusable = b[0] != 127 || b[1] == 255 && b[2] == 255
		return !unusable, unusable
	}
	listed = true
	for i := range 4 {
		listed = listed && l.filter[i][b[i]]
	}
	return listed, !listed && (b[0] != 127 || b[1] == 255 && b[2] == 255)
}

// listState is what a list says of one name.
type listState int

const (
	notListed listState = iota
	listedThere
	noAnswer // the list could not be asked
)

// ask asks a list about a prefix.
func (x *query) ask(l *dnsList, prefix string) listState {
	a, err := x.lookup(prefix+"."+l.zone, dns.A)
	switch dns.StatusOf(err) {
	case 0:
	case dns.NoName, dns.NoData:
		return notListed
	default:
		x.warnDNS(prefix+"."+l.zone+": RBL lookup error", err)
		return noAnswer
	}
	for _, r := range a.Records {
		listed, unusable := l.matches(r.Addr)
		if unusable {
			x.warnOnce(fmt.Sprintf("DNS list %s answers %s, which is no listing: it cannot be used from here", l.zone, r.Addr))
			continue
		}
		if listed && !x.listsAll(l, prefix) {
			return listedThere
		}
	}
	return notListed
}

// listsAll reports whether a list has listed what none may list: 127.0.0.1 or
// the name "invalid". RFC 5782 §5; such a list has ended and lists the world.
func (x *query) listsAll(l *dnsList, prefix string) bool {
	probe := "1.0.0.127"
	if prefix == probe {
		return false
	}
	if !isDigits(prefix[strings.LastIndexByte(prefix, '.')+1:]) && len(prefix) != 63 {
		probe = "invalid"
	}
	a, err := x.lookup(probe+"."+l.zone, dns.A)
	if err != nil {
		return false
	}
	for _, r := range a.Records {
		if listed, _ := l.matches(r.Addr); listed {
			x.warnOnce("DNS list " + l.zone + " lists everything: it is not used")
			return true
		}
	}
	return false
}

// blocked refuses what a list has listed. A list that cannot be asked blocks
// nobody.
func (x *query) blocked(l *dnsList, prefix, what, class string) outcome {
	if prefix == "" || x.ask(l, prefix) != listedThere {
		return dunno
	}
	return x.blockedReply(l, prefix, what, class)
}

// allowed permits what a list has listed, never mail that goes on from here: a
// list says who is honest, not whose relay we are. If it cannot be asked, no
// later refusal is final.
func (x *query) allowed(l *dnsList, prefix, what, class string) outcome {
	if prefix == "" || x.rcpt != nil && !x.authorized() {
		return dunno
	}
	switch x.ask(l, prefix) {
	case listedThere:
		return permit
	case noAnswer:
		return x.deferIfReject(x.verdict(450, NotAsked, what, class, ""))
	}
	return dunno
}

// maxReason bounds the text of a list; postfix-rbl replies have the same.
const maxReason = 500

// reasonOf is what a list says about a listing.
func (x *query) reasonOf(l *dnsList, prefix string) string {
	a, err := x.lookup(prefix+"."+l.zone, dns.TXT)
	if err != nil {
		return ""
	}
	var list []string
	for _, r := range a.Records {
		list = append(list, r.Text)
	}
	text := strings.Join(list, " / ")
	return text[:min(len(text), maxReason)]
}

// blockedReply refuses with the template of the list.
func (x *query) blockedReply(l *dnsList, prefix, what, class string) outcome {
	v := x.verdict(x.cfg.RBLCode, DNSListed, what, class, "")
	if v.Text != "" {
		return x.reject(v)
	}
	template, out := x.template(l)
	if out == refused {
		return refused
	}
	facts := x.facts()
	facts["rbl_code"] = strconv.Itoa(x.cfg.RBLCode)
	facts["rbl_domain"] = l.zone
	facts["rbl_reason"] = x.reasonOf(l, prefix)
	facts["rbl_txt"] = facts["rbl_reason"]
	facts["rbl_what"] = what
	facts["rbl_class"] = class
	said := expand(template, facts)
	code, enhanced, text := splitReply(said)
	if code == 0 || len(said) < 4 {
		x.warnf("rbl response code configuration error: %s", said)
		code, enhanced, text = 450, "", ""
	}
	if text == "" {
		text = "Service unavailable"
	}
	v.Code, v.Enhanced, v.Detail = code, enhanced, text
	return x.reject(v)
}

// template returns the reply of a list: its row in rbl_reply_maps, by its name
// with filter or without, else default_rbl_reply.
func (x *query) template(l *dnsList) (string, outcome) {
	maps, err := tokens(x.cfg.RBLReplyMaps)
	for _, name := range maps {
		var ref tableRef
		if ref, err = parseTable(name); err != nil {
			break
		}
		for _, key := range []string{l.text, l.zone} {
			text, found, out := x.find(ref, key, true)
			if found || out == refused {
				return text, out
			}
		}
	}
	if err != nil {
		return "", x.misconfigured("setting rbl_reply_maps: %v", err)
	}
	return x.cfg.RBLReply, dunno
}
