package screen

import (
	"context"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/setting"
)

// post is a Screen with its world replaced: lists are "1.2.3.4.domain address".
type post struct {
	*Screen
	c     *Config
	mu    sync.Mutex // guards saved
	saved map[netip.Addr]Passes
}

func newPost(t testing.TB, lists map[string]string, rows ...string) *post {
	table, err := setting.NewTable(Config{})
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{"postscreen_listeners": "mx", "mynetworks": "192.0.2.1", "smtpd_banner": "mx ESMTP", "postscreen_forbidden_commands": "GET",
		"postscreen_client_connection_count_limit": "0", "postscreen_helo_required": "no", "postscreen_disable_vrfy_command": "no"}
	for _, r := range rows {
		name, value, _ := strings.Cut(r, "=")
		set[name] = value
	}
	c := new(Config)
	if err := table.Fill(c, set); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	p := &post{c: c, saved: make(map[netip.Addr]Passes)}
	p.Screen = New(Deps{
		Config: func(context.Context) (*Config, error) { return c, nil },
		Lookup: func(_ context.Context, name string) ([]netip.Addr, time.Duration) {
			a, err := netip.ParseAddr(lists[name])
			if err != nil {
				return nil, 0
			}
			return []netip.Addr{a}, time.Hour
		},
		Table: func(context.Context, []string, netip.Addr) (string, bool, error) { return "", false, nil },
		Text: func(_ context.Context, _, key string) (string, error) {
			return map[string]string{"key.dq.example": "dq.example"}[key], nil
		},
		Load: func(_ context.Context, a netip.Addr) (Passes, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.saved[a], nil
		},
		Save: func(_ context.Context, a netip.Addr, s Passes) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.saved[a] = s
			return nil
		},
	})
	t.Cleanup(p.Wait)
	return p
}

// visit is a client that sends text and reads to the end; passed: it would
// have gone on to the server.
func (p *post) visit(t testing.TB, text string) (heard string, passed bool, took time.Duration) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string)
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		io.WriteString(c, text)
		all, _ := io.ReadAll(c)
		got <- string(all)
	}()
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	on := p.Look(context.Background(), nc, []string{"mx"}, nil, func() bool { return false })
	took = time.Since(begun)
	if on != nil {
		on.Close()
	}
	heard = <-got
	p.Wait()
	return heard, on != nil, took
}

func TestListsDecide(t *testing.T) {
	lists := map[string]string{
		"1.0.0.127.bad.example": "127.0.0.2", "1.0.0.127.worse.example": "127.0.0.10", "1.0.0.127.good.example": "127.0.5.1",
		"1.0.0.127.broken.example": "127.255.255.254", "1.0.0.127.key.dq.example": "127.0.0.4"}
	for name, c := range map[string]struct {
		sites, more string
		reply       string // '' passes
	}{
		"none listed":          {"bad.example=127.0.0.3 none.example", "", ""},
		"one":                  {"bad.example", "", "521 5.7.1 Service unavailable; client [127.0.0.1] blocked using bad.example\r\n"},
		"range":                {"worse.example=127.0.0.[2..9;11]", "", ""},
		"in range":             {"worse.example=127.0.0.[2..9;10]", "", "521 5.7.1 Service unavailable; client [127.0.0.1] blocked using worse.example\r\n"},
		"weights":              {"bad.example*2 worse.example*3 good.example*-3", "postscreen_dnsbl_threshold=3", ""},
		"enough":               {"bad.example*2 worse.example*3 good.example*-2", "postscreen_dnsbl_threshold=3", "521 5.7.1 Service unavailable; client [127.0.0.1] blocked using worse.example\r\n"},
		"cannot be used":       {"broken.example", "", ""},
		"twice, two filters":   {"bad.example=127.0.0.2*1 bad.example=127.0.0.[2;3]*2", "postscreen_dnsbl_threshold=3", "521 5.7.1 Service unavailable; client [127.0.0.1] blocked using bad.example\r\n"},
		"the key is not shown": {"key.dq.example", "postscreen_dnsbl_reply_map=replies", "521 5.7.1 Service unavailable; client [127.0.0.1] blocked using dq.example\r\n"},
	} {
		rows := []string{"postscreen_dnsbl_action=drop", "postscreen_greet_wait=30ms", "postscreen_greet_banner=", "postscreen_dnsbl_sites=" + c.sites}
		if c.more != "" {
			rows = append(rows, c.more)
		}
		heard, passed, _ := newPost(t, lists, rows...).visit(t, "")
		if heard != c.reply || passed != (c.reply == "") {
			t.Errorf("%s: %q, passed %v", name, heard, passed)
		}
	}
}

