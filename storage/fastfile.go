package storage

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// openFast is open without an os.File, and without a copy of the name.
func (d *dir) openFast(name []byte) (int, error) {
	name = append(name, 0)
	for {
		fd, _, e := unix.Syscall6(unix.SYS_OPENAT, uintptr(d.fd()), uintptr(unsafe.Pointer(&name[0])),
			unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_LARGEFILE, 0, 0, 0)
		switch e {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, e
		}
	}
}

// readCached reads the beginning of a file if all of it, as far as there is room,
// is in the kernel's memory: preadv2(2), RWF_NOWAIT. Else it fails, and also
// where the kernel or the file system cannot tell.
func readCached(fd int, room []byte) (total int, err error) {
	const page = 4096 // the least there is
	for total < len(room) {
		v := unix.Iovec{Base: &room[total]}
		v.SetLen(len(room) - total)
		n, _, e := unix.Syscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&v)), 1, uintptr(total), 0, unix.RWF_NOWAIT)
		if e != 0 {
			return 0, e
		}
		if total += int(n); n == 0 || total%page != 0 { // not the next page that is missing: the end
			return total, nil
		}
	}
	return total, nil
}
