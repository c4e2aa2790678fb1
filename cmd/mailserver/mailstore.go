package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/transfer"
	"mailserver/storage"
)

// mailstore is an account of this server as source or target of a transfer.
type mailstore struct {
	a      *storage.Account
	drafts []*storage.Draft
	meta   []storage.AppendMeta
	known  map[string]map[imap.Flag]bool // flags by mailbox: whether it takes them
	lost   map[string]bool
}

// Prepare implements transfer.Target.
func (m *mailstore) Prepare(ctx context.Context, b transfer.Box) error {
	m.drop()
	if b.Name != "INBOX" {
		if _, err := m.a.Create(ctx, b.Name, b.Special); err != nil && !errors.Is(err, storage.ErrExists) {
			return err
		}
	}
	if !b.Subscribed {
		return nil
	}
	return m.a.Subscribe(ctx, b.Name, true)
}

// drop forgets what was not flushed.
func (m *mailstore) drop() {
	for _, d := range m.drafts {
		d.Abort()
	}
	m.drafts, m.meta = nil, nil
}

// Add implements transfer.Target.
func (m *mailstore) Add(ctx context.Context, b transfer.Box, msg *transfer.Message, text io.Reader) error {
	d, err := m.a.NewDraft(ctx, b.Name, max(msg.Size, 0))
	if err != nil {
		return err
	}
	if _, err := io.Copy(d, text); err != nil {
		d.Abort()
		return err
	}
	m.drafts = append(m.drafts, d)
	m.meta = append(m.meta, storage.AppendMeta{Flags: msg.Flags, Time: msg.Time})
	return nil
}

// Flush implements transfer.Target. Keywords for which a mailbox has no room are
// left out, and noted.
func (m *mailstore) Flush(ctx context.Context, b transfer.Box) error {
	drafts, meta := m.drafts, m.meta
	m.drafts, m.meta = nil, nil
	if err := m.keywords(ctx, b.Name, meta); err != nil {
		return err
	}
	_, _, err := m.a.Append(ctx, b.Name, drafts, meta)
	return err
}

// keywords takes out those that cannot be kept.
func (m *mailstore) keywords(ctx context.Context, box string, meta []storage.AppendMeta) error {
	if m.known[box] == nil {
		m.known = map[string]map[imap.Flag]bool{box: {}} // one mailbox after the other
	}
	known := m.known[box]
	if err := m.learn(ctx, box, meta, known); err != nil {
		return err
	}
	for i := range meta {
		var keep []imap.Flag
		for _, f := range meta[i].Flags {
			if known[f] {
				keep = append(keep, f)
			} else {
				m.lost[fmt.Sprintf("keyword %q in %s: no room for it", f, box)] = true
			}
		}
		meta[i].Flags = keep
	}
	return nil
}

// learn finds out which flags the mailbox takes.
func (m *mailstore) learn(ctx context.Context, box string, meta []storage.AppendMeta, known map[imap.Flag]bool) (err error) {
	var v *storage.View
	for i := range meta {
		for _, f := range meta[i].Flags {
			if _, seen := known[f]; seen {
				continue
			}
			if v == nil {
				if v, err = m.a.Select(ctx, box, false); err != nil {
					return err
				}
				defer v.Close()
			}
			_, err := v.Store(ctx, imap.UIDSet{}, imap.StoreFlagsAdd, []imap.Flag{f}, nil)
			if err != nil && !errors.Is(err, storage.ErrKeywords) {
				return err
			}
			known[f] = err == nil
		}
	}
	return nil
}

// Next implements transfer.Target.
func (m *mailstore) Next(ctx context.Context, b transfer.Box) (uint32, error) {
	st, err := m.a.Status(ctx, b.Name)
	return st.UIDNext, err
}

// Boxes implements transfer.Source.
func (m *mailstore) Boxes(ctx context.Context) (list []transfer.Box, left []string, err error) {
	boxes, err := m.a.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, b := range boxes {
		if b.Exists {
			list = append(list, transfer.Box{Name: b.Name, Subscribed: b.Subscribed, Special: b.Attrs})
		}
	}
	return list, nil, nil
}

// Validity implements transfer.Source.
func (m *mailstore) Validity(ctx context.Context, b transfer.Box) (string, error) {
	st, err := m.a.Status(ctx, b.Name)
	return strconv.FormatUint(uint64(st.UIDValidity), 10), err
}

// Each implements transfer.Source.
func (m *mailstore) Each(ctx context.Context, b transfer.Box, _, after string, fn func(*transfer.Message, io.Reader) error) error {
	v, err := m.a.Select(ctx, b.Name, true)
	if err != nil {
		return err
	}
	defer v.Close()
	names := v.Flags()
	last, _ := strconv.ParseUint(after, 10, 32)
	for _, msg := range v.Messages(imap.UIDSet{{Start: 1}}) {
		if uint64(msg.UID) <= last {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		meta := &transfer.Message{ID: strconv.FormatUint(uint64(msg.UID), 10), Time: time.Unix(msg.Time, 0)}
		for _, f := range names {
			if bit, ok := v.Keyword(f); ok && msg.Flags&bit != 0 {
				meta.Flags = append(meta.Flags, f)
			}
		}
		body, err := v.Open(ctx, msg.UID)
		if errors.Is(err, storage.ErrExpunged) {
			continue
		}
		if err != nil {
			return err
		}
		meta.Size = body.Size()
		err = fn(meta, body)
		body.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
