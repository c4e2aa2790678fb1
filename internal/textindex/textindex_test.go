package textindex

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
)

// store keeps blocks in memory.
type store map[int64]*segmentBlocks

type segmentBlocks struct {
	Segment
	grams, words []Block
}

func (s *segmentBlocks) emit(b *Block) error {
	c := Block{Key: b.Key, List: bytes.Clone(b.List), Data: bytes.Clone(b.Data)}
	if b.List == nil {
		s.grams = append(s.grams, c)
	} else {
		s.words = append(s.words, c)
	}
	return nil
}

func (st store) Gram(segment int64, gram uint32, fn func(*Block) (bool, error)) error {
	list := st[segment].grams
	i := sort.Search(len(list), func(i int) bool { return list[i].Key > gram })
	for i = max(i-1, 0); i < len(list); i++ {
		b := list[i]
		if more, err := fn(&b); err != nil || !more {
			return err
		}
	}
	return nil
}

func (st store) Lists(segment int64, fn func(*Block) error) error {
	for _, b := range st[segment].words {
		b.Data = nil
		if err := fn(&b); err != nil {
			return err
		}
	}
	return nil
}

func (st store) Words(segment int64, key uint32, fn func(*Block) error) error {
	for _, b := range st[segment].words {
		if b.Key == key {
			return fn(&b)
		}
	}
	return fmt.Errorf("no block %d", key)
}

type cursor []Block

func (c *cursor) Next() (*Block, error) {
	if len(*c) == 0 {
		return nil, nil
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return &b, nil
}

// doc is a document as the model has it.
type doc struct {
	headers, bodies []string
	gone            bool
}

func (d *doc) has(q *Query) bool {
	in := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return bytes.Contains([]byte(s), q.Needle) })
	}
	return !d.gone && (q.Header && in(d.headers) || q.Body && in(d.bodies))
}

// TestModel: what is found is what is there, after any number of segments and
// merges: a document that has the needle may have it, and what surely has it does.
func TestModel(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runModel(t *testing.T, r *rand.Rand) {
	m := &model{r: r, store: store{}}
	for range 3 + r.IntN(14) {
		m.addSegment(t)
		if n := ToMerge(m.list); n > 0 {
			m.merge(t, n)
		} else if len(m.list) > 1 && r.IntN(8) == 0 {
			m.merge(t, 1+r.IntN(len(m.list)))
		}
	}
	sure, maybe := 0, 0
	for range 300 {
		s, y := m.query(t)
		sure, maybe = sure+s, maybe+y
	}
	if sure == 0 || maybe == sure {
		t.Errorf("%d of %d are sure", sure, maybe)
	}
}

type model struct {
	r     *rand.Rand
	store store
	list  []Segment
	docs  []doc
	num   int64
}

var alphabet = []string{"A", "B", "C", " ", ", ", "\n", "É", "1", "-", "漢", "ABBA", "CAB", "BACA ", "ABACUS ", "ABRACADABRA"}

func (m *model) text() (s string) {
	for range m.r.IntN(12) {
		s += alphabet[m.r.IntN(len(alphabet))]
	}
	return s
}

func (m *model) addSegment(t *testing.T) {
	b := NewBatch(uint32(len(m.docs)))
	for range 1 + m.r.IntN(140) {
		if m.r.IntN(9) == 0 { // one that is given up
			b.Header([]byte(m.text()))
			b.Text([]byte(m.text()))
			b.Drop()
		}
		d := doc{}
		for range m.r.IntN(3) {
			d.headers = append(d.headers, m.text())
			b.Header([]byte(d.headers[len(d.headers)-1]))
		}
		for range m.r.IntN(3) {
			text := ""
			for range m.r.IntN(4) {
				piece := m.text()
				b.Text([]byte(piece))
				text += piece
			}
			b.EndText()
			d.bodies = append(d.bodies, text)
		}
		if got := b.Add(); int(got) != len(m.docs) {
			t.Fatalf("number %d, want %d", got, len(m.docs))
		}
		m.docs = append(m.docs, d)
	}
	m.keep(t, func(s *segmentBlocks) (Segment, error) { return b.Segment(s.emit) })
}

func (m *model) keep(t *testing.T, write func(*segmentBlocks) (Segment, error)) {
	s := &segmentBlocks{}
	seg, err := write(s)
	if err != nil {
		t.Fatal(err)
	}
	m.num++
	seg.Num = m.num
	s.Segment = seg
	m.store[m.num] = s
	m.list = append(m.list, seg)
}

func (m *model) merge(t *testing.T, n int) {
	last := slices.Clone(m.list[len(m.list)-n:])
	m.list = m.list[:len(m.list)-n]
	var grams, words []Cursor
	for _, s := range last {
		g, w := cursor(m.store[s.Num].grams), cursor(m.store[s.Num].words)
		grams, words = append(grams, &g), append(words, &w)
	}
	var keep func(uint32) bool
	if m.r.IntN(2) == 0 {
		for i := last[0].First; i <= last[n-1].Last; i++ {
			m.docs[i].gone = m.docs[i].gone || m.r.IntN(4) == 0
		}
		keep = func(d uint32) bool { return !m.docs[d].gone }
	}
	m.keep(t, func(s *segmentBlocks) (Segment, error) { return Merge(last, grams, words, keep, s.emit) })
}

func (m *model) query(t *testing.T) (sure, maybe int) {
	text := m.text()
	if text == "" {
		return 0, 0
	}
	from := m.r.IntN(len(text))
	q := &Query{Needle: []byte(text[from:min(len(text), from+1+m.r.IntN(8))]), Header: m.r.IntN(2) == 0}
	q.Body = !q.Header || m.r.IntN(2) == 0
	for i := range m.list {
		s := &m.list[i]
		f, err := Find(m.store, s, q)
		if err != nil {
			t.Fatal(err)
		}
		for d := s.First; d <= s.Last; d++ {
			has := m.docs[d].has(q)
			may, must := f.Maybe != nil && f.Maybe.Has(d-s.First), f.Sure != nil && f.Sure.Has(d-s.First)
			if m.docs[d].gone {
				continue
			}
			if has && !may || must && !has {
				t.Fatalf("%q in %v: maybe %v, sure %v", q.Needle, m.docs[d], may, must)
			}
			if must {
				sure++
			}
			if may {
				maybe++
			}
		}
	}
	return sure, maybe
}

// TestPostingsInto: the fast way into a set is that of each.
func TestPostingsInto(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for _, dense := range []int{2, 3, 9, 40, 900} {
		for range 200 {
			n := uint32(1 + r.IntN(700))
			var texts []uint32
			want := NewBits(n)
			for i := range n {
				if r.IntN(dense) == 0 || i == n-1 {
					texts = append(texts, i)
					want.Add(i)
				}
			}
			list, rest, err := cutPostings(appendPostings(nil, texts))
			if err != nil || len(rest) > 0 {
				t.Fatal(err)
			}
			got := NewBits(n)
			if err := list.into(got, n); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v: %v, want %v; %v", texts, got, want, err)
			}
			if n > 1 {
				if err := list.into(NewBits(n-1), n-1); err != ErrDamaged {
					t.Fatalf("a text beyond the end: %v", err)
				}
			}
		}
	}
}

