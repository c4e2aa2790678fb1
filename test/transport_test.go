package test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mailserver/delivery/remote/remotetest"
)

// wayZone: the name of a host, and its MX, are different machines.
const wayZone = `
hop.example.     MX 10 mx.hop.example.
hop.example.     A 127.0.1.11
mx.hop.example.  A 127.0.1.12
far.example.     MX 10 mx.far.example.
mx.far.example.  A 127.0.1.30
two.example.     MX 10 mx.far.example.
smart.example.   A 127.0.1.31
dead.example.    A 127.0.1.99
`

// sinkAt takes mail at an address of the test's own network.
func sinkAt(t *testing.T, addr string, s *remotetest.Sink) *remotetest.Sink {
	t.Helper()
	if s == nil {
		s = &remotetest.Sink{}
	}
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	if err := s.Start(network, addr); err != nil {
		t.Fatal(err)
	}
	if network == "unix" {
		os.Chmod(addr, 0o777)
	}
	t.Cleanup(s.Stop)
	return s
}

// recipients are the addresses that a sink has taken mail for.
func recipients(s *remotetest.Sink) (list []string) {
	for _, m := range s.Messages() {
		for _, to := range m.To {
			to, _, _ = strings.Cut(strings.TrimPrefix(to, "<"), ">")
			list = append(list, to)
		}
	}
	return list
}

// mail sends one message and returns the refusal, if it is refused.
func (h *host) mail(port int, from, to string) error {
	s, err := dialSender(h.addr(port))
	if err != nil {
		return err
	}
	defer s.c.Close()
	for _, line := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">"} {
		if err := s.cmd(250, "%s", line); err != nil {
			return err
		}
	}
	if err := s.cmd(354, "DATA"); err != nil {
		return err
	}
	return s.cmd(250, "%s.", message(to, "way", "x"))
}

