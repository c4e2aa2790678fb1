package imap

import (
	"cmp"
	"context"
	"slices"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// sortKey is a criterion of SORT, RFC 5256 §3 and RFC 5957.
type sortKey struct {
	by      sortBy
	reverse bool
}

type sortBy uint8

const (
	byArrival sortBy = iota
	bySize
	byDate
	byRelevancy // RFC 6203 §6, the highest first
	byCc
	byFrom
	byTo
	bySubject
	byDisplayFrom
	byDisplayTo
)

var sortWords = map[string]sortBy{
	"ARRIVAL": byArrival, "SIZE": bySize, "DATE": byDate, "RELEVANCY": byRelevancy, "CC": byCc, "FROM": byFrom, "TO": byTo,
	"SUBJECT": bySubject, "DISPLAYFROM": byDisplayFrom, "DISPLAYTO": byDisplayTo,
}

func parseSort(s *session, d *imapwire.Decoder) *searchArgs { return readSort(s, d, false) }

func parseUIDSort(s *session, d *imapwire.Decoder) *searchArgs { return readSort(s, d, true) }

// readSort reads [RETURN (...)] (criteria) charset keys: RFC 5256 §3, RFC 5267 §3.
func readSort(s *session, d *imapwire.Decoder, uid bool) *searchArgs {
	p := &searchParser{d: d, a: &searchArgs{uid: uid, limit: limitWhole}}
	if d.Peek() != '(' {
		if d.Keyword() != "RETURN" {
			d.Fail("Missing sort criteria.")
		}
		p.options()
	}
	p.a.defaults()
	reverse := false
	d.List(func() {
		word := d.Keyword()
		by, ok := sortWords[word]
		switch {
		case word == "REVERSE" && !reverse:
			reverse = true
			return
		case !ok || len(p.a.sort) > len(sortWords):
			d.Fail("Unknown sort program argument %s", word)
		}
		p.a.sort = append(p.a.sort, sortKey{by, reverse})
		reverse = false
	})
	if reverse || len(p.a.sort) == 0 {
		d.Fail("Missing sort key.")
	}
	p.charsetAndKeys()
	p.checkUpdate(s)
	return p.a
}

// charsetAndKeys reads what SORT and THREAD end with.
func (p *searchParser) charsetAndKeys() {
	p.d.SP()
	p.a.charset = p.d.AString()
	p.d.SP()
	p.a.key = p.conjunction(p.key())
}

func runSort(ctx context.Context, s *session, a *searchArgs) (reply, error) {
	found, list, err := s.sorted(ctx, a)
	if err != nil {
		if a.save {
			s.box.saved = nil
		}
		return reply{}, err
	}
	if a.save {
		s.box.saved = a.keptOf(found, list)
	}
	if a.modSeq {
		s.turnOnCondstore()
	}
	switch {
	case a.update && a.byRelevance(): // each change would read them all
		s.noUpdate("RELEVANCY is not kept up to date.")
	case a.update:
		uids := make([]uint32, len(list))
		for i := range list {
			uids[i] = list[i].uid
		}
		s.keepContext(a, uids)
	}
	if a.extended {
		var nums order
		for i := range list {
			nums.add(list[i].number(a.uid))
		}
		s.tellESearch(a, found, nums)
		return reply{}, nil
	}
	s.enc.Raw("* SORT")
	for i := range list {
		s.enc.Raw(" ").Number(uint64(list[i].number(a.uid)))
	}
	if a.modSeq && found.count > 0 {
		s.enc.Raw(" (MODSEQ ").Number(found.modSeq).Raw(")")
	}
	s.enc.CRLF()
	return reply{}, nil
}

// keptOf is what "$" will mean after a SORT, RFC 5182 §2.1.
func (a *searchArgs) keptOf(h *hits, list []sortable) imapwire.Set {
	if a.all || a.count || !a.min && !a.max || len(list) == 0 {
		return h.uids
	}
	var uids []uint32
	if a.min {
		uids = append(uids, list[0].uid)
	}
	if a.max {
		uids = append(uids, list[len(list)-1].uid)
	}
	slices.Sort(uids)
	var s imapwire.Set
	for _, u := range slices.Compact(uids) {
		s.Add(u)
	}
	return s
}

// sortable is a message with what it is sorted by.
type sortable struct {
	seq, uid uint32
	nums     [4]int64 // of the numeric criteria, in order of the first use
	text     [][]byte // of the others
}

func (m *sortable) number(uid bool) uint32 {
	if uid {
		return m.uid
	}
	return m.seq
}

// sorted searches, then sorts what was found.
func (s *session) sorted(ctx context.Context, a *searchArgs) (*hits, []sortable, error) {
	bySeq := *a
	bySeq.uid = false
	found, err := s.search(ctx, &bySeq)
	if err != nil {
		return nil, nil, err
	}
	k := newKeys(s, a.sort)
	list := make([]sortable, 0, found.count)
	err = k.each(ctx, toSeqSet(found.nums), func(seq uint32, m storage.Msg) error {
		list = append(list, k.of(seq, m))
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	if err := s.score(ctx, a, list); err != nil {
		return nil, nil, err
	}
	slices.SortFunc(list, func(x, y sortable) int { return compareBy(a.sort, k.place, &x, &y) })
	if a.relevant {
		for i := range list {
			found.scores = append(found.scores, int(-list[i].nums[byRelevancy]))
		}
	}
	return found, list, nil
}

// byRelevance tells whether a criterion is RELEVANCY.
func (a *searchArgs) byRelevance() bool {
	return slices.ContainsFunc(a.sort, func(k sortKey) bool { return k.by == byRelevancy })
}

// score gives the messages their relevancy, if it matters: below zero, so that
// the highest comes first.
func (s *session) score(ctx context.Context, a *searchArgs, list []sortable) error {
	if !a.relevant && !a.byRelevance() {
		return nil
	}
	uids := make([]uint32, len(list))
	for i := range list {
		uids[i] = list[i].uid
	}
	scores, err := s.relevancy(ctx, a, uids)
	for i := range scores {
		list[i].nums[byRelevancy] = -int64(scores[i])
	}
	return err
}

func compareBy(keys []sortKey, place []int, x, y *sortable) int {
	for i, key := range keys {
		c := 0
		if key.by <= byRelevancy {
			c = cmp.Compare(x.nums[place[i]], y.nums[place[i]])
		} else {
			c = slices.Compare(x.text[place[i]], y.text[place[i]])
		}
		if key.reverse {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(x.seq, y.seq) // RFC 5256 §3: in the end by number
}
