package message

// The reading of address lists, RFC 5322 §3.4, with its obsolete forms and
// Dovecot's ways with what is broken: an entry is never dropped, what it lacks
// is filled with a word that says so.

// Words for what an address lacks.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
	syntaxError    = "SYNTAX_ERROR"
)

// optional is a string or NIL.
type optional struct {
	s  string
	ok bool
}

func some(b []byte) optional { return optional{string(b), true} }

// entry is an address as ENVELOPE shows it. A group begins with an entry that
// has only a mailbox, and ends with one that has nothing.
type entry struct {
	name, route, mailbox, domain optional
	invalid                      bool
}

type addressReader struct {
	lexer
	limit int
	list  []entry
	cur   entry
	room  [80]byte // for words, one after the other
}

// readAddresses reads at most limit entries.
func readAddresses(value string, limit int) []entry { return appendAddresses(nil, value, limit) }

// appendAddresses appends entries up to limit, with those of list.
func appendAddresses(list []entry, value string, limit int) []entry {
	r := addressReader{lexer: lexer{s: value}, limit: limit, list: list}
	if !r.space() || r.end() {
		return list
	}
	r.addresses()
	return r.list
}

func (r *addressReader) add() {
	r.list = append(r.list, r.cur)
	r.cur = entry{}
}

// addFilled adds a mailbox, with words for what is missing.
func (r *addressReader) addFilled() {
	if !r.cur.mailbox.ok {
		r.cur.mailbox, r.cur.invalid = optional{missingMailbox, true}, true
	}
	if r.cur.domain.s == "" {
		r.cur.domain, r.cur.invalid = optional{missingDomain, true}, true
	}
	r.add()
}

func (r *addressReader) addresses() {
	for len(r.list) < r.limit {
		more := r.address()
		if !more || !r.is(',') {
			return
		}
		r.i++
		if !r.space() {
			r.addFilled()
			return
		}
		if r.end() {
			return
		}
	}
}

// address reads a group or a mailbox; more is false at the end.
func (r *addressReader) address() (more bool) {
	from := r.i
	if b, ok := r.phrase(r.room[:0]); ok && r.is(':') {
		return r.group(b)
	}
	r.i = from
	return r.mailbox()
}

func (r *addressReader) group(name []byte) (more bool) {
	r.i++
	ok := r.space() && !r.end()
	r.cur.mailbox = some(name)
	r.cur.invalid = !ok
	r.add()
	for more := ok && !r.is(';'); more && len(r.list) < r.limit; {
		r.mailbox()
		if more = r.is(','); more {
			r.i++
			ok = r.space() && !r.end()
			more = ok
		}
	}
	if ok && r.is(';') {
		r.i++
		ok = r.space()
	} else {
		ok = false
	}
	r.cur = entry{invalid: !ok}
	r.add()
	return ok
}

// mailbox reads name-addr or addr-spec.
func (r *addressReader) mailbox() (more bool) {
	from := r.i
	ok := r.nameAddr()
	if !ok {
		r.i = from
		r.cur = entry{}
		ok = r.addrSpec()
	}
	r.cur.invalid = r.cur.invalid || !ok
	r.addFilled()
	return !r.end()
}

// phrase reads words; a dot may stand among them.
func (r *addressReader) phrase(b []byte) ([]byte, bool) {
	if r.is('.') {
		return b, false
	}
	for !r.end() {
		ok := true
		if r.is('"') {
			b, ok = r.quoted(b)
		} else {
			b, _ = r.run(b, isAtextOrDot)
			ok = r.space()
		}
		if !ok {
			return b, false
		}
		if r.end() || !isAtextOrDot(r.s[r.i]) && !r.is('"') {
			return b, true
		}
		b = append(b, ' ')
	}
	return b, false
}

func isAtextOrDot(c byte) bool { return c == '.' || isAtext(c) }

// nameAddr reads [phrase] "<" ... ">". It is only false if there is no "<"
// where it must be.
func (r *addressReader) nameAddr() bool {
	var name []byte
	if !r.is('<') {
		var ok bool
		if name, ok = r.phrase(r.room[:0]); !ok || !r.is('<') {
			return false
		}
	}
	if len(name) > 0 {
		r.cur.name = some(name)
	}
	if !r.angle() {
		r.cur.domain, r.cur.invalid = optional{syntaxError, true}, true
	}
	return true
}

