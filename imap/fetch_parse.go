package imap

import (
	"math"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/maillog"
	"mailserver/storage"
)

type fetchArgs struct {
	messages
	items        []fetchItem
	flags        bool              // FLAGS is among the items
	modSeq       bool              // MODSEQ is
	marksSeen    bool              // an item sets \Seen
	opens        bool              // an item needs more than Msg
	needs        storage.ColumnSet // pieces of the cache record that items are answered from
	changedSince uint64
	modified     bool // CHANGEDSINCE was given
	vanished     bool
	partial      *partialRange
	previews     string // PREVIEW or SNIPPET, if it was the last item
}

func parseFetch(s *session, d *imapwire.Decoder) *fetchArgs { return readFetch(s, d, false) }

func parseUIDFetch(s *session, d *imapwire.Decoder) *fetchArgs { return readFetch(s, d, true) }

func readFetch(s *session, d *imapwire.Decoder, uid bool) *fetchArgs {
	a := &fetchArgs{messages: readMessages(d, uid)}
	if uid && !s.on.uidOnly { // else the response begins with it
		a.add(fetchUID)
	}
	d.SP()
	if d.Peek() == '(' {
		d.List(func() { a.readItem(d) })
	} else {
		a.readMacro(d)
	}
	if !d.AtEnd() {
		d.SP()
		d.List(func() { a.readModifier(s, d) })
	}
	if len(a.items) == 0 {
		d.Fail("FETCH list is empty.")
	}
	if a.modified && !a.modSeq {
		a.add(fetchModSeq)
	}
	for i := range a.items {
		a.opens = a.opens || a.items[i].ready != nil
	}
	return a
}

// readModifier: RFC 7162 §3.1.4.1, §3.2.6.
func (a *fetchArgs) readModifier(s *session, d *imapwire.Decoder) {
	switch d.Keyword() {
	case "CHANGEDSINCE":
		d.SP()
		a.changedSince, a.modified = uint64(d.Number63()), true
	case "VANISHED":
		a.vanished = true
		if !a.uid {
			d.Fail("VANISHED allowed only for UID FETCH.")
		}
		if !s.on.qresync {
			d.Fail("QRESYNC not enabled.")
		}
	case "LAZY": // FETCH 1 PREVIEW (LAZY)
		a.readPreviewWord(d, "LAZY")
	case "PARTIAL": // RFC 9394 §3.3
		d.SP()
		a.partial = readPartialRange(d)
		if !a.uid {
			d.Fail("PARTIAL allowed only for UID FETCH.")
		}
	default:
		d.Fail("Unknown FETCH modifier.")
	}
}

// macros: RFC 9051 §6.4.5. They stand alone.
var macros = map[string][]*fetchItem{
	"ALL":  {&fetchFlags, &fetchDate, &fetchSize, &fetchEnvelope},
	"FAST": {&fetchFlags, &fetchDate, &fetchSize},
	"FULL": {&fetchFlags, &fetchDate, &fetchSize, &fetchEnvelope, &fetchBody},
}

func (a *fetchArgs) readMacro(d *imapwire.Decoder) {
	word := d.Word()
	list, ok := macros[word]
	if !ok {
		a.readNamed(d, word)
		return
	}
	for _, item := range list {
		a.add(*item)
	}
}

const maxFetchItems = 200

func (a *fetchArgs) readItem(d *imapwire.Decoder) {
	if d.Peek() == '(' {
		d.List(func() { a.readPreviewWord(d, d.Keyword()) })
		return
	}
	a.readNamed(d, d.Word())
}

func (a *fetchArgs) readNamed(d *imapwire.Decoder, word string) {
	if len(a.items) > maxFetchItems {
		d.Fail("Too many FETCH items.")
	}
	a.previews = ""
	if item, ok := simpleItem(word); ok && d.Peek() != '[' {
		a.add(item)
		return
	}
	switch word {
	case "BODY", "BODY.PEEK":
		section := readSection(d)
		section.Peek = word == "BODY.PEEK"
		a.add(bodyItem(section, ""))
	case "BINARY", "BINARY.PEEK":
		part := readBinaryPart(d)
		a.add(binaryItem(&imap.FetchItemBinarySection{Part: part, Partial: readPartial(d), Peek: word == "BINARY.PEEK"}))
	case "PREVIEW", "SNIPPET":
		a.add(previewItem(word))
		a.previews = word
		return
	case "BINARY.SIZE":
		a.add(binarySizeItem(&imap.FetchItemBinarySectionSize{Part: readBinaryPart(d)}))
	default:
		d.Fail("Unknown parameter: %s", word)
	}
}

// simpleItem finds an item that is a word.
func simpleItem(word string) (fetchItem, bool) {
	switch word {
	case "UID":
		return fetchUID, true
	case "FLAGS":
		return fetchFlags, true
	case "INTERNALDATE":
		return fetchDate, true
	case "RFC822.SIZE":
		return fetchSize, true
	case "MODSEQ":
		return fetchModSeq, true
	case "EMAILID":
		return fetchEmailID, true
	case "THREADID":
		return fetchThreadID, true
	case "SAVEDATE":
		return fetchSaveDate, true
	case "ENVELOPE":
		return fetchEnvelope, true
	case "BODYSTRUCTURE":
		return fetchBodyStructure, true
	case "BODY":
		return fetchBody, true
	case "RFC822":
		return bodyItem(&imap.FetchItemBodySection{}, word), true
	case "RFC822.HEADER":
		return bodyItem(&imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}, word), true
	case "RFC822.TEXT":
		return bodyItem(&imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, word), true
	}
	return fetchItem{}, false
}

