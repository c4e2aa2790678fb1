package test

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTextIndexAfterKill: the server, and a command that makes the text index
// anew, are killed at any moment. No answer changes, and the index is whole again
// when it is asked for.
func TestTextIndexAfterKill(t *testing.T) {
	t.Parallel()
	h := sampleHost(t, "")
	h.mustRun("config", "set", "disable_plaintext_auth=no")
	h.start()
	const n = 400
	i := h.rawIMAP()
	i.fill("INBOX", n)
	queries := []string{"SUBJECT {9+}\r\nnumber 37", "BODY {7+}\r\nbody 12", "TEXT {6+}\r\n.inbox", "NOT BODY {3+}\r\nxxx", "TEXT {6+}\r\nabsent", "BODY {1+}\r\n9"}
	ask := func() (answers []string) {
		i := h.rawIMAP()
		i.do("SELECT INBOX")
		for _, q := range queries {
			answers = append(answers, strings.Join(i.do("UID SEARCH %s", q), ""))
		}
		i.do("LOGOUT")
		return answers
	}
	want := ask()
	if len(strings.Fields(want[0])) != 2+11 {
		t.Fatal(want[0])
	}
	begun := time.Now()
	h.mustRun("fts", "rebuild", "-u", "joe@vmail.example")
	took := time.Since(begun)
	h.mustRun("config", "set", "fts=yes")
	check := func(when string) {
		t.Helper()
		if got := ask(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	killed := 0
	for round := range 8 {
		check("before")
		cmd := exec.Command(program, "fts", "rebuild", "-u", "joe@vmail.example", "--data", h.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(rand.N(took), func() { cmd.Process.Kill() })
		if round%2 == 1 {
			check("while it is made anew")
		}
		if err := cmd.Wait(); err != nil {
			killed++
		}
		end.Stop()
		check("when the command was killed")
		h.kill()
		h.start()
	}
	check("in the end")
	h.mustRun("fts", "index", "-u", "joe@vmail.example")
	if out := h.mustRun("fts", "status", "-u", "joe@vmail.example", "--json"); !strings.Contains(out, fmt.Sprintf(`"indexed":%d,"messages":%d`, n, n)) {
		t.Error(out)
	}
	check("with a whole index")
	h.stop()
	h.check()
	t.Logf("%d of 8 commands were killed, which take %v", killed, took)
}
