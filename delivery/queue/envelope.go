package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mailserver/schema"
)

// envelope is what stands behind the message in its file, as one line of JSON:
// who, from whom and how, when it was queued. It is read only by Recover, when
// state.sqlite is lost. Of several lines the last one counts.
type envelope struct {
	Queue   string `json:"mailserver_queue"` // the ID: no message holds such a line
	Arrived int64
	Size    int64
	Sender  string
	To      []sealed
	Body    string `json:",omitempty"`
	UTF8    bool   `json:",omitempty"`
	Ret     string `json:",omitempty"`
	EnvID   string `json:",omitempty"`
	User    string `json:",omitempty"`
	Client  string `json:",omitempty"`
	Helo    string `json:",omitempty"`
	Proto   string `json:",omitempty"`
	Filter  string `json:",omitempty"`
	Prepend string `json:",omitempty"`
	Reason  string `json:",omitempty"`
	Tag     string `json:",omitempty"`
}

// sealed is a recipient in an envelope.
type sealed struct {
	Address  string
	Original string `json:",omitempty"`
	ORCPT    string `json:",omitempty"`
	Notify   string `json:",omitempty"`
	Site     string
	Hold     bool `json:",omitempty"`
	Apart    bool `json:",omitempty"`
}

// seal writes the line of a message.
func seal(m *Message, rcpts []Recipient) ([]byte, error) {
	e := envelope{Queue: m.ID, Arrived: m.Arrived.Unix(), Size: m.Size, Sender: m.Sender, Body: m.Body, UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		User: m.User, Client: m.Client, Helo: m.Helo, Proto: m.Proto, Filter: m.Filter, Prepend: m.Prepend, Reason: m.Reason, Tag: m.Tag}
	for _, r := range rcpts {
		if r.State == schema.QueueDelivered || r.State == schema.QueueFailed {
			continue
		}
		to := sealed{Address: r.Address, ORCPT: r.ORCPT, Notify: r.Notify, Site: r.Site, Hold: r.State == schema.QueueHeld, Apart: r.Apart}
		if r.Original != r.Address {
			to.Original = r.Original
		}
		e.To = append(e.To, to)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write envelope of %s: %w", m.ID, err)
	}
	return append(append([]byte("\n"), line...), '\n'), nil
}

// envelopeMost bounds an envelope that is read: 50,000 recipients.
const envelopeMost = 16 << 20

// errNoEnvelope says that a file does not end with an envelope.
var errNoEnvelope = errors.New("the file does not say whose mail it is")

// unseal reads the envelope of the message in a file.
func unseal(f *os.File, id string) (*Message, []Recipient, error) {
	line, err := lastLine(f)
	if err != nil {
		return nil, nil, err
	}
	var e envelope
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if json.Unmarshal(line, &e) != nil || e.Queue != id || e.Size < 0 || e.Size > st.Size()-int64(len(line)) || len(e.To) == 0 {
		return nil, nil, errNoEnvelope
	}
	m := &Message{ID: e.Queue, Arrived: time.Unix(e.Arrived, 0), Size: e.Size, Sender: e.Sender, Body: e.Body, UTF8: e.UTF8, Ret: e.Ret, EnvID: e.EnvID,
		User: e.User, Client: e.Client, Helo: e.Helo, Proto: e.Proto, Filter: e.Filter, Prepend: e.Prepend, Reason: e.Reason, Tag: e.Tag}
	var rcpts []Recipient
	for _, to := range e.To {
		r := Recipient{Address: to.Address, Original: to.Original, ORCPT: to.ORCPT, Notify: to.Notify, Site: to.Site, Apart: to.Apart}
		if r.Original == "" {
			r.Original = r.Address
		}
		if to.Hold {
			r.State = schema.QueueHeld
		}
		rcpts = append(rcpts, r)
	}
	return m, rcpts, nil
}

// lastLine reads back from the end of a file to the line feed before its last
// line.
func lastLine(f *os.File) ([]byte, error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	for n := int64(4 << 10); ; n *= 4 {
		n = min(n, end, envelopeMost)
		buf := make([]byte, n)
		if _, err := f.ReadAt(buf, end-n); err != nil {
			return nil, err
		}
		line := bytes.TrimSuffix(buf, []byte("\n"))
		if i := bytes.LastIndexByte(line, '\n'); i >= 0 {
			return line[i+1:], nil
		}
		if n == end || n == envelopeMost {
			return nil, errNoEnvelope
		}
	}
}

// Recover queues again the files that were set aside because no row told whose
// mail they are, for all recipients that each was queued for. fn hears of every
// file: its message and recipients, or why it stays where it is. With dry
// nothing is changed.
func (q *Queue) Recover(ctx context.Context, dry bool, fn func(id string, e Entry, err error) error) error {
	defer q.sched.wake()
	return q.orphans(func(id string) error {
		e, err := q.recover(ctx, id, dry)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fn(id, e, err)
	})
}

func (q *Queue) recover(ctx context.Context, id string, dry bool) (Entry, error) {
	f, err := os.Open(q.orphan(id))
	if err != nil {
		return Entry{}, err
	}
	defer f.Close()
	m, rcpts, err := unseal(f, id)
	if err != nil || dry {
		return Entry{m, rcpts}, err
	}
	switch known, err := q.d.State.QueueMessage(ctx, id); {
	case err != nil:
		return Entry{}, err
	case known != nil:
		return Entry{}, errors.New("a message of this ID is in the queue")
	}
	now := q.d.Now()
	for i := range rcpts {
		rcpts[i].Due = now
	}
	if err := os.Rename(q.orphan(id), q.file(id)); err != nil {
		return Entry{}, err
	}
	if err := q.dirs.sync(); err != nil {
		return Entry{}, err
	}
	err = q.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.QueueAdd(m, rcpts) })
	if err == nil {
		// A server that started in between may have set it aside again.
		if again := os.Rename(q.orphan(id), q.file(id)); again == nil {
			err = q.dirs.sync()
		}
	}
	return Entry{m, rcpts}, err
}

func (q *Queue) orphans(fn func(id string) error) error {
	var ids []string
	err := q.Orphans(func(path string) error {
		ids = append(ids, filepath.Base(path))
		return nil
	})
	for _, id := range ids {
		if err == nil {
			err = fn(id)
		}
	}
	return err
}
