package imap

import (
	"errors"
	"io"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
	"mailserver/storage"
)

// fetchItem is a data item of FETCH. say writes what the index knows; others
// are made ready before the response begins, since a response that has begun
// cannot be taken back, and then written.
type fetchItem struct {
	name  string            // what stands before the value
	seen  bool              // sets \Seen
	needs storage.ColumnSet // pieces of the cache record
	say   func(*session, storage.Msg)
	ready func(*openMessage) (value, error)
}

// value is what follows the name: text, or data of a known size.
type value struct {
	text    []byte
	literal *message.Literal
	lines   []byte // a literal of this text with CRLF as its line ends; nil: none
	size    int64  // that it has then
}

var (
	fetchUID   = fetchItem{name: "UID", say: func(s *session, m storage.Msg) { s.enc.Number(uint64(m.UID)) }}
	fetchFlags = fetchItem{name: "FLAGS", say: (*session).writeFlagList}
	fetchSize  = fetchItem{name: "RFC822.SIZE", say: func(s *session, m storage.Msg) { s.enc.Number(uint64(m.Size)) }}
	fetchDate  = fetchItem{name: "INTERNALDATE", say: func(s *session, m storage.Msg) {
		var room [32]byte
		s.enc.Text(imapwire.AppendDateTime(room[:0], time.Unix(m.Time, 0)))
	}}
	fetchModSeq = fetchItem{name: "MODSEQ", say: func(s *session, m storage.Msg) { s.enc.Raw("(").Number(m.ModSeq).Raw(")") }}

	fetchEnvelope      = fetchItem{name: "ENVELOPE", needs: needEnvelope, ready: func(o *openMessage) (value, error) { return o.envelope() }}
	fetchBodyStructure = fetchItem{name: "BODYSTRUCTURE", needs: needStructure, ready: func(o *openMessage) (value, error) { return o.bodyStructure() }}
	fetchBody          = fetchItem{name: "BODY", needs: needStructure, ready: func(o *openMessage) (value, error) {
		v, err := o.bodyStructure()
		if err == nil {
			v.text = message.Body(v.text)
		}
		return v, err
	}}
)

// What the index knows beyond storage.Msg. RFC 8474 §5, RFC 8514 §4.2.
var (
	fetchEmailID = fetchItem{name: "EMAILID", ready: func(o *openMessage) (value, error) {
		f, err := o.facts()
		return value{text: []byte("(" + f.EmailID + ")")}, err
	}}
	fetchSaveDate = fetchItem{name: "SAVEDATE", ready: func(o *openMessage) (value, error) {
		f, err := o.facts()
		return value{text: imapwire.AppendDateTime(nil, time.Unix(f.Saved, 0))}, err
	}}
	fetchThreadID = fetchItem{name: "THREADID", needs: needHeader, ready: func(o *openMessage) (value, error) {
		id, err := o.threadID()
		return value{text: []byte("(" + id + ")")}, err
	}}
)

// bodyItem is BODY[...], or one of RFC822, RFC822.HEADER, RFC822.TEXT.
func bodyItem(section *imap.FetchItemBodySection, name string) fetchItem {
	if name == "" {
		name = sectionName("BODY", section.Part, section, section.Partial)
	}
	needs := needStructure
	switch {
	case isWhole(section):
		needs = 0
	case len(section.Part) == 0 && len(section.HeaderFields) > 0:
		needs |= needHeader
	}
	return fetchItem{
		name: name, seen: !section.Peek, needs: needs,
		ready: func(o *openMessage) (value, error) { return o.section(section) },
	}
}

func binaryItem(section *imap.FetchItemBinarySection) fetchItem {
	return fetchItem{
		name: sectionName("BINARY", section.Part, nil, section.Partial), seen: !section.Peek, needs: needStructure,
		ready: func(o *openMessage) (value, error) { return o.binarySection(section) },
	}
}

func binarySizeItem(section *imap.FetchItemBinarySectionSize) fetchItem {
	return fetchItem{
		name:  sectionName("BINARY.SIZE", section.Part, nil, nil),
		needs: needStructure,
		ready: func(o *openMessage) (value, error) { return o.binarySize(section) },
	}
}

// Pieces of the cache record are the columns of what storage keeps.
const (
	needEnvelope  storage.ColumnSet = 1 << message.PieceEnvelope
	needStructure storage.ColumnSet = 1 << message.PieceStructure
	needHeader    storage.ColumnSet = 1 << message.PieceHeader
	needSearch    storage.ColumnSet = 1 << message.PieceSearch
)

// openMessage is a message that is being fetched: its cache record, and its
// file once an item needs it.
type openMessage struct {
	open   func() (*storage.Body, error)
	keep   func(storage.Columns)
	facts  func() (storage.Facts, error)
	recall func() message.Layout // of the record, if the layout was not asked for
	record *message.Record       // what of it was asked for and is there
	brief  bool                  // nothing of it but the envelope is asked for
	parsed *message.Structure    // nil unless the file was parsed now
	layout message.Layout
	body   *storage.Body
}

