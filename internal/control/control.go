// Package control is how commands of the program talk to the server that runs:
// HTTP over a socket in the data directory, which only its owner may open.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"time"
)

// Socket is the socket of a data directory.
func Socket(dir string) string { return filepath.Join(dir, "control.sock") }

// ErrNotRunning says that no server answers on the data directory.
var ErrNotRunning = errors.New("no server runs on this data directory")

// maxAnswer bounds what a command reads.
const maxAnswer = 64 << 20

// NewServer returns a server for control sockets and for http listeners:
// nothing that a stranger sends is read for long.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10}
}

// Do asks the server that runs on a data directory: method GET or POST, path
// with a query. The answer, JSON, goes to into; nil throws it away.
func Do(ctx context.Context, dir, method, path string, into any) error {
	body, err := Get(ctx, dir, method, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(body).Decode(into); err != nil {
		return fmt.Errorf("answer of the server: %w", err)
	}
	return nil
}

// Get is Do for an answer that is read as it is. Close it.
func Get(ctx context.Context, dir, method, path string) (io.ReadCloser, error) {
	var d net.Dialer
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", Socket(dir))
	}}}
	req, err := http.NewRequestWithContext(ctx, method, "http://server"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return nil, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return nil, fmt.Errorf("the server answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxAnswer), resp.Body}, nil
}
