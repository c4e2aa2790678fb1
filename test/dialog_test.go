package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Limits and manners of the SMTP server, side by side with Postfix: replies
// and lines of the log.

type dialogCase struct {
	name string
	set  []string
	// say are connections; of each the lines, sent one by one. A line that
	// holds \r\n within is sent in one piece and has as many replies.
	say [][]string
}

func dialogCases() []dialogCase {
	one := func(lines ...string) [][]string { return [][]string{lines} }
	mail := []string{"EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<u@relay.example>", "DATA", "Subject: x\r\n\r\nx\r\n.", "MAIL FROM:<a@c.example>", "RCPT TO:<u@relay.example>", "RCPT TO:<v@relay.example>", "QUIT"}
	bad := strings.Fields(strings.Repeat("nonsense ", 25))
	var out []dialogCase
	add := func(name, set string, say [][]string) {
		out = append(out, dialogCase{name, strings.FieldsFunc(set, func(r rune) bool { return r == ';' }), say})
	}
	add("connection rate", "smtpd_client_connection_rate_limit=2", [][]string{{"QUIT"}, {"QUIT"}, {"QUIT"}, {"QUIT"}})
	add("message rate", "smtpd_client_message_rate_limit=1", one(mail...))
	add("recipient rate", "smtpd_client_recipient_rate_limit=1", one(mail...))
	add("connection count", "smtpd_client_connection_count_limit=2", [][]string{{"hold"}, {"hold"}, {"NOOP"}})
	add("exceptions", "smtpd_client_connection_rate_limit=1;smtpd_client_event_limit_exceptions=127.0.0.0/8", [][]string{{"QUIT"}, {"QUIT"}})
	add("hard errors", "smtpd_hard_error_limit=3", one(bad...))
	add("junk", "smtpd_junk_command_limit=2;smtpd_hard_error_limit=3", one("NOOP", "NOOP", "NOOP", "NOOP", "NOOP", "NOOP", "NOOP"))
	add("errors forgotten", "smtpd_hard_error_limit=3", one(append([]string{"x", "x"}, append(mail[:5:5], "x", "x", "x")...)...))
	add("forbidden", "", one("GET / HTTP/1.0"))
	add("forbidden list", "smtpd_forbidden_commands=FOO", one("POST x", "FOO"))
	add("garbage", "", one("\x16\x03\x01"))
	add("pipelining of HELO", "smtpd_forbid_unauth_pipelining=yes", one("HELO x\r\nMAIL FROM:<a@c.example>"))
	add("pipelining of EHLO", "smtpd_forbid_unauth_pipelining=yes", one("EHLO x\r\nMAIL FROM:<a@c.example>"))
	add("pipelining of EHLO, allowed", "smtpd_forbid_unauth_pipelining=no", one("EHLO x\r\nMAIL FROM:<a@c.example>"))
	add("footer", `smtpd_reject_footer=ask $server_name about $client_address at $client_port`, one("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<x@elsewhere.example>", "nonsense", "QUIT"))
	add("footer joined", `smtpd_reject_footer=\c. See http://x.example/?h=$helo_name&s=$sender&r=$recipient&c=$client_name`, one("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<x@elsewhere.example>", "nonsense", "QUIT"))
	add("footer of lines", `smtpd_reject_footer=\c one\ntwo $client\nthree ${helo_name}`, one("EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<x@elsewhere.example>", "QUIT"))
	add("soft bounce", "soft_bounce=yes", one("EHLO c.example", "nonsense", "MAIL x", "RCPT TO:<x>", "MAIL FROM:<a@c.example>", "RCPT TO:<x@elsewhere.example>", "DATA", "QUIT"))
	add("dash", "", one("EHLO c.example", "MAIL FROM:<-a@c.example>", "RCPT TO:<-u@relay.example>", "RCPT TO:<u@relay.example>", "QUIT"))
	for _, strict := range []string{"no", "yes"} {
		add("envelopes, strict: "+strict, "strict_rfc821_envelopes="+strict+";smtpd_hard_error_limit=100;smtpd_error_sleep_time=0", one("EHLO c.example", "MAIL FROM:a@c.example", "RSET", "MAIL FROM: a@c.example SIZE=5", "RSET",
			"MAIL FROM:<@b.example:a@c.example>", "RSET", "MAIL FROM:<>", "RSET", "MAIL FROM: <a@c.example>", "RCPT TO:u@relay.example", "RCPT TO: u@relay.example", "RCPT TO:<@b.example,@c.example:u@relay.example>",
			"RCPT TO:<u@relay.example>", `RCPT TO:<"@b"@relay.example>`, "QUIT"))
	}
	add("etrn", "", one("ETRN", "ETRN x y", "EHLO c.example", "QUIT"))
	add("etrn refused", "smtpd_etrn_restrictions=reject", one("EHLO c.example", "ETRN relay.example", "QUIT"))
	add("vrfy", "disable_vrfy_command=yes", one("VRFY x", "EXPN x", "QUIT"))
	add("helo required", "smtpd_helo_required=yes", one("MAIL FROM:<a@c.example>", "HELO", "HELO x", "MAIL FROM:<a@c.example>", "HELO y", "RCPT TO:<u@relay.example>", "QUIT"))
	add("order", "", one("RCPT TO:<u@relay.example>", "DATA", "MAIL FROM:<a@c.example>", "MAIL FROM:<a@c.example>", "DATA", "RSET x", "RSET", "QUIT"))
	add("chunks early", "", one("EHLO c.example", "BDAT 3\r\n.", "RSET", "BDAT 3 LAST\r\n.", "MAIL FROM:<a@c.example>", "BDAT 3\r\n.", "RCPT TO:<u@relay.example>", "MAIL FROM:<a@c.example>", "RSET", "QUIT"))
	return out
}

