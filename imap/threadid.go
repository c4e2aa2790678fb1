package imap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mailserver/internal/message"
	"mailserver/storage"
)

// threadFields are where a conversation is named, the first that names one
// counts: its first message is the first of References, RFC 5322 §3.6.4.
var threadFields = [...]string{"references", "in-reply-to", "message-id"}

// threadID is the THREADID of a message, RFC 8474 §5.2. It is made of what the
// header says, so it is the same in every mailbox and stays; a message that
// names nothing is a conversation by itself.
func (o *openMessage) threadID() (string, error) {
	values, err := o.threadValues()
	if err != nil {
		return "", err
	}
	for _, value := range values {
		if id := message.FirstMessageID(value); id != "" {
			return threadName("<" + id), nil
		}
	}
	f, err := o.facts()
	return threadName(f.EmailID), err
}

// threadName: a digest, with a letter that no EMAILID begins with, RFC 8474 §8.1.
func threadName(of string) string {
	sum := sha256.Sum256([]byte(of))
	return "T" + hex.EncodeToString(sum[:16])
}

// threadValues reads threadFields, from the cache record or else the header.
func (o *openMessage) threadValues() (values [len(threadFields)]string, err error) {
	there := true
	for i, name := range threadFields {
		list, ok := o.record.Field(name)
		there = there && ok
		if len(list) > 0 {
			values[i] = list[0]
		}
	}
	if there {
		return values, nil
	}
	body, err := o.file()
	if err != nil {
		return values, err
	}
	return values, message.ReadHeader(contents(body), func(field message.Field) bool {
		for i, name := range threadFields {
			if values[i] == "" && strings.EqualFold(field.Name, name) {
				values[i] = field.Value
			}
		}
		return true
	})
}

// threadOf is threadID for a search.
func (r *searching) threadOf(ctx context.Context, m storage.Msg, data *storage.Columns) (string, error) {
	if r.record.Read(message.Pieces(*data)) != nil {
		r.record = message.Record{}
	}
	v := r.s.box.view
	o := &openMessage{
		open:   func() (*storage.Body, error) { return v.Open(ctx, m.UID) },
		facts:  func() (storage.Facts, error) { return v.Facts(ctx, m.UID) },
		record: &r.record,
	}
	defer o.close()
	return o.threadID()
}
