package dns_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"mailserver/internal/dns"
	"mailserver/internal/dns/dnstest"
)

const zone = `
example.net.      IN MX   20 backup.example.net.
example.net.      IN MX   10 mx.example.net.
example.net.      IN TXT  "v=spf1 " "-all"
example.net.      IN TXT  "quote \" and \007"
example.net.      IN NS   ns.example.net.
mx.example.net.   IN A    192.0.2.10
mx.example.net.   IN AAAA 2001:db8::10
www.example.net.  IN CNAME alias.example.net.
alias.example.net. IN CNAME mx.example.net.
loop.example.net. IN CNAME loop.example.net.
gone.example.net. IN CNAME nowhere.example.net.
null.example.     IN MX   0 .
bad.example.      IN MX   10 a\032b.
half.example.     IN MX   10 a\032b.
half.example.     IN MX   20 good.example.
short.example. 0  IN A    192.0.2.1
10.2.0.192.in-addr.arpa. IN PTR mx.example.net.
11.2.0.192.in-addr.arpa. IN PTR mx.example.net.
12.2.0.192.in-addr.arpa. IN PTR nothing.example.net.
0.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. IN PTR mx.example.net.
_25._tcp.mx.example.net. IN TLSA 3 1 1 00ff
`

var ctx = context.Background()

func start(t *testing.T, c dns.Config) (*dnstest.Server, *dns.Resolver) {
	t.Helper()
	s := dnstest.Start(t, zone)
	if c.Servers == nil {
		c.Servers = []string{s.Addr}
	}
	c.Timeout, c.Dial = time.Minute, s.Dial
	return s, dns.New(c)
}

func texts(a *dns.Answer) string {
	if a == nil {
		return ""
	}
	var list []string
	for _, r := range a.Records {
		if r.Addr.IsValid() {
			list = append(list, r.Addr.String())
		} else {
			list = append(list, r.Text)
		}
	}
	return strings.Join(list, "|")
}

func TestLookup(t *testing.T) {
	_, r := start(t, dns.Config{})
	tests := []struct {
		name   string
		t      dns.Type
		want   string
		status dns.Status
	}{
		{"example.net", dns.MX, "backup.example.net|mx.example.net", 0},
		{"EXAMPLE.Net.", dns.MX, "backup.example.net|mx.example.net", 0},
		{"example.net", dns.TXT, "v=spf1 -all|quote \" and \a", 0},
		{"example.net", dns.NS, "ns.example.net", 0},
		{"mx.example.net", dns.A, "192.0.2.10", 0},
		{"mx.example.net", dns.AAAA, "2001:db8::10", 0},
		{"www.example.net", dns.A, "192.0.2.10", 0},
		{"www.example.net", dns.CNAME, "alias.example.net", 0},
		{"_25._tcp.mx.example.net", dns.TLSA, "3 1 1 00ff", 0},
		{"null.example", dns.MX, "", 0},
		{"half.example", dns.MX, "good.example", 0},
		{"bad.example", dns.MX, "", dns.Malformed},
		{"mx.example.net", dns.MX, "", dns.NoData},
		{"_tcp.mx.example.net", dns.A, "", dns.NoData},
		{"nowhere.example.net", dns.A, "", dns.NoName},
		{"gone.example.net", dns.MX, "", dns.NoData},
		{"loop.example.net", dns.A, "", dns.NoData},
		{"", dns.A, "", dns.NoName},
		{"a..b", dns.A, "", dns.NoName},
		{strings.Repeat("a", 64) + ".example", dns.A, "", dns.NoName},
		{strings.Repeat("a.", 200) + "example", dns.A, "", dns.NoName},
	}
	for _, tt := range tests {
		a, err := r.Lookup(ctx, tt.name, tt.t)
		if got := texts(a); got != tt.want || dns.StatusOf(err) != tt.status || a != nil && err != nil {
			t.Errorf("%s %d: %q, %v", tt.name, tt.t, got, err)
		}
	}
	if a, err := r.Lookup(ctx, "null.example", dns.MX); err != nil || len(a.Records) != 1 || a.Records[0].Text != "" {
		t.Errorf("null MX: %v, %v", a, err)
	}
	_, err := r.Lookup(ctx, "nowhere.example.net", dns.MX)
	if want := "Name service error for name=nowhere.example.net type=MX: Host not found"; err.Error() != want || !dns.NotFound(err) {
		t.Errorf("%v", err)
	}
}

