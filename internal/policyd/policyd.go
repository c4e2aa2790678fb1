// Package policyd asks access policy servers such as postgrey: the client of
// the Postfix SMTPD access policy delegation protocol, SMTPD_POLICY_README.
package policyd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Server is where a policy server listens and how it is used.
type Server struct {
	Network string // tcp, unix
	Address string

	Timeout  time.Duration // to connect, and of one request with its reply
	Idle     time.Duration // a connection that nobody uses is closed after it
	TTL      time.Duration // and one that is older than it
	Tries    int           // of one request
	Delay    time.Duration // between tries
	Requests int           // of one connection; 0: any number
}

// Attr is one name=value of a request.
type Attr struct{ Name, Value string }

// Parse reads inet:host:port, inet:port and unix:/path.
func Parse(text string) (network, address string, err error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch strings.ToLower(kind) {
	case "inet":
		if !strings.Contains(rest, ":") {
			rest = "localhost:" + rest
		}
		if host, port, err := net.SplitHostPort(rest); err != nil || host == "" || port == "" {
			return "", "", fmt.Errorf("%q is not inet:host:port", text)
		}
		return "tcp", rest, nil
	case "unix":
		if !filepath.IsAbs(rest) {
			return "", "", fmt.Errorf("%q: say the whole path of the socket, there is no queue directory that it could be in", text)
		}
		return "unix", rest, nil
	}
	return "", "", fmt.Errorf("%q is neither inet:host:port nor unix:/path", text)
}

// mostIdle bounds the connections to one server that wait for the next
// request.
const mostIdle = 20

// maxReply bounds a reply; a header of PREPEND fits.
const maxReply = 16 << 10

// ErrReply says that a server answers something else than an action.
var ErrReply = errors.New("reply has no action")

// Client keeps connections between requests. Safe for concurrent use. The zero
// value is ready.
type Client struct {
	mu   sync.Mutex // guards idle
	idle map[string][]*conn
}

type conn struct {
	net.Conn
	r     *bufio.Reader
	born  time.Time
	asked int
	timer *time.Timer // closes it when nobody uses it
}

// Ask sends a request and returns the action, without white space around it.
func (c *Client) Ask(ctx context.Context, s Server, attrs []Attr) (string, error) {
	request := encode(attrs)
	var err error
	for try := 0; try < max(s.Tries, 1); try++ {
		if try > 0 && !pause(ctx, s.Delay) {
			break
		}
		var action string
		if action, err = c.once(ctx, s, request); err == nil {
			return action, nil
		}
	}
	return "", fmt.Errorf("server %s %s: %w", s.Network, s.Address, err)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once is one try. A kept connection that fails says only that the server has
// closed it: that is no try.
func (c *Client) once(ctx context.Context, s Server, request string) (string, error) {
	for cn := c.take(s); cn != nil; cn = c.take(s) {
		if action, err := c.exchange(ctx, s, cn, request); err == nil {
			return action, nil
		}
	}
	d := net.Dialer{Timeout: s.Timeout}
	nc, err := d.DialContext(ctx, s.Network, s.Address)
	if err != nil {
		return "", err
	}
	return c.exchange(ctx, s, &conn{Conn: nc, r: bufio.NewReaderSize(nc, 512), born: time.Now()}, request)
}

func (c *Client) exchange(ctx context.Context, s Server, cn *conn, request string) (string, error) {
	cn.SetDeadline(time.Now().Add(s.Timeout))
	stop := context.AfterFunc(ctx, func() { cn.SetDeadline(time.Unix(1, 0)) })
	_, err := io.WriteString(cn, request)
	var action string
	if err == nil {
		action, err = readAction(cn.r)
	}
	if !stop() || err != nil {
		cn.Close()
		return action, err
	}
	cn.asked++
	c.keep(s, cn)
	return action, nil
}

// take returns a kept connection; nil if there is none.
func (c *Client) take(s Server) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.idle[s.Address]
	for len(list) > 0 {
		cn := list[len(list)-1]
		list = list[:len(list)-1]
		c.idle[s.Address] = list
		if cn.timer.Stop() && time.Since(cn.born) < s.TTL {
			return cn
		}
		cn.Close()
	}
	return nil
}

// keep puts a connection by for the next request.
func (c *Client) keep(s Server, cn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Requests > 0 && cn.asked >= s.Requests || len(c.idle[s.Address]) >= mostIdle || cn.r.Buffered() > 0 || s.Idle <= 0 {
		cn.Close()
		return
	}
	if c.idle == nil {
		c.idle = make(map[string][]*conn)
	}
	c.idle[s.Address] = append(c.idle[s.Address], cn)
	cn.timer = time.AfterFunc(s.Idle, func() { c.drop(s.Address, cn) })
}

// drop closes a connection that nobody has used.
func (c *Client) drop(address string, cn *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn.Close()
	list := c.idle[address]
	for i := range list {
		if list[i] == cn {
			c.idle[address] = append(list[:i:i], list[i+1:]...)
			return
		}
	}
}

// encode writes a request. What would end a line or the request within a value
// becomes a question mark.
func encode(attrs []Attr) string {
	var b strings.Builder
	for _, a := range attrs {
		b.WriteString(a.Name)
		b.WriteByte('=')
		b.WriteString(strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return '?'
			}
			return r
		}, a.Value))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return b.String()
}

// readAction reads a reply: lines up to an empty one.
func readAction(r *bufio.Reader) (string, error) {
	action, found := "", false
	for n := 0; n < maxReply; {
		line, err := r.ReadSlice('\n')
		text := string(line)
		for n += len(line); errors.Is(err, bufio.ErrBufferFull) && n < maxReply; n += len(line) {
			line, err = r.ReadSlice('\n')
			text += string(line)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			break
		}
		if err != nil {
			return "", err
		}
		text = strings.TrimRight(text, "\r\n")
		if text == "" {
			if !found || action == "" {
				return "", ErrReply
			}
			return action, nil
		}
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return "", fmt.Errorf("%w: %.80q", ErrReply, text)
		}
		if strings.TrimSpace(name) == "action" {
			action, found = strings.TrimSpace(value), true
		}
	}
	return "", fmt.Errorf("%w within %d bytes", ErrReply, maxReply)
}
