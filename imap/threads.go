package imap

import (
	"cmp"
	"slices"

	"mailserver/internal/imapwire"
)

// threads is a forest of messages.
type threads struct {
	list  []threadable
	nodes []threadNode
	roots []int32
}

// threadNode is a message, or one that is only spoken of.
type threadNode struct {
	message  int32 // in threads.list; -1: none
	parent   int32 // -1: none
	children []int32
}

func (t *threads) add(message int) int32 {
	t.nodes = append(t.nodes, threadNode{message: int32(message), parent: -1})
	return int32(len(t.nodes) - 1)
}

// date of a node: its own, or that of its first child.
func (t *threads) key(n int32) (date int64, seq uint32) {
	for t.nodes[n].message < 0 {
		n = t.nodes[n].children[0]
	}
	m := &t.list[t.nodes[n].message]
	return m.date, m.seq
}

func (t *threads) sort(nodes []int32) {
	slices.SortFunc(nodes, func(x, y int32) int {
		dx, sx := t.key(x)
		dy, sy := t.key(y)
		return cmp.Or(cmp.Compare(dx, dy), cmp.Compare(sx, sy))
	})
}

func (t *threads) sortRoots() { t.sort(t.roots) }

// sortAll sorts siblings, children before their parents, since a node without a
// message has the date of its first child.
func (t *threads) sortAll() {
	stack := slices.Clone(t.roots)
	for i := 0; i < len(stack); i++ {
		stack = append(stack, t.nodes[stack[i]].children...)
	}
	for _, n := range slices.Backward(stack) {
		t.sort(t.nodes[n].children)
	}
	t.sortRoots()
}

// write writes the threads as RFC 5256 §5 thread-list. Depth is no recursion: a
// forest of messages may be as deep as there are messages.
func (t *threads) write(enc *imapwire.Encoder, uid bool) {
	type step struct {
		node  int32
		close bool
	}
	var stack []step
	push := func(nodes []int32) { // each in parentheses, in order
		for _, n := range slices.Backward(nodes) {
			stack = append(stack, step{close: true}, step{node: n})
		}
	}
	push(t.roots)
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.close {
			enc.Raw(")")
			continue
		}
		enc.Raw("(")
		for n, first := s.node, true; ; first = false {
			node := &t.nodes[n]
			if node.message >= 0 {
				if !first {
					enc.Raw(" ")
				}
				enc.Number(uint64(t.number(node.message, uid)))
			}
			if len(node.children) == 1 {
				n = node.children[0]
				continue
			}
			if len(node.children) > 1 && node.message >= 0 {
				enc.Raw(" ")
			}
			push(node.children)
			break
		}
	}
}

func (t *threads) number(message int32, uid bool) uint32 {
	if uid {
		return t.list[message].uid
	}
	return t.list[message].seq
}

func sortByDate(nodes []int32, date map[int32]int64, t *threads) {
	slices.SortFunc(nodes, func(x, y int32) int {
		_, sx := t.key(x)
		_, sy := t.key(y)
		return cmp.Or(cmp.Compare(date[x], date[y]), cmp.Compare(sx, sy))
	})
}
