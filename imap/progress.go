package imap

import "time"

// progressEvery is how often a command that takes long says how far it is; ten
// to fifteen seconds are what RFC 9585 §4 recommends.
const progressEvery = 10 * time.Second

// progress tells the client that a command is still at work.
type progress struct {
	s    *session
	last time.Time
	done uint64
	goal uint64
}

// progress begins; goal is how many messages there are to look at, 0 if nobody
// knows.
func (s *session) progress(goal uint64) *progress {
	return &progress{s: s, last: s.srv.d.Now(), goal: goal}
}

// step counts one message, and says so when it is time.
func (p *progress) step() error {
	p.done++
	now := p.s.srv.d.Now()
	if now.Sub(p.last) < progressEvery {
		return nil
	}
	p.last = now
	enc := p.s.enc
	enc.Raw("* OK [INPROGRESS (").String(p.s.tag).Raw(" ").Number(p.done).Raw(" ")
	if p.goal == 0 {
		enc.Raw("NIL")
	} else {
		enc.Number(max(p.goal, p.done))
	}
	enc.Raw(")] Still at work.").CRLF()
	return enc.Flush()
}
