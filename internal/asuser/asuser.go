// Package asuser does things with the rights of another user of the system,
// and no others: reads and writes files, starts programs.
//
// The kernel keeps rights by thread. Each call gets a thread of its own, which
// ends with it, so that no right is ever given back to the wrong one.
package asuser

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrRights says that this process cannot take the rights of that user: it was
// not started as root.
var ErrRights = errors.New("the server has no right to act as another user; it was not started as root")

// ID is a user: UID, and the one group.
type ID struct{ UID, GID int }

// own reports whether the process is that user already.
func (id ID) own() bool { return id.UID == os.Geteuid() && id.GID == os.Getegid() }

// Do runs fn with the rights that id has on files. fn must not start
// goroutines. Only the file system IDs change: a thread with all IDs of the
// user could be killed by the user, and the process with it.
func (id ID) Do(fn func() error) error {
	if id.own() && id.UID != 0 {
		return fn()
	}
	done := make(chan error, 1)
	go func() { // ends with fn; done is buffered
		runtime.LockOSThread() // never unlocked: the thread ends here
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("acting as UID %d: panic: %v", id.UID, p)
			}
		}()
		if err := id.take(); err != nil {
			done <- err
			return
		}
		done <- fn()
	}()
	return <-done
}

// take gives the thread the rights of id on files, and none that override them.
func (id ID) take() error {
	if id.own() {
		return nil
	}
	groups := [1]uint32{uint32(id.GID)}
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return fmt.Errorf("UID %d: %w", id.UID, ErrRights)
	}
	unix.SetfsgidRetGid(id.GID)
	unix.SetfsuidRetUid(id.UID)
	gid, _ := unix.SetfsgidRetGid(-1)
	uid, _ := unix.SetfsuidRetUid(-1)
	if gid != id.GID || uid != id.UID {
		return fmt.Errorf("UID %d: %w", id.UID, ErrRights)
	}
	return dropEffective()
}

// dropEffective takes the capabilities that override permissions from the
// thread. A server that has left root has kept some.
func dropEffective() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	data[0].Effective, data[1].Effective = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// Start starts cmd as id, in a session of its own, without any capability;
// nobody else can read the files that it makes (umask 077). It replaces
// cmd.SysProcAttr.
func (id ID) Start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if !id.own() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(id.UID), Gid: uint32(id.GID), Groups: []uint32{uint32(id.GID)}}
	} else if id.UID == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Groups: []uint32{0}}
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		// What is ambient here would be the program's, whatever its user.
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			done <- fmt.Errorf("drop capabilities: %w", err)
			return
		}
		// The umask is the process's, unless a thread has its own.
		if err := unix.Unshare(unix.CLONE_FS); err == nil {
			unix.Umask(0o077)
		}
		done <- cmd.Start()
	}()
	err := <-done
	if errors.Is(err, syscall.EPERM) && !id.own() {
		return fmt.Errorf("UID %d: %w", id.UID, ErrRights)
	}
	return err
}
