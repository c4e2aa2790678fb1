package imap_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/tools/txtar"

	"mailserver/imap"
	"mailserver/internal/samplemail"
	"mailserver/internal/testenv"
)

// letterBox makes messages at random.
type letterBox struct{ r *rand.Rand }

var ftsWords = strings.Fields("the of and to invoice Rechnung RECHNUNGEN straße Größe größer naïve NAÏVE Ελλάδα ελλάδα Москва москвы 漢字 漢字かな " +
	"re x 42 1999 2026-11-21 a-b foo_bar mail@example.org https://example.org/?q=abc%20def <b>bold</b> &nbsp; = =3D ﬁle ﬁ İstanbul ıst \u0000 ￿ 😀")

func (b letterBox) words(n int) string {
	var s strings.Builder
	for range b.r.IntN(n) + 1 {
		s.WriteString(ftsWords[b.r.IntN(len(ftsWords))])
		s.WriteString([]string{" ", " ", " ", "\r\n", "  ", ", ", "", "\t"}[b.r.IntN(8)])
	}
	return s.String()
}

func (b letterBox) oneLine(n int) string {
	return strings.NewReplacer("\r\n", "\r\n ", "\x00", "").Replace(b.words(n))
}

func (b letterBox) header() string {
	switch b.r.IntN(4) {
	case 0:
		return mime.QEncoding.Encode("utf-8", b.oneLine(6))
	case 1:
		return mime.BEncoding.Encode("utf-8", b.oneLine(6))
	}
	return b.oneLine(6)
}

// part makes the fields and the text of a part.
func (b letterBox) part(depth int) string {
	if depth < 3 && b.r.IntN(3) == 0 {
		mark := fmt.Sprintf("m%d", b.r.IntN(1000))
		s := "Content-Type: multipart/mixed; boundary=" + mark + "\r\nX-Part: " + b.header() + "\r\n\r\n" + b.words(3)
		for range 1 + b.r.IntN(3) {
			s += "\r\n--" + mark + "\r\n" + b.part(depth+1)
		}
		return s + "\r\n--" + mark + "--\r\n" + b.words(3)
	}
	text := b.words(60)
	kind := []string{"text/plain", "text/html", "application/octet-stream", "message/rfc822", "text/plain", ""}[b.r.IntN(6)]
	if kind == "message/rfc822" && depth < 3 {
		return "Content-Type: message/rfc822\r\n\r\n" + b.letter(depth+1)
	}
	charset := ""
	if kind != "" {
		charset = "; charset=" + []string{"utf-8", "iso-8859-1", "us-ascii", "unknown-8bit"}[b.r.IntN(4)]
	}
	if strings.HasSuffix(charset, "8859-1") {
		text, _ = charmap.ISO8859_1.NewEncoder().String(strings.Map(func(r rune) rune {
			if r > 255 {
				return '?'
			}
			return r
		}, text))
	}
	fields := ""
	if kind != "" {
		fields = "Content-Type: " + kind + charset + "\r\n"
	}
	switch b.r.IntN(4) {
	case 0:
		var s strings.Builder
		w := quotedprintable.NewWriter(&s)
		w.Write([]byte(text))
		w.Close()
		return fields + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + s.String()
	case 1:
		return fields + "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text)) + "\r\n"
	}
	return fields + "\r\n" + text
}

func (b letterBox) letter(depth int) string {
	return "From: " + b.header() + " <a@example.org>\r\nTo: " + b.header() + "\r\nSubject: " + b.header() + "\r\nX-Odd: " + b.header() +
		"\r\nMIME-Version: 1.0\r\n" + b.part(depth)
}

// key makes a SEARCH key whose string is often there.
func (b letterBox) key() string {
	word := strings.ToLower(b.words(2))
	if b.r.IntN(2) == 0 {
		word = strings.ToUpper(word)
	}
	runes := []rune(strings.NewReplacer("\r\n", " ", "\x00", "").Replace(word))
	from := b.r.IntN(len(runes) + 1)
	text := string(runes[from:min(len(runes), from+1+b.r.IntN(8))])
	lit := fmt.Sprintf("{%d+}\r\n%s", len(text), text)
	switch b.r.IntN(9) {
	case 0:
		return "SUBJECT " + lit
	case 1:
		return "HEADER X-Odd " + lit
	case 2:
		return "FROM " + lit
	case 3, 4, 5:
		return "BODY " + lit
	case 6:
		return "NOT " + b.key()
	}
	return "TEXT " + lit
}

func (b letterBox) query() string {
	switch b.r.IntN(4) {
	case 0:
		return "OR " + b.key() + " " + b.key()
	case 1:
		return b.key() + " " + b.key()
	}
	return b.key()
}

// TestSearchWithIndexEqualsSearchWithout sends the same queries with and without
// the text index, while messages come, go, are moved and copied, and the index is
// behind, whole, or being made anew.
func TestSearchWithIndexEqualsSearchWithout(t *testing.T) {
	seeds := []uint64{1}
	if os.Getenv("MAILSERVER_LONG") == "1" {
		seeds = nil
		for i := range uint64(100) {
			seeds = append(seeds, 100+i)
		}
	}
	for _, seed := range seeds {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { compareSearches(t, rand.New(rand.NewPCG(seed, 7))) })
	}
}