// angle reads "<" [route ":"] local-part "@" domain ">".
func (r *addressReader) angle() bool {
	r.i++
	if !r.space() || r.end() {
		return false
	}
	if r.is('@') {
		if r.route() && r.is(':') {
			r.i++
		} else {
			r.cur.route = optional{"INVALID_ROUTE", true}
			if r.end() {
				return false
			}
		}
		if !r.space() || r.end() {
			return false
		}
	}
	if !r.is('>') {
		if _, ok := r.localPart(); !ok || r.end() {
			return false
		}
		if r.is('@') && (!r.domain() || r.end()) {
			return false
		}
	}
	if !r.is('>') {
		return false
	}
	r.i++
	return r.space()
}

// route reads "@" domain *("," "@" domain).
func (r *addressReader) route() bool {
	var b []byte
	for r.is('@') {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, '@')
		var ok bool
		if b, ok = r.domainText(b); !ok || r.end() {
			return false
		}
		for r.space() && r.is(',') {
			r.i++
		}
	}
	r.cur.route = some(b)
	return !r.end()
}

// localPart reads a quoted string, or atoms with any dots among them. b is what
// was read, also if it was not one.
func (r *addressReader) localPart() (b []byte, ok bool) {
	if r.is('"') {
		b, ok = r.quoted(r.room[:0])
	} else {
		b, ok = r.dotAtoms()
	}
	if ok {
		r.cur.mailbox = some(b)
	}
	return b, ok
}

func (r *addressReader) dotAtoms() (b []byte, ok bool) {
	b = r.room[:0]
	for {
		for r.is('.') {
			b = append(b, '.')
			ok = true
			if r.i++; r.end() {
				return b, true
			}
		}
		if r.is('@') {
			return b, ok
		}
		if b, ok = r.run(b, isAtext); !ok || !r.space() {
			return b, false
		}
		if !r.is('.') {
			return b, true
		}
	}
}

func (r *addressReader) domain() bool {
	b, ok := r.domainText(r.room[:0])
	if ok {
		r.cur.domain = some(b)
	}
	return ok
}

// domainText reads "@" and a domain or domain literal.
func (r *addressReader) domainText(b []byte) ([]byte, bool) {
	r.i++
	if !r.space() {
		return b, false
	}
	if r.is('[') {
		return r.domainLiteral(b)
	}
	for {
		var ok bool
		if b, ok = r.run(b, isAtext); !ok || !r.space() {
			return b, false
		}
		if !r.is('.') {
			return b, true
		}
		r.i++
		b = append(b, '.')
		if !r.space() {
			return b, false
		}
	}
}

func (r *addressReader) domainLiteral(b []byte) ([]byte, bool) {
	for r.i < len(r.s) {
		c := r.s[r.i]
		r.i++
		switch {
		case c == '\\' && r.i < len(r.s):
			b = append(b, c, r.s[r.i])
			r.i++
		case c == ']':
			return append(b, c), r.space()
		case c != '\r' && c != '\n':
			b = append(b, c)
		}
	}
	return b, false
}

// addrSpec reads local-part "@" domain; a comment after it is the name. Words
// without "@" are a name, but a single atom is a local part.
func (r *addressReader) addrSpec() bool {
	r.comment = r.comment[:0]
	quoted, withDomain := r.is('"'), false
	b, ok := r.localPart()
	if r.is('@') {
		withDomain = true
		ok = r.domain() && ok
	}
	switch {
	case len(r.comment) > 0:
		r.cur.name = some(r.comment)
	case !withDomain:
		ok = false
		n := len(b) + 1
		if rest, _ := r.phrase(append(b, ' ')); len(rest) > n {
			r.cur.name, r.cur.mailbox = some(rest), optional{}
		} else if quoted && r.cur.mailbox.ok {
			r.cur.name, r.cur.mailbox = r.cur.mailbox, optional{}
		}
	}
	return ok
}
