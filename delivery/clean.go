package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"mailserver/delivery/route"
	"mailserver/internal/addrfield"
	"mailserver/internal/cleanup"
	"mailserver/internal/maillog"
	"mailserver/internal/nets"
	"mailserver/policy"
	"mailserver/schema"
)

// cleaner is what cleanup(8) does to a message on its way in: fields that are
// dropped, addresses that are rewritten, fields that are missing, the checks of
// header_checks(5). What none of them is about goes on byte for byte.
type cleaner struct {
	m       *Message
	ctx     context.Context
	c       *Config
	w       *cleanup.Writer
	rewrite *route.Rewriter // nil: addresses stay, and nothing is added for them
	add     bool            // missing fields are added
	checks  *checkSet       // nil: none
	seen    map[string]bool
	resent  string // Resent-, once such a field has come
	eff     policy.Effects
	refused *Outcome
}

// passage is the way of a message's text into the spool.
type passage interface {
	io.Writer
	end() error
}

// newPassage chooses how much is looked at. A message of our own, and one that
// is forwarded, has been looked at: postconf(5) internal_mail_filter_classes.
func (m *Message) newPassage(ctx context.Context, c *Config) (passage, error) {
	k := &cleaner{m: m, ctx: ctx, c: c, add: c.AddMissing, seen: make(map[string]bool)}
	plain := newDropper(m.text, c.DropHeaders)
	if m.ours || m.env.LocalOnly {
		return plain, nil
	}
	var err error
	switch local := c.local(m.env); {
	case local:
		k.rewrite, err = m.s.d.Route.HeaderRewriter(ctx, "")
	case c.RemoteDomain != "":
		k.rewrite, err = m.s.d.Route.HeaderRewriter(ctx, c.RemoteDomain)
	}
	if err == nil {
		k.checks, err = m.s.checks(ctx)
	}
	if err != nil {
		return nil, err
	}
	if k.add = k.add || k.rewrite != nil; !k.add && k.checks == nil {
		return plain, nil
	}
	k.w = cleanup.NewWriter(m.text, k.hooks())
	return k, nil
}

// local reports whether header addresses of a client are completed and
// rewritten: postconf(5) local_header_rewrite_clients. A client on this host
// connects from the address that it connects to.
func (c *Config) local(e *Envelope) bool {
	if e.Submitted {
		return true
	}
	addr := e.Client.Addr
	for _, who := range c.LocalClients {
		switch {
		case who == "permit_inet_interfaces" && addr.IsValid() && (addr.IsLoopback() || addr == e.Client.Local.Addr()):
			return true
		case who == "permit_sasl_authenticated" && e.User != "":
			return true
		case who == "permit_mynetworks" && addr.IsValid():
			if list, err := nets.ParseList(c.MyNetworks); err == nil && list.Contains(addr) {
				return true
			}
		}
	}
	return false
}

func (k *cleaner) hooks() cleanup.Hooks {
	h := cleanup.Hooks{Field: k.field, HeaderEnd: k.missing, FieldMost: int(k.c.HeaderSize), LineMost: k.c.LineLimit,
		NestMost: k.c.MIMENesting, TooDeep: errNesting}
	if k.checks != nil {
		h.Parts = !k.c.NoMIME && (!k.checks.mime.Empty() || !k.checks.nested.Empty())
		if !k.checks.body.Empty() {
			h.Line = k.line
		}
	}
	return h
}

// errNesting is what deep MIME structures are refused with.
var errNesting = errors.New("MIME nesting exceeds safety limit")

// Write is io.Writer. A message that is refused is read to its end all the same.
func (k *cleaner) Write(p []byte) (int, error) {
	if k.refused != nil {
		return len(p), nil
	}
	n, err := k.w.Write(p)
	return k.ended(n, len(p), err)
}

func (k *cleaner) end() error {
	if k.refused != nil {
		return nil
	}
	_, err := k.ended(0, 0, k.w.Close())
	return err
}

