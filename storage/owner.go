package storage

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// owner is whose rights files are made and opened with.
type owner struct {
	uid, gid   int
	own        *rights // of this process, if the thread must change its own
	euid, egid int     // and give them back for these
}

// rights are what a thread has besides its user and group.
type rights struct {
	caps   [2]unix.CapUserData
	groups []uint32
}

// overFiles are the capabilities that let a process pass by the rights of
// files. The kernel takes them from a thread whose file system UID leaves 0,
// and only then: setfsuid(2), capabilities(7).
const overFiles = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH |
	1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_MKNOD

// ownRights reads the rights of this thread: those of every thread of the
// process that does not act for an owner.
func ownRights() (*rights, error) {
	r := new(rights)
	if err := unix.Capget(capsOfThread(), &r.caps[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	for _, g := range groups {
		r.groups = append(r.groups, uint32(g))
	}
	return r, nil
}

func capsOfThread() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// laidDown is r without what a thread may do beyond the owner's rights.
func (r *rights) laidDown() [2]unix.CapUserData {
	caps := r.caps
	caps[0].Effective &^= overFiles
	return caps
}

func setCaps(caps *[2]unix.CapUserData) error {
	if err := unix.Capset(capsOfThread(), &caps[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	return nil
}

// setGroups concerns this thread alone; the function of package syscall changes
// the groups of all.
func setGroups(list []uint32) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(list)), uintptr(unsafe.Pointer(unsafe.SliceData(list))), 0); e != 0 {
		return fmt.Errorf("set groups: %w", e)
	}
	return nil
}

// ownerOf decides whether this process, whose rights are own, can and must act
// as uid and gid. The kernel gives a thread its own file system IDs; files are
// made with them, so there is never a moment in which a file has another owner
// (setfsuid(2)).
func ownerOf(uid, gid int, own *rights) owner {
	o := owner{uid: os.Geteuid(), gid: os.Getegid()}
	if uid < 0 || uid == o.uid && (gid < 0 || gid == o.gid) {
		return o
	}
	if gid < 0 {
		gid = o.gid
	}
	want := owner{uid: uid, gid: gid, own: own, euid: o.uid, egid: o.gid}
	if err := want.do(func() error { return nil }); err != nil {
		return o
	}
	return want
}

// changes reports whether the owner is another user than this process.
func (o owner) changes() bool { return o.own != nil }

// do runs fn with the owner's rights, and no others: what the owner cannot
// reach, a link of the owner's does not reach. fn must not start goroutines or
// block on other goroutines: the rights are those of this thread.
func (o owner) do(fn func() error) error {
	if !o.changes() {
		return fn()
	}
	runtime.LockOSThread()
	if err := o.enter(); err != nil {
		if o.leave() == nil {
			runtime.UnlockOSThread()
		}
		return err
	}
	err := fn()
	// A thread that cannot be given back its rights stays locked, and ends
	// with its goroutine.
	if back := o.leave(); back != nil {
		return fmt.Errorf("give up rights of UID %d: %w", o.uid, back)
	}
	runtime.UnlockOSThread()
	return err
}

// enter makes the rights of this thread those of the owner. To change IDs and
// groups takes capabilities that are no rights to files, and stay.
func (o owner) enter() error {
	if err := takeFileIDs(o.uid, o.gid); err != nil {
		return err
	}
	if len(o.own.groups) > 0 {
		if err := setGroups(nil); err != nil {
			return err
		}
	}
	caps := o.own.laidDown()
	return setCaps(&caps)
}

// leave gives the thread its own rights again. Those to its effective IDs the
// kernel always gives.
func (o owner) leave() error {
	unix.SetfsgidRetGid(o.egid)
	unix.SetfsuidRetUid(o.euid)
	if len(o.own.groups) > 0 {
		if err := setGroups(o.own.groups); err != nil {
			return err
		}
	}
	return setCaps(&o.own.caps)
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
