package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// older makes mail.sqlite that of a program of version 4, with the same rows,
// and returns the version that it had.
func (h *host) older() string {
	h.t.Helper()
	file := filepath.Join(h.dir, "mail.sqlite")
	newest := strings.TrimSpace(mustOutside(h.t, "", "sqlite3", file, "PRAGMA user_version"))
	line := []string{file + ".old"}
	for _, ddl := range []string{"mail.sql", "mail_out.sql", "mail_policy.sql", "mail_listen.sql"} {
		line = append(line, ".read ../schema/"+ddl)
	}
	line = append(line, "PRAGMA user_version = 4", "ATTACH '"+file+"' AS newer")
	for _, table := range []string{"Transport", "RClass", "Domain", "Address", "VAlias", "Alias", "VMailbox", "Restriction", "Access", "Setting", "Cert", "Listener"} {
		line = append(line, "INSERT INTO main."+table+" SELECT * FROM newer."+table)
	}
	mustOutside(h.t, "", "sqlite3", line...)
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		os.Remove(name)
	}
	if err := os.Rename(file+".old", file); err != nil {
		h.t.Fatal(err)
	}
	return newest
}

// TestUpgrade: a newer program changes the files when it starts, with a copy of
// the old one beside, which the older program takes back; files of a newer
// program are refused with one line that says so.
func TestUpgrade(t *testing.T) {
	need(t, "sqlite3")
	h := sampleHost(t, "")
	newest := h.older()
	h.start()
	s := h.sender()
	if err := s.send("joe@vmail.example", message("up", "x", "x")); err != nil {
		t.Fatal(err)
	}
	h.stop()
	file := filepath.Join(h.dir, "mail.sqlite")
	st, err := os.Stat(file + ".v4")
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("no copy: %v, %v", st, err)
	}
	for path, want := range map[string]string{file: newest, file + ".v4": "4"} {
		if got := strings.TrimSpace(mustOutside(t, "", "sqlite3", path, "PRAGMA user_version")); got != want {
			t.Errorf("%s: version %s, want %s", path, got, want)
		}
	}
	if out := mustOutside(t, "", "sqlite3", file+".v4", "PRAGMA integrity_check; SELECT count(*) FROM Domain WHERE domName = 'vmail.example'"); strings.TrimSpace(out) != "ok\n1" {
		t.Errorf("the copy: %s", out)
	}
	if list, _ := filepath.Glob(filepath.Join(h.dir, "*.part")); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
	h.sql("PRAGMA user_version = 99")
	if out, err := h.run("", "serve"); err == nil || !strings.Contains(out, "mail.sqlite has version 99, this program knows "+newest+": database is newer than this program") {
		t.Errorf("%v\n%s", err, out)
	}
	// The way back: the copy in its place.
	for _, name := range []string{file + "-wal", file + "-shm"} {
		os.Remove(name)
	}
	if err := os.Rename(file+".v4", file); err != nil {
		t.Fatal(err)
	}
	h.start()
	if err := h.mail(25, "a@elsewhere.example", "joe@vmail.example"); err != nil {
		t.Error(err)
	}
	h.check()
}
