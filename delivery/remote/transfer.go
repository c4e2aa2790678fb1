package remote

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// group is how many commands are sent before their replies are read.
const group = 50

// transfer sends the message to the recipients that are open.
func (s *session) transfer() {
	begun := s.a.c.d.Now()
	if res := s.unfit(); res != nil {
		s.result(s.openOnes(), *res, begun)
		s.keep()
		return
	}
	to := s.openOnes()
	if err := s.forward(); err != nil {
		s.lostMail(to, err, begun)
		s.close()
		return
	}
	accepted, ok := s.envelope(to, begun)
	if s.a.m.Verify && ok {
		s.send("RSET")
		s.quit()
		s.close()
		return
	}
	if !ok || len(accepted) > 0 && !s.content(accepted, begun) {
		s.close()
		return
	}
	s.keep()
}

func (s *session) openOnes() []int {
	var list []int
	for i, p := range s.a.pending {
		if p {
			list = append(list, i)
		}
	}
	return list
}

// result settles recipients.
func (s *session) result(who []int, r Result, begun time.Time) {
	r.Host, r.Relay, r.Uses = s.h.name, s.h.relay(), s.uses
	r.Setup, r.Talk = max(s.setup, 1), s.a.c.d.Now().Sub(begun)
	for _, i := range who {
		s.a.set(i, &r)
	}
}

// said is the result of a reply.
func (s *session) said(rep reply, to string) Result {
	r := Result{Status: Deferred, Enhanced: rep.enhanced(), Reply: rep.String(),
		Text: fmt.Sprintf("host %s said: %s (in reply to %s)", s.h, rep, to)}
	if rep.code >= 500 {
		r.Status = Bounced
	}
	return r
}

// lostMail settles recipients when the connection broke.
func (s *session) lostMail(who []int, err error, begun time.Time) {
	s.result(who, s.breakage(err), begun)
}

// unfit says what of the message the server cannot take.
func (s *session) unfit() *Result {
	m := s.a.m
	if limit := s.sizeLimit(); limit > 0 && m.Size > limit {
		return &Result{Status: Bounced, Enhanced: "5.3.4",
			Text: fmt.Sprintf("message size %d exceeds size limit %d of server %s", m.Size, limit, s.h)}
	}
	if m.Body == "BINARYMIME" && !(s.has("BINARYMIME") && s.has("CHUNKING")) {
		return &Result{Status: Bounced, Enhanced: "5.6.3",
			Text: fmt.Sprintf("BINARYMIME is required, but was not offered by host %s", s.h)}
	}
	if m.RequireTLS && m.From != "" && !s.has("REQUIRETLS") && !s.a.hop.Unix {
		return &Result{Status: Bounced, Enhanced: "5.7.30", Text: fmt.Sprintf("REQUIRETLS is required, but was not offered by host %s", s.h)}
	}
	if !m.UTF8 || s.has("SMTPUTF8") {
		return nil
	}
	if m.Verify {
		s.a.m.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("\r\n")), nil }
	}
	needed, err := s.needsUTF8()
	switch {
	case err != nil:
		return &Result{Status: Deferred, Enhanced: "4.3.0", Text: "queue file read error"}
	case needed:
		return &Result{Status: Bounced, Enhanced: "5.6.7", Text: fmt.Sprintf("SMTPUTF8 is required, but was not offered by host %s", s.h)}
	}
	return nil
}

// needsUTF8 reports whether an address or the header section is more than
// ASCII; a domain can be written in ASCII.
func (s *session) needsUTF8() (bool, error) {
	if !ascii(plainDomain(s.a.m.From)) {
		return true, nil
	}
	for _, r := range s.a.m.To {
		if !ascii(plainDomain(r.Address)) {
			return true, nil
		}
	}
	f, err := s.a.m.Open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadSlice('\n')
		if !ascii(string(line)) {
			return true, nil
		}
		if len(strings.TrimRight(string(line), "\r\n")) == 0 || err != nil && err != bufio.ErrBufferFull {
			return false, nil
		}
	}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// plainDomain writes the domain of an address in ASCII, if it can be.
