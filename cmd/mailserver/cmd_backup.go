package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mailserver/internal/asuser"
	"mailserver/internal/backup"
	"mailserver/internal/server"
	"mailserver/schema"
)

func backupCommands() []command {
	return []command{
		{name: "backup", args: "DIR", min: 1, max: 1, about: "copy everything into a new directory below DIR, while the server runs",
			more: "Databases, keys, the queue, and all mail: as hard links where DIR is on the same file system, so that\na backup takes hardly any room there. Elsewhere, unchanged messages are linked to the backup before.", setup: runBackup},
		{name: "verify", args: "DIR", min: 1, max: 1, about: "is the newest backup in DIR whole: the sum of each file, databases; exit 78",
			more: "Each file that has changed, is missing, or was not there is named. \"sha256sum -c sums/USER.sha256\" in a\nbackup compares the mail of a user, too.", setup: runVerify},
		{name: "restore", args: "DIR", min: 1, max: 1, about: "put the newest backup in DIR back: everything, or what is missing of one mailbox",
			more: "Without --mailbox it makes the data directory that --data names; no server starts on it before all\nis there. Mail that waited in the queue is on hold: it may have gone out since.", setup: runRestore},
	}
}

// trees are the Maildirs of all who have mail here: by rows, or by the index,
// which knows users of the system.
func trees(ctx context.Context, p *server.Parts) (list []backup.Tree, err error) {
	users, err := p.State.IndexUsers(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.Mail.Mailboxes(ctx, "", func(r schema.MailboxRow) error {
		users = append(users, strings.ToLower(r.Address))
		return nil
	}); err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	for _, user := range users {
		spec, err := p.Spec(ctx, user)
		if err != nil {
			return nil, err
		}
		if spec == nil || seen[spec.Dir] {
			continue
		}
		seen[spec.Dir] = true
		if _, err := os.Stat(spec.Dir); err == nil {
			list = append(list, backup.Tree{User: spec.User, Dir: spec.Dir})
		}
	}
	return list, nil
}

func runBackup(fs *flag.FlagSet) action {
	keep := fs.Int("keep", 0, "afterwards remove all but this `number` of backups; 0 keeps all")
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			list, err := trees(ctx, p)
			if err != nil {
				return err
			}
			host, err := hostname(ctx, p.Mail)
			if err != nil {
				return err
			}
			dir, m, err := backup.Make(ctx, backup.Source{Dir: p.Dir, Host: host, Trees: list, Now: time.Now}, args[0])
			if err != nil {
				return err
			}
			if err := a.sayBackup(dir, m, *asJSON); err != nil || *keep <= 0 {
				return err
			}
			return backup.Thin(args[0], *keep)
		})
	}
}

