// Package landlock takes from a process the files that it has no business
// with: landlock(7), without any privilege, and without a way back.
package landlock

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oldest is the first version that lets files move between directories, as
// mail does from tmp to new. Before it every such rename fails.
const oldest = 2

// Rights on what lies below a path. Those of oldest and of version 3; later
// ones are not restricted.
const (
	readRights  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	fileRights  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
	firstRights = 1<<13 - 1 // of version 1
)

// Rules are what stays possible. What lies below a path goes with it; a path
// that is not there is left out.
type Rules struct {
	Read  []string // read and execute
	Write []string // everything
}

// Version returns the kernel's version of landlock; 0 when it has none, or one
// that is too old.
func Version() int {
	v, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 || v < oldest {
		return 0
	}
	return int(v)
}

// rights are all that a version knows, of those that are restricted here.
func rights(version int) uint64 {
	all := uint64(firstRights | unix.LANDLOCK_ACCESS_FS_REFER)
	if version >= 3 {
		all |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	return all
}

// ErrAbsent: the kernel has no landlock that is good enough.
var ErrAbsent = errors.New("the kernel has no landlock")

// RestrictThread holds the calling thread, and the programs that it becomes or
// starts, to the rules. It sets no_new_privs. The caller has locked the
// thread, and execs or ends it.
func RestrictThread(r Rules) error {
	version := Version()
	if version == 0 {
		return ErrAbsent
	}
	all := rights(version)
	attr := unix.LandlockRulesetAttr{Handled_access_fs: all}
	// The first field alone: later kernels take what follows as nought.
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr.Handled_access_fs), 0)
	if e != 0 {
		return fmt.Errorf("landlock_create_ruleset: %w", e)
	}
	defer unix.Close(int(fd))
	for _, p := range r.Read {
		if err := allow(int(fd), p, readRights); err != nil {
			return err
		}
	}
	for _, p := range r.Write {
		if err := allow(int(fd), p, all); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, fd, 0, 0); e != 0 {
		return fmt.Errorf("landlock_restrict_self: %w", e)
	}
	return nil
}

func allow(ruleset int, path string, access uint64) error {
	f, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, unix.ENOTDIR) {
		return nil // nothing to reach there
	}
	if err != nil {
		return fmt.Errorf("landlock: open %s: %w", path, err)
	}
	defer unix.Close(f)
	var st unix.Stat_t
	if err := unix.Fstat(f, &st); err != nil {
		return fmt.Errorf("landlock: stat %s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fileRights
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(f)}
	if _, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0); e != 0 {
		return fmt.Errorf("landlock: allow %s: %w", path, e)
	}
	return nil
}
