package renewal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"mailserver/internal/dns"
)

// answers is what the authority may ask for while an order is open.
type answers struct {
	mu    sync.Mutex // guards what follows
	files map[string]string
	certs map[string]*tls.Certificate
}

// startSolvers listens for the authority; stop ends that.
func startSolvers(cfg *Config) (solvers map[string]acmez.Solver, stop func(), err error) {
	a := &answers{files: make(map[string]string), certs: make(map[string]*tls.Certificate)}
	solvers = make(map[string]acmez.Solver)
	var ends []func()
	stop = func() {
		for _, end := range ends {
			end()
		}
	}
	switch {
	case cfg.DNSServer != "": // needs no port of ours
	case cfg.Webroot != "":
		solvers[acme.ChallengeTypeHTTP01] = webroot(cfg.Webroot)
	case cfg.HTTPAddress != "":
		end, e := a.serveHTTP(cfg.HTTPAddress)
		if e != nil {
			err = fmt.Errorf("acme_http_address: %w", e)
			break
		}
		ends = append(ends, end)
		solvers[acme.ChallengeTypeHTTP01] = httpSolver{a}
	}
	if cfg.TLSAddress != "" && cfg.DNSServer == "" {
		end, e := a.serveTLS(cfg.TLSAddress)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("acme_tls_address: %w", e))
		} else {
			ends = append(ends, end)
			solvers[acme.ChallengeTypeTLSALPN01] = tlsSolver{a}
		}
	}
	if cfg.DNSServer != "" {
		solvers[acme.ChallengeTypeDNS01] = &dnsSolver{dns.Updater{Server: cfg.DNSServer, Zone: cfg.DNSZone, Key: cfg.DNSKey}, cfg.DNSDelay}
	}
	if len(solvers) == 0 {
		return nil, nil, errors.Join(errors.New("no challenge can be answered"), err)
	}
	return solvers, stop, nil
}

const challengeTime = 10 * time.Second

// serveHTTP answers RFC 8555 §8.3, and nothing else.
func (a *answers) serveHTTP(address string) (stop func(), err error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{ReadTimeout: challengeTime, WriteTimeout: challengeTime, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			a.mu.Lock()
			text, ok := a.files[req.URL.Path]
			a.mu.Unlock()
			if !ok {
				http.NotFound(w, req)
				return
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, text)
		})}
	var done sync.WaitGroup
	done.Go(func() { srv.Serve(l) })
	return func() { srv.Close(); done.Wait() }, nil
}

// serveTLS answers RFC 8737 §3: a handshake, and nothing behind it.
func (a *answers) serveTLS(address string) (stop func(), err error) {
	l, err := tls.Listen("tcp", address, &tls.Config{NextProtos: []string{"acme-tls/1"}, MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			if c := a.certs[strings.ToLower(hello.ServerName)]; c != nil {
				return c, nil
			}
			return nil, errors.New("no challenge for that name")
		}})
	if err != nil {
		return nil, err
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(challengeTime))
				c.(*tls.Conn).Handshake()
			})
		}
	})
	return func() { l.Close(); done.Wait() }, nil
}

type httpSolver struct{ a *answers }

func (s httpSolver) Present(_ context.Context, c acme.Challenge) error {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	s.a.files[c.HTTP01ResourcePath()] = c.KeyAuthorization
	return nil
}

func (s httpSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	delete(s.a.files, c.HTTP01ResourcePath())
	return nil
}

type tlsSolver struct{ a *answers }

func (s tlsSolver) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err != nil {
		return err
	}
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	s.a.certs[strings.ToLower(c.Identifier.Value)] = cert
	return nil
}

func (s tlsSolver) CleanUp(_ context.Context, c acme.Challenge) error {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	delete(s.a.certs, strings.ToLower(c.Identifier.Value))
	return nil
}

// webroot is the directory of somebody else's web server.
type webroot string

// file is where the answer belongs. A token is base64url, RFC 8555 §8.3; the
// authority is not trusted to keep to that.
func (w webroot) file(c acme.Challenge) (string, error) {
	if c.Token == "" || strings.ContainsAny(c.Token, "/\\.\x00") {
		return "", fmt.Errorf("odd token %q", c.Token)
	}
	return filepath.Join(string(w), ".well-known", "acme-challenge", c.Token), nil
}

// Present writes the answer where others may read it.
func (w webroot) Present(_ context.Context, c acme.Challenge) error {
	path, err := w.file(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("acme_webroot: %w", err)
	}
	if err := os.WriteFile(path, []byte(c.KeyAuthorization), 0o644); err != nil {
		return fmt.Errorf("acme_webroot: %w", err)
	}
	return nil
}

// CleanUp removes the answer.
func (w webroot) CleanUp(_ context.Context, c acme.Challenge) error {
	path, err := w.file(c)
	if err != nil {
		return err
	}
	return os.Remove(path)
}
