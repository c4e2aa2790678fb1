package smtp

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// memPipe returns both ends of a buffered connection in memory. Unlike
// net.Pipe a write never waits for the reader, so a client can pipeline; unlike
// a socket it counts as idle in a synctest bubble.
func memPipe(client, server net.Addr) (c, s net.Conn) {
	up, down := newHalf(), newHalf()
	return &memConn{in: down, out: up, local: client, remote: server},
		&memConn{in: up, out: down, local: server, remote: client}
}

// half carries bytes in one direction.
type half struct {
	mu       sync.Mutex
	data     []byte
	closed   bool
	deadline time.Time
	changed  chan struct{} // closed at every change
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

// change runs fn and wakes whoever waits.
func (h *half) change(fn func()) {
	h.mu.Lock()
	fn()
	close(h.changed)
	h.changed = make(chan struct{})
	h.mu.Unlock()
}

func (h *half) read(p []byte) (int, error) {
	for {
		h.mu.Lock()
		n, wait := copy(p, h.data), time.Until(h.deadline)
		h.data = h.data[n:]
		closed, timed, changed := h.closed, !h.deadline.IsZero(), h.changed
		h.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case timed && wait <= 0:
			return 0, os.ErrDeadlineExceeded
		case closed:
			return 0, io.EOF
		}
		var timeout <-chan time.Time
		if timed {
			t := time.NewTimer(wait)
			defer t.Stop()
			timeout = t.C
		}
		select {
		case <-changed:
		case <-timeout:
		}
	}
}

type memConn struct {
	in, out       *half
	local, remote net.Addr
}

func (c *memConn) Read(p []byte) (int, error) { return c.in.read(p) }

func (c *memConn) Write(p []byte) (int, error) {
	err := error(nil)
	c.out.change(func() {
		if c.out.closed {
			err = net.ErrClosed
			return
		}
		c.out.data = append(c.out.data, p...)
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *memConn) Close() error {
	c.out.change(func() { c.out.closed = true })
	c.in.change(func() { c.in.closed = true })
	return nil
}

func (c *memConn) CloseWrite() error {
	c.out.change(func() { c.out.closed = true })
	return nil
}

func (c *memConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.deadline = t })
	return nil
}

func (c *memConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }
func (c *memConn) LocalAddr() net.Addr              { return c.local }
func (c *memConn) RemoteAddr() net.Addr             { return c.remote }

// memListener gives out connections in memory.
type memListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newMemListener() *memListener {
	return &memListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// dial connects as a client of that address.
func (l *memListener) dial(from string) net.Conn {
	c, s := memPipe(net.TCPAddrFromAddrPort(addrPort(from)), net.TCPAddrFromAddrPort(addrPort("192.0.2.25:25")))
	select {
	case l.conns <- s:
	case <-l.closed:
		s.Close()
	}
	return c
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *memListener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(addrPort("192.0.2.25:25"))
}
