package smtp

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mailserver/internal/smtpwire"
)

// xforwardLine is what EHLO says to clients of smtpd_authorized_xforward_hosts.
const xforwardLine = "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"

// forwarded is what a content filter says of the client it had the message
// from. It is for the log only, and for one message. Postfix XFORWARD_README
type forwarded struct {
	client     bool // anything but IDENT and SOURCE was said
	name, addr string
	ident      string // queue id there, '' unknown
}

const (
	maxForwarded      = 255 // of a value as it is sent
	maxForwardedProto = 64
	notAvailable      = "[UNAVAILABLE]"
	notNow            = "[TEMPUNAVAIL]"
)

var insufficient = reply{550, "5.7.0", "Error: insufficient authorization"}

// xforward takes the attributes of the client of another server. Those of one
// command are taken together or not at all.
func (s *session) xforward(_ context.Context, args string) reply {
	words := strings.Fields(args)
	switch {
	case len(words) == 0:
		return syntax("XFORWARD attribute=value...")
	case !s.mayForward():
		return insufficient
	}
	f := s.forwarded
	if f == (forwarded{}) {
		f.name, f.addr = unknown, unknown
	}
	for _, word := range words {
		if r, bad := f.take(word); bad {
			return r
		}
	}
	s.forwarded = f
	return ok
}

func (s *session) mayForward() bool { return s.set.xforward.Contains(s.client.Addr) }

// take sets one attribute from "NAME=xtext".
func (f *forwarded) take(word string) (reply, bool) {
	given, sent, _ := strings.Cut(word, "=")
	name := strings.ToUpper(given)
	bad := reply{501, "5.5.4", "Bad " + name + " syntax: " + sent}
	switch {
	case sent == "":
		return reply{501, "5.5.4", "Error: attribute=value expected"}, true
	case len(sent) > maxForwarded:
		return reply{501, "5.5.4", "Error: attribute value too long"}, true
	case !slices.Contains(strings.Fields(xforwardLine)[1:], name):
		return reply{501, "5.5.4", "Bad XFORWARD attribute name: " + given}, true
	}
	value, good := smtpwire.DecodeXtext(sent)
	if !good {
		value = sent // as smtpd(8) does
	}
	none := strings.EqualFold(value, notAvailable) || strings.EqualFold(value, notNow)
	if !none && !forwardable(name, value) {
		return bad, true
	}
	f.set(name, neutered(value), none)
	return reply{}, false
}

// set keeps what the log shows.
func (f *forwarded) set(name, value string, none bool) {
	shown := value
	if none {
		value, shown = "", unknown
	}
	switch name {
	case "NAME":
		f.name = shown
	case "ADDR":
		f.addr = strings.TrimPrefix(strings.ToLower(shown), "ipv6:")
	case "IDENT":
		f.ident = value
	}
	f.client = f.client || name != "IDENT" && name != "SOURCE"
}

// forwardable reports whether an attribute may have a value.
func forwardable(name, value string) bool {
	switch name {
	case "NAME":
		return validName(value)
	case "ADDR":
		_, err := netip.ParseAddr(strings.TrimPrefix(strings.ToLower(value), "ipv6:"))
		return err == nil
	case "PORT":
		_, err := strconv.ParseUint(value, 10, 32)
		return err == nil && len(value) <= 5
	case "PROTO":
		return len(value) <= maxForwardedProto
	case "SOURCE":
		return strings.EqualFold(value, "LOCAL") || strings.EqualFold(value, "REMOTE")
	}
	return true
}

// line is the end of the line with client=, as smtpd(8) writes it.
func (f *forwarded) line() string {
	text := ""
	if f.ident != "" {
		text += ", orig_queue_id=" + f.ident
	}
	if f.client {
		text += ", orig_client=" + f.name + "[" + f.addr + "]"
	}
	return text
}

// validName reports whether text is a host name.
func validName(text string) bool {
	labels := strings.Split(text, ".")
	return !slices.ContainsFunc(labels, func(l string) bool {
		return l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.ContainsFunc(l, func(c rune) bool {
				return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
			})
	})
}
