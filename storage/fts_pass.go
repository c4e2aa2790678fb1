package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"mailserver/internal/message"
	"mailserver/internal/textindex"
	"mailserver/schema"
)

var (
	// errTextOther says that another program has written the index.
	errTextOther = errors.New("another program writes the text index")
	errTooMuch   = errors.New("too much text")
	errEnough    = errors.New("enough rows")
)

const (
	// textRows is how many messages are looked up at a time.
	textRows = 64
	// textFiles is how many of their files are opened at a time.
	textFiles = 8
)

// textPass brings the new messages of one mailbox into the index.
type textPass struct {
	x     *fulltext
	cfg   *Config
	b     *box
	file  *textFile
	box   schema.TextMailbox
	texts *message.Texts
	batch *textindex.Batch // nil: nothing yet

	docs   []textDoc // of the batch
	known  map[int64]uint32
	places []schema.TextPlace // that are to be written
	next   uint32             // UIDs below are in places
	begun  time.Time          // of the work since the last pause
	gently bool
}

type textDoc struct {
	num   uint32
	email int64
}

// index runs a pass over a mailbox; gently: it rests as long as it works. account
// is 0 where there is none.
func (x *fulltext) index(ctx context.Context, cfg *Config, job textJob, gently bool) (account int64, err error) {
	t, err := x.s.tree(specOf(job.key))
	if err != nil {
		return 0, err
	}
	defer t.release()
	b, err := t.box(ctx, job.name)
	if err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.account, err
	}
	if err := b.flush(ctx); err != nil {
		return 0, err
	}
	b.mu.RLock()
	row := b.row
	b.mu.RUnlock()
	file, err := x.use(ctx, row.Account, job.key.user)
	if err != nil {
		return 0, err
	}
	p := &textPass{x: x, cfg: cfg, b: b, file: file, texts: message.NewTexts(), begun: time.Now(), gently: gently}
	err = p.run(ctx, &row)
	x.end(row.Account, file, err)
	return row.Account, err
}

func specOf(k treeKey) Spec {
	return Spec{User: k.user, Dir: k.dir, Home: k.home, UID: k.uid, GID: k.gid}
}

func (p *textPass) run(ctx context.Context, row *schema.IndexMailbox) error {
	err := p.file.Write(ctx, func(t *schema.TextTx) (err error) {
		if p.box, err = t.Mailbox(row.Num, row.Validity); err != nil {
			return err
		}
		if p.box.Next == 1 || p.box.Next > row.UIDNext { // new, or the state was set back
			p.box = schema.TextMailbox{Num: row.Num, Validity: row.Validity, Next: 1}
			return t.DropMailbox(row.Num)
		}
		return nil
	})
	p.next = p.box.Next
	for err == nil && p.next < row.UIDNext {
		var rows []schema.IndexMessage
		if rows, err = p.rows(ctx, row.UIDNext-1); err == nil {
			err = p.add(ctx, rows)
		}
		if err == nil && len(rows) < textRows {
			p.next = row.UIDNext
		}
	}
	if err != nil {
		return err
	}
	return p.flush(ctx)
}

