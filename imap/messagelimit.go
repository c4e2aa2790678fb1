package imap

import (
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// limited is a set of messages cut to what one command may work on, the
// messages with the highest UIDs, and the lowest UID among them; 0 if nothing
// was cut off. RFC 9738 §3.1.
func (s *session) limited(set imap.NumSet) (imap.NumSet, uint32) {
	if s.cfg.MessageLimit == 0 {
		return set, 0
	}
	return s.limitedOf(set, func(uint32, storage.Msg) bool { return true })
}

// limitedOf is limited where only some of the messages of a set count.
func (s *session) limitedOf(set imap.NumSet, counts func(uint32, storage.Msg) bool) (imap.NumSet, uint32) {
	var uids imapwire.Set
	for seq, m := range s.box.view.Messages(set) {
		if counts(seq, m) {
			uids.Add(uint32(m.UID))
		}
	}
	limit, count := uint64(s.cfg.MessageLimit), uids.Count()
	if count <= limit {
		return set, 0
	}
	_, uids = cut(uids, uint32(count-limit))
	return toUIDSet(uids), uids[0].From
}

// limitCode is the response code; uid 0: nothing was worked on.
func (s *session) limitCode(uid uint32) string {
	code := "MESSAGELIMIT " + uitoa(uint64(s.cfg.MessageLimit))
	if uid != 0 {
		code += " " + uitoa(uint64(uid))
	}
	return code
}

// tooMany refuses a command that is done for all of its messages or for none.
func (s *session) tooMany(uid uint32) error {
	return &no{s.limitCode(uid), fmt.Sprintf("More than %d messages in one command.", s.cfg.MessageLimit)}
}

// underLimit makes the answer to a command that was cut to the messages from a
// UID on. Beside another code it is told in a line of its own.
func (s *session) underLimit(r reply, uid uint32) reply {
	text := fmt.Sprintf("Only the last %d messages were processed.", s.cfg.MessageLimit)
	switch {
	case uid == 0:
	case r.code != "" || r.status != "":
		s.enc.Raw("* NO [").Raw(s.limitCode(uid)).Raw("] ").Raw(text).CRLF()
	default:
		r.code, r.text = s.limitCode(uid), text
	}
	return r
}

// limitedSearch is limited for what a search looks at: the messages that its
// sets of numbers leave.
func (s *session) limitedSearch(a *searchArgs, set imap.NumSet) (imap.NumSet, uint32, error) {
	if s.cfg.MessageLimit == 0 || a.limit == limitNone {
		return set, 0, nil
	}
	set, uid := s.limitedOf(set, func(seq uint32, m storage.Msg) bool {
		return a.key.covers(&candidate{seq: seq, m: m})
	})
	if uid != 0 && a.limit == limitWhole {
		return nil, 0, s.tooMany(0)
	}
	return set, uid, nil
}

// covers tells whether the sets of numbers that every match is in have a
// message.
func (k *searchKey) covers(c *candidate) bool {
	switch k.op {
	case opSet:
		return k.matchIndex(c)
	case opAnd:
		return !slices.ContainsFunc(k.sub, func(sub *searchKey) bool { return !sub.covers(c) })
	}
	return true
}

// searchLimit is what a limit on messages means for a command.
type searchLimit uint8

const (
	limitNone  searchLimit = iota // ESEARCH of RFC 7377, which RFC 9738 does not name
	limitPart                     // SEARCH looks at some
	limitWhole                    // SORT and THREAD of some would say something else, RFC 9738 §3.3
)

// beside reads UIDAFTER and UIDBEFORE, RFC 9738 §3.2; nil for others.
func (p *searchParser) beside(word string) *searchKey {
	if word != "UIDAFTER" && word != "UIDBEFORE" {
		return nil
	}
	p.d.SP()
	n := p.d.Number()
	if n == 0 {
		p.d.Fail("Invalid UID")
	}
	k := &searchKey{op: opSet, set: messages{uid: true}}
	const last = 1<<32 - 1
	switch {
	case word == "UIDBEFORE" && n > 1:
		k.set.set = imapwire.Set{{From: 1, To: n - 1}}
	case word == "UIDAFTER" && n < last:
		k.set.set = imapwire.Set{{From: n + 1, To: last}}
	}
	return k
}