// madeBackup is a backup as JSON.
type madeBackup struct {
	Dir      string    `json:"dir"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	Mailbox  int       `json:"mailboxes"`
	Messages int64     `json:"messages"`
	Bytes    int64     `json:"bytes"`
	Linked   int64     `json:"linked"`
	Read     int64     `json:"read"`
}

func (a *app) sayBackup(dir string, m *backup.Manifest, asJSON bool) error {
	took := m.Finished.Sub(m.Started)
	return a.object(asJSON, madeBackup{dir, m.Started, took.Seconds(), len(m.Trees), m.Messages, m.Bytes, m.Linked, m.Read},
		"backup", dir, "mailboxes", len(m.Trees), "messages", fmt.Sprintf("%d, %s (%d linked)", m.Messages, size(m.Bytes), m.Linked), "summed", size(m.Read), "took", took.Round(time.Millisecond))
}

// chosen is the backup that the flags name.
func chosen(dir, at string) (string, error) {
	var when time.Time
	if at != "" {
		var err error
		for _, form := range []string{time.RFC3339, "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
			if when, err = time.ParseInLocation(form, at, time.Local); err == nil {
				break
			}
		}
		if err != nil {
			return "", usage("--at: %q is no time such as \"2006-01-02 15:04\"", at)
		}
	}
	return backup.Newest(dir, when)
}

func runVerify(fs *flag.FlagSet) action {
	at := fs.String("at", "", "the newest no younger than this `time`")
	quick := fs.Bool("quick", false, "do not read the mail: compare names, number and sizes")
	return func(ctx context.Context, a *app, args []string) error {
		dir, err := chosen(args[0], *at)
		if err != nil {
			return err
		}
		faults := 0
		m, err := backup.Verify(ctx, dir, *quick, func(what string) {
			faults++
			fmt.Fprintf(a.out, "%s: %s\n", dir, what)
		})
		if err != nil {
			return err
		}
		if faults > 0 {
			return errFaults
		}
		fmt.Fprintf(a.out, "%s: whole: %d mailboxes, %d messages, %s, begun %s\n", dir, len(m.Trees), m.Messages, size(m.Bytes), m.Started.Format(time.RFC3339))
		return nil
	}
}

func runRestore(fs *flag.FlagSet) action {
	at := fs.String("at", "", "the newest no younger than this `time`")
	mailbox := fs.String("mailbox", "", "only the mail of this `user`, into the data directory that is there: what it has lost comes back")
	folder := fs.String("folder", "*", "with --mailbox: only this `mailbox`, INBOX or Maildir++ name such as Archive.2026")
	var set settings
	fs.Var(&set, "set", "change a setting of the restored host first, `name=value`; may be said again")
	return func(ctx context.Context, a *app, args []string) error {
		from, err := chosen(args[0], *at)
		if err != nil {
			return err
		}
		if *mailbox != "" {
			return a.restoreMailbox(ctx, from, *mailbox, maildirName(*folder))
		}
		return a.restoreAll(ctx, from, set)
	}
}

// settings are the values of --set.
type settings []string

func (s *settings) String() string { return strings.Join(*s, " ") }
func (s *settings) Set(text string) error {
	if !strings.Contains(text, "=") {
		return errors.New("say name=value")
	}
	*s = append(*s, text)
	return nil
}

// maildirName is the directory of a mailbox in a Maildir++.
func maildirName(folder string) string {
	switch {
	case folder == "*":
		return folder
	case strings.EqualFold(folder, "INBOX"):
		return ""
	}
	return "." + strings.TrimPrefix(strings.ReplaceAll(folder, "/", "."), ".")
}

func (a *app) restoreMailbox(ctx context.Context, from, user, folder string) error {
	return a.withParts(ctx, func(p *server.Parts) error {
		place, err := placeOf(ctx, p, user)
		if err != nil {
			return err
		}
		m, err := backup.Read(from)
		if err != nil {
			return err
		}
		tree := backup.Tree{User: strings.ToLower(user)}
		if i := slices.IndexFunc(m.Trees, func(t backup.Tree) bool { return t.User == tree.User }); i >= 0 {
			tree = m.Trees[i]
		}
		var bad changedFiles
		n, err := backup.Mail(ctx, from, tree, place, folder, bad.tell(a))
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%d messages came back to %s\n", n, user)
		if err := p.Mail.Write(ctx, func(t *schema.Tx) error { return t.AddAudit("restore mail from "+from, user) }); err != nil {
			return err
		}
		return bad.end()
	})
}

// changedFiles counts files of a backup that are not what was written.
type changedFiles int

func (n *changedFiles) tell(a *app) func(what string) {
	return func(what string) {
		*n++
		fmt.Fprintf(a.err, "mailserver: %s\n", what)
	}
}

// end is the error of a restore that has brought everything, and found some of
// it changed.
func (n changedFiles) end() error {
	if n == 0 {
		return nil
	}
	return &exitError{exitConfig, fmt.Errorf("%d files of the backup have changed since it was made; what is there was restored as it is", n)}
}

func placeOf(ctx context.Context, p *server.Parts, user string) (backup.Place, error) {
	spec, err := p.Spec(ctx, user)
	if err != nil {
		return backup.Place{}, err
	}
	if spec == nil {
		return backup.Place{}, fmt.Errorf("mailbox %s: %w", user, schema.ErrNotFound)
	}
	home := spec.Home
	if home == "" {
		home = filepath.Dir(spec.Dir)
	}
	return backup.Place{Dir: spec.Dir, Home: home, ID: asuser.ID{UID: spec.UID, GID: spec.GID}}, nil
}

func (a *app) restoreAll(ctx context.Context, from string, set []string) error {
	m, err := backup.Read(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o711); err != nil {
		return err
	}
	release, err := server.Hold(a.dir)
	if err != nil {
		return err
	}
	defer release()
	held, err := backup.Data(ctx, from, a.dir)
	if err != nil {
		return err
	}
	if err := a.change(ctx, func(t *schema.Tx) error {
		for _, s := range set {
			name, value, _ := strings.Cut(s, "=")
			if err := t.SetSetting(strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)); err != nil {
				return err
			}
		}
		return t.AddAudit("restore", from)
	}); err != nil {
		return err
	}
	var bad changedFiles
	places, n, err := a.restoreTrees(ctx, from, m, &bad)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := giveToOwner(ctx, a); err != nil {
			return err
		}
	}
	if err := backup.Finish(a.dir, places); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "restored %s as of %s: %d mailboxes, %d messages\n", a.dir, m.Started.Format(time.RFC3339), len(places), n)
	if held > 0 {
		fmt.Fprintf(a.out, "%d recipients wait in the queue, on hold: look with \"mailserver queue list\", send with \"mailserver queue release ALL\"\n", held)
	}
	return bad.end()
}

func (a *app) restoreTrees(ctx context.Context, from string, m *backup.Manifest, bad *changedFiles) (places []backup.Place, n int, err error) {
	err = a.withParts(ctx, func(p *server.Parts) error {
		for _, t := range m.Trees {
			place, err := placeOf(ctx, p, t.User)
			if errors.Is(err, schema.ErrNotFound) {
				fmt.Fprintf(a.err, "mailserver: %s is no user of this host any more: the mail stays in %s\n", t.User, from)
				continue
			}
			if err != nil {
				return err
			}
			k, err := backup.Mail(ctx, from, t, place, "*", bad.tell(a))
			if n += k; err != nil {
				return err
			}
			places = append(places, place)
		}
		return nil
	})
	return slices.Clip(places), n, err
}
