// Package dmarc judges whether the author domain of a message is the one that
// authenticated it, and what its owner asks for when it is not: RFC 9989.
package dmarc

import "strings"

// Policy is what a domain owner asks for.
type Policy string

const (
	NoPolicy   Policy = "none"
	Quarantine Policy = "quarantine"
	Reject     Policy = "reject"
)

// Record is a policy record, RFC 9989 §4.7.
type Record struct {
	Policy      Policy
	Subdomain   Policy // '' is Policy
	NonExistent Policy // '' is Subdomain
	StrictDKIM  bool
	StrictSPF   bool
	PSD         byte // y, n, u
	Testing     bool
	Reports     string // rua, as written
	Text        string // all of it
}

// maxRecord bounds a record.
const maxRecord = 4096

// Parse reads the text of a TXT record. ok is false for one that is no policy
// record, or that says nothing that can be followed.
func Parse(text string) (r Record, ok bool) {
	if len(text) > maxRecord {
		return r, false
	}
	r.PSD, r.Text = 'u', text
	tags := strings.Split(text, ";")
	if name, value := cut(tags[0]); !strings.EqualFold(name, "v") || value != "DMARC1" {
		return r, false
	}
	bad := false // p, sp or np cannot be read
	for _, tag := range tags[1:] {
		name, written := cut(tag)
		value := strings.ToLower(written)
		switch strings.ToLower(name) {
		case "p":
			r.Policy = policyOf(value)
			bad = bad || r.Policy == ""
		case "sp":
			r.Subdomain = policyOf(value)
			bad = bad || r.Subdomain == ""
		case "np":
			r.NonExistent = policyOf(value)
			bad = bad || r.NonExistent == ""
		case "adkim":
			r.StrictDKIM = value == "s"
		case "aspf":
			r.StrictSPF = value == "s"
		case "psd":
			if value == "y" || value == "n" {
				r.PSD = value[0]
			}
		case "t":
			r.Testing = value == "y"
		case "rua":
			r.Reports = written
		}
	}
	if r.Policy == "" || bad {
		if !strings.Contains(strings.ToLower(r.Reports), "mailto:") {
			return r, false
		}
		r.Policy, r.Subdomain, r.NonExistent = NoPolicy, "", ""
	}
	return r, true
}

func cut(tag string) (name, value string) {
	name, value, _ = strings.Cut(tag, "=")
	return strings.Trim(name, " \t\r\n"), strings.Trim(value, " \t\r\n")
}

func policyOf(value string) Policy {
	switch p := Policy(value); p {
	case NoPolicy, Quarantine, Reject:
		return p
	}
	return ""
}

// For is the policy for an author domain: sub says that it is below the domain
// of the record, missing that it is not in the DNS.
func (r Record) For(sub, missing bool) Policy {
	p := r.Policy
	if sub && r.Subdomain != "" {
		p = r.Subdomain
	}
	if sub && missing && r.NonExistent != "" {
		p = r.NonExistent
	}
	if r.Testing { // RFC 9989 §4.7: one step milder
		switch p {
		case Reject:
			return Quarantine
		case Quarantine:
			return NoPolicy
		}
	}
	return p
}
