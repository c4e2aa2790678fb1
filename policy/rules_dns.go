package policy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/dns"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

func dnsRules() []rule {
	return []rule{
		{name: "reject_unknown_helo_hostname", needs: helo, run: heloName(runUnknownHelo)},
		{name: "reject_unknown_sender_domain", needs: sender, run: withSender(func(x *query) outcome {
			s := x.s.sender
			return x.unknownDomain(s.Address.Domain, s.Class, x.sender(), ClassSender)
		})},
		{name: "reject_unknown_recipient_domain", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.unknownDomain(x.rcpt.Address.Domain, x.rcpt.Class, x.recipient(), ClassRecipient)
		})},
		{name: "permit_mx_backup", needs: recipient, run: withRecipient(runBackup)},
	}
}

// errTimeLimit says that the look-ups of this command have taken their time.
var errTimeLimit = errors.New("policy_dns_time_limit is used up")

// lookup asks the DNS within the time that one command has for it.
func (x *query) lookup(name string, t dns.Type) (*dns.Answer, error) {
	if x.dnsUntil.IsZero() {
		x.dnsUntil = x.s.e.d.Now().Add(x.cfg.DNSTimeLimit)
	}
	left := x.dnsUntil.Sub(x.s.e.d.Now())
	if left <= 0 {
		return nil, &dns.Error{Name: name, Type: t, Status: dns.Temporary, Err: errTimeLimit}
	}
	ctx, cancel := context.WithTimeout(x.ctx, left)
	defer cancel()
	a, err := x.s.e.resolver(x.cfg.DNSServers).Lookup(ctx, name, t)
	x.traceDNS(name, t, a, err)
	return a, err
}

func (x *query) traceDNS(name string, t dns.Type, a *dns.Answer, err error) {
	if !x.explained() {
		return
	}
	answer := ""
	if err != nil {
		answer = err.Error()
	} else {
		var list []string
		for _, r := range a.Records {
			if r.Addr.IsValid() {
				list = append(list, r.Addr.String())
			} else {
				list = append(list, r.Text)
			}
		}
		answer = strings.Join(list, ", ")
	}
	x.traceLookup("DNS "+dns.TypeName(t), name, answer)
}

// ascii turns a name in UTF-8 into the form that the DNS has.
func ascii(name string) string { return address.ToASCII(name) }

// exists asks for several types of a name until one is there. stop says
// whether a reply without sense ends the search.
func (x *query) exists(name string, stop bool, types ...dns.Type) (*dns.Answer, error) {
	if name = ascii(name); !address.ValidHostname(name) {
		return nil, &dns.Error{Name: name, Type: types[0], Status: dns.NoName}
	}
	var worst error
	for _, t := range types {
		a, err := x.lookup(name, t)
		if err == nil || stop && dns.StatusOf(err) == dns.Malformed {
			return a, err
		}
		if dns.StatusOf(worst) != dns.Temporary {
			worst = err
		}
	}
	return nil, worst
}

// runUnknownHelo refuses a HELO name that has neither addresses nor an MX.
func runUnknownHelo(x *query, name string) outcome {
	_, err := x.exists(name, false, dns.A, dns.AAAA, dns.MX)
	switch dns.StatusOf(err) {
	case 0:
		return dunno
	case dns.Temporary:
		return x.tempFail(x.cfg.HeloTempFail, x.verdict(450, HostNotFound, x.s.helo, ClassHelo, ""))
	case dns.Malformed:
		return x.refuse(x.cfg.UnknownHostCode, MalformedDNS, x.s.helo, ClassHelo, "")
	}
	return x.refuse(x.cfg.UnknownHostCode, HostNotFound, x.s.helo, ClassHelo, "")
}

// unknownDomain refuses an address whose domain can take no mail.
func (x *query) unknownDomain(domain string, class schema.Class, subject, kind string) outcome {
	final := class != schema.External && class != schema.Relay
	if final || domain == "" || strings.HasPrefix(domain, "[") && strings.HasSuffix(domain, "]") {
		return dunno
	}
	a, err := x.exists(trimDot(domain), true, dns.MX, dns.A, dns.AAAA)
	switch dns.StatusOf(err) {
	case 0:
		if len(a.Records) == 1 && a.Records[0].Text == "" && !a.Records[0].Addr.IsValid() {
			return x.nullMX(domain, subject, kind)
		}
		return dunno
	case dns.Temporary:
		return x.tempFail(x.cfg.AddressTempFail, x.verdict(450, DomainNotFound, subject, kind, ""))
	case dns.Malformed:
		return x.refuse(x.cfg.UnknownAddressCode, MalformedDNS, subject, kind, "")
	}
	return x.refuse(x.cfg.UnknownAddressCode, DomainNotFound, subject, kind, "")
}

