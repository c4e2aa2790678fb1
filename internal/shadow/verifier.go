package shadow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The helper is asked by packets of name, NUL, password, and answers each, in
// order, with one byte.
const (
	right   = 'y'
	wrong   = 'n'
	unknown = 'e' // it cannot be said now
)

// maxQuestion bounds a packet, in bytes.
const maxQuestion = 2048

// Who could ask at will learns little by it: a wrong answer in wrongEvery, after
// the first wrongFree.
const (
	wrongEvery = 100 * time.Millisecond
	wrongFree  = 100
)

// Helper verifies passwords for the other end of a socket.
type Helper struct {
	File   string                                      // '': File
	Verify func(stored, password string) (bool, error) // of a crypt(3) string
	Now    func() time.Time                            // nil: time.Now
	Sleep  func(time.Duration)                         // nil: time.Sleep

	wrongs int // counted against the rate
	since  time.Time
}

// Serve answers until the other end is closed. One question at a time is what
// it takes of the processor and of memory.
func (h *Helper) Serve(conn net.Conn) error {
	if h.File == "" {
		h.File = File
	}
	if h.Now == nil {
		h.Now = time.Now
	}
	if h.Sleep == nil {
		h.Sleep = time.Sleep
	}
	h.since = h.Now()
	packet := make([]byte, maxQuestion)
	for {
		n, err := conn.Read(packet)
		if errors.Is(err, io.EOF) || n == 0 && err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a question: %w", err)
		}
		answer := h.answer(packet[:n])
		clear(packet[:n])
		if _, err := conn.Write([]byte{answer}); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

func (h *Helper) answer(packet []byte) byte {
	name, password, ok := bytes.Cut(packet, []byte{0})
	if !ok || len(name) == 0 || bytes.ContainsAny(name, ":/\n") {
		return h.pace(wrong)
	}
	stored, why, err := Lookup(h.File, string(name), h.Now())
	if err != nil {
		return unknown
	}
	if why != "" {
		return h.pace(wrong)
	}
	ok, err = h.Verify(stored, string(password))
	defer debug.FreeOSMemory()
	switch {
	case err != nil:
		return unknown
	case ok:
		return right
	}
	return h.pace(wrong)
}

// pace holds wrong answers to their rate.
func (h *Helper) pace(answer byte) byte {
	passed := int(h.Now().Sub(h.since) / wrongEvery)
	h.since = h.since.Add(time.Duration(passed) * wrongEvery)
	h.wrongs = max(h.wrongs-passed, 0) + 1
	if h.wrongs > wrongFree {
		h.Sleep(wrongEvery)
	}
	return answer
}

// Client asks a helper. Safe for concurrent use; nil has none.
type Client struct {
	conn net.Conn
	file string
	turn chan struct{} // holds one: who has it asks
	dead error         // guarded by turn
}

// NewClient returns a client of the helper behind conn, which reads file; ” is
// File.
func NewClient(conn net.Conn, file string) *Client {
	if file == "" {
		file = File
	}
	c := &Client{conn: conn, file: file, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c
}

// Close ends the helper.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	return c.conn.Close()
}

// Stamp changes when a password may have changed.
func (c *Client) Stamp() (string, error) { return Stamp(c.file) }

// answerTime bounds one answer. A helper that needs longer is not asked again:
// its answers could be taken for others.
const answerTime = 30 * time.Second

// Ask reports whether the password is that of the user. An error says that it
// is not known.
func (c *Client) Ask(ctx context.Context, name, password string) (bool, error) {
	if len(name)+1+len(password) > maxQuestion || strings.ContainsRune(name, 0) {
		return false, nil
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	if c.dead == nil {
		var answer byte
		if answer, c.dead = c.exchange(name + "\x00" + password); c.dead == nil {
			switch answer {
			case right:
				return true, nil
			case wrong:
				return false, nil
			}
			return false, errors.New("the helper for passwords of the system cannot say")
		}
		c.conn.Close()
	}
	return false, fmt.Errorf("the helper for passwords of the system has ended, start the server anew: %w", c.dead)
}

func (c *Client) exchange(question string) (byte, error) {
	c.conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := io.WriteString(c.conn, question); err != nil {
		return 0, err
	}
	var answer [1]byte
	_, err := io.ReadFull(c.conn, answer[:])
	return answer[0], err
}

// Pair returns the two ends of a socket for a helper.
func Pair() (server, helper *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "shadow helper"), os.NewFile(uintptr(fds[1]), "shadow"), nil
}
