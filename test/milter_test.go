package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/internal/testport"
)

// Milters, side by side with Postfix: the same filter is asked by both, and
// replies, the lines of the log about milters and what becomes of the message
// must be the same.

type milterCase struct {
	name string
	mode string   // of the filter: '' one that looks at the mail
	set  []string // settings of this case
	say  []string // commands behind the greeting; '.' is behind the text of the message
}

// mail is a whole transaction; do are orders for the filter.
func mail(do ...string) []string {
	text := "From: a@client.example\r\nSubject: first\r\nX-Twice: a\r\nX-Twice: b\r\n folded\r\n"
	for _, d := range do {
		text += "X-Do: " + d + "\r\n"
	}
	return []string{"EHLO client.example", "MAIL FROM:<a@client.example> SIZE=100", "RCPT TO:<one@relay.example>", "RCPT TO:<two@relay.example> NOTIFY=FAILURE", "DATA",
		text + "\r\nbody\r\n\r\nof it\r\n..dot\r\n.", "RSET"}
}

func milterCases() []milterCase {
	long := os.Getenv("MAILSERVER_LONG") != ""
	verbs, actions := strings.Fields("reject tempfail discard accept reply lines code bye"), strings.Fields("tempfail accept reject quarantine")
	if !long {
		verbs, actions = []string{"reject", "lines"}, actions[:1]
	}
	var list []milterCase
	add := func(name string, say ...string) { list = append(list, milterCase{name: name, say: say}) }
	for _, v := range verbs {
		list = append(list, milterCase{name: "connect " + v, mode: "connect-" + v, say: mail()})
		add("helo "+v, "EHLO "+v+".example", "MAIL FROM:<a@client.example>", "RCPT TO:<one@relay.example>", "DATA", "Subject: x\r\n\r\nx\r\n.")
		add("mail "+v, "EHLO client.example", "MAIL FROM:<"+v+"@client.example>", "RCPT TO:<one@relay.example>", "DATA", "Subject: x\r\n\r\nx\r\n.", "MAIL FROM:<b@client.example>")
		add("rcpt "+v, "EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<"+v+"@relay.example>", "RCPT TO:<one@relay.example>", "DATA", "Subject: x\r\n\r\nx\r\n.")
		add("unknown "+v, "EHLO client.example", v+" something", "NOOP")
		add("header "+v, mail("header-"+v)...)
		add("end of header "+v, mail("eoh-"+v)...)
		add("end of message "+v, mail("eom-"+v)...)
	}
	add("data", "EHLO client.example", "MAIL FROM:<data-reject@client.example>", "RCPT TO:<one@relay.example>", "DATA", "QUIT")
	add("refused recipient", "EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<x@elsewhere.example>", "RCPT TO:<one@relay.example>", "DATA", "Subject: x\r\nX-Do: seen\r\n\r\nx\r\n.")
	for _, do := range strings.Fields("add ins chg del body addrcpt delrcpt delall chgfrom quarantine progress seen body-skip bigbody") {
		add("do "+do, mail(do)...)
	}
	add("do all", mail("add", "ins", "chg", "del", "body", "addrcpt", "delrcpt", "chgfrom", "quarantine")...)
	add("change and refuse", mail("add", "body", "eom-reject")...)
	for _, action := range actions {
		list = append(list, milterCase{name: "nobody there, " + action, mode: "none", set: []string{"milter_default_action=" + action}, say: mail()})
		list = append(list, milterCase{name: "own action " + action, mode: "none", set: []string{"smtpd_milters={ %M, default_action=" + action + " }"}, say: mail()})
		list = append(list, milterCase{name: "hangs, " + action, set: []string{"milter_command_timeout=10s", "milter_default_action=" + action},
			say: []string{"EHLO client.example", "MAIL FROM:<hang@client.example>", "RCPT TO:<one@relay.example>", "DATA", "Subject: x\r\n\r\nx\r\n."}})
		list = append(list, milterCase{name: "hangs at the end, " + action, set: []string{"milter_content_timeout=10s", "milter_default_action=" + action}, say: mail("add", "eom-hang")})
		list = append(list, milterCase{name: "dies, " + action, mode: "dies", set: []string{"milter_default_action=" + action}, say: mail("add", "eom-die")})
	}
	return list
}

// filterProcess runs the filter until the test ends.
func filterProcess(t *testing.T, mode string) (name string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "milter-")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	socket := filepath.Join(dir, "s")
	t.Cleanup(func() { os.RemoveAll(dir) })
	if mode == "none" {
		return "unix:" + socket
	}
	cmd := exec.Command("/usr/bin/python3", "testdata/filter.py", "unix:"+socket, mode)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if os.Chmod(socket, 0o777) == nil {
			return "unix:" + socket
		}
		if time.Now().After(end) {
			t.Fatal("the milter does not listen")
		}
	}
}

