package imap

import (
	"math"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/internal/message"
)

// searchArgs is SEARCH with RFC 4731, 5182, 7162.
type searchArgs struct {
	uid      bool
	extended bool // RETURN was given, or IMAP4rev2 is on
	min, max bool
	all      bool
	count    bool
	save     bool
	charset  string
	key      *searchKey
	texts    []message.Key
	fuzzy    []bool // of each text: it is one of FUZZY
	modSeq   bool   // MODSEQ was asked about
	partial  *partialRange
	relevant bool      // RELEVANCY
	update   bool      // the result is kept up to date
	sort     []sortKey // SORT
	limit    searchLimit
	bySaved  bool // SAVEDATE or EMAILID is asked about
	byThread bool // THREADID is
}

// searchKey is a condition. Which fields count depends on op.
type searchKey struct {
	op    searchOp
	sub   []*searchKey // and, or, not
	set   messages     // seqs, uids
	in    imapwire.Set // set, resolved
	flag  imap.Flag
	n     int64 // a size, a number of seconds, a MODSEQ
	from  int64 // times: from <= t < to, in seconds of Unix time
	to    int64
	day   time.Time // sent dates: the day
	text  int       // index in texts
	never bool      // no message of this mailbox can match
	bit   uint64    // flag, as storage has it
	id    string    // EMAILID, THREADID
}

type searchOp uint8

const (
	opAll searchOp = iota
	opAnd
	opOr
	opNot
	opSet
	opFlag
	opRecent
	opLarger
	opSmaller
	opDate
	opYounger
	opOlder
	opSentBefore
	opSentOn
	opSentSince
	opText
	opModSeq
	opSaved
	opEmail
	opThread
)

func parseSearch(s *session, d *imapwire.Decoder) *searchArgs { return readSearch(s, d, false) }

func parseUIDSearch(s *session, d *imapwire.Decoder) *searchArgs { return readSearch(s, d, true) }

func readSearch(s *session, d *imapwire.Decoder, uid bool) *searchArgs {
	p := &searchParser{d: d, a: &searchArgs{uid: uid, extended: s.on.rev2, limit: limitPart}}
	p.program(p.key())
	p.checkUpdate(s)
	return p.a
}

// program reads options, charset and keys; word is the first of them.
func (p *searchParser) program(word string) {
	if word == "RETURN" {
		p.options()
		word = p.key()
	}
	if word == "CHARSET" {
		p.d.SP()
		p.a.charset = p.d.AString()
		p.d.SP()
		word = p.key()
	}
	p.a.defaults()
	p.a.key = p.conjunction(word)
}

// checkUpdate: a tag names one result only, RFC 5267 §4.3.
func (p *searchParser) checkUpdate(s *session) {
	if p.a.update && s.hasContext(s.tag) {
		p.d.Fail("Duplicate search update tag")
	}
}

// defaults: RFC 4731 §3.1. Without options, all.
func (a *searchArgs) defaults() {
	if !a.min && !a.max && !a.count && !a.save && !a.relevant && !a.update && a.partial == nil {
		a.all = true
	}
}

// options reads what follows RETURN.
func (p *searchParser) options() {
	p.d.SP()
	p.a.extended = true
	p.d.List(func() { p.option(p.d.Keyword()) })
	p.d.SP()
	if p.a.partial != nil && p.a.all {
		p.d.Fail("PARTIAL can't be used with ALL") // RFC 9394 §3.1
	}
}

type searchParser struct {
	d    *imapwire.Decoder
	a    *searchArgs
	fuzz bool // within FUZZY
}

func (p *searchParser) option(word string) {
	switch word {
	case "MIN":
		p.a.min = true
	case "MAX":
		p.a.max = true
	case "ALL":
		p.a.all = true
	case "COUNT":
		p.a.count = true
	case "SAVE":
		p.a.save = true
	case "RELEVANCY":
		p.a.relevant = true
	case "UPDATE":
		p.a.update = true
	case "CONTEXT": // a hint, RFC 5267 §4.2
	case "PARTIAL":
		p.d.SP()
		p.a.partial = readPartialRange(p.d)
	default:
		p.d.Fail("Unknown SEARCH return option %s", word)
	}
}

