package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"mailserver/delivery/remote"
	"mailserver/delivery/route"
	"mailserver/internal/arc"
	"mailserver/internal/dkim"
	"mailserver/internal/maillog"
)

// seal adds a set of ARC to a stranger's message that goes on to another host,
// RFC 8617 §5.1: with the keys of the domain that it came to, if it has some.
// Mail is not held up for it: without a seal it is what it would be elsewhere.
func (t *transit) seal(ctx context.Context) {
	domain := t.sealedFor()
	if domain == "" || t.s.d.TXT == nil {
		return
	}
	set, err := t.newSet(ctx, domain)
	switch {
	case err == nil:
		t.signed = set + t.signed
	case !errors.Is(err, arc.ErrEnded):
		t.s.complain("seal", t.ID(), err)
	}
}

// sealedFor is the domain in whose name the message goes on; ” if it was
// written here, or stays.
func (t *transit) sealedFor() string {
	e := t.env
	if !t.c.Seal || e.User != "" || e.Submitted || t.ours && !t.forwarded {
		return ""
	}
	for _, st := range t.stops {
		if st.Kind != route.Next || st.Original.Domain == "" || st.Original.Equal(st.Address) && !t.forwarded {
			continue
		}
		if t.c.SealDomain != "" {
			return t.c.SealDomain
		}
		return strings.ToLower(st.Original.Domain)
	}
	return ""
}

func (t *transit) newSet(ctx context.Context, domain string) (string, error) {
	view, err := t.s.d.Mail.View(ctx)
	if err != nil {
		return "", err
	}
	keys, err := t.s.keys.of(ctx, view, domain)
	if err != nil || len(keys) == 0 {
		return "", err
	}
	text, err := t.leaving(ctx)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, sealTime)
	defer cancel()
	chain, err := arc.Verify(io.MultiReader(strings.NewReader(t.prepend()), t.text.Open()),
		func(name string) ([]string, error) { return t.s.d.TXT(ctx, name) })
	if err != nil {
		return "", err
	}
	s := &arc.Sealer{Key: sealingKey(keys), AuthservID: t.c.AuthservID, Now: t.s.now}
	set, err := s.Seal(io.MultiReader(strings.NewReader(t.signed), text()), chain)
	if err == nil {
		maillog.Event(t.s.d.Log, slog.LevelInfo, "openarc", fmt.Sprintf("%s: ARC-Seal field added (s=%s, d=%s, cv=%s)",
			t.ID(), s.Key.Selector, s.Key.Domain, chain.Result), "sealed", slog.String(maillog.QueueID, t.ID()))
	}
	return set, err
}

// sealTime bounds how long the DNS is waited for.
const sealTime = 20 * time.Second

// sealingKey is an RSA key where there is one: few hosts check others in ARC.
func sealingKey(keys []dkim.Key) dkim.Key {
	for _, k := range keys {
		if dkim.Algorithm(k.Signer) == "rsa" {
			return k
		}
	}
	return keys[0]
}

// leaving returns readers of the message as it goes out by SMTP.
func (t *transit) leaving(ctx context.Context) (func() io.Reader, error) {
	out, err := t.s.outgoing(ctx, t.ID())
	if err != nil {
		return nil, err
	}
	rc, err := t.s.d.RemoteConfig(ctx)
	if err != nil {
		return nil, err
	}
	return func() io.Reader {
		r, _, err := out.text(ctx, io.MultiReader(strings.NewReader(t.prepend()), t.text.Open()))
		if err != nil {
			return failing{err}
		}
		return remote.Wrap(r, rc.LineLimit)
	}, nil
}
