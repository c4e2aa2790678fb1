package test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
	"mailserver/internal/dns/dnstest"
)

// dsnCase is a message that both servers are given, by lines of SMTP, for
// recipients that do not all get it. %S is the sender of the case.
type dsnCase struct {
	name  string
	mail  string   // parameters of MAIL
	rcpts []string // "address" or "address PARAMETERS"
	from  string   // "" is %S; "<>" the null sender
	body  string
	none  bool // no report comes
}

const bigBody = 60000

// onPurpose are cases whose words differ: docs/decisions/011-reports.md.
var onPurpose = map[string]string{
	"garbage": "a reply that is none is said to be so, not a lost connection",
	"size":    "sizes count CRLF as two, RFC 1870 §5",
}

func dsnCases() []dsnCase {
	one := func(name, rcpt string) dsnCase { return dsnCase{name: name, rcpts: []string{rcpt}} }
	long := strings.Repeat("0123456789 abcdefghi\r\n", bigBody/22)
	return []dsnCase{
		one("unknown", "unknown@r1.example"),
		one("refused-noenh", "noenh@r2.example"),
		one("refused-lines", "multi@r3.example"),
		one("refused-badclass", "badclass@r4.example"),
		one("full-expires", "full@r5.example"),
		one("mail-refused", "x@mail553.example"),
		one("data-refused", "x@data554.example"),
		one("dot-refused", "x@dot554.example"),
		one("dot-deferred", "x@dot451.example"),
		one("greeting-554", "x@greet554.example"),
		one("greeting-421", "x@greet421.example"),
		one("helo-refused", "x@helo550.example"),
		one("size", "x@size.example"),
		one("drop-at-data", "x@drop.example"),
		one("drop-at-mail", "x@dropmail.example"),
		one("timeout-helo", "x@slow.example"),
		one("garbage", "x@garbage.example"),
		one("nullmx", "x@nullmx.example"),
		one("nxdomain", "x@nx.example"),
		one("no-address", "x@noaddr.example"),
		one("mx-nx", "x@mxnx.example"),
		one("servfail", "x@servfail.example"),
		one("refused", "x@refused.example"),
		one("loop", "x@loop.example"),
		one("error-transport", "x@closed.example"),
		{name: "multi-mixed", rcpts: []string{"unknown@r6.example", "ok@r6.example", "noenh@r6.example"}},
		{name: "multi-domains", rcpts: []string{"unknown@r7.example", "x@nullmx2.example", "x@nx2.example"}},
		{name: "notify-never", rcpts: []string{"unknown@r8.example NOTIFY=NEVER"}, none: true},
		{name: "notify-failure", rcpts: []string{"unknown@r9.example NOTIFY=FAILURE"}},
		{name: "notify-delay-only", rcpts: []string{"unknown@r10.example NOTIFY=DELAY"}, none: true},
		{name: "notify-success-fails", rcpts: []string{"unknown@r11.example NOTIFY=SUCCESS"}, none: true},
		{name: "notify-success-relayed", rcpts: []string{"ok@r12.example NOTIFY=SUCCESS,FAILURE"}},
		{name: "notify-success-dsn", rcpts: []string{"ok@dsn.example NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig+2Bx@a.example"}, mail: "RET=HDRS ENVID=env+2B1", none: true},
		{name: "notify-success-delivered", rcpts: []string{"joe@here.example NOTIFY=SUCCESS"}},
		{name: "notify-success-alias", rcpts: []string{"two@v.example NOTIFY=SUCCESS"}},
		{name: "notify-success-alias1", rcpts: []string{"alsojoe@v.example NOTIFY=SUCCESS ORCPT=rfc822;orig@a.example"}},
		{name: "ret-hdrs", mail: "RET=HDRS ENVID=QQ314159", rcpts: []string{"unknown@r13.example"}},
		{name: "ret-full", mail: "RET=FULL ENVID=a+3Db", rcpts: []string{"unknown@r14.example ORCPT=rfc822;someone@else.example"}},
		{name: "orcpt-utf8", rcpts: []string{"unknown@r15.example ORCPT=x400;/c=de/s+20x/"}},
		{name: "big", rcpts: []string{"unknown@r16.example"}, body: long},
		{name: "big-ret-full", mail: "RET=FULL", rcpts: []string{"unknown@r17.example"}, body: long},
		{name: "alias", rcpts: []string{"gone@v.example"}},
		{name: "alias-of-alias", rcpts: []string{"gone2@v.example"}},
		{name: "8bit", mail: "BODY=8BITMIME", rcpts: []string{"unknown@r18.example"}, body: "gr\xfc\xdfe\r\n"},
		{name: "utf8-not-offered", mail: "SMTPUTF8", rcpts: []string{"\u00fcnkn\u00f6wn@r19.example"}},
		{name: "utf8-refused", mail: "SMTPUTF8", rcpts: []string{"\u00fcnkn\u00f6wn@utf8.example"}},
		{name: "utf8-headers", mail: "SMTPUTF8 RET=HDRS", rcpts: []string{"\u00fcnkn\u00f6wn@utf8b.example"}},
		{name: "quoted", rcpts: []string{`"un known"@r20.example`}},
		{name: "null-sender", from: "<>", rcpts: []string{"unknown@r21.example"}, none: true},
		{name: "long-line", rcpts: []string{"long@r22.example"}},
	}
}

