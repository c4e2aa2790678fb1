package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// headerSettings hold for both servers.
var headerSettings = [][2]string{
	{"append_dot_mydomain", "yes"}, {"mydomain", "out.example"}, {"masquerade_domains", "!keep.masq.example masq.example"},
	{"masquerade_exceptions", "root"}, {"recipient_delimiter", "+"}, {"local_header_rewrite_clients", "permit_inet_interfaces"},
	{"undisclosed_recipients_header", "To: undisclosed-recipients:;"}, {"sender_canonical_classes", "header_sender"},
	{"relayhost", ""}, {"mynetworks", "127.0.0.0/8"},
}

// headerMaps are canonical(5) and generic(5) maps.
var headerMaps = map[string][][2]string{
	"canonical": {{"joe@front.example", "Joe.User@out.example"}, {"@old.example", "@new.example"}, {"one@out.example", "two@out.example"},
		{"two@out.example", "three@out.example"}},
	"sender_canonical":    {{"snd@out.example", "sender.known@out.example"}},
	"recipient_canonical": {{"rcp@out.example", "recipient.known@out.example"}},
	"generic":             {{"gen@front.example", "known@isp.example"}, {"@gendom.example", "all@isp.example"}, {"g@keeps.example", "@isp.example"}},
}

// headerChecks are tables of header_checks(5).
var headerChecks = map[string][][2]string{
	"header": {
		{"/^Subject: reject me$/", "REJECT"}, {"/^Subject: reject (text)/", "REJECT no $1 here"},
		{"/^Subject: reject code/", "REJECT 5.7.9 very bad"}, {"/^Subject: reject later/", "REJECT 4.7.9 come later"},
		{"/^Subject: warn/", "WARN odd"}, {"/^X-Gone:/", "IGNORE"}, {"/^X-Strip:/", "STRIP"}, {"/^X-Old: (.*)/", "REPLACE X-New: $1"},
		{"/^X-Pre:/", "PREPEND X-Before: yes"}, {"/^X-To-From: (.*)/", "REPLACE Reply-To: $1"}, {"/^X-Hold:/", "HOLD"},
		{"/^X-Discard:/", "DISCARD"}, {"/^X-Folded: a. b$/", "REPLACE X-Folded: found"}, {"/^X-Redirect:/", "REDIRECT elsewhere@out.example"},
		{"/^X-Dunno:/", "DUNNO"}, {"/^X-/", "INFO seen"}, {"if /^Comments:/", ""}, {"!/fine/", "REPLACE Comments: not fine"}, {"endif", ""},
	},
	"body": {{"/^secret$/", "IGNORE"}, {"/^change (me)/", "REPLACE changed $1"}, {"/^above/", "PREPEND over it"}, {"/^forbidden/", "REJECT body is bad"}},
	"mime_header": {{"/^Content-Type: .*name=\"?bad\\.exe/", "REJECT executable"}, {"/^Content-Description:/", "IGNORE"},
		{"/^Content-Type: text\\/odd/", "REPLACE Content-Type: text/plain"}},
	"nested_header": {{"/^Subject: in (.*)/", "REPLACE Subject: was $1"}},
}

type headerCase struct{ name, from, to, text string }

