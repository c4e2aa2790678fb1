// Package dkim signs messages, RFC 6376 and RFC 8463, and writes the records
// that receivers check signatures by. Canonical forms and hashes are
// go-msgauth's; which fields are signed, how often, and over which bytes is
// decided here.
package dkim

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
)

// Key signs for a domain.
type Key struct {
	Domain   string
	Selector string
	Signer   crypto.Signer // RSA or Ed25519
}

// ErrHeader says that a message cannot be signed: its header section is too
// large, or is none.
var ErrHeader = errors.New("header section cannot be signed")

// signed are the fields that a signature covers. Those that are oversigned
// stand once more in h= than in the message, so that none can be added
// afterwards; RFC 6376 §8.15. Lists add their own List- fields, so that these
// are covered only where they are. Date and Message-ID that are missing may be
// added by the next host.
var signed = []struct {
	name string
	over bool
}{
	{"From", true}, {"Reply-To", true}, {"Subject", true}, {"Date", true}, {"To", true}, {"Cc", true},
	{"Message-ID", true}, {"In-Reply-To", true}, {"References", true}, {"MIME-Version", true},
	{"Content-Type", true}, {"Content-Transfer-Encoding", true},
	{"List-Id", false}, {"List-Help", false}, {"List-Subscribe", false}, {"List-Post", false}, {"List-Owner", false},
	{"List-Archive", false}, {"List-Unsubscribe", false}, {"List-Unsubscribe-Post", false},
}

// mostOfField bounds how many fields of one name are signed; a message with
// more is not one that a mail program has made.
const mostOfField = 20

// Sign reads a message and returns a DKIM-Signature field for each key, each
// with its CRLF, to stand above the message. head is what Inspect found in the
// same message. The text is signed as it goes over the wire: a CR or LF on its
// own counts as what the SMTP client makes of it. Memory does not depend on the
// size of the body.
func Sign(r io.Reader, head *Header, keys []Key) (string, error) {
	fields, err := head.fields()
	if err != nil {
		return "", err
	}
	signers := make([]*dkim.Signer, 0, len(keys))
	writers := make([]io.Writer, 0, len(keys))
	closeAll := func() {
		for _, s := range signers {
			s.Close()
		}
	}
	for _, k := range keys {
		s, err := dkim.NewSigner(&dkim.SignOptions{Domain: k.Domain, Selector: k.Selector, Signer: k.Signer, Hash: crypto.SHA256,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed, HeaderKeys: fields})
		if err != nil {
			closeAll()
			return "", fmt.Errorf("sign for %s: %w", k.Domain, err)
		}
		signers, writers = append(signers, s), append(writers, s)
	}
	if _, err := io.Copy(io.MultiWriter(writers...), Wire(r)); err != nil {
		closeAll()
		return "", fmt.Errorf("sign: %w", err)
	}
	var b strings.Builder
	for i, s := range signers {
		if err := s.Close(); err != nil {
			for _, rest := range signers[i+1:] {
				rest.Close()
			}
			return "", fmt.Errorf("sign for %s: %w", keys[i].Domain, err)
		}
		b.WriteString(s.Signature())
	}
	return b.String(), nil
}

// fields is h= for the message.
func (h *Header) fields() ([]string, error) {
	var list []string
	for _, f := range signed {
		n := h.count[strings.ToLower(f.name)]
		if n > mostOfField {
			return nil, fmt.Errorf("%w: %d fields %s", ErrHeader, n, f.name)
		}
		if f.over && (n > 0 || f.name != "Date" && f.name != "Message-ID") {
			n++
		}
		list = append(list, slices.Repeat([]string{f.name}, n)...)
	}
	return list, nil
}

// Wire returns a reader of a text with the line ends that the SMTP client will
// give it: LF on its own becomes CRLF, CR on its own a space.
func Wire(r io.Reader) io.Reader { return &wire{r: r} }

type wire struct {
	r    io.Reader
	err  error
	cr   bool // held back
	in   [2048]byte
	room [2 * 2048]byte
	out  []byte // of room, what was not read yet
}

// Read is io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	for len(w.out) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		n := 0
		n, w.err = w.r.Read(w.in[:])
		w.take(w.in[:n])
	}
	n := copy(p, w.out)
	w.out = w.out[n:]
	return n, nil
}

func (w *wire) take(p []byte) {
	w.out = w.room[:0]
	for _, c := range p {
		if w.cr && c != '\n' {
			w.out = append(w.out, ' ')
		}
		switch {
		case c == '\r':
			w.cr = true
			continue
		case c == '\n':
			w.out = append(w.out, '\r')
		}
		w.cr = false
		w.out = append(w.out, c)
	}
}