// add keeps an item once, what is known at once before what must be read.
func (a *fetchArgs) add(item fetchItem) {
	at := len(a.items)
	for i, old := range a.items {
		if old.name == item.name {
			a.marksSeen = a.marksSeen || item.seen
			return
		}
		if item.say != nil && old.say == nil && at == len(a.items) {
			at = i
		}
	}
	a.items = append(a.items, fetchItem{})
	copy(a.items[at+1:], a.items[at:])
	a.items[at] = item
	a.flags = a.flags || item.name == fetchFlags.name
	a.modSeq = a.modSeq || item.name == fetchModSeq.name
	a.marksSeen = a.marksSeen || item.seen
	a.needs |= item.needs
}

// readSection reads "[...]" and a partial, RFC 9051 §6.4.5.
func readSection(d *imapwire.Decoder) *imap.FetchItemBodySection {
	section := &imap.FetchItemBodySection{}
	d.Expect('[')
	spec := d.Run(func(c byte) bool { return c > ' ' && c != ']' && c != '(' })
	section.Part, spec = splitPart(d, strings.ToUpper(spec))
	switch spec {
	case "":
	case "HEADER", "TEXT", "MIME":
		section.Specifier = imap.PartSpecifier(spec)
		if spec == "MIME" && len(section.Part) == 0 {
			d.Fail("Invalid BODY[..] section.")
		}
	case "HEADER.FIELDS":
		section.Specifier, section.HeaderFields = imap.PartSpecifierHeader, readFieldNames(d)
	case "HEADER.FIELDS.NOT":
		section.Specifier, section.HeaderFieldsNot = imap.PartSpecifierHeader, readFieldNames(d)
	default:
		d.Fail("Invalid BODY[..] section.")
	}
	d.Expect(']')
	section.Partial = readPartial(d)
	return section
}

const maxPartDepth = 100

// splitPart splits "1.2.HEADER" into its numbers and the rest.
func splitPart(d *imapwire.Decoder, spec string) (part []int, rest string) {
	for spec != "" && spec[0] >= '0' && spec[0] <= '9' {
		word, after, dot := strings.Cut(spec, ".")
		n, err := strconv.ParseUint(word, 10, 31)
		if err != nil || n == 0 || dot && after == "" || len(part) >= maxPartDepth {
			d.Fail("Invalid BODY[..] section.")
			return nil, ""
		}
		part, spec = append(part, int(n)), after
	}
	return part, spec
}

const maxFieldNames = 200

func readFieldNames(d *imapwire.Decoder) []string {
	var names []string
	d.SP()
	d.List(func() {
		if names = append(names, d.AString()); len(names) > maxFieldNames {
			d.Fail("Too many header fields.")
		}
	})
	if len(names) == 0 {
		d.Fail("Invalid BODY[..] section.")
	}
	return names
}

func readBinaryPart(d *imapwire.Decoder) []int {
	d.Expect('[')
	part, rest := splitPart(d, d.Run(func(c byte) bool { return c > ' ' && c != ']' }))
	if rest != "" {
		d.Fail("Invalid BINARY[..] section.")
	}
	d.Expect(']')
	return part
}

func readPartial(d *imapwire.Decoder) *imap.SectionPartial {
	if !d.Accept('<') {
		return nil
	}
	p := &imap.SectionPartial{Offset: d.Number63()}
	d.Expect('.')
	p.Size = d.Number63()
	d.Expect('>')
	if d.Err() == nil && p.Size == 0 {
		d.Fail("Invalid partial.")
	}
	// No sum of both may overflow.
	p.Offset, p.Size = min(p.Offset, math.MaxInt64/4), min(p.Size, math.MaxInt64/4)
	return p
}

// sectionName writes a section as the response names it.
func sectionName(prefix string, part []int, section *imap.FetchItemBodySection, p *imap.SectionPartial) string {
	var b strings.Builder
	b.WriteString(prefix + "[")
	for i, n := range part {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(n))
	}
	if section != nil && section.Specifier != "" {
		if len(part) > 0 {
			b.WriteByte('.')
		}
		b.WriteString(string(section.Specifier))
		writeFieldNames(&b, ".FIELDS", section.HeaderFields)
		writeFieldNames(&b, ".FIELDS.NOT", section.HeaderFieldsNot)
	}
	b.WriteByte(']')
	if p != nil {
		b.WriteString("<" + strconv.FormatInt(p.Offset, 10) + ">")
	}
	return b.String()
}

func writeFieldNames(b *strings.Builder, word string, names []string) {
	if len(names) == 0 {
		return
	}
	b.WriteString(word + " (")
	for i, n := range names {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(fieldName(n))
	}
	b.WriteByte(')')
}

// fieldName is upper case, as Dovecot answers, and quoted where it must be.
func fieldName(n string) string {
	for i := range len(n) {
		if c := n[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return strconv.Quote(strings.ToUpper(maillog.OneLine(n)))
		}
	}
	if n == "" {
		return `""`
	}
	return strings.ToUpper(n)
}