func BenchmarkInto(b *testing.B) {
	for _, dense := range []int{2, 20} {
		b.Run(fmt.Sprint(dense), func(b *testing.B) {
			var texts []uint32
			for i := uint32(0); i < 20000; i += uint32(dense) {
				texts = append(texts, i)
			}
			list, _, _ := cutPostings(appendPostings(nil, texts))
			set := NewBits(20000)
			for b.Loop() {
				list.into(set, 20000)
			}
		})
	}
}

// TestPhrase: two words that are in all texts are looked for where they may follow
// one another only, whether they are whole in the needle or not.
func TestPhrase(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	words := []string{"THE", "OF", "QUARTERLY", "REPORT", "HOUSE", "ÉLAN", "МОСКВА", "漢字", "IN", "SENDS", "ANOTHER", "WITHIN"}
	const docs = 600
	m := &model{r: r, store: store{}, docs: make([]doc, docs)}
	b := NewBatch(0)
	for i := range m.docs {
		list := slices.Clone(words)
		for range 4 {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			m.docs[i].bodies = append(m.docs[i].bodies, strings.Join(list, []string{" ", "\n", ", "}[r.IntN(3)]))
		}
		for _, s := range m.docs[i].bodies {
			b.Text([]byte(s))
			b.EndText()
		}
		b.Add()
	}
	m.keep(t, func(s *segmentBlocks) (Segment, error) { return b.Segment(s.emit) })
	for _, needle := range []string{"OF THE", "QUARTERLY REPORT", "LY REP", "ÉLAN ANOTHER", "МОСКВА OF", "HOUSE 漢字", "IN SEND", "WITHIN THE HOUSE", "SENDS QUARTERLY", "HOUSE, ANOTHER"} {
		q := &Query{Needle: []byte(needle), Body: true}
		f, err := Find(m.store, &m.list[0], q)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		for i := range m.docs {
			if m.docs[i].has(q) {
				want++
				if !f.Maybe.Has(uint32(i)) {
					t.Errorf("%q is not found", needle)
				}
			}
		}
		if got := f.Maybe.Count(); got > want+docs/20 {
			t.Errorf("%q may be in %d, and is in %d", needle, got, want)
		}
	}
}
