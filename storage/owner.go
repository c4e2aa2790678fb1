package storage

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// owner is whose rights files are made and opened with.
type owner struct {
	uid, gid   int
	change     bool // the thread must take these rights
	euid, egid int  // and give them back for these
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
	want := owner{uid: uid, gid: gid, change: true, euid: o.uid, egid: o.gid}
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
	if err := takeFileIDs(o.uid, o.gid); err != nil {
		unix.SetfsgidRetGid(o.egid)
		unix.SetfsuidRetUid(o.euid)
		runtime.UnlockOSThread()
		return err
	}
	err := fn()
	// The kernel always lets a thread have its effective IDs; the answers tell
	// what it had until now. A thread that had others stays locked, and ends
	// with its goroutine.
	gid, _ := unix.SetfsgidRetGid(o.egid)
	uid, _ := unix.SetfsuidRetUid(o.euid)
	if uid != o.uid || gid != o.gid {
		return fmt.Errorf("rights of UID %d were lost in use: %w", o.uid, os.ErrPermission)
	}
	runtime.UnlockOSThread()
	return err
}

// takeFileIDs sets the group first, which needs the rights that the user may
// take away. The calls do not fail; they answer what was, so ask again.
func takeFileIDs(uid, gid int) error {
	unix.SetfsgidRetGid(gid)
	unix.SetfsuidRetUid(uid)
	if got, _ := unix.SetfsgidRetGid(-1); got != gid {
		return fmt.Errorf("take rights of GID %d: %w", gid, os.ErrPermission)
	}
	if got, _ := unix.SetfsuidRetUid(-1); got != uid {
		return fmt.Errorf("take rights of UID %d: %w", uid, os.ErrPermission)
	}
	return nil
}
