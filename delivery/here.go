package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-smtp"

	"mailserver/delivery/command"
	"mailserver/delivery/local"
	"mailserver/delivery/queue"
	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/asuser"
	"mailserver/internal/maillog"
	"mailserver/policy"
)

// deliverHere makes one attempt at a destination of this host. Commands and
// files come from the queue only: what they do cannot be taken back when an
// SMTP client goes away.
func (s *Service) deliverHere(ctx context.Context, m *queue.Message, d *route.Destination, r *queue.Recipient) queue.Result {
	if d.Kind == route.Mailbox {
		return s.deliverQueued(ctx, m, d, r)
	}
	begun := s.now()
	res := s.byList(ctx, m, d, r)
	res.Tag, res.Relay, res.Talk = maillog.Local, "local", s.now().Sub(begun)
	return res
}

// byList delivers to what aliases(5) or .forward names.
func (s *Service) byList(ctx context.Context, m *queue.Message, d *route.Destination, r *queue.Recipient) queue.Result {
	c, err := s.d.Config(ctx)
	if err != nil {
		return s.notNow(m, "read settings", err)
	}
	text, head, err := s.opened(m)
	if err != nil {
		return s.notNow(m, "read spool", err)
	}
	defer text.Close()
	for _, seen := range head.DeliveredTo {
		if strings.EqualFold(seen, d.Address.String()) {
			return queue.Result{Status: queue.Bounced, Enhanced: "5.4.6", Text: "mail forwarding loop for " + d.Address.String()}
		}
	}
	j := &job{s: s, c: c, m: m, d: d, r: r, sender: m.Sender}
	if d.Sender != nil {
		j.sender = d.Sender.String()
	}
	switch d.Kind {
	case route.Command:
		return j.command(ctx, text)
	case route.File:
		return j.file(ctx, text)
	}
	return j.forward(ctx, text)
}

// opened returns the text of a queued message, and what its header says.
func (s *Service) opened(m *queue.Message) (io.ReadCloser, header, error) {
	text, err := s.queue.Text(m)
	if err != nil {
		return nil, header{}, err
	}
	head, err := readHeader(text)
	text.Close()
	if err != nil {
		return nil, header{}, err
	}
	text, err = s.queue.Text(m)
	return text, head, err
}

func (s *Service) notNow(m *queue.Message, doing string, err error) queue.Result {
	s.complain(doing, m.ID, err)
	if isFull(err) {
		return queue.Result{Status: queue.Deferred, Enhanced: "4.3.1", Text: "Insufficient system storage"}
	}
	return queue.Result{Status: queue.Deferred, Enhanced: "4.3.0", Text: doing + " failed"}
}

// job is one attempt at a file, a command, or forwarding.
type job struct {
	s      *Service
	c      *Config
	m      *queue.Message
	d      *route.Destination
	r      *queue.Recipient
	sender string // owner of the list, if it has one
}

func (j *job) id() asuser.ID { return asuser.ID{UID: j.d.Local.UID, GID: j.d.Local.GID} }

// form is how the message is written for one of prepend_delivered_header.
func (j *job) form(kind string) *local.Form {
	f := &local.Form{Sender: j.sender, Original: j.r.Original, Time: j.s.now(), FromLine: true}
	if slices.Contains(j.c.DeliveredHeader, kind) {
		f.Delivered = j.d.Address.String()
	}
	return f
}

func (j *job) command(ctx context.Context, text io.Reader) queue.Result {
	out := command.Run(ctx, &command.Program{Line: j.d.Target, ID: j.id(), Env: j.environment(os.Getenv),
		Stdin: j.form("command").Reader(text), Limit: j.c.CommandTime})
	return queue.Result{Status: statusOf(out.Enhanced), Enhanced: out.Enhanced, Text: out.Text}
}

// statusOf goes by the class of an enhanced status code.
func statusOf(enhanced string) queue.Status {
	switch enhanced[0] {
	case '2':
		return queue.Sent
	case '5':
		return queue.Bounced
	}
	return queue.Deferred
}

// environment is what local(8) tells commands. What came by mail holds nothing
// that means something to a shell: postconf(5) command_expansion_filter.
func (j *job) environment(getenv func(string) string) []string {
	who, a := j.d.Local, j.d.Address
	var env []string
	add := func(name, value string) { env = append(env, name+"="+value) }
	for _, name := range []string{"TZ", "LANG"} { // postconf(5) export_environment
		if v := getenv(name); v != "" {
			add(name, v)
		}
	}
	if who.Home != "" {
		add("HOME", who.Home)
		add("SHELL", who.Shell)
	}
	name, addr := client(j.m)
	for _, v := range []struct {
		name, value string
		always      bool
	}{
		{"LOGNAME", who.Name, true}, {"USER", who.Name, true}, {"SENDER", j.sender, true},
		{"RECIPIENT", a.String(), true}, {"LOCAL", strings.ToLower(a.Local), true}, {"DOMAIN", a.Domain, false},
		{"EXTENSION", who.Extension, false}, {"ORIGINAL_RECIPIENT", j.r.Original, false},
		{"CLIENT_HOSTNAME", name, false}, {"CLIENT_ADDRESS", addr, false}, {"CLIENT_HELO", j.m.Helo, false},
		{"CLIENT_PROTOCOL", j.m.Proto, false}, {"SASL_USERNAME", j.m.User, false},
	} {
		if v.always || v.value != "" {
			add(v.name, harmless(v.value))
		}
	}
	return env
}

