package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mailserver/internal/courier"
	"mailserver/internal/uidlist"
)

// convertCourier writes the files of Dovecot from those of Courier, where there
// are only these: UIDs, identifiers of POP3, keywords, subscriptions. Those of
// Courier stay.
func (t *tree) convertCourier(dir string) error {
	if _, err := t.statFile(dir, uidListFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var list []uidlist.Entry
	var h uidlist.Header
	err := t.withFile(dir, courier.UIDs, func(r io.Reader) (err error) {
		h, err = uidlist.Read(r, func(e *uidlist.Entry) error {
			if list = append(list, *e); len(list) > courier.MaxMessages {
				return fmt.Errorf("more than %d messages", courier.MaxMessages)
			}
			return nil
		})
		return err
	})
	if err != nil && !errors.Is(err, uidlist.ErrFormat) {
		return fmt.Errorf("read UIDs of Courier: %w", err)
	}
	var sizes []courier.Message
	err = t.withFile(dir, courier.Sizes, func(r io.Reader) (err error) {
		sizes, err = courier.ReadSizes(r)
		return err
	})
	if err != nil {
		return fmt.Errorf("read identifiers of Courier: %w", err)
	}
	if h.Validity == 0 && len(sizes) == 0 {
		return nil
	}
	if err := t.courierKeywords(dir); err != nil {
		return fmt.Errorf("take over keywords of Courier: %w", err)
	}
	if dir == "" {
		if err := t.courierSubscriptions(); err != nil {
			return fmt.Errorf("take over subscriptions of Courier: %w", err)
		}
	}
	return t.writeFile(dir, uidListFile, t.courierList(h, list, sizes))
}

// courierList makes the list of UIDs. Where only POP3 was used, UIDs are in the
// order of its numbers.
func (t *tree) courierList(h uidlist.Header, list []uidlist.Entry, sizes []courier.Message) string {
	uidls := make(map[string]string, len(sizes))
	slices.SortStableFunc(sizes, func(a, b courier.Message) int { return cmp.Compare(a.Number, b.Number) })
	if h.Validity == 0 {
		h.Validity, h.Next = uint32(t.s.d.Now().Unix()), uint32(len(sizes)+1)
		for i := range sizes {
			list = append(list, uidlist.Entry{UID: uint32(i + 1), Name: sizes[i].Name})
		}
	}
	for i := range sizes {
		uidls[sizes[i].Name] = sizes[i].UIDL()
	}
	text := uidlist.AppendHeader(nil, h)
	for i := range list {
		if uidl := uidls[list[i].Name]; uidl != "" {
			list[i].Fields = string(uidlist.UIDL) + uidl
		}
		text = uidlist.Append(text, &list[i])
	}
	return string(text)
}

// courierKeywords gives files the letters of their keywords.
func (t *tree) courierKeywords(dir string) error {
	var names []string
	var files map[string]uint32
	err := t.withFile(dir, courier.Keywords, func(r io.Reader) (err error) {
		names, files, err = courier.ReadKeywords(r)
		return err
	})
	if err != nil || len(files) == 0 {
		return err
	}
	if _, err := t.statFile(dir, keywordFile); !errors.Is(err, fs.ErrNotExist) {
		return err // other letters have names already
	}
	var k keywords
	for num, name := range names {
		if validKeyword(name) {
			k.set(num, name)
		}
	}
	if err := t.writeFile(dir, keywordFile, k.formatFile()); err != nil {
		return err
	}
	return t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(dir, subdirs[curDir]))
		if err != nil {
			return err
		}
		defer d.close()
		var found []string
		if err := d.names(func(file string) {
			if base, _ := splitName(file); files[base] != 0 {
				found = append(found, file)
			}
		}); err != nil {
			return err
		}
		for _, file := range found {
			base, old := splitName(file)
			flags, _ := parseInfo(old, 0)
			flags |= FlagSet(files[base]) << firstKeyword & k.known
			if err := d.rename(file, d, base+changeInfo(old, flags, k.known)); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return nil
	})
}

func (t *tree) courierSubscriptions() error {
	var names []string
	err := t.withFile("", courier.Subscriptions, func(r io.Reader) (err error) {
		names, err = courier.ReadSubscriptions(r)
		return err
	})
	if err != nil || len(names) == 0 {
		return err
	}
	if _, err := t.statFile("", subscriptionFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return t.writeSubscriptions(parseSubscriptions(strings.Join(names, "\n") + "\n"))
}

// withFile calls fn with a file of a mailbox's directory, if it is there.
func (t *tree) withFile(dir, name string, fn func(io.Reader) error) error {
	var f *os.File
	err := t.do(func(root *os.Root) (err error) {
		d, err := openDir(root, filepath.Dir(filepath.Join(".", dir, name)))
		if err != nil {
			return err
		}
		defer d.close()
		f, err = d.open(filepath.Base(name))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return fn(f)
}

func (t *tree) statFile(dir, name string) (st fs.FileInfo, err error) {
	err = t.do(func(root *os.Root) (err error) {
		st, err = root.Lstat(filepath.Join(".", dir, name))
		return err
	})
	return st, err
}
