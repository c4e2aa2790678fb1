package message

import "bytes"

// Body gives the value of FETCH BODY from that of BODYSTRUCTURE.
func Body(bodyStructure []byte) []byte {
	x := bodyReader{in: bodyStructure, out: make([]byte, 0, len(bodyStructure))}
	x.body()
	return x.out
}

// maxStructure is more than any literal in a BODYSTRUCTURE needs to have.
const maxStructure = 64 << 10

// bodyReader copies a body structure without its extension data.
type bodyReader struct {
	in, out []byte
}

// body copies one parenthesized body.
func (x *bodyReader) body() {
	x.out = append(x.out, '(')
	x.skip(1)
	if len(x.in) > 0 && x.in[0] == '(' {
		for len(x.in) > 0 && x.in[0] == '(' {
			x.body()
		}
		x.copy(1) // subtype
	} else {
		typ, subtype := x.value(), x.value()
		x.copy(5) // parameters, id, description, encoding, size
		switch {
		case bytes.EqualFold(typ, []byte(`"message"`)) && bytes.EqualFold(subtype, []byte(`"rfc822"`)):
			x.copy(1)
			x.space()
			x.body()
			x.copy(1)
		case bytes.EqualFold(typ, []byte(`"text"`)):
			x.copy(1)
		}
	}
	x.out = append(x.out, ')')
	for len(x.in) > 0 && x.in[0] != ')' {
		x.next()
	}
	x.skip(1)
}

func (x *bodyReader) skip(n int) { x.in = x.in[min(n, len(x.in)):] }

func (x *bodyReader) copy(n int) {
	for range n {
		x.value()
	}
}

// space copies the space before a value.
func (x *bodyReader) space() {
	if len(x.in) > 0 && x.in[0] == ' ' {
		x.out = append(x.out, ' ')
		x.skip(1)
	}
}

// value copies the next value and the space before it.
func (x *bodyReader) value() []byte {
	x.space()
	v := x.next()
	x.out = append(x.out, v...)
	return v
}

// next reads a value: NIL, number, string, literal or list.
func (x *bodyReader) next() []byte {
	start, depth := x.in, 0
	for len(x.in) > 0 {
		switch c := x.in[0]; c {
		case '(':
			depth++
			x.skip(1)
		case ')':
			depth--
			x.skip(1)
		case '"':
			x.quoted()
		case '{':
			x.literal()
		case ' ':
			x.skip(1)
		default:
			n := bytes.IndexAny(x.in, " ()")
			if n < 0 {
				n = len(x.in)
			}
			x.skip(n)
		}
		if depth <= 0 && (len(x.in) == 0 || x.in[0] == ' ' || x.in[0] == ')' || x.in[0] == '(') {
			break
		}
	}
	return start[:len(start)-len(x.in)]
}

func (x *bodyReader) quoted() {
	i := 1
	for i < len(x.in) && x.in[i] != '"' {
		if x.in[i] == '\\' {
			i++
		}
		i++
	}
	x.skip(i + 1)
}

func (x *bodyReader) literal() {
	n, i := 0, 1
	for i < len(x.in) && x.in[i] >= '0' && x.in[i] <= '9' && n < maxStructure {
		n = n*10 + int(x.in[i]-'0')
		i++
	}
	x.skip(i + len("}\r\n") + n)
}