// headerCases are messages behind their X-Case field; the sender is given where
// it is not a stranger.
var headerCases = []headerCase{
	{"plain", "", "", "From: a@x.example\nTo: b@out.example\nSubject: hello\n\nbody\n"},
	{"nothing", "", "", "\nbody\n"},
	{"no blank line", "", "", "Subject: x\nbody at once\n"},
	{"no header", "", "", "body at once\n"},
	{"unqualified", "", "", "From: joe\nTo: jim, \"A B\" <bob>\nCc: c@host (Comment)\n\nbody\n"},
	{"groups", "", "", "From: x@y.example\nTo: friends: joe, jim@host;, last@z.example\nSubject: g\n\nb\n"},
	{"empty group", "", "", "From: x@y.example\nTo: undisclosed-recipients:;\n\nb\n"},
	{"quoted", "", "", "From: \"O'Hara, \\\"Joe\\\"\" <joe>\nTo: \"john doe\"@host, <\"a b\"@x.example>\n\nb\n"},
	{"comments", "", "", "From: joe (Joe (the) User)\nTo: (first) jim (last), bob@(mid)host\n\nb\n"},
	{"folded", "", "", "From: x@y.example\nTo: first@host,\n\tsecond@host,\n third\n\nb\n"},
	{"long list", "", "", "From: x@y.example\nTo: " + strings.Repeat("someone.with.a.name@host, ", 9) + "last\n\nb\n"},
	{"long list untouched", "", "", "From: x@y.example\nTo: " + strings.Repeat("someone.with.a.name@host.example,   ", 9) + "last@z.example\n\nb\n"},
	{"missing commas", "", "", "From: x@y.example\nTo: a@b.example joe <c@d.example> e@f.example\n\nb\n"},
	{"route", "", "", "From: <@r.example,@s.example:joe@host>\nTo: <>\n\nb\n"},
	{"bang and percent", "", "", "From: host!joe\nTo: jim%host, a%b@c.example\n\nb\n"},
	{"literal", "", "", "From: joe@[192.0.2.1]\nTo: jim@host.\n\nb\n"},
	{"phrase with dots", "", "", "From: John B. Good <joe>\nTo: Dr. X <x@y.example>\n\nb\n"},
	{"encoded words", "", "", "From: =?utf-8?q?J=C3=BC?= <joe>\nSubject: =?utf-8?q?=C3=BC?=\n\nb\n"},
	{"eight bits", "", "", "From: J\xfcrgen <joe>\nSubject: \xfc\n\nb\n"},
	{"case of names", "", "", "FROM: joe\ntO: jim\nx-SPACE: kept\n\nb\n"},
	{"space before colon", "", "", "From : joe\nTo: jim\n\nb\n"},
	{"reply-to and sender", "", "", "From: a@x.example\nSender: joe\nReply-To: joe, b@host\nErrors-To: joe\nDisposition-Notification-To: joe\n\nb\n"},
	{"resent", "", "", "Resent-From: joe\nResent-To: jim@host\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"return-path and bcc", "", "", "Return-Path: <joe>\nBcc: hidden@host\nFrom: a@x.example\nContent-Length: 5\n\nb\n"},
	{"own date and id", "", "", "Date: Fri, 1 Jan 2021 00:00:00 +0000\nMessage-ID: <1@x>\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"canonical", "", "", "From: joe@front.example\nTo: someone@old.example, One <one@out.example>\n\nb\n"},
	{"canonical extension", "", "", "From: joe+ext@front.example\nTo: one+more@out.example\n\nb\n"},
	{"canonical sender only", "", "", "From: snd@out.example\nTo: snd@out.example, rcp@out.example\nReply-To: rcp@out.example\n\nb\n"},
	{"canonical of what is completed", "", "", "From: joe\nTo: Joe <joe+x>\n\nb\n"},
	{"masquerade", "", "", "From: a@host.masq.example\nTo: b@deep.host.masq.example, c@x.keep.masq.example, root@host.masq.example, d@masq.example\n\nb\n"},
	{"envelope canonical", "joe@front.example", "one@out.example", "From: a@x.example\nTo: b@out.example\n\nb\n"},
	{"envelope masquerade", "a@host.masq.example", "b@host.masq.example", "From: a@x.example\nTo: b@out.example\n\nb\n"},
	{"envelope sender class", "snd@out.example", "rcp@out.example", "From: a@x.example\nTo: b@out.example\n\nb\n"},
	{"null sender", "<>", "", "To: b@out.example\n\nb\n"},
	{"generic", "gen@front.example", "", "From: Gen <gen@front.example>\nTo: a@gendom.example, b@gendom.example, c@out.example\nSubject: g\n\nFrom: gen@front.example\n"},
	{"generic envelope", "u@gendom.example", "v@gendom.example", "From: g@keeps.example\nTo: gen+ext@front.example\n\nb\n"},
	{"generic completed", "", "", "From: gen\nCc: x (c), gen@front.example\n\nb\n"},
	{"reject", "", "", "Subject: reject me\n\nb\n"},
	{"reject with text", "", "", "Subject: reject text\n\nb\n"},
	{"reject with code", "", "", "Subject: reject code\n\nb\n"},
	{"reject for now", "", "", "Subject: reject later\n\nb\n"},
	{"warn", "", "", "Subject: warn\n\nb\n"},
	{"ignore and strip", "", "", "X-Gone: a\n folded\nX-Strip: b\nX-Stays: c\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"replace", "", "", "X-Old: value of it\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"replaced by addresses", "", "", "X-To-From: joe\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"prepend", "", "", "X-Pre: it\n goes on\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"multi-line pattern", "", "", "X-Folded: a\n b\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"if and not", "", "", "Comments: bad\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"if and fine", "", "", "Comments: fine\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"redirect", "", "", "X-Redirect: it\nFrom: a@x.example\nTo: b@out.example\n\nb\n"},
	{"body", "", "", "From: a@x.example\nTo: b@out.example\n\nsecret\nchange me now\nabove\n\nsecret \n"},
	{"body reject", "", "", "From: a@x.example\nTo: b@out.example\n\nfine\nforbidden\n"},
	{"attachment", "", "", "From: a@x.example\nTo: b@out.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"b 1\"\nContent-Description: gone\n\npre\n--b 1\nContent-Type: text/odd\nContent-Description: gone\n\nsecret\ntext\n--b 1\nContent-Type: application/x; name=\"fine.exe\"\n\nx\n--b 1--\nafter\n"},
	{"bad attachment", "", "", "From: a@x.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: application/x;\n name=\"bad.exe\"\n\nx\n--b1--\n"},
	{"message within", "", "", "From: a@x.example\nTo: b@out.example\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\nSubject: in here\nFrom: joe\n\nsecret\ninner\n"},
	{"message in a part", "", "", "From: a@x.example\nTo: b@out.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\nContent-Type: message/rfc822\n\nSubject: in there\nContent-Type: multipart/mixed; boundary=b2\n\n--b2\nContent-Type: text/odd\n\nchange me\n--b2--\n--b1--\n"},
	{"dots", "", "", "From: a@x.example\nTo: b@out.example\n\n.\n..\n.x\n"},
}

// TestHeadersAsPostfix sends the same messages through a Postfix and through
// our server, and compares replies, envelopes and messages as the next hop gets
// them.
func TestHeadersAsPostfix(t *testing.T) {
	t.Parallel()
	sink := &remotetest.Sink{Exts: []string{"PIPELINING", "8BITMIME"}}
	if err := sink.Start("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Stop)
	port, _ := startPostfix(t, headersMain(t, sink.Port()))
	theirs := sendHeaderCases(t, headerCases, "127.0.0.1:"+strconv.Itoa(port), sink)
	h := headersHost(t, sink.Port())
	ours := sendHeaderCases(t, headerCases, h.addr(25), sink)
	for i, c := range headerCases {
		if ours[i] != theirs[i] {
			t.Errorf("%s: ours\n%s\nPostfix\n%s", c.name, ours[i], theirs[i])
		}
	}
}

// sevenBitCases are messages to a server without 8BITMIME.
var sevenBitCases = []headerCase{
	{"not labelled", "", "", "From: a@x.example\n\nJ\xfcrgen\n"},
	{"text", "", "", "From: a@x.example\nMIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain; charset=utf-8\n\n\xc3\xbc = 1\ntrailing \ntab\t\n" +
		strings.Repeat("long \xc3\xbc ", 40) + "\n.\n\n"},
	{"seven bits after all", "", "", "From: a@x.example\nContent-Transfer-Encoding: 8bit\n\nabc\n"},
	{"coded already", "", "", "From: a@x.example\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BC\n"},
	{"parts", "", "", "From: a@x.example\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b1\nContent-Transfer-Encoding: 8bit\n\npre\xfc\n--b1\n" +
		"Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n--b1\nContent-Type: text/plain\n\na=b\n--b1\n" +
		"Content-Transfer-Encoding: binary\nContent-Type: application/x\nContent-Disposition: inline\n\n\x01\xff=\n--b1--\nafter =\n"},
	{"message within", "", "", "From: a@x.example\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: in\nContent-Transfer-Encoding: 8bit\nContent-Type: text/plain\n\n\xc3\xbc\n"},
}

// TestSevenBitAsPostfix compares what goes out to a server without 8BITMIME.
func TestSevenBitAsPostfix(t *testing.T) {
	t.Parallel()
	sink := &remotetest.Sink{Exts: []string{"PIPELINING"}}
	if err := sink.Start("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Stop)
	port, _ := startPostfix(t, fmt.Sprintf("smtpd_relay_restrictions = permit_mynetworks, reject\nmynetworks = 127.0.0.0/8\ndefault_transport = smtp:[127.0.0.1]:%d\n", sink.Port()))
	theirs := sendHeaderCases(t, sevenBitCases, "127.0.0.1:"+strconv.Itoa(port), sink)
	h := headersHost(t, sink.Port())
	h.sql("DELETE FROM ContentCheck; UPDATE Setting SET stValue='' WHERE stName='undisclosed_recipients_header';")
	ours := sendHeaderCases(t, sevenBitCases, h.addr(25), sink)
	for i, c := range sevenBitCases {
		if ours[i] != theirs[i] {
			t.Errorf("%s: ours\n%q\nPostfix\n%q", c.name, ours[i], theirs[i])
		}
	}
}

// headersMain is main.cf.
func headersMain(t *testing.T, port int) string {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for d := filepath.Dir(dir); d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	var main strings.Builder
	fmt.Fprintf(&main, "smtpd_relay_restrictions = permit_mynetworks, reject\ndefault_transport = smtp:[127.0.0.1]:%d\nbody_checks_size_limit = 51200\n", port)
	for _, s := range headerSettings {
		fmt.Fprintf(&main, "%s = %s\n", s[0], s[1])
	}
	file := func(name string, rows [][2]string) string {
		var b strings.Builder
		for _, r := range rows {
			b.WriteString(r[0] + " " + r[1] + "\n")
		}
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for name, rows := range headerMaps {
		key := name + "_maps"
		if name == "generic" {
			key = "smtp_generic_maps"
		}
		fmt.Fprintf(&main, "%s = texthash:%s\n", key, file(name, rows))
	}
	for name, rows := range headerChecks {
		fmt.Fprintf(&main, "%s_checks = regexp:%s\n", name, file(name+"_checks", rows))
	}
	return main.String()
}

// headersHost is our server with the same rows.
func headersHost(t *testing.T, port int) *host {
	h := sampleHost(t, "")
	quote := func(s string) string { return strings.ReplaceAll(s, "'", "''") }
	var sql strings.Builder
	for _, s := range append(headerSettings, [2]string{"myhostname", "front.example"}, [2]string{"default_transport", fmt.Sprintf("smtp:[127.0.0.1]:%d", port)},
		[2]string{"smtpd_recipient_restrictions", "permit_mynetworks, reject"}, [2]string{"smtpd_relay_restrictions", "permit_mynetworks, reject"}) {
		if s[0] != "relayhost" {
			fmt.Fprintf(&sql, "INSERT OR REPLACE INTO Setting VALUES ('%s', '%s');\n", s[0], quote(s[1]))
		}
	}
	for name, rows := range headerMaps {
		for _, r := range rows {
			fmt.Fprintf(&sql, "INSERT INTO Canonical (cnMap, cnAddress, cnTarget) VALUES ('%s', '%s', '%s');\n", name, r[0], r[1])
		}
	}
	for name, rows := range headerChecks {
		for i, r := range rows {
			fmt.Fprintf(&sql, "INSERT INTO ContentCheck (ckMap, ckPriority, ckPattern, ckAction) VALUES ('%s', %d, '%s', '%s');\n", name, i, quote(r[0]), quote(r[1]))
		}
	}
	h.sql(sql.String())
	h.start()
	return h
}

// sendHeaderCases returns what became of each case.
func sendHeaderCases(t *testing.T, cases []headerCase, addr string, sink *remotetest.Sink) []string {
	t.Helper()
	before := len(sink.Messages())
	results := make([]string, len(cases))
	waiting := 0
	for i, c := range cases {
		from, to := c.from, c.to
		if from == "" {
			from = "stranger@x.example"
		}
		if to == "" {
			to = fmt.Sprintf("rcpt%d@out.example", i)
		}
		reply := submit(t, addr, strings.Trim(from, "<>"), to, fmt.Sprintf("Keywords: case %d\n", i)+c.text)
		if strings.HasPrefix(reply, "250") {
			waiting++
			reply = "taken"
		}
		results[i] = reply
	}
	for end := time.Now().Add(patience); len(sink.Messages()) < before+waiting && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	number := regexp.MustCompile(`Keywords: case (\d+)`)
	for _, m := range sink.Messages()[before:] {
		if n := number.FindStringSubmatch(m.Data); n != nil {
			i, _ := strconv.Atoi(n[1])
			from, _, _ := strings.Cut(m.From, "> ")
			results[i] += "\nMAIL " + strings.TrimSuffix(from, ">") + ">\nRCPT " + strings.Join(m.To, " ") + "\n" + comparable(m.Data)
		}
	}
	return results
}

var (
	receivedField = regexp.MustCompile(`(?m)^Received: .*\r\n([ \t].*\r\n)*`)
	addedID       = regexp.MustCompile(`(?mi)^((?:resent-)?message-id: )<[0-9]{14}\.[^@]*@`)
	addedDate     = regexp.MustCompile(`(?m)^((?:Resent-)?Date: )\w{3}, [ \d]\d \w{3} 202[2-9] .*\r$`)
)

// comparable takes out what differs from server to server and from time to time.
func comparable(data string) string {
	data = receivedField.ReplaceAllString(data, "")
	data = addedID.ReplaceAllString(data, "$1<ID@")
	return strings.ReplaceAll(addedDate.ReplaceAllString(data, "${1}NOW\r"), "\r\n", "\n")
}

// submit sends one message and returns the last reply.
func submit(t *testing.T, addr, from, to, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	read := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", to, err)
			}
			if len(line) > 3 && line[3] != '-' {
				return strings.TrimSpace(line)
			}
		}
	}
	read()
	reply := ""
	for _, line := range []string{"EHLO client.example", "MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA"} {
		fmt.Fprint(c, line+"\r\n")
		if reply = read(); reply[0] > '3' {
			return reply
		}
	}
	text = strings.ReplaceAll(text, "\n", "\r\n")
	text = strings.ReplaceAll(text, "\r\n.", "\r\n..")
	fmt.Fprint(c, text+".\r\n")
	return read()
}