func plainDomain(a string) string {
	i := strings.LastIndexByte(a, '@')
	if i < 0 || ascii(a[i:]) {
		return a
	}
	if domain, err := idna.Lookup.ToASCII(a[i+1:]); err == nil {
		return a[:i+1] + domain
	}
	return a
}

// envelope sends MAIL, RCPT and, if it may, DATA. It returns who was accepted;
// ok is false when the conversation is over.
func (s *session) envelope(to []int, begun time.Time) (accepted []int, ok bool) {
	pipelining := s.has("PIPELINING")
	s.send(s.mailCommand())
	if !pipelining {
		if !s.mailReply(to, begun) {
			return nil, false
		}
	}
	for start := 0; start < len(to); start += group {
		part := to[start:min(start+group, len(to))]
		if pipelining {
			for _, i := range part {
				s.send(s.rcptCommand(i))
			}
			if start == 0 && !s.mailReply(to, begun) {
				return nil, false
			}
		}
		for n, i := range part {
			if !pipelining {
				s.send(s.rcptCommand(i))
			}
			rep, err := s.read(s.a.cfg.RcptTimeout, "sending RCPT TO")
			if err != nil {
				s.lostMail(append(append(accepted, part[n:]...), to[start+len(part):]...), err, begun)
				return nil, false
			}
			if rep.ok() && s.a.m.Verify {
				s.result([]int{i}, Result{Status: Sent, Enhanced: rep.enhanced(), Text: rep.String(), Reply: rep.String()}, begun)
				continue
			}
			if rep.ok() {
				accepted = append(accepted, i)
				continue
			}
			s.result([]int{i}, s.said(rep, "RCPT TO command"), begun)
			if rep.code == 421 {
				s.result(append(append(accepted, part[n+1:]...), to[start+len(part):]...), s.said(rep, "RCPT TO command"), begun)
				return nil, false
			}
		}
	}
	return accepted, true
}

// mailReply reads the answer to MAIL; a refusal is one of every recipient.
func (s *session) mailReply(to []int, begun time.Time) bool {
	rep, err := s.read(s.a.cfg.MailTimeout, "sending MAIL FROM")
	if err != nil {
		s.lostMail(to, err, begun)
		return false
	}
	if !rep.ok() {
		s.result(to, s.said(rep, "MAIL FROM command"), begun)
		if rep.code != 421 && !s.has("PIPELINING") {
			s.quit()
		}
		return false
	}
	return true
}

func (s *session) mailCommand() string {
	m := s.a.m
	var b strings.Builder
	from := m.From
	if !s.has("SMTPUTF8") {
		from = plainDomain(from)
	}
	fmt.Fprintf(&b, "MAIL FROM:<%s>", from)
	if s.has("SIZE") && !m.Verify {
		fmt.Fprintf(&b, " SIZE=%d", m.Size)
	}
	switch {
	case m.Body == "BINARYMIME":
		b.WriteString(" BODY=BINARYMIME")
	case m.Body == "8BITMIME" && s.has("8BITMIME"):
		b.WriteString(" BODY=8BITMIME")
	}
	if m.UTF8 && s.has("SMTPUTF8") {
		b.WriteString(" SMTPUTF8")
	}
	if m.RequireTLS && s.maySayRequireTLS() {
		b.WriteString(" REQUIRETLS")
	}
	if s.has("DSN") {
		if m.Ret != "" {
			b.WriteString(" RET=" + m.Ret)
		}
		if m.EnvID != "" {
			b.WriteString(" ENVID=" + xtext(m.EnvID))
		}
	}
	return b.String()
}

