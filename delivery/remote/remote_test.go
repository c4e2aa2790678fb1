package remote

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// zone is a Resolver of what the test writes down.
type zone struct {
	mx   map[string][]MX
	addr map[string]string // "" fails for now
}

func (z zone) MX(_ context.Context, domain string) ([]MX, error) {
	if list, ok := z.mx[domain]; ok {
		if list == nil {
			return nil, &net.DNSError{Err: "server failure", Name: domain, IsTemporary: true}
		}
		return list, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: domain, IsNotFound: true}
}

func (z zone) Addresses(_ context.Context, host string) ([]netip.Addr, error) {
	a, ok := z.addr[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if a == "" {
		return nil, &net.DNSError{Err: "server failure", Name: host, IsTemporary: true}
	}
	var list []netip.Addr
	for _, s := range strings.Fields(a) {
		list = append(list, netip.MustParseAddr(s))
	}
	return list, nil
}

func settings() *Config {
	return &Config{Hostname: "me.test", Helo: "helo.me.test", LMTPHelo: "helo.me.test", Addresses: 5, Sessions: 2,
		Protocols: []string{"all"}, Preference: "any", TLSLevel: "may", FingerprintDigest: "sha256",
		SASLOptions: []string{"noplaintext", "noanonymous"}, SASLTLSOptions: []string{"noanonymous"},
		ConnectTimeout: time.Minute, HeloTimeout: time.Minute, TLSTimeout: time.Minute, MailTimeout: time.Minute,
		RcptTimeout: time.Minute, DataInitTimeout: time.Minute, DataXferTimeout: time.Minute,
		DataDoneTimeout: time.Minute, QuitTimeout: time.Minute}
}

// client dials sinks by their address: every port leads to the sink of that
// address, so that MX hosts can be at port 25.
func client(cfg *Config, z zone, sinks map[string]*remotetest.Sink) *Client {
	return New(Deps{
		Config:   func(context.Context) (*Config, error) { return cfg, nil },
		Resolver: z,
		Own:      func(ap netip.AddrPort) bool { return ap.Addr() == netip.MustParseAddr("192.0.2.99") },
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if network == "unix" {
				return net.Dial(network, addr)
			}
			host, _, _ := net.SplitHostPort(addr)
			s, ok := sinks[host]
			if !ok {
				return net.Dial("tcp", "127.0.0.1:1") // refused
			}
			return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port()))
		},
	})
}

