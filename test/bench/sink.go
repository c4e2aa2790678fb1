package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
)

// sink takes all mail and counts it: smtp-sink(1) of Postfix, or a server here
// where there is none.
type sink struct {
	n    atomic.Int64 // messages
	stop func()
}

// listenSink starts a sink on a port of this host. It knows nothing of
// connections that an earlier one has had.
func listenSink(port int) (*sink, error) {
	if path, err := exec.LookPath("smtp-sink"); err == nil {
		return postfixSink(path, port)
	}
	l, err := net.Listen("tcp", local(port))
	if err != nil {
		return nil, err
	}
	s := new(sink)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = func() { cancel(); l.Close() }
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			context.AfterFunc(ctx, func() { c.Close() })
			go s.serve(c)
		}
	}()
	return s, nil
}

// postfixSink starts smtp-sink, which tells after each message how many it has
// had: "sess=1 quit=0 mesg=5", each over the one before.
func postfixSink(path string, port int) (*sink, error) {
	cmd := exec.Command(path, "-c", "-u", "nobody", local(port), "256")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("smtp-sink: %w", err)
	}
	s, done := new(sink), make(chan struct{})
	go func() {
		defer close(done)
		s.count(out)
		cmd.Wait()
	}()
	s.stop = func() {
		cmd.Process.Kill()
		<-done
	}
	return s, answering(local(port))
}

// count follows the counter that smtp-sink shows, to its end.
func (s *sink) count(out io.Reader) {
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\r')
		if _, n, ok := strings.Cut(line, "mesg="); ok {
			if n, bad := strconv.Atoi(strings.TrimSpace(n)); bad == nil {
				s.n.Store(int64(n))
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *sink) serve(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReaderSize(c, 64<<10), bufio.NewWriter(c)
	fmt.Fprint(w, "220 sink.example ESMTP\r\n")
	for data := false; ; {
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(string(line[:min(4, len(line))])); {
		case data && string(line) == ".\r\n":
			data = false
			s.n.Add(1)
			fmt.Fprint(w, "250 2.0.0 Ok\r\n")
		case data:
		case verb == "EHLO":
			fmt.Fprint(w, "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n")
		case verb == "DATA":
			data = true
			fmt.Fprint(w, "354 End data with <CR><LF>.<CR><LF>\r\n")
		case verb == "QUIT":
			fmt.Fprint(w, "221 2.0.0 Bye\r\n")
			w.Flush()
			return
		default:
			fmt.Fprint(w, "250 2.0.0 Ok\r\n")
		}
	}
}
