package imap

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/message"
	"mailserver/storage"
)

// headers gives header fields of many messages: from the cache record, else from
// the file.
type headers struct {
	s      *session
	wanted []string // in lower case
	record message.Record
	values map[string]string // of the message at hand, the first of each name
}

// maxSortValue bounds what is kept of a header field to sort or thread by.
const maxSortValue = 8 << 10

// each calls fn for each message of a set that is still there, with its fields
// at hand.
func (h *headers) each(ctx context.Context, set imap.NumSet, fn func(uint32, storage.Msg) error) error {
	v := h.s.box.view
	if len(h.wanted) == 0 {
		for seq, m := range v.Messages(set) {
			if err := fn(seq, m); err != nil {
				return err
			}
		}
		return nil
	}
	at := h.s.progress(0)
	return v.Cached(ctx, needHeader, set, func(seq uint32, m storage.Msg, data *storage.Columns) error {
		if err := at.step(); err != nil {
			return err
		}
		err := h.read(ctx, m, data)
		if errors.Is(err, storage.ErrExpunged) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(seq, m)
	})
}

func (h *headers) read(ctx context.Context, m storage.Msg, data *storage.Columns) error {
	h.values = make(map[string]string, len(h.wanted))
	if h.record.Read(message.Pieces(*data)) == nil && h.fromRecord(&h.record) {
		return nil
	}
	v := h.s.box.view
	o := &openMessage{
		open: func() (*storage.Body, error) { return v.Open(ctx, m.UID) },
		keep: func(record storage.Columns) { v.PutCache(m.UID, record) },
	}
	defer o.close()
	if err := o.parse(); err != nil {
		return err
	}
	if h.record.Read(o.parsed.Record()) == nil && h.fromRecord(&h.record) {
		return nil
	}
	f, _ := o.body.File()
	return message.ReadHeader(io.NewSectionReader(f, 0, 1<<62), func(field message.Field) bool {
		h.keep(strings.ToLower(field.Name), field.Value)
		return true
	})
}

func (h *headers) fromRecord(r *message.Record) bool {
	for _, name := range h.wanted {
		values, ok := r.Field(name)
		if !ok {
			return false
		}
		if len(values) > 0 {
			h.keep(name, values[0])
		}
	}
	return true
}

func (h *headers) keep(name, value string) {
	for _, w := range h.wanted {
		if _, there := h.values[name]; w == name && !there {
			h.values[name] = value[max(0, len(value)-maxSortValue):]
		}
	}
}

// sent is the sent date, RFC 5256 §2.2: INTERNALDATE where the field is missing
// or wrong.
func (h *headers) sent(m storage.Msg) int64 {
	if t, err := message.ParseDate(h.values["date"]); err == nil {
		return t.Unix()
	}
	return m.Time
}

// keys makes what messages are sorted by.
type keys struct {
	headers
	by    []sortKey
	place []int // of each criterion, in sortable.nums or sortable.text
	texts int
}

var sortFields = map[sortBy]string{
	byDate: "date", byCc: "cc", byFrom: "from", byTo: "to", bySubject: "subject", byDisplayFrom: "from", byDisplayTo: "to",
}

func newKeys(s *session, by []sortKey) *keys {
	k := &keys{by: by, place: make([]int, len(by))}
	k.s = s
	seen := map[sortBy]int{}
	for i, key := range by {
		if at, ok := seen[key.by]; ok {
			k.place[i] = at
			continue
		}
		at := int(key.by) // arrival, size, date, relevancy: as many as there are numbers
		if key.by > byRelevancy {
			at = k.texts
			k.texts++
		}
		seen[key.by], k.place[i] = at, at
		if f := sortFields[key.by]; f != "" {
			k.wanted = append(k.wanted, f)
		}
	}
	return k
}

// of makes the sort keys of the message at hand.
func (k *keys) of(seq uint32, m storage.Msg) sortable {
	out := sortable{seq: seq, uid: uint32(m.UID), nums: [4]int64{byArrival: m.Time, bySize: m.Size}}
	if k.texts > 0 {
		out.text = make([][]byte, k.texts)
	}
	for i, key := range k.by {
		switch {
		case key.by == byDate:
			out.nums[byDate] = k.sent(m)
		case key.by > byRelevancy && out.text[k.place[i]] == nil:
			out.text[k.place[i]] = []byte(k.textOf(key.by))
		}
	}
	return out
}

func (k *keys) textOf(by sortBy) string {
	value := k.values[sortFields[by]]
	if by == bySubject {
		base, _ := message.BaseSubject(value)
		return base
	}
	list := message.ParseAddressList(value, 1)
	if len(list) == 0 {
		return ""
	}
	first := list[0]
	if by == byDisplayFrom || by == byDisplayTo {
		return message.Fold(displayName(first))
	}
	if first.Group { // the name of a group stands where the mailbox would
		return message.Fold(first.Name)
	}
	return message.Fold(first.Local)
}

// displayName: RFC 5957 §2.
func displayName(m message.Mailbox) string {
	switch {
	case m.Name != "":
		return message.Decode(m.Name)
	case m.Domain != "":
		return m.Local + "@" + m.Domain
	}
	return m.Local
}
