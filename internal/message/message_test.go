package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/memtest"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"plain", "plain"},
		{"=?utf-8?q?=C3=A4_b?=", "ä b"},
		{"=?UTF-8?B?w6Q=?=", "ä"},
		{"=?UTF-8?B?w6Q?=", "ä"},
		{"a =?utf-8?q?b?= =?utf-8?q?c?= d", "a bc d"},
		{"=?utf-8?q?b?=\r\n =?utf-8?q?c?=", "bc"},
		{"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"},
		{"=?utf-8?q?=C3?= =?iso-8859-1?q?=E4?=", "\uFFFDä"},
		{"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"=?gb2312?B?1tDOxA==?=", "中文"},
		{"=?koi8-r?q?=D4?=", "т"},
		{"=?utf-8*en?q?x?=", "x"},
		{"=?x-none?q?abc?=", "abc"},
		{"=?utf-8?q?a b?=", "a b"},
		{"=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"=?utf-8?q?=zz?=", "=?utf-8?q?=zz?="},
		{"=?utf-8?q?a", "=?utf-8?q?a"},
		{"=? =?utf-8?q?a?=", "=? a"},
		{"\xe4", "\uFFFD"},
		{"ä", "ä"},
	} {
		if got := Decode(c.in); got != c.want {
			t.Errorf("Decode(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestReadHeader(t *testing.T) {
	t.Parallel()
	in := "Received: from a\r\n\tby b;\r\n date\r\nX-Empty:\nno colon\n more\nDelivered-To : a@b \nSubject: x\n\nBody: y\n"
	var got []Field
	must(t, ReadHeader(strings.NewReader(in), func(f Field) bool { got = append(got, f); return true }))
	want := []Field{{"Received", "from a\tby b; date"}, {"X-Empty", ""}, {"Delivered-To", "a@b"}, {"Subject", "x"}}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	n := 0
	must(t, ReadHeader(strings.NewReader(in), func(Field) bool { n++; return n < 2 }))
	if n != 2 {
		t.Errorf("did not stop: %d", n)
	}
	broken := errors.New("broken")
	if err := ReadHeader(io.MultiReader(strings.NewReader("a: b\n"), failing{broken}), func(Field) bool { return true }); err != broken {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestReadHeaderBoundsWhatItKeeps(t *testing.T) {
	in := io.MultiReader(strings.NewReader("X: "), io.LimitReader(zeros{}, 20<<20), strings.NewReader("\nY: z\n\n"))
	var got []Field
	grew := growth(func() {
		must(t, ReadHeader(in, func(f Field) bool { got = append(got, f); return true }))
	})
	if len(got) != 2 || len(got[0].Value) > maxField || got[1] != (Field{"Y", "z"}) {
		t.Errorf("%d fields", len(got))
	}
	memtest.AtMost(t, "bytes allocated", 1<<20, grew)
}

// zeros is an endless line.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = '0'
	}
	return len(b), nil
}

// growth is what f allocates in all.
func growth(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestParseAddressList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want []Mailbox
	}{
		{"", nil},
		{"a@b", []Mailbox{{Local: "a", Domain: "b"}}},
		{"N (x) <a@b>, \"c d\"@e", []Mailbox{{Name: "N", Local: "a", Domain: "b"}, {Local: "c d", Domain: "e"}}},
		{"G: a@b;", []Mailbox{{Name: "G", Group: true}, {Local: "a", Domain: "b"}, {Group: true}}},
		{"postmaster", []Mailbox{{Local: "postmaster", Invalid: true}}},
		{"<a@b", []Mailbox{{Local: "a", Invalid: true}}},
	} {
		if got := ParseAddressList(c.in, 0); len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v\nwant %+v", c.in, got, c.want)
		}
	}
}

// big is a message of 50 MB with a base64 part in lines of LF, read without
// being held.
func big() io.Reader {
	head := "From: a@b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: a/b\nContent-Transfer-Encoding: base64\n\n"
	return io.MultiReader(strings.NewReader(head), io.LimitReader(&lines{}, 50<<20), strings.NewReader("\n--b--\n"))
}

// lines repeats a base64 line.
type lines struct{ at int }

const base64Line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\n"

func (l *lines) Read(b []byte) (int, error) {
	for n := 0; n < len(b); {
		k := copy(b[n:], base64Line[l.at:])
		l.at = (l.at + k) % len(base64Line)
		n += k
	}
	return len(b), nil
}

func TestBigMessageTakesLittleMemory(t *testing.T) {
	var s *Structure
	grew := growth(func() {
		var err error
		s, err = Parse(big())
		must(t, err)
	})
	memtest.AtMost(t, "bytes allocated by parsing", 128<<10, grew)
	if len(s.Layout) != 3 || s.Layout[2].Body.Len != 50<<20 {
		t.Errorf("%v", s.Layout)
	}
	x := NewSearch([]Key{{Scope: ScopeText, Value: "not there"}})
	memtest.AtMost(t, "bytes allocated by searching", 256<<10, growth(func() { _, err := x.Match(big()); must(t, err) }))
}

func TestHostileHeadersAreBounded(t *testing.T) {
	t.Parallel()
	part := "--b\nContent-Type: text/plain; name=\"" + strings.Repeat("x", 2000) + "\"\nContent-ID: " + strings.Repeat("y", 2000) + "\n\nz\n"
	m := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat(part, 5000) + "--b--\n"
	s, err := Parse(strings.NewReader(m))
	must(t, err)
	if len(s.BodyStructure()) > 3*maxKept || len(s.Layout) != 5001 {
		t.Errorf("structure of %d bytes, %d parts", len(s.BodyStructure()), len(s.Layout))
	}
	for i, p := range s.Record() {
		if len(p) > maxPiece {
			t.Errorf("piece %d of a record has %d bytes", i, len(p))
		}
	}
	r, err := OpenRecord(s.Record())
	must(t, err)
	if r.BodyStructure != nil || r.Envelope == nil || r.Size != s.Layout.Size() {
		t.Errorf("%+v", r)
	}
}

func TestLiteralOfAChangedFileFails(t *testing.T) {
	t.Parallel()
	m := []byte("Subject: x\n\nbody\nbody\n")
	s, err := Parse(bytes.NewReader(m))
	must(t, err)
	lit, err := s.Layout.Section(bytes.NewReader(m[:15]), &imap.FetchItemBodySection{})
	must(t, err)
	if n, err := lit.WriteTo(io.Discard); err == nil {
		t.Errorf("%d bytes", n)
	}
	lit, err = s.Layout.Section(bytes.NewReader(m), &imap.FetchItemBodySection{})
	must(t, err)
	if _, err := lit.WriteTo(writerFailing{}); err != io.ErrClosedPipe {
		t.Errorf("error %v", err)
	}
}

type writerFailing struct{}

func (writerFailing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestSearchFindsAcrossPieces(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 1, 100, 4090, 4095, 4096, 8191, windowSize - 3, windowSize, 3*windowSize - 5, 70000} {
		for _, enc := range []string{"7bit", "quoted-printable"} {
			m := fmt.Sprintf("Content-Transfer-Encoding: %s\nContent-Type: text/plain; charset=utf-8\n\n%sNädel im Heu%s", enc,
				strings.Repeat("x", at), strings.Repeat("y", 10000))
			found, err := NewSearch([]Key{{Scope: ScopeBody, Value: "nÄDEL"}, {Scope: ScopeText, Value: "im HEUy"}, {Scope: ScopeBody, Value: "Nadel"}}).
				Match(strings.NewReader(m))
			must(t, err)
			if !slices.Equal(found, []bool{true, true, false}) {
				t.Errorf("at %d, %s: %v", at, enc, found)
			}
		}
	}
}

func TestSearchStopsWhenItKnows(t *testing.T) {
	t.Parallel()
	broken := errors.New("read too far")
	in := io.MultiReader(strings.NewReader("Subject: hay needle\n\n"+strings.Repeat("x", 2*windowSize)), failing{broken})
	found, err := NewSearch([]Key{{Scope: ScopeHeader, Field: "subject", Value: "needle"}, {Scope: ScopeHeader, Field: "X", Value: ""}}).Match(in)
	if err != nil || !slices.Equal(found, []bool{true, false}) {
		t.Errorf("%v %v", found, err)
	}
	in = io.MultiReader(strings.NewReader("\nneedle"+strings.Repeat("x", 2*windowSize)), failing{broken})
	found, err = NewSearch([]Key{{Scope: ScopeBody, Value: "needle"}}).Match(in)
	if err != nil || !found[0] {
		t.Errorf("%v %v", found, err)
	}
}

func TestSearchDecodesCharsets(t *testing.T) {
	t.Parallel()
	for charset, text := range map[string]string{
		"iso-8859-1": "K\xf6ln", "UTF-8": "Köln", "utf-8": "Ko\u0308ln", "windows-1252": "K\xf6ln",
		"utf-16be": "\x00K\x00\xf6\x00l\x00n", "\"iso-8859-15\"": "K\xf6ln", "ibm850": "K\x94ln",
	} {
		m := "Content-Type: text/plain; charset=" + charset + "\nContent-Transfer-Encoding: base64\n\n" + b64(text)
		found, err := NewSearch([]Key{{Scope: ScopeBody, Value: "KÖLN"}}).Match(strings.NewReader(m))
		if must(t, err); !found[0] {
			t.Errorf("%s %q", charset, text)
		}
	}
}

func b64(s string) string {
	var out bytes.Buffer
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for len(s) > 0 {
		var c [3]byte
		n := copy(c[:], s)
		s = s[n:]
		q := []byte{digits[c[0]>>2], digits[c[0]&3<<4|c[1]>>4], digits[c[1]&15<<2|c[2]>>6], digits[c[2]&63]}
		copy(q[n+1:], "==")
		out.Write(q)
	}
	return out.String()
}

func TestToUTF8(t *testing.T) {
	t.Parallel()
	if got, err := ToUTF8("ISO-8859-1", "\xe4"); got != "ä" || err != nil {
		t.Errorf("%q %v", got, err)
	}
	if _, err := ToUTF8("x-none", "a"); !errors.Is(err, ErrCharset) {
		t.Errorf("%v", err)
	}
}

func TestRecordKnowsWhichFieldsAreMissing(t *testing.T) {
	t.Parallel()
	s, err := Parse(strings.NewReader("From: a@b\nReferences: <a>\n <b>\nX-Other: c\nfrom: d\n\n"))
	must(t, err)
	r, err := OpenRecord(s.Record())
	must(t, err)
	for _, c := range []struct {
		name string
		want []string
		ok   bool
	}{{"FROM", []string{"a@b", "d"}, true}, {"References", []string{"<a> <b>"}, true}, {"To", nil, true}, {"X-Other", nil, false}} {
		if got, ok := r.Field(c.name); !slices.Equal(got, c.want) || ok != c.ok {
			t.Errorf("%s: %q %v", c.name, got, ok)
		}
	}
	if _, ok := r.HeaderFields(&imap.FetchItemBodySection{Specifier: "HEADER", HeaderFields: []string{"From", "X-Other"}}); ok {
		t.Error("X-Other is not in the record")
	}
}

func TestRecordAnswersSearches(t *testing.T) {
	t.Parallel()
	s, err := Parse(strings.NewReader("From: a@b\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= \n  an alle\nX-Other: c\nTo:\nsubject: two\nDate: Sat, 21 Nov 1959 23:59:00 -1100\nMessage-ID: <m@n>\nReferences: <r@s>\n\n"))
	must(t, err)
	all := s.Record()
	for _, c := range []struct {
		field, value string
		found, known bool
	}{
		{"SUBJECT", "grüsse an", false, true}, {"Subject", "grüße an", true, true}, {"subject", "TWO", true, true},
		{"subject", "", true, true}, {"to", "", true, true}, {"to", "a", false, true}, {"cc", "", false, true},
		{"x-other", "c", false, false}, {"x-none", "", false, true}, {"message-id", "M@n", true, true}, {"references", "m@n", false, false},
	} {
		x := NewSearch([]Key{{Field: c.field, Value: c.value}})
		r, err := OpenRecord(Pieces{PieceSearch: all[PieceSearch]})
		must(t, err)
		if found, known := x.MatchRecord(r); found[0] != c.found || known[0] != c.known {
			t.Errorf("%s %q: %v %v", c.field, c.value, found[0], known[0])
		}
		if day, ok, known := r.SentDate(); !known || !ok || day.Format(time.DateOnly) != "1959-11-21" {
			t.Error(day, ok, known)
		}
	}
	x := NewSearch([]Key{{Field: "References", Value: "r@"}})
	r, err := OpenRecord(all)
	must(t, err)
	if found, known := x.MatchRecord(r); !found[0] || !known[0] || x.Pieces() != 1<<PieceSearch|1<<PieceHeader {
		t.Error(found, known, x.Pieces())
	}
}

func TestRecordWithoutTheHeaderSaysSo(t *testing.T) {
	t.Parallel()
	s, err := Parse(strings.NewReader("From: a@b\nTo: " + strings.Repeat("x@y, ", 5000) + "z@y\n\n"))
	must(t, err)
	r, err := OpenRecord(s.Record())
	must(t, err)
	if _, ok := r.Field("From"); ok {
		t.Error("fields in a record that is cut")
	}
	if r.Layout() == nil || r.Size == 0 {
		t.Errorf("%+v", r)
	}
}
