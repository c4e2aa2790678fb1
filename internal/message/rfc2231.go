package message

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// segment is a parameter in RFC 2231 §3 form: name*0*.
type segment struct {
	param    // name without "*" and number
	index    uint32
	extended bool
}

// joinRFC2231 joins the pieces of continued parameters, after the plain ones.
// The values stay percent-encoded, as name*, if any segment was.
func joinRFC2231(ps []param) []param {
	if !slices.ContainsFunc(ps, func(p param) bool { return strings.Contains(p.name, "*") }) {
		return ps
	}
	plain := ps[:0:0]
	var pieces []segment
	for _, p := range ps {
		if pc, ok := splitPiece(p); ok {
			pieces = append(pieces, pc)
		} else {
			plain = append(plain, p)
		}
	}
	slices.SortStableFunc(pieces, func(a, b segment) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return cmp.Compare(a.index, b.index)
	})
	for len(pieces) > 0 {
		n := 1
		for n < len(pieces) && strings.EqualFold(pieces[n].name, pieces[0].name) {
			n++
		}
		plain = append(plain, joinPieces(pieces[:n])...)
		pieces = pieces[n:]
	}
	return plain
}

func splitPiece(p param) (pc segment, ok bool) {
	name, rest, ok := strings.Cut(p.name, "*")
	if !ok {
		return pc, false
	}
	pc = segment{param: param{name, p.value}}
	if rest == "" || rest == "*" {
		pc.extended = true
		return pc, true
	}
	rest, pc.extended = strings.CutSuffix(rest, "*")
	for i := range len(rest) {
		if rest[i] < '0' || rest[i] > '9' {
			return pc, false
		}
		pc.index = pc.index*10 + uint32(rest[i]-'0')
	}
	return pc, rest != ""
}

// joinPieces joins pieces numbered from 0 without a gap; others stay as they
// are.
func joinPieces(pieces []segment) []param {
	var value strings.Builder
	extended := false
	for i, p := range pieces {
		if int(p.index) != i {
			return originals(pieces)
		}
		extended = extended || p.extended
	}
	for _, p := range pieces {
		if extended && !p.extended {
			p.value = percent(p.value)
		}
		value.WriteString(p.value)
	}
	name := pieces[0].name
	if extended {
		name += "*"
	}
	return []param{{name, value.String()}}
}

func originals(pieces []segment) []param {
	ps := make([]param, len(pieces))
	for i, p := range pieces {
		ps[i] = param{p.name + "*" + strconv.FormatUint(uint64(p.index), 10), p.value}
		if p.extended {
			ps[i].name += "*"
		}
	}
	return ps
}

// percent encodes a plain segment among encoded ones.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("*'%()<>@,;:\\\"/[]?=", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
