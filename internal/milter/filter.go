package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// filter is the conversation with one filter.
type filter struct {
	s    *Session
	spec Spec
	nc   net.Conn // nil: not reached, or given up
	out  []byte   // packets not yet sent
	in   []byte   // of the last answer

	offer          uint32 // steps that our version of the protocol has
	actions, steps uint32 // as it wants them
	macros         [stages][]string
	chosen         [stages]bool // macros are what the filter asked for

	state state
	reply Decision // what holds from now on, once the filter has decided or failed
}

type state int

const (
	closed   state = iota
	envelope       // it hears all
	message        // within Message
	accepted       // this message is none of its business any more
	finished       // this session is not
	failed         // likewise; reply is the default action
)

// connect reaches the filter and agrees on the protocol.
func (f *filter) connect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.spec.Connect)
	defer cancel()
	nc, err := f.s.dial(ctx, f.spec.Network, f.spec.Address)
	if err != nil {
		f.fail("connect to Milter service %s: %s", f.spec.Name, systemText(err))
		return
	}
	f.nc, f.state = nc, envelope
	o := offers[f.spec.Protocol]
	f.offer = o.steps
	f.out = appendPacket(f.out[:0], evOptneg, uint32(f.spec.Protocol), o.actions, o.steps)
	code, data, err := f.answer(ctx, f.spec.Command)
	switch {
	case err != nil:
		f.fail("milter %s: can't read %s reply packet header: %s", f.spec.Name, eventNames[evOptneg], systemText(err))
	case code != evOptneg:
		f.fail("milter %s: unexpected reply %q in initial handshake", f.spec.Name, code)
	default:
		f.agree(data)
	}
}

// agree reads what the filter made of our offer.
func (f *filter) agree(data []byte) {
	version, data, _ := cutNumber(data)
	actions, data, _ := cutNumber(data)
	steps, data, ok := cutNumber(data)
	o := offers[f.spec.Protocol]
	switch {
	case !ok:
		f.fail("milter %s: read error in initial handshake", f.spec.Name)
	case version > uint32(f.spec.Protocol):
		f.fail("milter %s: protocol version %d conflict with MTA protocol version %d", f.spec.Name, version, f.spec.Protocol)
	case actions&^o.actions != 0:
		f.fail("milter %s: request mask 0x%x conflict with MTA request mask 0x%x", f.spec.Name, actions, o.actions)
	default:
		f.actions, f.steps = actions, steps
		if actions&actSetSymlist != 0 {
			f.choose(data)
		}
	}
}

// choose reads the macros that the filter wants, by stage.
func (f *filter) choose(data []byte) {
	for len(data) > 0 {
		n, rest, ok := cutNumber(data)
		text, rest, whole := cutText(rest)
		if !ok || !whole || n >= uint32(stageUnknown) {
			f.fail("milter %s: read error in initial handshake", f.spec.Name)
			return
		}
		f.macros[n], f.chosen[n] = strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(separators, r) }), true
		data = rest
	}
}

// fail gives the filter up: its default action holds from now on.
func (f *filter) fail(format string, args ...any) {
	f.s.warn(fmt.Sprintf(format, args...))
	f.hangUp()
	f.state = failed
	switch f.spec.DefaultAction {
	case "accept":
		f.reply = Decision{}
	case "reject":
		f.reply = Decision{Kind: Refuse, Reply: "550 5.5.0 Service unavailable"}
	case "quarantine":
		f.reply = Decision{Kind: Hold}
	case "shutdown":
		f.reply = Decision{Kind: Refuse, Reply: "421 4.7.1 Service unavailable - try again later"}
	default:
		f.reply = tryLater
	}
}

var (
	rejected = Decision{Kind: Refuse, Reply: "550 5.7.1 Command rejected"}
	tryLater = Decision{Kind: Refuse, Reply: "451 4.7.1 Service unavailable - try again later"}
)

func (f *filter) hangUp() {
	if f.nc != nil {
		f.nc.Close()
		f.nc = nil
	}
	f.out, f.in = nil, nil
}

// event is something that a filter is told.
type event struct {
	code    byte
	stage   stage
	skip    uint32 // the step by which the filter leaves it out
	silent  uint32 // and by which it does not answer
	parts   []any
	timeout time.Duration // for the answer
	edits   *edits        // where changes go; nil: none are allowed
}

