package schema

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// foreignBox finds the mailbox of an address: virtual_mailbox_maps, or the
// user_query of Dovecot.
func (v *View) foreignBox(ctx context.Context, a *Address, class Class, key string) (bool, error) {
	if !class.IsMailbox() && class != Local {
		return false, nil
	}
	path, err := v.ask(ctx, mapMailboxes, key)
	if err != nil {
		return false, err
	}
	var user map[string]string
	if a.Localpart != "" {
		if user, err = v.askRow(ctx, mapUser, key); err != nil {
			return false, err
		}
	}
	if path == "" && user == nil || path == "" && class.IsMailbox() && v.has(ctx, mapMailboxes) {
		return false, nil
	}
	box := &VMailbox{Active: true, UID: -1, GID: -1, Quota: -1, foreign: key}
	if err := v.fillBox(ctx, box, path, user, key); err != nil {
		return false, err
	}
	a.Mailbox = box
	return true, nil
}

// has reports whether a parameter has maps; a failure shows in the next look-up.
func (v *View) has(ctx context.Context, parameter string) bool {
	maps, err := v.SQLMaps(ctx, parameter)
	return err == nil && len(maps) > 0
}

// fillBox says where a mailbox lies, whose it is, and how big it may grow. What
// user_query says comes first: it is what log-ins go by.
func (v *View) fillBox(ctx context.Context, box *VMailbox, path string, user map[string]string, key string) error {
	base, err := v.ask(ctx, mapBase, key)
	if err != nil {
		return err
	}
	if strings.Contains(path, "/") { // "1" only says that the mailbox exists
		if box.Maildir = path; !filepath.IsAbs(path) {
			box.Maildir = filepath.Join(base, path)
		}
		box.Home = box.Maildir
	}
	if home := user["home"]; home != "" {
		box.Home, box.Maildir = home, ""
	}
	if mail, ok := strings.CutPrefix(user["mail"], "maildir:"); ok {
		dir, _, _ := strings.Cut(mail, ":")
		if rest, ok := strings.CutPrefix(dir, "~/"); ok {
			dir = filepath.Join(box.Home, rest)
		}
		box.Maildir = dir
	}
	numbers := []struct {
		parameter, column string
		to                *int
	}{{mapUIDs, "uid", &box.UID}, {mapGIDs, "gid", &box.GID}}
	for _, n := range numbers {
		text, err := v.ask(ctx, n.parameter, key)
		if err != nil {
			return err
		}
		if user[n.column] != "" {
			text = user[n.column]
		}
		if text == "" {
			continue
		}
		if *n.to, err = strconv.Atoi(text); err != nil {
			return fmt.Errorf("%w: %s of %s: %q is no number", ErrSQLMap, n.parameter, key, text)
		}
	}
	return v.fillQuota(ctx, box, user, key)
}

func (v *View) fillQuota(ctx context.Context, box *VMailbox, user map[string]string, key string) error {
	text, err := v.ask(ctx, mapQuotas, key)
	if err != nil {
		return err
	}
	for _, column := range []string{"quota_rule", "quota_storage_size", "quota"} {
		if user[column] != "" {
			text = user[column]
		}
	}
	if text == "" {
		return nil
	}
	if box.Quota, err = quotaBytes(text); err != nil {
		return fmt.Errorf("%w: quota of %s: %w", ErrSQLMap, key, err)
	}
	return nil
}

// quotaBytes reads a number of bytes, Dovecot's *:bytes=N and *:storage=N (of
// 1 KiB, or with a suffix), or Courier's NS. 0 is no limit.
func quotaBytes(text string) (int64, error) {
	rule := text
	unit := int64(1)
	if i := strings.IndexByte(rule, ':'); i >= 0 {
		rule = rule[i+1:]
	}
	if n, ok := strings.CutPrefix(rule, "storage="); ok {
		rule, unit = n, 1<<10
	}
	rule = strings.TrimPrefix(rule, "bytes=")
	rule, _, _ = strings.Cut(rule, ",")
	rule = strings.TrimSuffix(strings.TrimSuffix(rule, "S"), "B")
	if rule != "" {
		if i := strings.IndexByte("KMGT", rule[len(rule)-1]&^0x20); i >= 0 {
			unit, rule = 1<<(10*(i+1)), rule[:len(rule)-1]
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(rule), 10, 64)
	if err != nil || n < 0 || n > 1<<62/unit {
		return 0, fmt.Errorf("%q is no size", text)
	}
	return n * unit, nil
}

// parseTransport reads transport(5): name:nexthop, where nexthop is host,
// host:port, [host] or [host]:port; nil for ”.
func parseTransport(text string) *Transport {
	if text == "" || text == ":" {
		return nil
	}
	name, hop, _ := strings.Cut(text, ":")
	t := &Transport{Active: true, Name: name, MX: true}
	if strings.HasPrefix(hop, "unix:") || strings.HasPrefix(hop, "/") || name == "error" || name == "retry" || name == "discard" {
		t.Nexthop = hop
		return t
	}
	hop = strings.TrimPrefix(hop, "inet:")
	if rest, ok := strings.CutPrefix(hop, "["); ok {
		host, port, _ := strings.Cut(rest, "]")
		t.Nexthop, t.MX, t.Port = host, false, parsePort(strings.TrimPrefix(port, ":"))
		return t
	}
	host, port, _ := strings.Cut(hop, ":")
	t.Nexthop, t.Port = host, parsePort(port)
	return t
}

// parsePort reads a port number; 0 if it is none.
func parsePort(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return 0
	}
	return n
}