// nullMX refuses an address of a domain that takes no mail; RFC 7505 §4.
func (x *query) nullMX(domain, subject, kind string) outcome {
	code := 556
	if kind == ClassSender {
		code = 550
	}
	return x.refuse(code, NullMX, subject, kind, domain)
}

// tempFail does what the setting of a restriction says when the DNS has no
// answer now.
func (x *query) tempFail(action string, v Verdict) outcome {
	switch strings.ToLower(action) {
	case "defer_if_permit":
		return x.deferIfPermit(v)
	case "defer":
		return x.reject(v)
	}
	return x.misconfigured("a tempfail_action is %q; it is defer or defer_if_permit", action)
}

// runBackup permits a domain that names this host as an MX, but not as the
// first, and whose first hosts are in permit_mx_backup_networks if it is set.
func runBackup(x *query, _ *item) outcome {
	if x.authorized() {
		return permit
	}
	domain := trimDot(x.rcpt.Address.Domain)
	if x.sourceRouted() && !x.cfg.UntrustedRoute || domain == "" || strings.HasPrefix(domain, "[") {
		return dunno
	}
	a, err := x.lookup(ascii(domain), dns.MX)
	if err != nil {
		if dns.StatusOf(err) == dns.Temporary {
			return x.deferIfReject(x.verdict(450, NoMailExchanger, x.recipient(), ClassRecipient,
				"Unable to look up mail exchanger information: Host not found, try again"))
		}
		return dunno
	}
	list := slices.SortedFunc(slices.Values(a.Records), func(a, b dns.Record) int { return int(a.Pref) - int(b.Pref) })
	n := 0
	for n < len(list) && list[n].Pref == list[0].Pref {
		n++
	}
	if mine, err := x.isMX(list[:n]); mine || err != nil {
		return dunno
	}
	if mine, err := x.isMX(list[n:]); !mine || err != nil {
		return dunno
	}
	return x.backupAllowed(list[:n])
}

// isMX reports whether one of the hosts is this one.
func (x *query) isMX(list []dns.Record) (bool, error) {
	own, err := x.ownAddrs()
	if err != nil {
		return false, err
	}
	for _, mx := range list {
		if d, err := x.view.Domain(x.ctx, mx.Text); err == nil && d != nil && d.Active && d.Class == schema.Local || strings.EqualFold(mx.Text, x.cfg.Hostname) {
			return true, nil
		}
	}
	for _, mx := range list {
		addrs, err := x.addrs(mx.Text)
		if err != nil && !dns.NotFound(err) {
			x.deferIfReject(x.verdict(450, NoMailExchanger, x.recipient(), ClassRecipient,
				"Unable to look up mail exchanger host "+mx.Text+": Host not found, try again"))
			return false, err
		}
		for _, a := range addrs {
			if slices.Contains(own, a) {
				return true, nil
			}
		}
	}
	return false, nil
}

// backupAllowed reports whether all addresses of the first hosts are in
// permit_mx_backup_networks.
func (x *query) backupAllowed(primaries []dns.Record) outcome {
	if len(x.cfg.BackupNetworks) == 0 {
		return permit
	}
	text := strings.Join(x.cfg.BackupNetworks, " ")
	nets := remember(x.made, x.made.nets, text, func() *netPattern { return parseNets(text) })
	if nets.bad != "" {
		return x.misconfigured("setting permit_mx_backup_networks: %s", nets.bad)
	}
	for _, mx := range primaries {
		addrs, err := x.addrs(mx.Text)
		if err != nil {
			return x.deferIfReject(x.verdict(450, NoMailExchanger, x.recipient(), ClassRecipient,
				"Unable to look up host "+mx.Text+" as mail exchanger: Host not found, try again"))
		}
		for _, a := range addrs {
			yes, out := x.peerInNets("permit_mx_backup_networks", nets, mx.Text, a)
			if out == refused || !yes {
				return out
			}
		}
	}
	return permit
}

// warnDNS logs a look-up that failed and changes nothing.
func (x *query) warnDNS(what string, err error) {
	maillog.Event(x.s.e.d.Log, slog.LevelWarn, maillog.SMTPD, "warning: "+what+": "+err.Error(), "DNS look-up failed",
		slog.String(maillog.Reason, what), slog.Any(maillog.Err, err))
}
