package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"mailserver/internal/dkim"
	"mailserver/internal/maillog"
	"mailserver/internal/nets"
	"mailserver/schema"
)

// keyring keeps the private keys of domains as long as no row changes.
type keyring struct {
	mu   sync.Mutex // guards what follows
	gen  int64
	keys map[string][]dkim.Key
}

// ringMost bounds the domains in a keyring.
const ringMost = 1000

// of returns the active keys of a domain, or of the nearest domain above it
// that has some: alignment with From is relaxed.
func (k *keyring) of(ctx context.Context, view *schema.View, domain string) ([]dkim.Key, error) {
	for rest := domain; strings.Contains(rest, "."); {
		keys, err := k.exactly(ctx, view, rest)
		if err != nil || len(keys) > 0 {
			return keys, err
		}
		_, rest, _ = strings.Cut(rest, ".")
	}
	return nil, nil
}

func (k *keyring) exactly(ctx context.Context, view *schema.View, domain string) ([]dkim.Key, error) {
	rows, err := view.DkimKeys(ctx, domain)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gen != view.Generation() || len(k.keys) >= ringMost {
		k.gen, k.keys = view.Generation(), make(map[string][]dkim.Key)
	}
	if keys, ok := k.keys[domain]; ok {
		return keys, nil
	}
	var keys []dkim.Key
	for _, row := range rows {
		s, err := dkim.ParseKey(row.Key)
		if err != nil {
			return nil, fmt.Errorf("DkimKey %s of %s: %w", row.Selector, row.Domain, err)
		}
		keys = append(keys, dkim.Key{Domain: row.Domain, Selector: row.Selector, Signer: s})
	}
	if k.keys == nil {
		k.keys = make(map[string][]dkim.Key)
	}
	k.keys[domain] = keys
	return keys, nil
}

// sign signs a message of our own users that is going to leave, once: with the
// keys of the domain in From. An Outcome other than nil is why it is not taken:
// with a key that cannot be used mail waits at the client rather than go out
// without its signature.
func (t *transit) sign(ctx context.Context) *Outcome {
	if !t.leaves() || !t.fromUs() {
		return nil
	}
	signature, err := t.signature(ctx)
	if err != nil {
		o := t.temporary("sign", err)
		o.Text = "Error: message cannot be signed"
		return &o
	}
	t.signed = signature
	return nil
}

// leaves reports whether the queue will send the message anywhere.
func (t *transit) leaves() bool {
	for _, st := range t.stops {
		if !t.here(st) {
			return true
		}
	}
	return false
}

// fromUs reports whether the message was written here: by somebody who has
// logged in, on this host, or by a client of dkim_internal_hosts. What comes
// back from a content filter, at a listener with a tag, is not: nobody knows
// where it was written.
func (t *transit) fromUs() bool {
	e := t.env
	switch {
	case t.ours || e.User != "" || e.Submitted:
		return true
	case e.Client.Tag != "" || !e.Client.Addr.IsValid():
		return false
	}
	list, err := nets.ParseList(t.c.SignFor)
	return err == nil && list.Contains(e.Client.Addr)
}

// signature is the fields to stand above the message; ” when its domain has no
// key, or when it has our signature already.
func (t *transit) signature(ctx context.Context) (string, error) {
	text, err := t.leaving(ctx) // a signature is one of what leaves
	if err != nil {
		return "", err
	}
	head, err := dkim.Inspect(text())
	if err != nil {
		return "", err
	}
	if head.From == "" {
		return "", nil
	}
	view, err := t.s.d.Mail.View(ctx)
	if err != nil {
		return "", err
	}
	keys, err := t.s.keys.of(ctx, view, head.From)
	if err != nil || len(keys) == 0 || head.SignedBy(keys) {
		return "", err
	}
	signature, err := dkim.Sign(text(), head, keys)
	if err == nil {
		maillog.Event(t.s.d.Log, slog.LevelInfo, "opendkim", fmt.Sprintf("%s: DKIM-Signature field added (s=%s, d=%s)",
			t.ID(), selectors(keys), keys[0].Domain), "signed", slog.String(maillog.QueueID, t.ID()))
	}
	return signature, err
}

func selectors(keys []dkim.Key) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Selector
	}
	return strings.Join(names, ",")
}
