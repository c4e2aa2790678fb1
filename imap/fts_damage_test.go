package imap_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"mailserver/imap"
)

// ftsQueries are searches with the answers of the messages themselves.
func ftsQueries(h *house, c *client, b letterBox) (queries []string, answers [][]string) {
	h.fts.Store(false)
	for len(queries) < 12 {
		q := "UID SEARCH CHARSET UTF-8 " + b.query()
		queries, answers = append(queries, q), append(answers, c.do(q))
	}
	h.fts.Store(true)
	return queries, answers
}

// TestDamagedTextIndex: whatever has happened to the file of a text index, a byte
// that was flipped, a page of zeros, an end that was cut off, the answers are
// those of the messages, and the index can be made whole. With MAILSERVER_LONG=1
// it is damaged in more places.
func TestDamagedTextIndex(t *testing.T) {
	rounds := 60
	if os.Getenv("MAILSERVER_LONG") == "1" {
		rounds = 3000
	}
	dir := t.TempDir()
	var queries []string
	var answers [][]string
	t.Run("whole", func(t *testing.T) {
		h := openAt(t, dir, imap.ListenerOptions{}, nil)
		b := letterBox{rand.New(rand.NewPCG(3, 9))}
		c := h.login()
		for range 12 {
			c.append("INBOX", b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0))
		}
		must(t, h.account("joe@vmail.example").IndexText(t.Context(), false))
		c.do("SELECT INBOX")
		queries, answers = ftsQueries(h, c, b)
	})
	files, _ := filepath.Glob(filepath.Join(dir, "fts", "*"))
	if len(files) != 1 {
		t.Fatal(files)
	}
	whole, err := os.ReadFile(files[0])
	must(t, err)
	remade := 0
	for round := range rounds {
		ok := t.Run(strconv.Itoa(round), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(round), 11))
			must(t, os.WriteFile(files[0], harm(r, whole), 0o600))
			h := openAt(t, dir, imap.ListenerOptions{}, nil)
			h.fts.Store(true)
			c := h.login()
			c.do("SELECT INBOX")
			for i, q := range queries {
				if got := c.do(q); !slices.Equal(got, answers[i]) {
					t.Fatalf("%q: %q, want %q", q, got, answers[i])
				}
			}
			account := h.account("joe@vmail.example")
			for range 2 { // the first may be what finds the damage
				err = account.IndexText(t.Context(), false)
			}
			must(t, err)
			if st, err := account.TextStatus(t.Context()); err != nil || st.Indexed < 60 {
				must(t, account.IndexText(t.Context(), true))
				remade++
			}
			for i, q := range queries {
				if got := c.do(q); !slices.Equal(got, answers[i]) {
					t.Fatalf("after that, %q: %q, want %q", q, got, answers[i])
				}
			}
		})
		if !ok {
			break
		}
	}
	t.Logf("%d of %d had to be made anew by hand", remade, rounds)
}

// harm damages a file.
func harm(r *rand.Rand, whole []byte) []byte {
	p := slices.Clone(whole)
	at := r.IntN(len(p))
	switch r.IntN(6) {
	case 0:
		return p[:at]
	case 1:
		at &^= 4095
		clear(p[at:min(len(p), at+4096)])
	case 2: // in the header, or of a page
		p[at&^4095+r.IntN(100)] ^= 1 << r.IntN(8)
	default:
		p[at] ^= 1 << r.IntN(8)
	}
	return p
}

// TestTextIndexIsBounded: fts_max_size holds, the oldest messages go first, and
// the answers are those of the messages.
func TestTextIndexIsBounded(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	b := letterBox{rand.New(rand.NewPCG(4, 9))}
	c := h.login()
	c.do("SELECT INBOX")
	account := h.account("joe@vmail.example")
	const most = 100 << 10
	h.ftsMax.Store(most)
	for range 12 {
		c.append("INBOX", b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0))
		must(t, account.IndexText(t.Context(), false))
		st, err := account.TextStatus(t.Context())
		must(t, err)
		if st.Bytes > most {
			t.Errorf("%d bytes", st.Bytes)
		}
	}
	st, err := account.TextStatus(t.Context())
	must(t, err)
	if st.Indexed == 0 || st.Indexed >= st.Messages {
		t.Errorf("it has %d of %d messages", st.Indexed, st.Messages)
	}
	compareQueries(t, h, c, b)
	must(t, account.IndexText(t.Context(), false))
	if again, err := account.TextStatus(t.Context()); err != nil || again != st {
		t.Errorf("another pass has changed it from %+v to %+v, %v", st, again, err)
	}
	t.Logf("%+v", st)
}
