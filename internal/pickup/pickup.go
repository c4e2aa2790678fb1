// Package pickup is how sendmail(1) hands a message to the server on the same
// host: over a Unix socket that everybody may write to, where the kernel says
// who it is. A line of JSON, then as many bytes as it announces; the answer is
// a line of JSON.
package pickup

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"
)

// Socket is the path of the socket of a data directory.
func Socket(dir string) string { return filepath.Join(dir, "sendmail.sock") }

// Request is a message to take.
type Request struct {
	From     *string  `json:"from,omitempty"` // nil: whoever asks; '' the null sender
	FullName string   `json:"name,omitempty"`
	To       []string `json:"to"`
	Notify   string   `json:"notify,omitempty"`
	Ret      string   `json:"ret,omitempty"`
	EnvID    string   `json:"envid,omitempty"`
	Body     string   `json:"body,omitempty"`
	Size     int64    `json:"size"` // bytes, with CRLF line ends
	// Verify sends no message: a report of what would become of one is mailed.
	Verify bool `json:"verify,omitempty"`
}

// Reply is what became of it, in the words of SMTP.
type Reply struct {
	Code     int    `json:"code"`
	Enhanced string `json:"enhanced"`
	Text     string `json:"text"`
}

// maxLine bounds the line of a request: 1000 recipients of the greatest length
// fit in.
const maxLine = 1 << 20

// ErrSyntax says that a request is none.
var ErrSyntax = errors.New("bad request")

// ReadRequest reads the line of a request. What follows is the message.
func ReadRequest(r *bufio.Reader) (*Request, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxLine {
			return nil, fmt.Errorf("%w: longer than %d bytes", ErrSyntax, maxLine)
		}
		if err == nil {
			break
		}
		if err != bufio.ErrBufferFull {
			return nil, err
		}
	}
	req := new(Request)
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(req); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrSyntax, err)
	}
	if req.Size < 0 {
		return nil, fmt.Errorf("%w: negative size", ErrSyntax)
	}
	return req, nil
}

// patience bounds the waiting for the server: it has the message on disk when
// it answers.
const patience = 10 * time.Minute

// Send hands a message of req.Size bytes over. An error means that it was not
// taken, and nobody knows why: try again later.
func Send(ctx context.Context, socket string, req *Request, text io.Reader) (*Reply, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	line, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	_, err = conn.Write(append(line, '\n'))
	if err == nil {
		_, err = io.CopyN(conn, text, req.Size)
	}
	reply := new(Reply)
	// A server that refuses early answers, and reads no more.
	if derr := json.NewDecoder(io.LimitReader(conn, maxLine)).Decode(reply); derr != nil {
		return nil, errors.Join(err, derr)
	}
	return reply, nil
}
