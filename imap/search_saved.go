package imap

import (
	"math"
	"time"
)

// fuzzy reads the key after FUZZY, RFC 6203 §4: strings in it are words, each of
// which must be there, in any order.
func (p *searchParser) fuzzy() *searchKey {
	before := p.fuzz
	p.fuzz = true
	k := p.next()
	p.fuzz = before
	return k
}

// saved reads keys about when a message was put into the mailbox (RFC 8514
// §4.3) and about its identity (RFC 8474 §5.3); nil for others.
func (p *searchParser) saved(word string) *searchKey {
	switch word {
	case "SAVEDATESUPPORTED":
		return &searchKey{op: opAll}
	case "EMAILID":
		p.d.SP()
		p.a.bySaved = true
		return &searchKey{op: opEmail, id: p.d.Atom()}
	case "THREADID":
		p.d.SP()
		p.a.byThread = true
		return &searchKey{op: opThread, id: p.d.Atom()}
	case "SAVEDBEFORE", "SAVEDON", "SAVEDSINCE":
	default:
		return nil
	}
	p.d.SP()
	p.a.bySaved = true
	day := p.d.Date()
	begin := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, time.Local)
	k := &searchKey{op: opSaved, from: begin.Unix(), to: begin.AddDate(0, 0, 1).Unix()}
	if word == "SAVEDBEFORE" {
		k.from, k.to = math.MinInt64, k.from
	}
	if word == "SAVEDSINCE" {
		k.to = math.MaxInt64
	}
	return k
}
