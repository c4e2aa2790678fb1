// Package backup copies a data directory and its mailboxes while the server
// runs, checks such a copy, and puts it back.
//
// A backup is a directory named by the time it was begun:
//
//	manifest.json    what is in it
//	data/            the data directory: both databases, keys, spool
//	mail/USER/       a Maildir each; messages are hard links where they can be
//	sums/USER.sha256 the SHA-256 of each file of it, for verify and sha256sum -c
//
// Its moment is its beginning: mail that had been accepted then is in it, mail
// that came while it was made is not.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/schema"
)

// Tree is the Maildir of a user.
type Tree struct {
	User string `json:"user"`
	Dir  string `json:"dir"` // where it lay
	// Sums is the SHA-256 of the list of sums; '' in a backup made without.
	Sums string `json:"sums,omitempty"`
}

// Manifest says what a backup holds.
type Manifest struct {
	Version  int               `json:"version"` // of this form: 1
	Host     string            `json:"host"`
	Started  time.Time         `json:"started"`
	Finished time.Time         `json:"finished"`
	Dir      string            `json:"data"` // the data directory it was made from
	Trees    []Tree            `json:"trees"`
	Files    map[string]string `json:"files"` // below data/, with their SHA-256
	Messages int64             `json:"messages"`
	Bytes    int64             `json:"bytes"`
	Linked   int64             `json:"linked"` // messages that take no room of their own
	Read     int64             `json:"read"`   // bytes of mail read for their sums
}

const (
	form         = 1
	manifestName = "manifest.json"
	// stamp names backups; names sort by time.
	stamp = "20060102T150405Z"
)

// ErrNone says that there is no backup in a directory.
var ErrNone = errors.New("no backup")

// Source is what a backup is made from.
type Source struct {
	Dir   string // data directory
	Host  string
	Trees []Tree
	Now   func() time.Time
}

// maker is one run of Make.
type maker struct {
	src  Source
	to   string // the new backup
	last string // the one before, '' if none: unchanged files are linked to it
	m    Manifest
}

// Make makes a backup in the directory to, which holds a directory for each.
// It returns where it is. An unfinished one has a name that begins with a dot.
func Make(ctx context.Context, src Source, to string) (string, *Manifest, error) {
	b := &maker{src: src, m: Manifest{Version: form, Host: src.Host, Started: src.Now().UTC(), Dir: src.Dir, Trees: slices.Clone(src.Trees), Files: map[string]string{}}}
	name := b.m.Started.Format(stamp)
	if _, err := os.Stat(filepath.Join(to, name)); err == nil {
		return "", nil, fmt.Errorf("%s: %w", filepath.Join(to, name), fs.ErrExist)
	}
	if last, err := Newest(to, time.Time{}); err == nil {
		b.last = last
	}
	b.to = filepath.Join(to, "."+name)
	if err := os.MkdirAll(b.to, 0o700); err != nil {
		return "", nil, fmt.Errorf("make backup: %w", err)
	}
	for _, step := range []func(context.Context) error{b.mail, b.data, b.databases, b.later, b.spool, b.sums, b.finish} {
		if err := step(ctx); err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(b.to))
		}
	}
	final := filepath.Join(to, name)
	if err := os.Rename(b.to, final); err != nil {
		return "", nil, fmt.Errorf("make backup: %w", err)
	}
	return final, &b.m, syncDir(to)
}

// Newest returns the newest backup in a directory, made no later than at; or
// dir itself if that is a backup. A zero at is any time.
func Newest(dir string, at time.Time) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		return dir, nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	slices.Reverse(list)
	for _, e := range list {
		made, err := time.Parse(stamp, e.Name())
		if err != nil || !at.IsZero() && made.After(at) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, e.Name(), manifestName)); err == nil {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("%s: %w", dir, ErrNone)
}

// Read reads the manifest of a backup.
func Read(dir string) (*Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return nil, fmt.Errorf("read backup: %w", err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("read backup %s: %w", dir, err)
	}
	if m.Version != form {
		return nil, fmt.Errorf("backup %s has form %d, this program knows %d", dir, m.Version, form)
	}
	return &m, nil
}

// data copies the files of the data directory that do not change under us.
func (b *maker) data(ctx context.Context) error {
	return filepath.WalkDir(b.src.Dir, func(path string, e fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(b.src.Dir, path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case e.IsDir() && b.skipped(path, rel):
			return fs.SkipDir
		case !e.Type().IsRegular() || rel == "lock" || strings.Contains(e.Name(), ".sqlite"):
			return ctx.Err()
		}
		return b.keep(rel)
	})
}

// skipped directories are copied by other steps, or worthless.
func (b *maker) skipped(path, rel string) bool {
	if rel == "spool" {
		return true
	}
	for _, t := range b.src.Trees {
		if path == t.Dir {
			return true
		}
	}
	return false
}

// keep copies one file of the data directory and records its sum.
func (b *maker) keep(rel string) error {
	to := filepath.Join(b.to, "data", rel)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	sum, err := copyFile(filepath.Join(b.src.Dir, rel), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b.m.Files[rel] = sum
	return err
}

// copyFile copies with mode, owner and times, and returns the SHA-256.
func copyFile(from, to string) (sum string, err error) {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return "", err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, st.Mode().Perm())
	if err != nil {
		return "", err
	}
	defer out.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return "", fmt.Errorf("copy %s: %w", from, err)
	}
	if err := like(out, st); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), out.Close()
}

// like gives a file the owner and times of another, as far as we may.
func like(f *os.File, st os.FileInfo) error {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil {
			return err
		}
	}
	return os.Chtimes(f.Name(), st.ModTime(), st.ModTime())
}

// databases are copied after the mail was looked at once: what their index
// knows is then either copied or new.
func (b *maker) databases(ctx context.Context) error {
	for _, name := range []string{"mail.sqlite", "state.sqlite"} {
		to := filepath.Join(b.to, "data", name)
		if err := schema.CopyDatabase(ctx, filepath.Join(b.src.Dir, name), to); err != nil {
			return err
		}
		sum, err := sumOf(to)
		if err != nil {
			return err
		}
		b.m.Files[name] = sum
	}
	return nil
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// spool copies the texts of the messages that wait, after the rows that name
// them. One that has gone meanwhile has been delivered.
func (b *maker) spool(ctx context.Context) error {
	for _, dir := range []string{"queue", "orphan"} {
		list, err := os.ReadDir(filepath.Join(b.src.Dir, "spool", dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range list {
			if e.Type().IsRegular() && ctx.Err() == nil {
				if err := b.keep(filepath.Join("spool", dir, e.Name())); err != nil {
					return err
				}
			}
		}
	}
	return ctx.Err()
}

// finish writes the manifest and has all of it on disk.
func (b *maker) finish(context.Context) error {
	b.m.Finished = b.src.Now().UTC()
	text, err := json.MarshalIndent(b.m, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(b.to, manifestName), text, 0o600); err != nil {
		return err
	}
	return syncFS(b.to)
}

// syncFS has the whole file system on disk: cheaper than each file by itself.
func syncFS(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// Thin removes all but the newest keep backups of a directory.
func Thin(dir string, keep int) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	slices.Reverse(list)
	for _, e := range list {
		if _, err := time.Parse(stamp, e.Name()); err != nil || !e.IsDir() {
			continue
		}
		if keep--; keep >= 0 {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove old backup: %w", err)
		}
	}
	return nil
}