func start(t *testing.T, s *remotetest.Sink) *remotetest.Sink {
	t.Helper()
	if err := s.Start("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func mail(text string, to ...string) *Mail {
	m := &Mail{ID: "Q", From: "sender@me.test", Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
	for _, a := range to {
		m.To = append(m.To, Recipient{Address: a})
	}
	return m
}

var single = zone{addr: map[string]string{"mx.test": "192.0.2.1"}}

// answers makes an Answer of lines that begin with keys.
func answers(m map[string]string) func(string) string {
	return func(line string) string {
		for prefix, reply := range m {
			if strings.HasPrefix(line, prefix) {
				return reply
			}
		}
		return ""
	}
}

func TestReplies(t *testing.T) {
	text := "Subject: x\r\n\r\n.dot\r\n..\r\nbody\r\n"
	tests := []struct {
		name     string
		exts     []string
		greeting string
		answer   map[string]string
		want     []string // status enhanced text, for a@x.test and b@x.test
		taken    int
		dead     bool
	}{
		{name: "taken", want: []string{"0 2.0.0 250 2.0.0 Ok: queued as SINK", "0 2.0.0 250 2.0.0 Ok: queued as SINK"}, taken: 2},
		{name: "pipelined", exts: []string{"PIPELINING", "SIZE 1000000"}, taken: 2,
			want: []string{"0 2.0.0 250 2.0.0 Ok: queued as SINK", "0 2.0.0 250 2.0.0 Ok: queued as SINK"}},
		{name: "one recipient refused", exts: []string{"PIPELINING"}, answer: map[string]string{"RCPT TO:<a": "550 5.1.1 who is that"}, taken: 1,
			want: []string{"2 5.1.1 host mx.test[192.0.2.1] said: 550 5.1.1 who is that (in reply to RCPT TO command)", "0 2.0.0 250 2.0.0 Ok: queued as SINK"}},
		{name: "all recipients refused", exts: []string{"PIPELINING"}, answer: map[string]string{"RCPT": "550 no"},
			want: []string{"2 5.0.0 host mx.test[192.0.2.1] said: 550 no (in reply to RCPT TO command)", "2 5.0.0 host mx.test[192.0.2.1] said: 550 no (in reply to RCPT TO command)"}},
		{name: "one recipient later", answer: map[string]string{"RCPT TO:<b": "450 4.2.1 later"}, taken: 1,
			want: []string{"0 2.0.0 250 2.0.0 Ok: queued as SINK", "1 4.2.1 host mx.test[192.0.2.1] said: 450 4.2.1 later (in reply to RCPT TO command)"}},
		{name: "sender refused", exts: []string{"PIPELINING"}, answer: map[string]string{"MAIL": "553 5.7.1 not you"},
			want: []string{"2 5.7.1 host mx.test[192.0.2.1] said: 553 5.7.1 not you (in reply to MAIL FROM command)", "2 5.7.1 host mx.test[192.0.2.1] said: 553 5.7.1 not you (in reply to MAIL FROM command)"}},
		{name: "data refused", answer: map[string]string{"DATA": "451 4.3.0 not now"},
			want: []string{"1 4.3.0 host mx.test[192.0.2.1] said: 451 4.3.0 not now (in reply to DATA command)", "1 4.3.0 host mx.test[192.0.2.1] said: 451 4.3.0 not now (in reply to DATA command)"}},
		{name: "end refused", answer: map[string]string{".": "552-5.3.4 too\n552 5.3.4 much"},
			want: []string{"2 5.3.4 host mx.test[192.0.2.1] said: 552-5.3.4 too 552 5.3.4 much (in reply to end of DATA command)", "2 5.3.4 host mx.test[192.0.2.1] said: 552-5.3.4 too 552 5.3.4 much (in reply to end of DATA command)"}},
		{name: "greeting 421", greeting: "421 4.3.2 busy", dead: true,
			want: []string{"1 4.3.2 host mx.test[192.0.2.1] refused to talk to me: 421 4.3.2 busy", "1 4.3.2 host mx.test[192.0.2.1] refused to talk to me: 421 4.3.2 busy"}},
		{name: "greeting 554", greeting: "554 5.7.1 go away", dead: true,
			want: []string{"1 4.7.1 host mx.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away", "1 4.7.1 host mx.test[192.0.2.1] refused to talk to me: 554 5.7.1 go away"}},
		{name: "lost in MAIL", answer: map[string]string{"MAIL": "drop"},
			want: []string{"1 4.4.2 lost connection with mx.test[192.0.2.1] while sending MAIL FROM", "1 4.4.2 lost connection with mx.test[192.0.2.1] while sending MAIL FROM"}},
		{name: "lost in second RCPT", exts: []string{"PIPELINING"}, answer: map[string]string{"RCPT TO:<b": "drop"},
			want: []string{"1 4.4.2 lost connection with mx.test[192.0.2.1] while sending RCPT TO", "1 4.4.2 lost connection with mx.test[192.0.2.1] while sending RCPT TO"}},
		{name: "421 in second RCPT", answer: map[string]string{"RCPT TO:<b": "421 4.3.2 stop"},
			want: []string{"1 4.3.2 host mx.test[192.0.2.1] said: 421 4.3.2 stop (in reply to RCPT TO command)", "1 4.3.2 host mx.test[192.0.2.1] said: 421 4.3.2 stop (in reply to RCPT TO command)"}},
		{name: "lost after the dot", answer: map[string]string{".": "drop"},
			want: []string{"1 4.4.2 lost connection with mx.test[192.0.2.1] while sending end of data -- message may be sent more than once", "1 4.4.2 lost connection with mx.test[192.0.2.1] while sending end of data -- message may be sent more than once"}},
		{name: "nonsense", answer: map[string]string{"MAIL": "what?"},
			want: []string{"1 4.5.0 host mx.test[192.0.2.1] sent a malformed reply while sending MAIL FROM", "1 4.5.0 host mx.test[192.0.2.1] sent a malformed reply while sending MAIL FROM"}},
		{name: "too big", exts: []string{"SIZE 10"}, want: []string{"2 5.3.4 message size 30 exceeds size limit 10 of server mx.test[192.0.2.1]", "2 5.3.4 message size 30 exceeds size limit 10 of server mx.test[192.0.2.1]"}},
		{name: "no EHLO", answer: map[string]string{"EHLO": "502 5.5.1 what"}, taken: 2,
			want: []string{"0 2.0.0 250 2.0.0 Ok: queued as SINK", "0 2.0.0 250 2.0.0 Ok: queued as SINK"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &remotetest.Sink{Exts: tt.exts, Greeting: tt.greeting, Answer: answers(tt.answer)})
			c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
			got := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, mail(text, "a@x.test", "b@x.test"))
			for i, r := range got {
				if line := fmt.Sprintf("%d %s %s", r.Status, r.Enhanced, r.Text); line != tt.want[i] {
					t.Errorf("recipient %d:\n got %s\nwant %s", i, line, tt.want[i])
				}
				if r.Unreachable != tt.dead {
					t.Errorf("unreachable %v", r.Unreachable)
				}
				if r.Relay != "mx.test[192.0.2.1]:25" {
					t.Errorf("relay %s", r.Relay)
				}
			}
			taken := s.Messages()
			if tt.taken == 0 && len(taken) != 0 || tt.taken > 0 && (len(taken) != 1 || len(taken[0].To) != tt.taken || taken[0].Data != text) {
				t.Errorf("sink took %+v", taken)
			}
		})
	}
}

