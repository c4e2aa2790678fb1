package renewal

import (
	"io"
	"log"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"mailserver/internal/tlscert"
)

// primary is the server of the zone example.; it takes updates that are signed
// with the key acme.
type primary struct {
	addr string

	mu      sync.Mutex
	texts   map[string][]string // by name in lower case
	updates int
}

const tsigSecret = "c2VjcmV0IG9mIHRoZSB6b25lLCAzMiBieXRlcyBsb25n"

func newPrimary(t *testing.T) *primary {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := &primary{addr: l.Addr().String(), texts: make(map[string][]string)}
	for _, srv := range []*dns.Server{{Listener: l}, {PacketConn: pc}} {
		srv.Handler, srv.TsigSecret = p, map[string]string{"acme.": tsigSecret}
		srv.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
		started, done := make(chan struct{}), make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		go func() { defer close(done); srv.ActivateAndServe() }()
		<-started
		t.Cleanup(func() { srv.Shutdown(); <-done })
	}
	return p
}

func (p *primary) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := new(dns.Msg)
	r.SetReply(q)
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: "example.", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 5}, Ns: "ns.example.", Mbox: "x.example.", Serial: 1, Refresh: 1, Retry: 1, Expire: 1, Minttl: 1}
	signed := q.IsTsig() != nil && w.TsigStatus() == nil
	name := strings.ToLower(q.Question[0].Name)
	switch {
	case q.Opcode == dns.OpcodeUpdate && (!signed || name != "example."):
		r.Rcode = dns.RcodeRefused
	case q.Opcode == dns.OpcodeUpdate:
		p.updates++
		for _, rr := range q.Ns {
			txt, ok := rr.(*dns.TXT)
			if !ok {
				r.Rcode = dns.RcodeNotImplemented
				continue
			}
			at := strings.ToLower(txt.Hdr.Name)
			if txt.Hdr.Class == dns.ClassINET {
				p.texts[at] = append(p.texts[at], txt.Txt[0])
			} else { // of class NONE: removed
				p.texts[at] = remove(p.texts[at], txt.Txt[0])
			}
		}
	case q.Question[0].Qtype == dns.TypeTXT && len(p.texts[name]) > 0:
		for _, text := range p.texts[name] {
			r.Answer = append(r.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 5}, Txt: []string{text}})
		}
	default:
		r.Ns = []dns.RR{soa}
	}
	if signed {
		r.SetTsig("acme.", dns.HmacSHA256, 300, int64(q.IsTsig().TimeSigned))
	}
	w.WriteMsg(r)
}

func remove(list []string, text string) (rest []string) {
	for _, s := range list {
		if s != text {
			rest = append(rest, s)
		}
	}
	return rest
}

// TestDNSChallenge has a wildcard and a host signed by updates of the zone.
func TestDNSChallenge(t *testing.T) {
	p := newPrimary(t)
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	quiet, store := log.New(io.Discard, "", 0), db.NewMemoryStore()
	made := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	front := wfe.New(quiet, store, va.New(quiet, 1, 1, true, p.addr, store), made, nil, true, false, 0, 0)
	a := &authority{Server: httptest.NewTLSServer(front.Handler())}
	t.Cleanup(a.Close)
	a.trust(t)
	for name, tt := range map[string]struct {
		host, zone, key string
		ok              bool
	}{
		"zone is asked":    {"mx.example", "", "acme:" + tsigSecret, true},
		"wildcard":         {"*.example", "example", "hmac-sha256:acme:" + tsigSecret, true},
		"another zone":     {"mx.example", "box.example", "acme:" + tsigSecret, false},
		"no key":           {"mx.example", "", "", false},
		"secret is wrong":  {"mx.example", "", "acme:d3Jvbmc=", false},
		"nobody's name":    {"mx.example", "", "other:" + tsigSecret, false},
		"not in that zone": {"mx.elsewhere.test", "", "acme:" + tsigSecret, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, a)
			w.rows[0] = tlscert.Row{Num: 1, Hostname: tt.host, CertFile: "tls/x.crt", KeyFile: "tls/x.key"}
			w.cfg.DNSServer, w.cfg.DNSZone, w.cfg.DNSKey = p.addr, tt.zone, tt.key
			if err := w.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := w.leaf(w.rows[0]); (got != nil) != tt.ok || got != nil && got.DNSNames[0] != tt.host {
				t.Errorf("got %v\n%s", got, w.log.String())
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			for at, texts := range p.texts {
				if len(texts) > 0 {
					t.Errorf("left behind at %s: %v", at, texts)
				}
			}
		})
	}
	for key, ok := range map[string]bool{"acme:" + tsigSecret: true, "hmac-sha512:acme:eA==": true, "hmac-md5:acme:eA==": false, "acme": false, "acme:?": false, ":eA==": false} {
		if err := (&Config{DNSKey: key}).Validate(); (err == nil) != ok {
			t.Errorf("%s: %v", key, err)
		}
	}
}
