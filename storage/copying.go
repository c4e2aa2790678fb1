package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mailserver/schema"
)

// A copy of several messages is recorded before its first file is made and
// forgotten when all have their UIDs. What a crash leaves between is removed by
// the next Open, so that nobody has half of it.

// beginCopy records the copy. One message needs no record.
func (x *transfer) beginCopy(ctx context.Context) error {
	if x.move || len(x.at) < 2 {
		return nil
	}
	t := x.dst.t
	x.record = schema.Copying{
		Dir:    filepath.Join(t.key.dir, x.dst.dir(), subdirs[curDir]),
		Prefix: t.s.name.next() + "_",
		Owner:  thisProcess(),
	}
	err := t.s.d.State.Write(context.WithoutCancel(ctx), func(tx *schema.Tx) error { return tx.AddCopying(&x.record) })
	if err != nil {
		return fmt.Errorf("record copy: %w", err)
	}
	return nil
}

// endCopy forgets it. Until then the copy is not told to the client, and a crash
// takes it back.
func (x *transfer) endCopy() error {
	if x.record.Num == 0 {
		return nil
	}
	err := x.dst.t.s.d.State.Write(context.Background(), func(tx *schema.Tx) error { return tx.EndCopying(x.record.Num) })
	if err != nil {
		return fmt.Errorf("forget copy: %w", err)
	}
	x.record = schema.Copying{}
	return nil
}

// nextName is a new name for a file of the copy.
func (x *transfer) nextName() string {
	if x.record.Num == 0 {
		return x.v.b.t.s.name.next()
	}
	x.named++
	return x.record.Prefix + fmt.Sprintf("%06d", x.named)
}

// takeBackCopies removes what copies left whose process is no more.
func (s *Store) takeBackCopies(ctx context.Context) error {
	list, err := s.d.State.Copyings(ctx)
	if err != nil {
		return fmt.Errorf("read unfinished copies: %w", err)
	}
	for _, c := range list {
		if alive(c.Owner) {
			continue
		}
		n, err := removePrefix(c.Dir, c.Prefix)
		if err == nil {
			err = s.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.EndCopying(c.Num) })
		}
		if err != nil { // the record stays for the next time
			s.d.Log.Error("cannot take back an unfinished copy", "dir", c.Dir, slog.Any("err", err))
			continue
		}
		s.d.Log.Info("unfinished copy taken back", "dir", c.Dir, "files", n)
	}
	return nil
}

// removePrefix removes the files of a directory whose names begin so. The
// prefix is one that no other file has.
func removePrefix(dir, prefix string) (n int, err error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer root.Close()
	d, err := openDir(root, ".")
	if err != nil {
		return 0, err
	}
	defer d.close()
	var names []string
	err = d.names(func(name string) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	})
	for _, name := range names {
		if err == nil {
			err = d.remove(name)
		}
	}
	if err == nil && len(names) > 0 {
		err = d.sync()
	}
	return len(names), err
}

// thisProcess names the process so that another with its number is not taken
// for it.
func thisProcess() string {
	pid := os.Getpid()
	return strconv.Itoa(pid) + " " + processBegan(pid)
}

// alive tells whether a process that thisProcess named still runs.
func alive(owner string) bool {
	number, began, _ := strings.Cut(owner, " ")
	pid, err := strconv.Atoi(number)
	return err == nil && began != "" && processBegan(pid) == began
}

// processBegan is when a process began, in ticks since the host did; proc(5),
// field 22 of stat. "" if there is no such process.
func processBegan(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	// The name of the program stands in parentheses, and may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 {
		return ""
	}
	return fields[19]
}
