package imapwire

// Deeper guards recursion: it counts a level, and fails beyond maxDepth. The
// result leaves the level again.
func (d *Decoder) Deeper() func() {
	if d.depth++; d.depth > maxDepth {
		d.Fail("Too many nested parenthesis.")
	}
	return func() { d.depth-- }
}

// List reads "(" items ")" with one space between items, calling item for each.
// An empty list is taken.
func (d *Decoder) List(item func()) {
	defer d.Deeper()()
	d.Expect('(')
	if d.Accept(')') {
		return
	}
	for d.err == nil {
		item()
		if d.Accept(')') {
			return
		}
		d.SP()
	}
}
