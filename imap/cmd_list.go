package imap

import (
	"context"
	"slices"
	"strings"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

// listArgs is LIST with RFC 5258, 5819 and 6154, or LSUB.
type listArgs struct {
	lsub       bool
	xlist      bool
	patterns   []string
	only       listOnly
	recursive  bool // RECURSIVEMATCH
	extended   bool // options or several patterns were given
	separator  bool // an empty pattern: what separates levels is asked
	subscribed bool // RETURN (SUBSCRIBED)
	children   bool // RETURN (CHILDREN), or a plain LIST
	special    bool // RETURN (SPECIAL-USE), or a plain LIST
	status     []*statusItem
}

// listOnly are the selection options that leave mailboxes out.
type listOnly struct{ subscribed, special bool }

const maxPatterns = 100

func parseLsub(s *session, d *imapwire.Decoder) *listArgs {
	a := parseList(s, d)
	if a.extended {
		d.Fail("Invalid arguments.")
	}
	a.lsub, a.only.subscribed = true, true
	return a
}

// parseXlist reads Google's XLIST, which clients of before RFC 6154 send.
func parseXlist(s *session, d *imapwire.Decoder) *listArgs {
	a := parseList(s, d)
	if a.extended {
		d.Fail("Invalid arguments.")
	}
	a.xlist = true
	return a
}

func parseList(s *session, d *imapwire.Decoder) *listArgs {
	a := &listArgs{}
	if d.Peek() == '(' {
		a.extended = true
		d.List(func() { a.selection(d, d.Keyword()) })
		d.SP()
	}
	reference := d.AString()
	d.SP()
	a.readPatterns(s, d, reference)
	if !d.AtEnd() {
		d.SP()
		a.extended = true
		if d.Keyword() != "RETURN" {
			d.Fail("Unexpected arguments.")
		}
		d.SP()
		d.List(func() { a.returned(d, d.Keyword()) })
	}
	if !a.extended {
		a.children, a.special = true, true
	}
	if a.recursive && !a.only.subscribed {
		d.Fail("RECURSIVEMATCH must not be the only selection option.")
	}
	return a
}

func (a *listArgs) selection(d *imapwire.Decoder, option string) {
	switch option {
	case "SUBSCRIBED":
		a.only.subscribed, a.subscribed = true, true
	case "SPECIAL-USE":
		a.only.special, a.special = true, true
	case "RECURSIVEMATCH":
		a.recursive = true
	case "REMOTE": // there are none: nothing to add
	default:
		d.Fail("Unknown select options.")
	}
}

func (a *listArgs) returned(d *imapwire.Decoder, option string) {
	switch option {
	case "SUBSCRIBED":
		a.subscribed = true
	case "CHILDREN":
		a.children = true
	case "SPECIAL-USE":
		a.special = true
	case "STATUS":
		d.SP()
		a.status = readStatusItems(d)
	default:
		d.Fail("Unknown return options.")
	}
}

func (a *listArgs) readPatterns(s *session, d *imapwire.Decoder, reference string) {
	add := func() {
		pattern := d.ListMailbox()
		a.separator = pattern == ""
		p, ok := s.decodeName(reference + pattern)
		if !ok || len(p) > maxNameLength || len(a.patterns) >= maxPatterns {
			d.Fail("Invalid pattern list.")
		}
		a.patterns = append(a.patterns, p)
	}
	if d.Peek() != '(' {
		add()
		return
	}
	a.extended = true
	d.List(add)
}

// root is what an empty pattern asks for, RFC 9051 §6.3.9: the reference up to
// its first separator.
func (a *listArgs) root() string {
	if i := strings.IndexByte(a.patterns[0], storage.Separator); i >= 0 {
		return a.patterns[0][:i+1]
	}
	return ""
}

func runList(ctx context.Context, s *session, a *listArgs) (reply, error) {
	if !a.extended && a.separator {
		if !a.lsub {
			s.enc.Raw("* LIST (\\Noselect) \".\" ").Mailbox(a.root()).CRLF()
		}
		return reply{}, nil
	}
	all, err := s.account.List(ctx)
	if err != nil {
		return reply{}, err
	}
	s.impliedBy(a.status)
	for _, line := range a.choose(all) {
		s.writeList(a, line)
		if len(a.status) > 0 && line.Exists {
			if st, err := s.account.Status(ctx, line.Name); err == nil {
				s.writeStatus(line.Name, st, a.status)
			}
		}
	}
	return reply{}, nil
}

// listLine is a mailbox to be told.
type listLine struct {
	storage.MailboxInfo
	childInfo bool // told because of a subscribed one below it
}

// choose finds the mailboxes to tell, in order. A mailbox that matches in
// nothing but a subscribed one below it is told with CHILDINFO, by LSUB with
// \Noselect.
func (a *listArgs) choose(all []storage.MailboxInfo) []listLine {
	below := map[string]bool{} // names that have a subscribed one below
	if a.only.subscribed && (a.recursive || a.lsub) {
		below = parentsOfSubscribed(all)
	}
	var lines []listLine
	for _, m := range all {
		if a.matches(m.Name) {
			if line, ok := a.judge(m, below[m.Name]); ok {
				lines = append(lines, line)
			}
		}
		delete(below, m.Name)
	}
	for name := range below { // parents that are not even in the tree
		if a.matches(name) {
			lines = append(lines, listLine{storage.MailboxInfo{Name: name}, true})
		}
	}
	slices.SortStableFunc(lines, func(x, y listLine) int { return strings.Compare(listOrder(x.Name), listOrder(y.Name)) })
	return lines
}

func listOrder(name string) string {
	if name == "INBOX" {
		return ""
	}
	return name
}

// judge applies the selection options to a mailbox.
func (a *listArgs) judge(m storage.MailboxInfo, subscribedBelow bool) (listLine, bool) {
	line := listLine{MailboxInfo: m}
	if a.only.special && len(m.Attrs) == 0 {
		return line, false
	}
	if !a.only.subscribed {
		return line, m.Exists || m.Children
	}
	if a.lsub { // a parent only where the pattern does not reach the child
		line.childInfo = subscribedBelow && !m.Subscribed
		return line, m.Subscribed || subscribedBelow && a.endsInPercent()
	}
	line.childInfo = a.recursive && subscribedBelow
	return line, m.Subscribed || line.childInfo
}

func (a *listArgs) endsInPercent() bool {
	return slices.ContainsFunc(a.patterns, func(p string) bool { return strings.HasSuffix(p, "%") })
}

func parentsOfSubscribed(all []storage.MailboxInfo) map[string]bool {
	parents := map[string]bool{}
	for _, m := range all {
		if !m.Subscribed {
			continue
		}
		for name := m.Name; ; {
			i := strings.LastIndexByte(name, storage.Separator)
			if i <= 0 {
				break
			}
			name = name[:i]
			parents[name] = true
		}
	}
	return parents
}

func (a *listArgs) matches(name string) bool {
	return slices.ContainsFunc(a.patterns, func(p string) bool { return matchName(p, name) })
}

func (s *session) writeList(a *listArgs, m listLine) {
	word := "LIST"
	switch {
	case a.lsub:
		word = "LSUB"
	case a.xlist:
		word = "XLIST"
	}
	s.enc.Raw("* ").Raw(word).Raw(" (").Raw(strings.Join(a.attributes(m), " ")).Raw(") \".\" ").Mailbox(s.wireName(m.Name))
	if m.childInfo && a.extended {
		s.enc.Raw(` (CHILDINFO ("SUBSCRIBED"))`)
	}
	s.enc.CRLF()
}

func (a *listArgs) attributes(m listLine) []string {
	var attrs []string
	if a.lsub {
		if m.childInfo && !m.Subscribed {
			attrs = append(attrs, `\Noselect`)
		}
		return a.uses(attrs, m)
	}
	if a.subscribed && m.Subscribed {
		attrs = append(attrs, `\Subscribed`)
	}
	switch {
	case !m.Exists && a.extended:
		attrs = append(attrs, `\NonExistent`)
	case !m.Exists:
		attrs = append(attrs, `\Noselect`)
	}
	switch {
	case !a.children:
	case m.Children:
		attrs = append(attrs, `\HasChildren`)
	case m.Exists || !a.extended:
		attrs = append(attrs, `\HasNoChildren`)
	}
	if a.xlist && m.Name == "INBOX" {
		attrs = append(attrs, `\Inbox`)
	}
	return a.uses(attrs, m)
}

func (a *listArgs) uses(attrs []string, m listLine) []string {
	if !a.special {
		return attrs
	}
	for _, u := range m.Attrs {
		attrs = append(attrs, string(u))
	}
	return attrs
}

// matchName matches a name with a pattern of LIST: '*' is anything, '%'
// anything within a level. INBOX is written in any case. The work is bounded by
// the product of both lengths, whatever the pattern.
func matchName(pattern, name string) bool {
	if name == "INBOX" {
		pattern = strings.ToUpper(pattern)
	}
	at := make([]bool, len(pattern)+1) // places in the pattern that fit so far
	at[0] = true
	spread(pattern, at)
	next := make([]bool, len(pattern)+1)
	for i := range len(name) {
		clear(next)
		for p := range len(pattern) {
			if !at[p] {
				continue
			}
			switch c := pattern[p]; {
			case c == '*', c == '%' && name[i] != storage.Separator:
				next[p] = true
			case c == name[i]:
				next[p+1] = true
			}
		}
		spread(pattern, next)
		at, next = next, at
	}
	return at[len(pattern)]
}

// spread lets wildcards stand for nothing.
func spread(pattern string, at []bool) {
	for p := range len(pattern) {
		if at[p] && (pattern[p] == '*' || pattern[p] == '%') {
			at[p+1] = true
		}
	}
}
