package schema

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// MailboxRow is a mailbox in a list. It never holds the password.
type MailboxRow struct {
	Address string `json:"address"`
	Active  bool   `json:"active"`
	Mail    bool   `json:"mail"`             // it gets mail: row, address and domain are active
	Login   bool   `json:"login"`            // has a password, and the address may log in
	Scheme  string `json:"scheme,omitempty"` // of the password
	Quota   int64  `json:"quota"`            // bytes, 0 no limit
	UID     int    `json:"uid"`              // -1: class of the domain
	GID     int    `json:"gid"`              // -1: setting virtual_default_gid
	Home    string `json:"home,omitempty"`   // '': setting virtual_mailbox_home
	Host    string `json:"host,omitempty"`
}

// Mailboxes calls fn for every mailbox of a domain, or of all.
func (m *Mail) Mailboxes(ctx context.Context, domain string, fn func(MailboxRow) error) error {
	err := m.each(ctx, `
		SELECT addLocalpart || '@' || domName, b.active, a.active, d.active <> 0, ifnull(vmPasswd, ''), ifnull(vmQuota, 0),
		       ifnull(vmUid, -1), ifnull(vmGid, -1), ifnull(vmHome, ''), ifnull(vmHost, '')
		FROM VMailbox b JOIN Address a ON addNum = vmNum JOIN Domain d ON domNum = addDomNum
		WHERE ?1 = '' OR domName = ?1 ORDER BY domName, addLocalpart`, []any{domain}, func(rows *sql.Rows) error {
		var r MailboxRow
		var addActive int
		var passwd string
		if err := rows.Scan(&r.Address, &r.Active, &addActive, &r.Mail, &passwd, &r.Quota, &r.UID, &r.GID, &r.Home, &r.Host); err != nil {
			return err
		}
		r.Mail = r.Mail && r.Active && addActive != 0
		r.Login = r.Active && addActive != -1 && passwd != ""
		r.Scheme = schemeOf(passwd)
		return fn(r)
	})
	return wrap("list mailboxes", err)
}

// Passwords calls fn for the stored password of every mailbox that has one,
// to be looked at and never shown.
func (m *Mail) Passwords(ctx context.Context, fn func(address, stored string) error) error {
	err := m.each(ctx, `
		SELECT addLocalpart || '@' || domName, vmPasswd
		FROM VMailbox b JOIN Address a ON addNum = vmNum JOIN Domain ON domNum = addDomNum
		WHERE vmPasswd <> '' AND b.active <> 0 ORDER BY domName, addLocalpart`, nil, func(rows *sql.Rows) error {
		var address, stored string
		if err := rows.Scan(&address, &stored); err != nil {
			return err
		}
		return fn(address, stored)
	})
	return wrap("list passwords", err)
}

// schemeOf returns SCHEME of {SCHEME}hash.
func schemeOf(passwd string) string {
	if rest, ok := strings.CutPrefix(passwd, "{"); ok {
		scheme, _, _ := strings.Cut(rest, "}")
		return scheme
	}
	return ""
}

// MailboxChange is what may be said of a mailbox.
type MailboxChange struct {
	Active Field // bool
	Passwd Field // {SCHEME}hash
	UID    Field
	GID    Field
	Home   Field
	Quota  Field // bytes
	Host   Field
}

// AddVMailbox gives an address a mailbox, adding the address when it is not
// there. Its domain must exist.
func (t *Tx) AddVMailbox(local, domain string, c MailboxChange) error {
	if _, err := t.domainNum(domain, false); err != nil {
		return err
	}
	num, err := t.EnsureAddress(local, domain)
	if err != nil {
		return err
	}
	if _, err := t.insert(fmt.Sprintf("add mailbox %s@%s", local, domain), `INSERT INTO VMailbox (vmNum) VALUES (?)`, num); err != nil {
		return err
	}
	return t.SetVMailbox(local, domain, c)
}

// SetVMailbox changes a mailbox.
func (t *Tx) SetVMailbox(local, domain string, c MailboxChange) error {
	num, err := t.AddressNum(local, domain)
	if err != nil {
		return err
	}
	return t.change(fmt.Sprintf("mailbox %s@%s", local, domain), `
		UPDATE VMailbox SET
		  active   = CASE WHEN ?2 THEN ?3 ELSE active END,
		  vmPasswd = CASE WHEN ?4 THEN ?5 ELSE vmPasswd END,
		  vmUid    = CASE WHEN ?6 THEN ?7 ELSE vmUid END,
		  vmGid    = CASE WHEN ?8 THEN ?9 ELSE vmGid END,
		  vmHome   = CASE WHEN ?10 THEN ?11 ELSE vmHome END,
		  vmQuota  = CASE WHEN ?12 THEN ?13 ELSE vmQuota END,
		  vmHost   = CASE WHEN ?14 THEN ?15 ELSE vmHost END
		WHERE vmNum = ?1`, num, c.Active.set, c.Active.value, c.Passwd.set, c.Passwd.value, c.UID.set, c.UID.value,
		c.GID.set, c.GID.value, c.Home.set, c.Home.value, c.Quota.set, c.Quota.value, c.Host.set, c.Host.value)
}

// RemoveVMailbox removes a mailbox, and its address when nothing refers to it.
// The mail on disk stays.
func (t *Tx) RemoveVMailbox(local, domain string) error {
	num, err := t.AddressNum(local, domain)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("remove mailbox %s@%s", local, domain)
	if err := t.change(what, `DELETE FROM VMailbox WHERE vmNum = ?`, num); err != nil {
		return err
	}
	by, err := t.texts(references, num)
	if err != nil || len(by) > 0 {
		return wrap(what, err)
	}
	return t.change(what, `DELETE FROM Address WHERE addNum = ?`, num)
}
