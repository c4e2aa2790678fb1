// Package local puts mail into mailboxes of this host: what local(8) and
// virtual(8) do with a Maildir.
//
// Mailboxes of one owner share one file by hard links when a message has
// several of them; the shared file names no recipient.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"mailserver/storage"
)

var (
	// ErrLoop says that the message was at this recipient before.
	ErrLoop = errors.New("mail forwarding loop")
	// ErrFull says that the recipient's quota does not allow the message.
	ErrFull = storage.ErrOverQuota
	// ErrNoSpace says that the disk is full.
	ErrNoSpace = storage.ErrNoSpace
)

// Box is a recipient whose mailbox is here.
type Box struct {
	Address  string // where the mail goes: Delivered-To
	Original string // what RCPT said: X-Original-To; '' leaves the header out
	Spec     storage.Spec
	Folder   string // '' is INBOX
	Create   bool   // Folder, if it is not there
}

// Message is what is to be delivered.
type Message struct {
	Sender  string // envelope, for Return-Path; '' is <>
	Size    int64
	Prepend string // header lines with CRLF, above the text
	Open    func() (io.Reader, error)
	// DeliveredTo are the addresses that the Delivered-To headers name.
	DeliveredTo []string
}

// Deliver puts m into boxes and returns an error for each, in order: nil means
// that it is there, on disk. Any error but ErrLoop and ErrFull is temporary.
func Deliver(ctx context.Context, store *storage.Store, m *Message, boxes []Box) []error {
	errs := make([]error, len(boxes))
	owners := make(map[[2]int][]int)
	for i, b := range boxes {
		if m.visited(b.Address) {
			errs[i] = fmt.Errorf("%w for %s", ErrLoop, b.Address)
			continue
		}
		key := [2]int{b.Spec.UID, b.Spec.GID}
		owners[key] = append(owners[key], i)
	}
	d := &delivery{store: store, m: m, boxes: boxes, errs: errs}
	for _, same := range owners {
		d.group(ctx, same)
	}
	return errs
}

// visited reports whether the message names address in Delivered-To.
func (m *Message) visited(address string) bool {
	for _, seen := range m.DeliveredTo {
		if strings.EqualFold(seen, address) {
			return true
		}
	}
	return false
}

// delivery is one Deliver.
type delivery struct {
	store *storage.Store
	m     *Message
	boxes []Box
	errs  []error
}

// group delivers to mailboxes of one owner.
func (d *delivery) group(ctx context.Context, boxes []int) {
	if len(boxes) == 1 {
		d.errs[boxes[0]] = d.alone(ctx, boxes[0])
		return
	}
	var first *storage.Draft
	at := -1 // whose it is
	for some := range slices.Chunk(boxes, together) {
		drafts := make([]*storage.Draft, 0, len(some))
		of := make([]int, 0, len(some))
		for _, i := range some {
			var draft *storage.Draft
			if first == nil {
				first, d.errs[i] = d.write(ctx, i, false)
				at = i
				continue
			}
			if draft, d.errs[i] = d.link(ctx, first, i); d.errs[i] == nil {
				drafts, of = append(drafts, draft), append(of, i)
			}
		}
		d.deliver(ctx, drafts, of)
	}
	// The first stays where it was written until all share it.
	if first != nil {
		d.deliver(ctx, []*storage.Draft{first}, []int{at})
	}
}

// together bounds the mailboxes whose files are put in place by one call.
const together = 250

func (d *delivery) deliver(ctx context.Context, drafts []*storage.Draft, of []int) {
	for k, err := range storage.DeliverAll(drafts) {
		if errors.Is(err, storage.ErrNoLink) {
			err = d.alone(ctx, of[k])
		}
		d.errs[of[k]] = err
	}
}

// alone delivers a file of its own.
func (d *delivery) alone(ctx context.Context, i int) error {
	draft, err := d.write(ctx, i, true)
	if err != nil {
		return err
	}
	return draft.Deliver(ctx)
}

// link shares the file of first with another mailbox, or writes one of its own.
func (d *delivery) link(ctx context.Context, first *storage.Draft, i int) (*storage.Draft, error) {
	b := &d.boxes[i]
	draft, err := first.Link(ctx, d.store.Account(b.Spec), b.folder())
	if errors.Is(err, storage.ErrNoLink) || errors.Is(err, storage.ErrNoMailbox) {
		return d.write(ctx, i, true)
	}
	return draft, err
}

// buffers are for copying from the spool.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// write makes a draft for one recipient. A folder that does not exist is no
// reason to lose mail: INBOX takes it.
func (d *delivery) write(ctx context.Context, i int, own bool) (*storage.Draft, error) {
	b := &d.boxes[i]
	account := d.store.Account(b.Spec)
	draft, err := account.NewDraft(ctx, b.folder(), d.m.Size)
	if errors.Is(err, storage.ErrNoMailbox) && b.Create {
		if _, err = account.Create(ctx, b.Folder, nil); err == nil || errors.Is(err, storage.ErrExists) {
			err = account.Subscribe(ctx, b.Folder, true)
		}
		if err == nil {
			draft, err = account.NewDraft(ctx, b.folder(), d.m.Size)
		} else {
			err = storage.ErrNoMailbox
		}
	}
	if errors.Is(err, storage.ErrNoMailbox) && b.Folder != "" {
		draft, err = account.NewDraft(ctx, "INBOX", d.m.Size)
	}
	if err != nil {
		return nil, err
	}
	if err := d.fill(draft, b, own); err != nil {
		draft.Abort()
		return nil, err
	}
	return draft, nil
}

func (d *delivery) fill(draft *storage.Draft, b *Box, own bool) error {
	if _, err := io.WriteString(draft, d.m.header(b, own)); err != nil {
		return err
	}
	r, err := d.m.Open()
	if err != nil {
		return err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	_, err = io.CopyBuffer(draft, r, *buf)
	return err
}

func (b *Box) folder() string {
	if b.Folder == "" {
		return "INBOX"
	}
	return b.Folder
}

// header is what stands above the message; only a file of its own names the
// recipient.
func (m *Message) header(b *Box, own bool) string {
	var h strings.Builder
	fmt.Fprintf(&h, "Return-Path: <%s>\r\n", m.Sender)
	if own {
		if b.Original != "" {
			fmt.Fprintf(&h, "X-Original-To: %s\r\n", b.Original)
		}
		fmt.Fprintf(&h, "Delivered-To: %s\r\n", b.Address)
	}
	h.WriteString(m.Prepend)
	return h.String()
}
