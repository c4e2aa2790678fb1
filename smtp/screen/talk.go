package screen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mailserver/internal/maillog"
	"mailserver/internal/smtpwire"
)

// engine talks to a client that will not go on to the server in this
// connection: it has failed, or its ways are looked at. No recipient is taken.
type engine struct {
	*client
	rd     *smtpwire.Reader
	where  string
	count  int
	done   bool
	secure bool

	hello, sender      string
	hasHello, hasMail  bool
	proto              string
	skipPipe, skipBare bool // the test has been failed
	skipVerb           bool
}

// talk is the whole conversation.
func (x *client) talk(ctx context.Context, stopping func() bool) {
	e := &engine{client: x, where: "CONNECT", proto: "SMTP"}
	x.stage = "tests after SMTP handshake"
	if x.reply == "" {
		x.reply = "450 4.3.2 Service currently unavailable"
	}
	src := io.Reader(x.nc)
	if len(x.early) > 0 {
		src = &told{Conn: x.nc, said: x.early}
	}
	e.rd = smtpwire.NewReader(src)
	defer e.rd.Discard(nil)
	// Who has talked too early hears no greeting: it would be taken for the
	// answer to what was said.
	if len(x.early) == 0 && x.send("220 "+x.c.Banner+"\r\n") != nil {
		x.hangup()
		return
	}
	for !e.done && !x.gone {
		e.step(ctx, stopping)
	}
	if !x.failed && e.passed() {
		x.log("pass new", "PASS NEW %s", x.from)
		x.gone, x.reply = false, ""
	}
}

// passed reports whether no test is open any more.
func (e *engine) passed() bool { return !e.wantsDeep() && !e.skipPipe && !e.skipBare && !e.skipVerb }

// step reads one command and answers.
func (e *engine) step(ctx context.Context, stopping func() bool) {
	e.nc.SetReadDeadline(time.Now().Add(e.c.CommandTime))
	line, err := e.rd.ReadLine(e.c.LineLimit)
	switch {
	case errors.Is(err, smtpwire.ErrLineTooLong):
		e.log("command length", "COMMAND LENGTH LIMIT from %s after %s", e.from, e.where)
		e.last("421 " + e.c.Hostname + " Service unavailable - try again later")
		return
	case isTimeout(err) && stopping():
		e.last("421 4.3.2 " + e.c.Hostname + " Service shutting down, closing transmission channel")
		return
	case isTimeout(err):
		e.log("command time", "COMMAND TIME LIMIT from %s after %s", e.from, e.where)
		e.last("421 4.4.2 " + e.c.Hostname + " Error: timeout exceeded")
		return
	case err != nil:
		e.hangup()
		return
	}
	text := strings.Trim(string(line), " \t")
	if e.bare(text) {
		return
	}
	verb, args, _ := strings.Cut(text, " ")
	args = strings.TrimSpace(args)
	name := strings.ToUpper(verb)
	if !slices.Contains(verbs, name) {
		name = "UNIMPL"
	}
	before := e.where
	e.where = name
	if e.nonSMTP(verb, args, name, before) || e.pipelined(verb, name) {
		return
	}
	if name == "RCPT" {
		e.passHere()
	}
	if e.count++; e.count > e.c.CommandCount && name != "QUIT" {
		e.log("command count", "COMMAND COUNT LIMIT from %s after %s", e.from, before)
		e.last("421 " + e.c.Hostname + " Service unavailable - try again later")
		return
	}
	e.run(ctx, name, args)
}

var verbs = []string{"HELO", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "ETRN", "QUIT", "AUTH", "XCLIENT", "XFORWARD"}

// failDeep is fail for a test behind the greeting.
func (e *engine) failDeep(action, drop string) (dropped bool) {
	switch action {
	case "drop":
		e.failed = true
		e.last(drop)
		return true
	case "enforce":
		if !e.failed {
			e.reply = "550 5.5.1 Protocol error"
		}
		e.failed = true
	}
	return false
}

// tested: after a failure before the greeting all tests are made, for the log.
func (e *engine) tested(enabled bool, pass time.Time) bool {
	return e.failed || enabled && !pass.After(e.s.d.Now())
}

