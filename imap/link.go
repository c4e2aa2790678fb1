package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"mailserver/internal/inflate"
)

// errWoken: somebody has something to say to a session that waits.
var errWoken = errors.New("woken")

// link is a client's connection. Each read and each write has a deadline of its
// own. Another goroutine may wake the session out of a wait, so that a session
// in IDLE needs no second goroutine.
type link struct {
	conn    net.Conn // TLS, once started
	now     func() time.Time
	in, out int64           // bytes on the wire
	inflate *inflate.Reader // nil: not compressed

	mu     sync.Mutex // guards what follows, and the read deadline
	wait   time.Duration
	limit  time.Time // no read waits beyond it; zero: none
	parked bool
	woken  bool
}

// Read implements io.Reader with a deadline.
func (l *link) Read(p []byte) (int, error) {
	if l.inflate != nil {
		return l.inflate.Read(p)
	}
	return l.readRaw(p)
}

func (l *link) readRaw(p []byte) (int, error) {
	if err := l.armRead(); err != nil {
		return 0, err
	}
	n, err := l.conn.Read(p)
	l.in += int64(n)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && l.wasWoken() {
		return 0, errWoken
	}
	return n, err
}

func (l *link) armRead() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parked && l.woken {
		return errWoken
	}
	until := l.now().Add(l.wait)
	if !l.limit.IsZero() && l.limit.Before(until) {
		until = l.limit
	}
	return l.conn.SetReadDeadline(until)
}

func (l *link) wasWoken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parked && l.woken
}

// park says that reads are between commands now, where wake may interrupt
// them, each for at most wait.
func (l *link) park(wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parked, l.wait = true, wait
}

// unpark says that reads are within a command, and forgets a wake.
func (l *link) unpark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parked, l.woken, l.wait = false, false, readTimeout
}

// until bounds all reads, whatever they wait for; zero lifts it.
func (l *link) until(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = t
}

// wake makes a parked Read return errWoken, now or when it next parks. Safe for
// any goroutine.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.woken = true
	if l.parked {
		l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Write implements io.Writer with a deadline for each piece.
func (l *link) Write(p []byte) (total int, err error) {
	const piece = 64 << 10
	for len(p) > 0 && err == nil {
		n := min(len(p), piece)
		if l.inflate != nil {
			err = l.deflate(p[:n])
		} else {
			n, err = rawWriter{l}.Write(p[:n])
		}
		total += n
		p = p[n:]
	}
	return total, err
}

// startTLS does the handshake.
func (l *link) startTLS(ctx context.Context, cfg *tls.Config) error {
	t := tls.Server(l.conn, cfg)
	if err := l.conn.SetDeadline(l.now().Add(readTimeout)); err != nil {
		return err
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = t
	return nil
}
