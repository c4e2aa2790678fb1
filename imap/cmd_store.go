package imap

import (
	"context"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/imapwire"
	"mailserver/storage"
)

type storeArgs struct {
	messages
	op        imap.StoreFlagsOp
	silent    bool
	flags     []imap.Flag
	unchanged *uint64 // RFC 7162 §3.1.3
}

func parseStore(_ *session, d *imapwire.Decoder) *storeArgs { return readStore(d, false) }

func parseUIDStore(_ *session, d *imapwire.Decoder) *storeArgs { return readStore(d, true) }

func readStore(d *imapwire.Decoder, uid bool) *storeArgs {
	a := &storeArgs{messages: readMessages(d, uid)}
	d.SP()
	if d.Peek() == '(' {
		d.List(func() {
			if d.Keyword() != "UNCHANGEDSINCE" {
				d.Fail("Unknown STORE modifier.")
			}
			d.SP()
			n := uint64(d.Number63())
			a.unchanged = &n
		})
		d.SP()
	}
	a.readOp(d)
	d.SP()
	a.flags = readFlags(d)
	return a
}

func (a *storeArgs) readOp(d *imapwire.Decoder) {
	word := d.Keyword()
	item, silent := strings.CutSuffix(word, ".SILENT")
	a.silent = silent
	switch item {
	case "FLAGS":
		a.op = imap.StoreFlagsSet
	case "+FLAGS":
		a.op = imap.StoreFlagsAdd
	case "-FLAGS":
		a.op = imap.StoreFlagsDel
	default:
		d.Fail("Invalid item %s", word)
	}
}

const maxFlags = 200

// readFlags reads flags with or without parentheses.
func readFlags(d *imapwire.Decoder) []imap.Flag {
	var flags []imap.Flag
	one := func() {
		f := readFlag(d)
		if flags = append(flags, f); len(flags) > maxFlags {
			d.Fail("Too many flags.")
		}
	}
	if d.Peek() == '(' {
		d.List(one)
		return flags
	}
	for one(); !d.AtEnd(); one() {
		d.SP()
	}
	return flags
}

func readFlag(d *imapwire.Decoder) imap.Flag {
	f := d.Flag()
	if !strings.HasPrefix(f, `\`) {
		return imap.Flag(f)
	}
	i := slices.IndexFunc(systemFlags, func(k imap.Flag) bool { return strings.EqualFold(string(k), f) })
	if i < 0 {
		d.Fail("Invalid system flag %s", strings.ToUpper(f))
		return ""
	}
	return systemFlags[i]
}

// systemFlags are those that may be set. \Recent is not, RFC 3501 §2.3.2.
var systemFlags = []imap.Flag{imap.FlagSeen, imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagDraft}

func runStore(ctx context.Context, s *session, a *storeArgs) (reply, error) {
	set, err := s.resolve(a.messages)
	if err != nil {
		return reply{}, err
	}
	if s.box.view.ReadOnly() {
		return reply{}, storage.ErrReadOnly
	}
	if err := s.permitStore(ctx, a); err != nil {
		return reply{}, err
	}
	if a.unchanged != nil {
		s.turnOnCondstore()
	}
	set, lowest := s.limited(set)
	r, err := s.box.view.Store(ctx, set, a.op, a.flags, a.unchanged)
	if err != nil {
		return reply{}, err
	}
	if r.Keywords {
		s.tellFlags()
	}
	s.tellStored(a, r)
	s.countDeleted(a, r)
	return s.underLimit(s.storeReply(a, r), lowest), nil
}

// tellStored: the new flags of what was changed; with .SILENT only the MODSEQ,
// if the client keeps track of it.
func (s *session) tellStored(a *storeArgs, r storage.StoreResult) {
	if a.silent && !s.on.condstore {
		return
	}
	withUID := a.uid || s.on.qresync || s.on.rev2
	for seq, m := range s.box.view.Messages(r.Changed) {
		if !a.silent {
			s.tellFlagsOf(seq, m, withUID)
			continue
		}
		s.beginFetch(seq, m.UID)
		if withUID && !s.on.uidOnly {
			s.enc.Raw("UID ").Number(uint64(m.UID)).Raw(" ")
		}
		s.enc.Raw("MODSEQ (").Number(m.ModSeq).Raw("))\r\n")
	}
}

func (s *session) countDeleted(a *storeArgs, r storage.StoreResult) {
	if a.op == imap.StoreFlagsDel || !slices.Contains(a.flags, imap.FlagDeleted) {
		return
	}
	for _, u := range r.Changed {
		s.gone.deleted += int(u.Stop-u.Start) + 1
	}
}

func (s *session) storeReply(a *storeArgs, r storage.StoreResult) reply {
	if len(r.Modified) > 0 {
		return reply{code: "MODIFIED " + s.asAsked(a.messages, r.Modified).String(), text: "Conditional store failed."}
	}
	if r.Gone && !a.uid { // RFC 2180 §4.2.1
		return reply{status: "NO", code: "EXPUNGEISSUED", text: "Some of the messages no longer exist."}
	}
	return reply{}
}

// asAsked turns UIDs into the kind of numbers that the command used.
func (s *session) asAsked(m messages, uids imap.UIDSet) imapwire.Set {
	if m.uid {
		return fromUIDSet(uids)
	}
	var seqs imapwire.Set
	for seq := range s.box.view.Messages(uids) {
		seqs.Add(seq)
	}
	return seqs
}
