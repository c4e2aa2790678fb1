package maillog

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// File is a log file that can be opened anew after something has moved it away,
// as logrotate does. Lines are written together: within 10 ms, or when there
// are many. Safe for concurrent use.
type File struct {
	path string // '': standard error
	mu   sync.Mutex
	f    *os.File
	buf  []byte
	due  *time.Timer // writes buf
	set  bool        // due is running
}

const (
	// fileWait is how long a line waits for others.
	fileWait = 10 * time.Millisecond
	// fileBuffer is how many bytes wait at most.
	fileBuffer = 8 << 10
)

// OpenFile opens a log file for appending; the empty path is standard error.
func OpenFile(path string) (*File, error) {
	l := &File{path: path, f: os.Stderr}
	l.due = time.AfterFunc(time.Hour, l.write)
	l.due.Stop()
	return l, l.Reopen()
}

// Reopen opens the path again; on error the old file stays in use.
func (l *File) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	old := l.f
	l.f = f
	if old == os.Stderr {
		return nil
	}
	return old.Close()
}

// Write appends a line.
func (l *File) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, p...)
	if len(l.buf) >= fileBuffer {
		return len(p), l.flush()
	}
	if !l.set {
		l.set = true
		l.due.Reset(fileWait)
	}
	return len(p), nil
}

func (l *File) write() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set = false
	l.flush()
}

// flush writes what waits. What cannot be written is lost, as it would be
// without waiting. l.mu is held.
func (l *File) flush() error {
	if len(l.buf) == 0 {
		return nil
	}
	_, err := l.f.Write(l.buf)
	l.buf = l.buf[:0]
	if cap(l.buf) > 2*fileBuffer {
		l.buf = nil
	}
	return err
}

// Close writes what waits and closes the file, but for standard error.
func (l *File) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due.Stop()
	err := l.flush()
	if l.path == "" {
		return err
	}
	if e := l.f.Close(); err == nil {
		err = e
	}
	return err
}
