package schema

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestEachFileOf: the files of some messages are those that EachFile gives for all.
func TestEachFileOf(t *testing.T) {
	s := newState(t)
	var list []IndexMessage
	for uid := uint32(1); uid <= 300; uid++ {
		if uid%7 != 0 {
			list = append(list, IndexMessage{UID: uid, Name: fmt.Sprintf("name %d", uid), Info: "S", HasInfo: uid%2 == 0, Size: int64(uid) * 10})
		}
	}
	err := s.Write(t.Context(), func(tx *Tx) error { return tx.AddMessages(5, list) })
	var all, some []string
	uids := []uint32{1, 7, 8, 90, 91, 250, 299, 300, 4_000_000_000}
	tell := func(into *[]string) func(*FileRow) error {
		return func(f *FileRow) error {
			if slices.Contains(uids, f.UID) {
				*into = append(*into, fmt.Sprintf("%d %d %s %s %v", f.UID, f.Size, f.Name, f.Info, f.HasInfo))
			}
			return nil
		}
	}
	err = errors.Join(err, s.EachFile(t.Context(), 5, 1, 1<<32-1, tell(&all)), s.EachFileOf(t.Context(), 5, uids, tell(&some)))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 6 || !slices.Equal(all, some) {
		t.Errorf("%q, want %q", some, all)
	}
}
