package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/dns"
	"mailserver/internal/server"
	"mailserver/policy"
	"mailserver/smtp"
)

func policyCommands() []command {
	return []command{
		{name: "policy test", args: "--client IP --to ADDRESS", about: "would mail from there be taken: each list, class, restriction, look-up and the reply",
			more:  "Walks the lists as a session would, with the rows and the DNS of now. Nothing is recorded:\nno greylist entry, no count of a user, no address probe. Exit 1 when it is refused.\nWithout --message the mail is judged up to DATA.",
			setup: policyTest},
	}
}

// probe is the mail that "policy test" asks about.
type probe struct {
	client, name, role string
	helo, from, user   string
	to                 []string
	tls, json          bool
	message, tag       string
}

// stage is one command of the session and what came of it.
type stage struct {
	Command  string        `json:"command"`
	Steps    []policy.Step `json:"steps,omitempty"`
	Reply    string        `json:"reply,omitempty"` // '' is accepted
	Rule     string        `json:"rule,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
	Effects  []string      `json:"effects,omitempty"`
}

// policyAnswer is the whole walk.
type policyAnswer struct {
	Client   string  `json:"client"`
	Accepted bool    `json:"accepted"`
	Stages   []stage `json:"stages"`
}

var errRefused = fmt.Errorf("%wrefused", errQuiet)

var probeRoles = map[string]policy.Role{"mx": policy.MX, "submission": policy.Submission, "lmtp": policy.LMTP}

func policyTest(fs *flag.FlagSet) action {
	p := &probe{}
	fs.StringVar(&p.client, "client", "", "`address` of the client")
	fs.StringVar(&p.name, "name", "", "`name` of the client; else the DNS is asked")
	fs.StringVar(&p.role, "listener", "mx", "mx, submission or lmtp")
	fs.StringVar(&p.tag, "tag", "", "`tag` of the listener")
	fs.StringVar(&p.helo, "helo", "", "`name` that the client says")
	fs.StringVar(&p.from, "from", "", "sender `address`; '' is the null sender")
	fs.Func("to", "recipient `address`; may be said again", func(s string) error { p.to = append(p.to, s); return nil })
	fs.StringVar(&p.user, "user", "", "`user` who has logged in")
	fs.BoolVar(&p.tls, "tls", false, "the session is encrypted")
	fs.StringVar(&p.message, "message", "", "`file` with the message; - is standard input")
	fs.BoolVar(&p.json, "json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		addr, err := netip.ParseAddr(p.client)
		role, known := probeRoles[p.role]
		switch {
		case err != nil:
			return usage("policy test: say --client with an IP address")
		case len(p.to) == 0:
			return usage("policy test: say --to with an address")
		case !known:
			return usage("policy test: --listener is mx, submission or lmtp")
		}
		return a.withParts(ctx, func(parts *server.Parts) error {
			w := &walk{a: a, p: p, parts: parts}
			if err := w.begin(ctx, policy.Client{Addr: addr, Role: role, Tag: p.tag}); err != nil {
				return err
			}
			if err := w.run(ctx); err != nil {
				return err
			}
			return w.print()
		})
	}
}

// walk is one run of "policy test".
type walk struct {
	a     *app
	p     *probe
	parts *server.Parts
	s     *policy.Session
	seen  int // steps of the trace that are told
	out   policyAnswer
	taken int // recipients
}

func (w *walk) begin(ctx context.Context, c policy.Client) error {
	c.Name, c.ReverseName = w.p.name, w.p.name
	if w.p.name == "" {
		r := w.a.dns
		if r == nil {
			r = dns.New(dns.Config{})
		}
		c.Name, c.ReverseName, c.TempFail = r.ClientName(ctx, c.Addr)
	}
	w.s = w.parts.Policy.NewSession(c)
	w.s.Explain, w.s.Dry = true, true
	w.out.Client = fmt.Sprintf("%s[%s]", c.Name, c.Addr)
	return nil
}

// run goes through the commands until one is refused.
func (w *walk) run(ctx context.Context) error {
	steps := []func(context.Context) (bool, error){w.connect, w.mail, w.rcpt, w.data}
	for _, step := range steps {
		if ok, err := step(ctx); err != nil || !ok {
			return err
		}
	}
	w.out.Accepted = true
	return nil
}

func (w *walk) connect(ctx context.Context) (bool, error) {
	if !w.tell("CONNECT", w.s.Connect(ctx)) {
		return false, nil
	}
	if w.p.tls {
		w.s.TLS(&tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true})
	}
	if w.p.helo != "" && !w.tell("EHLO "+w.p.helo, w.s.Helo(ctx, w.p.helo, true)) {
		return false, nil
	}
	if w.p.user != "" {
		w.s.Login(w.p.user, "PLAIN")
	}
	return true, nil
}

func (w *walk) mail(ctx context.Context) (bool, error) {
	var from address.Address
	if text := strings.Trim(w.p.from, "<>"); text != "" {
		var err error
		if from, err = address.Parse(text); err != nil {
			return false, usage("policy test: --from %q: %v", w.p.from, err)
		}
	}
	sender, err := w.parts.Route.Sender(ctx, from)
	if err != nil {
		return false, err
	}
	return w.tell("MAIL FROM:<"+from.String()+">", w.s.Mail(ctx, sender, 0)), nil
}

func (w *walk) rcpt(ctx context.Context) (bool, error) {
	for _, text := range w.p.to {
		to, err := address.Parse(strings.Trim(text, "<>"))
		if err != nil {
			return false, usage("policy test: --to %q: %v", text, err)
		}
		rcpt, err := w.parts.Route.Recipient(ctx, to)
		if err != nil {
			return false, err
		}
		if w.tell("RCPT TO:<"+to.String()+">", w.s.Rcpt(ctx, rcpt)) {
			w.taken++
		}
	}
	return w.taken == len(w.p.to), nil
}

func (w *walk) data(ctx context.Context) (bool, error) {
	if !w.tell("DATA", w.s.Data(ctx)) {
		return false, nil
	}
	if w.p.message == "" {
		return true, nil
	}
	file, err := w.readable()
	if err != nil {
		return false, err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return false, err
	}
	open := func() io.Reader { return &crlf{r: bufio.NewReader(io.NewSectionReader(file, 0, st.Size()))} }
	return w.tell("end of data", w.s.EndOfData(ctx, policy.Content{Size: st.Size(), Open: open})), nil
}

// readable is the message as a file that can be read more than once.
func (w *walk) readable() (*os.File, error) {
	if w.p.message != "-" {
		return os.Open(w.p.message)
	}
	f, err := os.CreateTemp("", "mailserver-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	if _, err := io.Copy(f, w.a.in); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// tell notes a stage and reports whether it was accepted.
func (w *walk) tell(command string, v policy.Verdict) bool {
	st := stage{Command: command, Steps: w.s.Trace[w.seen:], Effects: effectsText(v.Effects)}
	w.seen = len(w.s.Trace)
	for _, n := range v.Warnings {
		st.Warnings = append(st.Warnings, n.Event+": "+smtp.LogText(n)+" (rule "+n.Rule+")")
	}
	if !v.OK() {
		st.Reply, st.Rule = smtp.LogText(v), v.Rule
	}
	w.out.Stages = append(w.out.Stages, st)
	return v.OK()
}

// effectsText says what is asked for the message.
func effectsText(e policy.Effects) (list []string) {
	if e.Discard {
		list = append(list, "discard")
	}
	if e.Hold {
		list = append(list, "hold")
	}
	for _, pair := range []struct{ name, value string }{{"filter", e.Filter}, {"redirect", e.Redirect}} {
		if pair.value != "" {
			list = append(list, pair.name+" "+pair.value)
		}
	}
	for _, b := range e.Bcc {
		list = append(list, "bcc "+b)
	}
	for _, h := range e.Prepend {
		list = append(list, "prepend "+h)
	}
	if e.Reason != "" {
		list = append(list, "say in the mailbox: "+e.Reason)
	}
	return list
}

func (w *walk) print() error {
	if w.p.json {
		if err := w.a.object(true, w.out); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(w.a.out, "client %s\n", w.out.Client)
		for _, st := range w.out.Stages {
			w.printStage(st)
		}
	}
	if !w.out.Accepted {
		return errRefused
	}
	return nil
}

func (w *walk) printStage(st stage) {
	out := w.a.out
	fmt.Fprintln(out, st.Command)
	io.WriteString(out, policy.StepsText(st.Steps))
	for _, text := range st.Warnings {
		fmt.Fprintf(out, "  %s\n", text)
	}
	for _, text := range st.Effects {
		fmt.Fprintf(out, "  effect: %s\n", text)
	}
	if st.Reply == "" {
		fmt.Fprintln(out, "  => accepted")
		return
	}
	fmt.Fprintf(out, "  => %s\n     rule: %s\n", st.Reply, st.Rule)
}

// crlf gives a text file the line ends that it would have on the wire.
type crlf struct {
	r    *bufio.Reader
	last byte
	lf   bool // owed after the CR that was put in
}

// Read is io.Reader.
func (c *crlf) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if c.lf {
			p[n], c.lf, c.last = '\n', false, '\n'
			n++
			continue
		}
		b, err := c.r.ReadByte()
		if err != nil {
			if n > 0 {
				return n, nil
			}
			return 0, err
		}
		if b == '\n' && c.last != '\r' {
			b, c.lf = '\r', true
		}
		p[n], c.last = b, b
		n++
	}
	return n, nil
}
