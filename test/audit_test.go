package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAuditTrail: who has changed what, by a command, by sqlite3, beside rows;
// a restored host still knows it, and what was restored.
func TestAuditTrail(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	h.mustRun("config", "set", "message_size_limit=20M")
	if out, err := h.run("a-new-secret\n", "mailbox", "set", "joe@vmail.example", "--password-stdin"); err != nil {
		t.Fatal(out)
	}
	h.mustRun("address", "set", "joe@vmail.example", "--login", "no")
	statement := "UPDATE Domain SET active = 0 WHERE domName = 'alias.example'"
	if _, err := exec.LookPath("sqlite3"); err == nil {
		mustOutside(t, "", "sqlite3", filepath.Join(h.dir, "mail.sqlite"), statement)
	} else {
		h.sql(statement)
	}
	h.mustRun("queue", "delete", "ALL", "--yes")
	want := []string{
		": mailserver config set: insert Setting message_size_limit\n    stName: message_size_limit\n    stValue: 20M\n",
		": mailserver mailbox set: update VMailbox joe@vmail.example\n    vmPasswd: *** -> *** (new)\n",
		": mailserver address set: update Address joe@vmail.example\n    active: 1 -> -1\n",
		"  another program: update Domain alias.example\n    active: 1 -> 0\n",
	}
	got := h.mustRun("audit")
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("want %q in\n%s", w, got)
		}
	}
	if out := h.mustRun("audit", "alias.example", "--json", "--since", "1h"); !strings.Contains(out, `"action":"update","table":"Domain","row":"alias.example"`) {
		t.Error(out)
	}
	if strings.Contains(got, "BLF-CRYPT") || strings.Contains(got, "$2") {
		t.Errorf("a hash is shown:\n%s", got)
	}
	to := filepath.Join(t.TempDir(), "backup")
	h.mustRun("backup", to)
	h.stop()
	h.dir = filepath.Join(t.TempDir(), "elsewhere")
	h.mustRun("restore", to)
	again := h.mustRun("audit")
	if !strings.HasPrefix(again, got) || !strings.Contains(again[len(got):], "mailserver restore: restore "+to) {
		t.Errorf("after a restore:\n%s", again[min(len(again), len(got)):])
	}
}