func (p *textPass) rows(ctx context.Context, last uint32) (rows []schema.IndexMessage, err error) {
	err = p.x.s.d.State.EachMessage(ctx, p.box.Num, p.next, last, func(m *schema.IndexMessage) error {
		if len(rows) == textRows {
			return errEnough
		}
		rows = append(rows, *m)
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return rows, err
}

// add takes messages whose rows follow.
func (p *textPass) add(ctx context.Context, rows []schema.IndexMessage) error {
	docs := make([]uint32, len(rows))
	err := p.file.Read(ctx, func(t *schema.TextTx) (err error) {
		for i := range rows {
			if docs[i], err = t.DocOf(emailOf(&rows[i])); err != nil {
				return err
			}
		}
		return nil
	})
	for len(rows) > 0 && err == nil {
		n := min(len(rows), textFiles)
		if err = p.addSome(ctx, rows[:n], docs[:n]); err == nil {
			err = p.rest(ctx)
		}
		rows, docs = rows[n:], docs[n:]
	}
	return err
}

func emailOf(row *schema.IndexMessage) int64 {
	if row.Email != 0 {
		return row.Email
	}
	return emailID(row.Name)
}

func (p *textPass) addSome(ctx context.Context, rows []schema.IndexMessage, docs []uint32) error {
	files, err := p.open(rows, docs)
	defer func() {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	for i := range rows {
		doc := docs[i]
		if doc == 0 {
			if doc, err = p.read(ctx, &rows[i], files[i]); err != nil {
				return err
			}
		}
		p.places = append(p.places, schema.TextPlace{UID: rows[i].UID, Doc: doc})
		p.next = rows[i].UID + 1
	}
	return nil
}

// open opens the files of messages that are not in the index. What is not there is
// left out: it has gone, or has another name and is found by the next pass.
func (p *textPass) open(rows []schema.IndexMessage, docs []uint32) (files []*file, err error) {
	files = make([]*file, len(rows))
	var dirs [2]*dir
	defer func() {
		for _, d := range dirs {
			if d != nil {
				d.close()
			}
		}
	}()
	err = p.b.t.do(func(root *os.Root) error {
		for which := range dirs {
			d, err := p.b.open(root, which)
			if err != nil {
				return err
			}
			dirs[which] = d
		}
		for i := range rows {
			if docs[i] != 0 || p.cfg.FTSMessageMaxSize > 0 && rows[i].Size > p.cfg.FTSMessageMaxSize {
				continue
			}
			which, name := fileOf(&rows[i])
			f, err := dirs[which].openMessage(name)
			if errors.Is(err, fs.ErrNotExist) {
				which, name = p.fresh(&rows[i])
				f, err = dirs[which].openMessage(name)
			}
			if err == nil {
				files[i] = f
			} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrExpunged) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("read %s: %w", p.b.name(), err)
	}
	return files, err
}

// fresh is the file of a message as its flags are now.
func (p *textPass) fresh(row *schema.IndexMessage) (which int, name string) {
	if now, found, err := p.x.s.d.State.MessageRow(context.Background(), p.box.Num, row.UID); err == nil && found {
		return fileOf(&now)
	}
	return fileOf(row)
}

// read takes the text of a message; 0: it is left out.
func (p *textPass) read(ctx context.Context, row *schema.IndexMessage, f *file) (doc uint32, err error) {
	email := emailOf(row)
	if doc = p.known[email]; doc != 0 || f == nil {
		return doc, nil
	}
	if p.batch == nil {
		if err := p.begin(ctx); err != nil {
			return 0, err
		}
	}
	err = p.texts.Read(&textReader{io.NewSectionReader(f, 0, math.MaxInt64), p.batch}, p.batch)
	if err != nil || p.batch.Over() {
		p.batch.Drop()
		if errors.Is(err, errTooMuch) {
			err = nil
		}
		return 0, err
	}
	doc = p.batch.Add()
	p.docs = append(p.docs, textDoc{doc, email})
	p.known[email] = doc
	return doc, nil
}

// textReader ends where the text is more than the index takes.
type textReader struct {
	io.Reader
	b *textindex.Batch
}

func (r *textReader) Read(p []byte) (int, error) {
	if r.b.Over() {
		return 0, errTooMuch
	}
	return r.Reader.Read(p)
}

func (p *textPass) begin(ctx context.Context) error {
	return p.file.Read(ctx, func(t *schema.TextTx) error {
		next, err := t.NextDoc()
		p.batch, p.known = textindex.NewBatch(next), make(map[int64]uint32)
		return err
	})
}

// rest writes what is enough for a segment, and pauses.
func (p *textPass) rest(ctx context.Context) error {
	if p.batch != nil && p.batch.Full() || len(p.places) > 10_000 {
		if err := p.flush(ctx); err != nil {
			return err
		}
	}
	now := time.Now()
	took := now.Sub(p.begun)
	if took < 20*time.Millisecond || !p.gently {
		return ctx.Err()
	}
	pause := time.NewTimer(min(took, time.Second))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
	p.begun = time.Now()
	return ctx.Err()
}

// flush writes what was taken, as one step.
func (p *textPass) flush(ctx context.Context) error {
	if p.next == p.box.Next {
		return nil
	}
	err := p.file.Write(ctx, func(t *schema.TextTx) error {
		if err := p.writeDocs(t); err != nil {
			return err
		}
		if len(p.places) > 0 {
			if err := t.AddPlaces(p.box.Num, p.places); err != nil {
				return err
			}
		}
		next := p.box
		next.Next, next.Count = p.next, next.Count+int64(len(p.places))
		return t.SetMailbox(&next)
	})
	if err != nil {
		return err
	}
	p.box.Next, p.box.Count = p.next, p.box.Count+int64(len(p.places))
	p.places, p.docs = p.places[:0], p.docs[:0]
	clear(p.known)
	if err := p.x.merge(ctx, p.file); err != nil {
		return err
	}
	return p.x.bound(ctx, p.cfg, p.file)
}

func (p *textPass) writeDocs(t *schema.TextTx) error {
	if len(p.docs) == 0 {
		return nil
	}
	next, err := t.NextDoc()
	if err != nil {
		return err
	}
	if next != p.docs[0].num {
		p.batch = nil
		return errTextOther
	}
	for _, d := range p.docs {
		if err := t.AddDoc(d.num, d.email); err != nil {
			return err
		}
	}
	return t.AddSegment(nil, p.batch.Segment)
}
