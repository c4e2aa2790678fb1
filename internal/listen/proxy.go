package listen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailserver/internal/nets"
)

// Config is the part of the settings about proxies, under the names of Dovecot.
type Config struct {
	// Trusted are the proxies: nobody else may connect to a listener that
	// wants the PROXY protocol.
	Trusted []string `setting:"haproxy_trusted_networks" default:""`
	// Timeout is for the header.
	Timeout time.Duration `setting:"haproxy_timeout" default:"3s" min:"1s"`
}

// Validate returns the first value that cannot be acted on: "setting NAME: why".
func (c *Config) Validate() error {
	for _, word := range c.Trusted {
		if _, err := nets.Parse(word); err != nil {
			return fmt.Errorf("setting haproxy_trusted_networks: %w", err)
		}
	}
	return nil
}

var errHeader = errors.New("no header of the PROXY protocol")

// Bounds of a header, in bytes. Version 1 has a line of at most 107; version 2
// has a length, and nobody adds so much to it.
const (
	maxV1 = 107
	maxV2 = 4096
)

// signature begins a header of version 2.
var signature = []byte("\r\n\r\n\x00\r\nQUIT\n")

// ReadHeader reads a header of the PROXY protocol, version 1 or 2, and nothing
// behind it: proxy-protocol.txt of HAProxy. The client is the zero value when
// the proxy speaks for itself, or does not know.
func ReadHeader(r io.Reader) (client netip.AddrPort, err error) {
	first := make([]byte, len(signature))
	if _, err := io.ReadFull(r, first); err != nil {
		return client, fmt.Errorf("%w: %w", errHeader, err)
	}
	switch {
	case bytes.Equal(first, signature):
		return readV2(r)
	case bytes.HasPrefix(first, []byte("PROXY ")):
		return readV1(r, first)
	}
	return client, errHeader
}

func readV1(r io.Reader, line []byte) (client netip.AddrPort, err error) {
	one := make([]byte, 1)
	for !bytes.HasSuffix(line, []byte("\n")) {
		if len(line) == maxV1 {
			return client, fmt.Errorf("%w: too long", errHeader)
		}
		if _, err := io.ReadFull(r, one); err != nil {
			return client, fmt.Errorf("%w: %w", errHeader, err)
		}
		line = append(line, one[0])
	}
	text, ok := strings.CutSuffix(string(line), "\r\n")
	f := strings.Split(text, " ")
	if !ok {
		return client, fmt.Errorf("%w: %q", errHeader, text)
	}
	if f[1] == "UNKNOWN" {
		return client, nil
	}
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return client, fmt.Errorf("%w: %q", errHeader, text)
	}
	addr, err1 := netip.ParseAddr(f[2])
	port, err2 := strconv.ParseUint(f[4], 10, 16)
	if err1 != nil || err2 != nil || addr.Zone() != "" || addr.Is4() != (f[1] == "TCP4") {
		return client, fmt.Errorf("%w: %q", errHeader, text)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

func readV2(r io.Reader) (client netip.AddrPort, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return client, fmt.Errorf("%w: %w", errHeader, err)
	}
	size := int(binary.BigEndian.Uint16(head[2:]))
	if head[0]>>4 != 2 || head[0]&15 > 1 || size > maxV2 {
		return client, fmt.Errorf("%w: version and command %#x, %d bytes", errHeader, head[0], size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return client, fmt.Errorf("%w: %w", errHeader, err)
	}
	if head[0]&15 == 0 { // LOCAL: the proxy looks whether we are alive
		return client, nil
	}
	switch head[1] {
	case 0x11: // TCP over IPv4
		if size < 12 {
			return client, fmt.Errorf("%w: %d bytes of addresses", errHeader, size)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(body[:4])), binary.BigEndian.Uint16(body[8:])), nil
	case 0x21: // TCP over IPv6
		if size < 36 {
			return client, fmt.Errorf("%w: %d bytes of addresses", errHeader, size)
		}
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(body[:16])).Unmap(), binary.BigEndian.Uint16(body[32:])), nil
	}
	return client, nil // a socket of its host, or nothing said
}

// proxied is a connection whose client is behind a proxy.
type proxied struct {
	net.Conn
	client net.Addr
}

// RemoteAddr is the client's.
func (p *proxied) RemoteAddr() net.Addr { return p.client }

// NetConn is the connection to the proxy.
func (p *proxied) NetConn() net.Conn { return p.Conn }

// CloseWrite ends our side.
func (p *proxied) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// maxHeaders bounds how many headers are read at a time.
const maxHeaders = 100

// behind is a listener whose clients are proxies.
type behind struct {
	net.Listener
	config func() (*Config, error)
	log    *slog.Logger
	ready  chan accepted
	done   chan struct{}
	once   sync.Once
	places chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

// Behind returns a listener that hands out connections whose header has been
// read. config is asked for each.
func Behind(l net.Listener, config func() (*Config, error), log *slog.Logger) net.Listener {
	b := &behind{Listener: l, config: config, log: log, ready: make(chan accepted), done: make(chan struct{}), places: make(chan struct{}, maxHeaders)}
	go b.run() // ends when the listener is closed
	return b
}

// Accept returns the next connection whose header is good.
func (b *behind) Accept() (net.Conn, error) {
	select {
	case a := <-b.ready:
		return a.conn, a.err
	case <-b.done:
		return nil, net.ErrClosed
	}
}

// Close ends those whose header has not come, too.
func (b *behind) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.Listener.Close()
}

func (b *behind) give(a accepted) {
	select {
	case b.ready <- a:
	case <-b.done:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

func (b *behind) run() {
	for {
		select {
		case b.places <- struct{}{}:
		case <-b.done:
			return
		}
		c, err := b.Listener.Accept()
		if err != nil {
			<-b.places
			b.give(accepted{err: err})
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go func() { // ends with the time-out of the header
			conn, err := b.header(c)
			<-b.places
			if err != nil {
				b.log.Warn("connection refused: PROXY protocol", "remote", c.RemoteAddr().String(), "err", err)
				c.Close()
				return
			}
			b.give(accepted{conn: conn})
		}()
	}
}

func (b *behind) header(c net.Conn) (net.Conn, error) {
	cfg, err := b.config()
	if err != nil {
		return nil, err
	}
	list, err := nets.ParseList(cfg.Trusted)
	if err != nil {
		return nil, err
	}
	// A proxy on the same host may come by a Unix socket, which has its mode.
	if peer, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && !list.Contains(peer.Addr()) {
		return nil, errors.New("it is not in haproxy_trusted_networks")
	}
	c.SetReadDeadline(time.Now().Add(cfg.Timeout))
	client, err := ReadHeader(c)
	if err != nil {
		return nil, err
	}
	c.SetReadDeadline(time.Time{})
	if !client.IsValid() {
		return c, nil
	}
	return &proxied{c, net.TCPAddrFromAddrPort(client)}, nil
}
