package remote

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// busy sends n messages one after another.
func busy(t *testing.T, c *Client, hop *Hop, n int) (uses []int) {
	t.Helper()
	for i := range n {
		r := c.Deliver(t.Context(), hop, mail(fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i), "u@x.test"))[0]
		if r.Status != Sent {
			t.Fatalf("message %d: %+v", i, r)
		}
		uses = append(uses, r.Uses)
	}
	return uses
}

func reusing() *Config {
	cfg := settings()
	cfg.ReuseOnDemand, cfg.CacheTime, cfg.ReuseTime, cfg.ReuseTLS, cfg.RsetTimeout = true, time.Minute, 10*time.Minute, true, time.Minute
	return cfg
}

func TestReusesConnections(t *testing.T) {
	cert, _ := certificate(t, "mx.test", time.Now().Add(time.Hour))
	secure := &tls.Config{Certificates: []tls.Certificate{cert}}
	for _, tt := range []struct {
		name   string
		tls    *tls.Config
		change func(*Config, *Hop)
		answer func(string) string
		conns  int
	}{
		{name: "plain", conns: 2}, // the first one shows no demand
		{name: "TLS", tls: secure, conns: 2},
		{name: "TLS, switched off", tls: secure, change: func(c *Config, _ *Hop) { c.ReuseTLS = false }, conns: 6},
		{name: "TLS, the row wants it", tls: secure, change: func(c *Config, h *Hop) { c.ReuseTLS, h.TLS = false, "encrypt connection_reuse=yes" }, conns: 2},
		{name: "off", change: func(c *Config, _ *Hop) { c.ReuseOnDemand = false }, conns: 6},
		{name: "three at most", change: func(c *Config, _ *Hop) { c.ReuseCount = 3 }, conns: 3},
		{name: "closed by the server", answer: func(line string) string {
			if line == "RSET" {
				return "drop"
			}
			return ""
		}, conns: 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, &remotetest.Sink{TLS: tt.tls, Answer: tt.answer, Exts: []string{"PIPELINING"}})
			cfg, hop := reusing(), &Hop{Host: "mx.test"}
			if tt.change != nil {
				tt.change(cfg, hop)
			}
			c := client(cfg, single, map[string]*remotetest.Sink{"192.0.2.1": s})
			uses := busy(t, c, hop, 6)
			c.Close()
			if s.Conns() != tt.conns || len(s.Messages()) != 6 {
				t.Errorf("%d connections, want %d; %d messages, uses %v", s.Conns(), tt.conns, len(s.Messages()), uses)
			}
			for i, m := range s.Messages() {
				if want := fmt.Sprintf("Subject: %d\r\n", i); !strings.HasPrefix(m.Data, want) || len(m.To) != 1 {
					t.Errorf("message %d: %+v", i, m)
				}
			}
		})
	}
}

func TestConnectionsDoNotMix(t *testing.T) {
	s := start(t, &remotetest.Sink{Exts: []string{"AUTH PLAIN"}})
	cfg := reusing()
	cfg.SASLOptions = nil
	c := client(cfg, single, map[string]*remotetest.Sink{"192.0.2.1": s})
	defer c.Close()
	for range 3 {
		for _, user := range []string{"a", "b"} {
			hop := &Hop{Host: "mx.test", User: user, Passwd: "p"}
			if r := c.Deliver(t.Context(), hop, mail("x\r\n", user+"@x.test"))[0]; r.Status != Sent {
				t.Fatalf("%+v", r)
			}
		}
	}
	who := make(map[string]string)
	for _, m := range s.Messages() {
		if old, ok := who[m.To[0]]; ok && old != m.User {
			t.Errorf("%s by the log-in of %s and of %s", m.To, old, m.User)
		}
		who[m.To[0]] = m.User
	}
	if len(who) != 2 || who["<a@x.test>"] == who["<b@x.test>"] {
		t.Errorf("log-ins %v", who)
	}
}

func TestReuseAfterARefusal(t *testing.T) {
	s := start(t, &remotetest.Sink{Exts: []string{"PIPELINING"}, Answer: answers(map[string]string{"RCPT TO:<no@x.test>": "550 5.1.1 no"})})
	c := client(reusing(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
	defer c.Close()
	busy(t, c, &Hop{Host: "mx.test"}, 2)
	if r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, mail("x\r\n", "no@x.test"))[0]; r.Status != Bounced || r.Uses != 2 {
		t.Errorf("%+v", r)
	}
	if uses := busy(t, c, &Hop{Host: "mx.test"}, 1); uses[0] != 3 {
		t.Errorf("after a refusal: use %v", uses)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := start(t, &remotetest.Sink{Exts: []string{"PIPELINING"}})
	c := client(reusing(), single, map[string]*remotetest.Sink{"192.0.2.1": s})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, mail("x\r\n", "u@x.test"))[0]; r.Status != Sent {
					t.Errorf("%+v", r)
				}
			}
		})
	}
	all.Wait()
	c.Close()
	if len(s.Messages()) != 160 || s.Conns() > 30 || c.idle.n != 0 || len(c.idle.kept) != 0 {
		t.Errorf("%d messages over %d connections; %d kept", len(s.Messages()), s.Conns(), c.idle.n)
	}
}
