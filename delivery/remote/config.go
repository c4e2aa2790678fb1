package remote

import (
	"fmt"
	"net/netip"
	"strings"
)

// Validate names the first setting whose value cannot be obeyed.
func (c *Config) Validate() error {
	if _, err := parsePolicy("", c.TLSLevel); err != nil {
		return fmt.Errorf("setting smtp_tls_security_level: %w", err)
	}
	for _, b := range []struct{ name, addr string }{{"smtp_bind_address", c.BindAddress}, {"smtp_bind_address6", c.BindAddress6}} {
		if b.addr == "" {
			continue
		}
		if _, err := netip.ParseAddr(strings.Trim(b.addr, "[]")); err != nil {
			return fmt.Errorf("setting %s: %q is not an address", b.name, b.addr)
		}
	}
	for _, p := range c.SASLFilter {
		word := strings.TrimPrefix(p, "!")
		if strings.ContainsAny(word, ":/") && !strings.HasPrefix(word, "static:") {
			return fmt.Errorf("setting smtp_sasl_mechanism_filter: %q is a table; want names of mechanisms, !name or static:rest", p)
		}
	}
	return nil
}
