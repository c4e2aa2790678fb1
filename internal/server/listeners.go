package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"

	"mailserver/internal/listen"
	"mailserver/schema"
)

// edge speaks a protocol on any number of listeners.
type edge interface {
	Serve(ctx context.Context, l net.Listener, row schema.Listener) error
	Shutdown(ctx context.Context) error
}

// listeners are the rows of Listener that have a socket now.
type listeners struct {
	edges     map[string]edge // by protocol
	proxies   func(context.Context) (*listen.Config, error)
	inherited *listen.Inherited
	log       *slog.Logger

	mu    sync.Mutex // guards what follows
	bound map[int64]*bound
	told  map[string]bool // failures already logged

	lacking int            // rows that could not be bound
	done    sync.WaitGroup // the Serve calls
}

// bound is a row with its socket.
type bound struct {
	row schema.Listener
	l   net.Listener
}

func newListeners(edges map[string]edge, proxies func(context.Context) (*listen.Config, error), log *slog.Logger) *listeners {
	return &listeners{edges: edges, proxies: proxies, inherited: listen.Inherit(os.Getenv), log: log, bound: make(map[int64]*bound), told: make(map[string]bool)}
}

// match makes the sockets those of the rows: a new row is bound and served, a
// changed one bound anew, the socket of one that is gone is closed while its
// sessions go on. It goes on past a row that cannot be bound, and returns all
// such errors.
func (ls *listeners) match(ctx context.Context, rows []schema.Listener) error {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	want := make(map[int64]schema.Listener, len(rows))
	for _, r := range rows {
		want[r.Num] = r
	}
	for num, b := range ls.bound {
		if want[num] != b.row {
			ls.log.Info("stopped listening", "protocol", b.row.Protocol, "address", b.l.Addr().String())
			b.l.Close()
			delete(ls.bound, num)
		}
	}
	var errs []error
	for _, r := range rows {
		if _, ok := ls.bound[r.Num]; ok {
			continue
		}
		if err := ls.bind(ctx, r); err != nil {
			errs = append(errs, err)
		}
	}
	ls.lacking = len(errs)
	return errors.Join(errs...)
}

// bind opens the socket of a row and serves it. The caller holds ls.mu.
func (ls *listeners) bind(ctx context.Context, row schema.Listener) error {
	e, ok := ls.edges[row.Protocol]
	if !ok {
		return fmt.Errorf("%w: listener %s: this server does not speak %s yet", ErrConfig, row.Address, row.Protocol)
	}
	l, err := ls.socket(ctx, row)
	if err != nil {
		return fmt.Errorf("listener of %s: %w", row.Protocol, err)
	}
	ls.bound[row.Num] = &bound{row, l}
	ls.log.Info("listening", "protocol", row.Protocol, "address", l.Addr().String(), "tls", row.TLS)
	ls.done.Go(func() {
		if err := e.Serve(ctx, l, row); err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
			ls.log.Debug("listener ended", "protocol", row.Protocol, "address", row.Address, "err", err)
		}
	})
	return nil
}

// socket is what systemd has opened for a row, or a new one.
func (ls *listeners) socket(ctx context.Context, row schema.Listener) (net.Listener, error) {
	l := ls.inherited.Find(row.Address)
	if l == nil {
		var err error
		if l, err = (listen.Socket{Address: row.Address, Interface: row.Interface, Mode: row.Mode}).Listen(ctx); err != nil {
			return nil, err
		}
	}
	if row.Proxy {
		l = listen.Behind(l, func() (*listen.Config, error) { return ls.proxies(context.WithoutCancel(ctx)) }, ls.log)
	}
	return l, nil
}

// unix:path listeners are the only ones without a port; addr finds the socket
// of a row.
func (ls *listeners) addr(num int64) net.Addr {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if b, ok := ls.bound[num]; ok {
		return b.l.Addr()
	}
	return nil
}

// certOf returns the certificate number that the listener of a connection
// names, by the address that the client has reached.
func (ls *listeners) certOf(local net.Addr) int64 {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, b := range ls.bound {
		if b.row.CertNum != 0 && sameSocket(b.l.Addr(), local) {
			return b.row.CertNum
		}
	}
	return 0
}

// sameSocket: a listener on all addresses has an unspecified one.
func sameSocket(listener, local net.Addr) bool {
	a, ok := listener.(*net.TCPAddr)
	b, ok2 := local.(*net.TCPAddr)
	if !ok || !ok2 {
		return listener.String() == local.String()
	}
	return a.Port == b.Port && (a.IP.IsUnspecified() || a.IP.Equal(b.IP))
}

// tell logs a failure that lasts once.
func (ls *listeners) tell(err error) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if err == nil {
		clear(ls.told)
		return
	}
	if !ls.told[err.Error()] {
		clear(ls.told)
		ls.told[err.Error()] = true
		ls.log.Error("cannot listen", "err", err)
	}
}

// missing is how many rows have no socket.
func (ls *listeners) missing() int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.lacking
}
