package message

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// ours answers a section as the server would.
func ours(t testing.TB, s *Structure, m []byte, item *imap.FetchItemBodySection) string {
	lit, err := s.Layout.Section(bytes.NewReader(m), item)
	return literalText(t, lit, err)
}

func literalText(t testing.TB, lit *Literal, err error) string {
	if err == ErrUnknownEncoding {
		return "!NO [UNKNOWN-CTE]"
	}
	if err == ErrData {
		return "!NO [PARSE]"
	}
	must(t, err)
	var b bytes.Buffer
	n, err := lit.WriteTo(&b)
	must(t, err)
	if n != lit.Size || int64(b.Len()) != n {
		t.Fatalf("size %d, written %d, %d", lit.Size, n, b.Len())
	}
	eight := ""
	if lit.Eight {
		eight = "~"
	}
	return fmt.Sprintf("%s{%d}\r\n%s", eight, n, b.String())
}

func paths(l Layout, i int, path []int) (out [][]int) {
	out = append(out, path)
	n := 1
	for c := i + 1; c < l[i].Next; c = l[c].Next {
		out = append(out, paths(l, c, append(path[:len(path):len(path)], n))...)
		n++
	}
	return append(out, append(path[:len(path):len(path)], n))
}

func pathText(p []int) string {
	s := ""
	for i, n := range p {
		if i > 0 {
			s += "."
		}
		s += strconv.Itoa(n)
	}
	return s
}

func TestDiffCorpus(t *testing.T) {
	var msgs [][]byte
	var names []string
	if n, _ := strconv.Atoi(os.Getenv("RANDOM")); n > 0 {
		for i := range n {
			msgs = append(msgs, generate(uint64(i)))
			names = append(names, fmt.Sprint("random ", i))
		}
	}
	fs, _ := filepath.Glob(os.Getenv("DIFF"))
	for _, f := range fs {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		msgs = append(msgs, b)
		names = append(names, f)
	}
	d := startDovecot(t, msgs)
	for i, m := range msgs {
		s, err := Parse(bytes.NewReader(m))
		must(t, err)
		bad := false
		check := func(item, got string) {
			if bad {
				return
			}
			want := d.fetch(i+1, item)
			if want != got && !(got[0] == '!' && bytes.HasPrefix([]byte(want), []byte(got))) {
				bad = true
				t.Errorf("%s %s\n got %q\nwant %q\n msg %q", names[i], item, got, want, m)
			}
		}
		check("RFC822.SIZE", strconv.FormatInt(s.Layout.Size(), 10))
		check("ENVELOPE", string(s.Envelope()))
		check("BODYSTRUCTURE", string(s.BodyStructure()))
		check("BODY", string(Body(s.BodyStructure())))
		rec, err := OpenRecord(s.Record())
		must(t, err)
		if !slices.Equal(rec.Layout(), s.Layout) {
			t.Errorf("%s: layout\n%v\n%v", names[i], rec.Layout(), s.Layout)
		}
		if data, ok := rec.HeaderFields(&imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "To"}}); ok {
			check("BODY.PEEK[HEADER.FIELDS (Subject To)]", fmt.Sprintf("{%d}\r\n%s", len(data), data))
		}
		for _, sp := range []imap.PartSpecifier{"", imap.PartSpecifierHeader, imap.PartSpecifierText} {
			check("BODY.PEEK["+string(sp)+"]", ours(t, s, m, &imap.FetchItemBodySection{Specifier: sp}))
		}
		check("BODY.PEEK[HEADER.FIELDS (Subject X-Y)]", ours(t, s, m, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "X-Y"}}))
		check("BODY.PEEK[HEADER.FIELDS.NOT (Subject)]", ours(t, s, m, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFieldsNot: []string{"Subject"}}))
		for _, p := range paths(s.Layout, 0, nil) {
			if len(p) == 0 {
				continue
			}
			check("BODY.PEEK["+pathText(p)+"]", ours(t, s, m, &imap.FetchItemBodySection{Part: p}))
			check("BODY.PEEK["+pathText(p)+".MIME]", ours(t, s, m, &imap.FetchItemBodySection{Part: p, Specifier: imap.PartSpecifierMIME}))
			check("BODY.PEEK["+pathText(p)+".HEADER]", ours(t, s, m, &imap.FetchItemBodySection{Part: p, Specifier: imap.PartSpecifierHeader}))
			check("BODY.PEEK["+pathText(p)+".TEXT]<2.7>", ours(t, s, m, &imap.FetchItemBodySection{Part: p, Specifier: imap.PartSpecifierText, Partial: &imap.SectionPartial{Offset: 2, Size: 7}}))
			if os.Getenv("BINARY") != "" {
				lit, err := s.Layout.Binary(bytes.NewReader(m), &imap.FetchItemBinarySection{Part: p})
				check("BINARY.PEEK["+pathText(p)+"]", literalText(t, lit, err))
			}
		}
	}
}
