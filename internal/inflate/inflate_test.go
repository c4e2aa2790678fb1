package inflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// from reads from r.
func from(r io.Reader) *Reader {
	return New(func(p []byte, _ bool) (int, error) { return r.Read(p) })
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for level := -2; level <= 9; level++ {
		var text, packed bytes.Buffer
		w, err := flate.NewWriter(&packed, level)
		if err != nil {
			t.Fatal(err)
		}
		both := io.MultiWriter(&text, w)
		for i := range 300 {
			switch r.IntN(4) {
			case 0:
				io.WriteString(both, strings.Repeat("a NOOP\r\n", r.IntN(500)))
			case 1:
				p := make([]byte, r.IntN(3000))
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				both.Write(p)
			case 2:
				both.Write(text.Bytes()[max(0, text.Len()-r.IntN(40000)):][:0])
				io.WriteString(both, "UID FETCH 1:* (FLAGS)\r\n")
			default:
				w.Flush()
			}
			_ = i
		}
		w.Close()
		got, err := io.ReadAll(from(&packed))
		if err != nil || !bytes.Equal(got, text.Bytes()) {
			t.Errorf("level %d: %v, %d bytes of %d", level, err, len(got), text.Len())
		}
	}
}

// TestGoesOnBetweenBlocks: what was flushed is given at once; an error while
// waiting for more does no harm, and little is held then.
func TestGoesOnBetweenBlocks(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	wait := errors.New("wait")
	r := New(func(p []byte, between bool) (int, error) {
		if packed.Len() == 0 {
			if !between {
				t.Error("asked for more within a block")
			}
			return 0, wait
		}
		return packed.Read(p)
	})
	for _, s := range []string{"a LOGIN joe secret\r\n", "b NOOP\r\n", "c NOOP\r\n"} {
		io.WriteString(w, s)
		w.Flush()
		got := make([]byte, len(s))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != s {
			t.Fatalf("%q %v", got, err)
		}
		for range 3 {
			if n, err := r.Read(got); n != 0 || err != wait {
				t.Fatal(n, err)
			}
		}
		if r.buf != nil || cap(r.window) > 256 {
			t.Errorf("holds %d bytes", cap(r.window))
		}
	}
}

func FuzzReader(f *testing.F) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 6)
	io.WriteString(w, strings.Repeat("a FETCH 1 FLAGS\r\n", 100))
	w.Close()
	f.Add(b.Bytes())
	f.Add([]byte{1, 0, 0, 0xff, 0xff})
	f.Add([]byte{0x4b, 0x4c, 0x4a, 0x06, 0x00})
	f.Fuzz(func(t *testing.T, in []byte) {
		const most = 1 << 20
		want, errWant := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(in)), most))
		got, err := io.ReadAll(io.LimitReader(from(bytes.NewReader(in)), most))
		if errWant == nil && (err != nil || !bytes.Equal(got, want)) {
			t.Errorf("%v; got %d bytes, want %d", err, len(got), len(want))
		}
	})
}

func BenchmarkReader(b *testing.B) {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 6)
	text := strings.Repeat("From: somebody@example.org\r\nSubject: a line of text that is mail\r\n", 10000)
	io.WriteString(w, text)
	w.Close()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		io.Copy(io.Discard, from(bytes.NewReader(packed.Bytes())))
	}
}