var (
	queueIDs = regexp.MustCompile(`\b([0-9A-F]{8,12}|[0-9A-Za-z]{13,16}):`)
	services = regexp.MustCompile(`for service \S+`)
	ports    = regexp.MustCompile(`at \d{4,5}\b`)
)

// lastly hides what differs between two servers.
func lastly(s string) string {
	s = hostName.ReplaceAllString(s, "HOST")
	s = milterID.ReplaceAllString(s, "queued as ID")
	s = services.ReplaceAllString(s, "for service S")
	s = ports.ReplaceAllString(s, "at PORT")
	return queueIDs.ReplaceAllString(s, "ID:")
}

// dialog has the connections of a case, and returns all that is said.
func (c dialogCase) dialog(t *testing.T, addr string, from net.IP) string {
	return lastly(regexp.MustCompile(`(?m)^250 (CHUNKING|BINARYMIME)$`).ReplaceAllString(c.raw(t, addr, from), "250 EHLO"))
}

// raw is the same as it was said.
func (c dialogCase) raw(t *testing.T, addr string, from net.IP) string {
	t.Helper()
	var out []string
	for _, lines := range c.say {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
		conn, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		read := func() bool {
			conn.SetReadDeadline(time.Now().Add(patience))
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					out = append(out, "closed")
					return false
				}
				if len(line) > 3 && line[3] == '-' && strings.HasPrefix(line, "250-") { // EHLO
					continue
				}
				out = append(out, strings.TrimRight(line, "\r\n"))
				if len(line) > 3 && line[3] == ' ' {
					return true
				}
			}
		}
		if !read() || lines[0] == "hold" {
			continue
		}
		for _, line := range lines {
			fmt.Fprintf(conn, "%s\r\n", line)
			n := 1
			if !strings.HasSuffix(line, "\r\n.") {
				n += strings.Count(line, "\r\n")
			}
			ok := true
			for range n {
				ok = ok && read()
			}
			if !ok {
				break
			}
		}
		if lines[len(lines)-1] == "QUIT" {
			conn.Close()
		}
	}
	return strings.Join(out, "\n")
}

// dialogLog is the part of a log that smtpd writes about one client, without
// the beginnings and ends of sessions.
func dialogLog(lines []string) string {
	var out []string
	for _, l := range lines {
		_, text, ok := strings.Cut(l, "postfix/smtpd[")
		_, text, _ = strings.Cut(text, "]: ")
		if !ok || strings.HasPrefix(text, "connect from") || strings.HasPrefix(text, "disconnect from") || strings.HasPrefix(text, "lost connection") || strings.Contains(text, "overriding earlier entry") ||
			strings.Contains(text, ": client=") || strings.Contains(text, " table ") {
			continue
		}
		text = lastly(text)
		for _, id := range []string{"NOQUEUE: ", "ID: "} {
			text = strings.TrimPrefix(text, id)
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func TestDialogsAsPostfix(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("short")
	}
	var cases []dialogCase
	var rows [][]string
	for _, c := range dialogCases() {
		if strings.Contains(c.name, os.Getenv("DIALOG_CASE")) {
			cases, rows = append(cases, c), append(rows, c.set)
		}
	}
	p := besidePostfix(t, "smtpd_recipient_restrictions = reject_unauth_destination\nsmtpd_relay_restrictions =\nsmtpd_etrn_restrictions =\n", rows)
	h := sampleHost(t, "")
	h.sql(`INSERT INTO Domain (domName, domClass) VALUES ('relay.example', 2) ON CONFLICT DO NOTHING;
INSERT INTO Address (addLocalpart, addDomNum) SELECT '', domNum FROM Domain WHERE domName = 'relay.example';`)
	h.setRows([]string{"smtpd_peername_lookup=no", "smtpd_recipient_restrictions=reject_unauth_destination", "smtpd_relay_restrictions=", "mynetworks=192.0.2.1",
		"smtpd_client_restrictions=", "smtpd_data_restrictions=", "default_transport=discard", "relay_transport=discard"})
	h.sql("CREATE TABLE Kept AS SELECT * FROM Setting")
	h.start()
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var sql strings.Builder // what clients did is remembered, so each has an address of its own
			for _, row := range c.set {
				name, value, _ := strings.Cut(row, "=")
				fmt.Fprintf(&sql, "INSERT OR REPLACE INTO Setting VALUES ('%s', '%s');", name, value)
			}
			h.sql("DELETE FROM Setting; INSERT INTO Setting SELECT * FROM Kept;" + sql.String())
			from := net.IPv4(127, 0, 2, byte(i+1))
			logged := len(p.log(t))
			theirs := c.dialog(t, p.addr[i], from)
			ourLogged := h.log.len()
			ours := c.dialog(t, h.addr(25), from)
			end := fmt.Sprintf(`disconnect from \S*\[%s\]`, regexp.QuoteMeta(from.String()))
			ended(t, len(c.say), end, func() []string { return p.log(t)[logged-1:] })
			ended(t, len(c.say), end, func() []string { return h.log.from(ourLogged) })
			ourLog, theirLog := agreed(func() string { return dialogLog(h.log.from(ourLogged)) },
				func() string { return dialogLog(p.log(t)[logged-1:]) })
			if ours != theirs {
				t.Errorf("replies:\nours:\n%s\nPostfix:\n%s", ours, theirs)
			}
			if ourLog != theirLog {
				t.Errorf("log:\nours:\n%s\nPostfix:\n%s", ourLog, theirLog)
			}
		})
	}
}
