package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailserver/internal/server"
	"mailserver/internal/transfer"
	"mailserver/storage"
)

func importCommands() []command {
	const again = "It can be run again: it goes on where it ended, and brings what has come since."
	return []command{
		{name: "import imap", args: "imaps://USER@HOST -u USER", min: 1, max: 1, about: "bring mail from another IMAP server",
			more: "imap:// begins with STARTTLS. " + again, setup: importIMAP},
		{name: "import maildir", args: "DIR -u USER", min: 1, max: 1, about: "bring mail from a Maildir++ tree; see import dovecot for UIDs", more: again, setup: importMaildir},
		{name: "import mbox", args: "FILE|DIR -u USER", min: 1, max: 1, about: "bring mail from mbox files", more: again, setup: importMbox},
		{name: "import dovecot", args: "DIR -u USER", min: 1, max: 1, about: "take over a Maildir of Dovecot or Courier as it is, with UIDs",
			more: "DIR is the user's own Maildir, which stays where it is, or another one, of which all is\ncopied into the user's, which must be empty. What cannot be taken over is listed.", setup: importDovecot},
		{name: "export imap", args: "imaps://USER@HOST -u USER", min: 1, max: 1, about: "bring mail to another IMAP server", more: again, setup: exportIMAP},
		{name: "export maildir", args: "DIR -u USER", min: 1, max: 1, about: "write mail to a Maildir++ tree", more: again, setup: exportMaildir},
		{name: "export mbox", args: "DIR -u USER", min: 1, max: 1, about: "write mail to new mbox files", setup: exportMbox},
	}
}

// moving are the flags of all imports and exports.
type moving struct {
	user   string
	only   string
	again  bool
	json   bool
	secret bool
	server transfer.Server
	began  time.Time
	told   time.Time
}

func movingFlags(fs *flag.FlagSet) *moving {
	m := &moving{}
	fs.StringVar(&m.user, "u", "", "`user` whose mail it is: user@domain, or a user of the system")
	fs.StringVar(&m.only, "folder", "", "`mailboxes` only, with commas between")
	fs.BoolVar(&m.again, "again", false, "forget how far an earlier run has come")
	fs.BoolVar(&m.json, "json", false, "as JSON")
	return m
}

func (m *moving) remoteFlags(fs *flag.FlagSet) {
	fs.BoolVar(&m.secret, "password-stdin", false, "read the password from standard input")
	fs.BoolVar(&m.server.Insecure, "insecure", false, "take any certificate")
	fs.BoolVar(&m.server.Plain, "no-tls", false, "neither TLS nor STARTTLS: the password can be read on the way")
}

// dial logs in to the server that url names.
func (m *moving) dial(ctx context.Context, a *app, url string) (*transfer.IMAP, error) {
	s, err := transfer.ParseURL(url)
	if err != nil {
		return nil, usage("%v", err)
	}
	s.Insecure, s.Plain = m.server.Insecure, m.server.Plain
	if !m.secret {
		return nil, usage("say --password-stdin")
	}
	if s.Password, err = a.secret(); err != nil {
		return nil, err
	}
	return transfer.DialIMAP(ctx, s)
}

// account opens the mail of the user.
func (m *moving) account(ctx context.Context, p *server.Parts) (*storage.Account, error) {
	if m.user == "" {
		return nil, usage("say whose mail with -u")
	}
	account, err := p.Account(ctx, m.user)
	if err == nil && account == nil {
		err = fmt.Errorf("%s: %w", m.user, errNoUser)
	}
	return account, err
}

// journal of a transfer between a place and a user lies in the data directory.
func (m *moving) journal(a *app, verb, place string) (*transfer.Journal, error) {
	dir := filepath.Join(a.dir, "transfers")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(verb + "\x00" + m.user + "\x00" + place))
	path := filepath.Join(dir, hex.EncodeToString(sum[:12]))
	if m.again {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return transfer.OpenJournal(path)
}