// tell sends an event and reads what the filter makes of it.
func (f *filter) tell(ctx context.Context, e event) Decision {
	if f.offer&e.skip != e.skip { // unknown in this version of the protocol
		return f.reply
	}
	if m := f.macrosOf(e.stage); len(m) > 0 {
		f.out = appendPacket(f.out, evMacro, e.code, m)
	}
	if f.steps&e.skip != 0 {
		return f.reply
	}
	f.out = appendPacket(f.out, e.code, e.parts...)
	if f.steps&e.silent != 0 {
		if len(f.out) > chunkSize {
			f.flush(ctx, e)
		}
		return f.reply
	}
	for f.state != failed {
		code, data, err := f.answer(ctx, e.timeout)
		if err != nil {
			f.fail("milter %s: can't read %s reply packet header: %s", f.spec.Name, eventNames[e.code], systemText(err))
			break
		}
		if d, done := f.heard(e, code, data); done {
			return d
		}
	}
	return f.reply
}

func (f *filter) flush(ctx context.Context, e event) {
	if err := f.send(ctx, e.timeout); err != nil {
		f.fail("milter %s: error writing command: %s", f.spec.Name, systemText(err))
	}
}

// heard is one answer; done is false when another follows.
func (f *filter) heard(e event, code byte, data []byte) (d Decision, done bool) {
	begin := e.code == evConnect || e.code == evHelo
	switch code {
	case rpProgress:
		return d, false
	case rpContinue:
		return f.reply, true
	case rpSkip:
		if e.code == evBody {
			f.steps |= noBody // of this message; see begin of Message
			return f.reply, true
		}
	case rpAccept:
		f.state = accepted
		if begin {
			f.state = finished
		}
		return f.reply, true
	case rpDiscard:
		if begin {
			f.s.warn("milter " + f.spec.Name + ": DISCARD action is not allowed for connect or helo")
			f.state = finished
			return f.reply, true
		}
		f.state = accepted
		return Decision{Kind: Discard}, true
	case rpReject:
		return f.refuse(rejected, begin), true
	case rpTempFail:
		return f.refuse(tryLater, begin), true
	case rpShutdown, rpConnFail:
		return f.refuse(Decision{Kind: Refuse, Reply: "421 4.7.0 Server closing connection"}, true), true
	case rpReplyCode:
		text, _, _ := strings.Cut(string(data), "\x00")
		if !validReply(text) {
			f.fail("milter %s: malformed reply: %.100s", f.spec.Name, text)
			return f.reply, true
		}
		return f.refuse(Decision{Kind: Refuse, Reply: plainPercent(text)}, begin), true
	}
	if e.edits != nil && e.edits.take(f, code, data) {
		return d, false
	}
	if f.state != failed {
		f.fail("milter %s: unexpected filter response %q after event %s", f.spec.Name, code, eventNames[e.code])
	}
	return f.reply, true
}

// refuse is a decision against the client; at the beginning it holds for the
// whole session.
func (f *filter) refuse(d Decision, session bool) Decision {
	if session {
		f.state, f.reply = finished, d
	}
	return d
}

// validReply is "ddd text" of one line or more, 4xx or 5xx.
func validReply(text string) bool {
	return len(text) >= 4 && (text[0] == '4' || text[0] == '5') && isDigit(text[1]) && isDigit(text[2]) && (text[3] == ' ' || text[3] == '-')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// plainPercent undoes the doubling of % that libmilter wants.
func plainPercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			if i++; i == len(s) {
				break
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// send writes what is gathered.
func (f *filter) send(ctx context.Context, timeout time.Duration) error {
	defer f.cancelled(ctx)()
	f.nc.SetDeadline(time.Now().Add(timeout))
	_, err := f.nc.Write(f.out)
	f.out = f.out[:0]
	return err
}

// answer sends what is gathered and reads one packet.
func (f *filter) answer(ctx context.Context, timeout time.Duration) (code byte, data []byte, err error) {
	if len(f.out) > 0 {
		if err := f.send(ctx, timeout); err != nil {
			return 0, nil, err
		}
	}
	defer f.cancelled(ctx)()
	f.nc.SetDeadline(time.Now().Add(timeout))
	code, data, f.in, err = readPacket(f.nc, f.in)
	return code, data, err
}

// cancelled wakes a read or write when ctx ends; call what it returns.
func (f *filter) cancelled(ctx context.Context) func() bool {
	nc := f.nc
	return context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
}

// abort ends the message in the filter's eyes.
func (f *filter) abort() {
	if f.state != envelope && f.state != accepted && f.state != message {
		return
	}
	f.out = appendPacket(f.out, evAbort) // goes out with the next event
	f.state = envelope
}

// quit ends the session.
func (f *filter) quit() {
	if f.nc == nil {
		return
	}
	f.out = appendPacket(f.out, evQuit)
	f.nc.SetDeadline(time.Now().Add(time.Second))
	f.nc.Write(f.out) // the filter may be gone; there is nothing to lose
	f.hangUp()
}

// systemText says an error in the words that perror(3) has for it.
func systemText(err error) string {
	var no syscall.Errno
	switch {
	case errors.As(err, &no):
		text := no.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return "Connection timed out"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "Application error"
	}
	return err.Error()
}
