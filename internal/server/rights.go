package server

import (
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kept are the capabilities of a server that was started as root: to bind the
// standard ports, to write each mailbox as its owner, and to end commands of users.
var kept = []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL}

// LeaveRoot makes a process that is root into one of the named user, with the
// capabilities above and no others, by starting the program anew: the kernel
// keeps credentials by thread, and execve is the one call that gives all
// threads those of the caller. It returns only when there is nothing to leave
// (found is false when root stays, since there is no such user) or on error.
func LeaveRoot(name string) (found bool, err error) {
	if os.Geteuid() != 0 {
		return true, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return false, nil
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid == 0 {
		return uid == 0, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return true, err
	}
	exe, err := os.Executable()
	if err != nil {
		return true, fmt.Errorf("leave root: %w", err)
	}
	runtime.LockOSThread() // never unlocked: the thread is another user's from here on
	if err := threadBecomes(uid, gid); err != nil {
		return true, fmt.Errorf("become user %s: %w", name, err)
	}
	return true, fmt.Errorf("start anew as user %s: %w", name, syscall.Exec(exe, os.Args, os.Environ()))
}

// threadBecomes changes the credentials of this thread alone. The raw system
// calls matter: those of package syscall change every thread.
func threadBecomes(uid, gid int) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return err
	}
	groups := [1]uint32{uint32(gid)}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)); e != 0 {
		return e
	}
	if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
		return e
	}
	var mask uint32
	for _, c := range kept {
		mask |= 1 << c
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: mask, Permitted: mask, Inheritable: mask}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return err
	}
	for _, c := range kept {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return err
		}
	}
	return nil
}
