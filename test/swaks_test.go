package test

import (
	"crypto/tls"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// TestSwaksMechanisms: swaks with each mechanism that it and we have, and what it
// has besides is neither offered nor taken (decision 060).
func TestSwaksMechanisms(t *testing.T) {
	t.Parallel()
	need(t, "swaks")
	h := authHost(t)
	h.mustRun("config", "set", "auth_throttle=no")
	h.start()
	support, _ := outside(t, "", "swaks", "--support")
	ours := map[string]bool{"PLAIN": true, "LOGIN": true, "CRAM-MD5": true}
	list := []string{"PLAIN", "LOGIN"}
	for line := range strings.Lines(support) {
		if name, ok := strings.CutPrefix(line, "=== AUTH "); ok && strings.HasSuffix(line, " supported\n") {
			list = append(list, strings.Fields(name)[0])
		}
	}
	try := func(mechanism, user, password string) string {
		out, _ := outside(t, "", "swaks", "--server", "127.0.0.1", "--port", strconv.Itoa(h.base+587), "--tls", "--auth", mechanism, "--auth-user", user+"@vmail.example",
			"--auth-password", password, "--from", user+"@vmail.example", "--to", "joe@vmail.example", "--ehlo", "c.example")
		return out
	}
	for _, mechanism := range list {
		for password, want := range map[string]string{"pä wörd": "235 2.7.0", "wrong": "535 5.7.8"} {
			if !ours[mechanism] {
				want = "requested type not available"
			}
			out := try(mechanism, "plain", password)
			if !strings.Contains(out, want) || strings.Contains(out, "235 2.7.0") != (want == "235 2.7.0") {
				t.Errorf("%s with %q: want %s\n%s", mechanism, password, want, out)
			}
		}
	}
	if out := try("CRAM-MD5", "scram-sha-256", "pä wörd"); !strings.Contains(out, "535 5.7.8") {
		t.Errorf("CRAM-MD5 of what is stored otherwise:\n%s", out)
	}
	for _, refused := range []namedClient{"DIGEST-MD5", "NTLM", "GSSAPI", "CRAM-SHA1", "ANONYMOUS"} {
		for port, want := range map[int]string{587: "535 5.7.8 Error: authentication failed: Invalid authentication mechanism", 143: "a NO ", 110: "-ERR "} {
			conn := saslDial(t, h, port, &tls.Config{InsecureSkipVerify: true})
			if got := saslOver(t, conn, port, refused); !strings.HasPrefix(got, want) {
				t.Errorf("port %d, %s: %s", port, refused, got)
			}
			conn.Close()
		}
	}
}

// namedClient says the name of a mechanism and nothing else.
type namedClient string

func (c namedClient) Start() (string, []byte, error) { return string(c), nil, nil }

func (c namedClient) Next([]byte) ([]byte, error) { return nil, errors.New("nothing more to say") }