// dsnZone has one host for each way to fail.
const dsnZone = `
back.example.       MX 10 mx.back.example.
mx.back.example.    A 127.0.1.50
data554.example.    A 127.0.1.11
mail553.example.    A 127.0.1.12
dot554.example.     A 127.0.1.13
dot451.example.     A 127.0.1.14
greet554.example.   A 127.0.1.15
greet421.example.   A 127.0.1.16
helo550.example.    A 127.0.1.17
size.example.       A 127.0.1.18
drop.example.       A 127.0.1.19
dropmail.example.   A 127.0.1.20
slow.example.       A 127.0.1.21
garbage.example.    A 127.0.1.22
dsn.example.        A 127.0.1.23
utf8.example.       A 127.0.1.24
utf8b.example.      A 127.0.1.24
nullmx.example.     MX 0 .
nullmx2.example.    MX 0 .
noaddr.example.     TXT "nothing"
mxnx.example.       MX 10 nothere.mxnx2.example.
refused.example.    A 127.0.1.99
loop.example.       A 127.0.0.1
`

// dsnRemotes are the hosts of dsnZone.
func dsnRemotes(t *testing.T) (back, dsn *remotetest.Sink, zone string) {
	t.Helper()
	words := map[string]string{
		"unknown": "550 5.1.1 <unknown>: Recipient address rejected: User unknown in local recipient table",
		"noenh":   "550 no such user here", "multi": "550-5.7.1 first line\n550-5.7.1 second line, which is a long one with many words in it, so that it must be folded\n550 5.7.1 third line",
		"badclass": "550 4.7.1 a code of another class", "full": "452 4.2.2 mailbox full",
		`"un known"`: "550 5.1.1 who is that",
		"long":       "550 5.7.1 " + strings.Repeat("x", 120) + " " + strings.Repeat("y ", 60),
	}
	rcpt := func(line string) string {
		local, _, ok := strings.Cut(strings.TrimPrefix(line, "RCPT TO:<"), "@")
		if ok && strings.HasPrefix(line, "RCPT TO:<") {
			return words[local]
		}
		return ""
	}
	on := func(prefix, reply string) func(string) string {
		return func(line string) string {
			if strings.HasPrefix(line, prefix) {
				return reply
			}
			return ""
		}
	}
	zone = dsnZone
	for i := range 22 {
		zone += fmt.Sprintf("r%d.example. A 127.0.1.10\n", i+1)
	}
	sinkAt(t, "127.0.1.10:25", &remotetest.Sink{Exts: []string{"8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING"}, Answer: rcpt})
	sinkAt(t, "127.0.1.11:25", &remotetest.Sink{Answer: on("DATA", "554 5.7.1 no data from you")})
	sinkAt(t, "127.0.1.12:25", &remotetest.Sink{Answer: on("MAIL", "553 5.1.8 sender address rejected")})
	sinkAt(t, "127.0.1.13:25", &remotetest.Sink{Answer: on(".", "554 5.6.0 content rejected")})
	sinkAt(t, "127.0.1.14:25", &remotetest.Sink{Answer: on(".", "451 4.3.0 try later")})
	sinkAt(t, "127.0.1.15:25", &remotetest.Sink{Greeting: "554 5.3.2 no service here"})
	sinkAt(t, "127.0.1.16:25", &remotetest.Sink{Greeting: "421 4.3.2 too busy"})
	sinkAt(t, "127.0.1.17:25", &remotetest.Sink{Answer: func(line string) string {
		if strings.HasPrefix(line, "EHLO") || strings.HasPrefix(line, "HELO") {
			return "550 5.7.1 bad name"
		}
		return ""
	}})
	sinkAt(t, "127.0.1.18:25", &remotetest.Sink{Exts: []string{"SIZE 100"}})
	sinkAt(t, "127.0.1.19:25", &remotetest.Sink{Answer: on("DATA", "drop")})
	sinkAt(t, "127.0.1.20:25", &remotetest.Sink{Answer: on("MAIL", "drop")})
	sinkAt(t, "127.0.1.21:25", &remotetest.Sink{Answer: func(line string) string {
		if strings.HasPrefix(line, "EHLO") {
			time.Sleep(12 * time.Second)
		}
		return ""
	}})
	sinkAt(t, "127.0.1.22:25", &remotetest.Sink{Answer: on("MAIL", "hello there")})
	dsn = sinkAt(t, "127.0.1.23:25", &remotetest.Sink{Exts: []string{"DSN"}})
	sinkAt(t, "127.0.1.24:25", &remotetest.Sink{Exts: []string{"SMTPUTF8", "8BITMIME"}, Answer: on("RCPT", "550 5.1.1 no such user: \u00fcnkn\u00f6wn")})
	back = sinkAt(t, "127.0.1.50:25", &remotetest.Sink{Exts: []string{"SMTPUTF8", "8BITMIME", "SIZE 10000000"}})
	return back, dsn, zone
}