// run transfers, and shows progress where somebody sits.
func (m *moving) run(ctx context.Context, a *app, from transfer.Source, to transfer.Target, j *transfer.Journal, left map[string]bool) error {
	defer j.Close()
	r := &transfer.Run{From: from, To: to, Journal: j, Progress: func(p transfer.Progress) { m.tell(a, p) }}
	if m.only != "" {
		r.Only = strings.Split(m.only, ",")
	}
	m.began = time.Now()
	p, err := r.Do(ctx)
	for what := range left {
		p.Left = append(p.Left, what)
	}
	slices.Sort(p.Left)
	if err != nil {
		return fmt.Errorf("after %d messages: %w; run it again to go on", p.Messages, err)
	}
	if m.json {
		return a.object(true, map[string]any{"messages": p.Messages, "bytes": p.Bytes, "not_taken": append([]string{}, p.Left...)})
	}
	fmt.Fprintf(a.out, "%d messages, %d bytes\n", p.Messages, p.Bytes)
	for _, text := range p.Left {
		fmt.Fprintf(a.out, "not taken: %s\n", text)
	}
	return nil
}

func (m *moving) tell(a *app, p transfer.Progress) {
	now := time.Now()
	if m.json || now.Sub(m.told) < time.Second {
		return
	}
	m.told = now
	rate := float64(p.Messages) / max(now.Sub(m.began).Seconds(), 0.001)
	fmt.Fprintf(a.err, "%s: %d messages, %.1f MB, %.0f messages/s\n", p.Box, p.Messages, float64(p.Bytes)/1e6, rate)
}

// bring is an import of any source.
func (m *moving) bring(ctx context.Context, a *app, place string, open func() (transfer.Source, error)) error {
	return a.withParts(ctx, func(p *server.Parts) error {
		account, err := m.account(ctx, p)
		if err != nil {
			return err
		}
		from, err := open()
		if err != nil {
			return err
		}
		j, err := m.journal(a, "import", place)
		if err != nil {
			return err
		}
		to := &mailstore{a: account, lost: map[string]bool{}}
		defer to.drop()
		return m.run(ctx, a, from, to, j, to.lost)
	})
}

// take is an export to any target.
func (m *moving) take(ctx context.Context, a *app, place string, open func() (transfer.Target, error)) error {
	return a.withParts(ctx, func(p *server.Parts) error {
		account, err := m.account(ctx, p)
		if err != nil {
			return err
		}
		to, err := open()
		if err != nil {
			return err
		}
		j, err := m.journal(a, "export", place)
		if err != nil {
			return err
		}
		return m.run(ctx, a, &mailstore{a: account}, to, j, nil)
	})
}

func importIMAP(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	m.remoteFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		var c *transfer.IMAP
		defer func() {
			if c != nil {
				c.Close()
			}
		}()
		return m.bring(ctx, a, args[0], func() (_ transfer.Source, err error) {
			c, err = m.dial(ctx, a, args[0])
			return c, err
		})
	}
}

func exportIMAP(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	m.remoteFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		var c *transfer.IMAP
		defer func() {
			if c != nil {
				c.Close()
			}
		}()
		return m.take(ctx, a, args[0], func() (_ transfer.Target, err error) {
			c, err = m.dial(ctx, a, args[0])
			return c, err
		})
	}
}

// absolute makes the place of a journal that of a file, however it is named.
func absolute(name string) (string, error) { return filepath.Abs(name) }

func importMaildir(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		dir, err := absolute(args[0])
		if err != nil {
			return err
		}
		return m.bring(ctx, a, dir, func() (transfer.Source, error) { return transfer.NewMaildir(dir), nil })
	}
}

func exportMaildir(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		dir, err := absolute(args[0])
		if err != nil {
			return err
		}
		return m.take(ctx, a, dir, func() (transfer.Target, error) { return transfer.NewMaildir(dir), nil })
	}
}

func importMbox(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	into := fs.String("into", "", "`mailbox` for the mail of a single file; default INBOX")
	return func(ctx context.Context, a *app, args []string) error {
		file, err := absolute(args[0])
		if err != nil {
			return err
		}
		return m.bring(ctx, a, file, func() (transfer.Source, error) { return &transfer.Mbox{Path: file, Name: *into}, nil })
	}
}

func exportMbox(fs *flag.FlagSet) action {
	m := movingFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		dir, err := absolute(args[0])
		if err != nil {
			return err
		}
		m.again = true // files are made anew, and refused where one is
		return m.take(ctx, a, dir, func() (transfer.Target, error) { return &transfer.Mbox{Path: dir}, nil })
	}
}
