package imapwire

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// decoder reads s in single bytes, so that every buffer edge is met.
func decoder(s string) *Decoder {
	d := NewDecoder(iotest.OneByteReader(strings.NewReader(s)))
	d.Begin(64 << 10)
	return d
}

func TestStrings(t *testing.T) {
	tests := []struct {
		name, in string
		read     func(*Decoder) string
		want     string
		err      string
	}{
		{"atom", "abc def", (*Decoder).Atom, "abc", ""},
		{"atom stops at bracket", "abc]", (*Decoder).Atom, "abc", ""},
		{"no atom", "(x", (*Decoder).Atom, "", "Missing atom"},
		{"tag", "a.1] x", (*Decoder).Tag, "a.1]", ""},
		{"tag without plus", "+ x", (*Decoder).Tag, "", "Missing tag"},
		{"keyword", "fetch ", (*Decoder).Keyword, "FETCH", ""},
		{"flag", `\Seen)`, (*Decoder).Flag, `\Seen`, ""},
		{"astring", "a]b c", (*Decoder).AString, "a]b", ""},
		{"quoted", `"a b\"c\\" `, (*Decoder).AString, `a b"c\`, ""},
		{"quoted empty", `"" `, (*Decoder).AString, "", ""},
		{"quoted without end", "\"a b\r\n", (*Decoder).AString, "", `Missing '"'`},
		{"quoted bad escape", `"a\b"`, (*Decoder).AString, "", "Escaped character"},
		{"quoted NUL", "\"a\x00b\"", (*Decoder).AString, "", `Missing '"'`},
		{"literal+", "{5+}\r\na\r\nb\n rest", (*Decoder).AString, "a\r\nb\n", ""},
		{"literal+ bare LF", "{1+}\nx ", (*Decoder).AString, "x", ""},
		{"literal NUL", "{3+}\r\na\x00b ", (*Decoder).AString, "", "NULs in literal."},
		{"literal too large", "{70000+}\r\n", (*Decoder).AString, "", "Too long argument."},
		{"literal absurd", "{99999999999999999999+}\r\n", (*Decoder).AString, "", "Invalid number."},
		{"literal bad", "{5x}\r\n", (*Decoder).AString, "", "Missing '}'"},
		{"sync literal refused", "{5}\r\nabcde", (*Decoder).AString, "", "Literals are not taken here."},
		{"pattern", "%/*] ", (*Decoder).ListMailbox, "%/*]", ""},
		{"eof", "abc", (*Decoder).Atom, "", "EOF"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decoder(tt.in)
			if got := tt.read(d); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if err := d.Err(); (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestSyncLiteralAsksForIt(t *testing.T) {
	d := decoder("{3}\r\nabc\r\n")
	asked := 0
	d.Continue = func() error { asked++; return nil }
	if s := d.AString(); s != "abc" || asked != 1 {
		t.Fatalf("%q, asked %d times, %v", s, asked, d.Err())
	}
	d.End()
	if d.Err() != nil || !d.Ended() {
		t.Fatal(d.Err())
	}
}

// TestSkipNeverRunsALiteralAsCommands: a command that fails anywhere is read
// over with its non-synchronizing literals, and what follows is what is next.
func TestSkipNeverRunsALiteralAsCommands(t *testing.T) {
	over := strings.Repeat("x\r\nINJ CREATE pwned\r\n", 5000)
	tests := []struct {
		name, in string
		parse    func(*Decoder)
	}{
		{"unknown command", "FOO {22+}\r\nINJ CREATE pwned\r\nabcd {3+}\r\nxyz y\r\n", func(d *Decoder) { d.Atom(); d.Fail("Unknown") }},
		{"literal over the bound", "{100000+}\r\n" + over[:100000] + " {3+}\r\nabc\r\n", func(d *Decoder) { d.AString() }},
		{"after a literal", "{3+}\r\nabcjunk {4+}\r\n\r\nA \r\n", func(d *Decoder) { d.AString(); d.SP() }},
		{"sync literal over the bound ends the command", "{100000}\r\n", func(d *Decoder) { d.AString() }},
		{"braces in text", "x {3+} y\r\n", func(d *Decoder) { d.Fail("bad") }},
		{"long line", strings.Repeat("y", 100000) + "{2+}\r\n\r\nz\r\n", func(d *Decoder) { d.Atom() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := decoder(tt.in + "next\r\n")
			d.Continue = func() error { t.Error("asked for a literal"); return nil }
			tt.parse(d)
			if d.Err() == nil {
				t.Fatal("no error")
			}
			if err := d.Skip(1 << 20); err != nil {
				t.Fatal(err)
			}
			d.Begin(100)
			if s := d.Atom(); s != "next" {
				t.Fatalf("goes on with %q", s)
			}
		})
	}
	d := decoder("x {99999999+}\r\n")
	d.Fail("bad")
	if err := d.Skip(1 << 20); err != ErrFlood {
		t.Fatalf("flood: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	tests := []struct {
		in   string
		want Set
		err  bool
	}{
		{"1 ", Set{{1, 1}}, false},
		{"5:1,*,3:* ", Set{{5, 1}, {0, 0}, {3, 0}}, false},
		{"4294967295 ", Set{{4294967295, 4294967295}}, false},
		{"4294967296 ", nil, true},
		{"0 ", nil, true},
		{"1: ", nil, true},
		{", ", nil, true},
		{"1,, ", nil, true},
	}
	for _, tt := range tests {
		d := decoder(tt.in)
		if got := d.Set(); !reflect.DeepEqual(got, tt.want) || (d.Err() != nil) != tt.err {
			t.Errorf("%q: %v, %v", tt.in, got, d.Err())
		}
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		in   string
		last uint32
		want string
	}{
		{"3:1,2,7", 10, "1:3,7"},
		{"*", 10, "10"},
		{"15:*", 10, "10:15"},
		{"*", 0, ""},
		{"1:*", 0, ""},
		{"1:4294967295,5", 10, "1:4294967295"},
		{"9,8,7,1", 10, "1,7:9"},
	}
	for _, tt := range tests {
		s := decoder(tt.in + " ").Set().Resolve(tt.last)
		if s.String() != tt.want {
			t.Errorf("%s in %d: %s, want %s", tt.in, tt.last, s, tt.want)
		}
	}
	s := Set{{1, 3}, {7, 7}, {9, 12}}
	for n := uint32(0); n < 15; n++ {
		want := n >= 1 && n <= 3 || n == 7 || n >= 9 && n <= 12
		if s.Contains(n) != want {
			t.Errorf("contains %d: %v", n, !want)
		}
	}
	var grown Set
	for _, n := range []uint32{1, 2, 3, 7, 9, 10} {
		grown.Add(n)
	}
	if grown.String() != "1:3,7,9:10" {
		t.Error(grown)
	}
}

func TestListDepthIsBounded(t *testing.T) {
	d := decoder(strings.Repeat("(", 50000))
	var item func()
	item = func() { d.List(item) }
	item()
	if !IsSyntax(d.Err()) {
		t.Fatal(d.Err())
	}
}

func TestEncoder(t *testing.T) {
	var out bytes.Buffer
	e := NewEncoder(&out)
	e.String(`a"b\c`).Raw(" ").String("x\r\ny").Raw(" ").NString("").Raw(" ").Mailbox("INBOX").Raw(" ").
		Mailbox("a b").Raw(" ").Mailbox("").Raw(" ").Mailbox("nil").Raw(" ").Mailbox("é").Raw(" ").Number(42).Raw(" ").Set(Set{{1, 3}, {5, 5}}).CRLF()
	e.Write(bytes.Repeat([]byte("z"), 10000))
	if err := e.Park(); err != nil {
		t.Fatal(err)
	}
	want := `"a\"b\\c" {4}` + "\r\nx\r\ny" + ` NIL INBOX "a b" "" "nil" "é" 42 1:3,5` + "\r\n" + strings.Repeat("z", 10000)
	if out.String() != want {
		t.Fatalf("got %.100q", out.String())
	}
}

func TestLiteralReader(t *testing.T) {
	body := strings.Repeat("0123456789", 2000)
	for _, oneByte := range []bool{true, false} {
		var src io.Reader = strings.NewReader("{20000+}\r\n" + body + " x\r\n")
		if oneByte {
			src = iotest.OneByteReader(src)
		}
		d := NewDecoder(src)
		d.Begin(100)
		l := d.Literal()
		r := d.Reader(l.Size)
		var got bytes.Buffer
		io.CopyN(&got, r, 5)
		if _, err := io.Copy(&got, r); err != nil || got.String() != body {
			t.Fatalf("%d bytes, %v", got.Len(), err)
		}
		d.SP()
		if d.Atom() != "x" {
			t.Fatal(d.Err())
		}
	}
}

func TestDateTime(t *testing.T) {
	for in, want := range map[string]string{
		`" 7-Feb-2024 01:02:03 +0200" `: `"07-Feb-2024 01:02:03 +0200"`,
		`"17-Feb-2024 01:02:03 -0530" `: `"17-Feb-2024 01:02:03 -0530"`,
		`"7-Feb-2024 01:02:03 +0000" `:  `"07-Feb-2024 01:02:03 +0000"`,
	} {
		d := decoder(in)
		if got := string(AppendDateTime(nil, d.DateTime())); got != want || d.Err() != nil {
			t.Errorf("%s: %s, %v", in, got, d.Err())
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, s := range []string{"a (b {3+}\r\nabc \"q\\\"\") 1:*,4 ~{2+}\r\nxx\r\n", "\"x\r\n", "{5}\r\n", "((((((", "x {99999999999+}\r\n", "NIL \\Seen 1-Jan-2020\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(bytes.NewReader(in))
		d.Continue = func() error { return nil }
		for range 100 {
			d.Begin(4096)
			d.Tag()
			d.SP()
			d.List(func() { d.AString() })
			d.SP()
			d.Set().Resolve(10)
			d.Date()
			if d.Peek() == '~' {
				l := d.Literal()
				if d.Go(l) {
					d.Reader(l.Size).Drain()
				}
			}
			d.End()
			if d.Skip(1<<16) != nil {
				return
			}
			if !d.Ended() {
				t.Fatal("not at the end of a command")
			}
		}
	})
}
