package imap

import (
	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
)

// messages names messages in a command: numbers, UIDs, or the saved result "$"
// of RFC 5182.
type messages struct {
	set   imapwire.Set
	uid   bool // numbers are UIDs, and so are those of the answer
	saved bool
}

func readMessages(d *imapwire.Decoder, uid bool) messages {
	if d.Accept('$') {
		return messages{uid: uid, saved: true}
	}
	return messages{set: d.Set(), uid: uid}
}

// resolve gives the set as storage takes it. RFC 9051 §9: a sequence number
// beyond the last message is an error of the client; a UID is not.
func (s *session) resolve(m messages) (imap.NumSet, error) {
	v := s.box.view
	if m.saved {
		return toUIDSet(s.box.saved), nil
	}
	if m.uid {
		return toUIDSet(m.set.Resolve(s.lastUID())), nil
	}
	last := v.Len()
	if last == 0 && everything(m.set) {
		return imap.SeqSet{}, nil
	}
	set := m.set.Resolve(last)
	if len(set) == 0 || set[len(set)-1].To > last {
		return nil, &refusal{"Invalid messageset"}
	}
	return toSeqSet(set), nil
}

// everything: clients ask for 1:* without knowing whether there is anything.
func everything(set imapwire.Set) bool {
	for _, r := range set {
		if r.From != 0 && r.To != 0 {
			return false
		}
	}
	return true
}

// lastUID is what "*" means in a set of UIDs.
func (s *session) lastUID() uint32 {
	v := s.box.view
	if n := v.Len(); n > 0 {
		return uint32(v.UID(n))
	}
	return 0
}

// uidsOf makes a set of UIDs of any set. It is as large as the answer needs.
func (s *session) uidsOf(set imap.NumSet) imapwire.Set {
	var uids imapwire.Set
	for _, m := range s.box.view.Messages(set) {
		uids.Add(uint32(m.UID))
	}
	return uids
}