// netPostfix runs a Postfix in the test's own network; it listens at
// 127.0.0.1:25.
func netPostfix(t *testing.T, main, master string) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, d := range []string{"queue", "data", "box"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	if out, err := exec.Command("chown", "postfix", filepath.Join(dir, "data")).CombinedOutput(); err != nil {
		t.Skipf("no user postfix: %s", out)
	}
	os.Chown(filepath.Join(dir, "box"), 5000, 5000)
	main = strings.ReplaceAll(`compatibility_level = 3.6
queue_directory = DIR/queue
data_directory = DIR/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example
myorigin = mx.example
mydestination = mx.example
local_recipient_maps =
alias_maps =
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = here.example
virtual_mailbox_base = DIR/box
virtual_mailbox_maps = inline:{joe@here.example=joe/, ann@here.example=ann/}
virtual_uid_maps = static:5000
virtual_gid_maps = static:5000
smtpd_peername_lookup = no
in_flow_delay = 0
maillog_file = DIR/log
maillog_file_prefixes = DIR
`+main, "DIR", dir)
	master = "127.0.0.1:25 inet n - n - - smtpd\n" + master
	for _, line := range []string{"rewrite unix - - n - - trivial-rewrite", "cleanup unix n - n - 0 cleanup", "proxymap unix - - n - - proxymap", "pickup unix n - n 60 1 pickup",
		"anvil unix - - n - 1 anvil", "qmgr unix n - n 1 1 qmgr", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "flush unix n - n 1000? 0 flush",
		"tlsmgr unix - - n 1000? 1 tlsmgr", "virtual unix - n n - - virtual", "error unix - - n - - error", "retry unix - - n - - error", "smtp unix - - n - - smtp", "relay unix - - n - - smtp",
		"scache unix - - n - 1 scache", "local unix - n n - - local", "discard unix - - n - - discard", "showq unix n - n - - showq", "verify unix - - n - 1 verify", "postlog unix-dgram n - n - 1 postlogd"} {
		master += line + "\n"
	}
	for name, text := range map[string]string{"main.cf": main, "master.cf": master} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := outside(t, "", "postfix", "-c", dir, "start"); err != nil {
		t.Skipf("Postfix does not start here: %v\n%s", err, out)
	}
	t.Cleanup(func() { outside(t, "", "postfix", "-c", dir, "stop") })
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:25"); err == nil {
			c.Close()
			return dir
		}
	}
	t.Fatal("Postfix does not answer")
	return ""
}

