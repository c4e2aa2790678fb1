package storage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailserver/schema"
)

// ErrManyAnnotations says that a mailbox has as many as it may (METADATA
// TOOMANY).
var ErrManyAnnotations = errors.New("too many annotations")

// maxAnnotations bounds those of a mailbox, and those of the account itself.
const maxAnnotations = 100

// noteKey says where annotations are kept: by account and mailbox, 0 for the
// account itself.
type noteKey struct {
	private, shared int64 // accounts
	box             int64
}

func (k noteKey) account(name string) int64 {
	if name == "/private" || strings.HasPrefix(name, "/private/") {
		return k.private
	}
	return k.shared
}

// noteKey of a mailbox, or with "" of the account.
func (a *Account) noteKey(ctx context.Context, mailbox string) (k noteKey, err error) {
	err = a.annotated(ctx, mailbox, func(t *tree, box int64) error {
		k = noteKey{t.account, t.account, box}
		return nil
	})
	if err == nil && a.viewer != nil {
		var own noteKey
		own, err = a.viewer.noteKey(ctx, "")
		k.private = own.private
	}
	return k, err
}

// annotated finds what annotations hang on.
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
	k, err := a.noteKey(ctx, mailbox)
	if err != nil {
		return err
	}
	if err := a.s.d.State.Annotations(ctx, k.account(name), k.box, name, below, fn); err != nil {
		return fmt.Errorf("read annotations of %s: %w", a.spec.User, err)
	}
	return nil
}

// Annotation is one to be set; a Value of nil removes it.
type Annotation struct {
	Name  string // in lower case
	Value []byte
}

// SetMetadata writes annotations, all or none. ErrManyAnnotations.
func (a *Account) SetMetadata(ctx context.Context, mailbox string, list []Annotation) error {
	k, err := a.noteKey(ctx, mailbox)
	if err != nil {
		return err
	}
	err = a.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error {
		for _, e := range list {
			n, err := tx.SetAnnotation(k.account(e.Name), k.box, e.Name, e.Value)
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
		return fmt.Errorf("write annotations of %s: %w", a.spec.User, err)
	}
	return a.tellAnnotated(ctx, mailbox, list)
}

// tellAnnotated gives feeds the names of annotations that were set. Private ones
// are their user's.
func (a *Account) tellAnnotated(ctx context.Context, mailbox string, list []Annotation) error {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	shared, private := News{Kind: Annotated, Name: mailbox}, News{Kind: Annotated, Name: mailbox, Private: a.spec.User}
	if a.viewer != nil {
		private.Private = a.viewer.spec.User
	}
	for _, e := range list {
		n := &shared
		if strings.HasPrefix(e.Name, "/private/") {
			n = &private
		}
		n.Entries = append(n.Entries, e.Name)
	}
	for _, n := range []News{shared, private} {
		if len(n.Entries) > 0 {
			t.tell(ctx, n)
		}
	}
	return nil
}
