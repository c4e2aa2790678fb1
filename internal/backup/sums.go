package backup

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// entry is one file in the list of a tree. The list is one that sha256sum -c
// reads: before the line of each file stands a comment with what the file
// system knew of it.
type entry struct {
	mark
	sum  string // SHA-256, in hex
	path string // below the backup
}

// mark tells a file that has not been written since from one that has.
type mark struct {
	ino         uint64
	size, mtime int64 // bytes; ns since 1970
}

const longestLine = 16 << 10 // a path of PATH_MAX, escaped

// listOf is where the sums of a tree lie in a backup.
func listOf(backup, user string) string {
	return filepath.Join(backup, "sums", filepath.Base(userDir(backup, user))+".sha256")
}

func markOf(st fs.FileInfo) mark {
	m := mark{size: st.Size(), mtime: st.ModTime().UnixNano()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		m.ino = sys.Ino
	}
	return m
}

// sums writes the list of each tree, when the copy is what it will be. A file
// that the backup before has too, by inode, size and time, is not read again.
func (b *maker) sums(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(b.to, "sums"), 0o700); err != nil {
		return err
	}
	last := make(map[string]string)
	if b.last != "" {
		if m, err := Read(b.last); err == nil {
			for _, t := range m.Trees {
				last[t.User] = t.Sums
			}
		}
	}
	for i := range b.m.Trees {
		t := &b.m.Trees[i]
		err := b.sumTree(ctx, t, last[t.User])
		if err != nil {
			return fmt.Errorf("sums of the mail of %s: %w", t.User, err)
		}
	}
	return nil
}

func (b *maker) sumTree(ctx context.Context, t *Tree, last string) error {
	was := openIndex(b.last, t.User, last, byMark)
	defer was.close()
	f, err := os.OpenFile(listOf(b.to, t.User), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 32<<10)
	err = eachFile(ctx, userDir(b.to, t.User), func(path string, st fs.FileInfo) error {
		e, err := b.sumFile(was, path, st)
		if err != nil {
			return err
		}
		return e.write(w)
	})
	if err = errors.Join(err, w.Flush()); err != nil {
		return err
	}
	t.Sums = hex.EncodeToString(h.Sum(nil))
	return f.Close()
}

// sumFile is the entry of one file; it is read if it is not that of before.
func (b *maker) sumFile(was *index, path string, st fs.FileInfo) (e entry, err error) {
	e.mark = markOf(st)
	if e.path, err = filepath.Rel(b.to, path); err != nil {
		return e, err
	}
	if e.sum = was.unchanged(e.mark, path); e.sum == "" {
		e.sum, err = sumOf(path)
		b.m.Read += e.size
	}
	return e, err
}

