package schema

import (
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// walIndex is the first page of the memory that all users of a database file
// share (FILE-shm, https://www.sqlite.org/walformat.html §2.2). Every commit,
// of whatever program, changes the header in it before COMMIT returns, so that
// an unchanged header means unchanged rows; looking costs no system call and
// waits for no lock. The zero value knows nothing.
type walIndex struct{ mem []byte }

// walHeader is WalIndexHdr: a counter of commits, the end of the log, its
// checksum and salt.
type walHeader [6]uint64

// mapWALIndex maps the memory of the file at path. Some connection of this
// process must have read the file, and must stay open as long as the map is used.
// It stays for the life of the process: somebody may be looking at it. The
// descriptor is the one that SQLite has: to open and close another one would
// release SQLite's locks (fcntl(2)).
func mapWALIndex(path string) walIndex {
	var want, got syscall.Stat_t
	if err := syscall.Stat(path+"-shm", &want); err != nil {
		return walIndex{}
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return walIndex{}
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || syscall.Fstat(fd, &got) != nil || got.Ino != want.Ino || got.Dev != want.Dev {
			continue
		}
		if got.Size < int64(os.Getpagesize()) {
			return walIndex{}
		}
		mem, err := syscall.Mmap(fd, 0, os.Getpagesize(), syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			return walIndex{}
		}
		return walIndex{mem}
	}
	return walIndex{}
}

// header reads the header. A writer changes the second copy first; ok is false
// while the copies differ.
func (w walIndex) header() (h walHeader, ok bool) {
	if w.mem == nil {
		return h, false
	}
	both := (*[2]walHeader)(unsafe.Pointer(&w.mem[0]))
	for i := range h {
		h[i] = atomic.LoadUint64(&both[0][i])
	}
	for i := range h {
		if atomic.LoadUint64(&both[1][i]) != h[i] {
			return h, false
		}
	}
	return h, true
}
