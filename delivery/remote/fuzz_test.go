package remote

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
)

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550-5.1.1 a\n550 5.1.1 b\n", "250\r\n", "25", "999 x\r\n", "250-a\r\n350 b\r\n", "421 4.3.2\r\n", "\r\n", "2500\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		rep, err := readReply(bufio.NewReaderSize(bytes.NewReader(in), 16))
		if err != nil {
			return
		}
		if rep.code < 200 || rep.code > 599 || len(rep.lines) == 0 || len(rep.String()) > replyMost+len(rep.lines) {
			t.Fatalf("%q gives %+v", in, rep)
		}
		if e := rep.enhanced(); !validEnhanced(e) && rep.code/100 != 3 {
			t.Fatalf("%q has enhanced code %q", in, e)
		}
		if strings.ContainsAny(rep.String(), "\n") {
			t.Fatalf("%q keeps a line end", in)
		}
	})
}

// FuzzDots: what a server undoes is the text, whatever the pieces, and the end
// of data stands only at the end.
func FuzzDots(f *testing.F) {
	for _, s := range []string{"", ".", "a\r\n.\r\nb", "\n.\n", "\r.\r", "..\r\n", "a\r", "\r\n.\r\n", "a\r\r\n.\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		if err := stuffed(w, &pieces{in, max(piece, 1)}, func() {}); err != nil {
			t.Fatal(err)
		}
		sent := out.String()
		if i := strings.Index("\r\n"+sent, "\r\n.\r\n"); i != len(sent)-3 {
			t.Fatalf("%q sent as %q: the end is at %d", in, sent, i)
		}
		bare := strings.ReplaceAll(sent, "\r\n", "")
		if strings.ContainsAny(bare, "\r\n") {
			t.Fatalf("%q sent as %q with a bare CR or LF", in, sent)
		}
		if strings.ContainsAny(strings.ReplaceAll(string(in), "\r\n", ""), "\r\n") {
			return
		}
		want := string(in)
		if want != "" && !strings.HasSuffix(want, "\r\n") {
			want += "\r\n"
		}
		if got := strings.TrimPrefix(strings.ReplaceAll("\r\n"+strings.TrimSuffix(sent, ".\r\n"), "\r\n.", "\r\n"), "\r\n"); got != want {
			t.Fatalf("%q arrives as %q", in, got)
		}
	})
}

// pieces gives n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(buf []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(buf, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}