// TestPerAddressTransports: each form of transport(5), by address; the
// transport of one address is that of no other.
func TestPerAddressTransports(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t) {
		return
	}
	startNetwork(t, wayZone)
	h := sampleHost(t, "")
	dir := filepath.Dir(h.dir)
	os.Chmod(dir, 0o755)
	sock := filepath.Join(dir, "lmtp.sock")
	a, mx := sinkAt(t, "127.0.1.11:25", nil), sinkAt(t, "127.0.1.12:25", nil)
	aPort, mxPort := sinkAt(t, "127.0.1.11:2525", nil), sinkAt(t, "127.0.1.12:2525", nil)
	unix := sinkAt(t, sock, &remotetest.Sink{LMTP: true})
	inet := sinkAt(t, "127.0.1.13:24", &remotetest.Sink{LMTP: true})
	inetPort := sinkAt(t, "127.0.1.13:2424", &remotetest.Sink{LMTP: true})
	domain := sinkAt(t, "127.0.1.20:25", nil)
	h.mustRun("domain", "add", "two.example", "--class", "relay", "--transport", "smtp:[127.0.1.20]")
	tests := []struct {
		user, transport string
		to              *remotetest.Sink
		refused         string
	}{
		{user: "host", transport: "smtp:[hop.example]", to: a},
		{user: "mx", transport: "smtp:hop.example", to: mx},
		{user: "hostport", transport: "smtp:[hop.example]:2525", to: aPort},
		{user: "mxport", transport: "smtp:hop.example:2525", to: mxPort},
		{user: "relay", transport: "relay:[hop.example]", to: a},
		{user: "unix", transport: "lmtp:unix:" + sock, to: unix},
		{user: "inet", transport: "lmtp:inet:127.0.1.13", to: inet},
		{user: "inetport", transport: "lmtp:inet:127.0.1.13:2424", to: inetPort},
		{user: "lmtp", transport: "lmtp:[127.0.1.13]:2424", to: inetPort},
		{user: "list", transport: "smtp:[dead.example], hop.example:2525", to: mxPort},
		{user: "nexthop", transport: ":[hop.example]", to: a}, // the transport of the class
		{user: "domain", transport: "", to: domain},
		{user: "", transport: "", to: domain}, // unlisted
		{user: "closed", transport: "error:5.7.1 closed: see http://x/", refused: "550 5.7.1 <closed@two.example>: Recipient address rejected: closed: see http://x/"},
		{user: "later", transport: "retry:4.2.1 later", refused: "450 4.2.1 <later@two.example>: Recipient address rejected: later"},
		{user: "gone", transport: "discard:no thanks"},
		{user: "uucp", transport: "uucp:x", refused: "451 4.3.0 <uucp@two.example>: mail transport uucp is not implemented"},
	}
	for _, tt := range tests {
		args := []string{"address", "add", tt.user + "@two.example"}
		if tt.transport != "" {
			args = append(args, "--transport", tt.transport)
		}
		h.mustRun(args...)
	}
	h.mustRun("address", "add", "here@two.example", "--transport", "local:")
	h.sql("INSERT INTO Alias (aliasNum, aliasTarget) SELECT addNum, 'joe@vmail.example' FROM Address WHERE addLocalpart = 'here'")
	h.start()
	want := make(map[*remotetest.Sink][]string)
	for _, tt := range tests {
		to := tt.user + "@two.example"
		if tt.user == "" {
			to = "unlisted@two.example"
		}
		err := h.mail(25, "s@far.example", to)
		if tt.refused != "" || err != nil {
			if err == nil || strings.ReplaceAll(err.Error(), `"`, "") != tt.refused {
				t.Errorf("%s: %v, want %s", tt.user, err, tt.refused)
			}
			continue
		}
		if tt.to != nil {
			want[tt.to] = append(want[tt.to], to)
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s", h.mustRun("queue", "list"), h.log.tail(60))
		}
	}()
	waitFor(t, "all have gone", func() bool {
		return strings.Contains(h.mustRun("queue", "list"), "empty") && len(recipients(inetPort)) == 2
	})
	for sink, list := range want {
		got := recipients(sink)
		slices.Sort(got)
		if fmt.Sprint(got) != fmt.Sprint(slices.Sorted(slices.Values(list))) {
			t.Errorf("a sink took %q, want %q", got, list)
		}
	}
	if err := h.mail(25, "s@far.example", "here@two.example"); err != nil {
		t.Error(err)
	}
	h.arrived("joe", 1)
	// B4: neither the domain nor another address shows a transport of one address.
	for key, value := range map[string]string{"two.example": "smtp:[127.0.1.20]", "host@two.example": "smtp:[hop.example]", "domain@two.example": "smtp:[127.0.1.20]"} {
		if got := strings.TrimSpace(h.mustRun("lookup", "transport_maps", key)); got != value {
			t.Errorf("transport_maps %s: %s", key, got)
		}
	}
	for _, line := range []string{"relay=" + sock + "[" + sock + "]", "(no thanks)", "to=<host@two.example>, relay=hop.example[127.0.1.11]:25", "to=<mx@two.example>, relay=mx.hop.example[127.0.1.12]:25",
		"postfix/lmtp"} {
		if !strings.Contains(h.log.tail(1000), line) {
			t.Errorf("the log lacks %q", line)
		}
	}
}

