package imap

// references builds a forest by RFC 5256 §3, REFERENCES.
type references struct {
	threads
	byID map[string]int32
}

// byReferences threads by what messages say that they answer. With subjects,
// threads of one base subject are joined: that is the difference between
// REFERENCES and REFS.
func byReferences(list []threadable, subjects bool) *threads {
	r := &references{threads: threads{list: list}, byID: make(map[string]int32, len(list))}
	for i := range list { // step 1
		r.link(i)
	}
	r.prune() // steps 2 and 3
	if subjects {
		r.sortAll() // step 4
		r.joinSubjects()
	} else {
		r.sortAll()
		r.sortByLast()
		return &r.threads
	}
	r.sortAll() // step 6
	return &r.threads
}

func (r *references) named(id string) int32 {
	n, ok := r.byID[id]
	if !ok {
		n = r.add(-1)
		r.byID[id] = n
	}
	return n
}

// link puts a message below what it answers.
func (r *references) link(i int) {
	m := &r.list[i]
	var self int32
	if n, ok := r.byID[m.id]; m.id != "" && (!ok || r.nodes[n].message < 0) {
		self = r.named(m.id)
		r.nodes[self].message = int32(i)
	} else { // without an identity, or with that of another
		self = r.add(i)
	}
	parent := int32(-1)
	for _, ref := range m.refs {
		n := r.named(ref)
		if parent >= 0 && r.nodes[n].parent < 0 {
			r.hang(n, parent)
		}
		parent = n
	}
	if parent >= 0 && r.nodes[self].parent != parent {
		r.unhang(self)
		r.hang(self, parent)
	}
}

// maxThreadDepth bounds the climb that looks for a loop.
const maxThreadDepth = 10_000

// hang puts a node below another, unless that would make a loop.
func (r *references) hang(n, parent int32) {
	if n == parent {
		return
	}
	if len(r.nodes[n].children) > 0 { // else nothing can be below it
		for up, left := parent, maxThreadDepth; up >= 0; up, left = r.nodes[up].parent, left-1 {
			if up == n || left == 0 {
				return
			}
		}
	}
	r.nodes[n].parent = parent
	r.nodes[parent].children = append(r.nodes[parent].children, n)
}

func (r *references) unhang(n int32) {
	parent := r.nodes[n].parent
	if parent < 0 {
		return
	}
	r.nodes[n].parent = -1
	list := r.nodes[parent].children
	for i, c := range list {
		if c == n {
			r.nodes[parent].children = append(list[:i:i], list[i+1:]...)
			return
		}
	}
}

// prune finds the roots and takes out nodes without a message: those without
// children go, others give theirs to their parent; at the top only one that has
// a single child does.
func (r *references) prune() {
	var down []int32
	for n := range r.nodes {
		if r.nodes[n].parent < 0 {
			down = append(down, int32(n))
		}
	}
	tops := len(down)
	for i := 0; i < len(down); i++ {
		down = append(down, r.nodes[down[i]].children...)
	}
	for i := len(down) - 1; i >= 0; i-- { // children before parents
		node := &r.nodes[down[i]]
		node.children = r.kept(node.children)
	}
	for _, n := range down[:tops] {
		node := &r.nodes[n]
		if node.message < 0 && len(node.children) < 2 {
			r.roots = append(r.roots, node.children...)
			continue
		}
		r.roots = append(r.roots, n)
	}
}

func (r *references) kept(children []int32) []int32 {
	whole := true
	for _, c := range children {
		whole = whole && r.nodes[c].message >= 0
	}
	if whole {
		return children
	}
	var out []int32
	for _, c := range children {
		if r.nodes[c].message >= 0 {
			out = append(out, c)
		} else {
			out = append(out, r.nodes[c].children...)
		}
	}
	return out
}

// first is the message that a thread's subject is that of.
func (r *references) first(n int32) *threadable {
	for r.nodes[n].message < 0 {
		n = r.nodes[n].children[0]
	}
	return &r.list[r.nodes[n].message]
}

// joinSubjects: step 5.
func (r *references) joinSubjects() {
	table := make(map[string]int32, len(r.roots))
	for _, n := range r.roots {
		m := r.first(n)
		if m.subject == "" {
			continue
		}
		old, ok := table[m.subject]
		if !ok || r.dummy(n) && !r.dummy(old) || !r.dummy(old) && r.first(old).reply && !m.reply {
			table[m.subject] = n
		}
	}
	for i, n := range r.roots {
		m := r.first(n)
		into, ok := table[m.subject]
		if m.subject == "" || !ok || into == n {
			continue
		}
		r.roots[i] = -1
		r.join(n, into, m, table)
	}
	out := r.roots[:0]
	for _, n := range r.roots {
		if n >= 0 {
			out = append(out, n)
		}
	}
	r.roots = out
}

func (r *references) dummy(n int32) bool { return r.nodes[n].message < 0 }

// join puts the thread n together with another of its subject.
func (r *references) join(n, into int32, m *threadable, table map[string]int32) {
	switch {
	case r.dummy(n) && r.dummy(into):
		r.nodes[into].children = append(r.nodes[into].children, r.nodes[n].children...)
	case r.dummy(into), m.reply && !r.first(into).reply:
		r.nodes[into].children = append(r.nodes[into].children, n)
	default: // two that answer each other, or neither: siblings below nothing
		both := r.add(-1)
		r.nodes[both].children = []int32{into, n}
		table[m.subject] = both
		for i, root := range r.roots {
			if root == into {
				r.roots[i] = both
			}
		}
	}
}

// sortByLast orders threads by their latest message, as REFS does.
func (r *references) sortByLast() {
	last := make(map[int32]int64, len(r.roots))
	for _, root := range r.roots {
		stack := []int32{root}
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			stack = append(stack[:len(stack)-1], r.nodes[n].children...)
			if m := r.nodes[n].message; m >= 0 {
				last[root] = max(last[root], r.list[m].date)
			}
		}
	}
	sortByDate(r.roots, last, &r.threads)
}