func TestAddrsAndClientName(t *testing.T) {
	s, r := start(t, dns.Config{Attempts: 1})
	got, err := r.Addrs(ctx, "www.example.net")
	if err != nil || len(got) != 2 {
		t.Errorf("addresses: %v, %v", got, err)
	}
	if _, err := r.Addrs(ctx, "example.net"); dns.StatusOf(err) != dns.NoData {
		t.Errorf("no addresses: %v", err)
	}
	name := func(ip string) string {
		n, rev, temp := r.ClientName(ctx, netip.MustParseAddr(ip))
		if temp {
			return n + " " + rev + " temporary"
		}
		return n + " " + rev
	}
	s.Fail("13.2.0.192.in-addr.arpa", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	s.Fail("nothing.example.net", dnstest.Fault{Silent: true})
	for ip, want := range map[string]string{
		"192.0.2.10":        "mx.example.net mx.example.net",
		"::ffff:192.0.2.10": "mx.example.net mx.example.net",
		"2001:db8::10":      "mx.example.net mx.example.net",
		"192.0.2.11":        "unknown mx.example.net",
		"192.0.2.99":        "unknown unknown",
		"192.0.2.13":        "unknown unknown temporary",
		"192.0.2.12":        "unknown nothing.example.net temporary",
	} {
		if got := name(ip); got != want {
			t.Errorf("%s: %s, want %s", ip, got, want)
		}
	}
}

// What servers do wrong.
func TestFaults(t *testing.T) {
	s, r := start(t, dns.Config{Attempts: 2, Entries: -1})
	for name, tt := range map[string]struct {
		f      dnstest.Fault
		status dns.Status
		asked  int
	}{
		"servfail":  {dnstest.Fault{Rcode: mdns.RcodeServerFailure}, dns.Temporary, 2},
		"refused":   {dnstest.Fault{Rcode: mdns.RcodeRefused}, dns.Temporary, 2},
		"silent":    {dnstest.Fault{Silent: true}, dns.Temporary, 2},
		"slow":      {dnstest.Fault{Delay: time.Second}, dns.Temporary, 2},
		"lying":     {dnstest.Fault{Lie: true}, dns.Temporary, 2},
		"malformed": {dnstest.Fault{Raw: []byte{0x81, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0xc0}}, dns.Malformed, 1},
	} {
		host := name + ".example.net"
		s.Fail(host, tt.f)
		_, err := r.Lookup(ctx, host, dns.A)
		if dns.StatusOf(err) != tt.status {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.Asked(host, "A"); n != tt.asked {
			t.Errorf("%s was asked %d times", name, n)
		}
	}
	r = dns.New(dns.Config{Servers: []string{s.Addr}, Timeout: 10 * time.Minute})
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := r.Lookup(short, "silent.example.net", dns.MX); dns.StatusOf(err) != dns.Temporary || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that gave up: %v", err)
	}
	if took := time.Since(begin); took > 5*time.Minute {
		t.Errorf("giving up took %v", took)
	}
}

// A dead server is passed over, TCP takes what UDP cannot.
func TestSecondServerAndTCP(t *testing.T) {
	s := dnstest.Start(t, zone)
	dead := dnstest.Start(t, zone)
	dead.Fail("mx.example.net", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	r := dns.New(dns.Config{Servers: []string{"127.0.0.1:1", dead.Addr, s.Addr}, Timeout: time.Minute})
	if a, err := r.Lookup(ctx, "mx.example.net", dns.A); err != nil || texts(a) != "192.0.2.10" {
		t.Errorf("%v, %v", a, err)
	}
	s.Truncate(true)
	r = dns.New(dns.Config{Servers: []string{s.Addr}})
	if a, err := r.Lookup(ctx, "mx.example.net", dns.A); err != nil || texts(a) != "192.0.2.10" {
		t.Errorf("by TCP: %v, %v", a, err)
	}
}

func TestAuthentic(t *testing.T) {
	s, r := start(t, dns.Config{Entries: -1})
	for _, on := range []bool{false, true} {
		s.Authenticate(on)
		a, err := r.Lookup(ctx, "mx.example.net", dns.A)
		if err != nil || a.Authentic != on {
			t.Errorf("AD %v: %+v, %v", on, a, err)
		}
	}
}

func TestCache(t *testing.T) {
	now := time.Unix(1000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	s, r := start(t, dns.Config{Now: clock, Entries: 3, Attempts: 1})
	s.Fail("servfail.example.net", dnstest.Fault{Rcode: mdns.RcodeServerFailure})
	ask := func(name string) { r.Lookup(ctx, name, dns.A) }
	expect := func(name string, want int) {
		t.Helper()
		if got := s.Asked(name, "A"); got != want {
			t.Errorf("%s was asked %d times, want %d", name, got, want)
		}
	}
	for range 3 {
		ask("mx.example.net")
		ask("nowhere.example.net")
		ask("servfail.example.net")
		ask("short.example")
	}
	expect("mx.example.net", 1)
	expect("nowhere.example.net", 1)
	expect("servfail.example.net", 1)
	expect("short.example", 3) // TTL 0
	mu.Lock()
	now = now.Add(61 * time.Second)
	mu.Unlock()
	ask("mx.example.net")
	ask("nowhere.example.net")
	ask("servfail.example.net")
	expect("mx.example.net", 1)
	expect("nowhere.example.net", 2) // its SOA said 60 s
	expect("servfail.example.net", 2)
	mu.Lock()
	now = now.Add(300 * time.Second)
	mu.Unlock()
	ask("mx.example.net")
	expect("mx.example.net", 2)

	// Many at once ask once.
	s.Fail("once.example.net", dnstest.Fault{Delay: 30 * time.Millisecond})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { ask("once.example.net") })
	}
	wg.Wait()
	expect("once.example.net", 1)

	// An asker that gives up does not take the others with it.
	s.Fail("wait.example.net", dnstest.Fault{Delay: 50 * time.Millisecond})
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	first := make(chan struct{})
	wg.Go(func() { close(first); r.Lookup(short, "wait.example.net", dns.A) })
	<-first
	for range 5 {
		wg.Go(func() {
			if _, err := r.Lookup(ctx, "wait.example.net", dns.A); dns.StatusOf(err) != dns.NoName {
				t.Errorf("who waited got %v", err)
			}
		})
	}
	wg.Wait()
}

func TestResolvConf(t *testing.T) {
	s := dnstest.Start(t, zone)
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\nnameserver not-an-address\nsearch example.net\noptions timeout:1 attempts:9 trust-ad edns0\n")
	r := dns.New(dns.Config{File: file, Servers: []string{s.Addr}})
	if a, err := r.Lookup(ctx, "mx.example.net", dns.A); err != nil || texts(a) != "192.0.2.10" {
		t.Errorf("%v, %v", a, err)
	}
	// "search" is for people: mail names are whole.
	if _, err := r.Lookup(ctx, "mx", dns.A); dns.StatusOf(err) != dns.NoName {
		t.Errorf("mx: %v", err)
	}
	r = dns.New(dns.Config{File: filepath.Join(t.TempDir(), "none"), Servers: []string{s.Addr}})
	if _, err := r.Lookup(ctx, "mx.example.net", dns.A); err != nil {
		t.Errorf("without the file: %v", err)
	}
}
