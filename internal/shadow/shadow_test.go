package shadow

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func writeShadow(t *testing.T, text string) string {
	file := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const some = "root:R:19000:0:99999:7:::\nann:A:19000:0:99999:7:::\nlocked:!A:19000:0:99999:7:::\nopen::19000:0:99999:7:::\n" +
	"expired:A:19000:0:99999:7::100:\nodd:x\n"

func verify(stored, password string) (bool, error) { return stored == strings.ToUpper(password), nil }

func TestHelperSaysYesAndNo(t *testing.T) {
	file := writeShadow(t, some)
	ours, its, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.FileConn(its)
	if err != nil {
		t.Fatal(err)
	}
	near, err := net.FileConn(ours)
	if err != nil {
		t.Fatal(err)
	}
	its.Close()
	ours.Close()
	done := make(chan error, 1)
	go func() { done <- (&Helper{File: file, Verify: verify}).Serve(far) }()
	c := NewClient(near, file)
	for _, tt := range []struct {
		user, password string
		want           bool
	}{{"ann", "a", true}, {"ann", "b", false}, {"root", "r", true}, {"locked", "!a", false}, {"locked", "a", false}, {"open", "", false},
		{"expired", "a", false}, {"nobody", "a", false}, {"odd", "x", false}, {"", "", false}, {"ann", "", false}, {"an:n", "a", false},
		{"ann", strings.Repeat("a", 3000), false}, {"ann\x00a", "x", false}, {"ann", "a", true}} {
		if got, err := c.Ask(t.Context(), tt.user, tt.password); got != tt.want || err != nil {
			t.Errorf("%q %.9q: %v, %v", tt.user, tt.password, got, err)
		}
	}
	one, err := c.Stamp()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(some, "ann:A", "ann:BC", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if two, err := c.Stamp(); one == two || err != nil {
		t.Errorf("a changed file has the same stamp, %v", err)
	}
	if got, err := c.Ask(t.Context(), "ann", "bc"); !got || err != nil {
		t.Errorf("a new password: %v, %v", got, err)
	}
	os.Remove(file)
	if _, err := c.Ask(t.Context(), "ann", "a"); err == nil {
		t.Error("without the file it is not known")
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.Ask(t.Context(), "ann", "a"); err == nil {
		t.Error("without the helper it is not known")
	}
}

func TestWrongAnswersHaveARate(t *testing.T) {
	file := writeShadow(t, some)
	synctest.Test(t, func(t *testing.T) {
		h := &Helper{File: file, Verify: verify}
		ours, its := net.Pipe()
		go h.Serve(its)
		c := NewClient(ours, file)
		ask := func(n int, password string) time.Duration {
			start := time.Now()
			for range n {
				if _, err := c.Ask(t.Context(), "ann", password); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		if d := ask(wrongFree, "b"); d != 0 {
			t.Errorf("the first wait %v", d)
		}
		if d := ask(50, "b"); d < 4*time.Second || d > 6*time.Second {
			t.Errorf("50 more take %v", d)
		}
		if d := ask(10, "a"); d != 0 {
			t.Errorf("right ones wait %v", d)
		}
		c.Close()
	})
}