// key reads the word of a key; "(" and numbers come back as they begin.
func (p *searchParser) key() string {
	switch c := p.d.Peek(); {
	case c == '(', c == '$', c == '*', c >= '0' && c <= '9':
		return string(rune(c))
	}
	return p.d.Keyword()
}

// conjunction reads keys to the end of the line or of the parenthesis.
func (p *searchParser) conjunction(word string) *searchKey {
	k := &searchKey{op: opAnd, sub: []*searchKey{p.one(word)}}
	for p.d.Peek() == ' ' {
		if p.d.SP(); p.d.AtEnd() {
			break
		}
		k.sub = append(k.sub, p.one(p.key()))
	}
	if len(k.sub) == 1 {
		return k.sub[0]
	}
	return k
}

func (p *searchParser) next() *searchKey {
	p.d.SP()
	return p.one(p.key())
}

// flagKeys are keys that are a flag, there or not.
var flagKeys = map[string]struct {
	flag imap.Flag
	not  bool
}{
	"ANSWERED": {imap.FlagAnswered, false}, "DELETED": {imap.FlagDeleted, false}, "DRAFT": {imap.FlagDraft, false},
	"FLAGGED": {imap.FlagFlagged, false}, "SEEN": {imap.FlagSeen, false},
	"UNANSWERED": {imap.FlagAnswered, true}, "UNDELETED": {imap.FlagDeleted, true}, "UNDRAFT": {imap.FlagDraft, true},
	"UNFLAGGED": {imap.FlagFlagged, true}, "UNSEEN": {imap.FlagSeen, true},
}

// textKeys are keys that look for a string.
var textKeys = map[string]message.Key{
	"BCC": {Field: "Bcc"}, "CC": {Field: "Cc"}, "FROM": {Field: "From"}, "SUBJECT": {Field: "Subject"}, "TO": {Field: "To"},
	"BODY": {Scope: message.ScopeBody}, "TEXT": {Scope: message.ScopeText},
}

// one reads the key that word begins. Nesting is bounded by the decoder.
func (p *searchParser) one(word string) *searchKey {
	defer p.d.Deeper()()
	if p.d.Err() != nil {
		return &searchKey{}
	}
	if f, ok := flagKeys[word]; ok {
		return negated(&searchKey{op: opFlag, flag: f.flag}, f.not)
	}
	if k, ok := textKeys[word]; ok {
		p.d.SP()
		return p.text(k, p.d.AString())
	}
	if k := p.saved(word); k != nil {
		return k
	}
	if k := p.beside(word); k != nil {
		return k
	}
	if k := p.dated(word); k != nil {
		return k
	}
	return p.other(word)
}

func negated(k *searchKey, not bool) *searchKey {
	if not {
		return &searchKey{op: opNot, sub: []*searchKey{k}}
	}
	return k
}

func (p *searchParser) other(word string) *searchKey {
	switch word {
	case "ALL":
		return &searchKey{op: opAll}
	case "NOT":
		return negated(p.next(), true)
	case "OR":
		a := p.next()
		return &searchKey{op: opOr, sub: []*searchKey{a, p.next()}}
	case "(":
		return p.parenthesis()
	case "FUZZY":
		return p.fuzzy()
	case "UID":
		p.d.SP()
		return &searchKey{op: opSet, set: readMessages(p.d, true)}
	case "RECENT":
		return &searchKey{op: opRecent}
	case "OLD":
		return negated(&searchKey{op: opRecent}, true)
	case "NEW":
		return &searchKey{op: opAnd, sub: []*searchKey{{op: opRecent}, negated(&searchKey{op: opFlag, flag: imap.FlagSeen}, true)}}
	case "KEYWORD", "UNKEYWORD":
		p.d.SP()
		return negated(&searchKey{op: opFlag, flag: imap.Flag(p.d.Flag())}, word == "UNKEYWORD")
	case "LARGER", "SMALLER", "YOUNGER", "OLDER", "MODSEQ":
		return p.numbered(word)
	case "HEADER":
		p.d.SP()
		field := p.d.AString()
		p.d.SP()
		return p.text(message.Key{Field: field}, p.d.AString())
	}
	if c := word[0]; c == '$' || c == '*' || c >= '0' && c <= '9' {
		return &searchKey{op: opSet, set: readMessages(p.d, false)}
	}
	p.d.Fail("Unknown argument %s", word)
	return &searchKey{}
}

