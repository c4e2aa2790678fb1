package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Deps is what a Cache needs.
type Deps struct {
	// Dir keeps policies over restarts, a file for each domain; '' does not.
	Dir string
	// TXT looks up records; none is an empty list without error.
	TXT   func(ctx context.Context, name string) ([]string, error)
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error) // nil: the network
	Roots *x509.CertPool                                                    // nil: the system's
	Now   func() time.Time
}

// Cache finds policies. Safe for concurrent use.
type Cache struct {
	d    Deps
	http *http.Client

	mu    sync.Mutex // guards what follows
	known map[string]*entry
}

// entry is one domain; its lock is held while a policy is fetched.
type entry struct {
	mu     sync.Mutex
	read   bool // the file was looked for
	policy *Policy
	failed time.Time // of the last fetch
}

// Bounds of the cache, and how long a policy that could not be had is not
// asked for again.
const (
	mostKnown  = 1000
	retryAfter = 5 * time.Minute
	fetchTime  = 30 * time.Second
)

// New returns a Cache.
func New(d Deps) *Cache {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Dial == nil {
		d.Dial = new(net.Dialer).DialContext
	}
	c := &Cache{d: d, known: make(map[string]*entry)}
	c.http = &http.Client{
		Timeout: fetchTime,
		Transport: &http.Transport{DialContext: d.Dial, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
			TLSClientConfig: &tls.Config{RootCAs: d.Roots, MinVersion: tls.VersionTLS12}},
		// RFC 8461 §3.3: redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Policy returns the policy of a domain; nil if it has none, or if none could
// be had: MTA-STS protects from the second message on. A policy that was had
// is kept until it expires, whatever the DNS and the web server say meanwhile.
func (c *Cache) Policy(ctx context.Context, domain string) *Policy {
	domain = strings.ToLower(domain)
	if !isName(domain) {
		return nil
	}
	e := c.entry(domain)
	e.mu.Lock()
	defer e.mu.Unlock()
	now := c.d.Now()
	if !e.read {
		e.read, e.policy = true, c.load(domain)
	}
	if e.policy != nil && !e.policy.Expires.After(now) {
		e.policy = nil
	}
	txt, err := c.d.TXT(ctx, "_mta-sts."+domain)
	id := recordID(txt)
	if err != nil || id == "" || e.policy != nil && e.policy.ID == id || now.Sub(e.failed) < retryAfter {
		return e.policy
	}
	text, err := c.fetch(ctx, domain)
	var fresh *Policy
	if err == nil {
		fresh, err = parse(text, now)
	}
	if err != nil {
		e.failed = now
		return e.policy
	}
	fresh.ID = id
	e.policy = fresh
	c.store(domain, id, fresh.Expires, text)
	return fresh
}

// entry returns the entry of a domain.
func (c *Cache) entry(domain string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[domain]
	if !ok {
		if len(c.known) >= mostKnown {
			clear(c.known)
		}
		e = &entry{}
		c.known[domain] = e
	}
	return e
}

// fetch gets the policy file, RFC 8461 §3.3.
func (c *Cache) fetch(ctx context.Context, domain string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode != http.StatusOK:
		return "", fmt.Errorf("status %s", resp.Status)
	case kind != "text/plain":
		return "", fmt.Errorf("media type %.40q is not text/plain", kind)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, policyMost+1))
	if err == nil && len(text) > policyMost {
		err = errors.New("policy is too large")
	}
	return string(text), err
}

// isName reports whether a domain can be the name of a file and of a host.
func isName(s string) bool {
	return len(s) < 250 && strings.Contains(s, ".") && !strings.HasPrefix(s, ".") && !strings.Contains(s, "..") &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

// store keeps a policy: a line with id and time, then the text. What cannot be
// kept is had again.
func (c *Cache) store(domain, id string, expires time.Time, text string) {
	if c.d.Dir == "" || os.MkdirAll(c.d.Dir, 0o700) != nil {
		return
	}
	tmp := filepath.Join(c.d.Dir, "."+domain)
	line := fmt.Sprintf("%s %s\n", id, expires.UTC().Format(time.RFC3339))
	if os.WriteFile(tmp, []byte(line+text), 0o600) == nil {
		os.Rename(tmp, filepath.Join(c.d.Dir, domain))
	}
}

// load reads what store has kept.
func (c *Cache) load(domain string) *Policy {
	if c.d.Dir == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(c.d.Dir, domain))
	if err != nil {
		return nil
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, policyMost+200))
	line, rest, _ := strings.Cut(string(text), "\n")
	id, when, _ := strings.Cut(line, " ")
	expires, terr := time.Parse(time.RFC3339, when)
	p, perr := parse(rest, time.Time{})
	if err != nil || terr != nil || perr != nil {
		return nil
	}
	p.ID, p.Expires = id, expires
	return p
}
