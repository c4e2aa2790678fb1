package schema

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRawConn: values of every kind that somebody may have written, texts of any
// length, and what is refused.
func TestRawConn(t *testing.T) {
	_, path := newMail(t, someRows)
	c, err := openRaw(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	long := strings.Repeat("long ", textMost)
	found, err := c.one(`SELECT ?, ?, ?, 7, NULL, NULL, x'00ff', ?, 1.5`, func(r *rawRow) error {
		if a, b, n := r.text(), r.text(), r.number(-1); a != "short" || b != long || n != 1<<40 {
			t.Errorf("%q, %d bytes, %d", a, len(b), n)
		}
		if a, n, b := r.text(), r.number(-1), r.text(); a != "7" || n != -1 || b != "" {
			t.Errorf("%q, %d, %q", a, n, b)
		}
		if a, b, f := r.text(), r.text(), r.text(); a != "\x00\xff" || b != "after" || f != "1.5" {
			t.Errorf("%q, %q, %q", a, b, f)
		}
		return nil
	}, "short", long, int64(1<<40), "after")
	if !found || err != nil {
		t.Error(found, err)
	}
	if found, err := c.one(`SELECT 1 FROM Domain WHERE domName = ?`, nil, "nowhere.example"); found || err != nil {
		t.Error(found, err)
	}
	for query, want := range map[string]string{
		`SELECT 'x'`:          `"x" stands for a number`,
		`SELECT 1 FROM Never`: "no such table: Never (1)",
		`DELETE FROM Domain`:  "readonly",
	} {
		_, err := c.one(query, func(r *rawRow) error { r.number(0); return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
	if _, err := c.one(`SELECT ?`, nil, 1.5); err == nil {
		t.Error("a value of any type is taken")
	}
	if _, err := openRaw(filepath.Join(t.TempDir(), "never")); err == nil || !strings.Contains(err.Error(), "unable to open database file") {
		t.Error(err)
	}
}
