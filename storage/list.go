package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// MailboxInfo is a line of List.
type MailboxInfo struct {
	Name       string
	Exists     bool // false: a parent that only has children, or subscribed only
	Children   bool
	Subscribed bool
	Attrs      []imap.MailboxAttr // special use: \Sent ...
}

// specialNames are the mailboxes that have a special use by their name alone,
// while none was made for it: those of Dovecot's 15-mailboxes.conf, and names
// that clients make.
var specialNames = []struct {
	name string
	attr imap.MailboxAttr
}{
	{"Drafts", imap.MailboxAttrDrafts},
	{"Junk", imap.MailboxAttrJunk},
	{"Spam", imap.MailboxAttrJunk},
	{"Trash", imap.MailboxAttrTrash},
	{"Deleted Messages", imap.MailboxAttrTrash},
	{"Sent", imap.MailboxAttrSent},
	{"Sent Messages", imap.MailboxAttrSent},
	{"Archive", imap.MailboxAttrArchive},
}

// List returns all mailboxes, parents and subscriptions, by name, INBOX first.
func (a *Account) List(ctx context.Context) ([]MailboxInfo, error) {
	t, err := a.s.tree(a.spec)
	if err != nil {
		return nil, err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	dirs, err := t.directories()
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	special, err := t.special(ctx, dirs)
	if err != nil {
		return nil, err
	}
	subscribed, err := t.subscriptions()
	if err != nil {
		return nil, err
	}
	return list(dirs, special, subscribed), nil
}

// directories returns the mailboxes of the tree: name to directory.
func (t *tree) directories() (map[string]string, error) {
	names := map[string]string{inbox: ""}
	err := t.do(func(root *os.Root) error {
		d, err := openDir(root, ".")
		if err != nil {
			return err
		}
		defer d.close()
		return d.names(func(dir string) {
			name, ok := nameOf(dir)
			if !ok {
				return
			}
			if st, err := root.Lstat(filepath.Join(dir, "cur")); err == nil && st.IsDir() {
				names[name] = dir
			}
		})
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // nothing was delivered yet
	}
	return names, err
}

// special returns the special uses of mailboxes: those given by Create, else by
// name. t.mu is held.
func (t *tree) special(ctx context.Context, dirs map[string]string) (map[string]string, error) {
	num, err := t.number(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := t.s.d.State.IndexMailboxes(ctx, num)
	if err != nil {
		return nil, fmt.Errorf("list mailboxes of %s: %w", t.key.user, err)
	}
	uses := make(map[string]string)
	taken := make(map[string]bool)
	for _, row := range rows {
		if _, ok := dirs[row.Name]; ok && row.Special != "" {
			uses[row.Name] = row.Special
			for _, attr := range strings.Fields(row.Special) {
				taken[strings.ToLower(attr)] = true
			}
		}
	}
	for _, s := range specialNames {
		key := strings.ToLower(string(s.attr))
		if _, ok := dirs[s.name]; ok && !taken[key] && uses[s.name] == "" {
			uses[s.name] = string(s.attr)
			taken[key] = true
		}
	}
	return uses, nil
}

func (t *tree) subscriptions() ([]string, error) {
	text, err := t.readFile("", subscriptionFile, maxSubscriptionFile)
	if err != nil {
		return nil, fmt.Errorf("read subscriptions of %s: %w", t.key.user, err)
	}
	return parseSubscriptions(text), nil
}

func list(dirs, special map[string]string, subscribed []string) []MailboxInfo {
	infos := make(map[string]*MailboxInfo)
	get := func(name string) *MailboxInfo {
		if infos[name] == nil {
			infos[name] = &MailboxInfo{Name: name}
		}
		return infos[name]
	}
	for name := range dirs {
		m := get(name)
		m.Exists = true
		for _, attr := range strings.Fields(special[name]) {
			m.Attrs = append(m.Attrs, imap.MailboxAttr(attr))
		}
		for _, parent := range parents(name) {
			get(parent).Children = true
		}
	}
	for _, name := range subscribed {
		get(name).Subscribed = true
	}
	all := make([]MailboxInfo, 0, len(infos))
	for _, m := range infos {
		all = append(all, *m)
	}
	slices.SortFunc(all, func(a, b MailboxInfo) int {
		if (a.Name == inbox) != (b.Name == inbox) {
			if a.Name == inbox {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	return all
}

// Subscribe sets or clears a subscription, whether or not the mailbox exists.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	name, err := subscribable(name)
	if err != nil {
		return err
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	have, err := t.subscriptions()
	if err != nil {
		return err
	}
	at, found := slices.BinarySearch(have, name)
	switch {
	case found == on:
		return nil
	case on && len(have) >= maxSubscriptions:
		return fmt.Errorf("subscribe to %s: over %d subscriptions: %w", name, maxSubscriptions, ErrBadName)
	case on:
		have = slices.Insert(have, at, name)
	default:
		have = slices.Delete(have, at, at+1)
	}
	if err := t.writeSubscriptions(have); err != nil {
		return err
	}
	t.tell(ctx, News{Kind: Subscribed, Name: name})
	return nil
}

func (t *tree) writeSubscriptions(names []string) error {
	text := formatSubscriptions(names)
	err := t.writeFile("", subscriptionFile, text)
	if errors.Is(err, fs.ErrNotExist) {
		if err = t.makeMaildir(""); err == nil {
			err = t.writeFile("", subscriptionFile, text)
		}
	}
	if err != nil {
		return spaceError(fmt.Errorf("write subscriptions of %s: %w", t.key.user, err))
	}
	return nil
}

// Create makes a mailbox and its parents; ErrExists, ErrBadName. special is
// what CREATE-SPECIAL-USE asks for, mostly nil. The id is Status.MailboxID.
func (a *Account) Create(ctx context.Context, name string, special []imap.MailboxAttr) (id string, err error) {
	name, err = canonical(strings.TrimSuffix(name, string(Separator)))
	if err != nil {
		return "", err
	}
	if name == inbox {
		return "", ErrExists
	}
	t, err := a.s.tree(a.spec)
	if err != nil {
		return "", err
	}
	defer t.release()
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.find(ctx, inbox); err != nil {
		return "", err
	}
	if err := t.makeMaildir(""); err != nil {
		return "", err
	}
	for _, parent := range parents(name) {
		if _, err := t.create(ctx, parent, ""); err != nil && !errors.Is(err, ErrExists) {
			return "", err
		}
	}
	var uses []string
	for _, attr := range special {
		uses = append(uses, string(attr))
	}
	return t.create(ctx, name, strings.Join(uses, " "))
}

// create makes one mailbox. t.mu is held.
func (t *tree) create(ctx context.Context, name, special string) (id string, err error) {
	if _, err := t.find(ctx, name); !errors.Is(err, ErrNoMailbox) {
		if err == nil {
			err = ErrExists
		}
		return "", err
	}
	if err := t.forgetRow(ctx, name); err != nil {
		return "", err
	}
	row := schema.IndexMailbox{Name: name, Special: special}
	if row.Dir, err = dirOf(name); err != nil {
		return "", err
	}
	if err := t.makeMaildir(row.Dir); err != nil {
		return "", err
	}
	if row.Inode, err = t.inode(row.Dir); err != nil {
		return "", fmt.Errorf("create mailbox %s: %w", name, err)
	}
	if err := t.inheritACL(ctx, name, row.Dir); err != nil {
		return "", err
	}
	if err := t.addRow(ctx, &row); err != nil {
		return "", err
	}
	b := newBox(t, row)
	b.mu.Lock()
	b.writeFirst(ctx)
	b.mu.Unlock()
	t.boxes[name] = b
	t.tell(ctx, News{Kind: Named, Name: name})
	return mailboxID(row.Num), nil
}

// forgetRow drops the row of a mailbox whose directory another program took
// away. t.mu is held.
func (t *tree) forgetRow(ctx context.Context, name string) error {
	num, err := t.number(ctx)
	if err != nil {
		return err
	}
	row, found, err := t.s.d.State.IndexMailboxNamed(ctx, num, name)
	if err != nil || !found {
		return err
	}
	return t.dropRow(ctx, row)
}

func (t *tree) dropRow(ctx context.Context, row schema.IndexMailbox) error {
	err := t.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error { return tx.DropMailbox(row.Num) })
	if err != nil {
		return fmt.Errorf("drop mailbox %s of %s: %w", row.Name, t.key.user, err)
	}
	t.bytes.Add(-row.Size)
	t.messages.Add(-int64(row.Messages))
	t.sizesChanged()
	t.s.background(t.s.purge)
	return nil
}
