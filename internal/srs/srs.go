// Package srs rewrites envelope senders of forwarded mail, so that SPF holds at
// the next host and bounces find their way back: the Sender Rewriting Scheme,
// in the form of libsrs2 and postsrsd. Addresses that they made with the same
// secret are understood, and the other way round.
//
//	SRS0=hash=time=domain=local@ours         mail that was forwarded once
//	SRS1=hash=host==hash=time=domain=local@ours  again, by another host before us
package srs

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// Errors of Reverse.
var (
	ErrNone    = errors.New("not an SRS address")
	ErrForged  = errors.New("hash invalid in SRS address")
	ErrExpired = errors.New("time stamp out of date in SRS address")
	ErrSyntax  = errors.New("invalid SRS address")
)

// Scheme makes and reads addresses.
type Scheme struct {
	// Secrets: the first one signs, all are accepted. At least one.
	Secrets   []string
	Separator byte // behind SRS0 and SRS1: = + -; 0 is =
	Length    int  // of hashes that are made; 0 is 4
	Minimum   int  // of hashes that are accepted; 0 is 4
	// MaxAge is how long bounces find their way back; 0 is 21 days. Whole days.
	MaxAge time.Duration
	Now    func() time.Time // nil: time.Now
}

const (
	day      = 24 * time.Hour
	defaults = 4
	// timeSpan is where time stamps begin again: two characters of base 32.
	timeSpan = 1 << 10
)

// Forward is the local part that stands for the sender local@domain.
func (s *Scheme) Forward(local, domain string) string {
	sep := "="
	if s.Separator != 0 {
		sep = string(s.Separator)
	}
	kind, rest := split(local)
	switch kind {
	case "SRS0": // keeps its separator: the first host knows it
		return "SRS1" + sep + s.hash(s.Secrets[0], domain, rest) + "=" + domain + "=" + rest
	case "SRS1":
		if _, tail, ok := strings.Cut(rest[1:], "="); ok {
			if host, old, ok := strings.Cut(tail, "="); ok && host != "" && isTail(old) {
				return "SRS1" + sep + s.hash(s.Secrets[0], host, old) + "=" + host + "=" + old
			}
		}
	}
	stamp := stamp(s.now())
	return "SRS0" + sep + s.hash(s.Secrets[0], stamp, domain, local) + "=" + stamp + "=" + domain + "=" + local
}

// Is reports whether a local part has the form of this scheme.
func Is(local string) bool {
	kind, _ := split(local)
	return kind != ""
}

// split gives SRS0 or SRS1, and what follows with its separator; ” if it is
// neither.
func split(local string) (kind, rest string) {
	if len(local) < 6 || strings.IndexByte("=+-", local[4]) < 0 {
		return "", ""
	}
	switch kind = strings.ToUpper(local[:4]); kind {
	case "SRS0", "SRS1":
		return kind, local[4:]
	}
	return "", ""
}

// Reverse is the sender that a local part stands for: that of SRS0, or for SRS1
// the SRS0 address of the first host that has forwarded the mail. The error is
// one of those above.
func (s *Scheme) Reverse(text string) (local, domain string, err error) {
	kind, rest := split(text)
	if kind == "" {
		return "", "", ErrNone
	}
	hash, rest, ok := strings.Cut(rest[1:], "=")
	if !ok {
		return "", "", ErrSyntax
	}
	if kind == "SRS1" {
		host, old, ok := strings.Cut(rest, "=")
		switch {
		case !ok || host == "" || !isTail(old):
			return "", "", ErrSyntax
		case !s.genuine(hash, host, old):
			return "", "", ErrForged
		}
		return "SRS0" + old, host, nil
	}
	at, rest, ok := strings.Cut(rest, "=")
	domain, local, ok2 := strings.Cut(rest, "=")
	switch {
	case !ok || !ok2 || domain == "" || local == "":
		return "", "", ErrSyntax
	case !s.genuine(hash, at, domain, local):
		return "", "", ErrForged
	case !s.fresh(at):
		return "", "", ErrExpired
	}
	return local, domain, nil
}

// isTail reports whether s is an SRS0 address without its first word.
func isTail(s string) bool { return len(s) >= 2 && strings.IndexByte("=+-", s[0]) >= 0 }

// genuine: letters of a hash may have lost their case on the way.
func (s *Scheme) genuine(hash string, parts ...string) bool {
	least := s.Minimum
	if least == 0 {
		least = defaults
	}
	if len(hash) < least {
		return false
	}
	found := false
	for _, secret := range s.Secrets {
		whole := s.sum(secret, parts...)
		if len(hash) <= len(whole) {
			found = hmac.Equal([]byte(strings.ToLower(hash)), []byte(strings.ToLower(whole[:len(hash)]))) || found
		}
	}
	return found
}

func (s *Scheme) hash(secret string, parts ...string) string {
	n := s.Length
	if n == 0 {
		n = defaults
	}
	whole := s.sum(secret, parts...)
	return whole[:min(n, len(whole))]
}

func (s *Scheme) sum(secret string, parts ...string) string {
	h := hmac.New(sha1.New, []byte(secret))
	for _, p := range parts {
		h.Write([]byte(strings.ToLower(p)))
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

func (s *Scheme) now() int64 {
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	return now().Unix() / int64(day/time.Second)
}

// digits of time stamps, base 32.
const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func stamp(days int64) string {
	return string([]byte{digits[days>>5&31], digits[days&31]})
}

func (s *Scheme) fresh(at string) bool {
	if len(at) != 2 {
		return false
	}
	then := int64(0)
	for _, c := range []byte(strings.ToUpper(at)) {
		i := strings.IndexByte(digits, c)
		if i < 0 {
			return false
		}
		then = then<<5 | int64(i)
	}
	most := int64(s.MaxAge / day)
	if most == 0 {
		most = 21
	}
	age := ((s.now()-then)%timeSpan + timeSpan) % timeSpan
	return age <= most || age == timeSpan-1 // a host whose clock is ahead, around midnight
}
