package storage

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"mailserver/internal/mutf7"
)

const (
	inbox = "INBOX"
	// maxDirName is what file systems allow in one name, less room for the
	// name that a mailbox has while it is being deleted.
	maxDirName = 250
	// maxLevels bounds the work that one name can cause.
	maxLevels = 32
)

// canonical returns a mailbox name as the index has it: INBOX in capitals, also
// as the first level. ErrBadName for what no mailbox can be called.
func canonical(name string) (string, error) {
	first, rest, below := strings.Cut(name, string(Separator))
	if strings.EqualFold(first, inbox) {
		name = inbox
		if below {
			name += string(Separator) + rest
		}
	}
	if !validName(name) {
		return "", fmt.Errorf("%q: %w", name, ErrBadName)
	}
	return name, nil
}

func validName(name string) bool {
	if name == "" || !utf8.ValidString(name) || strings.Count(name, string(Separator)) >= maxLevels {
		return false
	}
	for _, r := range name {
		if r < ' ' || r == 0x7f || r == '/' || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return false // RFC 5198 §2, and what a file name cannot have
		}
	}
	for _, level := range strings.Split(name, string(Separator)) {
		if level == "" {
			return false
		}
	}
	return len(name) <= maxDirName
}

// dirOf returns the directory of a canonical name, below the Maildir. Names are
// in modified UTF-7 there, as Dovecot and Courier write them.
func dirOf(name string) (string, error) {
	if name == inbox {
		return "", nil
	}
	enc, err := mutf7.Encode(name)
	if err != nil || len(enc) >= maxDirName {
		return "", fmt.Errorf("%q: %w", name, ErrBadName)
	}
	return "." + enc, nil
}

// nameOf returns the mailbox name of a directory, false if it is none. A name
// that is not modified UTF-7 in the form that dirOf would write is taken as it
// stands, if it is UTF-8.
func nameOf(dir string) (string, bool) {
	if dir == "" {
		return inbox, true
	}
	if len(dir) < 2 || dir[0] != '.' {
		return "", false
	}
	name, err := mutf7.Decode(dir[1:])
	if err == nil {
		if back, err := dirOf(name); err != nil || back != dir {
			name = dir[1:]
		}
	} else {
		name = dir[1:]
	}
	canon, err := canonical(name)
	if err != nil || canon != name || name == inbox {
		return "", false
	}
	return name, true
}

// parents returns the names above a mailbox, highest first.
func parents(name string) []string {
	var list []string
	for i := range len(name) {
		if name[i] == Separator {
			list = append(list, name[:i])
		}
	}
	return list
}

// below says whether name lies below parent.
func below(name, parent string) bool {
	return len(name) > len(parent) && name[:len(parent)] == parent && name[len(parent)] == Separator
}