// eachFile calls each with the regular files of a tree, in the order of the
// file system: it holds the names of one directory's directories, no more.
func eachFile(ctx context.Context, dir string, each func(path string, st fs.FileInfo) error) error {
	f, err := os.Open(dir)
	if err != nil {
		return gone(err)
	}
	defer f.Close()
	var below []string
	for {
		list, err := f.ReadDir(256)
		if err == io.EOF {
			break
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		for _, e := range list {
			path := filepath.Join(dir, e.Name())
			if e.IsDir() {
				below = append(below, path)
				continue
			}
			st, err := e.Info()
			if err == nil && st.Mode().IsRegular() {
				err = each(path, st)
			}
			if err = gone(err); err != nil {
				return err
			}
		}
	}
	f.Close()
	for _, sub := range below {
		if err := eachFile(ctx, sub, each); err != nil {
			return err
		}
	}
	return nil
}

var (
	escape   = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`)
	unescape = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
)

func (e entry) write(w io.Writer) error {
	path, lead := escape.Replace(e.path), ""
	if path != e.path {
		lead = `\` // sha256sum(1): the name is escaped
	}
	_, err := fmt.Fprintf(w, "#%d %d %d\n%s%s  %s\n", e.ino, e.size, e.mtime, lead, e.sum, path)
	return err
}

// errList says that a list of sums is not one.
var errList = errors.New("not a list of sums")

// readList calls each with the entries of a list and where they begin.
func readList(r io.Reader, each func(entry, int64) error) error {
	in := bufio.NewReaderSize(r, longestLine)
	for at := int64(0); ; {
		e, n, err := readEntry(in)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(e, at)
		}
		if err != nil {
			return err
		}
		at += n
	}
}

func readEntry(in *bufio.Reader) (e entry, n int64, err error) {
	line, err := in.ReadSlice('\n')
	if err == io.EOF && len(line) == 0 {
		return e, 0, io.EOF
	}
	if err != nil {
		return e, 0, fmt.Errorf("%w: %w", errList, err)
	}
	n = int64(len(line))
	if _, err := fmt.Sscanf(string(line), "#%d %d %d\n", &e.ino, &e.size, &e.mtime); err != nil {
		return e, 0, errList
	}
	if line, err = in.ReadSlice('\n'); err != nil {
		return e, 0, errList
	}
	n += int64(len(line))
	text, escaped := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), `\`)
	var ok bool
	if e.sum, e.path, ok = strings.Cut(text, "  "); !ok || len(e.sum) != 2*sha256.Size {
		return e, 0, errList
	}
	if escaped {
		e.path = unescape.Replace(e.path)
	}
	if !filepath.IsLocal(e.path) {
		return e, 0, fmt.Errorf("%w: %q lies outside", errList, e.path)
	}
	return e, n, nil
}

// index finds the entry of a file in the list of a backup: 16 bytes for each.
type index struct {
	f    *os.File
	seed maphash.Seed
	key  func(maphash.Seed, entry) uint64 // by what it is asked
	at   []place
	line *bufio.Reader
}

type place struct {
	key uint64
	off int64
}

// openIndex reads a list; nil where there is none, or it is not the one that
// the manifest means (sum).
func openIndex(backup, user, sum string, key func(maphash.Seed, entry) uint64) *index {
	if sum == "" {
		return nil
	}
	f, err := os.Open(listOf(backup, user))
	if err != nil {
		return nil
	}
	x := &index{f: f, seed: maphash.MakeSeed(), key: key, line: bufio.NewReaderSize(nil, longestLine)}
	h := sha256.New()
	err = readList(io.TeeReader(f, h), func(e entry, off int64) error {
		x.at = append(x.at, place{x.key(x.seed, e), off})
		return nil
	})
	if err != nil || hex.EncodeToString(h.Sum(nil)) != sum {
		f.Close()
		return nil
	}
	slices.SortFunc(x.at, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	return x
}

// byMark is of the name without flags: these change, the message does not.
func byMark(seed maphash.Seed, e entry) uint64 {
	return maphash.Comparable(seed, struct {
		mark
		base string
	}{e.mark, baseName(filepath.Base(e.path))})
}

// byPath is for files of the backup itself, wherever it has been copied to.
func byPath(seed maphash.Seed, e entry) uint64 { return maphash.String(seed, e.path) }

// unchanged is the sum of a file that has not changed since, or ”; of an index
// byMark.
func (x *index) unchanged(m mark, path string) string {
	if x == nil || m.ino == 0 {
		return ""
	}
	e, ok := x.find(entry{mark: m, path: path})
	if !ok || e.mark != m || baseName(filepath.Base(e.path)) != baseName(filepath.Base(path)) {
		return ""
	}
	return e.sum
}

// find returns the entry that has the key of e.
func (x *index) find(e entry) (entry, bool) {
	i, found := slices.BinarySearchFunc(x.at, x.key(x.seed, e), func(p place, key uint64) int { return cmp.Compare(p.key, key) })
	if !found {
		return entry{}, false
	}
	x.line.Reset(io.NewSectionReader(x.f, x.at[i].off, 2*longestLine))
	got, _, err := readEntry(x.line)
	return got, err == nil
}

func (x *index) close() {
	if x != nil {
		x.f.Close()
	}
}
