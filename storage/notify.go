package storage

import (
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// notifier asks the kernel to tell of changes that other programs make in new/
// and cur/ of mailboxes that sessions wait on, so that IDLE learns of them at
// once. Where the kernel refuses (its limits of watches are reached, or it is
// no Linux file system), the look at every IdleCheck remains.
type notifier struct {
	mu    sync.Mutex
	f     *os.File // nil: not begun, or not to be had
	fd    int      // of f; File.Fd would make reads block a thread
	tried bool
	boxes map[int32]*box // by watch
}

// notifyMask: deliveries are renames or links; flags are renames; expunges are
// removals.
const notifyMask = unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// begin opens the file of the kernel, and reads it in the background. n.mu is
// held.
func (n *notifier) begin(s *Store) bool {
	if n.tried {
		return n.f != nil
	}
	n.tried = true
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if !s.background(func() { n.read(s, f) }) {
		f.Close()
		return false
	}
	n.f, n.fd, n.boxes = f, fd, make(map[int32]*box)
	return true
}

// read looks at the mailboxes that the kernel names. It ends when close is
// called.
func (n *notifier) read(s *Store, f *os.File) {
	buf := make([]byte, 4096)
	for {
		k, err := f.Read(buf)
		if err != nil {
			return
		}
		for _, b := range n.named(buf[:k]) {
			b.foreign()
		}
	}
}

func (n *notifier) named(events []byte) (list []*box) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := map[*box]bool{}
	for len(events) >= unix.SizeofInotifyEvent {
		watch := int32(binary.NativeEndian.Uint32(events))
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		if b := n.boxes[watch]; b != nil && !seen[b] {
			seen[b] = true
			list = append(list, b)
		}
		events = events[min(size, len(events)):]
	}
	return list
}

// foreign wakes the sessions that wait, so that they look, if what has changed
// is not what we did ourselves. Our own changes hold b.mu or b.dirs, and have
// told the sessions already.
func (b *box) foreign() {
	b.mu.RLock()
	waiting := len(b.watchers) > 0
	b.mu.RUnlock()
	if !waiting || !b.changedOutside() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed()
}

// changedOutside tells whether a directory has another time than ours.
func (b *box) changedOutside() bool {
	changed := false
	b.both(func(dirs [2]*dir) error {
		b.dirs.Lock()
		defer b.dirs.Unlock()
		for which, d := range dirs {
			at, err := d.mtime()
			changed = changed || err != nil || at != b.times[which].at
		}
		return nil
	})
	return changed
}

// add watches a mailbox. b.mu is held.
func (n *notifier) add(b *box) (watches [2]int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.begin(b.t.s) {
		return watches
	}
	b.both(func(dirs [2]*dir) error {
		for which, d := range dirs {
			// By the open directory: no name can lead elsewhere.
			w, err := unix.InotifyAddWatch(n.fd, d.procPath(), notifyMask&^unix.IN_DONT_FOLLOW)
			if err == nil {
				watches[which] = int32(w)
				n.boxes[int32(w)] = b
			}
		}
		return nil
	})
	return watches
}

func (n *notifier) remove(watches [2]int32) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range watches {
		if w != 0 && n.f != nil {
			unix.InotifyRmWatch(n.fd, uint32(w))
			delete(n.boxes, w)
		}
	}
}

func (n *notifier) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried = true
	if n.f != nil {
		n.f.Close()
		n.f = nil
	}
}
