package acl

import (
	"errors"
	"fmt"
	"strings"
)

// MaxFile bounds a file, and so the memory of a list.
const MaxFile = 64 << 10

var (
	// ErrGlobal says that an identifier is one of a global ACL, which only the
	// operator changes.
	ErrGlobal = errors.New("global ACLs cannot be modified")
	// ErrIdentifier says that nobody can be called so.
	ErrIdentifier = errors.New("invalid identifier")
)

// ParseFile reads a file dovecot-acl: a line for each identifier, "-" before
// it for rights that are taken; letters, and after a colon names of rights.
func ParseFile(text string) (List, error) {
	var l List
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		e, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		old := l.Entry(e.ID)
		if e.HasYes {
			old.Yes, old.HasYes = e.Yes, true
		} else {
			old.No, old.HasNo = e.No, true
		}
		l = l.Set(old)
	}
	return l, nil
}

func parseLine(line string) (e Entry, err error) {
	id, rest, err := cutID(line)
	if err != nil {
		return e, err
	}
	r, err := parseRights(rest)
	if err != nil {
		return e, err
	}
	id, negative := strings.CutPrefix(id, "-")
	if e.ID, err = ParseID(id); err != nil {
		return e, err
	}
	e.Set(r, negative)
	return e, nil
}

// cutID takes the identifier, which may be in quotes, from a line.
func cutID(line string) (id, rest string, err error) {
	if line[0] != '"' {
		id, rest, _ = strings.Cut(line, " ")
		return id, rest, nil
	}
	var b strings.Builder
	for i := 1; i < len(line); i++ {
		switch c := line[i]; c {
		case '\\':
			if i++; i < len(line) {
				b.WriteByte(line[i])
			}
		case '"':
			rest = line[i+1:]
			if rest != "" && rest[0] != ' ' {
				return "", "", fmt.Errorf("invalid data after %q", b.String())
			}
			return b.String(), strings.TrimPrefix(rest, " "), nil
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("no quote at the end of %s", line)
}

func parseRights(s string) (r Rights, err error) {
	short, long, _ := strings.Cut(s, ":")
	for i := range len(short) {
		if short[i] == ' ' || short[i] == '\t' {
			continue
		}
		right := letter(short[i])
		if right == 0 {
			return 0, fmt.Errorf("unknown right %q", short[i])
		}
		r |= right
	}
	for _, name := range strings.FieldsFunc(long, func(c rune) bool { return c == ' ' || c == '\t' || c == ',' }) {
		right := named(name)
		if right == 0 {
			return 0, fmt.Errorf("unknown right %q", name)
		}
		r |= right
	}
	return r, nil
}

// ParseID reads an identifier of a file: anyone, user=joe.
func ParseID(s string) (ID, error) {
	if strings.ContainsAny(s, "\r\n\x00") {
		return ID{}, ErrIdentifier
	}
	name, value, hasValue := strings.Cut(s, "=")
	kinds := map[string]Kind{"user": User, "group": Group, "group-override": GroupOverride}
	if hasValue {
		if kind, ok := kinds[name]; ok && value != "" {
			return ID{kind, value}, nil
		}
		return ID{}, fmt.Errorf("unknown identifier %q", s)
	}
	switch s {
	case "owner":
		return ID{Kind: Owner}, nil
	case "authenticated":
		return ID{Kind: Authenticated}, nil
	case "anyone", "anonymous":
		return ID{Kind: Anyone}, nil
	}
	return ID{}, fmt.Errorf("unknown identifier %q", s)
}

// String is the identifier as files have it.
func (i ID) String() string {
	switch i.Kind {
	case Anyone:
		return "anyone"
	case Authenticated:
		return "authenticated"
	case Owner:
		return "owner"
	case Group:
		return "group=" + i.Name
	case GroupOverride:
		return "group-override=" + i.Name
	}
	return "user=" + i.Name
}

// IMAPID reads an identifier of SETACL as Dovecot does: $group, !$group (which
// overrides), names of users. "-" before it was taken off.
func IMAPID(s string) (ID, error) {
	switch {
	case s == "" || strings.ContainsAny(s, "\r\n\x00"): // it would not stay one line of the file
		return ID{}, ErrIdentifier
	case s == "anyone":
		return ID{Kind: Anyone}, nil
	case s == "authenticated":
		return ID{Kind: Authenticated}, nil
	case s == "owner":
		return ID{Kind: Owner}, nil
	case strings.HasPrefix(s, "!$") && len(s) > 2:
		return ID{GroupOverride, s[2:]}, nil
	case strings.HasPrefix(s, "$") && len(s) > 1:
		return ID{Group, s[1:]}, nil
	case strings.HasPrefix(s, "#"):
		return ID{}, ErrGlobal
	}
	return ID{User, s}, nil
}

// IMAP is the identifier as GETACL tells it.
func (i ID) IMAP() string {
	switch i.Kind {
	case Group:
		return "$" + i.Name
	case GroupOverride:
		return "!$" + i.Name
	case User:
		return i.Name
	}
	return i.String()
}

// Format writes the file.
func (l List) Format() string {
	var b strings.Builder
	line := func(id string, r Rights) {
		if strings.ContainsAny(id, " \"\\'") {
			id = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`).Replace(id) + `"`
		}
		b.WriteString(id + " " + r.sorted() + "\n")
	}
	for _, e := range l {
		if e.HasYes {
			line(e.String(), e.Yes)
		}
		if e.HasNo {
			line("-"+e.String(), e.No)
		}
	}
	return b.String()
}
