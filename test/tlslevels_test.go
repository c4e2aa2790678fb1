package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

var (
	tlsLevels = []string{"none", "may", "encrypt", "dane", "dane-only", "verify", "secure", "fingerprint"}
	tlsHosts  = []string{"right", "wrong", "expired", "selfsigned", "missing", "without"}
)

// tlsMaker makes certificates under an authority of its own.
type tlsMaker struct {
	t   *testing.T
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
	n   int64
}

func (m *tlsMaker) make(names []string, until time.Time, by *x509.Certificate) tls.Certificate {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	m.n++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(m.n), NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: until, DNSNames: names,
		Subject: pkix.Name{CommonName: "host"}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	signer := key
	switch {
	case names == nil: // the authority
		tmpl.Subject.CommonName, tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage, tmpl.ExtKeyUsage = "authority", true, true, x509.KeyUsageCertSign, nil
		by = tmpl
	case by == nil:
		by = tmpl
	default:
		signer = m.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by, &key.PublicKey, signer)
	if err != nil {
		m.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		m.t.Fatal(err)
	}
	if names == nil {
		m.ca, m.key = leaf, key
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestTLSLevelsAsPostfix: each level with each certificate; mail goes or waits,
// in Postfix's words.
func TestTLSLevelsAsPostfix(t *testing.T) {
	t.Parallel()
	need(t, "postfix")
	if !ownNetwork(t) {
		return
	}
	m := &tlsMaker{t: t}
	m.make(nil, time.Now().Add(time.Hour), nil)
	zone, policies, fingerprints := "", map[string]string{}, map[string]string{}
	sinks := make(map[string]*remotetest.Sink)
	for i, host := range tlsHosts {
		names := []string{host + ".tls.example"}
		for _, level := range tlsLevels {
			names = append(names, level+"-"+host+".example")
		}
		s := &remotetest.Sink{}
		var cert tls.Certificate
		switch host {
		case "right":
			cert = m.make(names, time.Now().Add(time.Hour), m.ca)
		case "wrong":
			cert = m.make([]string{"other.example"}, time.Now().Add(time.Hour), m.ca)
		case "expired":
			cert = m.make(names, time.Now().Add(-time.Hour), m.ca)
		case "selfsigned":
			cert = m.make(names, time.Now().Add(time.Hour), nil)
		}
		spki, full := strings.Repeat("00", 32), strings.Repeat("00", 32)
		if cert.Leaf != nil {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			spki = fmt.Sprintf("%x", sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo))
			full = fmt.Sprintf("%x", sha256.Sum256(cert.Leaf.Raw))
		}
		if host == "missing" {
			s.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none") }}
		}
		if host == "wrong" { // the key of another
			spki, full = strings.Repeat("11", 32), strings.Repeat("11", 32)
		}
		for j := 0; j < len(full); j += 2 {
			fingerprints[host] += ":" + strings.ToUpper(full[j:j+2])
		}
		fingerprints[host] = fingerprints[host][1:]
		addr := fmt.Sprintf("127.0.1.%d", 60+i)
		sinks[host] = sinkAt(t, addr+":25", s)
		zone += fmt.Sprintf("%s.tls.example. A %s\n_25._tcp.%s.tls.example. TLSA 3 1 1 %s\n", host, addr, host, spki)
		for _, level := range tlsLevels {
			zone += fmt.Sprintf("%s-%s.example. MX 10 %s.tls.example.\n", level, host, host)
			policies[level+"-"+host+".example"] = level
			if level == "fingerprint" {
				policies[level+"-"+host+".example"] += " match=" + fingerprints[host]
			}
		}
	}
	zone += "_25._tcp.plain.tls.example. TXT x\nplain.tls.example. A 127.0.1.60\n"
	for _, level := range []string{"dane", "dane-only"} { // no TLSA records
		name := level + "-norecords.example"
		zone += name + ". MX 10 plain.tls.example.\n"
		policies[name] = level
	}
	startNetwork(t, zone).Authenticate(true)
	os.WriteFile("/etc/resolv.conf", []byte("nameserver 127.0.0.1\noptions timeout:2 attempts:1 trust-ad\n"), 0o644)
	dir, err := os.MkdirTemp("", "tls-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.ca.Raw}), 0o644); err != nil {
		t.Fatal(err)
	}
	maps := "inline:{"
	for name, policy := range policies {
		maps += "{" + name + "=" + policy + "},"
	}
	conf := netPostfix(t, "smtp_tls_security_level = may\nsmtp_tls_fingerprint_digest = sha256\nsmtp_dns_support_level = dnssec\nsmtp_tls_CAfile = "+ca+"\nsmtp_tls_policy_maps = "+maps+"}\nsmtp_tls_session_cache_database =\n", "")
	var all []dsnCase
	for name := range policies {
		all = append(all, dsnCase{name: strings.TrimSuffix(name, ".example"), rcpts: []string{"u@" + name}})
	}
	give(t, "127.0.0.1:25", all)
	log := func() string {
		text, _ := os.ReadFile(filepath.Join(conf, "log"))
		return string(text)
	}
	await := func(log func() string) map[string]string {
		for end := time.Now().Add(patience); len(pipeOutcomes(strings.ReplaceAll(log(), "@back.example", ""), "-")) < len(policies) && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		}
		return pipeOutcomes(strings.ReplaceAll(log(), "@back.example", ""), "-")
	}
	theirs := await(log)
	plain := func() map[string]string {
		list := make(map[string]string)
		for _, s := range sinks {
			for _, m := range s.Messages() {
				list[strings.Trim(m.To[0], "<>")] = map[bool]string{true: " over TLS", false: " in the clear"}[m.TLS]
			}
		}
		return list
	}
	theirWays := plain()
	outside(t, "", "postfix", "-c", conf, "stop")
	h := sampleHost(t, "")
	h.mustRun("config", "set", "smtp_tls_CAfile="+ca, "smtp_tls_fingerprint_digest=sha256")
	for name, policy := range policies {
		h.sql(fmt.Sprintf("INSERT INTO TlsPolicy (tsNexthop, tsPolicy) VALUES ('%s', '%s')", name, policy))
	}
	h.start()
	give(t, h.addr(25), all)
	ours := await(func() string { return h.log.tail(5000) })
	ourWays := plain()
	for _, c := range all {
		to := "u@" + c.name + ".example"
		a, b := theirs[to]+theirWays[to], ours[to]+ourWays[to]
		if why := tlsOnPurpose[c.name]; a != b && why == "" {
			t.Errorf("%s\n  Postfix %s\n  ours    %s", c.name, a, b)
		}
	}
	t.Logf("%d cells", len(all))
	if t.Failed() {
		for line := range strings.Lines(log()) {
			if strings.Contains(line, "warning") || strings.Contains(line, "fatal") {
				t.Log(line)
			}
		}
	}
}

// tlsOnPurpose are cells that differ: docs/decisions/012-tls-to-others.md.
var tlsOnPurpose = map[string]string{"may-missing": "goes in the clear at once"}
