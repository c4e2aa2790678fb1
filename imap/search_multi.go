package imap

import (
	"context"
	"errors"
	"slices"
	"strings"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// multiArgs is ESEARCH, RFC 7377 §2.1.
type multiArgs struct {
	searchArgs
	selected bool // only the selected mailbox
	sources  []searchSource
}

// searchSource names mailboxes by filters: RFC 7377 §2.2.
type searchSource struct {
	word  string
	names []string
}

// maxSources bounds what one ESEARCH names.
const maxSources = 1000

func parseESearch(s *session, d *imapwire.Decoder) *multiArgs {
	a := &multiArgs{searchArgs: searchArgs{uid: true, extended: true}}
	p := &searchParser{d: d, a: &a.searchArgs}
	word := p.key()
	if word == "IN" {
		d.SP()
		d.List(func() { a.source(s, d) })
		d.SP()
		word = p.key()
	} else {
		a.sources = []searchSource{{word: "SELECTED"}}
	}
	a.selected = len(a.sources) == 1 && a.sources[0].word == "SELECTED"
	if slices.ContainsFunc(a.sources, func(src searchSource) bool { return src.word == "SELECTED" }) && s.state != selected {
		d.Fail("No mailbox selected.")
	}
	p.program(word)
	switch {
	case a.update:
		d.Fail("UPDATE can't be used here")
	case a.save && !a.selected:
		d.Fail("SAVE can only be used with the selected mailbox")
	case !a.selected && a.key != nil && a.key.numbered():
		d.Fail("Sequence numbers can only be used with the selected mailbox")
	}
	return a
}

// numbered tells whether a key names messages by what only the selected mailbox
// has.
func (k *searchKey) numbered() bool {
	return k.op == opSet && (!k.set.uid || k.set.saved) || slices.ContainsFunc(k.sub, (*searchKey).numbered)
}

func (a *multiArgs) source(s *session, d *imapwire.Decoder) {
	src := searchSource{word: d.Keyword()}
	switch src.word {
	case "SELECTED", "INBOXES", "PERSONAL", "SUBSCRIBED":
	case "SUBTREE", "SUBTREE-ONE", "MAILBOXES":
		d.SP()
		if d.Peek() == '(' {
			d.List(func() { src.names = append(src.names, s.readMailbox(d)) })
		} else {
			src.names = []string{s.readMailbox(d)}
		}
	default:
		d.Fail("Unknown search source %s", src.word)
	}
	if a.sources = append(a.sources, src); len(a.sources)+len(src.names) > maxSources {
		d.Fail("Too many search sources.")
	}
}

// has tells whether a mailbox is meant.
func (src *searchSource) has(m *storage.MailboxInfo) bool {
	switch src.word {
	case "INBOXES":
		return m.Name == "INBOX"
	case "PERSONAL":
		return true
	case "SUBSCRIBED":
		return m.Subscribed
	}
	for _, name := range src.names {
		if strings.EqualFold(name, "INBOX") {
			name = "INBOX"
		}
		rest, below := strings.CutPrefix(m.Name, name+string(storage.Separator))
		switch {
		case name == m.Name,
			below && src.word == "SUBTREE",
			below && src.word == "SUBTREE-ONE" && !strings.ContainsRune(rest, storage.Separator):
			return true
		}
	}
	return false
}

func runESearch(ctx context.Context, s *session, a *multiArgs) (reply, error) {
	if err := a.toUTF8(); err != nil {
		return reply{}, err
	}
	a.charset = "" // the strings are in UTF-8 now
	if a.modSeq {
		s.turnOnCondstore()
	}
	names, err := s.searched(ctx, a)
	if err != nil {
		return reply{}, err
	}
	for _, name := range names {
		if err := s.searchOther(ctx, name, &a.searchArgs); err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

// searched lists the mailboxes that are meant, each once. The selected one is "".
func (s *session) searched(ctx context.Context, a *multiArgs) (names []string, err error) {
	current := ""
	if s.box != nil {
		current = s.box.view.Name()
	}
	if slices.ContainsFunc(a.sources, func(src searchSource) bool { return src.word == "SELECTED" }) {
		names = append(names, "")
	}
	if a.selected {
		return names, nil
	}
	all, err := s.account.List(ctx)
	for i := range all {
		m := &all[i]
		if !m.Exists || m.Name == current && len(names) > 0 && names[0] == "" ||
			!slices.ContainsFunc(a.sources, func(src searchSource) bool { return src.has(m) }) {
			continue
		}
		names = append(names, m.Name)
	}
	return names, err
}

// searchOther searches a mailbox, as if it were selected by EXAMINE, and tells what
// it has found there, if anything. One that is gone meanwhile has nothing.
func (s *session) searchOther(ctx context.Context, name string, a *searchArgs) error {
	if name != "" {
		view, err := s.account.Select(ctx, name, true)
		if errors.Is(err, storage.ErrNoMailbox) {
			return nil
		}
		if err != nil {
			return err
		}
		defer view.Close()
		defer func(box *selection) { s.box = box }(s.box)
		s.box = &selection{view: view}
	}
	found, err := s.search(ctx, a)
	if err != nil {
		return err
	}
	if a.save {
		s.box.saved = a.kept(found)
	}
	if found.count == 0 {
		return nil
	}
	from := s.tag
	s.tellESearchOf(a, found, inOrder(found.nums), func() {
		s.enc.Raw("(TAG ").String(from).Raw(" MAILBOX ").Mailbox(s.wireName(s.box.view.Name()))
		s.enc.Raw(" UIDVALIDITY ").Number(uint64(s.box.view.UIDValidity())).Raw(")")
	})
	return nil
}
