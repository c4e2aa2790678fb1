package dmarc

import (
	"strings"

	"mailserver/internal/dns"
)

// Lookup asks the DNS; an error is a *dns.Error.
type Lookup func(name string, t dns.Type) (*dns.Answer, error)

// Results of an evaluation, RFC 8601 and RFC 9989 §9.
const (
	None      = "none"
	Pass      = "pass"
	Fail      = "fail"
	TempError = "temperror"
	PermError = "permerror"
)

// Result is the outcome for a message.
type Result struct {
	Result string
	From   string // the author domain
	Policy Policy // what its owner asks for mail that fails; none if nothing
	Domain string // where the record was found; '' nowhere
	Record Record // if Domain is not ''
	// SPF and DKIM say which has authenticated the author domain.
	SPF, DKIM bool
}

// Identity is what has authenticated a message.
type Identity struct {
	SPF  string   // domain of a MAIL FROM that passed SPF; '' if none
	DKIM []string // domains of signatures that are good
	// Unknown says that a check could not be made now: a failure for want of
	// it would be wrong.
	Unknown bool
}

// maxLabels bounds a walk, RFC 9989 §4.10.
const maxLabels = 8

// maxSignatures bounds the signing domains that are compared, each of which
// may cost a walk.
const maxSignatures = 5

// Evaluate judges a message by its author domain, in ASCII.
func Evaluate(lookup Lookup, from string, id Identity) Result {
	from = strings.ToLower(strings.TrimSuffix(from, "."))
	res := Result{Result: None, From: from, Policy: NoPolicy}
	if from == "" || !strings.Contains(from, ".") {
		res.Result = PermError
		return res
	}
	w := walker{lookup: lookup, seen: make(map[string]found)}
	policy, org, err := w.policy(from)
	if err != nil {
		res.Result = TempError
		return res
	}
	if policy == nil {
		return res
	}
	res.Domain, res.Record = policy.domain, policy.record
	res.SPF, res.DKIM, err = w.aligned(from, org, policy.record, id)
	aligned := res.SPF || res.DKIM
	if aligned {
		res.Result = Pass
	}
	sub := policy.domain != from
	missing := false
	if sub && policy.record.NonExistent != "" && !aligned && err == nil {
		missing, err = w.missing(from)
	}
	switch {
	case aligned:
	case err != nil || id.Unknown:
		res.Result = TempError
		return res
	default:
		res.Result = Fail
	}
	res.Policy = policy.record.For(sub, missing)
	return res
}

// found is a record and where it stands.
type found struct {
	domain string
	record Record
	ok     bool
	err    error
}

// walker remembers the answers of one evaluation.
type walker struct {
	lookup Lookup
	seen   map[string]found
}

// at returns the record of one name. More than one is none, RFC 9989 §4.10.
func (w *walker) at(domain string) found {
	if f, ok := w.seen[domain]; ok {
		return f
	}
	f := found{domain: domain}
	a, err := w.lookup("_dmarc."+domain, dns.TXT)
	switch {
	case err != nil && dns.StatusOf(err) == dns.Temporary:
		f.err = err
	case err == nil:
		for _, rec := range a.Records {
			r, ok := Parse(rec.Text)
			if !ok {
				continue
			}
			if f.ok {
				f.ok = false
				break
			}
			f.record, f.ok = r, true
		}
	}
	w.seen[domain] = f
	return f
}

// walk returns the records of a domain and those above it, from the bottom:
// the DNS tree walk of RFC 9989 §4.10.
func (w *walker) walk(domain string) ([]found, error) {
	var list []found
	for first := true; domain != ""; first = false {
		f := w.at(domain)
		if f.err != nil {
			return nil, f.err
		}
		if f.ok {
			list = append(list, f)
			if f.record.PSD != 'u' && (f.record.PSD == 'n' || !first) {
				break
			}
		}
		labels := strings.Split(domain, ".")
		drop := 1
		if len(labels) > maxLabels-1 {
			drop = len(labels) - (maxLabels - 1)
		}
		domain = strings.Join(labels[drop:], ".")
	}
	return list, nil
}

// organization is the Organizational Domain of a domain, by the records of its
// walk; RFC 9989 §4.10.2.
func organization(domain string, list []found) string {
	org := domain
	for _, f := range list {
		switch {
		case f.record.PSD == 'n':
			return f.domain
		case f.record.PSD == 'y' && f.domain != domain:
			return below(domain, f.domain)
		}
		org = f.domain // that with the fewest labels is the last
	}
	return org
}

// below is the domain one label below top on the way to domain.
func below(domain, top string) string {
	rest := strings.TrimSuffix(domain, "."+top)
	return rest[strings.LastIndexByte(rest, '.')+1:] + "." + top
}

// policy returns the record that applies to an author domain, and its
// Organizational Domain; nil if there is none. RFC 9989 §4.10.1
func (w *walker) policy(from string) (*found, string, error) {
	own := w.at(from)
	if own.err != nil {
		return nil, "", own.err
	}
	list, err := w.walk(from)
	if err != nil {
		return nil, "", err
	}
	org := organization(from, list)
	if own.ok {
		return &own, org, nil
	}
	for _, name := range []string{org, top(list)} {
		for i := range list {
			if list[i].domain == name {
				return &list[i], org, nil
			}
		}
	}
	return nil, org, nil
}

// top is the domain of a public suffix, if the walk has ended there.
func top(list []found) string {
	if n := len(list); n > 0 && list[n-1].record.PSD == 'y' {
		return list[n-1].domain
	}
	return ""
}

// aligned reports whether the domain of SPF, and one of DKIM, is the author
// domain, or with relaxed alignment of the same organization. An error counts
// only when neither is.
func (w *walker) aligned(from, org string, r Record, id Identity) (bySPF, byDKIM bool, err error) {
	try := func(domain string, strict bool) bool {
		domain = strings.ToLower(strings.TrimSuffix(domain, "."))
		if domain == "" || strict || domain == from {
			return domain != "" && domain == from
		}
		list, problem := w.walk(domain)
		if problem != nil {
			err = problem
			return false
		}
		return organization(domain, list) == org
	}
	bySPF = try(id.SPF, r.StrictSPF)
	for _, d := range id.DKIM[:min(len(id.DKIM), maxSignatures)] {
		if byDKIM = try(d, r.StrictDKIM); byDKIM {
			break
		}
	}
	return bySPF, byDKIM, err
}

// missing reports whether a domain is not in the DNS: no A, AAAA or MX;
// RFC 9989 §3.2.
func (w *walker) missing(domain string) (bool, error) {
	for _, t := range []dns.Type{dns.A, dns.AAAA, dns.MX} {
		_, err := w.lookup(domain, t)
		switch {
		case err == nil:
			return false, nil
		case dns.StatusOf(err) == dns.NoName:
			return true, nil
		case !dns.NotFound(err):
			return false, err
		}
	}
	return true, nil
}
