package pop3

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var (
	// errLeave: the server is to stop, and the session waits for its client.
	errLeave = errors.New("asked to leave")
	// errLongLine: a line without end. Its client is not one of POP3.
	errLongLine = errors.New("input line too long")
)

// pieceSize is a record of TLS.
const pieceSize = 16 << 10

var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// link is a client's connection: lines in, replies out. Buffers are borrowed
// while there is something in them. Each read and each write has a deadline of
// its own.
type link struct {
	conn    net.Conn // TLS, once started
	now     func() time.Time
	in, out int64

	rbuf  *[pieceSize]byte
	r, w  int
	first [1]byte
	wbuf  *[pieceSize]byte
	n     int
	err   error // of writing; it sticks

	mu     sync.Mutex // guards what follows, and the read deadline
	limit  time.Time  // no read waits beyond it; zero: none
	parked bool
	leave  bool
}

// line reads up to a line end, LF or CRLF, and returns what stands before it.
// The bytes are valid until the next call. It waits for the first byte for at
// most wait, without buffers.
func (l *link) line(wait time.Duration, longest int) ([]byte, error) {
	if err := l.park(wait); err != nil {
		return nil, err
	}
	if l.r > 0 { // so that the longest line has room
		l.w = copy(l.rbuf[:], l.rbuf[l.r:l.w])
		l.r = 0
	}
	for from := 0; ; {
		if at := bytes.IndexByte(l.rbuf[from:l.w], '\n'); at >= 0 {
			text := l.rbuf[:from+at]
			l.r = from + at + 1
			if len(text) > longest {
				return nil, errLongLine
			}
			return bytes.TrimSuffix(text, []byte("\r")), nil
		}
		if from = l.w; l.w > longest || l.w == pieceSize {
			return nil, errLongLine
		}
		n, err := l.read(l.rbuf[l.w:], readTimeout)
		if l.w += n; n == 0 {
			return nil, err
		}
	}
}

// park sends what there is to send, gives the buffers back and waits for a
// byte, unless one is here.
func (l *link) park(wait time.Duration) error {
	if l.r < l.w {
		return l.err
	}
	if err := l.flush(); err != nil {
		return err
	}
	l.release()
	n, err := l.readParked(wait)
	if n == 0 {
		return err
	}
	l.rbuf = pieces.Get().(*[pieceSize]byte)
	l.rbuf[0], l.r, l.w = l.first[0], 0, 1
	return nil
}

func (l *link) readParked(wait time.Duration) (int, error) {
	l.mu.Lock()
	l.parked = true
	leave := l.leave
	l.mu.Unlock()
	if leave {
		return 0, errLeave
	}
	n, err := l.read(l.first[:], wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parked = false
	if n == 0 && l.leave && errors.Is(err, os.ErrDeadlineExceeded) {
		err = errLeave
	}
	return n, err
}

func (l *link) read(p []byte, wait time.Duration) (int, error) {
	if err := l.arm(wait); err != nil {
		return 0, err
	}
	n, err := l.conn.Read(p)
	l.in += int64(n)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

func (l *link) arm(wait time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parked && l.leave {
		return errLeave
	}
	until := l.now().Add(wait)
	if !l.limit.IsZero() && l.limit.Before(until) {
		until = l.limit
	}
	return l.conn.SetReadDeadline(until)
}

// until bounds all reads, whatever they wait for; zero lifts it.
func (l *link) until(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = t
}

// wake makes the wait for a command return errLeave, this or the next one. Safe
// for any goroutine.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave = true
	if l.parked {
		l.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// release gives the buffers back. A password may be in the one for reading.
func (l *link) release() {
	if l.rbuf != nil {
		clear(l.rbuf[:])
		pieces.Put(l.rbuf)
	}
	if l.wbuf != nil {
		pieces.Put(l.wbuf)
	}
	l.rbuf, l.r, l.w, l.wbuf, l.n = nil, 0, 0, nil, 0
}

// Write implements io.Writer through the buffer.
func (l *link) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0 && l.err == nil; {
		room := l.room()
		n := copy(room, rest)
		l.n += n
		rest = rest[n:]
	}
	return len(p), l.err
}

// say writes a reply, or a part of one.
func (l *link) say(text string) {
	for len(text) > 0 && l.err == nil {
		n := copy(l.room(), text)
		l.n += n
		text = text[n:]
	}
}

// room returns where the next bytes of the buffer go: at least one.
func (l *link) room() []byte {
	if l.wbuf == nil {
		l.wbuf = pieces.Get().(*[pieceSize]byte)
	}
	if l.n == pieceSize {
		l.flush()
	}
	return l.wbuf[l.n:]
}

// flush sends what was written.
func (l *link) flush() error {
	if l.n > 0 && l.err == nil {
		l.conn.SetWriteDeadline(l.now().Add(writeTimeout))
		var n int
		n, l.err = l.conn.Write(l.wbuf[:l.n])
		l.out += int64(n)
	}
	l.n = 0
	return l.err
}

// startTLS does the handshake. What was read before it is thrown away.
func (l *link) startTLS(ctx context.Context, cfg *tls.Config) error {
	l.release()
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
