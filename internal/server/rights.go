package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"mailserver/internal/config"
)

// kept are the capabilities of a server that was started as root: to bind the
// standard ports, to write each mailbox as its owner, and to end commands of users.
var kept = []uintptr{unix.CAP_NET_BIND_SERVICE, unix.CAP_SETUID, unix.CAP_SETGID, unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_KILL}

// needed are those of kept that there are to keep. Without the right to give
// files away no mailbox has an owner of its own, and the first is all it takes.
func needed() ([]uintptr, error) {
	have, err := permitted()
	if err != nil {
		return nil, err
	}
	if !have(unix.CAP_CHOWN) {
		return slices.DeleteFunc(kept[:1:1], func(c uintptr) bool { return !have(c) }), nil
	}
	return slices.DeleteFunc(slices.Clone(kept), func(c uintptr) bool { return !have(c) }), nil
}

// permitted tells which capabilities this thread has.
func permitted() (func(uintptr) bool, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return nil, fmt.Errorf("read capabilities: %w", err)
	}
	return func(c uintptr) bool { return data[c/32].Permitted&(1<<(c%32)) != 0 }, nil
}

// Settle gives a process that is to serve the rights it serves with, by
// starting the program anew: the kernel keeps credentials and landlock by
// thread, and execve is the one call that gives all threads those of the
// caller. It returns only when there is nothing (more) to change, or on error.
//
// Root becomes the user of mail_owner, with the capabilities above and no
// others, after it has started the helper for passwords of the system; found is
// false when root stays, since there is no such user.
func Settle(ctx context.Context, dir string, p *config.Process) (found bool, err error) {
	if os.Geteuid() != 0 {
		return true, confineAnew(ctx, dir, p)
	}
	u, err := user.Lookup(p.Owner)
	if err != nil {
		return false, confineAnew(ctx, dir, p)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid == 0 {
		return uid == 0, errors.Join(err, confineAnew(ctx, dir, p))
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return true, err
	}
	exe, err := ownProgram()
	if err != nil {
		return true, fmt.Errorf("leave root: %w", err)
	}
	if p.SystemUsers {
		if err := startHelper(exe); err != nil {
			return true, fmt.Errorf("start the helper for passwords of the system: %w", err)
		}
	}
	rules, err := confinement(ctx, dir, exe, p, u.HomeDir)
	if err != nil {
		return true, err
	}
	runtime.LockOSThread() // never unlocked: the thread is another user's from here on
	if err := threadBecomes(uid, gid); err != nil {
		return true, fmt.Errorf("become user %s: %w", p.Owner, err)
	}
	return true, fmt.Errorf("start anew as user %s: %w", p.Owner, confinedExec(exe, rules))
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
	keep, err := needed()
	if err != nil {
		return err
	}
	if err := keepOnly(keep); err != nil {
		return err
	}
	for _, c := range keep {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// keepOnly drops all other capabilities of this thread.
func keepOnly(keep []uintptr) error {
	var mask uint32
	for _, c := range keep {
		mask |= 1 << c
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: mask, Permitted: mask, Inheritable: mask}}
	return unix.Capset(&header, &data[0])
}
