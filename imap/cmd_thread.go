package imap

import (
	"cmp"
	"context"
	"slices"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
	"mailserver/storage"
)

// threading is a THREAD command: RFC 5256 §3 with the algorithm REFS of
// draft-ietf-morg-inthread, as Dovecot has it. Where messages contradict each
// other about who answers whom, the last word of a message is its own.
type threading struct {
	searchArgs
	algorithm string
}

func parseThread(s *session, d *imapwire.Decoder) *threading { return readThread(s, d, false) }

func parseUIDThread(s *session, d *imapwire.Decoder) *threading { return readThread(s, d, true) }

func readThread(_ *session, d *imapwire.Decoder, uid bool) *threading {
	a := &threading{searchArgs: searchArgs{uid: uid, limit: limitWhole}}
	switch a.algorithm = d.Keyword(); a.algorithm {
	case "ORDEREDSUBJECT", "REFERENCES", "REFS":
	default:
		d.Fail("Unknown thread algorithm.")
	}
	p := &searchParser{d: d, a: &a.searchArgs}
	p.charsetAndKeys()
	return a
}

func runThread(ctx context.Context, s *session, a *threading) (reply, error) {
	list, err := s.threadable(ctx, a)
	if err != nil {
		return reply{}, err
	}
	var t *threads
	if a.algorithm == "ORDEREDSUBJECT" {
		t = orderedSubject(list)
	} else {
		t = byReferences(list, a.algorithm == "REFERENCES")
	}
	s.enc.Raw("* THREAD ")
	t.write(s.enc, a.uid)
	s.enc.CRLF()
	return reply{}, nil
}

// threadable is a message to be threaded.
type threadable struct {
	seq, uid uint32
	date     int64
	subject  string // base subject, folded
	reply    bool
	id       string
	refs     []string
}

// maxReferences bounds the identifiers taken from one message.
const maxReferences = 100

// threadable searches, and reads what threads are made of.
func (s *session) threadable(ctx context.Context, a *threading) ([]threadable, error) {
	bySeq := a.searchArgs
	bySeq.uid = false
	found, err := s.search(ctx, &bySeq)
	if err != nil {
		return nil, err
	}
	h := &headers{s: s, wanted: []string{"date", "subject"}}
	if a.algorithm != "ORDEREDSUBJECT" {
		h.wanted = append(h.wanted, "message-id", "references", "in-reply-to")
	}
	list := make([]threadable, 0, found.count)
	err = h.each(ctx, toSeqSet(found.nums), func(seq uint32, m storage.Msg) error {
		t := threadable{seq: seq, uid: uint32(m.UID), date: h.sent(m)}
		t.subject, t.reply = message.BaseSubject(h.values["subject"])
		if ids := message.MessageIDs(h.values["message-id"], 1); len(ids) > 0 {
			t.id = ids[0]
		}
		if t.refs = message.MessageIDs(h.values["references"], maxReferences); len(t.refs) == 0 {
			if ids := message.MessageIDs(h.values["in-reply-to"], maxReferences); len(ids) > 0 {
				t.refs = ids[:1]
			}
		}
		list = append(list, t)
		return ctx.Err()
	})
	return list, err
}

// orderedSubject: RFC 5256 §3, "poor man's threading".
func orderedSubject(list []threadable) *threads {
	slices.SortStableFunc(list, func(x, y threadable) int {
		return cmp.Or(cmp.Compare(x.subject, y.subject), cmp.Compare(x.date, y.date))
	})
	t := &threads{list: list}
	for i := range list {
		n := t.add(i)
		if i > 0 && list[i].subject == list[i-1].subject {
			first := t.roots[len(t.roots)-1]
			t.nodes[first].children = append(t.nodes[first].children, n)
			continue
		}
		t.roots = append(t.roots, n)
	}
	t.sortRoots()
	return t
}
