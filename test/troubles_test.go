package test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/delivery/remote/remotetest"
)

// troubles makes a Sink fail at every step of a conversation in turn: one in
// so many times at each step, with one fault after the other.
type troubles struct {
	every  int
	faults []string

	mu    sync.Mutex
	steps map[string]int // how often each was reached
	made  map[string]int // faults made, "step fault"
}

// at is the answer at a step; ” is the usual one.
func (x *troubles) at(step string, never ...string) string {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.steps[step]++
	n := x.steps[step]
	if n%x.every != 0 {
		return ""
	}
	fault := x.faults[n/x.every%len(x.faults)]
	for _, f := range never {
		if strings.HasPrefix(fault, f) {
			return ""
		}
	}
	x.made[step+" "+strings.Fields(fault)[0]]++
	return fault
}

func (x *troubles) answer(line string) string {
	verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
	switch verb {
	case "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", ".":
		return x.at(verb)
	}
	return ""
}

// TestRelayThroughTroubles: signed mail goes through a host that answers 421,
// 450, 552 and drops the connection at every step in turn. Each message is
// delivered once, its bytes unchanged and its signatures holding, or, after a
// 552, comes back once.
func TestRelayThroughTroubles(t *testing.T) {
	t.Parallel()
	total, every := 90, 5
	if long() {
		total, every = 5000, 11
	}
	x := &troubles{every: every, steps: make(map[string]int), made: make(map[string]int),
		faults: []string{"421 4.3.2 closing", "450 4.2.0 later", "drop", "552 5.3.4 no room"}}
	sink := &remotetest.Sink{Exts: []string{"PIPELINING", "8BITMIME", "SIZE 20000000"}, Answer: x.answer,
		Greet: func() string { return x.at("greeting") }, TLS: &tls.Config{Certificates: []tls.Certificate{newCertificate(t)}}}
	if err := sink.Start("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sink.Stop)
	h := sampleHost(t, "")
	h.mustRun("domain", "set", "relay.example", "--transport", fmt.Sprintf("smtp:[127.0.0.1]:%d", sink.Port()))
	h.mustRun("dkim", "add", "vmail.example")
	h.mustRun("config", "set", "minimal_backoff_time=1s", "maximal_backoff_time=3s", "queue_run_delay=1s", "smtp_tls_security_level=encrypt",
		"smtp_line_length_limit=0") // bytes are compared: nothing is to be wrapped
	h.start()
	sums := h.sendSigned(total)

	left := func() int { return strings.Count(h.mustRun("queue", "list", "--json"), "queue_id") }
	for end := time.Now().Add(5 * time.Minute); left() > 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d messages are left\n%s", left(), h.log.tail(20))
		}
	}
	delivered, bounced := sink.Messages(), messages(t, h.folder("ann"))
	var all bytes.Buffer
	seen := make(map[int]int)
	for _, m := range delivered {
		if !m.TLS {
			t.Error("a message came without TLS")
		}
		i := strings.Index(m.Data, "DKIM-Signature:")
		n := numberOf(m.Data)
		if i < 0 || n < 0 {
			t.Fatalf("a message without signature or number:\n%s", m.Data)
		}
		seen[n]++
		_, body, _ := strings.Cut(m.Data, "\r\n\r\n")
		if sha256.Sum256([]byte(body)) != sums[n] {
			t.Errorf("message %d has changed", n)
		}
		fmt.Fprintf(&all, "%d\n%s", len(m.Data)-i, m.Data[i:])
	}
	for _, path := range bounced {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := numberOf(string(text)); n < 0 || !strings.Contains(string(text), "552 5.3.4 no room") {
			t.Errorf("a report without number or reason:\n%s", text)
		} else {
			seen[n]++
		}
	}
	for n := range total {
		if seen[n] != 1 {
			t.Errorf("message %d was delivered or came back %d times", n, seen[n])
		}
	}
	x.mu.Lock()
	t.Logf("%d messages: %d delivered, %d came back, %d connections; steps %v, faults %v", total, len(delivered), len(bounced), sink.Conns(), x.steps, x.made)
	for _, step := range []string{"greeting", "EHLO", "STARTTLS", "MAIL", "RCPT", "DATA", "."} {
		for _, f := range x.faults {
			if x.made[step+" "+strings.Fields(f)[0]] == 0 {
				t.Errorf("no %s at %s", strings.Fields(f)[0], step)
			}
		}
	}
	x.mu.Unlock()
	h.verifyAll(all.Bytes(), len(delivered))
}

// numberOf is that of a message of sendSigned, or of one that came back; -1: none.
func numberOf(text string) int {
	_, rest, ok := strings.Cut(text, "X-Number: ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if !ok || err != nil {
		return -1
	}
	return n
}

// sendSigned sends messages of ann's to a relay domain, over several
// connections, and gives the sums of their bodies.
func (h *host) sendSigned(total int) [][32]byte {
	h.t.Helper()
	sums := make([][32]byte, total)
	h.sendMany(total, func(s *sender, i int) error {
		body := fmt.Sprintf("number %d\r\n..dots\r\n.\r\nFrom here \t \r\n\r\n%s\r\n\r\n", i, strings.Repeat("=20 caf\xc3\xa9 ", i%300))
		sums[i] = sha256.Sum256([]byte(body))
		return s.sendFrom("ann@vmail.example", "user@relay.example", fmt.Sprintf("From: Ann <ann@vmail.example>\r\nTo: user@relay.example\r\n"+
			"Subject: number %d\r\nX-Number: %[1]d\r\n\r\n%s", i, body))
	})
	return sums
}

// sendFrom sends a text with its bytes as they are.
func (s *sender) sendFrom(from, to, text string) error {
	for _, line := range []string{"MAIL FROM:<" + from + "> BODY=8BITMIME", "RCPT TO:<" + to + ">"} {
		if err := s.cmd(250, "%s", line); err != nil {
			return err
		}
	}
	if err := s.cmd(354, "DATA"); err != nil {
		return err
	}
	s.c.W.WriteString(strings.ReplaceAll("\r\n"+text, "\r\n.", "\r\n..")[2:])
	return s.cmd(250, ".")
}

// verifyAll has dkimpy verify both signatures of n messages.
func (h *host) verifyAll(all []byte, n int) {
	h.t.Helper()
	const python = "/usr/bin/python3" // for which Debian installs dkimpy
	if out, err := exec.Command(python, "-c", "import dkim, nacl").CombinedOutput(); err != nil {
		if os.Getenv("MAILSERVER_PEERS") == "1" {
			h.t.Fatalf("dkimpy is not installed: %s", out)
		}
		h.t.Log("dkimpy is not installed: the signatures were not verified")
		return
	}
	var keys []struct{ Name, Record string }
	if err := json.Unmarshal([]byte(h.mustRun("dkim", "show", "vmail.example", "--json")), &keys); err != nil || len(keys) != 2 {
		h.t.Fatalf("%d keys, %v", len(keys), err)
	}
	file := filepath.Join(h.t.TempDir(), "messages")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		h.t.Fatal(err)
	}
	args := []string{"testdata/dkimverify.py", file, "2"}
	for _, k := range keys {
		args = append(args, k.Name, k.Record)
	}
	out, err := exec.Command(python, args...).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != fmt.Sprint("good: ", n) {
		h.t.Errorf("dkimpy: %v\n%s", err, out)
	}
}

// newCertificate signs itself.
func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"sink.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
