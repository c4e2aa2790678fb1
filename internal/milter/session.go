package milter

import (
	"context"
	"net"
	"net/netip"
	"slices"
)

// Kind is what filters make of something.
type Kind int

const (
	Continue Kind = iota
	Refuse        // Reply is the answer
	Hold          // the message is to wait until somebody looks at it
	Discard       // the message is to vanish
)

// Decision is the outcome of an event.
type Decision struct {
	Kind  Kind
	Reply string // "550 5.7.1 text"; lines end in CRLF where there are several
}

// Deps is what a Session needs.
type Deps struct {
	Config *Config
	// Macro gives the value of a macro by its name ({client_addr}, i), ok
	// false if it has none now.
	Macro func(name string) (value string, ok bool)
	// Warn is told what goes wrong, in Postfix's words without "warning: ".
	Warn func(line string)
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network
}

// Session is one SMTP client before all filters. One goroutine uses it.
type Session struct {
	d       Deps
	filters []*filter
	fixed   map[string]string // milter_macro_defaults
}

// New begins a session before filters. It reaches none of them yet.
func New(d Deps, filters []Spec) *Session {
	s := &Session{d: d, filters: make([]*filter, len(filters))}
	s.fixed, _ = parseDefaults(d.Config.Defaults) // Validate has seen it
	for i, spec := range filters {
		s.filters[i] = &filter{s: s, spec: spec}
	}
	return s
}

func (s *Session) warn(line string) {
	if s.d.Warn != nil {
		s.d.Warn(line)
	}
}

func (s *Session) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if s.d.Dial != nil {
		return s.d.Dial(ctx, network, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// each asks the filters in their order until one refuses or discards. A Hold
// does not end it.
func (s *Session) each(ask func(*filter) Decision) Decision {
	held := Decision{}
	for _, f := range s.filters {
		switch d := ask(f); d.Kind {
		case Hold:
			held = d
		case Refuse, Discard:
			return d
		}
	}
	return held
}

// envelope tells an event that belongs to the envelope to all that still
// listen.
func (s *Session) envelope(ctx context.Context, e event) Decision {
	return s.each(func(f *filter) Decision {
		if f.state != envelope {
			return f.reply
		}
		e.timeout = f.spec.Command
		return f.tell(ctx, e)
	})
}

// Connect reaches all filters and tells them of the client. An address that is
// not valid is a client on a Unix-domain socket.
func (s *Session) Connect(ctx context.Context, name string, a netip.AddrPort) Decision {
	parts := []any{name, byte('U')}
	if a.IsValid() {
		family := byte('4')
		text := a.Addr().String()
		if a.Addr().Is6() {
			family, text = '6', "IPv6:"+text
		}
		parts = []any{name, family, a.Port(), text}
	}
	return s.each(func(f *filter) Decision {
		if f.state == closed {
			f.connect(ctx)
		}
		if f.state != envelope {
			return f.reply
		}
		return f.tell(ctx, event{code: evConnect, stage: stageConnect, skip: noConnect, silent: noConnReply, parts: parts, timeout: f.spec.Command})
	})
}

// Helo tells the name that the client gives itself.
func (s *Session) Helo(ctx context.Context, name string) Decision {
	return s.each(func(f *filter) Decision {
		if f.state != envelope && f.state != accepted {
			return f.reply
		}
		return f.tell(ctx, event{code: evHelo, stage: stageHelo, skip: noHelo, silent: noHeloReply, parts: []any{name}, timeout: f.spec.Command})
	})
}

// Mail tells the sender, with its angle brackets, and the parameters of MAIL.
func (s *Session) Mail(ctx context.Context, args ...string) Decision {
	return s.envelope(ctx, event{code: evMail, stage: stageMail, skip: noMail, silent: noMailReply, parts: []any{args}})
}

// Rcpt tells a recipient that was accepted.
func (s *Session) Rcpt(ctx context.Context, args ...string) Decision {
	return s.envelope(ctx, event{code: evRcpt, stage: stageRcpt, skip: noRcpt, silent: noRcptReply, parts: []any{args}})
}

// Rejected tells a recipient that was refused to the filters that want to
// know. Their answers change nothing.
func (s *Session) Rejected(ctx context.Context, args ...string) {
	for _, f := range s.filters {
		if f.state == envelope && f.steps&wantRejected != 0 {
			f.tell(ctx, event{code: evRcpt, stage: stageRcpt, skip: noRcpt, silent: noRcptReply, parts: []any{args}, timeout: f.spec.Command})
		}
	}
}

// Data tells that the text of a message follows.
func (s *Session) Data(ctx context.Context) Decision {
	return s.envelope(ctx, event{code: evData, stage: stageData, skip: noData, silent: noDataReply})
}

// Unknown tells the name of a command that the server does not know.
func (s *Session) Unknown(ctx context.Context, verb string) Decision {
	return s.envelope(ctx, event{code: evUnknown, stage: stageUnknown, skip: noUnknown, silent: noUnknReply, parts: []any{verb}})
}

// Abort ends a message that does not come to its end.
func (s *Session) Abort() {
	for _, f := range s.filters {
		f.abort()
	}
}

// Close ends the session.
func (s *Session) Close() {
	for _, f := range s.filters {
		f.quit()
	}
}

// Active reports whether any filter still has something to say.
func (s *Session) Active() bool {
	return slices.ContainsFunc(s.filters, func(f *filter) bool {
		return f.state == envelope || f.reply.Kind != Continue
	})
}
