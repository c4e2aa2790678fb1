package textindex

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
)

// damaged is an index with all kinds of blocks, in two segments.
func damaged(t testing.TB) *model {
	m := &model{r: rand.New(rand.NewPCG(5, 5)), store: store{}}
	for range 2 {
		b := NewBatch(uint32(len(m.docs)))
		for range 90 {
			text := ""
			for range 60 {
				text += string([]byte{byte('A' + m.r.IntN(12)), byte('A' + m.r.IntN(26)), byte('A' + m.r.IntN(26))}) + alphabet[m.r.IntN(len(alphabet))]
			}
			m.docs = append(m.docs, doc{bodies: []string{text}})
			b.Text([]byte(text))
			b.EndText()
			b.Add()
		}
		s := &segmentBlocks{}
		var err error
		if s.Segment, err = b.Segment(s.emit); err != nil {
			t.Fatal(err)
		}
		m.num++
		s.Num = m.num
		m.store[m.num] = s
		m.list = append(m.list, s.Segment)
	}
	return m
}

var damagedNeedles = []string{"A", "BA", "ABB", "ABACUS", "ACUS", "\n\n", "A B", "ZZZZZ"}

// answers are what the needles find; an error where it is damaged.
func (m *model) answers() (all []any) {
	for _, n := range damagedNeedles {
		for i := range m.list {
			f, err := Find(m.store, &m.list[i], &Query{Needle: []byte(n), Body: true})
			if err != nil {
				all = append(all, err)
				continue
			}
			all = append(all, f)
		}
	}
	return all
}

// TestDamage: whatever bit of whatever block is flipped, and whatever block is
// lost, cut short, or in the place of another, an answer is right or ErrDamaged.
func TestDamage(t *testing.T) {
	m := damaged(t)
	want := m.answers()
	found := 0
	check := func(what string, key uint32, at int) {
		t.Helper()
		for i, got := range m.answers() {
			if err, _ := got.(error); errors.Is(err, ErrDamaged) {
				found++
			} else if !reflect.DeepEqual(got, want[i]) {
				t.Fatalf("%s of block %d, byte %d: answer %d has changed", what, key, at, i)
			}
		}
	}
	for _, s := range m.store {
		for _, list := range []*[]Block{&s.grams, &s.words} {
			if len(*list) < 2 {
				t.Fatalf("%d blocks", len(*list))
			}
			whole := *list
			for i := range whole {
				*list = append(append([]Block{}, whole[:i]...), whole[i+1:]...)
				check("loss", whole[i].Key, 0)
				*list = append([]Block{}, whole...)
				(*list)[i].Data = whole[(i+1)%len(whole)].Data
				check("wrong data", whole[i].Key, 0)
				for _, piece := range []*[]byte{&(*list)[i].Data, &(*list)[i].List} {
					(*list)[i] = whole[i]
					for at := m.r.IntN(331); at < len(*piece); at += 331 {
						p := bytes.Clone(*piece)
						p[at] ^= 1 << m.r.IntN(8)
						before := *piece
						*piece = p
						check("flip", whole[i].Key, at)
						*piece = before[:at]
						check("cut", whole[i].Key, at)
						*piece = before
					}
				}
			}
			*list = whole
		}
	}
	if found == 0 {
		t.Error("no damage was found")
	}
	m.list[0].Last++
	check("wrong end of a segment", 0, 0)
}

// TestDamageIsNotMerged: a merge does not make a good segment of a bad one.
func TestDamageIsNotMerged(t *testing.T) {
	m := damaged(t)
	merge := func() error {
		var grams, words []Cursor
		for _, s := range m.list {
			g, w := cursor(m.store[s.Num].grams), cursor(m.store[s.Num].words)
			grams, words = append(grams, &g), append(words, &w)
		}
		_, err := Merge(m.list, grams, words, nil, (&segmentBlocks{}).emit)
		return err
	}
	if err := merge(); err != nil {
		t.Fatal(err)
	}
	for _, s := range m.store {
		for _, list := range []*[]Block{&s.grams, &s.words} {
			whole := *list
			for i := range whole {
				*list = append(append([]Block{}, whole[:i]...), whole[i+1:]...)
				if err := merge(); !errors.Is(err, ErrDamaged) {
					t.Errorf("without block %d: %v", i, err)
				}
				*list = append([]Block{}, whole...)
				(*list)[i].Data = bytes.Clone(whole[i].Data)
				(*list)[i].Data[m.r.IntN(len(whole[i].Data))] ^= 1
				if err := merge(); !errors.Is(err, ErrDamaged) {
					t.Errorf("with a flipped bit in block %d: %v", i, err)
				}
			}
			*list = whole
		}
	}
}

// FuzzBlocks reads blocks whose checksums are right and whose entries are
// anything: nothing is read or set beyond what there is.
func FuzzBlocks(f *testing.F) {
	m := damaged(f)
	for _, s := range m.store {
		g, w := s.grams[0], s.words[0]
		s.openGrams(&g)
		s.openWords(&w)
		f.Add(g.Data, w.List, w.Data, "ABB", uint16(90))
		f.Add(g.Data[:len(g.Data)/2], w.List[:len(w.List)/2], w.Data, "ACUS", uint16(89))
	}
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte("\n"), []byte{}, "A", uint16(0))
	f.Add([]byte{5, 3, 0xff, 7, 2, 9}, []byte("\nABCD\n"), []byte{4, 1, 0xff}, "BCD", uint16(3))
	f.Fuzz(func(t *testing.T, grams, list, data []byte, needle string, docs uint16) {
		if needle == "" || len(list) == 0 || list[0] != '\n' {
			return
		}
		s := &segmentBlocks{Segment: Segment{Num: 1, First: 7, Last: 7 + uint32(docs)}}
		w := &writer{emit: s.emit, s: &s.Segment, block: Block{Data: bytes.Clone(grams)}, begun: true}
		w.endGrams()
		w.block, w.begun = Block{List: bytes.Clone(list), Data: bytes.Clone(data)}, true
		w.endWords()
		for _, both := range []bool{false, true} {
			found, err := Find(store{1: s}, &s.Segment, &Query{Needle: []byte(needle), Header: both, Body: true})
			if err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			for n := range found.Sure {
				if found.Sure[n]&^found.Maybe[n] != 0 {
					t.Fatal("surely, but not maybe")
				}
			}
		}
		other := s.Segment
		other.First, other.Last = s.First-3, s.First-1
		g, v := cursor(s.grams), cursor(s.words)
		e := &segmentBlocks{}
		eg, ev := emptySegment(t, &other)
		seg, err := Merge([]Segment{other, s.Segment}, []Cursor{&eg, &g}, []Cursor{&ev, &v}, func(doc uint32) bool {
			if doc < other.First || doc > s.Last {
				t.Fatalf("document %d", doc)
			}
			return doc%3 > 0
		}, e.emit)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		e.Segment = seg
		if _, err := Find(store{0: e}, &e.Segment, &Query{Needle: []byte(needle), Header: true, Body: true}); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}

func emptySegment(t *testing.T, s *Segment) (grams, words cursor) {
	e := &segmentBlocks{}
	w := &writer{emit: e.emit, s: s}
	if err := errors.Join(w.endGrams(), w.endWords()); err != nil {
		t.Fatal(err)
	}
	return e.grams, e.words
}
