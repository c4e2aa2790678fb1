package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"
)

func FuzzParse(f *testing.F) {
	for i := range 20 {
		f.Add(generate(uint64(i)))
	}
	f.Add(nested(5, true))
	f.Add([]byte("Content-Type: text/plain;\r\n name*0*=utf-8''a;\r\n name*1=\"b\r\n c\"\r\n\r\n\x00"))
	f.Fuzz(func(t *testing.T, m []byte) {
		s, err := Parse(bytes.NewReader(m))
		if err != nil {
			t.Fatal(err)
		}
		whole := s.Layout[0].whole()
		if whole.Len != int64(len(m)) {
			t.Fatalf("%d bytes of %d", whole.Len, len(m))
		}
		slow, err := Parse(iotest.OneByteReader(bytes.NewReader(m)))
		if err != nil || !slices.Equal(slow.Layout, s.Layout) || !bytes.Equal(slow.body, s.body) || !bytes.Equal(slow.envelope, s.envelope) {
			t.Fatalf("byte by byte: %v\n%v\n%v", err, slow.Layout, s.Layout)
		}
		brief, err := ParseEnvelope(InMemory(m))
		if err != nil || !bytes.Equal(brief.envelope, s.envelope) || !bytes.Equal(brief.search, s.search) {
			t.Fatalf("header alone: %v\n%q %q\n%q %q", err, brief.envelope, brief.search, s.envelope, s.search)
		}
		checkLayout(t, s.Layout)
		checkRecord(t, s)
		for i := range s.Layout {
			checkLiterals(t, s.Layout, pathTo(s.Layout, i), m)
		}
	})
}

// checkLayout: parts lie within their parents, one after the other.
func checkLayout(t *testing.T, l Layout) {
	for i, p := range l {
		if p.Next <= i || p.Next > len(l) || p.Body.Offset != p.Header.Offset+p.Header.Len {
			t.Fatalf("part %d: %+v", i, p)
		}
		for _, e := range []Extent{p.Header, p.Body} {
			if e.Len < 0 || e.Virt < e.Len || e.Lines < 0 {
				t.Fatalf("part %d: %+v", i, p)
			}
		}
		if p.Parent >= 0 {
			up, whole := l[p.Parent].Body, p.whole()
			if whole.Offset < up.Offset || whole.Offset+whole.Len > up.Offset+up.Len {
				t.Fatalf("part %d not in %d: %v", i, p.Parent, l)
			}
		}
	}
}

func checkRecord(t *testing.T, s *Structure) {
	r, err := OpenRecord(s.Record())
	if err != nil || r.Size != s.Layout.Size() {
		t.Fatalf("%v %v", r, err)
	}
	if l := r.Layout(); l != nil && !slices.Equal(l, s.Layout) {
		t.Fatalf("%v\n%v", l, s.Layout)
	}
	Body(s.BodyStructure())
}

func pathTo(l Layout, i int) (path []int) {
	for ; l[i].Parent >= 0; i = l[i].Parent {
		n := 1
		for c := l[i].Parent + 1; c < i; c = l[c].Next {
			n++
		}
		path = append([]int{n}, path...)
	}
	return path
}

// checkLiterals: each gives the bytes it promised.
func checkLiterals(t *testing.T, l Layout, path []int, m []byte) {
	f := bytes.NewReader(m)
	var all []*Literal
	for _, spec := range []imap.PartSpecifier{"", "HEADER", "MIME", "TEXT"} {
		for _, p := range []*imap.SectionPartial{nil, {Offset: 3, Size: 1 << 62}, {Offset: 1 << 62, Size: 1 << 62}} {
			lit, err := l.Section(f, &imap.FetchItemBodySection{Part: path, Specifier: spec, Partial: p})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, lit)
		}
	}
	for _, not := range []bool{false, true} {
		item := &imap.FetchItemBodySection{Part: path, Specifier: "HEADER"}
		if item.HeaderFields = []string{"Subject"}; not {
			item.HeaderFields, item.HeaderFieldsNot = nil, []string{"Subject"}
		}
		lit, err := l.Section(f, item)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, lit)
	}
	if lit, err := l.Binary(f, &imap.FetchItemBinarySection{Part: path}); err == nil {
		all = append(all, lit)
	}
	for _, lit := range all {
		var b bytes.Buffer
		if n, err := lit.WriteTo(&b); err != nil || n != lit.Size || int64(b.Len()) != n {
			t.Fatalf("path %v: size %d, wrote %d, %d: %v", path, lit.Size, n, b.Len(), err)
		}
	}
}

