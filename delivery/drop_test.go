package delivery

import (
	"bytes"
	"strings"
	"testing"
)

var dropNames = []string{"bcc", "content-length", "resent-bcc", "return-path"}

func TestDropsHeaders(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing", "Subject: x\r\nTo: y\r\n\r\nBcc: body\r\n", "Subject: x\r\nTo: y\r\n\r\nBcc: body\r\n"},
		{"one", "A: b\r\nbCC: x\r\nC: d\r\n\r\n", "A: b\r\nC: d\r\n\r\n"},
		{"folded", "Bcc: x,\r\n y,\r\n\tz\r\nC: d\r\n e\r\n\r\nF: g", "C: d\r\n e\r\n\r\nF: g"},
		{"first and last", "Return-Path: <a>\r\nX: y\r\nBcc : z\r\n\r\nq", "X: y\r\n\r\nq"},
		{"long names", strings.Repeat("X", 300) + ": y\r\nBccc: z\r\nBc: z\r\n\r\n", strings.Repeat("X", 300) + ": y\r\nBccc: z\r\nBc: z\r\n\r\n"},
		{"no header", "body without colon\r\nBcc: x\r\n", "body without colon\r\nBcc: x\r\n"},
		{"LF", "Bcc: x\nA: b\n\nBcc: y\n", "A: b\n\nBcc: y\n"},
		{"ends in a name", "A: b\r\nBc", "A: b\r\nBc"},
		{"empty", "", ""},
		{"body at once", "\r\nBcc: x\r\n", "\r\nBcc: x\r\n"},
	}
	for _, tt := range tests {
		for _, piece := range []int{1, 2, 3, 7, 1000} {
			if got := dropped(t, tt.in, piece); got != tt.want {
				t.Errorf("%s, pieces of %d: %q, want %q", tt.name, piece, got, tt.want)
			}
		}
	}
}

func dropped(t *testing.T, in string, piece int) string {
	t.Helper()
	var b bytes.Buffer
	d := newDropper(&b, dropNames)
	for rest := in; rest != ""; {
		n := min(piece, len(rest))
		if m, err := d.Write([]byte(rest[:n])); m != n || err != nil {
			t.Fatal(m, err)
		}
		rest = rest[n:]
	}
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzDrop: the result does not depend on the pieces, holds nothing new, and
// none of the names in its header.
func FuzzDrop(f *testing.F) {
	for _, s := range []string{"Bcc: x\r\n y\r\nA: b\r\n\r\nBcc: z", ":\n", "Bcc", " Bcc: x\r\n", "bcc:\n\t\n \nx:", "Return-Path \t: <>\r\n\r\n"} {
		f.Add(s, 1)
	}
	f.Fuzz(func(t *testing.T, in string, piece int) {
		whole := dropped(t, in, max(len(in), 1))
		if got := dropped(t, in, max(piece, 1)); got != whole {
			t.Fatalf("%q: %q in pieces of %d, %q at once", in, got, piece, whole)
		}
		if again := dropped(t, whole, 100); len(whole) > len(in) || len(again) > len(whole) {
			t.Fatalf("%q gives %q, then %q", in, whole, again)
		}
	})
}
