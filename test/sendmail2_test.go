package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSendmailSMTP: "sendmail -bs" speaks SMTP on standard input and output.
func TestSendmailSMTP(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	had := len(messages(t, h.folder("joe")))
	in := "HELO me\r\nRCPT TO:<x@y>\r\nMAIL FROM:<root@mx.example> SIZE=5\r\nMAIL FROM:<a@b>\r\nRCPT TO:<joe@vmail.example> NOTIFY=NEVER\r\nRCPT TO:<>\r\nDATA\r\n" +
		"Subject: by bs\r\n\r\nline\r\n..dot\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<nobody-here@vmail.example>\r\nDATA\r\nx\r\n.\r\n" +
		"MAIL FROM:<root@mx.example>\r\nDATA\r\nRSET\r\nFROB\r\n" + strings.Repeat("x", 3000) + "\r\nQUIT\r\n"
	out, code := h.as("sendmail", in, 0, "-bs")
	var codes []string
	for _, line := range strings.Split(strings.TrimSpace(out), "\r\n") {
		codes = append(codes, line[:min(9, len(line))])
	}
	want := []string{"220 ", "250 ", "503 5.5.1", "250 2.1.0", "503 5.5.1", "250 2.1.5", "501 5.1.3", "354 End d", "250 2.0.0", "250 2.1.0", "250 2.1.5", "354 End d", "550 5.1.1",
		"250 2.1.0", "554 5.5.1", "250 2.0.0", "500 5.5.2", "500 5.5.2", "221 2.0.0"}
	if code != 0 || len(codes) != len(want) {
		t.Fatalf("%d %q", code, out)
	}
	for i := range want {
		if !strings.HasPrefix(codes[i], want[i]) {
			t.Errorf("reply %d: %q, want %q", i, codes[i], want[i])
		}
	}
	got := h.arrived("joe", had+1)
	if !strings.Contains(got, "Subject: by bs\n") || !strings.HasSuffix(got, "\n\nline\n.dot\n") || !strings.HasPrefix(got, "Return-Path: <root@mx.example>\n") {
		t.Errorf("%s", got)
	}
	cut := "MAIL FROM:<root@mx.example>\r\nRCPT TO:<joe@vmail.example>\r\nDATA\r\nhalf a message\r\n"
	if out, _ := h.as("sendmail", cut, 0, "-bs"); strings.Contains(out, "queued") || len(messages(t, h.folder("joe"))) != had+1 {
		t.Errorf("half a message was taken: %s", out)
	}
}

// TestSendmailVerify: "sendmail -bv" mails a report and sends nothing.
func TestSendmailVerify(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	had, ann := len(messages(t, h.folder("joe"))), len(messages(t, h.folder("ann")))
	out, code := h.as("sendmail", "", 0, "-bv", "-f", "joe@vmail.example", "ann@vmail.example", "nobody-here@vmail.example", "everybody@alias.example")
	if code != 0 || !strings.Contains(out, "Mail Delivery Status Report will be mailed to <joe@vmail.example>.") {
		t.Fatalf("%d %s", code, out)
	}
	got := h.arrived("joe", had+1)
	for _, want := range []string{"Subject: Mail Delivery Status Report\n", "Final-Recipient: rfc822; ann@vmail.example\nOriginal-Recipient: rfc822;ann@vmail.example\nAction: deliverable\nStatus: 2.0.0\n",
		"Final-Recipient: rfc822; nobody-here@vmail.example\nOriginal-Recipient: rfc822;nobody-here@vmail.example\nAction: undeliverable\nStatus: 5.1.1\n",
		"<joe@vmail.example> (expanded from <everybody@alias.example>): delivers to"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := len(messages(t, h.folder("ann"))); n != ann {
		t.Errorf("ann got %d messages", n-ann)
	}
	if _, code := h.as("sendmail", "", 0, "-bv"); code != 64 {
		t.Errorf("no recipient: %d", code)
	}
}

// TestSendmailOptions: what scripts say, in the forms that they say it.
func TestSendmailOptions(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	joe := len(messages(t, h.folder("joe")))
	text := "To: joe@vmail.example\nSubject: s\n\nx\n"
	for i, args := range [][]string{
		{"-t"}, {"-ti"}, {"-i", "-t", "ann@vmail.example"}, {"-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"}, {"-froot@mx.example", "joe@vmail.example"},
		{"-r", "root@mx.example", "-B8BITMIME", "--", "joe@vmail.example"}, {"-N", "never", "-R", "hdrs", "-V", "id1", "-O", "DeliveryMode=b", "-oQ/tmp", "-h", "5", "-L", "tag", "-X", "/dev/null", "joe@vmail.example"},
		{"-bm", "-om", "-o7", "-Am", "joe@vmail.example"}, {"-bh", "-G", "-U", "-v", "-C", "/etc/x", "-p", "proto", "-i", "joe@vmail.example"},
	} {
		if out, code := h.as("sendmail", text, 0, args...); code != 0 || out != "" {
			t.Errorf("%q: %d %s", args, code, out)
			continue
		}
		h.arrived("joe", joe+i+1)
	}
	h.arrived("ann", 1) // -t adds to the command line
	for _, tt := range []struct {
		code int
		args []string
	}{{64, []string{"-bz", "x@y"}}, {64, []string{"-f"}}, {64, []string{"-N", "sometimes", "joe@vmail.example"}}, {64, []string{"-R", "half", "joe@vmail.example"}}, {64, []string{"-B", "x", "joe@vmail.example"}},
		{0, []string{"-q15m"}}, {0, []string{"-q"}}, {0, []string{"-bp"}}, {0, []string{"-I"}}} {
		if out, code := h.as("sendmail", "x\n", 0, tt.args...); code != tt.code {
			t.Errorf("%q: %d, want %d: %s", tt.args, code, tt.code, out)
		}
	}
}

// TestSendmailOfPrograms: PHP's mail() and neomutt send by it.
func TestSendmailOfPrograms(t *testing.T) {
	php, mutt := need(t, "php"), need(t, "neomutt")
	h := sampleHost(t, "")
	h.start()
	h.as("sendmail", "", 0, "-I") // makes the link
	sendmail := filepath.Join(filepath.Dir(program), "sendmail")
	joe := len(messages(t, h.folder("joe")))
	run := func(name string, args ...string) {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "MAILSERVER_DATA="+h.dir, "HOME="+t.TempDir(), "EMAIL=root@mx.example")
		cmd.Stdin = strings.NewReader("from mutt\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run(php, "-d", "sendmail_path="+sendmail+" -t -i", "-r",
		`exit(mail('joe@vmail.example', 'von PHP', "line\n.\nend", "From: web@vmail.example\r\nCc: ann@vmail.example", '-fwww@mx.example') ? 0 : 1);`)
	if got := h.arrived("joe", joe+1); !strings.Contains(got, "\nFrom: web@vmail.example\n") || !strings.HasSuffix(got, "\n\nline\n.\nend\n") || !strings.HasPrefix(got, "Return-Path: <www@mx.example>\n") || strings.Contains(got, "\r") {
		t.Errorf("%q", got)
	}
	run(mutt, "-n", "-F", "/dev/null", "-e", `set sendmail="`+sendmail+` -oem -oi" use_envelope_from=yes copy=no`, "-s", "of mutt", "joe@vmail.example")
	if got := h.arrived("joe", joe+2); !strings.Contains(got, "Subject: of mutt\n") || !strings.Contains(got, "from mutt\n") {
		t.Errorf("%s", got)
	}
}
