package storage

import (
	"context"
	"errors"
	"fmt"

	"mailserver/schema"
)

// ErrManyAnnotations says that a mailbox has as many as it may (METADATA
// TOOMANY).
var ErrManyAnnotations = errors.New("too many annotations")

// maxAnnotations bounds those of a mailbox, and those of the account itself.
const maxAnnotations = 100

// annotated finds what annotations hang on: a mailbox, or with "" the account.
func (a *Account) annotated(ctx context.Context, mailbox string, fn func(t *tree, box int64) error) error {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	b, err := t.box(ctx, orInbox(mailbox)) // which makes the account known
	if err != nil {
		return err
	}
	if mailbox == "" {
		return fn(t, 0)
	}
	return fn(t, b.num)
}

func orInbox(name string) string {
	if name == "" {
		return inbox
	}
	return name
}

// Metadata calls fn for an annotation of a mailbox ("" is the account), and with
// below for those beneath it. Names are in lower case.
func (a *Account) Metadata(ctx context.Context, mailbox, name string, below bool, fn func(name string, value []byte)) error {
	return a.annotated(ctx, mailbox, func(t *tree, box int64) error {
		err := t.s.d.State.Annotations(ctx, t.account, box, name, below, fn)
		if err != nil {
			return fmt.Errorf("read annotations of %s: %w", t.key.user, err)
		}
		return nil
	})
}

// Annotation is one to be set; a Value of nil removes it.
type Annotation struct {
	Name  string // in lower case
	Value []byte
}

// SetMetadata writes annotations, all or none. ErrManyAnnotations.
func (a *Account) SetMetadata(ctx context.Context, mailbox string, list []Annotation) error {
	return a.annotated(ctx, mailbox, func(t *tree, box int64) error {
		err := t.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error {
			for _, e := range list {
				n, err := tx.SetAnnotation(t.account, box, e.Name, e.Value)
				if err == nil && n > maxAnnotations {
					err = ErrManyAnnotations
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write annotations of %s: %w", t.key.user, err)
		}
		return nil
	})
}