// give hands the cases to a server.
func give(t *testing.T, addr string, cases []dsnCase) {
	t.Helper()
	for _, c := range cases {
		s, err := dialSender(addr)
		if err != nil {
			t.Fatal(err)
		}
		from := "<" + c.name + "@back.example>"
		if c.from != "" {
			from = c.from
		}
		lines := []string{strings.TrimSpace("MAIL FROM:" + from + " " + c.mail)}
		for _, r := range c.rcpts {
			at := strings.IndexByte(r, '@')
			end := strings.IndexByte(r[at:], ' ')
			if end < 0 {
				end = len(r) - at
			}
			lines = append(lines, strings.TrimSpace("RCPT TO:<"+r[:at+end]+">"+r[at+end:]))
		}
		for _, line := range lines {
			if err := s.cmd(250, "%s", line); err != nil {
				t.Fatalf("%s: %s: %v", c.name, line, err)
			}
		}
		if err := s.cmd(354, "DATA"); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		body := c.body
		if body == "" {
			body = "the body\r\n..\r\n"
		}
		subject := "test of " + c.name
		if strings.Contains(c.mail, "SMTPUTF8") {
			subject += " \u00fc"
		}
		if err := s.cmd(250, "From: <x@back.example>\r\nTo: <y@r.example>\r\nSubject: %s\r\nMessage-ID: <%s@test>\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\r\n%s.", subject, c.name, body); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		s.c.Close()
	}
}

var testMessage = regexp.MustCompile(`Message-ID: <([a-z0-9-]+)@test>`)

