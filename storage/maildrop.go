package storage

import (
	"context"
	"fmt"
	"sort"

	"github.com/emersion/go-imap/v2"

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
