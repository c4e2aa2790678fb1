package queue

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Rewrite makes the message what fn writes. fn may read the message as it was,
// by readers that it opens. After an error the message is as before.
func (t *Text) Rewrite(fn func(io.Writer) error) error {
	switch {
	case t.err != nil:
		return t.err
	case t.kept:
		return errors.New("rewrite a message that is queued")
	}
	n, err := t.q.Begin()
	if err != nil {
		return err
	}
	if err := fn(n); err != nil {
		n.Drop()
		return err
	}
	if n.file != nil {
		if err := os.Rename(t.q.tmpFile(n.id), t.q.tmpFile(t.id)); err != nil {
			n.Drop()
			return fmt.Errorf("rewrite spool %s: %w", t.id, err)
		}
	}
	t.free()
	if t.file != nil {
		t.file.Close()
		if n.file == nil {
			os.Remove(t.q.tmpFile(t.id))
		}
	}
	t.buf, t.held, t.file, t.size = n.buf, n.held, n.file, n.size
	return nil
}