func TestGoodNameDoesNotWait(t *testing.T) {
	p := newPost(t, map[string]string{"1.0.0.127.good.example": "127.0.0.1"}, "postscreen_dnsbl_sites=good.example*-5", "postscreen_dnsbl_whitelist_threshold=-2",
		"postscreen_greet_wait=5m", "postscreen_dnsbl_allowlist_threshold=-2", "postscreen_pipelining_enable=yes", "postscreen_greet_banner=mx")
	_, passed, took := p.visit(t, "")
	if !passed || took > 2*time.Minute {
		t.Errorf("passed %v after %v", passed, took)
	}
}

func TestPassIsRemembered(t *testing.T) {
	p := newPost(t, nil, "postscreen_greet_wait=100ms", "postscreen_greet_banner=mx")
	_, first, took := p.visit(t, "")
	p.c.GreetWait = 5 * time.Minute
	heard, again, soon := p.visit(t, "")
	if !first || !again || took < 100*time.Millisecond || soon > 2*time.Minute || heard != "" {
		t.Errorf("%v after %v, then %v after %v, heard %q", first, took, again, soon, heard)
	}
}

func TestFullScreenSaysSo(t *testing.T) {
	p := newPost(t, nil, "postscreen_pre_queue_limit=1")
	p.total = 1
	if heard, passed, _ := p.visit(t, ""); heard != "421 4.3.2 All screening ports are busy\r\n" || passed {
		t.Errorf("%q, passed %v", heard, passed)
	}
}

func TestSitesThatAreNone(t *testing.T) {
	for _, bad := range []string{"list", "a.b=1.2.3", "a.b=1.2.3.4.5", "a.b=1.2.3.256", "a.b=1.2.3.[5..4]", "a.b*x", "a.b=127.0.0.[1", "hash:/etc/x.y"} {
		if s, err := parseSites([]string{bad}); err == nil {
			t.Errorf("%s: %+v", bad, s)
		}
	}
}

// FuzzTalk: whatever a client says, every line is answered in order, the
// conversation ends, and no recipient is taken.
func FuzzTalk(f *testing.F) {
	f.Add("EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
	f.Add("GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	f.Add("HELO\nMAIL :\r\nRCPT :<@a:b\r\n\xff\xfe\r\nBDAT 5 LAST\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		p := newPost(t, nil, "postscreen_greet_wait=0", "postscreen_pipelining_enable=yes", "postscreen_pipelining_action=ignore", "postscreen_bare_newline_enable=yes",
			"postscreen_non_smtp_command_enable=yes", "postscreen_non_smtp_command_action=enforce", "postscreen_command_time_limit=1s")
		heard, passed, _ := p.visit(t, text+"\r\nQUIT\r\n")
		if passed || strings.Contains(heard, "250 2.1.5") || strings.Contains(heard, "354 ") {
			t.Errorf("%q: %q, passed %v", text, heard, passed)
		}
		for line := range strings.Lines(heard) {
			if len(line) < 5 || line[0] < '2' || line[0] > '5' || !strings.HasSuffix(line, "\r\n") {
				t.Errorf("%q: %q", text, line)
			}
		}
	})
}