func (e *engine) bare(text string) bool {
	if !e.rd.BareLF() || e.skipBare || !e.tested(e.c.BareNewline, e.pass.BareNewline) {
		return false
	}
	e.log("bare newline", "BARE NEWLINE from %s after %s", e.from, maillog.Escaped([]byte(text), 100))
	e.skipBare = e.c.BareAction != "ignore"
	e.pass.BareNewline = e.s.d.Now().Add(e.c.DNSBLMinTTL)
	return e.failDeep(e.c.BareAction, "521 5.5.1 Protocol error")
}

func (e *engine) nonSMTP(verb, args, name, before string) bool {
	if name != "UNIMPL" || e.skipVerb || !e.tested(e.c.NonSMTP, e.pass.NonSMTP) || !e.strange(verb) {
		return false
	}
	e.log("non-SMTP command", "NON-SMTP COMMAND from %s after %s: %s %s", e.from, before, printable(verb, 100), maillog.Escaped([]byte(args), 100))
	e.skipVerb = e.c.NonSMTPAction != "ignore"
	e.pass.NonSMTP = e.s.d.Now().Add(e.c.DNSBLMinTTL)
	return e.failDeep(e.c.NonSMTPAction, "521 5.7.0 Error: I can break rules, too. Goodbye.")
}

// strange: a header, no text, or a command of another protocol.
func (e *engine) strange(verb string) bool {
	return strings.Contains(verb, ":") || !utf8.ValidString(verb) ||
		slices.ContainsFunc(e.c.Forbidden, func(w string) bool { return strings.EqualFold(w, verb) })
}

func (e *engine) pipelined(verb, name string) bool {
	early := e.rd.Pending()
	if len(early) == 0 || name == "BDAT" || e.skipPipe || !e.tested(e.c.Pipelining, e.pass.Pipelining) {
		return false
	}
	e.log("command pipelining", "COMMAND PIPELINING from %s after %s: %s", e.from, printable(verb, 100), maillog.Escaped(early, 100))
	e.skipPipe = e.c.PipeliningAction != "ignore"
	e.pass.Pipelining = e.s.d.Now().Add(e.c.DNSBLMinTTL)
	return e.failDeep(e.c.PipeliningAction, "521 5.5.1 Protocol error")
}

// passHere: who has come to RCPT without a fault has passed.
func (e *engine) passHere() {
	now := e.s.d.Now()
	set := func(enabled, skip bool, at *time.Time, ttl time.Duration) {
		if enabled && !skip && !at.After(now) {
			*at = now.Add(ttl)
		}
	}
	set(e.c.Pipelining, e.skipPipe, &e.pass.Pipelining, e.c.PipeliningTTL)
	set(e.c.NonSMTP, e.skipVerb, &e.pass.NonSMTP, e.c.NonSMTPTTL)
	set(e.c.BareNewline, e.skipBare, &e.pass.BareNewline, e.c.BareTTL)
}

// say answers; last ends the conversation too.
func (e *engine) say(text string) {
	if e.send(text+"\r\n") != nil {
		e.hangup()
	}
}

func (e *engine) last(text string) {
	e.done = true
	e.send(text + "\r\n")
}

// run answers one command.
func (e *engine) run(ctx context.Context, name, args string) {
	switch name {
	case "HELO", "EHLO":
		e.helo(name, args)
	case "STARTTLS":
		e.startTLS(ctx, args)
	case "MAIL":
		e.mail(args)
	case "RCPT":
		e.rcpt(args)
	case "DATA", "BDAT":
		e.data(name, args)
	case "RSET":
		e.hasMail = false
		e.say("250 2.0.0 Ok")
	case "NOOP":
		e.say("250 2.0.0 Ok")
	case "VRFY":
		switch {
		case args == "":
			e.say("501 5.5.4 Syntax: VRFY address")
		case e.c.DisableVrfy:
			e.say("502 5.5.1 VRFY command is disabled")
		default:
			e.say(e.reply)
		}
	case "ETRN":
		switch {
		case e.c.HeloRequired && !e.hasHello:
			e.say("503 5.5.1 Error: send HELO/EHLO first")
		case args == "":
			e.say("500 Syntax: ETRN domain")
		default:
			e.say("458 Unable to queue messages")
		}
	case "QUIT":
		e.last("221 2.0.0 Bye")
	default:
		e.say("502 5.5.2 Error: command not recognized")
	}
}