func TestFindsHosts(t *testing.T) {
	z := zone{
		mx: map[string][]MX{
			"two.test":    {{20, "b.test"}, {10, "a.test"}},
			"null.test":   {{0, ""}},
			"soft.test":   nil,
			"self.test":   {{10, "me.test"}, {20, "b.test"}},
			"backup.test": {{10, "a.test"}, {20, "me.test"}, {30, "b.test"}},
			"ghost.test":  {{10, "nowhere.test"}},
			"orphan.test": {{5, "nowhere.test"}, {10, "me.test"}},
		},
		addr: map[string]string{"a.test": "192.0.2.1", "b.test": "192.0.2.2", "me.test": "192.0.2.99", "plain.test": "192.0.2.2", "flaky.test": ""},
	}
	tests := []struct {
		name string
		host string
		mx   bool
		want string
		dead bool
	}{
		{"best first", "two.test", true, "0 2.0.0 250 2.0.0 Ok: queued as SINK via a.test[192.0.2.1]:25", false},
		{"no MX record", "plain.test", true, "0 2.0.0 250 2.0.0 Ok: queued as SINK via plain.test[192.0.2.2]:25", false},
		{"null MX", "null.test", true, "2 5.1.0 Domain null.test does not accept mail (nullMX) via none", false},
		{"MX not known now", "soft.test", true, "1 4.4.3 Host or domain name not found. Name service error for name=soft.test type=MX: Host not found, try again via none", true},
		{"no such domain", "none.test", true, "2 5.4.4 Host or domain name not found. Name service error for name=none.test type=AAAA: Host not found via none", true},
		{"address not known now", "flaky.test", false, "1 4.4.3 Host or domain name not found. Name service error for name=flaky.test type=AAAA: Host not found, try again via none", true},
		{"brackets take no MX", "two.test", false, "2 5.4.4 Host or domain name not found. Name service error for name=two.test type=AAAA: Host not found via none", true},
		{"best is this host", "self.test", true, "2 5.4.6 mail for self.test loops back to myself via none", false},
		{"this host is a backup", "backup.test", true, "0 2.0.0 250 2.0.0 Ok: queued as SINK via a.test[192.0.2.1]:25", false},
		{"MX without address", "ghost.test", true, "2 5.4.4 Host or domain name not found. Name service error for name=nowhere.test type=AAAA: Host not found via none", true},
		{"only this host has an address", "orphan.test", true, "1 4.4.4 unable to find primary relay for orphan.test via none", false},
		{"address literal", "192.0.2.1", false, "0 2.0.0 250 2.0.0 Ok: queued as SINK via 192.0.2.1[192.0.2.1]:25", false},
	}
	a, b := start(t, &remotetest.Sink{}), start(t, &remotetest.Sink{})
	c := client(settings(), z, map[string]*remotetest.Sink{"192.0.2.1": a, "192.0.2.2": b})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := c.Deliver(t.Context(), &Hop{Host: tt.host, MX: tt.mx}, mail("x\r\n", "u@x.test"))[0]
			if got := fmt.Sprintf("%d %s %s via %s", r.Status, r.Enhanced, r.Text, r.Relay); got != tt.want {
				t.Errorf("\n got %s\nwant %s", got, tt.want)
			}
			if r.Unreachable != tt.dead {
				t.Errorf("unreachable %v", r.Unreachable)
			}
		})
	}
}

