package dialogtest

import (
	"net"
	"testing"

	"mailserver/internal/testenv"
)

// Client is one connection. What goes wrong ends the test.
type Client struct {
	*testenv.Client
	T testing.TB
}

// Dial connects to a server until the test ends.
func Dial(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &Client{testenv.NewClient(conn, map[string]string{}), t}
}

func (c *Client) must(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

// Raw sends exactly these bytes.
func (c *Client) Raw(text string) { c.T.Helper(); c.must(c.SendRaw(text)) }

// Send sends a line.
func (c *Client) Send(line string) { c.T.Helper(); c.must(c.Client.Send(line)) }

// Line reads a line.
func (c *Client) Line() string {
	c.T.Helper()
	line, err := c.Client.Line()
	c.must(err)
	return line
}

// Until reads up to a line that matches, and returns all lines.
func (c *Client) Until(pattern string) []string {
	c.T.Helper()
	lines, err := c.Lines(pattern)
	c.must(err)
	return lines
}

// Closed waits for the server to end the connection.
func (c *Client) Closed() {
	c.T.Helper()
	if err := c.Client.Closed(); err != nil {
		c.T.Error(err)
	}
}
