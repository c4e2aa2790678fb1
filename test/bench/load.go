package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// load is mail to send: messages over sessions, each a connection that is kept,
// or one for each message.
type load struct {
	sessions, messages, size int
	connectionEach           bool
	to                       func(i int) []string
	from                     string
}

// client is an SMTP client that sends envelopes in one piece (PIPELINING).
type client struct {
	c net.Conn
	r *bufio.Reader
}

func dialSMTP(address string) (*client, error) {
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &client{conn, bufio.NewReaderSize(conn, 4096)}
	if err := c.replies("2"); err != nil {
		return nil, err
	}
	return c, c.say("EHLO client.example\r\n", "2")
}

// say writes and reads as many replies as there are wanted first digits.
func (c *client) say(text, want string) error {
	c.c.SetDeadline(time.Now().Add(2 * time.Minute))
	if _, err := c.c.Write([]byte(text)); err != nil {
		return err
	}
	return c.replies(want)
}

func (c *client) replies(want string) error {
	for i := 0; i < len(want); {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[0] != want[i] {
			return fmt.Errorf("reply %q", line)
		}
		if line[3] != '-' {
			i++
		}
	}
	return nil
}

// send sends a message; the text ends in CRLF.
func (c *client) send(from string, to []string, text string) error {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + from + ">\r\n")
	for _, r := range to {
		b.WriteString("RCPT TO:<" + r + ">\r\n")
	}
	b.WriteString("DATA\r\n")
	if err := c.say(b.String(), strings.Repeat("2", 1+len(to))+"3"); err != nil {
		return err
	}
	return c.say(text+".\r\n", "2")
}

func (c *client) quit() {
	c.say("QUIT\r\n", "2")
	c.c.Close()
}

// run sends all of it. It gives how long each message took from MAIL to the
// last reply, in milliseconds.
func (l load) run(address string) ([]float64, error) {
	body := "\r\n\r\n" + strings.Repeat(strings.Repeat("bulk ", 14)+"\r\n", max(1, (l.size-300)/72))
	var (
		next  atomic.Int64
		mu    sync.Mutex
		waits []float64
		first error
		wg    sync.WaitGroup
	)
	for range l.sessions {
		wg.Go(func() {
			mine, err := l.session(address, body, func() int { return int(next.Add(1)) - 1 })
			mu.Lock()
			defer mu.Unlock()
			waits = append(waits, mine...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	slices.Sort(waits)
	return waits, first
}

func (l load) session(address, body string, next func() int) (waits []float64, err error) {
	var c *client
	for i := next(); i < l.messages; i = next() {
		if c == nil {
			if c, err = dialSMTP(address); err != nil {
				return waits, err
			}
		}
		to, begun := l.to(i), time.Now()
		head := fmt.Sprintf("Date: %s\r\nFrom: <%s>\r\nTo: <%s>\r\nSubject: load message %d\r\nMessage-ID: <%d.%d@load.example>", begun.Format(time.RFC1123Z), l.from, to[0], i, i, begun.UnixNano())
		if err := c.send(l.from, to, head+body); err != nil {
			c.c.Close()
			return waits, err
		}
		waits = append(waits, float64(time.Since(begun).Microseconds())/1000)
		if l.connectionEach {
			c.quit()
			c = nil
		}
	}
	if c != nil {
		c.quit()
	}
	return waits, nil
}

// at is the p-th part of a sorted list.
func at(sorted []float64, p float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}
