package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority makes an authority and a certificate that it has signed for a
// client; file holds the authority's.
func authority(t *testing.T) (client tls.Certificate, file string) {
	t.Helper()
	made := func(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey, ca bool) ([]byte, *x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
			IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if parent == nil {
			parent, signer = tmpl, key
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return der, cert, key
	}
	caDER, ca, caKey := made("Authority", nil, nil, true)
	der, _, key := made("client.example", ca, caKey, false)
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestCertificatesOfClients(t *testing.T) {
	good, ca := authority(t)
	other, _ := authority(t)
	tests := []struct {
		name  string
		mode  TLSMode
		shown []tls.Certificate
		rows  []string
		want  string // in Received; '' the session ends
	}{
		{"not asked", May, []tls.Certificate{good}, nil, "(No client certificate requested)"},
		{"none shown", May, nil, []string{"smtpd_tls_ask_ccert=yes"}, "(No client certificate requested)"},
		{"verified", May, []tls.Certificate{good}, []string{"smtpd_tls_ask_ccert=yes"}, `(Client CN "client.example", Issuer "Authority" (verified OK))`},
		{"of another", May, []tls.Certificate{other}, []string{"smtpd_tls_ask_ccert=yes"}, `(Client CN "client.example", Issuer "Authority" (not verified))`},
		{"needed only with encrypt", May, nil, []string{"smtpd_tls_req_ccert=yes"}, "(No client certificate requested)"},
		{"needed", Encrypt, []tls.Certificate{good}, []string{"smtpd_tls_req_ccert=yes"}, "(verified OK))"},
		{"needed, none", Encrypt, nil, []string{"smtpd_tls_req_ccert=yes"}, ""},
		{"needed, of another", Encrypt, []tls.Certificate{other}, []string{"smtpd_tls_req_ccert=yes"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rows := append([]string{"smtpd_tls_cafile=" + ca, "smtpd_tls_received_header=yes"}, tt.rows...)
			in(t, ListenerOptions{TLS: tt.mode, TLSConfig: tlsConfig(t)}, rows, func(t *testing.T, w *world) {
				c := w.dial()
				c.do("EHLO x", "250-mx.example.net")
				for line := ""; !strings.HasPrefix(line, "250 "); {
					line = c.line()
				}
				c.do("STARTTLS", "220 2.0.0 Ready to start TLS")
				tc := tls.Client(c.conn.(net.Conn), &tls.Config{InsecureSkipVerify: true, Certificates: tt.shown})
				if err := tc.Handshake(); err != nil {
					t.Fatal(err)
				}
				c.conn = tc
				if tt.want == "" {
					c.closed()
					if !strings.Contains(w.logged(), "NOQUEUE: abort: TLS from client.example[192.0.2.1]: ") {
						t.Error(w.logged())
					}
					return
				}
				c.do("HELO x", "250 mx.example.net")
				c.do("MAIL FROM:<a@b.example>", "250 2.1.0 Ok")
				c.do("RCPT TO:<u@c.example>", "250 2.1.5 Ok")
				c.do("DATA", "354 End data with <CR><LF>.<CR><LF>")
				c.do("Subject: x\r\n\r\nx\r\n.", "250 2.0.0 Ok: queued as 4F3A21")
				if text := w.messages()[0].text; !strings.Contains(text, tt.want) {
					t.Errorf("%s\nlacks %s\n%s", text, tt.want, w.logged())
				}
			})
		})
	}
}
