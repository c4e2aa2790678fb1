package smtp

import (
	"strings"
	"testing"
)

func filtered(text string, piece int) string {
	o := &ownResults{host: "mx.test"}
	var b strings.Builder
	out := func(p []byte) { b.Write(p) }
	for len(text) > 0 {
		n := min(piece, len(text))
		o.feed([]byte(text[:n]), out)
		text = text[n:]
	}
	o.close(out)
	return b.String()
}

func TestOwnResults(t *testing.T) {
	const other = "Subject: x\r\n folded\r\n"
	tests := []struct{ name, in, want string }{
		{"ours", "Authentication-Results: mx.test; spf=pass\r\n" + other + "\r\nbody", other + "\r\nbody"},
		{"ours, folded", other + "AUTHENTICATION-RESULTS :\r\n\tMX.test 1;\r\n\tspf=pass\r\n" + other + "\r\n", other + other + "\r\n"},
		{"behind a comment", "Authentication-Results: (mx.other;\\) (x)) \"mx.test\"; none\r\n\r\n", "\r\n"},
		{"of another", "Authentication-Results: mx.other; spf=pass\r\n\tmx.test\r\n\r\n", "Authentication-Results: mx.other; spf=pass\r\n\tmx.test\r\n\r\n"},
		{"only begins so", "Authentication-Results: mx.test.other; none\r\n\r\n", "Authentication-Results: mx.test.other; none\r\n\r\n"},
		{"without results", "Authentication-Results: mx.test\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
		{"two", "Authentication-Results: mx.test; a\r\nAuthentication-Results: mx.test; b\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
		{"in the body", "A: b\r\n\r\nAuthentication-Results: mx.test; a\r\n", "A: b\r\n\r\nAuthentication-Results: mx.test; a\r\n"},
		{"endless comment", "Authentication-Results: (" + strings.Repeat("x", 3000) + "\r\nA: b\r\n\r\n", "A: b\r\n\r\n"},
		{"other fields", "ARC-Authentication-Results: i=1; mx.test\r\nReceived: x\r\n\r\n", "ARC-Authentication-Results: i=1; mx.test\r\nReceived: x\r\n\r\n"},
		{"no header", "text\r\n\r\n", "text\r\n\r\n"},
		{"ends in a name", "A: b\r\nAuth", "A: b\r\nAuth"},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 3, 7, 100000} {
				if got := filtered(tt.in, piece); got != tt.want {
					t.Errorf("by %d: %q, want %q", piece, got, tt.want)
				}
			}
		})
	}
}

func FuzzOwnResults(f *testing.F) {
	for _, s := range []string{"Authentication-Results: mx.test; x\r\nA: b\r\n\r\nx", "A: b\n c\n\n", "Authentication-Results:\r\n (", "\x00\r\n \r\n"} {
		f.Add(s, 2)
	}
	f.Fuzz(func(t *testing.T, s string, piece int) {
		whole := filtered(s, len(s)+1)
		if got := filtered(s, 1+(piece&15)); got != whole {
			t.Errorf("%q in pieces, %q at once", got, whole)
		}
		if !strings.Contains(strings.ToLower(s), "results") && whole != s {
			t.Errorf("%q became %q", s, whole)
		}
	})
}
