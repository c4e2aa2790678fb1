package imap

import (
	"context"
	"strings"

	"mailserver/internal/imapwire"
)

func runNoop(context.Context, *session) (reply, error) { return reply{}, nil }

func runLogout(_ context.Context, s *session) (reply, error) {
	s.enc.Raw("* BYE Logging out\r\n")
	s.unselect()
	return reply{}, nil
}

func afterLogout(s *session, _ context.Context) error {
	s.state = loggedOut
	return s.enc.Flush()
}

// idPair is a field of ID, RFC 2971 §3.3.
type idPair struct{ key, value string }

const maxIDPairs = 30 // RFC 2971 §3.3

func parseID(_ *session, d *imapwire.Decoder) []idPair {
	if d.Peek() != '(' {
		d.NString() // NIL
		return nil
	}
	var pairs []idPair
	d.List(func() {
		p := idPair{key: d.String()}
		d.SP()
		p.value, _ = d.NString()
		if pairs = append(pairs, p); len(pairs) > maxIDPairs {
			d.Fail("Too many ID fields.")
		}
	})
	return pairs
}

func runID(_ context.Context, s *session, pairs []idPair) (reply, error) {
	s.logID(pairs)
	s.hide(pairs)
	words := strings.Fields(s.cfg.IDSend)
	if len(words) < 2 {
		s.enc.Raw("* ID NIL\r\n")
		return reply{}, nil
	}
	s.enc.Raw("* ID (")
	for i := 0; i+1 < len(words); i += 2 {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.String(words[i]).Raw(" ").String(idValue(words[i+1]))
	}
	s.enc.Raw(")\r\n")
	return reply{}, nil
}

func idValue(v string) string {
	if v == "*" {
		return "mailserver"
	}
	return v
}

func parseEnable(_ *session, d *imapwire.Decoder) []string {
	words := []string{d.Keyword()}
	for !d.AtEnd() {
		d.SP()
		words = append(words, d.Keyword())
	}
	return words
}

// runEnable: RFC 5161. What is not known is left out of the answer.
func runEnable(ctx context.Context, s *session, words []string) (reply, error) {
	before := s.on
	var known []string
	for _, w := range words {
		if name, ok := s.enable(w); ok {
			known = append(known, name)
		}
	}
	if !before.condstore && s.on.condstore {
		s.tellHighestModSeq()
	}
	s.enc.Raw(strings.Join(append([]string{"* ENABLED"}, known...), " ")).CRLF()
	return reply{}, nil
}

func (s *session) enable(word string) (string, bool) {
	switch word {
	case "CONDSTORE":
		s.on.condstore = true
	case "QRESYNC": // RFC 7162 §3.2.3: implies CONDSTORE
		s.on.condstore, s.on.qresync = true, true
	case "UTF8=ACCEPT":
		s.on.utf8 = true
	case "UIDONLY":
		s.on.uidOnly = true
	case "IMAP4REV2":
		s.on.rev2 = true
		return "IMAP4rev2", true
	default:
		return "", false
	}
	return word, true
}

// turnOnCondstore is for commands that imply it, RFC 7162 §3.1.
func (s *session) turnOnCondstore() {
	if !s.on.condstore {
		s.on.condstore = true
		s.tellHighestModSeq()
	}
}

func (s *session) tellHighestModSeq() {
	if s.box != nil {
		s.untaggedOK("HIGHESTMODSEQ "+uitoa(s.box.view.HighestModSeq()), "Highest")
	}
}
