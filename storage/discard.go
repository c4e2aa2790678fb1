package storage

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Removing a file takes the kernel much longer than a rename, since its blocks
// are given back. An expunge of many messages moves their files to tmp/, out of
// the mailbox, and they are removed while the client goes on. What a crash leaves
// there goes at the next Select.

const (
	// discardFrom is how many messages are many.
	discardFrom = 32
	// discarded begins the names of such files.
	discarded = "expunged."
)

// bin is tmp/ while messages are expunged; nil: files are removed at once.
type bin struct {
	b    *box
	used bool
}

func (b *box) newBin(messages int) *bin {
	if messages < discardFrom {
		return nil
	}
	return &bin{b: b}
}

// take takes a file out of the mailbox. Where tmp/ cannot have it, it is
// removed. The caller has the owner's rights.
func (n *bin) take(d *dir, file string) error {
	if n == nil {
		return d.remove(file)
	}
	base, _ := splitName(file)
	err := unix.Renameat(d.fd(), file, d.fd(), "../tmp/"+discarded+base)
	if err != nil {
		return d.remove(file)
	}
	n.used = true
	return nil
}

// empty removes what was taken, in the background.
func (n *bin) empty() {
	if n == nil || !n.used {
		return
	}
	b := n.b
	b.t.hold()
	if !b.t.s.background(func() { defer b.t.release(); b.emptyBin() }) {
		b.t.release()
	}
}

// emptyBin removes what was expunged, as far as it comes before the Store is
// closed.
func (b *box) emptyBin() {
	b.t.do(func(root *os.Root) error {
		d, err := openDir(root, filepath.Join(b.dir(), "tmp"))
		if err != nil {
			return err
		}
		defer d.close()
		for {
			list, err := d.f.Readdirnames(256)
			for _, name := range list {
				if strings.HasPrefix(name, discarded) && !b.t.s.stopping() {
					d.remove(name)
				}
			}
			if err != nil || b.t.s.stopping() {
				return err
			}
		}
	})
}

func (s *Store) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}
