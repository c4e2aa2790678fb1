// Package remotetest is an SMTP and LMTP server for tests: it takes mail into
// memory and answers as the test wants.
package remotetest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Message is what a Sink has taken.
type Message struct {
	From string   // argument of MAIL
	To   []string // arguments of accepted RCPTs
	Data string   // with dots undone
	TLS  bool
	User string // AUTH PLAIN, decoded by the test
}

// Sink is a server. Set the fields before Start.
type Sink struct {
	Greeting string        // '' is 220
	Greet    func() string // if set, gives the greeting; '' is Greeting, "drop" closes the connection
	Exts     []string      // EHLO keywords
	LMTP     bool
	TLS      *tls.Config
	Wrapped  bool // TLS before the greeting
	// Answer gives the reply to a line ("MAIL FROM:<a>", "." at the end of
	// data, "." with the recipient for LMTP); '' is the usual one, "drop"
	// closes the connection.
	Answer func(line string) string

	mu       sync.Mutex
	messages []Message
	lines    []string
	conns    int

	l    net.Listener
	wg   sync.WaitGroup
	open map[net.Conn]bool
}

// Start listens on loopback, or at the path of a socket.
func (s *Sink) Start(network, addr string) error {
	l, err := net.Listen(network, addr)
	if err != nil {
		return err
	}
	s.l, s.open = l, make(map[net.Conn]bool)
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.open[c] = true
			s.mu.Unlock()
			s.wg.Go(func() {
				s.serve(c)
				c.Close()
				s.mu.Lock()
				delete(s.open, c)
				s.mu.Unlock()
			})
		}
	})
	return nil
}

// Port is where it listens.
func (s *Sink) Port() int { return s.l.Addr().(*net.TCPAddr).Port }

// Stop closes everything and waits.
func (s *Sink) Stop() {
	s.l.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// Messages are those taken so far.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Lines are all commands seen.
func (s *Sink) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines...)
}

// Conns is how many connections came.
func (s *Sink) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// conn is one connection.
type conn struct {
	*Sink
	nc  net.Conn
	r   *bufio.Reader
	m   Message
	tls bool
}

func (s *Sink) serve(nc net.Conn) {
	c := &conn{Sink: s, nc: nc, r: bufio.NewReader(nc)}
	if s.Wrapped && !c.encrypt() {
		return
	}
	greeting := ""
	if s.Greet != nil {
		greeting = s.Greet()
	}
	if greeting == "" {
		greeting = s.Greeting
	}
	if greeting == "" {
		greeting = "220 sink.test ESMTP"
	}
	if !c.say(greeting) {
		return
	}
	for {
		nc.SetDeadline(time.Now().Add(30 * time.Second))
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
		if !c.command(line) {
			return
		}
	}
}

func (c *conn) say(reply string) bool {
	if reply == "drop" {
		return false
	}
	_, err := io.WriteString(c.nc, strings.ReplaceAll(reply, "\n", "\r\n")+"\r\n")
	return err == nil && !strings.HasPrefix(reply, "421")
}

// reply says what the test wants, or usual; ok reports whether it was 2xx or 3xx.
func (c *conn) reply(line, usual string) (goOn, ok bool) {
	text, ok := c.choose(line, usual)
	return c.say(text), ok
}

func (c *conn) choose(line, usual string) (text string, ok bool) {
	text = usual
	if c.Answer != nil {
		if own := c.Answer(line); own != "" {
			text = own
		}
	}
	return text, text[0] == '2' || text[0] == '3'
}

func (c *conn) command(line string) bool {
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO", "LHLO":
		goOn, _ := c.reply(line, c.hello())
		return goOn
	case "STARTTLS":
		return c.starttls(line)
	case "MAIL":
		c.m = Message{TLS: c.tls, User: c.m.User}
		goOn, ok := c.reply(line, "250 2.1.0 Ok")
		if ok {
			c.m.From = line[len("MAIL FROM:"):]
		}
		return goOn
	case "RCPT":
		goOn, ok := c.reply(line, "250 2.1.5 Ok")
		if ok {
			c.m.To = append(c.m.To, line[len("RCPT TO:"):])
		}
		return goOn
	case "DATA":
		return c.data(line)
	case "BDAT":
		return c.bdat(line)
	case "AUTH":
		goOn, ok := c.reply(line, "235 2.7.0 Authentication successful")
		if ok {
			c.m.User = line
		}
		return goOn
	case "QUIT":
		c.say("221 2.0.0 Bye")
		return false
	}
	goOn, _ := c.reply(line, "250 2.0.0 Ok")
	return goOn
}

func (c *conn) hello() string {
	exts := append([]string{"sink.test"}, c.Exts...)
	if c.TLS != nil && !c.tls {
		exts = append(exts, "STARTTLS")
	}
	for i := range exts {
		sep := "-"
		if i == len(exts)-1 {
			sep = " "
		}
		exts[i] = "250" + sep + exts[i]
	}
	return strings.Join(exts, "\n")
}

func (c *conn) starttls(line string) bool {
	goOn, ok := c.reply(line, "220 2.0.0 Ready to start TLS")
	if !goOn || !ok {
		return goOn
	}
	return c.encrypt()
}

func (c *conn) encrypt() bool {
	tc := tls.Server(c.nc, c.TLS)
	if err := tc.Handshake(); err != nil {
		return false
	}
	c.nc, c.r, c.tls = tc, bufio.NewReader(tc), true
	return true
}

func (c *conn) data(line string) bool {
	usual := "354 End data with <CR><LF>.<CR><LF>"
	if len(c.m.To) == 0 {
		usual = "554 5.5.1 Error: no valid recipients"
	}
	if goOn, ok := c.reply(line, usual); !goOn || !ok {
		return goOn
	}
	var b strings.Builder
	for {
		l, err := c.r.ReadString('\n')
		if err != nil {
			return false
		}
		if l == ".\r\n" {
			break
		}
		b.WriteString(strings.TrimPrefix(l, "."))
	}
	c.m.Data = b.String()
	return c.end()
}

func (c *conn) bdat(line string) bool {
	n, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
	buf := make([]byte, n)
	if _, err := io.ReadFull(c.r, buf); err != nil {
		return false
	}
	c.m.Data = string(buf)
	return c.end()
}

// end keeps the message and answers for it.
func (c *conn) end() bool {
	if !c.LMTP {
		text, ok := c.choose(".", "250 2.0.0 Ok: queued as SINK")
		if ok {
			c.keep(c.m)
		}
		return c.say(text)
	}
	taken := c.m
	taken.To = nil
	var replies []string
	for _, to := range c.m.To {
		text, ok := c.choose(". "+to, fmt.Sprintf("250 2.0.0 %s Saved", to))
		if ok {
			taken.To = append(taken.To, to)
		}
		replies = append(replies, text)
	}
	if len(taken.To) > 0 {
		c.keep(taken)
	}
	for _, text := range replies {
		if !c.say(text) {
			return false
		}
	}
	return true
}

func (c *conn) keep(m Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.messages = append(c.messages, m)
}
