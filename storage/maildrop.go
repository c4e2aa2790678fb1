package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sort"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/uidlist"
	"mailserver/schema"
)

// Remove removes messages at once, whatever their flags are; also from a view
// that is read-only, whose reader changes no flags. UIDs ascend. Those that are
// gone already are left out.
func (v *View) Remove(ctx context.Context, uids []imap.UID) error {
	if len(uids) == 0 {
		return nil
	}
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return ErrNoMailbox
	}
	var at []int
	for _, uid := range uids {
		if pos := b.msgs.find(uint32(uid)); pos >= 0 {
			at = append(at, pos)
		}
	}
	return b.destroy(ctx, at)
}

// FileNames returns the names of the files of messages, without flags, in the
// order of uids, which ascend; "" for those that are gone. It reads all rows
// between the first and the last: ask for a few hundred.
func (v *View) FileNames(ctx context.Context, uids []uint32) ([]string, error) {
	if len(uids) == 0 {
		return nil, nil
	}
	names := make([]string, len(uids))
	err := v.b.t.s.d.State.EachMessage(ctx, v.b.num, uids[0], uids[len(uids)-1], func(row *schema.IndexMessage) error {
		if i := sort.Search(len(uids), func(i int) bool { return uids[i] >= row.UID }); i < len(uids) && uids[i] == row.UID {
			names[i] = row.Name
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read names of %s: %w", v.Name(), err)
	}
	return names, nil
}

// Identifiers are what another server's POP3 has called messages: few words of
// memory each.
type Identifiers struct {
	uids []uint32
	at   []int
	text []byte
}

// Of returns the identifier of a message; "" if it has none.
func (i *Identifiers) Of(uid uint32) string {
	if i == nil {
		return ""
	}
	n, found := slices.BinarySearch(i.uids, uid)
	if !found {
		return ""
	}
	end := len(i.text)
	if n+1 < len(i.at) {
		end = i.at[n+1]
	}
	return string(i.text[i.at[n]:end])
}

// maxIdentifier bounds one; RFC 1939 §7 allows 70 bytes.
const maxIdentifier = 250

// maxIdentifiers bounds their number, and so the memory.
const maxIdentifiers = 1 << 20

// Identifiers reads those of the mailbox; nil if there are none.
func (v *View) Identifiers() (*Identifiers, error) {
	b := v.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.list.plain && b.listIsOurs() {
		return nil, nil
	}
	ids := &Identifiers{}
	err := b.t.readList(b.dir(), func(r io.Reader) error {
		h, err := uidlist.Read(r, func(e *uidlist.Entry) error {
			if id, ok := e.Field(uidlist.UIDL); ok && id != "" && len(id) <= maxIdentifier && len(ids.uids) < maxIdentifiers {
				ids.uids = append(ids.uids, e.UID)
				ids.at = append(ids.at, len(ids.text))
				ids.text = append(ids.text, id...)
			}
			return nil
		})
		if err == nil && h.Validity != b.row.Validity {
			ids = nil
		}
		return err
	})
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, uidlist.ErrFormat):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read identifiers of %s: %w", b.row.Name, err)
	case ids == nil || len(ids.uids) == 0:
		b.list.plain = b.list.ino != 0
		return nil, nil
	}
	return ids, nil
}
