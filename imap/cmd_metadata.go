package imap

import (
	"context"
	"errors"
	"math"
	"strings"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// RFC 5464: annotations of mailboxes and, with the name "", of the account.

const (
	maxEntryName  = 256
	maxEntryValue = 64 << 10
	maxEntries    = 100 // of one command
)

type getMetadata struct {
	mailbox string
	maxSize int64
	depth   string // "0", "1", "INFINITY"
	entries []string
}

func parseGetMetadata(s *session, d *imapwire.Decoder) *getMetadata {
	a := &getMetadata{maxSize: math.MaxInt64, depth: "0"}
	if d.Peek() == '(' {
		a.options(d)
		d.SP()
	}
	a.mailbox = readAnnotated(s, d)
	d.SP()
	a.entries = readEntries(d)
	return a
}

// readEntries reads the name of an entry, or several in parentheses.
func readEntries(d *imapwire.Decoder) (names []string) {
	if d.Peek() != '(' {
		return []string{readEntry(d)}
	}
	d.List(func() {
		if names = append(names, readEntry(d)); len(names) > maxEntries {
			d.Fail("Too many entries.")
		}
	})
	return names
}

func (a *getMetadata) options(d *imapwire.Decoder) {
	d.List(func() {
		switch d.Keyword() {
		case "MAXSIZE":
			d.SP()
			a.maxSize = d.Number63()
		case "DEPTH":
			d.SP()
			if a.depth = d.Keyword(); a.depth != "0" && a.depth != "1" && a.depth != "INFINITY" {
				d.Fail("Invalid value for DEPTH parameter")
			}
		default:
			d.Fail("Unknown option.")
		}
	})
}

// readAnnotated reads a mailbox or "".
func readAnnotated(s *session, d *imapwire.Decoder) string {
	name, ok := s.decodeName(d.AString())
	if !ok {
		return notUTF7 + name
	}
	return name
}

// readEntry reads the name of an entry: RFC 5464 §3.
func readEntry(d *imapwire.Decoder) string {
	name := strings.ToLower(d.AString())
	if d.Err() == nil {
		if why := entryFault(name); why != "" {
			d.Fail("Invalid entry name: %s", why)
		}
	}
	return name
}

func entryFault(name string) string {
	switch {
	case !strings.HasPrefix(name, "/private/") && !strings.HasPrefix(name, "/shared/") && name != "/private" && name != "/shared":
		return "It must begin with /private or /shared"
	case len(name) > maxEntryName:
		return "It is too long"
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return "It has an empty component"
	case strings.ContainsAny(name, "*%\x00") || !isASCII(name):
		return "It has characters that are not allowed"
	}
	return ""
}

func runGetMetadata(ctx context.Context, s *session, a *getMetadata) (reply, error) {
	p, err := s.annotated(ctx, a.mailbox, acl.Read)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.mailbox))
	}
	found, longest, err := a.read(ctx, p)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.mailbox))
	}
	s.tellMetadata(a.mailbox, found)
	if longest > 0 {
		return reply{code: "METADATA LONGENTRIES " + uitoa(uint64(longest))}, nil
	}
	return reply{}, nil
}

// read reads the entries that are asked for; longest is the size of the longest
// one that is too long.
func (a *getMetadata) read(ctx context.Context, p place) (found []storage.Annotation, longest int64, err error) {
	for _, e := range a.entries {
		before := len(found)
		err := p.account.Metadata(ctx, p.name, e, a.depth != "0", func(name string, value []byte) {
			switch {
			case a.depth == "1" && strings.Contains(strings.TrimPrefix(name[len(e):], "/"), "/"):
			case int64(len(value)) > a.maxSize:
				longest = max(longest, int64(len(value)))
			default:
				found = append(found, storage.Annotation{Name: name, Value: value})
			}
		})
		if err != nil {
			return nil, 0, err
		}
		if len(found) == before && a.depth == "0" && longest == 0 {
			found = append(found, storage.Annotation{Name: e})
		}
	}
	return found, longest, nil
}

// annotated finds a mailbox, or with "" the account: RFC 5464 §3.3 asks for the
// right to read, for shared annotations that to write.
func (s *session) annotated(ctx context.Context, mailbox string, need acl.Rights) (place, error) {
	if mailbox == "" {
		return place{account: s.account}, nil
	}
	return s.at(ctx, mailbox, need)
}

func (s *session) tellMetadata(mailbox string, found []storage.Annotation) {
	if len(found) == 0 {
		return
	}
	s.enc.Raw("* METADATA ").Mailbox(s.wireName(mailbox)).Raw(" (")
	for i, f := range found {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Mailbox(f.Name).Raw(" ")
		if f.Value == nil {
			s.enc.Raw("NIL")
			continue
		}
		s.enc.Raw("{").Number(uint64(len(f.Value))).Raw("}\r\n")
		s.enc.Write(f.Value)
	}
	s.enc.Raw(")\r\n")
}

type setMetadata struct {
	mailbox string
	list    []storage.Annotation
	fault   error
}

func parseSetMetadata(s *session, d *imapwire.Decoder) *setMetadata {
	a := &setMetadata{mailbox: readAnnotated(s, d)}
	d.SP()
	d.List(func() {
		e := storage.Annotation{Name: readEntry(d)}
		d.SP()
		if value, ok := d.NString(); ok {
			e.Value = []byte(value)
		}
		switch {
		case len(e.Value) > maxEntryValue:
			a.fault = &no{"METADATA MAXSIZE " + uitoa(maxEntryValue), "Value is too long."}
		case len(a.list) >= maxEntries:
			d.Fail("Too many entries.")
		}
		a.list = append(a.list, e)
	})
	return a
}

func runSetMetadata(ctx context.Context, s *session, a *setMetadata) (reply, error) {
	if a.fault != nil {
		return reply{}, a.fault
	}
	need := acl.Read
	for _, e := range a.list {
		if !strings.HasPrefix(e.Name, "/private/") {
			need |= acl.Write
		}
	}
	p, err := s.annotated(ctx, a.mailbox, need)
	if err == nil {
		err = p.account.SetMetadata(ctx, p.name, a.list)
	}
	if errors.Is(err, storage.ErrManyAnnotations) {
		return reply{}, &no{"METADATA TOOMANY", "Too many annotations."}
	}
	return reply{}, naming(err, s.wireName(a.mailbox))
}