func (p *searchParser) parenthesis() *searchKey {
	p.d.Expect('(')
	k := p.conjunction(p.key())
	p.d.Expect(')')
	return k
}

// numbered reads LARGER and SMALLER, YOUNGER and OLDER (RFC 5032), MODSEQ with
// or without an entry (RFC 7162 §3.1.5).
func (p *searchParser) numbered(word string) *searchKey {
	p.d.SP()
	op := map[string]searchOp{"LARGER": opLarger, "SMALLER": opSmaller, "YOUNGER": opYounger, "OLDER": opOlder, "MODSEQ": opModSeq}[word]
	if op == opModSeq {
		p.a.modSeq = true
		if p.d.Peek() == '"' {
			_ = p.d.String() // the entry: flags only have one MODSEQ
			p.d.SP()
			p.d.Atom()
			p.d.SP()
		}
	}
	n := p.d.Number63()
	if n == 0 && (op == opYounger || op == opOlder) { // RFC 5032 §3: nz-number
		p.d.Fail("Invalid search interval parameter")
	}
	return &searchKey{op: op, n: n}
}

// dated reads keys with a date. Those of INTERNALDATE mean days of this host's
// time zone, as INTERNALDATE is shown in it; those of the Date field the day
// that is written there.
func (p *searchParser) dated(word string) *searchKey {
	switch word {
	case "BEFORE", "ON", "SINCE", "SENTBEFORE", "SENTON", "SENTSINCE":
	default:
		return nil
	}
	p.d.SP()
	day := p.d.Date()
	begin := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.Local)
	end := begin.AddDate(0, 0, 1).Unix()
	switch word {
	case "BEFORE":
		return &searchKey{op: opDate, from: math.MinInt64, to: begin.Unix()}
	case "ON":
		return &searchKey{op: opDate, from: begin.Unix(), to: end}
	case "SINCE":
		return &searchKey{op: opDate, from: begin.Unix(), to: math.MaxInt64}
	case "SENTBEFORE":
		return &searchKey{op: opSentBefore, day: day}
	case "SENTON":
		return &searchKey{op: opSentOn, day: day}
	}
	return &searchKey{op: opSentSince, day: day}
}

// maxTexts bounds the strings that one search looks for: each costs work at
// every byte of every message.
const maxTexts = 100

func (p *searchParser) text(k message.Key, value string) *searchKey {
	if words := strings.Fields(value); p.fuzz && len(words) > 1 {
		all := &searchKey{op: opAnd}
		for _, w := range words {
			all.sub = append(all.sub, p.oneText(k, w))
		}
		return all
	}
	return p.oneText(k, value)
}

func (p *searchParser) oneText(k message.Key, value string) *searchKey {
	if len(p.a.texts) >= maxTexts {
		p.d.Fail("Too many strings to search for.")
		return &searchKey{}
	}
	if k.Scope != message.ScopeHeader && value == "" {
		return &searchKey{op: opAll} // the empty string is everywhere
	}
	k.Value = value
	p.a.texts, p.a.fuzzy = append(p.a.texts, k), append(p.a.fuzzy, p.fuzz)
	return &searchKey{op: opText, text: len(p.a.texts) - 1}
}
