package smtpwire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadLine(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, tt := range []struct {
		name, in string
		limit    int
		want     []string // "!" is ErrLineTooLong, "~" before a line with bare LF
	}{
		{"lines", "a\r\nb\r\n", 100, []string{"a", "b"}},
		{"empty line", "\r\nb\r\n", 100, []string{"", "b"}},
		{"bare LF", "a\nb\r\n", 100, []string{"~a", "b"}},
		{"CR within", "a\rb\r\n", 100, []string{"a\rb"}},
		{"at the limit", strings.Repeat("x", 10) + "\r\n", 10, []string{strings.Repeat("x", 10)}},
		{"over the limit", strings.Repeat("x", 11) + "\r\nok\r\n", 10, []string{"!", "ok"}},
		{"longer than the small buffer", long + "\r\nok\r\n", 4000, []string{long, "ok"}},
		{"much too long", strings.Repeat("y", 100000) + "\r\nok\r\n", 2048, []string{"!", "ok"}},
		{"limit over the buffer", strings.Repeat("y", 100000) + "\r\nok\r\n", 1 << 20, []string{"!", "ok"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, src := range []io.Reader{strings.NewReader(tt.in), iotest.OneByteReader(strings.NewReader(tt.in)), iotest.HalfReader(strings.NewReader(tt.in))} {
				r := NewReader(src)
				for _, want := range tt.want {
					if got := readOne(t, r, tt.limit); got != want {
						t.Fatalf("got %.40q, want %.40q", got, want)
					}
				}
				if _, err := r.ReadLine(tt.limit); err != io.EOF {
					t.Fatalf("after the last line: %v", err)
				}
			}
		})
	}
}

func readOne(t *testing.T, r *Reader, limit int) string {
	t.Helper()
	line, err := r.ReadLine(limit)
	switch {
	case errors.Is(err, ErrLineTooLong):
		return "!"
	case err != nil:
		t.Fatal(err)
	case r.BareLF():
		return "~" + string(line)
	}
	return string(line)
}

func TestReaderPassesFromLinesToContentAndBack(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 10000)
	r := NewReader(iotest.HalfReader(strings.NewReader("BDAT\r\n" + body + "NEXT\r\nLAST\r\n")))
	if got := readOne(t, r, 100); got != "BDAT" {
		t.Fatal(got)
	}
	var got bytes.Buffer
	for got.Len() < len(body) {
		p, err := r.Block()
		if err != nil {
			t.Fatal(err)
		}
		p = p[:min(len(p), len(body)-got.Len())]
		got.Write(p)
		r.Advance(len(p))
	}
	if got.String() != body {
		t.Error("the content is another")
	}
	if a, b := readOne(t, r, 100), readOne(t, r, 100); a != "NEXT" || b != "LAST" {
		t.Errorf("after the content: %q, %q", a, b)
	}
}

func TestReaderGivesTheLargeBufferBackBeforeItWaits(t *testing.T) {
	held := func(r *Reader) func() bool { return func() bool { return r.big != nil } }
	var isHeld func() bool
	src := &probe{data: []byte(strings.Repeat("NOOP\r\n", 20000))}
	r := NewReader(src)
	isHeld = held(r)
	src.empty = func() {
		if isHeld() {
			t.Error("waits with the large buffer")
		}
	}
	for range 20000 {
		if got := readOne(t, r, 100); got != "NOOP" {
			t.Fatal(got)
		}
	}
	if _, err := r.ReadLine(100); err != io.EOF {
		t.Fatal(err)
	}
}

// probe calls empty when it is asked for more than it has.
type probe struct {
	data  []byte
	empty func()
}

func (p *probe) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		p.empty()
		return 0, io.EOF
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	return n, nil
}

func TestDiscardDropsWhatCameBefore(t *testing.T) {
	r := NewReader(strings.NewReader("STARTTLS\r\nMAIL FROM:<evil@example.org>\r\n"))
	readOne(t, r, 100)
	if string(r.Pending()) == "" {
		t.Fatal("nothing pending: the test tests nothing")
	}
	r.Discard(strings.NewReader("EHLO x\r\n"))
	if got := readOne(t, r, 100); got != "EHLO x" {
		t.Errorf("got %q", got)
	}
}

// FuzzReader: lines come out as they stand in the input, cut at their limit,
// whatever pieces it arrives in.
func FuzzReader(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<>\r\n"), uint16(20))
	f.Add([]byte("a\nb\r\r\n\n"), uint16(1))
	f.Add([]byte(strings.Repeat("z", 1500)+"\r\nNOOP\r\n"), uint16(1000))
	f.Fuzz(func(t *testing.T, in []byte, limit uint16) {
		r := NewReader(iotest.HalfReader(bytes.NewReader(in)))
		for rest := in; ; {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			rest = after
			got, err := r.ReadLine(int(limit))
			if !found {
				if err == nil {
					t.Fatalf("a line without an end: %q", got)
				}
				return
			}
			want, bare := trimCR(line)
			switch {
			case errors.Is(err, ErrLineTooLong):
				if len(want) <= int(limit) && len(line) < largeSize-1 {
					t.Fatalf("refused a line of %d, limit %d", len(want), limit)
				}
			case err != nil:
				t.Fatal(err)
			case !bytes.Equal(got, want) || len(got) > int(limit) || r.BareLF() != bare:
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	})
}
