package imap

import (
	"context"
	"slices"

	"mailserver/internal/acl"
	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// statusItem is a row: an attribute of STATUS and its value.
type statusItem struct {
	name      string
	condstore bool // asking for it turns CONDSTORE on
	value     func(*session, storage.Status) string
}

var statusItems = []statusItem{
	{"MESSAGES", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.Messages)) }},
	{"RECENT", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.Recent)) }},
	{"UIDNEXT", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.UIDNext)) }},
	{"UIDVALIDITY", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.UIDValidity)) }},
	{"UNSEEN", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.Unseen)) }},
	{"HIGHESTMODSEQ", true, func(_ *session, st storage.Status) string { return uitoa(st.HighestModSeq) }},
	{"SIZE", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.Size)) }},
	{"DELETED", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.Deleted)) }},
	{"DELETED-STORAGE", false, func(_ *session, st storage.Status) string { return uitoa(uint64(st.DeletedSize)) }},
	{"MAILBOXID", false, func(_ *session, st storage.Status) string { return "(" + st.MailboxID + ")" }},
	{"APPENDLIMIT", false, func(s *session, _ storage.Status) string { return uitoa(uint64(s.maxMailSize())) }},
}

func findStatusItem(name string) *statusItem {
	for i := range statusItems {
		if statusItems[i].name == name {
			return &statusItems[i]
		}
	}
	return nil
}

func readStatusItems(d *imapwire.Decoder) []*statusItem {
	var items []*statusItem
	d.List(func() {
		name := d.Keyword()
		item := findStatusItem(name)
		if item == nil {
			d.Fail("Invalid status item %s", name)
			return
		}
		if !slices.Contains(items, item) {
			items = append(items, item)
		}
	})
	if len(items) == 0 {
		d.Fail("Empty status list.")
	}
	return items
}

type statusArgs struct {
	name  string
	items []*statusItem
}

func parseStatus(s *session, d *imapwire.Decoder) statusArgs {
	a := statusArgs{name: s.readMailbox(d)}
	d.SP()
	a.items = readStatusItems(d)
	return a
}

func runStatus(ctx context.Context, s *session, a statusArgs) (reply, error) {
	p, err := s.at(ctx, a.name, acl.Read)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.name))
	}
	st, err := p.account.Status(ctx, p.name)
	if err != nil {
		return reply{}, naming(err, s.wireName(a.name))
	}
	s.impliedBy(a.items)
	s.writeStatus(a.name, st, a.items)
	if s.isSelected(p) { // RFC 9051 §6.3.11: should not be asked
		return reply{code: "CLIENTBUG", text: "Status on selected mailbox completed."}, nil
	}
	return reply{}, nil
}

func (s *session) impliedBy(items []*statusItem) {
	for _, i := range items {
		if i.condstore {
			s.turnOnCondstore()
		}
	}
}

func (s *session) writeStatus(name string, st storage.Status, items []*statusItem) {
	s.enc.Raw("* STATUS ").Mailbox(s.wireName(name)).Raw(" (")
	for i, item := range items {
		if i > 0 {
			s.enc.Raw(" ")
		}
		s.enc.Raw(item.name).Raw(" ").Raw(item.value(s, st))
	}
	s.enc.Raw(")\r\n")
}
