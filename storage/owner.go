package storage

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// owner is whose rights files are made and opened with.
type owner struct {
	uid, gid int
	change   bool // the thread must take these rights
}

// ownerOf decides whether this process can and must act as uid and gid. The
// kernel gives a thread its own file system IDs; files are made with them, so
// there is never a moment in which a file has another owner (setfsuid(2)).
func ownerOf(uid, gid int) owner {
	o := owner{uid: os.Geteuid(), gid: os.Getegid()}
	if uid < 0 || uid == o.uid && (gid < 0 || gid == o.gid) {
		return o
	}
	if gid < 0 {
		gid = o.gid
	}
	want := owner{uid: uid, gid: gid, change: true}
	if err := want.do(func() error { return nil }); err != nil {
		return o
	}
	return want
}

// do runs fn with the owner's rights. fn must not start goroutines or block on
// other goroutines: the rights are those of this thread.
func (o owner) do(fn func() error) error {
	if !o.change {
		return fn()
	}
	runtime.LockOSThread()
	if err := setFileIDs(o.uid, o.gid); err != nil {
		if setFileIDs(os.Geteuid(), os.Getegid()) == nil {
			runtime.UnlockOSThread()
		}
		return err
	}
	err := fn()
	// A thread that cannot be given back its rights stays locked, and ends
	// with its goroutine.
	if back := setFileIDs(os.Geteuid(), os.Getegid()); back != nil {
		return fmt.Errorf("give up rights of UID %d: %w", o.uid, back)
	}
	runtime.UnlockOSThread()
	return err
}

// setFileIDs sets the group first, which needs the rights that the user may
// take away. The calls do not fail; they answer what was, so ask again.
func setFileIDs(uid, gid int) error {
	unix.SetfsgidRetGid(gid)
	if got, _ := unix.SetfsgidRetGid(-1); got != gid {
		return fmt.Errorf("take rights of GID %d: %w", gid, os.ErrPermission)
	}
	unix.SetfsuidRetUid(uid)
	if got, _ := unix.SetfsuidRetUid(-1); got != uid {
		return fmt.Errorf("take rights of UID %d: %w", uid, os.ErrPermission)
	}
	return nil
}
