package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Type is a record type.
type Type = uint16

// Types that look-ups ask for.
const (
	A     Type = dns.TypeA
	AAAA  Type = dns.TypeAAAA
	CNAME Type = dns.TypeCNAME
	MX    Type = dns.TypeMX
	NS    Type = dns.TypeNS
	PTR   Type = dns.TypePTR
	SRV   Type = dns.TypeSRV
	TLSA  Type = dns.TypeTLSA
	TXT   Type = dns.TypeTXT
)

// TypeName is how zone files write a type.
func TypeName(t Type) string { return dns.TypeToString[t] }

// Status is why there is no answer.
type Status int

const (
	// NoName: the name does not exist (NXDOMAIN).
	NoName Status = iota + 1
	// NoData: the name exists, without records of the type.
	NoData
	// Temporary: no answer could be had now: SERVFAIL, REFUSED, a timeout.
	Temporary
	// Malformed: the answer cannot be read, or names no valid hosts.
	Malformed
)

// Error is a look-up without answer.
type Error struct {
	Name   string
	Type   Type
	Status Status
	Err    error // may be nil
}

// Error says it as Postfix's log does.
func (e *Error) Error() string {
	text := map[Status]string{NoName: "Host not found", NoData: "Host found but no data record of requested type",
		Temporary: "Host not found, try again", Malformed: "Malformed or unexpected name server reply"}[e.Status]
	s := fmt.Sprintf("Name service error for name=%s type=%s: %s", e.Name, dns.TypeToString[e.Type], text)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// StatusOf returns why a look-up failed; 0 for nil.
func StatusOf(err error) Status {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Status
	}
	return Temporary
}

// NotFound reports whether err says for certain that there is no such record.
func NotFound(err error) bool {
	s := StatusOf(err)
	return s == NoName || s == NoData
}

// Record is one record of the type that was asked for.
type Record struct {
	Addr netip.Addr // A, AAAA
	Text string     // the host of MX, NS, PTR, CNAME without dot at the end; TXT joined; else as in a zone file
	Pref uint16     // MX
}

// Answer is what a look-up found: at least one record. It is shared: do not
// change it.
type Answer struct {
	Records   []Record
	Name      string // owner of the records: what was asked for, or what it is an alias of
	TTL       time.Duration
	Authentic bool // validated by a resolver that is believed
}

// Config is how a Resolver asks. The zero value asks as resolv.conf(5) says.
type Config struct {
	Servers  []string      // host:port; nil: those of resolv.conf
	File     string        // '' is /etc/resolv.conf
	Timeout  time.Duration // of one attempt; 0: resolv.conf, at most 5 s
	Attempts int           // at each server; 0: resolv.conf, at most 2
	Entries  int           // of the cache; 0: 1000, below 0: no cache

	Now  func() time.Time                                                  // nil: time.Now
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer
}

// Resolver asks and remembers. Its methods may be called from any goroutine.
type Resolver struct {
	c      Config
	system systemConfig
	cache  *cache
}

// New returns a Resolver.
func New(c Config) *Resolver {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.File == "" {
		c.File = "/etc/resolv.conf"
	}
	if c.Entries == 0 {
		c.Entries = 1000
	}
	return &Resolver{c: c, cache: newCache(c.Entries, c.Now)}
}

// Lookup asks for the records of a name, following aliases. The name is whole:
// nothing is appended to it. An error is an *Error.
func (r *Resolver) Lookup(ctx context.Context, name string, t Type) (*Answer, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, ok := dns.IsDomainName(name); !ok || name == "" || strings.Contains(name, "..") || name[0] == '.' {
		return nil, &Error{Name: name, Type: t, Status: NoName}
	}
	return r.cache.get(ctx, key{name, t}, func(ctx context.Context) (*Answer, time.Duration, error) {
		return r.ask(ctx, name, t)
	})
}

// ask sends the question to each server in turn until one has an answer, and
// says how long it may be kept.
func (r *Resolver) ask(ctx context.Context, name string, t Type) (*Answer, time.Duration, error) {
	set, err := r.settings()
	if err != nil {
		return nil, 0, &Error{name, t, Temporary, err}
	}
	last := fmt.Errorf("no name server")
	for range set.attempts {
		for _, server := range set.servers {
			reply, err := r.exchange(ctx, server, name, t, set.timeout)
			if err == nil && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError) {
				return r.read(reply, name, t, set.believed(server))
			}
			if err == nil {
				err = fmt.Errorf("%s: %s", server, dns.RcodeToString[reply.Rcode])
			}
			if errors.Is(err, errMalformed) {
				return nil, tempTTL, &Error{name, t, Malformed, err}
			}
			if last = err; ended(ctx) {
				return nil, 0, &Error{name, t, Temporary, gaveUp(ctx)}
			}
		}
	}
	return nil, tempTTL, &Error{name, t, Temporary, last}
}

// errMalformed marks a reply that cannot be read.
var errMalformed = errors.New("reply cannot be read")

// exchange asks one server by UDP, and by TCP if the answer does not fit.
func (r *Resolver) exchange(ctx context.Context, server, name string, t Type, timeout time.Duration) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), t)
	q.SetEdns0(maxUDP, false)
	q.AuthenticatedData = true // RFC 6840 §5.7: we want to know
	reply, err := r.over(ctx, "udp", server, q, timeout)
	if err == nil && reply.Truncated {
		return r.over(ctx, "tcp", server, q, timeout)
	}
	if err == nil && reply.Rcode == dns.RcodeFormatError { // a server from before EDNS
		q.Extra = nil
		return r.over(ctx, "udp", server, q, timeout)
	}
	return reply, err
}

// maxUDP keeps answers from being fragmented; DNS flag day 2020.
const maxUDP = 1232

func (r *Resolver) over(ctx context.Context, network, server string, q *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := r.c.Dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if d, ok := ctx.Deadline(); ok {
		conn.SetDeadline(d)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	co := &dns.Conn{Conn: conn, UDPSize: maxUDP}
	if err := co.WriteMsg(q); err != nil {
		return nil, err
	}
	return readReply(co, q, network == "tcp")
}

// readReply waits for the reply to q; over UDP what belongs to another
// question is somebody's attempt to lie, and is passed over.
func readReply(co *dns.Conn, q *dns.Msg, stream bool) (*dns.Msg, error) {
	for {
		raw, err := co.ReadMsgHeader(nil)
		if err != nil {
			return nil, err
		}
		reply := new(dns.Msg)
		err = reply.Unpack(raw)
		mine := len(raw) >= 12 && uint16(raw[0])<<8|uint16(raw[1]) == q.Id
		switch {
		case !mine && !stream:
			continue
		case err != nil || !mine:
			return nil, fmt.Errorf("%w: %v", errMalformed, err)
		case !sameQuestion(q, reply):
			if stream {
				return nil, fmt.Errorf("%w: to another question", errMalformed)
			}
			continue
		}
		return reply, nil
	}
}

func sameQuestion(q, reply *dns.Msg) bool {
	if !reply.Response || len(reply.Question) != 1 {
		return reply.Response && len(reply.Question) == 0 && reply.Rcode != dns.RcodeSuccess
	}
	a, b := q.Question[0], reply.Question[0]
	return a.Qtype == b.Qtype && a.Qclass == b.Qclass && strings.EqualFold(a.Name, b.Name)
}
