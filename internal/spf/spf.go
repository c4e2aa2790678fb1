// Package spf checks who may send for a domain, RFC 7208: a record is read
// whole (record.go), its macros are filled in (macro.go), its mechanisms asked
// one after another (eval.go). Look-ups go through a function of the caller.
package spf

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"mailserver/internal/dns"
)

// Lookup asks the DNS; an error is a *dns.Error.
type Lookup func(name string, t dns.Type) (*dns.Answer, error)

// Results of a check, RFC 7208 §2.6.
const (
	None      = "none"
	Neutral   = "neutral"
	Pass      = "pass"
	Fail      = "fail"
	SoftFail  = "softfail"
	TempError = "temperror"
	PermError = "permerror"
)

// Result is the outcome of a check.
type Result struct {
	Result string
	Domain string // whose record was asked
	Helo   bool   // it is that of the HELO name: there was no sender
	Why    string // the mechanism or fault that decided; for people
	// Explanation is what the owner of the domain says of a Fail; '' if
	// nothing. It is a stranger's text: printable ASCII, no more is known.
	Explanation string
}

// Client is who sends.
type Client struct {
	Addr netip.Addr
	Helo string
	Host string           // that makes the check: %{r}
	Now  func() time.Time // nil: time.Now
}

// Check evaluates MAIL FROM, or for the null sender the HELO name
// (RFC 7208 §2.4).
func Check(lookup Lookup, who Client, from string) Result {
	at := strings.LastIndexByte(from, '@')
	c := check{lookup: lookup, ip: who.Addr.Unmap(), helo: who.Helo, host: who.Host, now: who.Now,
		local: from[:max(at, 0)], origin: from[at+1:]}
	r := Result{Domain: c.origin}
	if c.origin == "" {
		r.Domain, r.Helo = who.Helo, true
		c.origin = who.Helo
	}
	if c.local == "" {
		c.local = "postmaster" // RFC 7208 §4.3
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.host == "" {
		c.host = "unknown"
	}
	var err error
	r.Result, err = c.domain(strings.TrimSuffix(r.Domain, "."), true)
	r.Why = c.why
	var f *fault
	if errors.As(err, &f) {
		r.Result, r.Why = f.result, f.why
	}
	if r.Result == Fail {
		r.Explanation = c.explanation()
	}
	return r
}

// Received is the Received-SPF field, RFC 7208 §9.1, without line end.
func (r Result) Received(host string, ip netip.Addr, helo, from string) string {
	if r.Helo {
		from = "postmaster@" + helo
	}
	identity := "mailfrom"
	if r.Helo {
		identity = "helo"
	}
	return fmt.Sprintf("Received-SPF: %s (%s: domain of %s: %s)\r\n\tclient-ip=%s; envelope-from=%s; helo=%s;\r\n\treceiver=%s; identity=%s",
		strings.ToUpper(r.Result[:1])+r.Result[1:], host, comment(r.Domain), comment(r.Why), ip, quoted(from), quoted(helo), host, identity)
}

// comment keeps what strangers chose from ending a comment.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune(`()\`, r) {
			return '?'
		}
		return r
	}, s)
}

// quoted is a quoted-string, RFC 5322 §3.2.4.
func quoted(s string) string {
	return `"` + strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s) + `"`
}
