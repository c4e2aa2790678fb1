package policyd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a small policy server: answer is called with the number of the
// connection, of the request on it, and the request.
type server struct {
	mu       sync.Mutex
	conns    int
	requests []string
	answer   func(conn, n int, request string) (reply string, end bool)
	done     sync.WaitGroup
}

func serve(t *testing.T, network, address string, answer func(int, int, string) (string, bool)) (*server, string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{answer: answer}
	ctx, cancel := context.WithCancel(context.Background())
	s.done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			n := s.conns
			s.mu.Unlock()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			s.done.Go(func() { defer stop(); s.one(c, n) })
		}
	})
	t.Cleanup(func() { cancel(); l.Close(); s.done.Wait() })
	return s, l.Addr().String()
}

func (s *server) one(c net.Conn, conn int) {
	defer c.Close()
	r := bufio.NewReader(c)
	for n := 1; ; n++ {
		var b strings.Builder
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if line == "\n" {
				break
			}
			b.WriteString(line)
		}
		s.mu.Lock()
		s.requests = append(s.requests, b.String())
		s.mu.Unlock()
		reply, end := s.answer(conn, n, b.String())
		io.WriteString(c, reply)
		if end {
			return
		}
	}
}

func (s *server) count() (conns, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, len(s.requests)
}

// await waits until as many connections and requests have come.
func (s *server) await(conns, requests int) {
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if c, r := s.count(); c >= conns && r >= requests {
			return
		}
	}
}

func usual(network, address string) Server {
	return Server{Network: network, Address: address, Timeout: time.Minute, Idle: 10 * time.Minute, TTL: time.Minute, Tries: 2, Delay: time.Millisecond}
}

func TestAsk(t *testing.T) {
	tests := []struct {
		name            string
		change          func(*Server)
		answer          func(conn, n int, request string) (string, bool)
		asks            int
		want, err       string
		conns, requests int
	}{
		{name: "one connection for many", asks: 3, want: "DUNNO", conns: 1, requests: 3,
			answer: func(int, int, string) (string, bool) { return "action=DUNNO\n\n", false }},
		{name: "server closes after each", asks: 3, want: "OK", conns: 3, requests: 3,
			answer: func(int, int, string) (string, bool) { return "action= OK \n\n", true }},
		{name: "limit of requests", asks: 4, want: "OK", conns: 2, requests: 4, change: func(s *Server) { s.Requests = 2 },
			answer: func(int, int, string) (string, bool) { return "action=OK\n\n", false }},
		{name: "nothing is kept", asks: 2, want: "OK", conns: 2, requests: 2, change: func(s *Server) { s.Idle = 0 },
			answer: func(int, int, string) (string, bool) { return "action=OK\n\n", false }},
		{name: "second try", asks: 1, want: "REJECT no", conns: 2, requests: 2,
			answer: func(c, _ int, _ string) (string, bool) {
				if c == 1 {
					return "", true
				}
				return "x=y\naction=REJECT no\n\n", false
			}},
		{name: "dies", asks: 1, err: "EOF", conns: 2, requests: 2, answer: func(int, int, string) (string, bool) { return "action=OK\n", true }},
		{name: "no action", asks: 1, err: ErrReply.Error(), conns: 2, requests: 2, answer: func(int, int, string) (string, bool) { return "a=b\n\n", false }},
		{name: "no protocol", asks: 1, err: ErrReply.Error(), conns: 1, requests: 1, change: func(s *Server) { s.Tries = 1 },
			answer: func(int, int, string) (string, bool) { return "220 smtp\r\n", false }},
		{name: "endless", asks: 1, err: ErrReply.Error(), conns: 1, requests: 1, change: func(s *Server) { s.Tries = 1 },
			answer: func(int, int, string) (string, bool) { return strings.Repeat("a=b\n", maxReply), true }},
		{name: "endless line", asks: 1, err: ErrReply.Error(), conns: 1, requests: 1, change: func(s *Server) { s.Tries = 1 },
			answer: func(int, int, string) (string, bool) { return strings.Repeat("a", 4*maxReply), true }},
		{name: "silent", asks: 1, err: "i/o timeout", conns: 2, requests: 2, change: func(s *Server) { s.Timeout = 20 * time.Millisecond },
			answer: func(int, int, string) (string, bool) { return "", false }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, address := serve(t, "tcp", "127.0.0.1:0", tt.answer)
			set := usual("tcp", address)
			if tt.change != nil {
				tt.change(&set)
			}
			var c Client
			for range tt.asks {
				got, err := c.Ask(context.Background(), set, []Attr{{"request", "x"}, {"helo_name", "a\nb=c"}})
				if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%q, %v; want %q, %q", got, err, tt.want, tt.err)
				}
			}
			s.await(tt.conns, tt.requests) // who gave up did not wait for it
			if conns, requests := s.count(); conns != tt.conns || requests != tt.requests {
				t.Errorf("%d connections, %d requests; want %d, %d", conns, requests, tt.conns, tt.requests)
			}
			if s.requests[0] != "request=x\nhelo_name=a?b=c\n" {
				t.Errorf("request %q", s.requests[0])
			}
		})
	}
}

func TestUnixAndNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	_, _ = serve(t, "unix", path, func(int, int, string) (string, bool) { return "action=DUNNO\n\n", false })
	var c Client
	if got, err := c.Ask(context.Background(), usual("unix", path), nil); got != "DUNNO" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := c.Ask(context.Background(), usual("unix", path+"x"), nil); err == nil {
		t.Error("a server that is not there has answered")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Ask(ctx, usual("unix", path+"x"), nil); !errors.Is(err, context.Canceled) && err == nil {
		t.Errorf("cancelled: %v", err)
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"inet:127.0.0.1:10023": "tcp 127.0.0.1:10023", "inet:10023": "tcp localhost:10023", "inet:[::1]:1": "tcp [::1]:1",
		"unix:/run/p": "unix /run/p", "unix:private/policy": "", "inet:": "", "tcp:1": "", "x": "",
	} {
		network, address, err := Parse(text)
		if got := strings.TrimSpace(network + " " + address); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"action=DUNNO\n\n", "a=b\naction=REJECT x\n\n", "\n", "x\n", "action=\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		action, err := readAction(bufio.NewReaderSize(strings.NewReader(s), 16))
		if err == nil && (action == "" || strings.ContainsAny(action, "\n")) {
			t.Errorf("%q from %q", action, s)
		}
	})
}
