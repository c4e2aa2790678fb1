package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/testport"
)

// What stands before the server, side by side with postscreen(8): the same
// clients, the same replies and the same lines of the log.

type screenCase struct {
	name string
	set  []string
	// say are what the client does: "<" reads a reply, everything else is sent
	// as it is.
	say  []string
	next string // the settings of this case hold for the client that was seen in the case before
}

const (
	deep  = "postscreen_pipelining_enable=yes postscreen_non_smtp_command_enable=yes postscreen_bare_newline_enable=yes postscreen_bare_newline_action=enforce"
	quick = "postscreen_greet_wait=1s"
)

func screenCases() []screenCase {
	words := strings.Fields
	mail := []string{"<", "EHLO c.example\r\n", "<", "MAIL FROM:<a@b.example>\r\n", "<", "RCPT TO:<c@d.example>\r\n", "<", "DATA\r\n", "<"}
	early := []string{"EHLO early.example\r\n", "<", "<", "MAIL FROM:<a@b.example>\r\n", "<", "RCPT TO:<c@d.example>\r\n", "<", "QUIT\r\n", "<"}
	list := []screenCase{
		{name: "mynetworks", set: words("mynetworks=127.0.0.0/8"), say: []string{"<", "QUIT\r\n", "<"}},
		{name: "denied, ignored", set: words("postscreen_access_list=reject postscreen_denylist_action=ignore " + quick), say: []string{"<", "<", "QUIT\r\n", "<"}},
		{name: "denied, enforced", set: words("postscreen_access_list=reject postscreen_denylist_action=enforce " + quick), say: append([]string{"<"}, mail...)},
		{name: "denied, dropped", set: words("postscreen_access_list=reject postscreen_denylist_action=drop " + quick), say: []string{"<", "<"}},
		{name: "quiet", set: words(quick), say: []string{"<", "<", "QUIT\r\n", "<"}},
		{name: "quiet, again", next: "quiet", set: words(quick), say: []string{"<", "QUIT\r\n", "<"}},
		{name: "hangs up", set: words(quick), say: []string{"<"}},
	}
	for _, action := range words("ignore enforce drop") {
		c := screenCase{name: "early, " + action, set: words("postscreen_greet_action=" + action + " " + quick), say: early}
		if action == "ignore" {
			c.say = []string{"HELO early.example\r\n", "<", "<", "<", "QUIT\r\n", "<"}
		}
		list = append(list, c)
	}
	list = append(list,
		screenCase{name: "deep, good", set: words(deep + " " + quick), say: append([]string{"<"}, append(mail[:7:7], "QUIT\r\n", "<")...)},
		screenCase{name: "deep, again", next: "deep, good", set: words(deep + " " + quick), say: []string{"<", "QUIT\r\n", "<"}},
		screenCase{name: "deep, DATA", set: words(deep + " " + quick), say: append([]string{"<"}, mail...)},
		screenCase{name: "deep, pipelining", set: words(deep + " " + quick), say: []string{"<", "<", "EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n", "<", "<", "<", "QUIT\r\n", "<"}},
		screenCase{name: "deep, HTTP", set: words(deep + " " + quick), say: []string{"<", "<", "GET / HTTP/1.0\r\nHost: x\r\n\r\n", "<"}},
		screenCase{name: "deep, header", set: words(deep + " " + quick + " postscreen_non_smtp_command_action=enforce"), say: []string{"<", "<", "Subject: x\r\n", "<", "MAIL FROM:<a@b.example>\r\n", "<", "RCPT TO:<c@d.example>\r\n", "<", "QUIT\r\n", "<"}},
		screenCase{name: "deep, newline", set: words(deep + " " + quick), say: []string{"<", "<", "EHLO c.example\n", "<", "MAIL FROM:<a@b.example>\r\n", "<", "RCPT TO:<c@d.example>\r\n", "<", "RSET\r\n", "<", "QUIT\r\n", "<"}},
		screenCase{name: "deep, odd commands", set: words(deep + " " + quick), say: []string{"<", "<", "RCPT TO:<c@d.example>\r\n", "<", "HELO\r\n", "<", "HELO x\r\n", "<", "VRFY\r\n", "<", "VRFY x\r\n", "<", "ETRN\r\n", "<", "ETRN x\r\n", "<",
			"MAIL x\r\n", "<", "MAIL FROM:<>\r\n", "<", "MAIL FROM:<>\r\n", "<", "RCPT x\r\n", "<", "AUTH PLAIN\r\n", "<", "NOOP\r\n", "<", "nonsense\r\n", "<", "BDAT 5\r\n", "<"}},
		screenCase{name: "deep, many commands", set: words(deep + " " + quick), say: append([]string{"<", "<"}, words(strings.Repeat("NOOP\r\n < ", 25))...)},
		screenCase{name: "deep, data early", set: words(deep + " " + quick), say: []string{"<", "<", "DATA\r\n", "<"}},
		screenCase{name: "deep, hangs up", set: words(deep + " " + quick), say: []string{"<", "<", "EHLO c.example\r\n", "<"}},
	)
	for i := range list {
		for j, line := range list[i].say {
			if line == "NOOP" {
				list[i].say[j] = "NOOP\r\n"
			}
		}
	}
	return list
}

// perform is a client from an address of its own.
func perform(t *testing.T, addr string, from net.IP, say []string) []string {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	var out []string
	for _, line := range say {
		switch line {
		case "<":
			c.SetReadDeadline(time.Now().Add(patience)) // a busy machine starts processes slowly
			for {
				text, err := r.ReadString('\n')
				if err != nil {
					return append(out, "closed")
				}
				out = append(out, strings.TrimRight(text, "\r\n"))
				if strings.HasPrefix(text, "220-") || len(text) > 3 && text[3] == ' ' {
					break
				}
			}
		default:
			if _, err := c.Write([]byte(line)); err != nil {
				return append(out, "closed")
			}
		}
	}
	return out
}

