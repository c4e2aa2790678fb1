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
	if why := fault(name); why != "" {
		return "", &NameError{name, why}
	}
	return name, nil
}

// Canonical is a name as Feed and List have it: INBOX in capitals. A name that
// no mailbox can have stays as it is.
func Canonical(name string) string {
	if c, err := canonical(name); err == nil {
		return c
	}
	return name
}

// NameError says why no mailbox can have a name. It is an ErrBadName.
type NameError struct{ Name, Why string }

func (e *NameError) Error() string { return fmt.Sprintf("%q: %v: %s", e.Name, ErrBadName, e.Why) }

// Unwrap makes it ErrBadName.
func (e *NameError) Unwrap() error { return ErrBadName }

func validName(name string) bool { return fault(name) == "" }

// fault says in Dovecot's words what is wrong with a name; "" if nothing is.
func fault(name string) string {
	const separator = string(Separator)
	switch {
	case name == "":
		return "Name is empty"
	case !utf8.ValidString(name):
		return "Not valid UTF-8"
	case strings.Contains(name, "/"):
		// Before the separators, as long as it does not begin with one.
		if name[0] != Separator {
			return "Name must not have '/' characters"
		}
		return "Begins with hierarchy separator"
	case strings.ContainsFunc(name, unfit):
		return "Control characters not allowed"
	case name[0] == Separator:
		return "Begins with hierarchy separator"
	case strings.HasSuffix(name, separator):
		return "Ends with hierarchy separator"
	case strings.Contains(name, separator+separator):
		return "Has adjacent hierarchy separators"
	case strings.Count(name, separator) >= maxLevels:
		return "Too many levels"
	case len(name) > maxDirName:
		return "Name too long"
	}
	return ""
}

// unfit is what RFC 5198 §2 forbids.
func unfit(r rune) bool {
	return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029
}

// dirOf returns the directory of a canonical name, below the Maildir. Names are
// in modified UTF-7 there, as Dovecot and Courier write them.
func dirOf(name string) (string, error) {
	if name == inbox {
		return "", nil
	}
	enc, err := mutf7.Encode(name)
	if err != nil || len(enc) >= maxDirName {
		return "", &NameError{name, "Name too long"}
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
