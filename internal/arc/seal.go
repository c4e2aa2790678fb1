package arc

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mailserver/internal/dkim"
)

// ErrEnded says that a chain cannot be extended: it has MostSets sets, its
// newest seal says that it has failed, or it could not be checked for now.
var ErrEnded = errors.New("the chain takes no more sets")

// sealed are the fields that our message signature covers, each as often as it
// stands in the message. What the next host changes it signs itself, so that
// nothing is oversigned but From. RFC 8617 §4.1.2 leaves out what only means
// something until the next host: Authentication-Results, Received.
var sealed = []string{"from", "from", "reply-to", "subject", "date", "to", "cc", "message-id", "in-reply-to", "references",
	"mime-version", "content-type", "content-transfer-encoding", "list-id", "list-unsubscribe", "list-unsubscribe-post",
	"dkim-signature"}

// Sealer adds a set to messages that are passed on.
type Sealer struct {
	Key dkim.Key
	// AuthservID marks the Authentication-Results fields that are our own; what
	// they say goes into the set.
	AuthservID string
	Now        func() time.Time // nil: time.Now

	whole bool // signatures are not folded
}

// Seal reads a message, with our own Authentication-Results, and returns the
// three fields of the next set, each with CRLF, to stand above it. chain is
// what Verify found in the same message, before anything in it was changed.
// RFC 8617 §5.1. The error is ErrEnded, one of r, or one of the key.
func (s *Sealer) Seal(r io.Reader, chain *Chain) (string, error) {
	return s.seal(r, chain, nil)
}

// seal covers the fields names; nil are those of sealed that there are.
func (s *Sealer) seal(r io.Reader, chain *Chain, names []string) (string, error) {
	if chain.ended || chain.Temporary || chain.last >= MostSets {
		return "", ErrEnded
	}
	head, body, err := readHeader(dkim.Wire(r))
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if names == nil {
		names = present(head)
	}
	h := newBodyHash("relaxed")
	if _, err := io.Copy(h, body); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	n := chain.last + 1
	aar := fmt.Sprintf("ARC-Authentication-Results: i=%d; %s\r\n", n, s.results(head))
	ams, err := s.sign("ARC-Message-Signature", s.messageTags(n, names, h.sum()), func(unsigned string) []byte {
		return messageHash(names, newPicker(head, nil), unsigned, "relaxed")
	})
	if err != nil {
		return "", err
	}
	seal, err := s.sign("ARC-Seal", s.sealTags(n, chain.Result), func(unsigned string) []byte {
		h := sha256.New()
		if chain.Result != Fail { // RFC 8617 §5.1.2: a failed chain is not covered
			old, _ := collect(head)
			for i := range old {
				io.WriteString(h, old[i].aar.relaxed()+old[i].ams.relaxed()+old[i].seal.relaxed())
			}
		}
		io.WriteString(h, relaxed(aar)+relaxed(ams))
		return sealSum(h, unsigned)
	})
	return seal + ams + aar, err
}

// present are the fields of sealed, as often as they are there; From once more.
func present(head []field) []string {
	count := make(map[string]int)
	for i := range head {
		count[head[i].name]++
	}
	var names []string
	for i, name := range sealed {
		n := count[name]
		if i == 0 {
			n = 1
		}
		for range min(n, mostOfField) {
			names = append(names, name)
		}
	}
	return names
}

// mostOfField bounds how many fields of one name are covered.
const mostOfField = 20

// results joins what our own Authentication-Results fields say.
func (s *Sealer) results(head []field) string {
	var list []string
	for i := range head {
		if head[i].name != "authentication-results" {
			continue
		}
		id, rest, _ := strings.Cut(head[i].value(), ";")
		id, _, _ = strings.Cut(strings.TrimSpace(id), " ") // a version may follow
		if !strings.EqualFold(id, s.AuthservID) {
			continue
		}
		for part := range strings.SplitSeq(rest, ";") {
			if part = strings.Join(strings.Fields(part), " "); part != "" && len(list) < mostTags {
				list = append(list, part)
			}
		}
	}
	if len(list) == 0 {
		list = []string{"none"}
	}
	return s.AuthservID + ";\r\n\t" + strings.Join(list, ";\r\n\t")
}

// pair is a tag of a field that is being written.
type pair struct{ name, value string }

// common are the tags that both signatures have; they stand in the order of
// their names.
func (s *Sealer) common(n int) []pair {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return []pair{{"a", dkim.Algorithm(s.Key.Signer) + "-sha256"}, {"b", ""}, {"d", s.Key.Domain}, {"i", fmt.Sprint(n)},
		{"s", s.Key.Selector}, {"t", fmt.Sprint(now().Unix())}}
}

func (s *Sealer) messageTags(n int, names []string, body []byte) []pair {
	c := s.common(n)
	return []pair{c[0], c[1], {"bh", base64.StdEncoding.EncodeToString(body)}, {"c", "relaxed/relaxed"},
		c[2], {"h", strings.Join(names, ":")}, c[3], c[4], c[5]}
}

func (s *Sealer) sealTags(n int, cv string) []pair {
	c := s.common(n)
	return []pair{c[0], c[1], {"cv", cv}, c[2], c[3], c[4], c[5]}
}

// sign writes a field: sum hashes it with an empty b=, then b= is filled in.
func (s *Sealer) sign(name string, list []pair, sum func(unsigned string) []byte) (string, error) {
	hash, opts := sum(s.write(name, list)), crypto.SignerOpts(crypto.SHA256)
	if dkim.Algorithm(s.Key.Signer) == "ed25519" {
		opts = crypto.Hash(0) // RFC 8463 §3: the sum is what is signed
	}
	sig, err := s.Key.Signer.Sign(rand.Reader, hash, opts)
	if err != nil {
		return "", fmt.Errorf("seal for %s: %w", s.Key.Domain, err)
	}
	list[1].value = base64.StdEncoding.EncodeToString(sig)
	return s.write(name, list), nil
}

// lineMost is how long a line of a field may grow, RFC 5322 §2.1.1.
const lineMost = 77

// write folds a field. h= is folded behind a colon, b= anywhere: neither
// changes what a signature covers, if it is the same when b= is empty.
func (s *Sealer) write(name string, list []pair) string {
	var b strings.Builder
	b.WriteString(name + ":")
	width := b.Len()
	for i, p := range list {
		text := p.name + "=" + p.value
		if i < len(list)-1 {
			text += ";"
		}
		pieces := []string{text}
		if p.name == "h" {
			pieces = strings.SplitAfter(text, ":")
		} else if p.name == "b" && !s.whole {
			pieces = chunks(text)
		}
		if i == 2 { // stands on a line of its own, however long b= is
			width = lineMost
		}
		for j, piece := range pieces {
			switch {
			case width+1+len(piece) > lineMost:
				b.WriteString("\r\n\t")
				width = 1
			case j == 0:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(piece)
			width += len(piece)
		}
	}
	b.WriteString("\r\n")
	return b.String()
}

// chunks cuts a signature into pieces that fill a line.
func chunks(s string) []string {
	const size = 72
	var list []string
	for len(s) > size {
		list = append(list, s[:size])
		s = s[size:]
	}
	return append(list, s)
}