// client splits name[address].
func client(m *queue.Message) (name, addr string) {
	i := strings.LastIndexByte(m.Client, '[')
	if i < 0 {
		return m.Client, ""
	}
	return m.Client[:i], strings.TrimSuffix(m.Client[i+1:], "]")
}

// harmlessChars is postconf(5) command_expansion_filter.
const harmlessChars = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

func harmless(s string) string {
	b := []byte(s)
	for i := range b {
		if strings.IndexByte(harmlessChars, b[i]) < 0 {
			b[i] = '_'
		}
	}
	return string(b)
}

func (j *job) file(ctx context.Context, text io.Reader) queue.Result {
	f := &local.File{Path: j.d.Target, ID: j.id(), Mailbox: j.d.Local.Mailbox,
		Attempts: j.c.LockAttempts, Delay: j.c.LockDelay, Stale: j.c.StaleLock}
	err := f.Append(ctx, j.form("file"), text)
	done := "delivered to file: " + f.Path
	switch {
	case f.Mailbox:
		done = "delivered to mailbox"
	case strings.HasSuffix(f.Path, "/"):
		done = "delivered to maildir"
	}
	return j.fileResult(err, done)
}

// fileResult: a file that cannot be reached is the fault of the list, as with
// local(8); in a mailbox of a user, and where another attempt may help, mail
// waits.
func (j *job) fileResult(err error, done string) queue.Result {
	own := j.d.Local.Mailbox
	what := "cannot append message to file " + j.d.Target + ": "
	if own {
		what = "cannot update mailbox " + j.d.Target + ": "
	}
	res := queue.Result{Status: queue.Deferred, Enhanced: "4.2.0"}
	switch {
	case err == nil:
		return queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: done}
	case isFull(err):
		res.Enhanced, res.Text = "4.3.1", what+"no space left"
	case errors.Is(err, asuser.ErrRights):
		res.Enhanced, res.Text = "4.3.5", what+err.Error()
	case errors.Is(err, syscall.EFBIG), errors.Is(err, local.ErrRefused):
		res.Status, res.Enhanced, res.Text = queue.Bounced, "5.2.0", what+err.Error()
	case !own && (errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)):
		res.Status, res.Enhanced, res.Text = queue.Bounced, "5.2.0", what+err.Error()
	default:
		res.Text = what + err.Error()
	}
	return res
}

// forward sends the message on as a new one, whose header says that it was
// here. Its owner, if the list has one, gets the bounces.
func (j *job) forward(ctx context.Context, text io.Reader) queue.Result {
	from, err := address.Parse(j.sender)
	if err != nil {
		return queue.Result{Status: queue.Bounced, Enhanced: "5.1.7", Text: "bad sender address syntax"}
	}
	env := &Envelope{From: from, Proto: j.m.Proto, Helo: j.m.Helo, User: j.m.User,
		Options: smtp.MailOptions{Body: smtp.BodyType(j.m.Body), UTF8: j.m.UTF8, RequireTLS: j.m.RequireTLS}}
	var addr string
	env.Client.Name, addr = client(j.m)
	env.Client.Addr, _ = netip.ParseAddr(addr)
	var to Recipient
	if j.d.Sender == nil { // a list answers for itself: RFC 3461 §5.2.7.3
		env.Options.Return, env.Options.EnvelopeID = smtp.DSNReturn(j.m.Ret), j.m.EnvID
		to.Options = dsnOptions(j.r)
		to.Original, _ = address.Parse(j.r.Original)
	}
	for _, to.Address = range j.d.Targets {
		env.To = append(env.To, to)
	}
	msg, err := j.s.begin(ctx, env, true)
	if err != nil {
		return j.s.notNow(j.m, "forward", err)
	}
	msg.forwarded = true
	if err := j.copy(msg, text); err != nil {
		msg.Abort()
		return j.s.notNow(j.m, "forward", err)
	}
	o := msg.Commit(ctx, policy.Effects{})[0]
	switch {
	case o.OK():
		return queue.Result{Status: queue.Sent, Enhanced: "2.0.0", Text: "forwarded as " + msg.ID()}
	case o.Code >= 500:
		return queue.Result{Status: queue.Bounced, Enhanced: o.Enhanced, Text: o.Text}
	}
	return queue.Result{Status: queue.Deferred, Enhanced: o.Enhanced, Text: o.Text}
}

func (j *job) copy(w io.Writer, text io.Reader) error {
	received := fmt.Sprintf("Received: by %s (mailserver)\r\n\tid %s; %s\r\n", j.c.Hostname, j.m.ID, j.s.now().Format(time.RFC1123Z))
	if slices.Contains(j.c.DeliveredHeader, "forward") {
		received += "Delivered-To: " + j.d.Address.String() + "\r\n"
	}
	if _, err := io.WriteString(w, received); err != nil {
		return err
	}
	_, err := io.Copy(w, text)
	return err
}

// dsnOptions are what the sender asked for of a queued recipient.
func dsnOptions(r *queue.Recipient) smtp.RcptOptions {
	var o smtp.RcptOptions
	if r.Notify != "" {
		for _, w := range strings.Split(r.Notify, ",") {
			o.Notify = append(o.Notify, smtp.DSNNotify(strings.ToUpper(w)))
		}
	}
	typ, addr, ok := strings.Cut(r.ORCPT, ";")
	if ok {
		o.OriginalRecipientType, o.OriginalRecipient = smtp.DSNAddressType(strings.ToUpper(typ)), addr
	}
	return o
}
