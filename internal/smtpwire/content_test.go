package smtpwire

import (
	"bytes"
	"strings"
	"testing"
)

// feedAll gives the content in pieces of n bytes and returns what came out and
// what was left.
func feedAll(c *Content, in string, n int) (out, rest string, end bool) {
	var b strings.Builder
	emit := func(p []byte) { b.Write(p) }
	for in != "" {
		piece := in[:min(n, len(in))]
		used, done := c.Feed([]byte(piece), emit)
		in = in[used:]
		if done {
			return b.String(), in, true
		}
	}
	return b.String(), "", false
}

var contentCases = []struct {
	name, in, out, rest string
	end, bareLF         bool
}{
	{"a message", "a\r\nb\r\n.\r\nQUIT\r\n", "a\r\nb\r\n", "QUIT\r\n", true, false},
	{"an empty one", ".\r\nx", "", "x", true, false},
	{"stuffed dots", "..\r\n.a\r\n...b\r\n.\r\n", ".\r\na\r\n..b\r\n", "", true, false},
	{"dot within a line", "a.\r\n.\r\n", "a.\r\n", "", true, false},
	{"bare LF is a line end", "a\nb\r\n.\r\n", "a\r\nb\r\n", "", true, true},
	{"stray CR is a space", "a\rb\r\n.\r\n", "a b\r\n", "", true, false},
	{"CR CR LF . CR LF ends", "a\r\r\n.\r\nX", "a \r\n", "X", true, false},
	{"only CR CR LF", "\r\r\n.\r\nX", " \r\n", "X", true, false},
	// Smuggling: none of these ends the message.
	{"LF . LF", "a\n.\nb\r\n.\r\n", "a\r\nb\r\n", "", true, true},
	{"LF . CRLF", "a\n.\r\nb\r\n.\r\n", "a\r\nb\r\n", "", true, true},
	{"CRLF . LF", "a\r\n.\nb\r\n.\r\n", "a\r\nb\r\n", "", true, true},
	{"CR . CR", "a\r.\rb\r\n.\r\n", "a . b\r\n", "", true, false},
	{"CR . CRLF", "a\r.\r\nb\r\n.\r\n", "a .\r\nb\r\n", "", true, false},
	{"CRLF . CR", "a\r\n.\rb\r\n.\r\n", "a\r\n b\r\n", "", true, false},
	{"CRLF . CR CRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n \r\nb\r\n", "", true, false},
	{"CRLF . NUL CRLF", "a\r\n.\x00\r\nb\r\n.\r\n", "a\r\n\x00\r\nb\r\n", "", true, false},
	{"LF . CR . CRLF", "a\n.\r.\r\nb\r\n.\r\n", "a\r\n .\r\nb\r\n", "", true, true},
	{"LF . LF at the end only", "a\n.\n", "a\r\n", "", false, true},
	{"LF . CRLF then a real end", "a\n.\r\n.\r\nX", "a\r\n", "X", true, true},
	{"dot and the end of input", "a\r\n.", "a\r\n", "", false, false},
}

func TestContentEndsOnlyAtCRLFDotCRLF(t *testing.T) {
	for _, tt := range contentCases {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= len(tt.in); n++ {
				c := Content{Dots: true}
				out, rest, end := feedAll(&c, tt.in, n)
				if out != tt.out || rest != tt.rest || end != tt.end || c.BareLF() != tt.bareLF {
					t.Fatalf("in pieces of %d: %q, rest %q, end %v, bare LF %v; want %q, %q, %v, %v",
						n, out, rest, end, c.BareLF(), tt.out, tt.rest, tt.end, tt.bareLF)
				}
			}
		})
	}
}

func TestContentAfterDATAWithBareLF(t *testing.T) {
	c := Content{Dots: true, AfterLF: true}
	if out, rest, end := feedAll(&c, ".\r\nx\r\n.\r\nQUIT", 100); out != "x\r\n" || rest != "QUIT" || !end {
		t.Errorf("%q, rest %q, end %v", out, rest, end)
	}
}

func TestContentOfBDATKeepsDotsAndEndsItsLastLine(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"a\r\n.\r\nb\r\n", "a\r\n.\r\nb\r\n"},
		{"a\nb", "a\r\nb\r\n"},
		{"a\r", "a \r\n"},
		{"", ""},
	} {
		for n := 1; n <= max(1, len(tt.in)); n++ {
			var c Content
			out, _, _ := feedAll(&c, tt.in, n)
			c.Finish(func(p []byte) { out += string(p) })
			if out != tt.want {
				t.Errorf("%q in pieces of %d: %q, want %q", tt.in, n, out, tt.want)
			}
		}
	}
}

func TestContentKeepsCRWhenTold(t *testing.T) {
	c := Content{Dots: true, KeepCR: true}
	if out, _, _ := feedAll(&c, "a\rb\r\r\n.\r\n", 100); out != "a\rb\r\r\n" {
		t.Errorf("got %q", out)
	}
}

// unstuffed is the definition, without any thought of speed.
func unstuffed(in string) (out, rest string, end bool) {
	body, rest, end := strings.Cut("\r\n"+in, "\r\n.\r\n")
	if end {
		body += "\r\n"
	}
	return body, rest, end
}

// FuzzContent: however the input is cut, the outcome is the same; it ends where
// CRLF "." CRLF is and nowhere else; what comes out holds no bare CR or LF.
func FuzzContent(f *testing.F) {
	for _, tt := range contentCases {
		f.Add([]byte(tt.in), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, n uint8) {
		var whole, cut Content
		whole.Dots, cut.Dots = true, true
		out, rest, end := feedAll(&whole, string(in), len(in)+1)
		out2, rest2, end2 := feedAll(&cut, string(in), int(n)+1)
		if out != out2 || rest != rest2 || end != end2 {
			t.Fatalf("whole: %q %q %v, in pieces of %d: %q %q %v", out, rest, end, n+1, out2, rest2, end2)
		}
		_, wantRest, wantEnd := unstuffed(string(in))
		if end != wantEnd || end && rest != wantRest {
			t.Fatalf("end %v, rest %q; want %v, %q", end, rest, wantEnd, wantRest)
		}
		clean := strings.ReplaceAll(out, "\r\n", "")
		if strings.ContainsAny(clean, "\r\n") {
			t.Fatalf("bare CR or LF in %q", out)
		}
	})
}

func BenchmarkContent(b *testing.B) {
	line := strings.Repeat("x", 70) + "\r\n"
	block := []byte(strings.Repeat(line, largeSize/len(line)))
	n := 0
	emit := func(p []byte) { n += len(p) }
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	c := Content{Dots: true}
	for b.Loop() {
		c.Feed(block, emit)
	}
}

func BenchmarkContentStuffed(b *testing.B) {
	block := bytes.Repeat([]byte("..dot\r\nbare\n"), 2000)
	b.SetBytes(int64(len(block)))
	b.ReportAllocs()
	c := Content{Dots: true}
	for b.Loop() {
		c.Feed(block, func([]byte) {})
	}
}