var (
	afterTime  = regexp.MustCompile(`after [0-9.]+ from`)
	screenPort = regexp.MustCompile(`\[127[0-9.]*\]:\d+`)
)

// screenLog is the part of a log that postscreen writes.
func screenLog(lines []string, from net.IP) string {
	var out []string
	for _, l := range lines {
		_, text, ok := strings.Cut(l, "postfix/postscreen[")
		if !ok || !strings.Contains(text, "["+from.String()+"]") {
			continue
		}
		_, text, _ = strings.Cut(text, "]: ")
		if strings.HasPrefix(text, "warning: ") || strings.HasPrefix(text, "cache ") {
			continue
		}
		text = afterTime.ReplaceAllString(text, "after T from")
		out = append(out, screenPort.ReplaceAllString(text, "[A]:P"))
	}
	return hostName.ReplaceAllString(strings.Join(out, "\n"), "HOST")
}

func TestScreenAsPostscreen(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	cases := screenCases()
	base := []string{"mynetworks=192.0.2.1", "postscreen_greet_action=ignore", "smtpd_peername_lookup=no", "postscreen_cache_cleanup_interval=0"}
	var services strings.Builder
	addr := make([]string, len(cases))
	for i, c := range cases {
		if c.next != "" {
			addr[i] = addr[i-1]
			continue
		}
		addr[i] = testport.Addr(t)
		fmt.Fprintf(&services, "%s inet n - n - 1 postscreen\n", addr[i])
		for _, row := range append(base[:len(base):len(base)], c.set...) {
			name, value, _ := strings.Cut(row, "=")
			fmt.Fprintf(&services, "  -o { %s = %s }\n", name, value)
		}
		fmt.Fprintf(&services, "  -o postscreen_cache_map=btree:$data_directory/%x\n", c.name)
	}
	for _, l := range []string{"smtpd pass - - n - - smtpd", "tlsproxy unix - - n - 0 tlsproxy", "dnsblog unix - - n - 0 dnsblog"} {
		fmt.Fprintln(&services, l)
	}
	_, dir := startPostfix(t, "smtpd_peername_lookup = no\n", services.String())
	h := sampleHost(t, "")
	h.mustRun(append([]string{"config", "set", "postscreen_listeners=mx"}, base...)...)
	h.start()
	theirLog := func() string {
		text, _ := os.ReadFile(filepath.Join(dir, "log"))
		return string(text)
	}
	// Postfix has a listener for each case: all of them at once.
	theirs := make([][]string, len(cases))
	var all sync.WaitGroup
	for i, c := range cases {
		if c.next != "" {
			continue
		}
		all.Go(func() {
			theirs[i] = perform(t, addr[i], screenClient(i), c.say)
			if i+1 < len(cases) && cases[i+1].next != "" {
				theirs[i+1] = comeAgain(t, addr[i], i+1, cases[i+1].say, theirLog)
			}
		})
	}
	all.Wait()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) { compareScreen(t, h, theirs[i], theirLog, i, c) })
	}
}

// screenClient is the address of the client of a case. One that comes again is
// that of the case before.
func screenClient(i int) net.IP {
	if screenCases()[i].next != "" {
		i--
	}
	return net.IPv4(127, 0, 1, byte(i+2))
}

// comeAgain is the second visit of a client to Postfix. While postscreen(8) has
// not yet let go of the first, a visit passes without a word in the log: the
// client comes until it is told of.
func comeAgain(t *testing.T, addr string, i int, say []string, log func() string) (replies []string) {
	for range 20 {
		replies = perform(t, addr, screenClient(i), say)
		told := settled(func() string { return ofConnection(i, screenLog(strings.Split(log(), "\n"), screenClient(i))) })
		if strings.Contains(told, "\n") {
			break
		}
	}
	return replies
}

// ofConnection is what the log of a client says about the connection of a case:
// the first, or for one that comes again the last.
func ofConnection(i int, log string) string {
	cases := screenCases()
	again := cases[i].next != ""
	if !again && (i+1 == len(cases) || cases[i+1].next == "") {
		return log
	}
	visits := strings.Split(log, "\nCONNECT ")
	switch {
	case !again:
		return visits[0]
	case len(visits) == 1:
		return ""
	}
	return "CONNECT " + visits[len(visits)-1]
}

func compareScreen(t *testing.T, h *host, theirs []string, theirLog func() string, i int, c screenCase) {
	h.setRows(append([]string{"mynetworks=192.0.2.1", "postscreen_access_list=permit_mynetworks", "postscreen_greet_action=ignore", "postscreen_non_smtp_command_action=drop",
		"postscreen_pipelining_enable=no", "postscreen_non_smtp_command_enable=no", "postscreen_bare_newline_enable=no"},
		append(c.set[:len(c.set):len(c.set)], "postscreen_greet_wait=200ms")...))
	from := screenClient(i)
	logged := h.log.len()
	ours := perform(t, h.addr(25), from, c.say)
	ourLog, wantLog := agreed(func() string { return screenLog(h.log.from(logged), from) },
		func() string { return ofConnection(i, screenLog(strings.Split(theirLog(), "\n"), from)) })
	answers := func(list []string) string {
		return strings.ReplaceAll(hostName.ReplaceAllString(strings.Join(list, "\n"), "HOST"), "250-STARTTLS\n", "")
	}
	for _, s := range [][3]string{{"replies", answers(ours), answers(theirs)}, {"log", ourLog, wantLog}} {
		if s[1] != s[2] {
			t.Errorf("%s:\nours:\n%s\nPostfix:\n%s", s[0], s[1], s[2])
		}
	}
}
