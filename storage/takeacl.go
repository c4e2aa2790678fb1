package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mailserver/internal/acl"
)

// courierACL is where Courier keeps the rights on a mailbox.
const courierACL = "courierimapacl"

// takeACLs notes who shares with whom after a take-over, and reads the lists of
// Courier. left says which could not be understood.
func (a *Account) takeACLs(ctx context.Context, src *source) (left []string, err error) {
	for dir, name := range src.boxes {
		at := filepath.Join(src.dir, name)
		if _, err := os.Lstat(at); errors.Is(err, fs.ErrNotExist) {
			at = filepath.Join(src.dir, dir) // it was renamed
		}
		box, ok := nameOf(dir)
		if !ok {
			continue
		}
		var bad string
		_, err := a.ACL(ctx, box)
		if err == nil {
			bad, err = a.takeCourierACL(ctx, box, at)
		} else if errors.Is(err, ErrACL) {
			bad, err = "rights that cannot be understood: "+err.Error(), nil
		}
		if err != nil {
			return left, err
		}
		if bad != "" {
			left = append(left, filepath.Join(name, aclFile)+": "+bad)
		}
	}
	return left, a.NoteSharing(ctx)
}

// takeCourierACL gives a mailbox the list of Courier, unless it has one.
func (a *Account) takeCourierACL(ctx context.Context, box, dir string) (bad string, err error) {
	f, err := os.Open(filepath.Join(dir, courierACL))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, acl.MaxFile))
	if err != nil {
		return "", err
	}
	var list acl.List
	for line := range strings.Lines(string(text)) {
		e, err := courierEntry(strings.TrimSpace(line))
		if err != nil {
			return fmt.Sprintf("%s: %v", courierACL, err), nil
		}
		old := list.Entry(e.ID)
		if e.HasNo {
			old.No, old.HasNo = e.No, true
		} else if e.HasYes {
			old.Yes, old.HasYes = e.Yes, true
		}
		list = list.Set(old)
	}
	have, err := a.ACL(ctx, box)
	if err != nil || have != nil {
		return "", err
	}
	return "", a.ChangeACL(ctx, box, func(acl.List) acl.List { return list })
}

// courierEntry reads a line: identifier and letters. Administrators have all
// rights through the operating system here.
func courierEntry(line string) (e acl.Entry, err error) {
	id, letters, _ := strings.Cut(line, " ")
	if id == "" || strings.TrimPrefix(id, "-") == "administrators" {
		return e, nil
	}
	r, unknown := acl.Parse(strings.TrimSpace(letters))
	if unknown != 0 {
		return e, fmt.Errorf("unknown right %q", unknown)
	}
	name, negative := strings.CutPrefix(id, "-")
	if e.ID, err = acl.ParseID(name); err != nil {
		return e, err
	}
	e.Set(r, negative)
	return e, nil
}
