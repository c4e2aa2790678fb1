package storage

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// syncing bounds the directories of one call that are synced at once.
	syncing = 8
	// syncWhole is how many directories of one file system are synced as a
	// whole: each by itself makes the disk empty its cache, while the others
	// have nothing left to write.
	syncWhole = 50
)

// DeliverAll is Deliver for each of drafts, which may be of several mailboxes:
// all are put in place before the first directory is synced, so that one commit
// of the file system's journal serves them all. Links come before what they
// share; one that fails with ErrNoLink has ended, and needs a copy. A descriptor
// or two are open for each draft meanwhile.
func DeliverAll(drafts []*Draft) []error {
	errs := make([]error, len(drafts))
	dirs := make([]*dir, len(drafts))
	for i, d := range drafts {
		dirs[i], errs[i] = d.enter()
	}
	syncLinks(drafts, dirs, errs)
	var wg sync.WaitGroup
	slots := make(chan struct{}, syncing)
	for i, d := range drafts {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = d.stay(dirs[i], errs[i])
			<-slots
		})
	}
	wg.Wait()
	return errs
}

// syncLinks makes names of links durable, if there are many. Links to one file
// are on one file system.
func syncLinks(drafts []*Draft, dirs []*dir, errs []error) {
	var list []int
	for i, d := range drafts {
		if dirs[i] != nil && errs[i] == nil && d.from != nil && d.from == drafts[0].from {
			list = append(list, i)
		}
	}
	if len(list) < syncWhole {
		return
	}
	done, err := dirs[list[0]].syncWhole()
	for _, i := range list {
		drafts[i].named, errs[i] = done, err
	}
}

// syncWhole makes all of the file system durable that the directory is on; done
// is false where syncfs(2) cannot be relied on. Of a kernel before 5.8 it does
// not tell errors, and FUSE does nothing for it.
func (d *dir) syncWhole() (done bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(d.fd(), &fs); err != nil || !tellsErrors() {
		return false, nil
	}
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC:
	default:
		return false, nil
	}
	_, err = retry(func() (int, error) { return 0, unix.Syncfs(d.fd()) })
	if err == unix.EPERM || err == unix.ENOSYS {
		return false, nil // a filter of system calls
	}
	if err != nil {
		return true, d.fail("sync file system", "", err)
	}
	// ext4 without a journal writes the names after it has told the disk to
	// empty its cache; this tells it again.
	return true, d.sync()
}

// tellsErrors reports whether syncfs(2) of this kernel returns errors.
func tellsErrors() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 8)
}
