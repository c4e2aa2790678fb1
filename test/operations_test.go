package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestOperations looks into mailboxes from the command line while the server runs.
func TestOperations(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	h.start()
	i := h.rawIMAP()
	i.do("CREATE Lists.go")
	i.do("SUBSCRIBE Lists.go")
	for n := range 6 {
		box := []string{"INBOX", "Lists.go"}[n%2]
		m := fmt.Sprintf("From: a@example.org\r\nSubject: number %d, Gr\u00fc\u00dfe\r\n\r\nbody %d\r\n", n, n)
		i.do("APPEND %s (%s) {%d+}\r\n%s", box, []string{"", `\Seen $Label1`}[n/3], len(m), m)
	}
	for _, tt := range []struct {
		line string
		want string // in what it says
	}{
		{"mailbox list -u joe@vmail.example", "Lists.go  yes"},
		{"mailbox status -u joe@vmail.example Lists.*", "Lists.go  3         1"},
		{"mailbox status -A --json", `"user":"joe@vmail.example","mailbox":"INBOX","Messages":3`},
		{"mailbox search -u joe@vmail.example unseen", "joe@vmail.example  Lists.go  1"},
		{"mailbox search -u joe@vmail.example mailbox INBOX subject|number 4,", "joe@vmail.example  INBOX   3"},
		{"mailbox search -A text|gr\u00fc\u00dfe --json", `"uid":3`},
		{"mailbox fetch -u joe@vmail.example uid,mailbox,flags,hdr.subject,body mailbox Lists.go seen", "flags: \\Seen $Label1\nhdr.subject: number 3, Gr\u00fc\u00dfe\nbody: \nbody 3\n\n\f\n"},
		{"mailbox move -u joe@vmail.example Lists.go mailbox INBOX uid 1", "1 messages moved"},
		{"mailbox expunge -u joe@vmail.example mailbox Lists.* seen", "2 messages removed"},
		{"mailbox status -u joe@vmail.example", "Lists.go  2         2"},
		{"quota show -u joe@vmail.example", "joe@vmail.example  "},
		{"mailbox resync -A", ""},
		{"quota recalc -u joe@vmail.example", ""},
		{"fts status -u joe@vmail.example --json", `"indexed":0,"messages":4`},
		{"fts index -A", ""},
		{"fts status -u joe@vmail.example --json", `"indexed":4,"messages":4`},
		{"fts rebuild -A", ""},
		{"config set fts=yes", ""},
		{"mailbox search -u joe@vmail.example subject|number 4,", "joe@vmail.example  "},
		{"fts drop -A", ""},
		{"fts status -u joe@vmail.example --json", `"indexed":0,"messages":4`},
		{"session list", "joe@vmail.example  imap   127.0.0.1  no"},
		{"session list ann@vmail.example", "USER"},
		{"session kill ann@vmail.example", "0 sessions"},
	} {
		args := strings.Fields(tt.line)
		if at := strings.Index(tt.line, "|"); at >= 0 { // what follows is one word
			rest, json := strings.CutSuffix(tt.line[at+1:], " --json")
			args = append(strings.Fields(tt.line[:at]), rest)
			if json {
				args = append(args, "--json")
			}
		}
		if out := h.mustRun(args...); !strings.Contains(out, tt.want) {
			t.Errorf("%s: want %q in\n%q", tt.line, tt.want, out)
		}
	}
	for line, want := range map[string]string{
		"mailbox expunge -u joe@vmail.example all":     "mailbox NAME",
		"mailbox search all":                           "-u USER",
		"mailbox search -u no@vmail.example all":       "no such user",
		"mailbox fetch -u joe@vmail.example x all":     "no field",
		"mailbox search -u joe@vmail.example nonsense": "BAD",
	} {
		if out, err := h.run("", strings.Fields(line)...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v, want %q in\n%s", line, err, want, out)
		}
	}
	if out := h.mustRun("session", "kill", "joe@vmail.example"); !strings.Contains(out, "1 sessions") {
		t.Errorf("%s", out)
	}
	if _, err := i.r.ReadByte(); err == nil {
		t.Errorf("a session lives on: %v", err)
	}
	h.check()
}
