package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
)

// sink takes all mail and counts it. smtp-sink(1) would need Postfix.
type sink struct {
	l net.Listener
	n atomic.Int64
}

func listenSink(port int) (*sink, error) {
	l, err := net.Listen("tcp", local(port))
	if err != nil {
		return nil, err
	}
	s := &sink{l: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(c)
		}
	}()
	return s, nil
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
