package storage

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

// FlagSet is a message's flags as bits. The named ones mean the same in every
// mailbox; keywords are told apart by View.Keyword and View.AppendFlags.
type FlagSet uint64

// The system flags.
const (
	Seen FlagSet = 1 << iota
	Answered
	Flagged
	Deleted
	DraftFlag
)

// What the index keeps in the same word. They are never shown.
const (
	inNew     FlagSet = 1 << (iota + 8) // the file lies in new/
	unclaimed                           // no session has had it as \Recent
	oddInfo                             // the end of the file name is in the row
	behind                              // the file name does not tell the flags yet
)

const (
	systemFlags = Seen | Answered | Flagged | Deleted | DraftFlag
	hiddenFlags = inNew | unclaimed | oddInfo | behind

	firstKeyword = 16 // bit of keyword 0
	maxKeywords  = 64 - firstKeyword
	numLetters   = 26 // keywords that have a letter in file names

	// onDisk are the flags that a file name tells.
	onDisk = systemFlags | (1<<numLetters-1)<<firstKeyword

	// maxKeywordLen is as Dovecot's mail_max_keyword_length.
	maxKeywordLen = 50
)

func keywordBit(num int) FlagSet { return 1 << (firstKeyword + num) }

// systemNames are in the order in which FLAGS lists them.
var systemNames = [...]struct {
	bit    FlagSet
	name   imap.Flag
	letter byte // https://cr.yp.to/proto/maildir.html
}{
	{Answered, imap.FlagAnswered, 'R'},
	{Flagged, imap.FlagFlagged, 'F'},
	{Deleted, imap.FlagDeleted, 'T'},
	{Seen, imap.FlagSeen, 'S'},
	{DraftFlag, imap.FlagDraft, 'D'},
}

func systemFlag(f imap.Flag) (FlagSet, bool) {
	for _, s := range systemNames {
		if strings.EqualFold(string(s.name), string(f)) {
			return s.bit, true
		}
	}
	return 0, false
}

// appendInfo writes the end of a file name in cur/ that tells flags: ":2," and
// letters in ASCII order.
func appendInfo(buf []byte, flags FlagSet) []byte {
	buf = append(buf, ":2,"...)
	for _, s := range [...]struct {
		bit    FlagSet
		letter byte
	}{{DraftFlag, 'D'}, {Flagged, 'F'}, {Answered, 'R'}, {Seen, 'S'}, {Deleted, 'T'}} {
		if flags&s.bit != 0 {
			buf = append(buf, s.letter)
		}
	}
	for n := range numLetters {
		if flags&keywordBit(n) != 0 {
			buf = append(buf, byte('a'+n))
		}
	}
	return buf
}

// parseInfo reads the end of a file name, "" or from the colon on. known are
// the keywords that have a name. odd says that the flags do not tell it as
// appendInfo would write it, so that it must be remembered.
func parseInfo(info string, known FlagSet) (flags FlagSet, odd bool) {
	if !strings.HasPrefix(info, ":2,") {
		return 0, true
	}
	for i := len(":2,"); i < len(info) && info[i] != ','; i++ {
		c := info[i]
		if c >= 'a' && c <= 'z' {
			flags |= keywordBit(int(c-'a')) & known
			continue
		}
		for _, s := range systemNames {
			if s.letter == c {
				flags |= s.bit
			}
		}
	}
	var buf [3 + 5 + numLetters]byte
	return flags, string(appendInfo(buf[:0], flags)) != info
}

// changeInfo returns info with the letters of flags, and with what others wrote
// there that we do not know.
func changeInfo(info string, flags, known FlagSet) string {
	out := appendInfo(nil, flags)
	if !strings.HasPrefix(info, ":2,") {
		return string(out)
	}
	for i := len(":2,"); i < len(info); i++ {
		c := info[i]
		if c == ',' {
			return string(append(out, info[i:]...))
		}
		isOurs := strings.IndexByte("DFRST", c) >= 0 || c >= 'a' && c <= 'z' && keywordBit(int(c-'a'))&known != 0
		if !isOurs {
			out = append(out, c)
		}
	}
	return string(out)
}
