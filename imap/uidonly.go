package imap

import (
	"errors"
	"slices"

	"github.com/emersion/go-imap/v2"
)

// errUIDRequired: a client that has enabled UIDONLY uses sequence numbers,
// RFC 9586 §3.
var errUIDRequired = errors.New("sequence numbers after UIDONLY")

// byNumber: the command takes sequence numbers, or gives them.
func (c *command) byNumber() bool {
	return c.keepSeq || slices.Contains([]string{"COPY", "MOVE", "REPLACE"}, c.name)
}

// beginFetch begins a response to FETCH, or one that tells flags: a UIDFETCH with
// the UID as its number once UIDONLY is on.
func (s *session) beginFetch(seq uint32, uid imap.UID) {
	if s.on.uidOnly {
		s.enc.Raw("* ").Number(uint64(uid)).Raw(" UIDFETCH (")
		return
	}
	s.enc.Raw("* ").Number(uint64(seq)).Raw(" FETCH (")
}