// talkTo sends lines one by one and returns the replies.
func talkTo(t *testing.T, addr string, lines []string) []string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	read := func() string {
		c.SetDeadline(time.Now().Add(patience))
		var all []string
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return strings.Join(append(all, "closed"), "\n")
			}
			all = append(all, strings.TrimRight(line, "\r\n"))
			if len(line) > 3 && line[3] == ' ' {
				return strings.Join(all, "\n")
			}
		}
	}
	out := []string{read()}
	for _, line := range lines {
		if strings.HasSuffix(out[len(out)-1], "closed") {
			break
		}
		if strings.HasSuffix(line, "\r\n.") && !strings.HasPrefix(out[len(out)-1], "354") {
			continue // DATA was refused
		}
		fmt.Fprintf(c, "%s\r\n", line)
		out = append(out, read())
	}
	return out
}

var (
	milterID    = regexp.MustCompile(`queued as (\w+)`)
	logID       = regexp.MustCompile(`^[0-9A-Za-z]{8,}: `)
	milterLines = regexp.MustCompile(`(?i)milter`)
)

// readable hides what differs between two runs: IDs, names of hosts, the
// extensions of EHLO.
func readable(list []string) string {
	out := make([]string, len(list))
	for i, text := range list {
		if strings.HasPrefix(text, "250-mx.example\n") || strings.HasPrefix(text, "250-front.example\n") {
			text = "250 EHLO"
		}
		text = milterID.ReplaceAllString(text, "queued as ID")
		out[i] = hostName.ReplaceAllString(text, "HOST")
	}
	return strings.Join(out, "\n")
}

var hostName = regexp.MustCompile(`\b(mx|front)\.example\b`)

// milterLog is the part of a log that is about milters.
func milterLog(lines []string) string {
	var out []string
	for _, l := range lines {
		if !milterLines.MatchString(l) {
			continue
		}
		_, text, _ := strings.Cut(l, "]: ")
		text = logID.ReplaceAllString(text, "ID: ")
		if strings.Contains(text, ": RCPT from ") || strings.Contains(text, ": DATA from ") { // Postfix has an ID from the first recipient on
			text = strings.TrimPrefix(strings.TrimPrefix(text, "NOQUEUE: "), "ID: ")
		}
		text = regexp.MustCompile(`unix:[^ :]*`).ReplaceAllString(text, "SOCKET")
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

// stored is the message of a queue file with what differs hidden, and without
// the Received header.
func stored(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = regexp.MustCompile(`(?m)^Received: from \S+ \(.*\n(\s.*\n)*`).ReplaceAllString(text, "Received: ours\n")
	return hostName.ReplaceAllString(strings.TrimRight(text, "\n"), "HOST")
}

func TestMiltersAsPostfix(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	if _, err := os.Stat("/usr/lib/python3/dist-packages/Milter"); err != nil {
		if os.Getenv("MAILSERVER_PEERS") == "1" {
			t.Fatal("python3-milter is not installed")
		}
		t.Skip("python3-milter is not installed")
	}
	h := sampleHost(t, "")
	h.sql(`INSERT INTO Domain (domName, domClass) VALUES ('relay.example', 2) ON CONFLICT DO NOTHING;
INSERT INTO Address (addLocalpart, addDomNum) SELECT '', domNum FROM Domain WHERE domName = 'relay.example';`)
	settings := []string{"smtpd_peername_lookup=no", "smtpd_recipient_restrictions=reject_unauth_destination, check_recipient_access static:HOLD",
		"smtpd_relay_restrictions=", "mynetworks=192.0.2.1", "smtpd_client_restrictions=", "smtpd_data_restrictions="}
	h.mustRun(append([]string{"config", "set"}, settings...)...)
	h.start()
	var cases []milterCase
	for _, c := range milterCases() {
		if strings.Contains(c.name, os.Getenv("MILTER_CASE")) {
			cases = append(cases, c)
		}
	}
	filters := make(map[string]string)
	filter := func(c milterCase) string {
		if filters[c.mode] == "" || c.mode == "dies" { // once for each server
			filters[c.mode] = filterProcess(t, c.mode)
		}
		return filters[c.mode]
	}
	p := milterPostfix(t, cases, filter)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) { compareMilter(t, h, p, i, c, filter(c)) })
	}
}

// rows are the settings of a case whose filter has a name.
func (c milterCase) rows(name string) []string {
	list := []string{"milter_default_action=tempfail", "milter_command_timeout=120s", "milter_content_timeout=120s", "smtpd_milters=" + name}
	for _, s := range c.set {
		list = append(list, strings.ReplaceAll(s, "%M", name))
	}
	return list
}

