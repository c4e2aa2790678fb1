// Package mtasts finds the MTA-STS policy of a domain that mail goes to, RFC
// 8461, and remembers it as long as the domain asks.
package mtasts

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Modes of a policy.
const (
	Enforce = "enforce"
	Testing = "testing"
	None    = "none"
)

// Policy is what a domain asks of those who send to it.
type Policy struct {
	ID      string // of the TXT record it came by
	Mode    string
	MX      []string // host names in lower case; *.name stands for one label more
	Expires time.Time
}

const (
	policyMost = 64 << 10
	maxAge     = 31557600 // seconds, RFC 8461 §3.2
	mostMX     = 100
)

// parse reads a policy file, RFC 8461 §3.2.
func parse(text string, now time.Time) (*Policy, error) {
	p := &Policy{}
	version, age := "", int64(-1)
	for line := range strings.SplitSeq(text, "\n") {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r"), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(name) {
		case "version":
			version = value
		case "mode":
			p.Mode = value
		case "max_age":
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("max_age %.20q is no number", value)
			}
			age = min(n, maxAge)
		case "mx":
			if len(p.MX) < mostMX {
				p.MX = append(p.MX, strings.ToLower(strings.TrimSuffix(value, ".")))
			}
		}
	}
	switch {
	case version != "STSv1":
		return nil, fmt.Errorf("version is %.20q, not STSv1", version)
	case p.Mode != Enforce && p.Mode != Testing && p.Mode != None:
		return nil, fmt.Errorf("mode is %.20q", p.Mode)
	case age < 0:
		return nil, fmt.Errorf("no max_age")
	case len(p.MX) == 0 && p.Mode != None:
		return nil, fmt.Errorf("no mx")
	}
	p.Expires = now.Add(time.Duration(age) * time.Second)
	return p, nil
}

// Lines is the policy, as reports say it. RFC 8460 §4.4
func (p *Policy) Lines() []string {
	lines := []string{"version: STSv1", "mode: " + p.Mode}
	for _, mx := range p.MX {
		lines = append(lines, "mx: "+mx)
	}
	return lines
}

// Hosts are the patterns of its mail exchangers.
func (p *Policy) Hosts() []string { return p.MX }

// Enforced reports whether mail must not go where the policy does not allow it.
func (p *Policy) Enforced() bool { return p.Mode == Enforce }

// Allows reports whether the policy names a mail exchanger, RFC 8461 §4.1.
func (p *Policy) Allows(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, mx := range p.MX {
		if rest, ok := strings.CutPrefix(mx, "*."); ok {
			if _, above, ok := strings.Cut(host, "."); ok && above == rest {
				return true
			}
		} else if mx == host {
			return true
		}
	}
	return false
}

// recordID returns the id of the one STSv1 record among TXT records; ” if
// there is none, or more than one. RFC 8461 §3.1
func recordID(txt []string) string {
	id, n := "", 0
	for _, rec := range txt {
		fields := strings.Split(rec, ";")
		if strings.TrimSpace(fields[0]) != "v=STSv1" {
			continue
		}
		n++
		for _, f := range fields[1:] {
			if v, ok := strings.CutPrefix(strings.TrimSpace(f), "id="); ok {
				id = v
			}
		}
	}
	if n != 1 || len(id) > 32 || strings.Trim(strings.ToLower(id), "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return ""
	}
	return id
}
