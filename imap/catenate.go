package imap

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/message"
	"mailserver/storage"
)

// maxPieces bounds the pieces of one CATENATE.
const maxPieces = 200

// catenating is a message that is put together of texts and of pieces of others,
// RFC 4469.
type catenating struct {
	s     *session
	draft *storage.Draft
	size  int64
	view  *storage.View // of the mailbox of the last URL

	last   imap.UID // of the last URL, and where its parts are
	layout message.Layout
	looks  int
	looked int64 // bytes gone through to find parts
}

// maxLooks bounds how often parts are looked for, and maxLooked how much is read
// for it, in messages of the largest size.
const maxLooks, maxLooked = 20, 2

// catenate reads "(TEXT literal URL url ...)". As in appendOne, what is wrong
// with a piece goes to a.fault; the rest is read over.
func (s *session) catenate(ctx context.Context, a *appending, meta storage.AppendMeta) error {
	draft, err := s.newDraft(ctx, a, 1)
	if err != nil {
		a.fault = err
		return nil
	}
	a.drafts, a.meta = append(a.drafts, draft), append(a.meta, meta)
	c := &catenating{s: s, draft: draft}
	defer c.close()
	d := s.dec
	d.Expect('(')
	for n := 0; d.Err() == nil; n++ {
		if n == maxPieces {
			a.fault = &no{"LIMIT", "Too many pieces in CATENATE."}
			return nil
		}
		if a.fault = c.piece(ctx); a.fault != nil || d.Err() != nil {
			return d.Err()
		}
		if d.Accept(')') {
			break
		}
		d.SP()
	}
	if d.Err() == nil && c.size == 0 {
		a.fault = &no{"", "Can't save a zero byte message."}
	}
	return d.Err()
}

func (c *catenating) close() {
	if c.view != nil {
		c.view.Close()
	}
}

// piece reads one. Its error is one of the piece; one of the grammar or the
// connection is in the decoder.
func (c *catenating) piece(ctx context.Context) error {
	d := c.s.dec
	switch d.Keyword() {
	case "TEXT":
		d.SP()
		return c.text()
	case "URL":
		d.SP()
		url := d.AString()
		if d.Err() != nil {
			return nil
		}
		return c.url(ctx, url)
	}
	d.Fail("Invalid arguments.")
	return nil
}

// grow counts bytes before they come.
func (c *catenating) grow(n int64) error {
	if c.size += n; c.size > c.s.maxMailSize() {
		return &no{"TOOBIG", fmt.Sprintf("Message is larger than the limit of %d bytes.", c.s.maxMailSize())}
	}
	return nil
}

func (c *catenating) text() error {
	d := c.s.dec
	if p := d.Peek(); p != '{' && p != '~' {
		d.Fail("Invalid arguments.")
	}
	l := d.Literal()
	if d.Err() != nil {
		return nil
	}
	if err := c.grow(l.Size); err != nil {
		d.Refuse(l)
		return err
	}
	if !d.Go(l) {
		return nil
	}
	err := c.s.receive(c.draft, l.Size)
	if d.Err() != nil {
		return nil
	}
	d.Begin(c.s.cfg.MaxLineLength)
	return err
}

// url writes what a URL names.
func (c *catenating) url(ctx context.Context, text string) error {
	bad := &no{"BADURL " + quotedURL(text), "CATENATE append has failed, no message is there."}
	u, ok := c.s.parseURL(text)
	if !ok {
		return bad
	}
	err := c.open(ctx, u)
	if err == nil {
		err = c.write(ctx, u)
	}
	if errors.Is(err, storage.ErrNoMailbox) || errors.Is(err, storage.ErrExpunged) || errors.Is(err, errNoPart) {
		return bad
	}
	return err
}

var errNoPart = errors.New("the message has no such part")

// open has the mailbox of a URL ready.
func (c *catenating) open(ctx context.Context, u messageURL) (err error) {
	if c.view == nil || c.view.Name() != u.mailbox {
		c.close()
		c.view, c.last = nil, 0
		if c.view, err = c.s.account.Select(ctx, u.mailbox, true); err != nil {
			return err
		}
	}
	if u.validity != 0 && u.validity != c.view.UIDValidity() {
		return storage.ErrNoMailbox
	}
	return nil
}

func (c *catenating) write(ctx context.Context, u messageURL) error {
	body, err := c.view.Open(ctx, u.uid)
	if err != nil {
		return err
	}
	defer body.Close()
	f, _ := body.File()
	if err := c.look(f, u.uid); err != nil {
		return err
	}
	piece, err := c.layout.Section(f, u.section)
	if err != nil {
		return err
	}
	if piece == nil || !c.layout.Has(u.section.Part) {
		return errNoPart
	}
	if err := c.grow(piece.Size); err != nil {
		return err
	}
	_, err = piece.WriteTo(c.draft)
	return err
}

// look finds the parts of a message.
func (c *catenating) look(f io.ReaderAt, uid imap.UID) error {
	if c.last == uid {
		return nil
	}
	if c.looks++; c.looks > maxLooks || c.looked > maxLooked*c.s.maxMailSize() {
		return &no{"LIMIT", "CATENATE takes pieces of too many messages."}
	}
	parsed, err := message.Parse(io.NewSectionReader(f, 0, 1<<62))
	if err != nil {
		return err
	}
	c.last, c.layout = uid, parsed.Layout
	c.looked += c.layout.Size()
	return nil
}

// quotedURL is the argument of BADURL.
func quotedURL(text string) string {
	if len(text) > 1000 {
		text = text[:1000]
	}
	out := []byte{'"'}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ' || c > '~' || c == ']':
			out = fmt.Appendf(out, "%%%02X", c)
		default:
			out = append(out, c)
		}
	}
	return string(append(out, '"'))
}
