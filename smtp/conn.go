package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

var (
	errTimeout  = errors.New("timeout")
	errShutdown = errors.New("the server stops")
)

// aLongTimeAgo is a deadline that wakes a blocked read.
var aLongTimeAgo = time.Unix(1, 0)

// conn is the connection of a session: replies are gathered and written in one
// piece before the next read that may block, so a pipelining client gets one
// packet for many commands.
type conn struct {
	closing interface{ Load() bool } // the server is shutting down
	timeout time.Duration            // for a write, and for a read within content

	// Reads. until is when the present command or message must have come;
	// within content, each read also has timeout.
	until   time.Time
	content bool
	each    bool // a command, too, has timeout for each read, and no end

	out *[]byte // replies not yet written; nil when there are none

	mu      sync.Mutex // guards what follows
	nc      net.Conn
	waiting bool // a read waits for a command: Shutdown may interrupt it
}

const (
	outSize  = 1024
	outFlush = 8192 // so many bytes of replies are written at once
)

var outPool = sync.Pool{New: func() any { b := make([]byte, 0, outSize); return &b }}

// Read writes the pending replies, then reads. Errors: errTimeout, errShutdown,
// or the connection is lost.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	until := c.until
	if c.each && !c.content {
		until = time.Now().Add(c.timeout)
	}
	if c.content {
		if next := time.Now().Add(c.timeout); next.Before(until) {
			until = next
		}
	}
	c.mu.Lock()
	if !c.content && c.closing.Load() {
		c.mu.Unlock()
		return 0, errShutdown
	}
	c.nc.SetReadDeadline(until)
	c.waiting = !c.content
	nc := c.nc
	c.mu.Unlock()

	n, err := nc.Read(p)

	c.mu.Lock()
	c.waiting = false
	c.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	return 0, c.readError(err)
}

func (c *conn) readError(err error) error {
	switch {
	case err == nil:
		return io.ErrNoProgress
	case errors.Is(err, os.ErrDeadlineExceeded) && !c.content && c.closing.Load():
		return errShutdown
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTimeout
	}
	return err
}

// put gathers a reply.
func (c *conn) put(r reply) error {
	if c.out == nil {
		c.out = outPool.Get().(*[]byte)
	}
	*c.out = r.appendTo(*c.out)
	if len(*c.out) >= outFlush {
		return c.flush()
	}
	return nil
}

// flush writes the gathered replies and gives their buffer back.
func (c *conn) flush() error {
	if c.out == nil {
		return nil
	}
	c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	_, err := c.nc.Write(*c.out)
	if cap(*c.out) <= 2*outFlush {
		*c.out = (*c.out)[:0]
		outPool.Put(c.out)
	}
	c.out = nil
	return err
}

// interrupt wakes a read that waits for a command.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.nc.SetReadDeadline(aLongTimeAgo)
	}
}

// cut ends the connection whatever it does.
func (c *conn) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc.Close()
}

// upgrade puts TLS in place of the plain connection.
func (c *conn) upgrade(nc net.Conn) {
	c.mu.Lock()
	c.nc = nc
	c.mu.Unlock()
}

// lingering is how long a client may take to read the last reply.
const lingering = time.Second

// shut ends the connection so that the last reply arrives: data that the
// client still sends would make the system drop it.
// A client that said QUIT sends no more.
func (c *conn) shut(ctx context.Context, quit bool) {
	defer c.cut()
	if c.flush() != nil || quit || ctx.Err() != nil {
		return
	}
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	var sink [512]byte
	end := time.Now().Add(lingering)
	c.nc.SetReadDeadline(end)
	for range 64 {
		if _, err := c.nc.Read(sink[:]); err != nil {
			return
		}
	}
}