func FuzzAddressList(f *testing.F) {
	for _, s := range []string{"a@b", "N <a@b>, \"x\\\"y\" <c@d>", "G: a@b, c;, (c) <@r,@s:d@e>", "a (b", "<@", "\"", ":;", "a..b@[1]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if n := len(ParseAddressList(s, 5)); n > 7 { // a group adds its end
			t.Fatalf("%d entries", n)
		}
		var e envelope
		e.set("To", s)
		Body(append(e.append(nil), e.append(nil)...))
	})
}

func FuzzParseDate(f *testing.F) {
	for _, c := range dateCases {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDate(s)
		if err != nil {
			return
		}
		back, err := ParseDate(FormatDate(d))
		if d.Year() > 0 && (err != nil || !back.Equal(d)) {
			t.Fatalf("%q: %v, %v: %v", s, d, back, err)
		}
	})
}

func FuzzDecodeWords(f *testing.F) {
	for _, s := range []string{"=?utf-8?q?=C3=A4?= =?utf-8?b?w6Q=?=", "=?x?q?a?=", "=?gb2312?B?0A==?= =?gb2312?B?wg==?=", "=?", "=?a?b?c?d", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := Decode(s); !utf8.ValidString(d) {
			t.Fatalf("%q", d)
		}
	})
}

func FuzzOpenRecord(f *testing.F) {
	for i := range 5 {
		s, err := Parse(bytes.NewReader(generate(uint64(i))))
		must(f, err)
		p := s.Record()
		f.Add(p[PieceEnvelope], p[PieceStructure], p[PieceHeader], p[PieceSearch])
	}
	f.Fuzz(func(t *testing.T, envelope, structure, header, search []byte) {
		r, err := OpenRecord(Pieces{envelope, structure, header, search})
		if err != nil {
			return
		}
		r.HeaderFields(&imap.FetchItemBodySection{Specifier: "HEADER", HeaderFields: []string{"From"}})
		r.Field("Subject")
		r.SentDate()
		NewSearch([]Key{{Field: "To", Value: "x"}, {Field: "X-Other", Value: ""}}).MatchRecord(r)
		Body(r.BodyStructure)
		l := r.Layout()
		for i, p := range l {
			if p.Next <= i || p.Next > len(l) || p.Parent >= i {
				t.Fatalf("%v", l)
			}
		}
	})
}

func FuzzSearch(f *testing.F) {
	for i := range 10 {
		f.Add(generate(uint64(i)), "text", "inner")
	}
	f.Add([]byte("Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B%\x1b(B"), "a", "b")
	f.Fuzz(func(t *testing.T, m []byte, a, b string) {
		s := NewSearch([]Key{{ScopeBody, "", a}, {ScopeText, "", b}, {ScopeHeader, "Subject", b}, {ScopeHeader, "From", ""}})
		whole, err := s.Match(bytes.NewReader(m))
		must(t, err)
		first := slices.Clone(whole)
		again, err := s.Match(iotest.OneByteReader(bytes.NewReader(m)))
		must(t, err)
		if !slices.Equal(first, again) {
			t.Fatalf("%v, byte by byte %v", first, again)
		}
		must(t, ReadHeader(strings.NewReader(string(m)), func(Field) bool { return true }))
	})
}
