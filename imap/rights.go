package imap

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/acl"
	"mailserver/storage"
)

// changing are the rights to change anything in a mailbox; without any of them
// it is selected read-only.
const changing = acl.WriteSeen | acl.Write | acl.Insert | acl.WriteDelete | acl.Expunge

// flagRight is the right that a flag needs, RFC 4314 §4.
func flagRight(f imap.Flag) acl.Rights {
	switch f {
	case imap.FlagSeen:
		return acl.WriteSeen
	case imap.FlagDeleted:
		return acl.WriteDelete
	}
	return acl.Write
}

const allFlags = acl.WriteSeen | acl.Write | acl.WriteDelete

// permitted are the flags that may be changed with rights.
func permitted(flags []imap.Flag, r acl.Rights) []imap.Flag {
	if r.Has(allFlags) {
		return flags
	}
	return slices.DeleteFunc(slices.Clone(flags), func(f imap.Flag) bool { return !r.Has(flagRight(f)) })
}

// permitStore takes from a STORE the flags that the user may not change. RFC
// 4314 §4: it fails only when none is left.
func (s *session) permitStore(ctx context.Context, a *storeArgs) error {
	r, err := s.here(ctx)
	if err != nil || r.Has(allFlags) {
		s.box.view.Keep(0)
		return err
	}
	if r&allFlags == 0 {
		return errNoPerm
	}
	asked := len(a.flags)
	a.flags = permitted(a.flags, r)
	if a.op != imap.StoreFlagsSet && asked > 0 && len(a.flags) == 0 {
		return errNoPerm
	}
	s.box.view.Keep(kept(r))
	return nil
}

// kept are the flags that the user may not change.
func kept(r acl.Rights) (set storage.FlagSet) {
	if !r.Has(acl.Write) {
		set = ^(storage.Seen | storage.Deleted)
	}
	if !r.Has(acl.WriteSeen) {
		set |= storage.Seen
	}
	if !r.Has(acl.WriteDelete) {
		set |= storage.Deleted
	}
	return set
}

// permanent are the flags that PERMANENTFLAGS tells, RFC 4314 §5.2.
func (s *session) permanent() []imap.Flag {
	return permitted(s.box.view.PermanentFlags(), s.box.place.rights)
}

// marksSeen says whether FETCH may set \\Seen.
func (s *session) marksSeen(ctx context.Context) bool {
	if s.box.view.ReadOnly() {
		return false
	}
	r, err := s.here(ctx)
	return err == nil && r.Has(acl.WriteSeen)
}