func (k *cleaner) ended(n, all int, err error) (int, error) {
	if errors.Is(err, errNesting) {
		k.reject("5.6.0 "+err.Error(), "mime-error", err.Error())
		return all, nil
	}
	return n, err
}

// field is asked about each field.
func (k *cleaner) field(kind cleanup.Kind, f *cleanup.Field) ([]byte, error) {
	out := f.Raw
	if k.checks != nil {
		action, found := k.checks.of(kind).Find(f.Text())
		if found {
			text, keep := k.act(kind, f.Text(), action)
			if !keep {
				return nil, nil
			}
			if text != "" {
				out = []byte(crlf(text))
				if kind = cleanup.Header; text != f.Text() && !strings.HasSuffix(text, "\n"+f.Text()) {
					f = &cleanup.Field{Name: fieldName(text), Raw: out} // another field now
				}
			}
		}
	}
	if kind == cleanup.NestedHeader || k.refused != nil {
		return out, nil
	}
	return k.known(f, out)
}

// known deals with a field of the message's own header.
func (k *cleaner) known(f *cleanup.Field, out []byte) ([]byte, error) {
	k.seen[f.Name] = true
	if strings.HasPrefix(f.Name, "resent-") && addressFields[f.Name] != 0 || f.Name == "resent-date" || f.Name == "resent-message-id" {
		k.resent = "Resent-"
	}
	if slices.ContainsFunc(k.c.DropHeaders, func(n string) bool { return strings.EqualFold(n, f.Name) }) {
		return nil, nil
	}
	if k.rewrite == nil || addressFields[f.Name] == 0 || f.Cut {
		return out, nil
	}
	change := k.rewrite.Recipient
	if addressFields[f.Name] == ofSender {
		change = k.rewrite.Sender
	}
	list, changed, err := addrfield.Rewrite(f.Value(), func(a string) (string, error) { return change(k.ctx, a) })
	if err != nil || !changed {
		return out, err
	}
	name, _, _ := strings.Cut(string(f.Raw), ":")
	written := addrfield.Field(strings.TrimRight(name, " \t"), list)
	before := strings.TrimSuffix(string(out), string(f.Raw)) // of PREPEND
	return []byte(before + written), nil
}

// Fields with addresses, and whose they are.
const (
	ofSender = 1 + iota
	ofRecipient
)

var addressFields = map[string]int{
	"apparently-to": ofRecipient, "bcc": ofRecipient, "cc": ofRecipient, "disposition-notification-to": ofSender,
	"errors-to": ofSender, "from": ofSender, "mail-followup-to": ofSender, "reply-to": ofSender, "resent-bcc": ofRecipient,
	"resent-cc": ofRecipient, "resent-from": ofSender, "resent-reply-to": ofRecipient, "resent-sender": ofSender,
	"resent-to": ofRecipient, "return-path": ofSender, "return-receipt-to": ofSender, "sender": ofSender, "to": ofRecipient,
}

// missing is what a message of ours lacks, RFC 5322 §3.6 and Message-Id.
func (k *cleaner) missing() (string, error) {
	if !k.add || k.refused != nil {
		return "", nil
	}
	now := k.m.s.now()
	var b strings.Builder
	prefix := strings.ToLower(k.resent)
	if !k.seen[prefix+"message-id"] {
		fmt.Fprintf(&b, "%sMessage-Id: <%s.%s@%s>\r\n", k.resent, now.UTC().Format("20060102150405"), k.m.ID(), k.c.Hostname)
	}
	if !k.seen[prefix+"date"] {
		fmt.Fprintf(&b, "%sDate: %s\r\n", k.resent, now.Format(mailDate))
	}
	if !k.seen[prefix+"from"] {
		from := k.m.env.From
		if k.rewrite != nil && !from.IsNull() {
			var err error
			if from, err = k.m.s.d.Route.CanonicalSender(k.ctx, from); err != nil {
				return "", err
			}
		}
		name := from.String()
		if name == "" {
			name = "MAILER-DAEMON"
		}
		fmt.Fprintf(&b, "%sFrom: %s\r\n", k.resent, name)
	}
	visible := k.seen["to"] || k.seen["cc"] || k.seen["resent-to"] || k.seen["resent-cc"]
	if text := k.c.Undisclosed; text != "" && !visible {
		b.WriteString(text + "\r\n")
	}
	return b.String(), nil
}

