package imap

import (
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
	"mailserver/storage"
)

// truth is an answer that may need more of the message.
type truth uint8

const (
	no3 truth = iota
	yes3
	unknown
)

func truthOf(b bool) truth {
	if b {
		return yes3
	}
	return no3
}

// candidate is a message with what has been read of it so far.
type candidate struct {
	seq          uint32
	m            storage.Msg
	now          int64
	found, known []bool // of each text
	record       *message.Record
	facts        *storage.Facts
	thread       string // THREADID
}

// match evaluates a key with what is known of the message.
func (k *searchKey) match(c *candidate) truth {
	switch k.op {
	case opAnd:
		return k.matchAll(c)
	case opOr:
		return k.matchOr(c)
	case opNot:
		return not(k.sub[0].match(c))
	case opText:
		if c.known == nil || !c.known[k.text] {
			return unknown
		}
		return truthOf(c.found[k.text])
	case opSentBefore, opSentOn, opSentSince:
		return k.matchSent(c)
	case opSaved, opEmail:
		return k.matchFacts(c)
	case opThread:
		if c.thread == "" {
			return unknown
		}
		return truthOf(c.thread == k.id)
	}
	return truthOf(k.matchIndex(c))
}

func (k *searchKey) matchFacts(c *candidate) truth {
	switch {
	case c.facts == nil:
		return unknown
	case k.op == opEmail:
		return truthOf(c.facts.EmailID == k.id)
	}
	return truthOf(c.facts.Saved >= k.from && c.facts.Saved < k.to)
}

func not(t truth) truth {
	switch t {
	case yes3:
		return no3
	case no3:
		return yes3
	}
	return unknown
}

func (k *searchKey) matchAll(c *candidate) truth {
	result := yes3
	for _, sub := range k.sub {
		switch sub.match(c) {
		case no3:
			return no3
		case unknown:
			result = unknown
		}
	}
	return result
}

func (k *searchKey) matchOr(c *candidate) truth {
	result := no3
	for _, sub := range k.sub {
		switch sub.match(c) {
		case yes3:
			return yes3
		case unknown:
			result = unknown
		}
	}
	return result
}

// matchIndex is for keys that the index answers.
func (k *searchKey) matchIndex(c *candidate) bool {
	switch k.op {
	case opSet:
		if k.set.uid || k.set.saved {
			return k.in.Contains(uint32(c.m.UID))
		}
		return k.in.Contains(c.seq)
	case opFlag:
		return uint64(c.m.Flags)&k.bit != 0 && !k.never
	case opRecent:
		return c.m.Recent
	case opLarger:
		return c.m.Size > k.n
	case opSmaller:
		return c.m.Size < k.n
	case opDate:
		return c.m.Time >= k.from && c.m.Time < k.to
	case opYounger: // RFC 5032 §3
		return c.now-c.m.Time <= k.n
	case opOlder:
		return c.now-c.m.Time >= k.n
	case opModSeq:
		return c.m.ModSeq >= uint64(k.n)
	}
	return true
}

// sent tells whether a key, or one below it, asks for the date of the header.
func (k *searchKey) sent() bool {
	switch k.op {
	case opSentBefore, opSentOn, opSentSince:
		return true
	}
	return slices.ContainsFunc(k.sub, (*searchKey).sent)
}

func (k *searchKey) matchSent(c *candidate) truth {
	if c.record == nil {
		return unknown
	}
	sent, ok, known := c.record.SentDate()
	switch {
	case !known:
		return unknown
	case !ok:
		return no3
	}
	switch k.op {
	case opSentBefore:
		return truthOf(sent.Before(k.day))
	case opSentOn:
		return truthOf(sent.Equal(k.day))
	}
	return truthOf(!sent.Before(k.day))
}

// bind gives a key what it needs of the mailbox: numbers for sets, bits for
// flags. RFC 9051 §6.4.4.
func (k *searchKey) bind(s *session) error {
	switch k.op {
	case opSet:
		return k.bindSet(s)
	case opFlag:
		bit, ok := s.box.view.Keyword(k.flag)
		k.bit, k.never = uint64(bit), !ok
	}
	for _, sub := range k.sub {
		if err := sub.bind(s); err != nil {
			return err
		}
	}
	return nil
}

func (k *searchKey) bindSet(s *session) error {
	if s.on.uidOnly && !k.set.uid && !k.set.saved {
		return errUIDRequired
	}
	set, err := s.resolve(k.set)
	if err != nil { // as Dovecot: what is not there does not match
		return s.bindPresent(k)
	}
	switch n := set.(type) {
	case imap.UIDSet:
		k.in = fromUIDSet(n)
	case imap.SeqSet:
		k.in = fromSeqSet(n)
	}
	return nil
}

// bindPresent leaves out the sequence numbers beyond the last message.
func (s *session) bindPresent(k *searchKey) error {
	last := s.box.view.Len()
	for _, r := range k.set.set.Resolve(last) {
		if r.From <= last {
			k.in = append(k.in, imapwire.Range{From: r.From, To: min(r.To, last)})
		}
	}
	return nil
}

// flags are those that every match has or lacks: its flags in mask are want.
func (k *searchKey) flags() (mask, want storage.FlagSet) {
	switch k.op {
	case opFlag:
		if !k.never {
			mask, want = storage.FlagSet(k.bit), storage.FlagSet(k.bit)
		}
	case opNot:
		if sub := k.sub[0]; sub.op == opFlag && !sub.never {
			mask = storage.FlagSet(sub.bit)
		}
	case opAnd:
		for _, sub := range k.sub {
			m, w := sub.flags()
			mask, want = mask|m, want|w
		}
	}
	return mask, want
}

// narrowed is a set that every match is in, so that a search for a few
// messages of a large mailbox does not look at all.
func (k *searchKey) narrowed() (imap.NumSet, bool) {
	switch k.op {
	case opSet:
		if k.set.uid || k.set.saved {
			return toUIDSet(k.in), true
		}
		return toSeqSet(k.in), true
	case opAnd:
		for _, sub := range k.sub {
			if set, ok := sub.narrowed(); ok {
				return set, true
			}
		}
	}
	return nil, false
}