func compareMilter(t *testing.T, h *host, p *peerPostfix, i int, c milterCase, filter string) {
	logged := len(p.log(t))
	theirs := talkTo(t, p.addr[i], c.say)

	h.setRows(c.rows(filter))
	ourLogged := h.log.len()
	ours := talkTo(t, h.addr(25), c.say)
	ended(t, 1, spoke, func() []string { return p.log(t)[logged-1:] })
	ended(t, 1, spoke, func() []string { return h.log.from(ourLogged) })
	ourLog, theirLog := agreed(func() string { return milterLog(h.log.from(ourLogged)) },
		func() string { return milterLog(p.log(t)[logged-1:]) })

	same := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s:\nours:\n%s\nPostfix:\n%s", what, got, want)
		}
	}
	same("replies", readable(ours), readable(theirs))
	same("log", ourLog, theirLog)
	our, their := milterID.FindStringSubmatch(strings.Join(ours, "\n")), milterID.FindStringSubmatch(strings.Join(theirs, "\n"))
	if our == nil || their == nil {
		return
	}
	from, to := p.envelope(t, their[1])
	text, err := h.spooled(our[1])
	if err != nil && len(to) == 0 { // nobody is left; Postfix keeps it in hold
		return
	}
	same("message", stored(string(text)), stored(p.text(t, their[1])))
	list, err := h.run("", "queue", "show", our[1])
	if err != nil {
		t.Fatal(err, list)
	}
	list, _, _ = strings.Cut(list, "\n\n")
	for _, a := range append(to, from) {
		if len(text) > 0 && !strings.Contains(list, a) {
			t.Errorf("%s is not in the envelope of\n%s", a, list)
		}
	}
	if n := strings.Count(list, "@relay.example"); n != len(to) {
		t.Errorf("%d recipients, Postfix has %v:\n%s", n, to, list)
	}
}

// settled waits until a text does not grow any more.
func settled(get func() string) string {
	last := get()
	for same := 0; same < 3; {
		time.Sleep(30 * time.Millisecond)
		if now := get(); now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
	return last
}

// agreed reads two logs until they say the same and nothing is added. Programs
// of a busy machine may write late, so they have the patience of all tests until they may differ.
func agreed(ours, theirs func() string) (our, their string) {
	for deadline := time.Now().Add(patience); ; {
		our, their, _ = strings.Cut(settled(func() string { return ours() + "\x00" + theirs() }), "\x00")
		if our == their || time.Now().After(deadline) {
			return our, their
		}
	}
}

// spoke is the last line that is logged about a client who has said something.
const spoke = `disconnect from \S+ .+ commands=`

// ended waits until a log has n lines that match: the ends of connections. What
// was logged of them before is there then, and what comes later is not theirs.
func ended(t *testing.T, n int, match string, log func() []string) {
	t.Helper()
	re := regexp.MustCompile(match)
	waitFor(t, "the log tells of the end of the connections", func() bool {
		told := 0
		for _, line := range log() {
			if re.MatchString(line) {
				told++
			}
		}
		return told >= n
	})
}

// peerPostfix is a Postfix of our own, with a listener for each case.
type peerPostfix struct {
	dir  string
	addr []string
}

func milterPostfix(t *testing.T, cases []milterCase, filter func(milterCase) string) *peerPostfix {
	t.Helper()
	var rows [][]string
	for _, c := range cases {
		rows = append(rows, c.rows(filter(c)))
	}
	return besidePostfix(t, "smtpd_recipient_restrictions = reject_unauth_destination, check_recipient_access static:HOLD\n", rows)
}

// besidePostfix starts a Postfix with a listener for each set of settings.
func besidePostfix(t *testing.T, main string, rows [][]string) *peerPostfix {
	t.Helper()
	p := new(peerPostfix)
	var services strings.Builder
	for i, set := range rows {
		p.addr = append(p.addr, testport.Addr(t))
		fmt.Fprintf(&services, "%s inet n - n - - smtpd\n", p.addr[i])
		for _, row := range set {
			name, value, _ := strings.Cut(row, "=")
			fmt.Fprintf(&services, "  -o { %s = %s }\n", name, value)
		}
	}
	_, p.dir = startPostfix(t, `relay_domains = relay.example
relay_recipient_maps =
mynetworks = 192.0.2.1
local_header_rewrite_clients =
default_transport = smtp
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_relay_restrictions =
smtpd_client_connection_count_limit = 0
`+main, services.String())
	return p
}

func (p *peerPostfix) log(t *testing.T) []string {
	text, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

// text is a message in the queue.
func (p *peerPostfix) text(t *testing.T, id string) string {
	out, _ := exec.Command("postcat", "-c", filepath.Join(p.dir, "etc"), "-qhb", id).Output()
	return string(out)
}

var envelopeLine = regexp.MustCompile(`(?m)^(sender|recipient): (.*)$`)

func (p *peerPostfix) envelope(t *testing.T, id string) (from string, to []string) {
	out, _ := exec.Command("postcat", "-c", filepath.Join(p.dir, "etc"), "-qe", id).Output()
	for _, m := range envelopeLine.FindAllStringSubmatch(string(out), -1) {
		if m[1] == "sender" {
			from = m[2]
		} else {
			to = append(to, m[2])
		}
	}
	return from, to
}

// setRows writes settings.
func (h *host) setRows(rows []string) {
	h.t.Helper()
	var sql strings.Builder
	for _, row := range rows {
		name, value, _ := strings.Cut(row, "=")
		fmt.Fprintf(&sql, "INSERT OR REPLACE INTO Setting VALUES ('%s', '%s');", name, value)
	}
	h.sql(sql.String())
}
