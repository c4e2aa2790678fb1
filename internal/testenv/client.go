package testenv

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long a client waits for one line of the server.
const patience = time.Minute

// Client is the client's side of a dialog. Its methods return what went wrong.
type Client struct {
	Conn net.Conn
	R    *bufio.Reader     // of Conn
	Vars map[string]string // may stand in lines; named groups of S~ and S... add to them
}

// NewClient wraps a connection.
func NewClient(conn net.Conn, vars map[string]string) *Client {
	return &Client{Conn: conn, R: bufio.NewReader(conn), Vars: vars}
}

// Close ends the connection at once.
func (c *Client) Close() error { return c.Conn.Close() }

// Send sends a line.
func (c *Client) Send(line string) error { return c.SendRaw(line + "\r\n") }

// SendRaw sends exactly these bytes.
func (c *Client) SendRaw(text string) error {
	c.Conn.SetWriteDeadline(time.Now().Add(patience))
	defer c.Conn.SetWriteDeadline(time.Time{}) // a caller may write more to Conn
	_, err := io.WriteString(c.Conn, text)
	return err
}

// Line reads one line, which must end with CRLF.
func (c *Client) Line() (string, error) {
	line := ""
	err := c.Patiently(func() error {
		more, err := c.R.ReadString('\n')
		line += more
		return err
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("the server said nothing more (after %q)", line)
	case err != nil:
		return "", fmt.Errorf("read: %w (after %q)", err, line)
	case !strings.HasSuffix(line, "\r\n"):
		return "", fmt.Errorf("the line %q does not end with CRLF", line)
	}
	return line[:len(line)-2], nil
}

// Patiently runs read, which goes on where it was when the time of Conn is up,
// for as long as there is something to wait for: on a busy machine the server,
// which is often in this process, takes its time, but works.
func (c *Client) Patiently(read func() error) (err error) {
	for range 20 {
		worked := CPUTime()
		c.Conn.SetReadDeadline(time.Now().Add(patience))
		if err = read(); !errors.Is(err, os.ErrDeadlineExceeded) || CPUTime()-worked < patience/50 {
			return err
		}
	}
	return err
}

// CPUTime is how long the process has worked: what other programs do on a busy
// machine hardly changes it, unlike the time that passes.
func CPUTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Expect reads one line that must be want.
func (c *Client) Expect(want string) error {
	got, err := c.Line()
	if err != nil {
		return fmt.Errorf("want %q: %w", want, err)
	}
	if got != want {
		return fmt.Errorf("got  %q\nwant %q", got, want)
	}
	return nil
}

// Match reads one line that must match the regular expression.
func (c *Client) Match(pattern string) error {
	_, err := c.read(pattern, false)
	return err
}

// Lines reads lines up to and with one that matches.
func (c *Client) Lines(pattern string) ([]string, error) { return c.read(pattern, true) }

func (c *Client) read(pattern string, skip bool) (lines []string, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	for {
		got, err := c.Line()
		if err != nil {
			return lines, fmt.Errorf("want a match of %q: %w", pattern, err)
		}
		lines = append(lines, got)
		if m := re.FindStringSubmatch(got); m != nil {
			c.capture(re, m)
			return lines, nil
		}
		if !skip {
			return lines, fmt.Errorf("got  %q\nwant a match of %q", got, pattern)
		}
	}
}

func (c *Client) capture(re *regexp.Regexp, m []string) {
	for i, name := range re.SubexpNames() {
		if name != "" && c.Vars != nil {
			c.Vars[name] = m[i]
		}
	}
}

// Closed waits for the server to end the connection, saying nothing more.
func (c *Client) Closed() error {
	c.Conn.SetReadDeadline(time.Now().Add(patience))
	rest, err := io.ReadAll(io.LimitReader(c.R, 1000))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the server keeps the connection open")
	}
	if len(rest) > 0 {
		return fmt.Errorf("before closing the server said %q", rest)
	}
	return nil // a reset is an end too
}

// TLS starts TLS on the connection; any certificate will do.
func (c *Client) TLS(name string) error {
	if n := c.R.Buffered(); n > 0 {
		return fmt.Errorf("%d bytes of plaintext wait before TLS", n)
	}
	conn := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	conn.SetDeadline(time.Now().Add(patience))
	if err := conn.Handshake(); err != nil {
		return fmt.Errorf("begin TLS: %w", err)
	}
	c.Conn = conn
	c.R.Reset(conn)
	return nil
}

// Do runs the steps of a dialog that concern one connection.
func (c *Client) Do(st Step) error {
	switch st.Verb {
	case "C:":
		return c.Send(c.expand(st.Text, nil))
	case "C=":
		text, err := strconv.Unquote(st.Text)
		if err != nil {
			return fmt.Errorf("the text is not a Go string: %w", err)
		}
		return c.SendRaw(c.expand(text, nil))
	case "C64:":
		text, err := strconv.Unquote(`"` + st.Text + `"`)
		if err != nil {
			return fmt.Errorf("the text is not the inside of a Go string: %w", err)
		}
		return c.Send(base64.StdEncoding.EncodeToString([]byte(c.expand(text, nil))))
	case "S:":
		return c.Expect(c.expand(st.Text, nil))
	case "S~":
		return c.Match(c.expand(st.Text, regexp.QuoteMeta))
	case "S...":
		_, err := c.Lines(c.expand(st.Text, regexp.QuoteMeta))
		return err
	case "TLS":
		return c.TLS(st.Text)
	case "CLOSE":
		return c.Close()
	case "CLOSED":
		return c.Closed()
	}
	return fmt.Errorf("no verb %q", st.Verb)
}

var variable = regexp.MustCompile(`\$([A-Za-z][A-Za-z0-9_]*)|\$\{([A-Za-z][A-Za-z0-9_]*)\}`)

// expand puts in the values of variables. A name that is no variable stands
// for itself, so that $ keeps its meaning in a regular expression.
func (c *Client) expand(text string, quote func(string) string) string {
	return variable.ReplaceAllStringFunc(text, func(ref string) string {
		val, ok := c.Vars[strings.Trim(ref, "${}")]
		if !ok {
			return ref
		}
		if quote != nil {
			val = quote(val)
		}
		return val
	})
}