// reports writes the messages that came back, a file for each, by the name of
// their case.
func reports(t *testing.T, dir string, list []remotetest.Message) map[string]int {
	t.Helper()
	found := make(map[string]int)
	// Two reports on one message may leave in either order.
	subject := regexp.MustCompile(`(?m)^Subject: .*`)
	slices.SortStableFunc(list, func(a, b remotetest.Message) int {
		return strings.Compare(subject.FindString(a.Data), subject.FindString(b.Data))
	})
	for _, m := range list {
		for _, to := range m.To {
			name, _, _ := strings.Cut(strings.Trim(to, "<>"), "@")
			if id := testMessage.FindStringSubmatch(m.Data); id != nil && id[1] != name {
				name += "-" + id[1]
			}
			found[name]++
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d", name, found[name])), []byte("MAIL FROM:"+m.From+"\r\n"+m.Data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return found
}

// cameBack waits until nothing new has come for a while.
func cameBack(t *testing.T, sink *remotetest.Sink, want int, empty func() bool) []remotetest.Message {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if len(sink.Messages()) >= want && empty() {
			return sink.Messages()
		}
	}
	t.Errorf("%d reports, want %d", len(sink.Messages()), want)
	return sink.Messages()
}

// TestReportsAsPostfix: the same failures, with the same remote hosts, give the
// same reports, field by field, as another parser reads them.
func TestReportsAsPostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	need(t, "python3")
	if !ownNetwork(t) {
		return
	}
	back, dsn, zone := dsnRemotes(t)
	d := startNetwork(t, zone)
	d.Fail("servfail.example", dnstest.Fault{Rcode: 2})
	cases := dsnCases()
	want := 0
	for _, c := range cases {
		if !c.none {
			want++
		}
	}
	out := t.TempDir()
	if dir := os.Getenv("MAIL_REPORTS"); dir != "" {
		out = dir
	}
	for _, name := range []string{"postfix", "ours"} {
		os.RemoveAll(filepath.Join(out, name))
		if err := os.MkdirAll(filepath.Join(out, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	dir := netPostfix(t, `maximal_queue_lifetime = 0
bounce_queue_lifetime = 0
smtp_helo_timeout = 6s
smtp_mail_timeout = 9s
virtual_alias_domains = v.example
virtual_alias_maps = inline:{{two@v.example=joe@here.example,ann@here.example}, {alsojoe@v.example=joe@here.example}, {gone@v.example=unknown@r1.example}, {gone2@v.example=gone@v.example}}
transport_maps = inline:{{closed.example=error:5.2.1 closed for good}}
smtpd_reject_unlisted_recipient = no
`, "")
	give(t, "127.0.0.1:25", cases)
	queueEmpty := func() bool {
		out, _ := exec.Command("postqueue", "-c", dir, "-p").Output()
		return strings.Contains(string(out), "empty")
	}
	theirs := reports(t, filepath.Join(out, "postfix"), cameBack(t, back, want, queueEmpty))
	outside(t, "", "postfix", "-c", dir, "stop")
	first := len(back.Messages())
	lines := len(dsn.Lines())
	h := sampleHost(t, "")
	h.mustRun("config", "set", "maximal_queue_lifetime=0", "bounce_queue_lifetime=0", "smtp_helo_timeout=6s", "smtp_mail_timeout=9s", "smtp_tls_security_level=none", "smtpd_reject_unlisted_recipient=no", "reason_header=no")
	h.mustRun("domain", "add", "here.example")
	h.mustRun("domain", "add", "v.example", "--class", "alias")
	h.mustRun("domain", "add", "closed.example", "--class", "external", "--transport", "error:5.2.1 closed for good")
	for _, user := range []string{"joe", "ann"} {
		h.mustRun("mailbox", "add", user+"@here.example", "--password-hash", "{PLAIN}x")
	}
	h.mustRun("alias", "add", "two@v.example", "joe@here.example", "ann@here.example")
	h.mustRun("alias", "add", "alsojoe@v.example", "joe@here.example")
	h.mustRun("alias", "add", "gone@v.example", "unknown@r1.example")
	h.mustRun("alias", "add", "gone2@v.example", "gone@v.example")
	h.start()
	// What can be refused at the door is refused there: error: transports.
	give(t, h.addr(25), slices.DeleteFunc(slices.Clone(cases), func(c dsnCase) bool { return c.name == "error-transport" }))
	list := cameBack(t, back, first+want-1, func() bool { return strings.Contains(h.mustRun("queue", "list"), "empty") })
	ours := reports(t, filepath.Join(out, "ours"), list[first:])
	for _, c := range cases {
		a, b := theirs[c.name], ours[c.name]
		if c.name != "error-transport" && a != b {
			t.Errorf("%s: %d reports, Postfix sends %d", c.name, b, a)
		}
	}
	if got := dsn.Lines(); !slices.Equal(plainLines(got[:lines]), plainLines(got[lines:])) {
		t.Errorf("a host with DSN hears\n%q from Postfix,\n%q from us", got[:lines], got[lines:])
	}
	text, err := exec.Command("python3", "testdata/dsn.py", filepath.Join(out, "postfix"), filepath.Join(out, "ours")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var diffs []struct{ Case, Field, Postfix, Ours string }
	if err := json.Unmarshal(text, &diffs); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, d := range diffs {
		name, _, _ := strings.Cut(d.Case, ".")
		if onPurpose[name] != "" && (strings.HasPrefix(d.Field, "text,") || strings.HasSuffix(d.Field, "Diagnostic-Code") || d.Field == "folding" || strings.HasSuffix(d.Field, " Status")) {
			continue
		}
		t.Errorf("%s: %s\n  Postfix %s\n  ours    %s", d.Case, d.Field, d.Postfix, d.Ours)
	}
	if t.Failed() {
		t.Logf("%s", h.log.tail(200))
	}
}

// plainLines leaves out what need not be equal.
func plainLines(list []string) (out []string) {
	for _, line := range list {
		if !strings.HasPrefix(line, "EHLO") && !strings.HasPrefix(line, "QUIT") {
			words := strings.Fields(line) // parameters have no order
			slices.Sort(words)
			out = append(out, strings.Join(words, " "))
		}
	}
	return out
}

// TestNoticesAsPostfix: warnings of delay, and what postmasters get.
func TestNoticesAsPostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	need(t, "python3")
	if !ownNetwork(t) {
		return
	}
	back, _, zone := dsnRemotes(t)
	startNetwork(t, zone)
	cases := []dsnCase{
		{name: "late", rcpts: []string{"full@r1.example", "full@r2.example NOTIFY=FAILURE"}},
		{name: "fails", rcpts: []string{"unknown@r3.example"}},
		{name: "two", from: "<>", rcpts: []string{"unknown@r4.example"}},
		{name: "mixed", rcpts: []string{"unknown@r5.example", "full@r6.example"}},
	}
	// Reports: late and its copy, fails and its copy, two to a postmaster, two
	// of mixed and their copies.
	const want = 9
	out := t.TempDir()
	if dir := os.Getenv("MAIL_REPORTS"); dir != "" {
		out = filepath.Join(dir, "notices")
	}
	for _, name := range []string{"postfix", "ours"} {
		os.RemoveAll(filepath.Join(out, name))
		if err := os.MkdirAll(filepath.Join(out, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	set := []string{"notify_classes=bounce,2bounce,delay", "bounce_notice_recipient=pm@back.example", "2bounce_notice_recipient=pm2@back.example",
		"delay_notice_recipient=pmd@back.example", "delay_warning_time=1s", "minimal_backoff_time=1s", "maximal_backoff_time=1s", "queue_run_delay=1s"}
	dir := netPostfix(t, strings.Join(set, "\n")+"\n", "")
	give(t, "127.0.0.1:25", cases)
	theirs := reports(t, filepath.Join(out, "postfix"), cameBack(t, back, want, func() bool { return true }))
	outside(t, "", "postfix", "-c", dir, "stop")
	first := len(back.Messages())
	h := sampleHost(t, "")
	h.mustRun(append([]string{"config", "set", "smtp_tls_security_level=none", "reason_header=no"}, set...)...)
	h.start()
	give(t, h.addr(25), cases)
	ours := reports(t, filepath.Join(out, "ours"), cameBack(t, back, first+want, func() bool { return true })[first:])
	if fmt.Sprint(theirs) != fmt.Sprint(ours) {
		t.Errorf("reports %v, of Postfix %v", ours, theirs)
	}
	text, err := exec.Command("python3", "testdata/dsn.py", filepath.Join(out, "postfix"), filepath.Join(out, "ours")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var diffs []struct{ Case, Field, Postfix, Ours string }
	if err := json.Unmarshal(text, &diffs); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, d := range diffs {
		t.Errorf("%s: %s\n  Postfix %s\n  ours    %s", d.Case, d.Field, d.Postfix, d.Ours)
	}
}
