package imap

import (
	"context"
	"math"
	"slices"
	"strings"

	"mailserver/internal/acl"
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
	rights     bool     // RETURN (MYRIGHTS), RFC 8440
	metadata   []string // RETURN (METADATA ...), RFC 9590
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
	case "MYRIGHTS":
		a.rights = true
	case "METADATA":
		d.SP()
		a.metadata = readEntries(d)
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
			root, separator := s.root(ctx, a)
			s.enc.Raw("* LIST (\\Noselect) \"").Raw(separator).Raw("\" ").Mailbox(root).CRLF()
		}
		return reply{}, nil
	}
	own, err := s.account.List(ctx)
	if err != nil {
		return reply{}, err
	}
	all, err := s.withOthers(ctx, a, own)
	if err != nil {
		return reply{}, err
	}
	s.impliedBy(a.status)
	for _, line := range a.choose(all) {
		s.writeList(a, line)
		if line.Exists {
			s.tellListed(ctx, a, line)
		}
	}
	return reply{}, nil
}

// tellListed tells what RETURN asks for about a mailbox. What the user may not
// know is left out, RFC 5819 §2.
func (s *session) tellListed(ctx context.Context, a *listArgs, m listLine) {
	if len(a.status) == 0 && !a.rights && len(a.metadata) == 0 {
		return
	}
	p, err := s.at(ctx, m.Name, acl.Lookup)
	if err != nil {
		return
	}
	if a.rights {
		s.enc.Raw("* MYRIGHTS ").Mailbox(s.wireName(m.Name)).Raw(" ").Raw(p.rights.Mine()).CRLF()
	}
	if !p.rights.Has(acl.Read) {
		return
	}
	if len(a.status) > 0 {
		if st, err := p.account.Status(ctx, p.name); err == nil {
			s.writeStatus(m.Name, st, a.status)
		}
	}
	if len(a.metadata) > 0 {
		get := &getMetadata{mailbox: m.Name, maxSize: math.MaxInt64, depth: "0", entries: a.metadata}
		if found, _, err := get.read(ctx, p); err == nil {
			s.tellMetadata(m.Name, found)
		}
	}
}

// listed is a mailbox, or a level above some, that there is to choose from.
type listed struct {
	storage.MailboxInfo
	foreign bool // levels are divided by otherSeparator
}

// listLine is a mailbox to be told.
type listLine struct {
	listed
	childInfo bool // told because of a subscribed one below it
}

// choose finds the mailboxes to tell, in order. A mailbox that matches in
// nothing but a subscribed one below it is told with CHILDINFO, by LSUB with
// \Noselect.
func (a *listArgs) choose(all []listed) []listLine {
	below := map[string]bool{} // names that have a subscribed one below
	if a.only.subscribed && (a.recursive || a.lsub) {
		below = parentsOfSubscribed(all)
	}
	var lines []listLine
	for _, m := range all {
		if a.matches(m.Name, m.foreign) {
			if line, ok := a.judge(m, below[m.Name]); ok {
				lines = append(lines, line)
			}
		}
		delete(below, m.Name)
	}
	for name := range below { // parents that are not even in the tree
		foreign := strings.ContainsRune(name, otherSeparator)
		if a.matches(name, foreign) {
			lines = append(lines, listLine{listed{storage.MailboxInfo{Name: name}, foreign}, true})
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
func (a *listArgs) judge(m listed, subscribedBelow bool) (listLine, bool) {
	line := listLine{listed: m}
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

func parentsOfSubscribed(all []listed) map[string]bool {
	parents := map[string]bool{}
	for _, m := range all {
		if !m.Subscribed {
			continue
		}
		for name := m.Name; ; {
			i := strings.LastIndex(name, separatorOf(m.foreign))
			if i <= 0 {
				break
			}
			name = name[:i]
			parents[name] = true
		}
	}
	return parents
}

func (a *listArgs) matches(name string, foreign bool) bool {
	return slices.ContainsFunc(a.patterns, func(p string) bool { return matchLevels(p, name, separatorOf(foreign)[0]) })
}

func (s *session) writeList(a *listArgs, m listLine) {
	word := "LIST"
	switch {
	case a.lsub:
		word = "LSUB"
	case a.xlist:
		word = "XLIST"
	}
	s.enc.Raw("* ").Raw(word).Raw(" (").Raw(strings.Join(a.attributes(m), " ")).Raw(") \"").Raw(separatorOf(m.foreign)).Raw("\" ").Mailbox(s.wireName(m.Name))
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
func matchName(pattern, name string) bool { return matchLevels(pattern, name, storage.Separator) }

// matchLevels is matchName where another byte divides the levels.
func matchLevels(pattern, name string, separator byte) bool {
	return walkPattern(pattern, name, separator)[len(pattern)]
}

// mayMatch says whether any name that begins so can match.
func mayMatch(pattern, begin string, separator byte) bool {
	return slices.Contains(walkPattern(pattern, begin, separator), true)
}

// walkPattern returns the places in the pattern that fit after all of name.
func walkPattern(pattern, name string, separator byte) []bool {
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
			case c == '*', c == '%' && name[i] != separator:
				next[p] = true
			case c == name[i]:
				next[p+1] = true
			}
		}
		spread(pattern, next)
		at, next = next, at
	}
	return at
}

// spread lets wildcards stand for nothing.
func spread(pattern string, at []bool) {
	for p := range len(pattern) {
		if at[p] && (pattern[p] == '*' || pattern[p] == '%') {
			at[p+1] = true
		}
	}
}
