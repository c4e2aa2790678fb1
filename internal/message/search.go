package message

import (
	"io"
	"time"
)

// Scope says where a Key looks.
type Scope uint8

const (
	ScopeHeader Scope = iota // one field of the message header
	ScopeBody                // the texts of all parts, not the message header
	ScopeText                // all of it
)

// Key is one string to look for, in UTF-8.
type Key struct {
	Scope Scope
	Field string // with ScopeHeader
	Value string // with ScopeHeader, "" asks that the field be there
}

// Search looks for several keys in one pass. It may be used for any number of
// messages, by one goroutine.
type Search struct{ keys []Key }

// NewSearch prepares keys; Value is UTF-8 (see ToUTF8).
func NewSearch(keys []Key) *Search { panic("not yet") }

// NeedsBody reports whether a key looks beyond the header.
func (s *Search) NeedsBody() bool { panic("not yet") }

// Match reads the message as far as it must and says of each key whether it was
// found. The result is valid until the next call.
func (s *Search) Match(r io.Reader) ([]bool, error) { panic("not yet") }

// MatchRecord answers the header keys from a cache record: known[i] is false
// where the file is needed.
func (s *Search) MatchRecord(r *Record) (found, known []bool) { panic("not yet") }

// ToUTF8 converts text of a named charset (SEARCH CHARSET); ErrCharset: answer
// NO [BADCHARSET].
func ToUTF8(charset, text string) (string, error) { panic("not yet") }

// SentDate gives the day of the Date field as SEARCH SENTON etc. compare it:
// the day written in the field, zone disregarded, at midnight UTC. ok is false
// for no date.
func (r *Record) SentDate() (t time.Time, ok bool) { panic("not yet") }

// ParseDate reads an RFC 5322 date, tolerant of what is seen in the wild.
func ParseDate(s string) (time.Time, error) { panic("not yet") }

// FormatDate writes an RFC 5322 §3.3 date, as in Received fields.
func FormatDate(t time.Time) string { return t.Format("Mon, _2 Jan 2006 15:04:05 -0700") }