// TestRelayhosts: who chooses the way of mail that leaves, and who logs in.
func TestRelayhosts(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t) {
		return
	}
	startNetwork(t, wayZone)
	h := sampleHost(t, "")
	auth := func() *remotetest.Sink { return &remotetest.Sink{Exts: []string{"AUTH PLAIN LOGIN"}} }
	far, smart := sinkAt(t, "127.0.1.30:25", nil), sinkAt(t, "127.0.1.31:25", nil)
	other, tagged := sinkAt(t, "127.0.1.32:587", auth()), sinkAt(t, "127.0.1.33:25", nil)
	own := sinkAt(t, "127.0.1.34:25", auth())
	lmtp := sinkAt(t, "127.0.1.35:24", &remotetest.Sink{LMTP: true})
	h.sql(fmt.Sprintf("INSERT INTO Listener (lsProtocol, lsAddress, lsTls, lsTag) VALUES ('mx', '127.0.0.1:%d', 'none', 'OUT')", h.base+26))
	h.mustRun("config", "set", "smtp_sasl_security_options=noanonymous", "smtp_tls_security_level=none")
	h.start()
	step := func(what, from, to string, port int, sink *remotetest.Sink, user string) {
		t.Helper()
		before := len(recipients(sink))
		if err := h.mail(port, from, to); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		defer func() {
			if t.Failed() {
				t.Logf("%s\n%s", h.mustRun("queue", "list"), h.log.tail(20))
			}
		}()
		waitFor(t, what, func() bool { return len(recipients(sink)) == before+1 })
		m := sink.Messages()[before]
		token := ""
		if user != "" {
			token = "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00pw"))
		}
		if m.User != token {
			t.Errorf("%s: logged in by %q, want %q", what, m.User, token)
		}
	}
	const ann, joe = "ann@vmail.example", "joe@vmail.example"
	step("by MX", ann, "x@far.example", 25, far, "")
	h.mustRun("config", "set", "relayhost=[smart.example]")
	step("the setting", ann, "x@far.example", 25, smart, "")
	step("a relay domain with a transport of its own", ann, "user@relay.example", 25, func() *remotetest.Sink {
		h.mustRun("domain", "set", "relay.example", "--transport", "smtp:[127.0.1.30]")
		return far
	}(), "")
	h.sql("INSERT INTO RelayHost (rhNexthop) VALUES ('[127.0.1.30]')")
	step("the row for all comes before the setting", ann, "x@far.example", 25, far, "")
	h.sql(`INSERT INTO RelayHost (rhSender, rhNexthop, rhUser, rhPasswd) VALUES ('ann@vmail.example', '[127.0.1.32]:587', 'ann', 'pw');
		INSERT INTO RelayHost (rhSender, rhNexthop) VALUES ('@vmail.example', '[smart.example]'), ('open@vmail.example', 'DUNNO')`)
	step("the row of a sender, with its log-in", ann, "x@far.example", 25, other, "ann")
	step("with an extension", "ann+x@vmail.example", "x@far.example", 25, other, "ann")
	step("the row of a domain", joe, "x@far.example", 25, smart, "")
	step("DUNNO is the row for all", "open@vmail.example", "x@far.example", 25, far, "")
	h.sql("INSERT INTO RelayHost (rhSender, rhNexthop) VALUES ('tag:OUT', '[127.0.1.33]')")
	step("the tag of a listener", ann, "x@far.example", 26, tagged, "")
	h.sql("UPDATE RelayHost SET rhTransport = 'lmtp', rhNexthop = 'inet:127.0.1.35' WHERE rhSender = '@vmail.example'")
	step("the transport of a sender", joe, "x@far.example", 25, lmtp, "")
	h.sql("UPDATE RelayHost SET active = 0; INSERT INTO SaslPassword (spKey, spUser, spPasswd) VALUES ('[127.0.1.34]', 'host', 'pw'), ('joe@vmail.example', 'joe', 'pw')")
	h.mustRun("config", "set", "relayhost=[127.0.1.34]")
	step("the log-in of a next hop", joe, "x@far.example", 25, own, "host")
	h.mustRun("config", "set", "smtp_sender_dependent_authentication=yes")
	step("the log-in of a sender", joe, "x@far.example", 25, own, "joe")
	step("and of the next hop for others", ann, "x@far.example", 25, own, "host")
	h.mustRun("domain", "add", "far.example", "--class", "external", "--transport", "smtp:")
	step("a transport without next hop is the domain, whatever the relay host", ann, "x@far.example", 25, far, "")
	h.sql("INSERT INTO RelayHost (rhSender, rhNexthop) VALUES ('<>', '[127.0.1.33]')")
	h.mustRun("domain", "set", "far.example", "--transport", "")
	step("the null sender", "", "x@far.example", 25, tagged, "")
}
