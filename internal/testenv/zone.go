package testenv

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"mailserver/delivery/remote"
)

// zoneServer is a small DNS server that answers from one zone file, for every
// name there is: what the file lacks does not exist. It is also the resolver
// that asks it, over a real socket.
type zoneServer struct {
	addr    string
	records map[string][]dns.RR // by lower-case name
}

// startZone serves a zone file with the origin "." until the test ends.
func startZone(t testing.TB, text string) *zoneServer {
	t.Helper()
	z := &zoneServer{records: make(map[string][]dns.RR)}
	p := dns.NewZoneParser(strings.NewReader(text), ".", "zone")
	p.SetDefaultTTL(60)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		z.records[name] = append(z.records[name], rr)
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	z.addr = conn.LocalAddr().String()
	srv := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(z.answer)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.ActivateAndServe()
	}()
	t.Cleanup(func() {
		conn.Close() // ends ActivateAndServe, also before it has begun
		<-done
	})
	return z
}

// answer replies with the records of the name and type; SERVFAIL for names
// below "servfail.", so that a script can show a resolver that fails.
func (z *zoneServer) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	name := strings.ToLower(q.Question[0].Name)
	rrs, exists := z.records[name]
	if strings.HasSuffix(name, "servfail.") {
		m.Rcode = dns.RcodeServerFailure
	} else if !exists {
		m.Rcode = dns.RcodeNameError
	}
	for _, rr := range rrs {
		if t := rr.Header().Rrtype; t == q.Question[0].Qtype || t == dns.TypeCNAME {
			m.Answer = append(m.Answer, rr)
		}
	}
	w.WriteMsg(m)
}

// ask sends a question over the socket.
func (z *zoneServer) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	c := &dns.Client{Timeout: 2 * time.Second}
	r, _, err := c.ExchangeContext(ctx, m, z.addr)
	switch {
	case err != nil:
		return nil, &net.DNSError{Err: err.Error(), Name: name, IsTemporary: true}
	case r.Rcode == dns.RcodeNameError || r.Rcode == dns.RcodeSuccess && len(r.Answer) == 0:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case r.Rcode != dns.RcodeSuccess:
		return nil, &net.DNSError{Err: dns.RcodeToString[r.Rcode], Name: name, IsTemporary: true}
	}
	return r.Answer, nil
}

// MX is remote.Resolver.
func (z *zoneServer) MX(ctx context.Context, domain string) ([]remote.MX, error) {
	rrs, err := z.ask(ctx, domain, dns.TypeMX)
	var list []remote.MX
	for _, rr := range rrs {
		if mx, ok := rr.(*dns.MX); ok {
			list = append(list, remote.MX{Preference: mx.Preference, Host: strings.TrimSuffix(mx.Mx, ".")})
		}
	}
	return list, err
}

// Addresses is remote.Resolver.
func (z *zoneServer) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	rrs, err := z.ask(ctx, host, dns.TypeA)
	six, err6 := z.ask(ctx, host, dns.TypeAAAA)
	var list []netip.Addr
	for _, rr := range append(rrs, six...) {
		switch rr := rr.(type) {
		case *dns.A:
			a, _ := netip.AddrFromSlice(rr.A)
			list = append(list, a.Unmap())
		case *dns.AAAA:
			a, _ := netip.AddrFromSlice(rr.AAAA)
			list = append(list, a)
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	if err == nil {
		err = err6
	}
	return nil, err
}

const unknown = "unknown"

// peerName names a client by its PTR record, when that leads back.
func (z *zoneServer) peerName(ctx context.Context, a netip.Addr) (name, reverse string, tempfail bool) {
	arpa, err := dns.ReverseAddr(a.Unmap().String())
	if err != nil {
		return unknown, unknown, false
	}
	rrs, err := z.ask(ctx, arpa, dns.TypePTR)
	if len(rrs) == 0 {
		return unknown, unknown, temporary(err)
	}
	ptr, ok := rrs[0].(*dns.PTR)
	if !ok {
		return unknown, unknown, false
	}
	reverse = strings.TrimSuffix(ptr.Ptr, ".")
	addrs, err := z.Addresses(ctx, reverse)
	for _, b := range addrs {
		if b == a.Unmap() {
			return reverse, reverse, false
		}
	}
	return unknown, reverse, temporary(err)
}

func temporary(err error) bool {
	e, ok := err.(*net.DNSError)
	return ok && !e.IsNotFound
}
