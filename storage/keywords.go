package storage

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// keywordFile is where Dovecot keeps the names of the letters a to z, one line
// each: number, space, name.
const keywordFile = "dovecot-keywords"

// maxKeywordFile bounds how much of it is read.
const maxKeywordFile = 64 << 10

// keywords are the names of a mailbox's keywords by number; "" is free.
type keywords struct {
	names [maxKeywords]string
	known FlagSet // those with a name
}

func (k *keywords) set(num int, name string) {
	k.names[num] = name
	k.known |= keywordBit(num)
}

// find returns the bit of a keyword, whatever its case.
func (k *keywords) find(name string) (FlagSet, bool) {
	for num, have := range k.names {
		if have != "" && strings.EqualFold(have, name) {
			return keywordBit(num), true
		}
	}
	return 0, false
}

// free returns the number for the next keyword, -1 if there is none.
func (k *keywords) free() int {
	for num, name := range k.names {
		if name == "" {
			return num
		}
	}
	return -1
}

// validKeyword says whether a client may name a keyword so: an atom, RFC 9051
// §9 flag-keyword.
func validKeyword(name string) bool {
	if name == "" || len(name) > maxKeywordLen {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

// bit returns the bit of any flag that has one; \Recent and \* have none.
func (k *keywords) bit(f imap.Flag) (FlagSet, bool) {
	if b, ok := systemFlag(f); ok {
		return b, true
	}
	return k.find(string(f))
}

func (k *keywords) append(buf []byte, set FlagSet) []byte {
	start := len(buf)
	add := func(name string) {
		if len(buf) > start {
			buf = append(buf, ' ')
		}
		buf = append(buf, name...)
	}
	for _, s := range systemNames {
		if set&s.bit != 0 {
			add(string(s.name))
		}
	}
	if set &= k.known; set>>firstKeyword == 0 {
		return buf
	}
	for num, name := range k.names {
		if set&keywordBit(num) != 0 {
			add(name)
		}
	}
	return buf
}

// list returns the system flags and all keywords.
func (k *keywords) list() []imap.Flag {
	var flags []imap.Flag
	for _, s := range systemNames {
		flags = append(flags, s.name)
	}
	for _, name := range k.names {
		if name != "" {
			flags = append(flags, imap.Flag(name))
		}
	}
	return flags
}

// parseKeywordFile reads the file; lines that make no sense are left out.
func parseKeywordFile(text string) map[int]string {
	names := make(map[int]string)
	for line := range strings.Lines(text) {
		number, name, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		num, err := strconv.Atoi(number)
		if !ok || err != nil || num < 0 || num >= numLetters || !validKeyword(name) {
			continue
		}
		names[num] = name
	}
	return names
}

// formatKeywordFile writes the keywords that have a letter.
func (k *keywords) formatFile() string {
	var b strings.Builder
	for num, name := range k.names[:numLetters] {
		if name != "" {
			fmt.Fprintf(&b, "%d %s\n", num, name)
		}
	}
	return b.String()
}
