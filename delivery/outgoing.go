package delivery

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/addrfield"
	"mailserver/internal/cleanup"
	"mailserver/internal/contentcheck"
	"mailserver/internal/maillog"
)

// outgoing changes messages on their way out by SMTP: addresses of ours become
// those by which they are known outside, and smtp_header_checks are asked.
// postconf(5) smtp_generic_maps
type outgoing struct {
	s       *Service
	id      string
	rewrite *route.Rewriter // nil: no generic rows
	checks  *checkTable     // nil: none
}

// outgoing returns what the rows of now ask for; nil if nothing.
func (s *Service) outgoing(ctx context.Context, id string) (*outgoing, error) {
	o := &outgoing{s: s, id: id}
	w, err := s.d.Route.HeaderRewriter(ctx, "")
	if err != nil {
		return nil, err
	}
	has, err := w.HasGeneric(ctx)
	if err != nil {
		return nil, err
	}
	if has {
		o.rewrite = w
	}
	set, err := s.checks(ctx)
	if err != nil {
		return nil, err
	}
	if set != nil && !set.smtp.Empty() {
		o.checks = set.smtp
	}
	if o.rewrite == nil && o.checks == nil {
		return nil, nil
	}
	return o, nil
}

// address is an envelope address as it leaves. A nil o changes nothing.
func (o *outgoing) address(ctx context.Context, a string) (string, error) {
	if o == nil || o.rewrite == nil || a == "" {
		return a, nil
	}
	to, found, err := o.rewrite.Generic(ctx, a)
	if err != nil || !found {
		return a, err
	}
	return to, nil
}

// headerKept bounds the header section that is held in memory; what follows is
// sent as it is.
const headerKept = 1 << 20

// text reads a message as it leaves. grown is by how many bytes.
func (o *outgoing) text(ctx context.Context, r io.Reader) (out io.Reader, grown int64, err error) {
	if o == nil {
		return r, 0, nil
	}
	var header bytes.Buffer
	read, done := int64(0), false
	w := cleanup.NewWriter(&header, cleanup.Hooks{FieldMost: 100 << 10, LineMost: 2048, NestMost: 1,
		Field: func(kind cleanup.Kind, f *cleanup.Field) ([]byte, error) {
			if read >= headerKept { // perhaps not all of the field
				return f.Raw, nil
			}
			return o.field(ctx, kind, f)
		},
		HeaderEnd: func() (string, error) { done = true; return "", nil },
	})
	buf := make([]byte, 4096)
	for !done && read < headerKept {
		n, err := r.Read(buf)
		read += int64(n)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return nil, 0, werr
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, 0, err
	}
	return io.MultiReader(&header, r), int64(header.Len()) - read, nil
}

// apply changes a message for the next hop. sender is false if its sender is
// not to be looked up.
func (o *outgoing) apply(ctx context.Context, mail *remote.Mail, sender bool) (err error) {
	if sender {
		if mail.From, err = o.address(ctx, mail.From); err != nil {
			return err
		}
	}
	for i := range mail.To {
		if mail.To[i].Address, err = o.address(ctx, mail.To[i].Address); err != nil {
			return err
		}
	}
	open := mail.Open
	mail.Open = func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		r, _, err := o.text(ctx, f)
		if err != nil {
			f.Close()
			return nil, err
		}
		return closing{r, f}, nil
	}
	f, err := open()
	if err != nil {
		return err
	}
	defer f.Close()
	_, grown, err := o.text(ctx, f)
	mail.Size += grown
	return err
}

func (o *outgoing) field(ctx context.Context, kind cleanup.Kind, f *cleanup.Field) ([]byte, error) {
	out := f.Raw
	if o.checks != nil && kind == cleanup.Header {
		if action, found := o.checks.Find(f.Text()); found {
			text, keep := o.act(f.Text(), action)
			if !keep {
				return nil, nil
			}
			if text != "" {
				out = []byte(crlf(text))
				if !strings.HasSuffix(text, "\n"+f.Text()) {
					f = &cleanup.Field{Name: fieldName(text), Raw: out}
				}
			}
		}
	}
	if o.rewrite == nil || addressFields[f.Name] == 0 || f.Cut {
		return out, nil
	}
	list, changed, err := addrfield.Rewrite(f.Value(), func(a string) (string, error) { return o.address(ctx, a) })
	if err != nil || !changed {
		return out, err
	}
	name, _, _ := strings.Cut(string(f.Raw), ":")
	before := strings.TrimSuffix(string(out), string(f.Raw))
	return []byte(before + addrfield.Field(strings.TrimRight(name, " \t"), list)), nil
}

// act does what a row of smtp_header_checks can ask for: what is too late when
// a message leaves is only noted.
func (o *outgoing) act(line, action string) (text string, keep bool) {
	a, err := contentcheck.ParseAction(action)
	note := func(what string) {
		maillog.Event(o.s.d.Log, slog.LevelInfo, maillog.SMTP, fmt.Sprintf("%s: %s: header %s: %s", o.id, what, clipped(line), a.Text),
			"content "+what, slog.String(maillog.QueueID, o.id))
	}
	switch {
	case err != nil:
		a.Text = err.Error()
		note("warning")
	case a.Verb == "IGNORE":
		return "", false
	case a.Verb == "STRIP":
		note("strip")
		return "", false
	case a.Verb == "REPLACE" && strings.Contains(a.Text, ":"):
		note("replace")
		return a.Text, true
	case a.Verb == "PREPEND":
		note("prepend")
		return a.Text + "\n" + line, true
	case a.Verb == "WARN":
		note("warning")
	case a.Verb == "INFO":
		note("info")
	case a.Verb != "DUNNO" && a.Verb != "PASS":
		a.Text = a.Verb + " is not possible in smtp_header_checks"
		note("warning")
	}
	return "", true
}

// closing is a reader with the Close of the file that it reads.
type closing struct {
	io.Reader
	io.Closer
}
