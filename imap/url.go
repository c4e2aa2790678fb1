package imap

import (
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
)

// messageURL is a message or a part of one that a URL names, RFC 5092 §11.
type messageURL struct {
	mailbox  string
	validity uint32 // 0: not said
	uid      imap.UID
	section  *imap.FetchItemBodySection
}

// parseURL takes "imap://user@host/mailbox;UIDVALIDITY=n/;UID=n/;SECTION=s/
// ;PARTIAL=o.n", or from its first single slash. It must be a message of this
// user on this server; what is authorized by URLAUTH is not known here. All of
// it is ASCII, RFC 3986 §2: names are percent-encoded.
func (s *session) parseURL(text string) (u messageURL, ok bool) {
	path, ok := s.pathOf(text)
	if !ok || strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return u, false
	}
	u.section = &imap.FetchItemBodySection{Peek: true}
	at := strings.Index(strings.ToUpper(path), "/;UID=")
	if at < 0 {
		return u, false
	}
	box := path[:at]
	if i := strings.Index(strings.ToUpper(box), ";UIDVALIDITY="); i >= 0 {
		if u.validity, ok = urlNumber(box[i+len(";UIDVALIDITY="):]); !ok {
			return u, false
		}
		box = box[:i]
	}
	name, err := url.PathUnescape(box)
	if err != nil || name == "" || strings.Contains(box, ";") {
		return u, false
	}
	u.mailbox = name
	if strings.EqualFold(name, "INBOX") {
		u.mailbox = "INBOX"
	}
	return u, u.parts(strings.Split(path[at+len("/;"):], "/;"))
}

// pathOf takes the server from a URL, if it is this one.
func (s *session) pathOf(text string) (path string, ok bool) {
	if len(text) > 7 && strings.EqualFold(text[:7], "imap://") {
		server, rest, ok := strings.Cut(text[7:], "/")
		if !ok || !s.isHere(server) {
			return "", false
		}
		return rest, true
	}
	return strings.CutPrefix(text, "/")
}

// isHere: user and host of a URL are those of the session.
func (s *session) isHere(server string) bool {
	if i := strings.LastIndexByte(server, '@'); i >= 0 {
		user, _, _ := strings.Cut(server[:i], ";")
		name, err := url.PathUnescape(user)
		if err != nil || !strings.EqualFold(name, s.user) {
			return false
		}
		server = server[i+1:]
	}
	if host, _, err := net.SplitHostPort(server); err == nil {
		server = host
	}
	return strings.EqualFold(server, s.cfg.Hostname) || s.opt.Hostname != "" && strings.EqualFold(server, s.opt.Hostname)
}

// parts reads UID=n, SECTION=s, PARTIAL=o.n, in this order.
func (u *messageURL) parts(list []string) bool {
	const uid, section, partial = 1, 2, 3
	at := 0
	for _, p := range list {
		key, v, _ := strings.Cut(p, "=")
		next, ok := 0, false
		switch strings.ToUpper(key) {
		case "UID":
			var n uint32
			n, ok = urlNumber(v)
			u.uid, next = imap.UID(n), uid
		case "SECTION":
			ok, next = u.readSection(v), section
		case "PARTIAL":
			ok, next = u.readPartial(v), partial
		}
		if !ok || next <= at {
			return false
		}
		at = next
	}
	return at > 0
}

func (u *messageURL) readSection(v string) bool {
	spec, err := url.PathUnescape(v)
	if err != nil || len(spec) > 4000 || strings.ContainsAny(spec, "]\r\n{") {
		return false
	}
	d := imapwire.NewDecoder(strings.NewReader("[" + spec + "]\r\n"))
	defer d.Free()
	d.Begin(int64(len(spec)) + 10)
	section := readSection(d)
	if d.End(); d.Err() != nil {
		return false
	}
	section.Peek = true
	u.section = section
	return true
}

func (u *messageURL) readPartial(v string) bool {
	offset, size, sized := strings.Cut(v, ".")
	from, err := strconv.ParseUint(offset, 10, 62)
	if err != nil {
		return false
	}
	u.section.Partial = &imap.SectionPartial{Offset: int64(min(from, math.MaxInt64/4)), Size: math.MaxInt64 / 4}
	if !sized {
		return true
	}
	n, ok := urlNumber(size)
	u.section.Partial.Size = int64(n)
	return ok
}

// urlNumber is a number that is not 0.
func urlNumber(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0
}
