package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// summary is what a client sees of a mailbox: subject, flags and date of each
// message, in order.
func (i *rawIMAP) summary(box string) string {
	i.t.Helper()
	i.do("SELECT %s", box)
	lines := strings.Join(i.do("FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT)])"), "")
	lines = regexp.MustCompile(` ?\\Recent`).ReplaceAllString(lines, "")
	lines = regexp.MustCompile(`FLAGS \( `).ReplaceAllString(lines, "FLAGS (")
	// Dovecot and this server may say flags in another order, dates in another zone.
	flags := regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	return flags.ReplaceAllStringFunc(lines, func(s string) string {
		words := strings.Fields(strings.TrimSuffix(strings.TrimPrefix(s, "FLAGS ("), ")"))
		set := map[string]bool{}
		for _, w := range words {
			set[strings.ToLower(w)] = true
		}
		return fmt.Sprint(len(set), set)
	})
}

// TestImportAndExport brings mail from a real Dovecot to here, and from here to
// Maildir, mbox and back to Dovecot.
func TestImportAndExport(t *testing.T) {
	t.Parallel()
	need(t, "dovecot")
	h := sampleHost(t, "")
	base, err := os.MkdirTemp("", "dc-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	os.Chmod(base, 0o755)
	mail := filepath.Join(base, "mail")
	os.Mkdir(mail, 0o700)
	os.Chown(mail, mailOwner, mailOwner)
	names, n := []string{"INBOX", "Lists.go", `"R&AOQ-ksm&APY-rg&AOU-s"`}, 130
	if os.Getenv("MAILSERVER_LONG") != "" {
		n = 33400
	}
	d := newPeerDovecot(t, h, mail+"/%u")
	d.start()
	i := h.rawIMAP()
	want := map[string]string{}
	for _, name := range names {
		if name != "INBOX" {
			i.do("CREATE %s", name)
			i.do("SUBSCRIBE %s", name)
		}
		i.fill(name, n)
		want[name] = i.summary(name)
	}
	url := func(user string) string {
		return "imap://" + strings.ReplaceAll(user, "@", "%40") + "@127.0.0.1:" + strconv.Itoa(h.base+143)
	}
	run := func(expect string, args ...string) {
		t.Helper()
		out, err := h.run("joes-secret\n", args...)
		if err != nil || !strings.Contains(out, expect) {
			t.Fatalf("mailserver %s: %v, want %q\n%s", strings.Join(args, " "), err, expect, out)
		}
	}
	total := strconv.Itoa(len(names)*n) + " messages, "
	if rss := h.runPeak(t, "joes-secret\n", "import", "imap", url("joe@vmail.example"), "-u", "joe@vmail.example", "--password-stdin", "--no-tls"); rss > 0 {
		t.Logf("the import of %s%d KB at most", total, rss)
	}
	run("0 messages, ", "import", "imap", url("joe@vmail.example"), "-u", "joe@vmail.example", "--password-stdin", "--no-tls")
	i.fill("INBOX", 1)
	want["INBOX"] = i.summary("INBOX")

	run("1 messages, ", "import", "imap", url("joe@vmail.example"), "-u", "joe@vmail.example", "--password-stdin", "--no-tls", "--folder", "INBOX")
	run(strconv.Itoa(len(names)*n+1)+" messages, ", "export", "imap", url("other@vmail.example"), "-u", "joe@vmail.example", "--password-stdin", "--no-tls")
	run("0 messages, ", "export", "imap", url("other@vmail.example"), "-u", "joe@vmail.example", "--password-stdin", "--no-tls")
	i.do("LOGOUT")
	back := h.rawIMAPAs("other@vmail.example")
	for _, name := range names {
		same(t, "back in Dovecot: "+name, back.summary(name), want[name])
	}
	back.do("LOGOUT")
	d.stop()

	dir := t.TempDir()
	run(" messages, ", "export", "maildir", dir+"/maildir", "-u", "joe@vmail.example")
	run(" messages, ", "export", "mbox", dir+"/mbox", "-u", "joe@vmail.example")
	run(" messages, ", "import", "maildir", dir+"/maildir", "-u", "ann@vmail.example")
	h.start()
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	here := h.rawIMAP()
	for _, name := range names {
		same(t, "imported by IMAP: "+name, here.summary(name), want[name])
	}
	ann := h.rawIMAPWith("ann@vmail.example", "anns-secret")
	for _, name := range names {
		same(t, "by Maildir: "+name, ann.summary(name), want[name])
	}
	h.check()
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	t.Errorf("%s differs:\n%s", what, difference(want, got))
}

// runPeak runs a command and returns how much memory it had at most, in KB.
func (h *host) runPeak(t *testing.T, stdin string, args ...string) int64 {
	t.Helper()
	cmd := exec.Command(program, append(args, "--data", h.dir)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("mailserver %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	return usage.Maxrss
}