func TestNextHostAfterTemporaryFailure(t *testing.T) {
	z := zone{mx: map[string][]MX{"x.test": {{10, "down.test"}, {20, "a.test"}, {30, "b.test"}}},
		addr: map[string]string{"down.test": "192.0.2.7", "a.test": "192.0.2.1", "b.test": "192.0.2.2"}}
	a := start(t, &remotetest.Sink{Answer: answers(map[string]string{"RCPT TO:<later": "450 4.2.0 later", "RCPT TO:<never": "550 5.1.1 no"})})
	b := start(t, &remotetest.Sink{})
	c := client(settings(), z, map[string]*remotetest.Sink{"192.0.2.1": a, "192.0.2.2": b})
	got := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true}, mail("x\r\n", "now@x.test", "later@x.test", "never@x.test"))
	want := []string{"a.test[192.0.2.1]:25 0", "b.test[192.0.2.2]:25 0", "a.test[192.0.2.1]:25 2"}
	for i, r := range got {
		if s := fmt.Sprintf("%s %d", r.Relay, r.Status); s != want[i] {
			t.Errorf("recipient %d: %s, want %s", i, s, want[i])
		}
	}
	if n := len(b.Messages()); n != 1 || strings.Join(b.Messages()[0].To, " ") != "<later@x.test>" {
		t.Errorf("second host took %+v", b.Messages())
	}
}

func TestNoSecondHostAfterTheDot(t *testing.T) {
	z := zone{mx: map[string][]MX{"x.test": {{10, "a.test"}, {20, "b.test"}}}, addr: map[string]string{"a.test": "192.0.2.1", "b.test": "192.0.2.2"}}
	a := start(t, &remotetest.Sink{Answer: answers(map[string]string{".": "drop"})})
	b := start(t, &remotetest.Sink{})
	c := client(settings(), z, map[string]*remotetest.Sink{"192.0.2.1": a, "192.0.2.2": b})
	r := c.Deliver(t.Context(), &Hop{Host: "x.test", MX: true}, mail("x\r\n", "u@x.test"))[0]
	if r.Status != Deferred || b.Conns() != 0 {
		t.Fatalf("%+v, second host had %d connections", r, b.Conns())
	}
}

func TestParameters(t *testing.T) {
	s := start(t, &remotetest.Sink{Exts: []string{"PIPELINING", "SIZE 0", "8BITMIME", "DSN", "SMTPUTF8"}})
	c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
	m := mail("Subject: \xc3\xbc\r\n\r\n", "u@x.test")
	m.Body, m.UTF8, m.Ret, m.EnvID = "8BITMIME", true, "HDRS", "a+b=c"
	m.To[0].Notify, m.To[0].ORCPT = "FAILURE,DELAY", "rfc822;o p@x.test"
	if r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, m)[0]; r.Status != Sent || !r.DSN {
		t.Fatalf("%+v", r)
	}
	got := s.Messages()[0]
	if want := "<sender@me.test> SIZE=15 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc"; got.From != want {
		t.Errorf("MAIL %s\nwant %s", got.From, want)
	}
	if want := "<u@x.test> NOTIFY=FAILURE,DELAY ORCPT=rfc822;o+20p@x.test"; got.To[0] != want {
		t.Errorf("RCPT %s\nwant %s", got.To[0], want)
	}
	if s.Lines()[0] != "EHLO helo.me.test" {
		t.Errorf("first line %s", s.Lines()[0])
	}
}

