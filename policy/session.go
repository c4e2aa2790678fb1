package policy

import (
	"context"
	"crypto/tls"
	"io"
	"net/netip"
	"strings"

	"mailserver/internal/address"
	"mailserver/schema"
)

// Role is which of the three servers asks.
type Role int

const (
	MX Role = iota
	Submission
	LMTP
)

// Client is who connects.
type Client struct {
	Addr        netip.Addr
	Port        uint16
	Local       netip.AddrPort // which of our sockets it has reached
	Name        string         // verified name, or "unknown"
	ReverseName string         // name of the PTR record, or "unknown"
	TempFail    bool           // the names could not be looked up now
	Role        Role
	Tag         string // of the listener
}

// Recipient is what delivery/route knows of a RCPT TO address, once looked up.
type Recipient struct {
	Original address.Address // as the client wrote it
	Address  address.Address // qualified
	Class    schema.Class    // of the domain; External when it is not ours
	Domain   string
	RClass   int    // number of its restriction class, default applied
	Listed   bool   // the address exists, or its class cannot tell
	Table    string // not Listed: "local recipient table"
	MovedTo  string // relocated(5)
	Rejects  string // text of an error: or retry: transport, with its code
	Extended string // address without extension, '' if it has none
}

// Sender is what delivery/route knows of the MAIL FROM address.
type Sender struct {
	Original address.Address
	Address  address.Address
	Class    schema.Class
	Listed   bool
	Table    string
	// Owners returns the log-ins of the mailboxes that get mail for the address,
	// directly, by aliases or as catch-all. nil: nobody knows.
	Owners func(context.Context) ([]string, error)
}

// Session judges one SMTP connection. It is used by one goroutine.
type Session struct {
	e      *Engine
	client Client

	helo     string
	hasHelo  bool
	esmtp    bool
	tls      *tls.ConnectionState
	user     string
	mech     string
	pipeline bool // the client has sent commands ahead of an answer it must await

	sender   *Sender // nil outside of a transaction
	size     int64
	instance string  // of the transaction, for policy servers; '' not yet needed
	content  Content // at the end of data
	auth     authentic
	accepted int        // recipients of this transaction
	last     *Recipient // the last of them
	discard  bool       // DISCARD was said: nothing more is asked
	reasons  []string   // of the recipients, for the message

	// What defer_if_permit keeps between the lists of one command, or between
	// commands with smtpd_delay_reject=no: the first reason.
	ifPermitClient, ifPermitHelo, ifPermitSender *Verdict

	// Explain makes the evaluation leave its steps in Trace.
	Explain bool
	Trace   []Step
	// KeepSteps makes verdicts carry the steps of their command, with trace_steps.
	KeepSteps bool
	steps     *[]Step // what Trace was taken from, while a command is judged
	// Dry: nothing is recorded, and nobody but the DNS and policy servers asked.
	Dry bool
}

// NewSession begins a connection.
func (e *Engine) NewSession(c Client) *Session {
	c.Addr = c.Addr.Unmap()
	if c.Name == "" {
		c.Name = "unknown"
	}
	if c.ReverseName == "" {
		c.ReverseName = "unknown"
	}
	return &Session{e: e, client: c}
}

// Connect judges the client. With smtpd_delay_reject this waits for RCPT.
func (s *Session) Connect(ctx context.Context) Verdict {
	return s.judge(ctx, "CONNECT", func(x *query) outcome {
		if x.cfg.DelayReject {
			return dunno
		}
		return x.clientList()
	})
}

// Helo judges HELO, EHLO or LHLO; esmtp is false for HELO. A refused name is
// forgotten.
func (s *Session) Helo(ctx context.Context, name string, esmtp bool) Verdict {
	oldName, oldHas := s.helo, s.hasHelo
	s.helo, s.hasHelo, s.esmtp = strings.Map(harmless, name), true, esmtp
	where := "HELO"
	if esmtp {
		where = "EHLO"
	}
	v := s.judge(ctx, where, func(x *query) outcome {
		if x.cfg.DelayReject {
			return dunno
		}
		return x.heloList()
	})
	if !v.OK() {
		s.helo, s.hasHelo = oldName, oldHas
	}
	return v
}

// harmless replaces what no name has and what would be misread in replies and
// the log, as Postfix does.
func harmless(r rune) rune {
	if r <= ' ' || r == 0x7f || strings.ContainsRune("<>()\\\";@", r) {
		return '?'
	}
	return r
}

