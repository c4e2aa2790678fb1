package arc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"mailserver/internal/dkim"
)

// keyring looks each key up once.
type keyring struct {
	lookup    Lookup
	known     map[string]keyAnswer
	temporary bool // a key could not be asked for
}

type keyAnswer struct {
	key *dkim.PublicKey
	err error
}

// of is the key that the tags name.
func (k *keyring) of(t tags) (*dkim.PublicKey, error) {
	domain, selector := unspaced(t["d"]), unspaced(t["s"])
	if !isDomain(domain) || !isDomain(selector) {
		return nil, breaks("no proper d= and s=")
	}
	name := strings.ToLower(dkim.Name(domain, selector))
	a, ok := k.known[name]
	if !ok {
		a.key, a.err = k.ask(name)
		k.known[name] = a
	}
	return a.key, a.err
}

func (k *keyring) ask(name string) (*dkim.PublicKey, error) {
	texts, err := k.lookup(name)
	var temporary interface{ Temporary() bool } // the resolver says by it whether to try again
	switch {
	case errors.As(err, &temporary) && temporary.Temporary():
		k.temporary = true
		return nil, breaks("no answer about the key %s", name)
	case err != nil || len(texts) == 0:
		return nil, breaks("no key %s", name)
	case len(texts) > 1:
		return nil, breaks("more than one key %s", name)
	}
	key, err := dkim.ParseRecord(texts[0])
	if err != nil {
		return nil, breaks("key %s: %v", name, err)
	}
	return key, nil
}

func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || strings.ContainsAny(label, " \t\r\n;:\\\"'/") {
			return false
		}
	}
	return true
}

// check verifies b= of a field over what was hashed.
func (k *keyring) check(t tags, sum []byte) error {
	if at, has := t["t"]; has {
		if n, err := strconv.ParseUint(at, 10, 64); err != nil || n > 1<<48 {
			return breaks("malformed t=")
		}
	}
	alg, hash, _ := strings.Cut(t["a"], "-")
	if hash != "sha256" || alg != "rsa" && alg != "ed25519" {
		return breaks("algorithm %.20q is not known", t["a"])
	}
	sig, err := base64.StdEncoding.DecodeString(unspaced(t["b"]))
	if err != nil || len(sig) == 0 {
		return breaks("malformed b=")
	}
	key, err := k.of(t)
	if err != nil {
		return err
	}
	if err := key.Verify(alg, sum, sig); err != nil {
		return broken(err.Error())
	}
	return nil
}

// verifyMessage checks the message signature: RFC 8617 §4.1.2, RFC 6376 §6.1
// with i= in its other meaning and without v=.
func (s *parts) verifyMessage(head []field, body io.Reader, keys *keyring) error {
	t := s.amsTags
	names, form, err := s.scope()
	if err != nil {
		return err
	}
	want, err := base64.StdEncoding.DecodeString(unspaced(t["bh"]))
	if err != nil || len(want) != sha256.Size {
		return breaks("message signature with a malformed bh=")
	}
	h := newBodyHash(form.body)
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	if !bytes.Equal(h.sum(), want) {
		return breaks("the body was changed behind message signature i=%s", t["i"])
	}
	sum := messageHash(names, newPicker(head, s.ams), s.ams.raw, form.header)
	if err := keys.check(t, sum); err != nil {
		return broken(fmt.Sprintf("message signature i=%s: %v", t["i"], err))
	}
	return nil
}

// forms are canonical forms.
type forms struct{ header, body string }

// scope is what the message signature covers.
func (s *parts) scope() (names []string, form forms, err error) {
	t := s.amsTags
	h, has := t["h"]
	if !has {
		return nil, form, breaks("message signature without h=")
	}
	if _, has := t["l"]; has {
		return nil, form, breaks("message signature with l=") // what is added behind the length is not signed
	}
	for name := range strings.SplitSeq(h, ":") {
		name = strings.ToLower(unspaced(name))
		if name == sealName {
			return nil, form, breaks("message signature covers a seal")
		}
		names = append(names, name)
	}
	form = forms{"relaxed", "relaxed"}
	if c, has := t["c"]; has {
		var ok bool
		if form.header, form.body, ok = strings.Cut(c, "/"); !ok {
			form.body = "simple"
		}
	}
	for _, f := range []string{form.header, form.body} {
		if f != "simple" && f != "relaxed" {
			return nil, form, breaks("canonical form %.20q is not known", t["c"])
		}
	}
	return names, form, nil
}

// messageHash hashes the fields named, and the signature itself without b=.
func messageHash(names []string, p *picker, signature, form string) []byte {
	h := sha256.New()
	write := func(raw string) { io.WriteString(h, raw) }
	for _, name := range names {
		f := p.pick(name)
		switch {
		case f == nil:
		case form == "relaxed":
			write(f.relaxed())
		default:
			write(f.raw)
		}
	}
	own := withoutSignature(signature)
	if form == "relaxed" {
		own = relaxed(own)
	}
	write(strings.TrimSuffix(own, "\r\n"))
	return h.Sum(nil)
}

// verifySeals checks all seals, the newest first. What a seal covers begins as
// what the one before covers: it is hashed once.
func verifySeals(sets []parts, keys *keyring) error {
	sums := make([][]byte, len(sets))
	h := sha256.New()
	for i := range sets {
		s := &sets[i]
		io.WriteString(h, s.aar.relaxed())
		io.WriteString(h, s.ams.relaxed())
		sums[i] = sealSum(h, s.seal.raw)
		io.WriteString(h, s.seal.relaxed())
	}
	for i := len(sets) - 1; i >= 0; i-- {
		if err := keys.check(sets[i].sealTags, sums[i]); err != nil {
			return broken(fmt.Sprintf("seal i=%d: %v", i+1, err))
		}
	}
	return nil
}

// sealSum ends a copy of h with the seal itself.
func sealSum(h hash.Hash, seal string) []byte {
	own, err := h.(hash.Cloner).Clone()
	if err != nil { // SHA-256 of the standard library can
		return nil
	}
	io.WriteString(own, strings.TrimSuffix(relaxed(withoutSignature(seal)), "\r\n"))
	return own.Sum(nil)
}