func (e *engine) helo(name, args string) {
	if args == "" {
		e.say("501 Syntax: " + name + " hostname")
		return
	}
	e.hello, e.hasHello, e.hasMail, e.proto = printable(args, 255), true, false, "SMTP"
	if name == "HELO" {
		e.say("250 " + e.c.Hostname)
		return
	}
	e.proto = "ESMTP"
	lines := []string{e.c.Hostname, "SIZE"}
	if e.c.MessageLimit > 0 {
		lines[1] = fmt.Sprintf("SIZE %d", e.c.MessageLimit)
	}
	if !e.c.DisableVrfy {
		lines = append(lines, "VRFY")
	}
	lines = append(lines, "ETRN")
	if e.client.tls != nil && !e.secure {
		lines = append(lines, "STARTTLS")
	}
	lines = append(lines, "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING")
	e.say("250-" + strings.Join(lines[:len(lines)-1], "\r\n250-") + "\r\n250 " + lines[len(lines)-1])
}

// startTLS lets a client in that says nothing without it.
func (e *engine) startTLS(ctx context.Context, args string) {
	switch {
	case args != "":
		e.say("501 5.5.4 Syntax: STARTTLS")
		return
	case e.secure:
		e.say("554 5.5.1 Error: TLS already active")
		return
	case e.client.tls == nil:
		e.say("502 5.5.1 Error: command not implemented")
		return
	}
	e.say("220 2.0.0 Ready to start TLS")
	tc := tls.Server(e.nc, e.client.tls)
	ctx, cancel := context.WithTimeout(ctx, e.c.CommandTime)
	defer cancel()
	if err := tc.HandshakeContext(ctx); err != nil {
		e.hangup()
		return
	}
	e.nc, e.secure = tc, true
	e.rd.Discard(tc)
	e.hasHello, e.hasMail, e.hello = false, false, ""
}

func (e *engine) mail(args string) {
	_, path, ok := strings.Cut(args, ":")
	switch {
	case e.c.HeloRequired && !e.hasHello:
		e.say("503 5.5.1 Error: send HELO/EHLO first")
	case e.hasMail:
		e.say("503 5.5.1 Error: nested MAIL command")
	case !ok:
		e.say("501 5.5.4 Syntax: MAIL FROM:<address>")
	default:
		e.sender, e.hasMail = address(path), true
		e.say("250 2.1.0 Ok")
	}
}

func (e *engine) rcpt(args string) {
	_, path, ok := strings.Cut(args, ":")
	switch {
	case !e.hasMail:
		e.say("503 5.5.1 Error: need MAIL command")
	case !ok:
		e.say("501 5.5.4 Syntax: RCPT TO:<address>")
	default:
		e.log("reject", "NOQUEUE: reject: RCPT from %s: %s; from=<%s>, to=<%s>, proto=%s, helo=<%s>", e.from, e.reply, e.sender, address(path), e.proto, e.hello)
		e.say(e.reply)
	}
}

// data: no recipient was taken, and pipelining is not offered, so only a
// client that does not listen comes here.
func (e *engine) data(name, args string) {
	e.log("no recipient", "%s without valid RCPT from %s", name, e.from)
	switch {
	case name == "DATA" && args != "":
		e.last("501 5.5.4 Syntax: DATA")
	case name == "BDAT" && args == "":
		e.last("501 5.5.4 Syntax: BDAT count [LAST]")
	case name == "BDAT" && !e.hasMail:
		e.last("554 5.5.1 Error: need MAIL command")
	case !e.hasMail:
		e.last("503 5.5.1 Error: need RCPT command")
	default:
		e.last("554 5.5.1 Error: no valid recipients")
	}
}

// address is what stands between angle brackets, for the log.
func address(s string) string {
	s = strings.TrimLeft(s, " ")
	if rest, ok := strings.CutPrefix(s, "<"); ok {
		s, _, _ = strings.Cut(rest, ">")
	} else {
		s, _, _ = strings.Cut(s, " ")
	}
	if strings.HasPrefix(s, "@") {
		if _, rest, ok := strings.Cut(s, ":"); ok {
			s = rest
		}
	}
	return printable(s, 256)
}

// printable keeps a line of the log one line.
func printable(s string, most int) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
}