func TestSMTPUTF8OnlyWhenNeeded(t *testing.T) {
	s := start(t, &remotetest.Sink{})
	c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
	tests := []struct {
		name, text, to string
		want           Status
	}{
		{"plain", "Subject: x\r\n\r\n\xc3\xbc", "u@x.test", Sent},
		{"header", "Subject: \xc3\xbc\r\n\r\n", "u@x.test", Bounced},
		{"domain", "Subject: x\r\n\r\n", "u@b\xc3\xbccher.test", Sent},
		{"local part", "Subject: x\r\n\r\n", "\xc3\xbc@x.test", Bounced},
	}
	for _, tt := range tests {
		m := mail(tt.text, tt.to)
		m.UTF8 = true
		r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, m)[0]
		if r.Status != tt.want || tt.want == Bounced && r.Enhanced != "5.6.7" {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
	if got := s.Messages(); len(got) != 2 || got[1].To[0] != "<u@xn--bcher-kva.test>" {
		t.Errorf("took %+v", got)
	}
}

func TestBinary(t *testing.T) {
	text := "a\x00b\nc\r\r\n.\r\n"
	s := start(t, &remotetest.Sink{Exts: []string{"CHUNKING", "BINARYMIME"}})
	plain := start(t, &remotetest.Sink{})
	c := client(settings(), zone{addr: map[string]string{"mx.test": "192.0.2.1", "old.test": "192.0.2.2"}},
		map[string]*remotetest.Sink{"192.0.2.1": s, "192.0.2.2": plain})
	m := mail(text, "u@x.test")
	m.Body = "BINARYMIME"
	if r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, m)[0]; r.Status != Sent || s.Messages()[0].Data != text {
		t.Errorf("%+v %+v", r, s.Messages())
	}
	if r := c.Deliver(t.Context(), &Hop{Host: "old.test"}, m)[0]; r.Status != Bounced || r.Enhanced != "5.6.3" {
		t.Errorf("%+v", r)
	}
}