func (s *session) rcptCommand(i int) string {
	r := s.a.m.To[i]
	address := r.Address
	if !s.has("SMTPUTF8") {
		address = plainDomain(address)
	}
	line := "RCPT TO:<" + address + ">"
	if s.has("DSN") {
		if r.Notify != "" {
			line += " NOTIFY=" + r.Notify
		}
		if kind, value, ok := strings.Cut(r.ORCPT, ";"); ok {
			line += " ORCPT=" + kind + ";" + xtext(value)
		}
	}
	return line
}

// xtext encodes a parameter, RFC 3461 §4.
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// content sends the message and reads what the server makes of it.
func (s *session) content(accepted []int, begun time.Time) (ok bool) {
	convert, err := s.converts()
	var f io.ReadCloser
	if err == nil {
		f, err = s.a.m.Open()
	}
	if err != nil {
		s.result(accepted, Result{Status: Deferred, Enhanced: "4.3.0", Text: "queue file read error"}, begun)
		return true
	}
	defer f.Close()
	if s.a.m.Body == "BINARYMIME" {
		s.send(fmt.Sprintf("BDAT %d LAST", s.a.m.Size))
		err = s.stream(f, binary)
	} else {
		rep, err2 := s.ask("DATA", s.a.cfg.DataInitTimeout, "sending DATA command")
		if err2 != nil {
			s.lostMail(accepted, err2, begun)
			return false
		}
		if rep.code != 354 {
			s.result(accepted, s.said(rep, "DATA command"), begun)
			return rep.code != 421
		}
		if convert {
			err = s.stream(f, recoded)
		} else {
			err = s.stream(Wrap(f, s.a.cfg.LineLimit), stuffed)
		}
	}
	if err != nil {
		s.lostMail(accepted, err, begun)
		return false
	}
	return s.verdicts(accepted, begun)
}

// verdicts reads the replies at the end: one, or with LMTP one for each
// recipient. RFC 2033 §4.2
func (s *session) verdicts(accepted []int, begun time.Time) (ok bool) {
	stage := "sending end of data -- message may be sent more than once"
	if !s.a.hop.LMTP {
		rep, err := s.read(s.a.cfg.DataDoneTimeout, stage)
		if err != nil {
			s.inDoubt(accepted, err, begun)
			return false
		}
		s.final(accepted, rep, begun)
		return rep.code != 421
	}
	for n, i := range accepted {
		rep, err := s.read(s.a.cfg.DataDoneTimeout, stage)
		if err != nil {
			s.inDoubt(accepted[n:], err, begun)
			return false
		}
		s.final([]int{i}, rep, begun)
	}
	return true
}

// inDoubt defers recipients that the server may have taken: no other host is
// tried now, since that would make two copies likely.
func (s *session) inDoubt(who []int, err error, begun time.Time) {
	s.lostMail(who, err, begun)
	for _, i := range who {
		s.a.pending[i] = false
		s.a.results[i].InDoubt = true
	}
}

func (s *session) final(who []int, rep reply, begun time.Time) {
	if !rep.ok() {
		s.result(who, s.said(rep, "end of DATA command"), begun)
		return
	}
	s.result(who, Result{Status: Sent, Enhanced: rep.enhanced(), Text: rep.String(), Reply: rep.String(), DSN: s.has("DSN")}, begun)
}

// quit ends the conversation without waiting for the answer.
func (s *session) quit() {
	s.nc.SetDeadline(time.Now().Add(min(s.a.cfg.QuitTimeout, 5*time.Second)))
	s.send("QUIT")
	s.flush()
}

// stream sends the text with write, giving the remote DataXferTimeout for each
// piece.
func (s *session) stream(r io.Reader, write func(*bufio.Writer, io.Reader, func()) error) error {
	progress := func() { s.nc.SetDeadline(time.Now().Add(s.a.cfg.DataXferTimeout)) }
	progress()
	if err := write(s.writer(), r, progress); err != nil {
		return &broken{err, "sending message body"}
	}
	return nil
}
