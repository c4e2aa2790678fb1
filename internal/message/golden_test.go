package message

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

// The files testdata/*.golden hold messages and what Dovecot 2.3.19 answers to
// FETCH and SEARCH of them. Each case is a line "M" with the message, then
// lines of an item and its answer, all as Go strings. A new case needs its M
// line and items without answers; with -update, where Dovecot is installed,
// all answers are asked for again.
var update = flag.Bool("update", false, "ask Dovecot for the answers in testdata/*.golden")

type goldenCase struct {
	line    int
	message []byte
	items   []goldenItem
}

type goldenItem struct{ item, answer string }

func readGolden(t *testing.T, name string) (cases []goldenCase) {
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for n := 1; in.Scan(); n++ {
		key, value := in.Text(), ""
		if i := strings.Index(key, " \t\""); i >= 0 {
			key, value = key[:i], key[i+2:]
			value, err = strconv.Unquote(value)
			must(t, err)
		}
		switch {
		case key == "":
		case key == "M":
			cases = append(cases, goldenCase{line: n, message: []byte(value)})
		default:
			c := &cases[len(cases)-1]
			c.items = append(c.items, goldenItem{key, value})
		}
	}
	must(t, in.Err())
	return cases
}

func writeGolden(t *testing.T, name string, cases []goldenCase) {
	var b bytes.Buffer
	for _, c := range cases {
		fmt.Fprintf(&b, "M \t%+q\n", c.message)
		for _, i := range c.items {
			fmt.Fprintf(&b, "%s \t%+q\n", i.item, i.answer)
		}
		b.WriteString("\n")
	}
	must(t, os.WriteFile(name, b.Bytes(), 0o666))
}

func TestAnswersAreThoseOfDovecot(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.golden")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no golden files")
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			cases := readGolden(t, name)
			if *update {
				askDovecot(t, cases)
				writeGolden(t, name, cases)
			}
			for _, c := range cases {
				compare(t, fmt.Sprintf("%s:%d", name, c.line), c)
			}
		})
	}
}

// askDovecot takes a new process for each case where one may be answered by its
// death.
func askDovecot(t *testing.T, cases []goldenCase) {
	messages := make([][]byte, len(cases))
	for i, c := range cases {
		messages[i] = c.message
	}
	d := startDovecot(t, messages)
	for i, c := range cases {
		for k := range c.items {
			c.items[k].answer = d.ask(i+1, c.items[k].item)
		}
	}
}

// ask gives the answer to an item as the golden files have it.
func (d *dovecot) ask(seq int, item string) string {
	if key, ok := strings.CutPrefix(item, "SEARCH "); ok {
		scope, value := splitSearch(key)
		hits, tagged := d.run("SEARCH CHARSET UTF-8 %d %s {%d+}\r\n%s", seq, scope, len(value), value)
		if !strings.HasPrefix(tagged, "OK") {
			d.t.Fatalf("%s: %s", item, tagged)
		}
		return strconv.FormatBool(strings.TrimSpace(hits[0]) != "* SEARCH")
	}
	answer := d.fetch(seq, item)
	if strings.HasPrefix(answer, "!") {
		answer, _, _ = strings.Cut(answer, "]")
	}
	return answer
}

// splitSearch parts "HEADER X-A value" before its value.
func splitSearch(key string) (scope, value string) {
	n := 1
	if strings.HasPrefix(key, "HEADER ") {
		n = 2
	}
	w := strings.SplitN(key, " ", n+1)
	return strings.Join(w[:n], " "), w[n]
}

func compare(t *testing.T, where string, c goldenCase) {
	s, err := Parse(bytes.NewReader(c.message))
	must(t, err)
	for _, i := range c.items {
		if got := ours(t, s, c.message, i.item); got != i.answer {
			t.Errorf("%s: %s\n got %q\nwant %q\n msg %q", where, i.item, got, i.answer, c.message)
			return
		}
	}
	rec, err := OpenRecord(s.Record())
	must(t, err)
	if !slices.Equal(rec.Layout(), s.Layout) || rec.Size != s.Layout.Size() ||
		!bytes.Equal(rec.Envelope, s.Envelope()) || !bytes.Equal(rec.BodyStructure, s.BodyStructure()) {
		t.Errorf("%s: record %+v\nlayout %v\n  want %v", where, rec, rec.Layout(), s.Layout)
	}
}

// ours answers an item as Dovecot is asked it.
func ours(t *testing.T, s *Structure, m []byte, item string) string {
	switch item {
	case "RFC822.SIZE":
		return strconv.FormatInt(s.Layout.Size(), 10)
	case "ENVELOPE":
		return string(s.Envelope())
	case "BODYSTRUCTURE":
		return string(s.BodyStructure())
	case "BODY":
		return string(Body(s.BodyStructure()))
	}
	if key, ok := strings.CutPrefix(item, "SEARCH "); ok {
		return searchOurs(t, s, m, key)
	}
	what, section, partial := splitItem(t, item)
	f := bytes.NewReader(m)
	switch what {
	case "BODY.PEEK":
		section.Partial = partial
		answer := literalText(t)(s.Layout.Section(f, section))
		fromRecord(t, s, section, answer)
		return answer
	case "BINARY.PEEK":
		return literalText(t)(s.Layout.Binary(f, &imap.FetchItemBinarySection{Part: section.Part, Partial: partial}))
	case "BINARY.SIZE":
		n, _, err := s.Layout.BinarySize(f, &imap.FetchItemBinarySectionSize{Part: section.Part})
		must(t, err)
		return strconv.FormatInt(n, 10)
	}
	t.Fatalf("item %q", item)
	return ""
}

