// Package dnstest is a real DNS server on loopback for tests: a zone in the
// form of RFC 1035 §5, and the ways in which servers fail.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Server answers from its zone. Its methods may be called while it runs.
type Server struct {
	Addr string // host:port, UDP and TCP

	mu        sync.Mutex
	records   map[string][]dns.RR // by name in lower case
	faults    map[string]Fault
	asked     map[string]int // by name and type
	truncate  bool
	authentic bool
}

// Fault is how a name is answered instead of its records.
type Fault struct {
	Rcode   int           // such as dns.RcodeServerFailure
	Silent  bool          // no answer at all
	Delay   time.Duration // before the answer
	Raw     []byte        // sent as it is behind the ID
	Lie     bool          // an answer to another question
	WrongID bool          // an answer with another ID
	Denied  bool          // the records, and that there is no such name

	Unsigned bool // the records of the name, and answers with them, without the AD bit
}

// Start runs a server until the test ends.
func Start(t testing.TB, zone string) *Server {
	t.Helper()
	pc, l := listen(t)
	return serve(t, zone, pc, l)
}

// StartAt runs it at an address.
func StartAt(t testing.TB, addr, zone string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, zone, pc, l)
}

func serve(t testing.TB, zone string, pc net.PacketConn, l net.Listener) *Server {
	t.Helper()
	s := &Server{faults: make(map[string]Fault), asked: make(map[string]int)}
	s.Set(t, zone)
	s.Addr = pc.LocalAddr().String()
	for _, srv := range []*dns.Server{{PacketConn: pc, Handler: s}, {Listener: l, Handler: s}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			srv.ActivateAndServe()
		}()
		<-started
		t.Cleanup(func() {
			srv.Shutdown()
			<-done
		})
	}
	return s
}

// listen finds a port that is free for UDP and TCP.
func listen(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	var err error
	for range 20 {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			break
		}
		var pc net.PacketConn
		if pc, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			return pc, l
		}
		l.Close()
	}
	t.Fatal(err)
	return nil, nil
}

// Set replaces the zone. Names without a dot at the end are whole all the same.
func (s *Server) Set(t testing.TB, zone string) {
	t.Helper()
	records, err := parse(zone)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = records
}

func parse(zone string) (map[string][]dns.RR, error) {
	p := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	p.SetDefaultTTL(300)
	records := make(map[string][]dns.RR)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		records[name] = append(records[name], rr)
	}
	return records, p.Err()
}

// Fail makes a name fail; the zero Fault heals it.
func (s *Server) Fail(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[strings.ToLower(dns.Fqdn(name))] = f
}

// hopelessAfter is how long Dial's connections wait for an answer that never
// comes.
const hopelessAfter = 30 * time.Millisecond

// Dial is for dns.Config: the time of a question that will have no answer, or
// one only after a second, is soon up, all others have the time that they were given. So a test of
// faults is quick, and a busy machine makes no faults of its own.
func (s *Server) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if udp, ok := c.(*net.UDPConn); ok {
		return hasty{udp, s}, err
	}
	return c, err
}

type hasty struct {
	*net.UDPConn
	s *Server
}

func (c hasty) Write(p []byte) (int, error) {
	n, err := c.UDPConn.Write(p)
	q := new(dns.Msg)
	if err == nil && q.Unpack(p) == nil && c.s.hopeless(q.Question[0].Name) {
		c.SetReadDeadline(time.Now().Add(hopelessAfter))
	}
	return n, err
}

// hopeless reports whether who asks for a name waits in vain.
func (s *Server) hopeless(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.faults[strings.ToLower(name)]
	return f.Silent || f.Lie || f.WrongID || f.Delay >= time.Second
}

// Truncate makes every answer over UDP too long for it.
func (s *Server) Truncate(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.truncate = on
}

// Authenticate sets the AD bit of every answer.
func (s *Server) Authenticate(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.authentic = on
}

// Asked is how often a name was asked for a type ("A", "MX").
func (s *Server) Asked(name, typ string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[strings.ToLower(dns.Fqdn(name))+" "+typ]
}

// ServeDNS answers one question.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	question := q.Question[0]
	name := strings.ToLower(question.Name)
	s.mu.Lock()
	s.asked[fmt.Sprintf("%s %s", name, dns.TypeToString[question.Qtype])]++
	f := s.faults[name]
	reply := s.answer(q, name, question.Qtype)
	reply.AuthenticatedData = s.authentic && !slices.ContainsFunc(reply.Answer, func(rr dns.RR) bool {
		return s.faults[strings.ToLower(rr.Header().Name)].Unsigned
	})
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && s.truncate {
		reply.Truncated, reply.Answer = true, nil
	}
	s.mu.Unlock()
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	switch {
	case f.Silent:
		return
	case f.Raw != nil:
		w.Write(append([]byte{byte(q.Id >> 8), byte(q.Id)}, f.Raw...))
		return
	case f.WrongID:
		reply.Id++
	case f.Denied:
		reply.Rcode = dns.RcodeNameError
	case f.Lie:
		reply.Question[0].Name = "another.example."
	case f.Rcode != 0:
		reply.Rcode, reply.Answer = f.Rcode, nil
	}
	w.WriteMsg(reply)
}

// answer follows aliases and tells a missing name from a missing type.
func (s *Server) answer(q *dns.Msg, name string, t uint16) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(q)
	reply.RecursionAvailable = true
	for range 20 {
		next := ""
		for _, rr := range s.records[name] {
			if rr.Header().Rrtype == t {
				reply.Answer = append(reply.Answer, rr)
			} else if c, ok := rr.(*dns.CNAME); ok {
				reply.Answer = append(reply.Answer, rr)
				next = strings.ToLower(c.Target)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if len(reply.Answer) == 0 && !s.exists(name) {
		reply.Rcode = dns.RcodeNameError
	}
	if len(reply.Answer) == 0 {
		reply.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.", Mbox: "m.", Minttl: 60}}
	}
	return reply
}

// exists reports whether a name has records, or names below it have.
func (s *Server) exists(name string) bool {
	if len(s.records[name]) > 0 {
		return true
	}
	for other := range s.records {
		if strings.HasSuffix(other, "."+name) {
			return true
		}
	}
	return false
}
