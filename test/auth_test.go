package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// authHost is a host with all mechanisms, and a user for each form of stored
// password; the password of all is "pä wörd".
func authHost(t *testing.T) *host {
	t.Helper()
	h := sampleHost(t, "")
	for _, scheme := range []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "DES-CRYPT"} {
		stored := "{DES-CRYPT}abJdSIcUYFESw" // pä$$ wörd
		if scheme != "DES-CRYPT" {
			out, err := h.run("pä wörd", "pw", "hash", "--scheme", scheme)
			if err != nil {
				t.Fatal(out)
			}
			stored = strings.TrimSpace(out)
		}
		h.mustRun("mailbox", "add", strings.ToLower(scheme)+"@vmail.example")
		h.sql(fmt.Sprintf(`UPDATE VMailbox SET vmPasswd = '%s' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = '%s')`, stored, scheme))
	}
	h.mustRun("config", "set", "auth_mechanisms=scram-sha-256-plus scram-sha-256 scram-sha-1-plus scram-sha-1 external cram-md5 plain login")
	return h
}

func TestMechanismsOfCurlAndSwaks(t *testing.T) {
	t.Parallel()
	h := authHost(t)
	caFile, certFile, keyFile := clientCertificate(t, "plain@vmail.example")
	h.mustRun("config", "set", "ssl_client_ca_file="+caFile)
	h.start()
	for _, tt := range []struct {
		user, mechanism string
		more            []string
		fail            bool
	}{
		{"plain", "PLAIN", nil, false}, {"plain", "LOGIN", nil, false}, {"plain", "CRAM-MD5", nil, false}, {"cram-md5", "CRAM-MD5", nil, false},
		{"scram-sha-256", "PLAIN", nil, false}, {"scram-sha-1", "LOGIN", nil, false}, {"cram-md5", "PLAIN", nil, false},
		{"scram-sha-256", "CRAM-MD5", nil, true},
		{"plain", "EXTERNAL", []string{"--cert", certFile, "--key", keyFile}, false},
		{"cram-md5", "EXTERNAL", []string{"--cert", certFile, "--key", keyFile}, true},
		{"plain", "EXTERNAL", nil, true},
	} {
		password := ":pä wörd"
		if tt.mechanism == "EXTERNAL" {
			password = ":"
		}
		args := append([]string{"-sS", "-k", "--ssl-reqd", "--login-options", "AUTH=" + tt.mechanism, "--user", tt.user + "@vmail.example" + password}, tt.more...)
		for _, url := range []string{"imap://" + h.addr(143) + "/", "imaps://" + h.addr(993) + "/", "smtp://" + h.addr(587), "smtps://" + h.addr(465)} {
			all := append(slices.Clone(args), url)
			if strings.HasPrefix(url, "smtp") {
				all = append(all, "--mail-from", tt.user+"@vmail.example", "--mail-rcpt", "joe@vmail.example", "--upload-file", smallMail(t))
			}
			if out, err := outside(t, "", "curl", all...); (err != nil) != tt.fail {
				t.Errorf("%s %s %s: %v %s\n%s", tt.user, tt.mechanism, url, err, out, h.log.tail(3))
			}
		}
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		out, err := outside(t, "", "swaks", "--server", "127.0.0.1", "--port", strconv.Itoa(h.base+587), "--tls", "--auth", mechanism,
			"--auth-user", "plain@vmail.example", "--auth-password", "pä wörd", "--from", "plain@vmail.example", "--to", "joe@vmail.example", "--ehlo", "c.example")
		if err != nil || !strings.Contains(out, "235 2.7.0") {
			t.Errorf("swaks %s: %v\n%s", mechanism, err, out)
		}
	}
	out, err := outside(t, "", "python3", "-c", fmt.Sprintf(`
import imaplib, smtplib, ssl
c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE
m = imaplib.IMAP4_SSL("127.0.0.1", %d, ssl_context=c)
m.login_cram_md5("joe@vmail.example", "joes-secret")
s = smtplib.SMTP_SSL("127.0.0.1", %d, context=c); s.ehlo()
s.user, s.password = "joe@vmail.example", "joes-secret"
print(s.auth("CRAM-MD5", s.auth_cram_md5), "all well")`, h.base+993, h.base+465))
	if err != nil || !strings.Contains(out, "all well") {
		t.Errorf("python: %v\n%s", err, out)
	}
	h.check()
}

func smallMail(t *testing.T) string {
	file := filepath.Join(t.TempDir(), "mail.txt")
	if err := os.WriteFile(file, message("auth", "a log-in", "x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestMbsyncMechanisms logs in by the mechanisms of Cyrus SASL.
func TestMbsyncMechanisms(t *testing.T) {
	need(t, "mbsync")
	h := authHost(t)
	h.start()
	for _, tt := range []struct {
		user, mechanism string
		fail            bool
	}{
		{"plain", "SCRAM-SHA-256", false}, {"scram-sha-256", "SCRAM-SHA-256", false}, {"scram-sha-1", "SCRAM-SHA-1", false},
		{"plain", "CRAM-MD5", false}, {"cram-md5", "CRAM-MD5", false}, {"scram-sha-1", "PLAIN", false}, {"plain", "LOGIN", false},
		{"cram-md5", "SCRAM-SHA-256", true},
	} {
		tree := t.TempDir()
		rc := filepath.Join(tree, "rc")
		conf := fmt.Sprintf("IMAPAccount a\nHost 127.0.0.1\nPort %d\nUser %s@vmail.example\nPass \"pä wörd\"\nSSLType IMAPS\nAuthMechs %s\nCertificateFile %s/tls/%s\n\n"+
			"IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/near/\nInbox %s/near/INBOX\n\nChannel c\nFar :far:\nNear :near:\nPatterns *\n",
			h.base+993, tt.user, tt.mechanism, h.dir, certOf(t, h), tree, tree)
		if err := os.WriteFile(rc, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(tree, "near"), 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := outside(t, "", "mbsync", "-l", "-V", "-c", rc, "c")
		if (err != nil) != tt.fail {
			t.Errorf("%s by %s: %v\n%s\n%s", tt.user, tt.mechanism, err, out, h.log.tail(3))
		}
	}
}

// certOf is the certificate that init has made.
func certOf(t *testing.T, h *host) string {
	files, err := filepath.Glob(filepath.Join(h.dir, "tls", "*.crt"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	return filepath.Base(files[0])
}

// clientCertificate makes a CA and a certificate for a name, in files.
func clientCertificate(t *testing.T, name string) (caFile, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	var parent *x509.Certificate
	var signer *ecdsa.PrivateKey
	for i, cn := range []string{"Test CA", name} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour),
			NotAfter: time.Now().Add(time.Hour), IsCA: i == 0, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if i == 0 {
			parent, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		certFile, keyFile = filepath.Join(dir, fmt.Sprint(i, ".pem")), filepath.Join(dir, fmt.Sprint(i, ".key"))
		for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return filepath.Join(dir, "0.pem"), certFile, keyFile
}