// fromRecord: where the record can answer, the answer is the same.
func fromRecord(t *testing.T, s *Structure, section *imap.FetchItemBodySection, want string) {
	rec, err := OpenRecord(s.Record())
	must(t, err)
	if data, ok := rec.HeaderFields(section); ok {
		if got := fmt.Sprintf("{%d}\r\n%s", len(data), data); got != want {
			t.Errorf("from record %q\nwant %q", got, want)
		}
	}
}

func searchOurs(t *testing.T, s *Structure, m []byte, key string) string {
	scope, value := splitSearch(key)
	k := Key{Value: value, Field: strings.TrimPrefix(scope, "HEADER ")}
	switch scope {
	case "BODY":
		k.Scope = ScopeBody
	case "TEXT":
		k.Scope = ScopeText
	}
	x := NewSearch([]Key{k})
	found, err := x.Match(bytes.NewReader(m))
	must(t, err)
	rec, err := OpenRecord(s.Record())
	must(t, err)
	if hit, known := x.MatchRecord(rec); known[0] && hit[0] != found[0] {
		t.Errorf("%s: record says %v, file %v", key, hit[0], found[0])
	}
	return strconv.FormatBool(found[0])
}

// splitItem reads what[section]<partial>.
func splitItem(t *testing.T, item string) (what string, section *imap.FetchItemBodySection, partial *imap.SectionPartial) {
	what, rest, _ := strings.Cut(item, "[")
	rest, after, ok := strings.Cut(rest, "]")
	if !ok {
		t.Fatalf("item %q", item)
	}
	section = &imap.FetchItemBodySection{}
	if after != "" {
		partial = &imap.SectionPartial{}
		_, err := fmt.Sscanf(after, "<%d.%d>", &partial.Offset, &partial.Size)
		must(t, err)
	}
	for rest != "" && isDigit(rest[0]) {
		var n string
		n, rest, _ = strings.Cut(rest, ".")
		i, err := strconv.Atoi(n)
		must(t, err)
		section.Part = append(section.Part, i)
	}
	spec, names, _ := strings.Cut(rest, " ")
	fields := strings.Fields(strings.Trim(names, "()"))
	switch spec {
	case "HEADER.FIELDS":
		spec, section.HeaderFields = "HEADER", fields
	case "HEADER.FIELDS.NOT":
		spec, section.HeaderFieldsNot = "HEADER", fields
	}
	section.Specifier = imap.PartSpecifier(spec)
	return what, section, partial
}

func literalText(t *testing.T) func(*Literal, error) string {
	return func(lit *Literal, err error) string {
		switch {
		case errors.Is(err, ErrUnknownEncoding):
			return "!NO [UNKNOWN-CTE"
		case errors.Is(err, ErrData):
			return "!NO [PARSE"
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
}

// sections are all items of the parts of a message, and of parts that it lacks.
func sections(l Layout, i int, path string) (items []string) {
	if path != "" {
		items = append(items, "BODY.PEEK["+path+"]", "BODY.PEEK["+path+".MIME]",
			"BODY.PEEK["+path+".HEADER]", "BODY.PEEK["+path+".TEXT]<2.7>")
		path += "."
	}
	n := 1
	for c := i + 1; i < len(l) && c < l[i].Next; c = l[c].Next {
		items = append(items, sections(l, c, path+strconv.Itoa(n))...)
		n++
	}
	if i < len(l) {
		items = append(items, sections(l, len(l), path+strconv.Itoa(n))...)
	}
	return items
}

// wholeItems are asked of every message.
var wholeItems = []string{
	"RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]",
	"BODY.PEEK[HEADER.FIELDS (Subject X-Y)]", "BODY.PEEK[HEADER.FIELDS (From To)]", "BODY.PEEK[HEADER.FIELDS.NOT (Subject)]",
	"BODY.PEEK[]<3.70>", "BODY.PEEK[]<100000.5>",
}

func TestRandomMessagesAreAsWithDovecot(t *testing.T) {
	t.Parallel()
	count := 200
	if n, err := strconv.Atoi(os.Getenv("MAIL_RANDOM")); err == nil {
		count = n
	}
	var messages [][]byte
	for i := range count {
		messages = append(messages, generate(uint64(i)))
	}
	compareAll(t, messages)
}

// TestCorpusIsAsWithDovecot reads real messages from $MAIL_CORPUS.
func TestCorpusIsAsWithDovecot(t *testing.T) {
	t.Parallel()
	var messages [][]byte
	for _, pattern := range []string{"mime/*/*.eml", "lists/default/*", "lists/default/*/*", "lists/default/*/*/*", "lists/default/*/*/*/*"} {
		files, err := filepath.Glob(filepath.Join(os.Getenv("MAIL_CORPUS"), pattern))
		must(t, err)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil {
				messages = append(messages, b)
			}
		}
	}
	if len(messages) == 0 || os.Getenv("MAIL_CORPUS") == "" {
		t.Skip("MAIL_CORPUS is not set")
	}
	compareAll(t, messages)
}

func compareAll(t *testing.T, messages [][]byte) {
	d := startDovecot(t, messages)
	for i, m := range messages {
		s, err := Parse(bytes.NewReader(m))
		must(t, err)
		c := goldenCase{message: m}
		for _, item := range append(wholeItems, sections(s.Layout, 0, "")...) {
			c.items = append(c.items, goldenItem{item, d.ask(i+1, item)})
		}
		compare(t, fmt.Sprintf("message %d", i), c)
	}
}