// mailDate is a time as Postfix writes it into mail.
const mailDate = "Mon, _2 Jan 2006 15:04:05 -0700 (MST)"

// line is asked about each line of a body.
func (k *cleaner) line(line []byte, at int64) ([]byte, bool, error) {
	if k.refused != nil || k.c.BodyCheckSize > 0 && at >= k.c.BodyCheckSize {
		return line, true, nil
	}
	text := string(line)
	action, found := k.checks.body.Find(text)
	if !found {
		return line, true, nil
	}
	now, keep := k.act(cleanup.Body, text, action)
	if now != "" && now != text {
		line = []byte(strings.TrimSuffix(crlf(now), "\r\n"))
	}
	return line, keep, nil
}

// crlf gives a field, or lines of a body, the line ends of mail.
func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") + "\r\n" }

func fieldName(text string) string {
	name, _, _ := strings.Cut(text, ":")
	return strings.ToLower(strings.TrimRight(name, " \t"))
}

// checkSet is the compiled tables of header_checks(5).
type checkSet struct {
	header, mime, nested, body, smtp *checkTable
}

// of is the table for a field.
func (s *checkSet) of(kind cleanup.Kind) *checkTable {
	switch kind {
	case cleanup.MIMEHeader:
		return s.mime
	case cleanup.NestedHeader:
		return s.nested
	}
	return s.header
}

// checkCache keeps them as long as no row changes.
type checkCache struct {
	mu  sync.Mutex // guards what follows
	gen int64
	set *checkSet
}

// checks returns the tables; nil if no row is in any. A map for parts without
// rows is that for the header, as mime_header_checks = $header_checks says.
func (s *Service) checks(ctx context.Context) (*checkSet, error) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	s.compiled.mu.Lock()
	defer s.compiled.mu.Unlock()
	if s.compiled.gen == view.Generation() && s.compiled.gen != 0 {
		return s.compiled.set, nil
	}
	set := &checkSet{}
	for _, t := range []struct {
		name string
		to   **checkTable
	}{{"header", &set.header}, {"mime_header", &set.mime}, {"nested_header", &set.nested}, {"body", &set.body}, {"smtp_header", &set.smtp}} {
		if *t.to, err = s.compile(ctx, view, t.name); err != nil {
			return nil, err
		}
	}
	if set.mime.Empty() {
		set.mime = set.header
	}
	if set.nested.Empty() {
		set.nested = set.header
	}
	if set.header.Empty() && set.mime.Empty() && set.nested.Empty() && set.body.Empty() && set.smtp.Empty() {
		set = nil
	}
	s.compiled.gen, s.compiled.set = view.Generation(), set
	return set, nil
}

func (s *Service) compile(ctx context.Context, view *schema.View, name string) (*checkTable, error) {
	rows, err := view.ContentChecks(ctx, name)
	if err != nil {
		return nil, err
	}
	t, bad := compileChecks(rows)
	for _, why := range bad {
		if s.d.Log != nil {
			s.d.Log.Warn(name+" check left out", slog.String(maillog.Err, why))
		}
	}
	return t, nil
}

// BadChecks returns the rows of ContentCheck that cannot be obeyed, and why.
func (s *Service) BadChecks(ctx context.Context) ([]string, error) {
	view, err := s.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, name := range []string{"header", "mime_header", "nested_header", "body", "smtp_header"} {
		rows, err := view.ContentChecks(ctx, name)
		if err != nil {
			return nil, err
		}
		_, bad := compileChecks(rows)
		for _, why := range bad {
			list = append(list, name+": "+why)
		}
	}
	return list, nil
}
