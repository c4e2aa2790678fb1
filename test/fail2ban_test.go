package test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// jailed returns the host that the shipped filter of fail2ban finds in a line.
// Its look-ahead, which only takes lines away, is left out: Go has none.
func jailed(t *testing.T, line string) string {
	t.Helper()
	text, err := os.ReadFile("../dist/fail2ban/filter.d/mailserver.conf")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "failregex = ")
	rules, _, _ := strings.Cut(rest, "ignoreregex")
	for rule := range strings.Lines(rules) {
		rule = regexp.MustCompile(`\(\?![^)]*\)`).ReplaceAllString(strings.TrimSpace(rule), "")
		if rule == "" {
			continue
		}
		re := regexp.MustCompile(strings.Replace(rule, "<HOST>", `([0-9a-f.:]+)`, 1))
		_, said, _ := strings.Cut(line, ": ")
		if m := re.FindStringSubmatch(said); m != nil {
			return m[1]
		}
	}
	return ""
}

func TestShippedFilterFindsGuessers(t *testing.T) {
	h := authHost(t)
	h.start()
	for _, args := range [][]string{
		{"imaps://" + h.addr(993) + "/"}, {"--ssl-reqd", "imap://" + h.addr(143) + "/"},
		{"--ssl-reqd", "--mail-from", "a@b.example", "--mail-rcpt", "joe@vmail.example", "--upload-file", smallMail(t), "--url", "smtp://" + h.addr(587)},
		{"--login-options", "AUTH=CRAM-MD5", "--mail-from", "a@b.example", "--mail-rcpt", "joe@vmail.example", "--upload-file", smallMail(t), "--url", "smtps://" + h.addr(465)},
	} {
		before := len(h.log.all())
		if out, err := outside(t, "", "curl", append([]string{"-sS", "-k", "--user", "joe@vmail.example:wrong"}, args...)...); err == nil {
			t.Fatalf("logged in: %s", out)
		}
		found := false
		for try := 0; try < 50 && !found; try++ {
			for _, line := range h.log.all()[before:] {
				found = found || jailed(t, line) == "127.0.0.1"
			}
			if !found {
				time.Sleep(20 * time.Millisecond)
			}
		}
		if !found {
			t.Errorf("%v: no line for fail2ban in\n%s", args, h.log.tail(6))
		}
	}
}

func (b *syncBuffer) all() []string {
	return strings.Split(strings.TrimSuffix(b.tail(1<<20), "\n"), "\n")
}
