// Package listen is what listeners of all protocols have in common: sockets of
// rows, the loop that accepts, the PROXY protocol, and sockets that systemd has
// opened.
package listen

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// Serve accepts connections until ctx ends or l is closed, and closes l. start
// must not block. It returns what Accept failed with at last.
func Serve(ctx context.Context, l net.Listener, log *slog.Logger, start func(net.Conn)) error {
	defer l.Close()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for pause := time.Duration(0); ; {
		c, err := l.Accept()
		if err == nil {
			pause = 0
			start(c)
			continue
		}
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return err
		}
		// Out of files, perhaps: as net/http does, wait for some to be closed.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		if log != nil {
			log.Error("accept", "address", l.Addr().String(), "err", err, "wait", pause)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// KeepAlive finds hosts that are gone; it knows the connection behind a header.
func KeepAlive(c net.Conn, how net.KeepAliveConfig) {
	if p, ok := c.(*proxied); ok {
		c = p.Conn
	}
	if t, ok := c.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(how)
	}
}