func (o *openMessage) close() {
	if o.body != nil {
		o.body.Close()
	}
}

func (o *openMessage) file() (*storage.Body, error) {
	if o.body != nil {
		return o.body, nil
	}
	body, err := o.open()
	if err == nil {
		o.body = body
	}
	return body, err
}

// parse reads the message through once, and keeps what it finds.
func (o *openMessage) parse() error {
	if o.parsed != nil {
		return nil
	}
	body, err := o.file()
	if err != nil {
		return err
	}
	if o.parsed, err = message.Parse(contents(body)); err != nil {
		return err
	}
	o.layout = o.parsed.Layout
	o.keep(storage.Columns(o.parsed.Record()))
	return nil
}

// contents is a file as it is.
func contents(body *storage.Body) io.Reader {
	if b := body.Bytes(); b != nil {
		return message.InMemory(b)
	}
	f, _ := body.File()
	return io.NewSectionReader(f, 0, 1<<62)
}

func (o *openMessage) envelope() (value, error) {
	if o.record.Envelope != nil {
		return value{text: o.record.Envelope}, nil
	}
	if o.brief {
		return o.briefly()
	}
	if err := o.parse(); err != nil {
		return value{}, err
	}
	return value{text: o.parsed.Envelope()}, nil
}

// briefly is envelope from the header of the message alone.
func (o *openMessage) briefly() (value, error) {
	body, err := o.file()
	if err != nil {
		return value{}, err
	}
	s, err := message.ParseEnvelope(contents(body))
	if err != nil {
		return value{}, err
	}
	o.keep(storage.Columns(s.Record()))
	return value{text: s.Envelope()}, nil
}

func (o *openMessage) bodyStructure() (value, error) {
	if o.record.BodyStructure != nil {
		return value{text: o.record.BodyStructure}, nil
	}
	if err := o.parse(); err != nil {
		return value{}, err
	}
	return value{text: o.parsed.BodyStructure()}, nil
}

// places finds where the parts are, and opens the file they are in.
func (o *openMessage) places() (message.Layout, io.ReaderAt, error) {
	body, err := o.file()
	if err != nil {
		return nil, nil, err
	}
	if o.layout == nil {
		o.layout = o.record.Layout()
	}
	if o.layout == nil && o.recall != nil {
		o.layout = o.recall()
	}
	if o.layout == nil {
		if err := o.parse(); err != nil {
			return nil, nil, err
		}
	}
	f, _ := body.File()
	return o.layout, f, nil
}

// isWhole says that a section is the message as it is.
func isWhole(item *imap.FetchItemBodySection) bool {
	return len(item.Part) == 0 && item.Specifier == imap.PartSpecifierNone && item.Partial == nil
}

func (o *openMessage) section(item *imap.FetchItemBodySection) (value, error) {
	if isWhole(item) {
		body, err := o.file()
		if err != nil {
			return value{}, err
		}
		if b := body.Bytes(); len(b) > 0 && message.Whole(b, body.Size()) {
			return value{lines: b, size: body.Size()}, nil
		}
	}
	if len(item.HeaderFields) > 0 && item.Partial == nil {
		if data, ok := o.record.HeaderFields(item); ok {
			return value{text: literalOf(data)}, nil
		}
	}
	layout, f, err := o.places()
	if err != nil {
		return value{}, err
	}
	l, err := layout.Section(f, item)
	return orNil(l), err
}

func literalOf(data []byte) []byte {
	b := append(make([]byte, 0, len(data)+16), '{')
	b = append(b, uitoa(uint64(len(data)))...)
	b = append(b, "}\r\n"...)
	return append(b, data...)
}

func orNil(l *message.Literal) value {
	if l == nil {
		return value{text: []byte("NIL")}
	}
	return value{literal: l}
}

func (o *openMessage) binarySection(item *imap.FetchItemBinarySection) (value, error) {
	layout, f, err := o.places()
	if err != nil {
		return value{}, err
	}
	l, err := layout.Binary(f, item)
	if errors.Is(err, message.ErrUnknownEncoding) {
		err = &no{"UNKNOWN-CTE", "Unknown Content-Transfer-Encoding."}
	}
	return orNil(l), err
}

func (o *openMessage) binarySize(item *imap.FetchItemBinarySectionSize) (value, error) {
	layout, f, err := o.places()
	if err != nil {
		return value{}, err
	}
	n, ok, err := layout.BinarySize(f, item)
	if errors.Is(err, message.ErrUnknownEncoding) {
		err = &no{"UNKNOWN-CTE", "Unknown Content-Transfer-Encoding."}
	}
	if !ok {
		n = 0
	}
	return value{text: []byte(uitoa(uint64(n)))}, err
}
