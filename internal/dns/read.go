package dns

import (
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of how long answers are kept, whatever they say of themselves.
const (
	maxTTL  = time.Hour
	maxNoID = 5 * time.Minute // that there is none
	tempTTL = 5 * time.Second // that there was no answer
)

const (
	maxAliases = 16  // CNAMEs in a row
	maxRecords = 200 // of one answer
	maxText    = 4096
)

// read takes the records out of a reply.
func (r *Resolver) read(reply *dns.Msg, name string, t Type, believed bool) (*Answer, time.Duration, error) {
	a := &Answer{TTL: maxTTL, Authentic: reply.AuthenticatedData && believed}
	owner := follow(reply.Answer, dns.Fqdn(name), t, a)
	a.Name = strings.TrimSuffix(owner, ".")
	bad := false
	for _, rr := range reply.Answer {
		h := rr.Header()
		if h.Rrtype != t || !strings.EqualFold(h.Name, owner) || len(a.Records) >= maxRecords {
			continue
		}
		rec, ok := record(rr)
		if !ok {
			bad = true
			continue
		}
		a.Records = append(a.Records, rec)
		a.TTL = min(a.TTL, time.Duration(h.Ttl)*time.Second)
	}
	switch {
	case reply.Rcode == dns.RcodeNameError: // whatever else it says, as resolver(3)
		return nil, negativeTTL(reply), &Error{name, t, NoName, nil}
	case len(a.Records) > 0:
		return a, a.TTL, nil
	case bad:
		return nil, tempTTL, &Error{name, t, Malformed, nil}
	}
	return nil, negativeTTL(reply), &Error{name, t, NoData, nil}
}

// follow returns the name that a chain of aliases in the answer leads to.
func follow(answer []dns.RR, owner string, t Type, a *Answer) string {
	if t == CNAME {
		return owner
	}
	for range maxAliases {
		next := ""
		for _, rr := range answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, owner) {
				next = c.Target
				a.TTL = min(a.TTL, time.Duration(c.Hdr.Ttl)*time.Second)
				break
			}
		}
		if next == "" {
			break
		}
		owner = next
	}
	return owner
}

// record reads one record; ok is false for a host that can be none.
func record(rr dns.RR) (rec Record, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		addr, ok := netip.AddrFromSlice(rr.A.To4())
		return Record{Addr: addr}, ok
	case *dns.AAAA:
		addr, ok := netip.AddrFromSlice(rr.AAAA.To16())
		return Record{Addr: addr}, ok
	case *dns.MX:
		host := strings.TrimSuffix(rr.Mx, ".")
		return Record{Text: host, Pref: rr.Preference}, host == "" || validHost(host)
	case *dns.NS:
		return hostRecord(rr.Ns)
	case *dns.PTR:
		return hostRecord(rr.Ptr)
	case *dns.CNAME:
		return hostRecord(rr.Target)
	case *dns.TXT:
		text := strings.Join(rr.Txt, "")
		return Record{Text: unescape(text[:min(len(text), maxText)])}, true
	}
	return Record{Text: strings.TrimPrefix(rr.String(), rr.Header().String())}, true
}

func hostRecord(name string) (Record, bool) {
	host := strings.TrimSuffix(name, ".")
	return Record{Text: host}, validHost(host)
}

// validHost: letters, digits, hyphens, underscores; addresses in place of
// names are let through, they are common and can be connected to.
func validHost(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return !strings.Contains(s, "..") && s[0] != '.' && s[0] != '-'
}

// unescape undoes \DDD and \X, in which package dns gives the bytes of a text.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+3 < len(s) && isDigit(s[i+1]) && isDigit(s[i+2]) && isDigit(s[i+3]) {
			b.WriteByte((s[i+1]-'0')*100 + (s[i+2]-'0')*10 + s[i+3] - '0')
			i += 3
			continue
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// negativeTTL is how long "there is none" may be kept; RFC 2308 §5.
func negativeTTL(reply *dns.Msg) time.Duration {
	for _, rr := range reply.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(maxNoID, time.Duration(min(soa.Hdr.Ttl, soa.Minttl))*time.Second)
		}
	}
	return 0
}
