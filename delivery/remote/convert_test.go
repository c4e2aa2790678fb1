package remote

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"short\r\n", "short\r\n"},
		{"1234567890\r\n", "1234567890\r\n"},
		{"12345678901\r\nx", "1234567890\r\n 1\r\nx"},
		{strings.Repeat("a", 25) + "\r\nb\r\n", "aaaaaaaaaa\r\n aaaaaaaaa\r\n aaaaaa\r\nb\r\n"},
		{"a\r\n" + strings.Repeat("b", 11), "a\r\nbbbbbbbbbb\r\n b"},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text)), iotest.DataErrReader(strings.NewReader(c.text))} {
			got, err := io.ReadAll(Wrap(r, 10))
			if err != nil || string(got) != c.want {
				t.Errorf("%q: %q, %v; want %q", c.text, got, err, c.want)
			}
		}
	}
	if r := strings.NewReader("x"); Wrap(r, 0) != r {
		t.Error("no limit is a limit")
	}
}

func FuzzSevenBit(f *testing.F) {
	f.Add("Content-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc \r\n")
	f.Add("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Transfer-Encoding: binary\r\n\r\n=\xff\r\n--x--\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		var b strings.Builder
		w := newSevenBit(&b)
		if _, err := io.WriteString(struct{ io.Writer }{w}, text); err == nil {
			w.Close()
		}
		wrapped, err := io.ReadAll(Wrap(iotest.HalfReader(strings.NewReader(text)), 20))
		if err != nil || strings.ReplaceAll(string(wrapped), "\r\n ", "") != strings.ReplaceAll(text, "\r\n ", "") {
			t.Errorf("%q wrapped is %q", text, wrapped)
		}
	})
}
