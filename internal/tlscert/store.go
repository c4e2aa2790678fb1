// Package tlscert picks the certificate of a TLS handshake and reads it from
// its files, again when they change: a renewed certificate is used by the next
// handshake, without a restart.
package tlscert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrNone says that there is no certificate to show.
var ErrNone = errors.New("no certificate")

// ErrSoon says that a certificate is good, and runs out within Soon.
var ErrSoon = errors.New("it is time to renew it")

// Soon is how long before its end a certificate is named by Check.
const Soon = 14 * 24 * time.Hour

// Row names a certificate; file names are relative to the data directory.
type Row struct {
	Num      int64
	Hostname string // may begin with "*."
	CertFile string
	KeyFile  string
}

// Store reads and keeps certificates. Safe for concurrent use.
type Store struct {
	dir  string
	rows func(context.Context) ([]Row, error)
	log  *slog.Logger

	mu    sync.Mutex // guards pairs
	pairs map[string]*pair
}

// pair is a certificate with the state of its files when it was read.
type pair struct {
	cert  *tls.Certificate
	stamp stamp
}

// stamp tells whether a file is still the one that was read.
type stamp struct {
	certTime, keyTime time.Time
	certSize, keySize int64
}

// New returns a Store; rows gives the certificates as they are now.
func New(dir string, rows func(context.Context) ([]Row, error), log *slog.Logger) *Store {
	return &Store{dir: dir, rows: rows, log: log, pairs: make(map[string]*pair)}
}

// Check reads every certificate and returns what is wrong with each: files
// that cannot be read, a key of another certificate, a certificate that has run
// out or is for another name. ErrSoon is a warning.
func (s *Store) Check(ctx context.Context, now time.Time) (map[string]error, error) {
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	bad := make(map[string]error)
	for _, r := range rows {
		if err := s.checkRow(r, now); err != nil {
			if old := bad[r.Hostname]; old == nil || errors.Is(old, ErrSoon) {
				bad[r.Hostname] = err
			}
		}
	}
	return bad, nil
}

func (s *Store) checkRow(r Row, now time.Time) error {
	c, err := s.load(r)
	if err != nil {
		return err
	}
	leaf := c.Leaf
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("certificate %s ran out on %s", r.CertFile, leaf.NotAfter.Format(time.DateOnly))
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("certificate %s holds from %s only", r.CertFile, leaf.NotBefore.Format(time.DateOnly))
	}
	if err := leaf.VerifyHostname(strings.Replace(r.Hostname, "*.", "any.", 1)); err != nil {
		return err
	}
	if leaf.NotAfter.Sub(now) < Soon {
		return fmt.Errorf("certificate %s runs out on %s: %w", r.CertFile, leaf.NotAfter.Format(time.DateOnly), ErrSoon)
	}
	return nil
}

// Pick returns the certificate of the row with that number; with 0, or without
// such a row, the one for the server name that the client asks for, and the
// first row when none fits. ErrNone when there are no rows.
func (s *Store) Pick(ctx context.Context, num int64, name string) (*tls.Certificate, error) {
	rows, err := s.rows(ctx)
	if err != nil {
		return nil, err
	}
	r, ok := choose(rows, num, name)
	if !ok {
		return nil, ErrNone
	}
	return s.load(r)
}

// choose returns the row with that number, else the one for that name, else
// the first.
func choose(rows []Row, num int64, name string) (Row, bool) {
	_, parent, _ := strings.Cut(name, ".")
	best, rank := Row{}, 0
	for _, r := range rows {
		have := 1
		switch {
		case num != 0 && r.Num == num:
			have = 4
		case name != "" && strings.EqualFold(r.Hostname, name):
			have = 3
		case parent != "" && strings.EqualFold(r.Hostname, "*."+parent):
			have = 2
		}
		if have > rank {
			best, rank = r, have
		}
	}
	return best, rank > 0
}

// load returns the certificate of a row. When changed files cannot be read, a
// renewal may be half way: the old certificate is shown.
func (s *Store) load(r Row) (*tls.Certificate, error) {
	certFile, keyFile := s.path(r.CertFile), s.path(r.KeyFile)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.pairs[certFile]
	now, err := stampOf(certFile, keyFile)
	if err == nil && old != nil && old.stamp == now {
		return old.cert, nil
	}
	var cert tls.Certificate
	if err == nil {
		cert, err = tls.LoadX509KeyPair(certFile, keyFile)
	}
	if err != nil {
		err = fmt.Errorf("read certificate of %s: %w", r.Hostname, err)
		if old == nil {
			return nil, err
		}
		s.log.Warn("renewed certificate is not usable", "err", err)
		return old.cert, nil
	}
	s.pairs[certFile] = &pair{&cert, now}
	return &cert, nil
}

func (s *Store) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.dir, name)
}

func stampOf(certFile, keyFile string) (stamp, error) {
	c, err := os.Stat(certFile)
	if err != nil {
		return stamp{}, err
	}
	k, err := os.Stat(keyFile)
	if err != nil {
		return stamp{}, err
	}
	return stamp{c.ModTime(), k.ModTime(), c.Size(), k.Size()}, nil
}
