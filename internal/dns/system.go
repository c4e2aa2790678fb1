package dns

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// settings are how to ask, of Config or resolv.conf(5).
type settings struct {
	servers  []string
	timeout  time.Duration
	attempts int
	trust    bool // options trust-ad
}

// believed reports whether a server's word that it has validated counts.
func (s *settings) believed(server string) bool {
	ap, err := netip.ParseAddrPort(server)
	return s.trust || err == nil && ap.Addr().IsLoopback()
}

// maxServers is what resolv.conf(5) allows.
const maxServers = 3

// systemConfig is resolv.conf as it was read last.
type systemConfig struct {
	mu      sync.Mutex
	checked time.Time
	changed time.Time // of the file
	set     *settings
}

// settings returns how to ask now. The file is looked at again every few
// seconds: DHCP and VPNs change it.
func (r *Resolver) settings() (*settings, error) {
	s, err := r.fromFile()
	if err != nil {
		return nil, err
	}
	set := *s
	if len(r.c.Servers) > 0 {
		set.servers = r.c.Servers
	}
	if r.c.Timeout > 0 {
		set.timeout = r.c.Timeout
	}
	if r.c.Attempts > 0 {
		set.attempts = r.c.Attempts
	}
	return &set, nil
}

func (r *Resolver) fromFile() (*settings, error) {
	c := &r.system
	c.mu.Lock()
	defer c.mu.Unlock()
	now := r.c.Now()
	if c.set != nil && now.Sub(c.checked) < 5*time.Second {
		return c.set, nil
	}
	st, err := os.Stat(r.c.File)
	if err == nil && c.set != nil && st.ModTime().Equal(c.changed) {
		c.checked = now
		return c.set, nil
	}
	set, err := readFile(r.c.File)
	if err != nil {
		return nil, err
	}
	c.set, c.checked = set, now
	if st != nil {
		c.changed = st.ModTime()
	}
	return set, nil
}

// readFile reads resolv.conf(5). Without a file, or a server in it, the
// resolver of this host is asked.
func readFile(name string) (*settings, error) {
	set := &settings{timeout: 5 * time.Second, attempts: 2}
	f, err := os.Open(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			set.line(strings.Fields(lines.Text()))
		}
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	if len(set.servers) == 0 {
		set.servers = []string{"127.0.0.1:53"}
	}
	return set, nil
}

func (s *settings) line(words []string) {
	if len(words) < 2 {
		return
	}
	switch words[0] {
	case "nameserver":
		if a, err := netip.ParseAddr(words[1]); err == nil && len(s.servers) < maxServers {
			s.servers = append(s.servers, net.JoinHostPort(a.String(), "53"))
		}
	case "options":
		s.trust = s.trust || slices.Contains(words, "trust-ad")
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, ":")
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				continue
			}
			switch name {
			case "timeout":
				s.timeout = time.Duration(min(n, 5)) * time.Second
			case "attempts":
				s.attempts = min(n, 2)
			}
		}
	}
}
