package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mailserver/delivery/remote/remotetest"
)

// knownTraffic makes mail and refusals whose number is known, and returns the
// log as syslog writes it, in a file.
type knownTraffic struct {
	received, delivered, deferred, bounced, rejected int
	smtpAuth, imapAuth, popAuth                      int
}

func (k *knownTraffic) play(t *testing.T, h *host) string {
	t.Helper()
	s := h.sender()
	for i := range 7 {
		k.received, k.delivered = k.received+1, k.delivered+1
		if err := s.send("joe@vmail.example", message(fmt.Sprint("log", i), "x", "x")); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		k.rejected++
		for _, line := range []string{"RSET", "MAIL FROM:<a@elsewhere.example>"} {
			if err := s.cmd(250, "%s", line); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.cmd(550, "RCPT TO:<nobody@vmail.example>"); err != nil {
			t.Fatal(err)
		}
	}
	s.cmd(250, "RSET")
	k.received, k.deferred = k.received+1, k.deferred+1
	if err := s.send("later@wait.example", message("later", "x", "x")); err != nil {
		t.Fatal(err)
	}
	// What bounces comes back: the report is delivered to nobody's mailbox here.
	k.received, k.bounced = k.received+1, k.bounced+1
	err := s.cmd(250, "MAIL FROM:<>")
	if err == nil {
		err = s.cmd(250, "RCPT TO:<x@bounce.example>")
	}
	if err == nil {
		err = s.cmd(354, "DATA")
	}
	if err == nil {
		w := s.c.DotWriter()
		w.Write(message("bounce", "x", "x"))
		w.Close()
		_, _, err = s.c.ReadResponse(250)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.cmd(221, "QUIT")
	wrong := func(n *int, args ...string) {
		*n++
		if out, err := outside(t, "", "curl", append([]string{"-sS", "-k", "--user", "joe@vmail.example:wrong"}, args...)...); err == nil {
			t.Fatalf("logged in: %s", out)
		}
	}
	for range 2 {
		wrong(&k.smtpAuth, "--ssl-reqd", "--login-options", "AUTH=PLAIN", "--mail-from", "a@b.example", "--mail-rcpt", "joe@vmail.example",
			"--upload-file", smallMail(t), "--url", "smtp://"+h.addr(587))
		wrong(&k.imapAuth, "imaps://"+h.addr(993)+"/")
		wrong(&k.popAuth, "pop3s://"+h.addr(995)+"/")
	}
	h.waitLog("status=bounced")
	h.waitLog("status=deferred")
	waitFor(t, "the end of the sessions", func() bool { return strings.Count(h.log.tail(1<<20), "auth failed") >= k.imapAuth+k.popAuth })
	h.stop()
	path := filepath.Join(t.TempDir(), "mail.log")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(h.log.tail(1<<20), "127.0.0.1", "203.0.113.9")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestLogIsCountedRight: pflogsumm and the stock filters of fail2ban read our
// log, and count what has happened, no more and no less.
func TestLogIsCountedRight(t *testing.T) {
	summarize, regex := need(t, "pflogsumm"), need(t, "fail2ban-regex")
	need(t, "curl")
	h := sampleHost(t, "")
	sink := &remotetest.Sink{Answer: func(line string) string {
		switch {
		case strings.HasPrefix(line, "RCPT TO:<later@"):
			return "450 4.2.0 later"
		case strings.HasPrefix(line, "RCPT TO:<x@"):
			return "550 5.1.1 never"
		}
		return ""
	}}
	port := freeBase(t) + 25
	sinkAt(t, fmt.Sprintf("127.0.0.1:%d", port), sink)
	h.sql(fmt.Sprintf(`INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (901, 'smtp', '127.0.0.1', 0, %d);
		INSERT INTO Domain (domName, domClass, domTpNum) VALUES ('wait.example', 2, 901), ('bounce.example', 2, 901);
		INSERT INTO Address (addLocalpart, addDomNum) SELECT 'later', domNum FROM Domain WHERE domName = 'wait.example';
		INSERT INTO Address (addLocalpart, addDomNum) SELECT 'x', domNum FROM Domain WHERE domName = 'bounce.example'`, port))
	h.mustRun("config", "set", "auth_failure_delay=0")
	h.start()
	var k knownTraffic
	log := k.play(t, h)
	out := mustOutside(t, "", summarize, log)
	for name, want := range map[string]int{"received": k.received, "delivered": k.delivered, "deferred": k.deferred, "bounced": k.bounced, "rejected": k.rejected} {
		m := regexp.MustCompile(`(?m)^ +(\d+)k? +` + name).FindStringSubmatch(out)
		if m == nil || m[1] != strconv.Itoa(want) {
			t.Errorf("pflogsumm: %s %v, want %d\n%s", name, m, want, out[:min(len(out), 700)])
		}
	}
	for filter, want := range map[string]int{
		"postfix[mode=normal]": k.rejected,
		"postfix[mode=auth]":   k.smtpAuth,
		"dovecot":              k.imapAuth + k.popAuth,
	} {
		out, _ := outside(t, "", regex, log, filter)
		m := regexp.MustCompile(`Lines: \d+ lines, \d+ ignored, (\d+) matched`).FindStringSubmatch(out)
		if m == nil || m[1] != strconv.Itoa(want) {
			t.Errorf("fail2ban %s: %v, want %d\n%s", filter, m, want, out)
		}
	}
	if t.Failed() {
		t.Log(h.log.tail(200))
	}
}
