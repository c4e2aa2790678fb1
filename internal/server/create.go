package server

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"

	"mailserver/internal/tlscert"
	"mailserver/schema"
)

// Plan is what a new data directory is to be.
type Plan struct {
	Dir        string
	Hostname   string
	Postmaster string // where mail to postmaster and abuse goes; '': a mailbox of its own
	Listeners  []schema.Listener
	Settings   map[string]string
	Sample     bool // with the sample rows
}

// Create makes a data directory: both files, the rows without which nothing
// works, a certificate. It refuses a directory that has a mail.sqlite, and
// leaves none when it fails, so that it can be called again.
func Create(ctx context.Context, p Plan) error {
	if _, err := os.Stat(MailFile(p.Dir)); err == nil {
		return fmt.Errorf("%s: %w", MailFile(p.Dir), os.ErrExist)
	}
	err := create(ctx, p)
	if err != nil {
		for _, end := range []string{"", "-wal", "-shm"} {
			os.Remove(MailFile(p.Dir) + end)
		}
	}
	return err
}

func create(ctx context.Context, p Plan) error {
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	// Others may pass through to the mail of their own, and read nothing.
	if err := os.Chmod(p.Dir, 0o711); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	cert, key := filepath.Join("tls", "self-signed.crt"), filepath.Join("tls", "self-signed.key")
	if err := tlscert.SelfSigned(filepath.Join(p.Dir, cert), filepath.Join(p.Dir, key), p.Hostname, time.Now()); err != nil {
		return err
	}
	if err := schema.CreateMail(ctx, MailFile(p.Dir)); err != nil {
		return err
	}
	if err := schema.Script(ctx, MailFile(p.Dir), schema.Classes); err != nil {
		return err
	}
	if err := writeRows(ctx, p, schema.Cert{Hostname: p.Hostname, CertFile: cert, KeyFile: key}); err != nil {
		return err
	}
	if p.Sample {
		if err := schema.Script(ctx, MailFile(p.Dir), schema.Sample); err != nil {
			return err
		}
	}
	// Opening makes the rest, and shows that it can be opened.
	parts, err := Open(ctx, Options{Dir: p.Dir})
	if err != nil {
		return err
	}
	return parts.Close()
}

func writeRows(ctx context.Context, p Plan, cert schema.Cert) error {
	m, err := schema.OpenMail(ctx, MailFile(p.Dir))
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Write(ctx, func(t *schema.Tx) error {
		if err := t.SetSetting("myhostname", p.Hostname); err != nil {
			return err
		}
		for name, value := range p.Settings {
			if err := t.SetSetting(name, value); err != nil {
				return err
			}
		}
		for _, l := range p.Listeners {
			if err := t.AddListener(l); err != nil {
				return err
			}
		}
		if err := t.AddCert(cert); err != nil {
			return err
		}
		return addHostDomain(t, p)
	})
}

// addHostDomain writes the $myhostname domain, where system users are, and the
// two names that every host must answer to: RFC 2142, RFC 5321 §4.5.1.
func addHostDomain(t *schema.Tx, p Plan) error {
	if _, err := t.AddDomain(p.Hostname, schema.Local, schema.DomainChange{}); err != nil {
		return err
	}
	if p.Postmaster == "" {
		if err := t.AddVMailbox("postmaster", p.Hostname, schema.MailboxChange{UID: schema.To(postmasterUID())}); err != nil {
			return err
		}
		return addLocalAlias(t, p.Hostname, "abuse", "postmaster")
	}
	if err := addLocalAlias(t, p.Hostname, "postmaster", p.Postmaster); err != nil {
		return err
	}
	return addLocalAlias(t, p.Hostname, "abuse", "postmaster")
}

func addLocalAlias(t *schema.Tx, host, name, target string) error {
	num, err := t.AddAddress(name, host, schema.AddressChange{})
	if err != nil {
		return err
	}
	return t.AddAlias(num, target)
}

// vmailUID owns the mailboxes of the sample's virtual mailbox domain, and that
// of postmaster when root makes the data directory.
const vmailUID = 842

func postmasterUID() int {
	if uid := os.Getuid(); uid != 0 {
		return max(uid, vmailUID) // virtual_minimum_uid refuses low ones; files are ours in any case
	}
	return vmailUID
}

// StandardListeners are the rows of init: on loopback at base and the standard
// port, or on all addresses at the standard ports when base is 0. LMTP trusts
// who connects, so that it is on loopback always.
func StandardListeners(base int) []schema.Listener {
	host := "127.0.0.1"
	if base == 0 {
		host = ""
	}
	at := func(host string, port int) string { return host + ":" + strconv.Itoa(base+port) }
	return []schema.Listener{
		{Protocol: "mx", Address: at(host, 25), TLS: "may"},
		{Protocol: "submission", Address: at(host, 587), TLS: "encrypt", Auth: 1},
		{Protocol: "submission", Address: at(host, 465), TLS: "wrapper", Auth: 1},
		{Protocol: "imap", Address: at(host, 143), TLS: "may"},
		{Protocol: "imap", Address: at(host, 993), TLS: "wrapper"},
		{Protocol: "pop3", Address: at(host, 110), TLS: "may"},
		{Protocol: "pop3", Address: at(host, 995), TLS: "wrapper"},
		{Protocol: "lmtp", Address: at("127.0.0.1", 24), TLS: "none"},
	}
}

// OwnMail are the settings of a server that is one user: all mail lies below
// the data directory and belongs to that user.
func OwnMail() map[string]string {
	return map[string]string{"virtual_mailbox_home": "mail/%d/%n"}
}

// GiveTo makes the user of that name the owner of all that Create has made. It
// reports false when there is no such user.
func GiveTo(dir, name string) (bool, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return false, nil
	}
	uid, uerr := strconv.Atoi(u.Uid)
	gid, gerr := strconv.Atoi(u.Gid)
	if uerr != nil || gerr != nil {
		return false, fmt.Errorf("user %s has no numeric id", name)
	}
	return true, filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}
