package policy_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"mailserver/policy"
)

// policyServer answers every request with an action and keeps the requests.
type policyServer struct {
	addr string
	mu   sync.Mutex
	last string
	say  string
}

func startPolicyServer(t *testing.T) *policyServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &policyServer{addr: l.Addr().String()}
	var done sync.WaitGroup
	var conns []net.Conn
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			conns = append(conns, c)
			s.mu.Unlock()
			done.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		s.mu.Unlock()
		done.Wait()
	})
	return s
}

func (s *policyServer) serve(c net.Conn) {
	r := bufio.NewReader(c)
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if b.WriteString(line); line != "\n" {
			continue
		}
		s.mu.Lock()
		s.last = b.String()
		say := s.say
		s.mu.Unlock()
		b.Reset()
		io.WriteString(c, "action="+say+"\n\n")
	}
}

func (s *policyServer) will(action string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.say = action
}

func (s *policyServer) request() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

func TestPolicyService(t *testing.T) {
	const rejected = "<u@here.example>: Recipient address rejected: "
	v, srv := newEnv(t), startPolicyServer(t)
	v.class("RC60-strict", "reject", "no")
	for _, tt := range []struct{ name, list, action, want string }{
		{"dunno", "check_policy_service inet:ADDR", "DUNNO", "ok"},
		{"refusal", "check_policy_service inet:ADDR", "REJECT not you", "554 5.7.1 " + rejected + "not you"},
		{"code", "check_policy_service inet:ADDR", "450 4.2.0 Greylisted, see you", "450 4.2.0 " + rejected + "Greylisted, see you"},
		{"permit ends the list", "check_policy_service inet:ADDR, reject", "OK", "ok"},
		{"later permit", "check_policy_service inet:ADDR, permit", "DEFER_IF_PERMIT wait", "450 4.7.1 " + rejected + "wait"},
		{"a class", "check_policy_service inet:ADDR", "RC60-strict", "554 5.7.1 " + rejected + "no"},
		{"a restriction", "check_policy_service inet:ADDR", "reject", "554 5.7.1 " + rejected + "Access denied"},
		{"a table", "check_policy_service inet:ADDR", "check_client_access hash:x", "451 4.3.5 Server configuration error"},
		{"only warned", "warn_if_reject check_policy_service inet:ADDR", "REJECT", "ok"},
		{"nobody there", "check_policy_service inet:127.0.0.1:1", "", "451 4.3.5 " + rejected + "Server configuration problem"},
		{"nobody there, softened", "check_policy_service {inet:127.0.0.1:1, default_action = DUNNO}", "", "ok"},
		{"nobody there, own words", "check_policy_service {inet:127.0.0.1:1 timeout=1s {default_action = 450 4.7.1 try again}}", "", "450 4.7.1 " + rejected + "try again"},
		{"bad address", "check_policy_service unix:private/policy", "", "451 4.3.5 Server configuration error"},
		{"bad option", "check_policy_service {inet:ADDR, tmieout=1}", "", "451 4.3.5 Server configuration error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv.will(tt.action)
			v.set("smtpd_policy_service_retry_delay", "1ms")
			v.set("smtpd_recipient_restrictions", strings.ReplaceAll(tt.list, "ADDR", srv.addr))
			check(t, tt.name, reply(v.rcpt(stranger, "mx.example.net", "a@example.net", here("u@here.example", 30))), tt.want)
		})
	}
}

func TestPolicyServiceAttributes(t *testing.T) {
	v, srv := newEnv(t), startPolicyServer(t)
	srv.will("PREPEND X-Seen: yes")
	list := "check_policy_service {inet:" + srv.addr + ", policy_context = inbound}"
	v.set("smtpd_recipient_restrictions", list)
	v.set("smtpd_end_of_data_restrictions", list)
	c := stranger
	c.Local = netip.MustParseAddrPort("192.0.2.53:25")
	s := v.e.NewSession(c)
	s.TLS(&tls.ConnectionState{Version: tls.VersionTLS13, CipherSuite: tls.TLS_AES_256_GCM_SHA384})
	s.Helo(ctx, "mx.example.net", true)
	s.Login("ann", "PLAIN")
	s.Mail(ctx, from("a@example.net"), 4000)
	got := s.Rcpt(ctx, here("u@here.example", 30))
	if len(got.Effects.Prepend) != 1 || got.Effects.Prepend[0] != "X-Seen: yes" {
		t.Errorf("effects %+v", got.Effects)
	}
	first := srv.request()
	for _, want := range strings.Fields(`request=smtpd_access_policy protocol_state=RCPT protocol_name=ESMTP client_address=192.0.2.10
		client_name=mx.example.net client_port=4711 reverse_client_name=mx.example.net server_address=192.0.2.53 server_port=25
		helo_name=mx.example.net sender=a@example.net recipient=u@here.example recipient_count=0 queue_id= size=4000 etrn_domain=
		stress= sasl_method=PLAIN sasl_username=ann sasl_sender= ccert_subject= ccert_fingerprint= encryption_protocol=TLSv1.3
		encryption_cipher=TLS_AES_256_GCM_SHA384 encryption_keysize=256 policy_context=inbound`) {
		if !strings.Contains("\n"+first, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, first)
		}
	}
	s.EndOfData(ctx, policy.Content{ID: "4FABC", Size: 4321})
	last := srv.request()
	for _, want := range []string{"protocol_state=END-OF-MESSAGE", "recipient=u@here.example", "recipient_count=1", "queue_id=4FABC", "size=4321"} {
		if !strings.Contains("\n"+last, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, last)
		}
	}
	if a, b := attr(first, "instance"), attr(last, "instance"); a == "" || a != b {
		t.Errorf("instance %q, then %q", a, b)
	}
	s.Reset()
	s.Mail(ctx, from("a@example.net"), 0)
	s.Rcpt(ctx, here("u@here.example", 30))
	if attr(srv.request(), "instance") == attr(first, "instance") {
		t.Error("two messages, one instance")
	}
}

func attr(request, name string) string {
	_, rest, _ := strings.Cut("\n"+request, "\n"+name+"=")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
