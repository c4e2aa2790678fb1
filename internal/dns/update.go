package dns

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Updater changes records of a zone at its primary server, RFC 2136, with a
// key that both know, RFC 8945.
type Updater struct {
	Server string // host, or host:port
	Zone   string // '': the server is asked
	Key    string // as nsupdate -y: [hmac-sha256:]name:secret in base64; '': none
}

// updateTime bounds one question to the server.
const updateTime = 15 * time.Second

// ParseKey returns what is wrong with a key; nil if nothing is.
func ParseKey(key string) error {
	_, _, _, err := splitKey(key)
	return err
}

func splitKey(key string) (name, algorithm, secret string, err error) {
	parts := strings.Split(key, ":")
	algorithm = dns.HmacSHA256
	if len(parts) == 3 {
		algorithm = dns.CanonicalName(parts[0])
		parts = parts[1:]
	}
	switch {
	case len(parts) != 2 || parts[0] == "":
		return "", "", "", errors.New("a key is [ALGORITHM:]NAME:SECRET")
	case algorithm != dns.HmacSHA1 && algorithm != dns.HmacSHA224 && algorithm != dns.HmacSHA256 && algorithm != dns.HmacSHA384 && algorithm != dns.HmacSHA512:
		return "", "", "", fmt.Errorf("a key of %s: it may be hmac-sha256, -sha512, -sha384, -sha224, -sha1", strings.TrimSuffix(algorithm, "."))
	}
	if raw, err := base64.StdEncoding.DecodeString(parts[1]); err != nil || len(raw) == 0 {
		return "", "", "", errors.New("the secret of the key is not base64")
	}
	return dns.CanonicalName(parts[0]), algorithm, parts[1], nil
}

// AddTXT adds a text to a name, for others to keep at most ttl.
func (u *Updater) AddTXT(ctx context.Context, name, text string, ttl time.Duration) error {
	return u.change(ctx, name, text, ttl, (*dns.Msg).Insert)
}

// RemoveTXT removes that text alone.
func (u *Updater) RemoveTXT(ctx context.Context, name, text string) error {
	return u.change(ctx, name, text, 0, (*dns.Msg).Remove)
}

func (u *Updater) change(ctx context.Context, name, text string, ttl time.Duration, add func(*dns.Msg, []dns.RR)) error {
	zone, err := u.zone(ctx, name)
	if err != nil {
		return err
	}
	m := new(dns.Msg)
	m.SetUpdate(zone)
	add(m, []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: dns.Fqdn(name), Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)}, Txt: []string{text}}})
	r, err := u.exchange(ctx, m)
	if err == nil && r.Rcode != dns.RcodeSuccess {
		err = fmt.Errorf("the server says %s", dns.RcodeToString[r.Rcode])
	}
	if err != nil {
		return fmt.Errorf("update %s at %s: %w", name, u.Server, err)
	}
	return nil
}

// zone asks for the zone of a name: its SOA record comes with any answer about
// the name, RFC 2308 §3.
func (u *Updater) zone(ctx context.Context, name string) (string, error) {
	if u.Zone != "" {
		return dns.Fqdn(u.Zone), nil
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeSOA)
	r, err := u.exchange(ctx, m)
	if err != nil {
		return "", fmt.Errorf("find the zone of %s at %s: %w", name, u.Server, err)
	}
	for _, rr := range append(r.Answer, r.Ns...) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)) {
			return soa.Hdr.Name, nil
		}
	}
	return "", fmt.Errorf("%s has no zone for %s", u.Server, name)
}

func (u *Updater) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	c := &dns.Client{Net: "tcp", Timeout: updateTime}
	if u.Key != "" {
		name, algorithm, secret, err := splitKey(u.Key)
		if err != nil {
			return nil, err
		}
		c.TsigSecret = map[string]string{name: secret}
		m.SetTsig(name, algorithm, 300, time.Now().Unix())
	}
	server := u.Server
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	r, _, err := c.ExchangeContext(ctx, m, server)
	return r, err
}
