package addrfield

import "slices"

// Form is how addresses are completed, in the way of trivial-rewrite(8).
type Form struct {
	// Origin is the domain of an address without one, Domain what is added to a
	// host name without dot; '' adds nothing.
	Origin, Domain string
	Bangpath       bool // host!user is user@host; postconf(5) swap_bangpath
	Percent        bool // user%host is user@host; postconf(5) allow_percent_hack
}

// Complete is an address in its standard form: without a source route and the
// dot at its end, with its domain.
func (f Form) Complete(address string) string {
	if address == "" || plain(address) {
		return address
	}
	t := scan(address, 0)
	find := func(kind int) int { return slices.IndexFunc(t, func(t token) bool { return t.kind == kind }) }
	last := func(kind int) int {
		for i := len(t) - 1; i >= 0; i-- {
			if t[i].kind == kind {
				return i
			}
		}
		return -1
	}
	if len(t) == 0 {
		return address
	}
	if colon := find(':'); t[0].kind == '@' && colon >= 0 && colon < len(t)-1 {
		t = t[colon+1:]
	}
	if last('@') < 0 {
		bang, percent := find('!'), last('%')
		switch {
		case f.Bangpath && bang >= 0:
			t = append(append(slices.Clone(t[bang+1:]), token{kind: '@'}), t[:bang]...)
		case f.Percent && percent >= 0:
			t = slices.Clone(t)
			t[percent].kind = '@'
		case f.Origin != "":
			t = append(append(slices.Clone(t), token{kind: '@'}), scan(f.Origin, 0)...)
		}
	}
	if at := last('@'); f.Domain != "" && at >= 0 && at < len(t)-1 && t[at+1].kind != literalToken && !hasDot(t[at:]) {
		t = append(append(slices.Clone(t), token{kind: '.'}), scan(f.Domain, 0)...)
	}
	if n := len(t); n > 1 && t[n-1].kind == '.' && t[n-2].kind != '.' && t[n-2].kind != '@' {
		t = t[:n-1]
	}
	return quote(internal(t))
}

func hasDot(list []token) bool {
	return slices.ContainsFunc(list, func(t token) bool { return t.kind == '.' })
}