func compareSearches(t *testing.T, r *rand.Rand) {
	h := open(t, imap.ListenerOptions{}, nil)
	b := letterBox{r}
	c := h.login()
	c.do("CREATE Other")
	ar, err := txtar.ParseFile("testdata/peer/mail.txtar")
	must(t, err)
	for _, f := range ar.Files {
		c.append("INBOX", strings.ReplaceAll(string(f.Data), "\n", "\r\n"))
	}
	account := h.account("joe@vmail.example")
	for range 4 {
		for range 2 + r.IntN(6) {
			c.append("INBOX", b.letter(0), b.letter(0), b.letter(0), b.letter(0), b.letter(0))
		}
		c.do("SELECT INBOX")
		switch r.IntN(4) {
		case 0:
			c.do("STORE 1:4 +FLAGS (\\Deleted)")
			c.do("EXPUNGE")
		case 1:
			c.do("UID MOVE 10:20 Other")
		case 2:
			c.do("COPY 2:9 Other")
		}
		for _, anew := range []bool{false, r.IntN(3) == 0} {
			compareQueries(t, h, c, b)
			must(t, account.IndexText(t.Context(), anew))
		}
	}
	for _, box := range []string{"INBOX", "Other"} {
		c.do("SELECT " + box)
		compareQueries(t, h, c, b)
	}
}

func compareQueries(t *testing.T, h *house, c *client, b letterBox) {
	t.Helper()
	for range 30 {
		query := "UID SEARCH CHARSET UTF-8 " + b.query()
		h.fts.Store(false)
		want := c.do(query)
		h.fts.Store(true)
		got := c.do(query)
		h.fts.Store(false)
		if !slices.Equal(got, want) {
			t.Fatalf("%q\nwith index: %q\nwithout:    %q", query, got, want)
		}
	}
}

func (c *client) append(box string, letters ...string) {
	c.T.Helper()
	s := "APPEND " + box
	for _, text := range letters {
		s += fmt.Sprintf(" {%d+}\r\n%s", len(text), text)
	}
	got := c.do(s)
	if !strings.HasPrefix(got[len(got)-1], "x OK") {
		c.T.Fatal(got)
	}
}

// TestFullText measures searches of a large mailbox with and without the index.
// With MAILSERVER_LONG=1 it has 100,000 messages of 4 KB.
func TestFullText(t *testing.T) {
	n, most := 2000, time.Second
	if os.Getenv("MAILSERVER_LONG") == "1" {
		n, most = 100_000, 150*time.Millisecond
	}
	h := open(t, imap.ListenerOptions{}, nil)
	dir := filepath.Join(h.dir, "mail", "joe@vmail.example")
	total := fullTextTree(t, dir, n)
	c := h.login()
	c.Send("x SELECT INBOX")
	c.discard("x ")
	search := func(key string) (answer string, took time.Duration) {
		start := testenv.CPUTime()
		c.Send("x UID SEARCH RETURN (COUNT) " + key)
		c.Conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
		for !strings.HasPrefix(answer, "* ESEARCH ") { // a slow machine tells its progress before
			var err error
			answer, err = c.R.ReadString('\n')
			must(t, err)
		}
		c.Until("^x ")
		return strings.TrimSpace(answer), testenv.CPUTime() - start
	}
	keys := []string{"TEXT zyxneedle", "BODY zyxneedle", "TEXT " + ftsWord(2), "BODY " + ftsWord(100), "BODY " + ftsWord(3000),
		"TEXT \"" + ftsWord(20) + " " + ftsWord(40) + "\"", "TEXT absent", "HEADER X-Odd odd77", "TEXT ab"}
	want := map[string]string{}
	before := map[string]time.Duration{}
	search(keys[0])
	for _, key := range keys {
		want[key], before[key] = search(key)
	}
	account := h.account("joe@vmail.example")
	start := time.Now()
	must(t, account.IndexText(t.Context(), false))
	took := time.Since(start)
	st, err := account.TextStatus(t.Context())
	must(t, err)
	t.Logf("index of %d messages of %d bytes: %v each, %d bytes each, %d segments", st.Indexed, total/int64(n), (took / time.Duration(n)).Round(time.Microsecond), st.Bytes/int64(n), st.Segments)
	if st.Indexed != int64(n) || st.Messages != int64(n) {
		t.Errorf("%+v", st)
	}
	h.fts.Store(true)
	search(keys[0])
	for _, key := range keys {
		got, took := search(key)
		t.Logf("%-28s %-30s %10v without, %10v with", key, strings.TrimPrefix(got, `* ESEARCH (TAG "x") UID `), before[key].Round(10*time.Microsecond), took.Round(10*time.Microsecond))
		if got != want[key] {
			t.Errorf("%s: %s, want %s", key, got, want[key])
		}
		if took > most && strings.Contains(key, "zyx") {
			t.Errorf("%s takes %v", key, took)
		}
	}
}

// fullTextTree makes a Maildir of n messages.
func fullTextTree(t *testing.T, dir string, n int) (total int64) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	}
	letters := samplemail.New()
	for i := range n {
		text := letters.Next()
		name := filepath.Join(dir, "cur", fmt.Sprintf("%010d.M%06dP1.host,S=%d:2,S", 1_600_000_000+i/1000, i%1000, len(text)))
		must(t, os.WriteFile(name, []byte(text), 0o600))
		total += int64(len(text))
	}
	return total
}

func ftsWord(n uint64) string { return samplemail.Word(n) }