func TestLMTP(t *testing.T) {
	s := &remotetest.Sink{LMTP: true, Exts: []string{"PIPELINING"}, Answer: answers(map[string]string{
		". <full": "552 5.2.2 full", ". <busy": "451 4.2.0 busy", "RCPT TO:<nobody": "550 5.1.1 nobody"})}
	path := filepath.Join(t.TempDir(), "lmtp")
	if err := s.Start("unix", path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	c := client(settings(), zone{}, nil)
	got := c.Deliver(t.Context(), &Hop{LMTP: true, Unix: true, Host: path}, mail("x\r\n", "ok@x.test", "full@x.test", "nobody@x.test", "busy@x.test"))
	want := []string{"0 2.0.0", "2 5.2.2", "2 5.1.1", "1 4.2.0"}
	for i, r := range got {
		if s := fmt.Sprintf("%d %s", r.Status, r.Enhanced); s != want[i] {
			t.Errorf("recipient %d: %s %s, want %s", i, s, r.Text, want[i])
		}
	}
	if s.Lines()[0] != "LHLO helo.me.test" {
		t.Errorf("first line %s", s.Lines()[0])
	}
}

func certificate(t *testing.T, name string, until time.Time) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// print256 is a fingerprint as openssl writes it.
func print256(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

func TestTLSLevels(t *testing.T) {
	good, roots := certificate(t, "mx.test", time.Now().Add(time.Hour))
	expired, oldRoots := certificate(t, "mx.test", time.Now().Add(-time.Hour))
	old := &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	tests := []struct {
		name   string
		policy string
		server *tls.Config
		roots  *x509.CertPool
		refuse bool
		want   string // tls, plain or the text of the failure
	}{
		{name: "none", policy: "none", server: with(good), want: "plain"},
		{name: "may", policy: "may", server: with(good), want: "tls"},
		{name: "may, not offered", policy: "may", want: "plain"},
		{name: "may, handshake fails", policy: "may", server: old, want: "plain"},
		{name: "may, refused", policy: "may", server: with(good), refuse: true, want: "plain"},
		{name: "encrypt", policy: "encrypt", server: with(expired), want: "tls"},
		{name: "encrypt, not offered", policy: "encrypt", want: "TLS is required, but was not offered by host mx.test[192.0.2.1]"},
		{name: "encrypt, refused", policy: "encrypt", server: with(good), refuse: true, want: "TLS is required, but host mx.test[192.0.2.1] refused to start TLS: 454 4.7.0 no"},
		{name: "encrypt, handshake fails", policy: "encrypt", server: old, want: "Cannot start TLS"},
		{name: "verify", policy: "verify", server: with(good), roots: roots, want: "tls"},
		{name: "verify, unknown authority", policy: "verify", server: with(good), want: "Server certificate not verified"},
		{name: "verify, expired", policy: "verify", server: with(expired), roots: oldRoots, want: "Server certificate not verified"},
		{name: "verify, another name", policy: "verify match=other.test", server: with(good), roots: roots, want: "Server certificate not verified"},
		{name: "secure", policy: "secure", server: with(good), roots: roots, want: "tls"},
		{name: "secure, expired", policy: "secure", server: with(expired), roots: oldRoots, want: "Server certificate not verified"},
		{name: "secure, not offered", policy: "secure", want: "TLS is required, but was not offered by host mx.test[192.0.2.1]"},
		{name: "fingerprint", policy: "fingerprint match=00:11|" + print256(good.Certificate[0]), server: with(good), want: "tls"},
		{name: "fingerprint, expired", policy: "fingerprint match=" + print256(expired.Certificate[0]), server: with(expired), want: "tls"},
		{name: "fingerprint, another", policy: "fingerprint match=" + print256(expired.Certificate[0]), server: with(good), roots: roots, want: "Server certificate not verified"},
		{name: "fingerprint without one", policy: "fingerprint", server: with(good), want: "the fingerprint level without match= lets no certificate pass"},
		{name: "dane without DNSSEC", policy: "dane", server: with(good), want: "tls"},
		{name: "dane-only without DNSSEC", policy: "dane-only", server: with(good), want: "non DNSSEC destination"},
		{name: "unknown level", policy: "half", server: with(good), want: `TLS security level "half" is not supported`},
		{name: "unknown attribute", policy: "encrypt ciphers=high", server: with(good), want: `TLS policy attribute "ciphers" is not supported`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &remotetest.Sink{TLS: tt.server}
			if tt.refuse {
				s.Answer = answers(map[string]string{"STARTTLS": "454 4.7.0 no"})
			}
			start(t, s)
			c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
			pool := tt.roots
			if pool == nil {
				pool = x509.NewCertPool()
			}
			r := c.Deliver(t.Context(), &Hop{Host: "mx.test", TLS: tt.policy, TLSConfig: &tls.Config{RootCAs: pool}}, mail("x\r\n", "u@x.test"))[0]
			switch tt.want {
			case "tls", "plain":
				if r.Status != Sent || s.Messages()[0].TLS != (tt.want == "tls") {
					t.Fatalf("%+v %+v", r, s.Messages())
				}
			default:
				if r.Status != Deferred || !strings.Contains(r.Text, tt.want) || len(s.Messages()) != 0 {
					t.Fatalf("%+v", r)
				}
			}
		})
	}
}

func TestImplicitTLS(t *testing.T) {
	cert, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	s := start(t, &remotetest.Sink{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Wrapped: true})
	c := client(settings(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
	r := c.Deliver(t.Context(), &Hop{Host: "mx.test", Port: 465}, mail("x\r\n", "u@x.test"))[0]
	if r.Status != Sent || !s.Messages()[0].TLS || r.Relay != "mx.test[192.0.2.1]:465" {
		t.Errorf("%+v", r)
	}
}

func TestLogin(t *testing.T) {
	cert, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	token := base64.StdEncoding.EncodeToString([]byte("\x00u\x00p"))
	tests := []struct {
		name   string
		exts   []string
		tls    *tls.Config
		answer map[string]string
		filter []string
		want   string
	}{
		{name: "plain", exts: []string{"AUTH LOGIN PLAIN"}, tls: secure, want: "AUTH PLAIN " + token},
		{name: "login", exts: []string{"AUTH LOGIN"}, tls: secure, answer: map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", "dQ==": "334 UGFzc3dvcmQ6", "cA==": "235 2.7.0 ok"}, want: "cA=="},
		{name: "CRAM-MD5 without TLS", exts: []string{"AUTH PLAIN CRAM-MD5"}, answer: map[string]string{"AUTH CRAM-MD5": "334 " + base64.StdEncoding.EncodeToString([]byte("<1@x>")),
			base64.StdEncoding.EncodeToString([]byte("u 91145a1877b0ee1d5c048465707b7146")): "235 2.7.0 ok"}, want: "AUTH CRAM-MD5"},
		{name: "filter", exts: []string{"AUTH PLAIN LOGIN"}, tls: secure, filter: []string{"!plain", "static:rest"}, answer: map[string]string{"AUTH LOGIN": "334 VXNlcm5hbWU6", "dQ==": "334 UGFzc3dvcmQ6", "cA==": "235 2.7.0 ok"}, want: "cA=="},
		{name: "filter leaves none", exts: []string{"AUTH PLAIN"}, tls: secure, filter: []string{"cram-md5"}, want: "4.7.0 SASL authentication failed: server mx.test[192.0.2.1] offered no compatible authentication mechanisms for this type of connection security"},
		{name: "no plaintext without TLS", exts: []string{"AUTH PLAIN"}, want: "4.7.0 SASL authentication failed: server mx.test[192.0.2.1] offered no compatible authentication mechanisms for this type of connection security"},
		{name: "wrong password", exts: []string{"AUTH PLAIN"}, tls: secure, answer: map[string]string{"AUTH": "535 5.7.8 wrong"}, want: "4.7.8 SASL authentication failed; server mx.test[192.0.2.1] said: 535 5.7.8 wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &remotetest.Sink{Exts: tt.exts, TLS: tt.tls, Answer: answers(tt.answer)})
			cfg := settings()
			cfg.SASLFilter = tt.filter
			c := client(cfg, single, map[string]*remotetest.Sink{"192.0.2.1": s})
			r := c.Deliver(t.Context(), &Hop{Host: "mx.test", User: "u", Passwd: "p"}, mail("x\r\n", "u@x.test"))[0]
			if r.Status == Sent {
				if !strings.Contains(strings.Join(s.Lines(), "\n"), tt.want) {
					t.Errorf("lines %q", s.Lines())
				}
			} else if got := r.Enhanced + " " + r.Text; r.Status != Deferred || got != tt.want {
				t.Errorf("got %d %s\nwant %s", r.Status, got, tt.want)
			}
		})
	}
}

func TestTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // accepts in the kernel, never answers
	cfg := settings()
	cfg.HeloTimeout = 50 * time.Millisecond
	c := client(cfg, zone{}, nil)
	c.d.Dial = func(context.Context, string, string) (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	r := c.Deliver(t.Context(), &Hop{Host: "192.0.2.1"}, mail("x\r\n", "u@x.test"))[0]
	if want := "conversation with 192.0.2.1[192.0.2.1] timed out while receiving the initial server greeting"; r.Text != want || !r.Unreachable {
		t.Errorf("%+v", r)
	}
	c.d.Dial = nil
	c = client(cfg, zone{}, nil)
	r = c.Deliver(t.Context(), &Hop{Host: "192.0.2.1"}, mail("x\r\n", "u@x.test"))[0]
	if want := "connect to 192.0.2.1[192.0.2.1]:25: Connection refused"; r.Text != want || r.Enhanced != "4.4.1" {
		t.Errorf("%+v", r)
	}
}