// TLS records that the session is encrypted now. RFC 3207 §4.2: what the
// client said before is forgotten.
func (s *Session) TLS(st *tls.ConnectionState) {
	s.tls = st
	s.helo, s.hasHelo = "", false
	s.user, s.mech = "", ""
	s.Reset()
}

// Login records who has logged in, by which mechanism.
func (s *Session) Login(user, mechanism string) { s.user, s.mech = user, mechanism }

// Pipelined records that the client sent commands ahead where SMTP does not
// allow it; reject_unauth_pipelining refuses for the rest of the session.
func (s *Session) Pipelined() { s.pipeline = true }

// Mail begins a transaction. size is the SIZE parameter, 0 if none. A refusal
// leaves no transaction.
func (s *Session) Mail(ctx context.Context, from Sender, size int64) Verdict {
	s.Reset()
	s.sender, s.size = &from, size
	v := s.judge(ctx, "MAIL", func(x *query) outcome {
		if x.cfg.DelayReject {
			return dunno
		}
		return x.senderList()
	})
	if !v.OK() {
		s.Reset()
	}
	return v
}

// Rcpt judges one recipient by client, helo, sender, relay and recipient
// lists, its restriction class among them.
func (s *Session) Rcpt(ctx context.Context, to Recipient) Verdict {
	s.auth.asking = s.auth.asking[:0]
	v := s.rcpt(ctx, "RCPT", &to)
	if v.OK() {
		s.auth.asks = append(s.auth.asks, s.auth.asking...)
		s.accepted++
		s.last = &to
		s.reasons = v.addReasons(s.reasons)
	}
	return v
}

// Vrfy judges VRFY as a RCPT that changes nothing.
func (s *Session) Vrfy(ctx context.Context, to Recipient) Verdict {
	discard := s.discard
	v := s.rcpt(ctx, "VRFY", &to)
	s.discard = discard
	v.Effects = Effects{}
	return v
}

func (s *Session) rcpt(ctx context.Context, where string, to *Recipient) Verdict {
	// RFC 5321 §4.5.1: mail to the bare name must be taken.
	if to.Original.Domain == "" && strings.EqualFold(to.Original.Local, "postmaster") {
		return Verdict{}
	}
	return s.judge(ctx, where, func(x *query) outcome {
		x.rcpt = to
		return x.rcptLists()
	})
}

// Etrn judges ETRN for a domain.
func (s *Session) Etrn(ctx context.Context, domain string) Verdict {
	return s.judge(ctx, "ETRN", func(x *query) outcome {
		x.etrn = domain
		return x.etrnList()
	})
}

// Data judges DATA, or the first BDAT.
func (s *Session) Data(ctx context.Context) Verdict {
	return s.judge(ctx, "DATA", func(x *query) outcome {
		return x.messageList(x.texts.data, "smtpd_data_restrictions", "DATA", ClassData)
	})
}

// Content is a message that has come in.
type Content struct {
	ID   string // queue ID
	Size int64  // bytes
	// Open reads it from its first byte, our own header lines among them. It
	// may be called more than once; nil: there is nothing to read.
	Open func() io.Reader
}

// EndOfData judges the message that has come in.
func (s *Session) EndOfData(ctx context.Context, m Content) Verdict {
	s.size, s.content = m.Size, m
	return s.judge(ctx, "END-OF-MESSAGE", func(x *query) outcome {
		defer x.keepDMARC()
		if x.messageAuth() == refused {
			return refused
		}
		out := x.messageList(x.texts.endOfData, "smtpd_end_of_data_restrictions", "END-OF-MESSAGE", ClassEndOfData)
		if out != refused && !x.s.discard {
			out = x.countUser()
		}
		if out != refused {
			x.authHeaders()
			x.reasonHeader()
		}
		return out
	})
}

// Reset ends the transaction.
func (s *Session) Reset() {
	s.sender, s.size, s.accepted, s.last, s.discard = nil, 0, 0, nil, false
	s.content, s.instance, s.auth, s.reasons = Content{}, "", authentic{}, nil
}

// nameAddr is the client as replies and the log call it.
func (s *Session) nameAddr() string { return s.client.Name + "[" + s.client.Addr.String() + "]" }
