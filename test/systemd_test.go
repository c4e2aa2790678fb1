package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnitUnderSystemd runs the unit under a systemd: with MAILSERVER_LONG=1, as
// root, where the kernel lets a second one run.
func TestUnitUnderSystemd(t *testing.T) {
	if os.Getenv("MAILSERVER_LONG") != "1" || os.Geteuid() != 0 {
		t.Skip("needs MAILSERVER_LONG=1 and root")
	}
	for _, name := range []string{"systemd", "unshare", "setpriv", "useradd"} {
		need(t, name)
	}
	dir := t.TempDir()
	said, err := outside(t, "", "unshare", "--cgroup", "--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child", "--propagation", "private",
		"bash", "testdata/systemd.sh", program, "../dist/systemd/mailserver.service", dir)
	seen, _ := os.ReadFile(filepath.Join(dir, "seen"))
	want := "ActiveState=active\nuser=mailserver\nCapEff:\t0000000000000400\nNoNewPrivs:\t1\nSeccomp:\t2\nreload=0\n" +
		"NRestarts=1\nActiveState=active\nNRestarts=2\nActiveState=active\nended=inactive success 0\n"
	if string(seen) != want {
		t.Errorf("%v\n%s\nwant\n%s\n%s", err, seen, want, said[max(0, len(said)-3000):])
	}
	t.Log(strings.ReplaceAll(string(seen), "\n", "; "))
}
