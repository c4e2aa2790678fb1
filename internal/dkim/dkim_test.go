package dkim

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

const letter = "Received: from x\r\nFrom: =?x-none?q?A?= <a@Example.org>\r\nTo: b@example.net\r\nSubject: a\r\n folded\r\nDate: now\r\n\r\n" +
	"Text  with spaces \r\n.dot\r\n\r\n\r\n"

func keys(t testing.TB, algorithms ...string) (list []Key, txt map[string]string) {
	t.Helper()
	txt = make(map[string]string)
	for _, alg := range algorithms {
		text, err := NewKey(alg)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		k := Key{"example.org", "s" + alg, s}
		if txt[Name(k.Domain, k.Selector)], err = Record(s); err != nil {
			t.Fatal(err)
		}
		if Algorithm(s) != alg {
			t.Errorf("Algorithm = %s, want %s", Algorithm(s), alg)
		}
		list = append(list, k)
	}
	return list, txt
}

func sign(t testing.TB, text string, list []Key) string {
	t.Helper()
	h, err := Inspect(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	sig, err := Sign(strings.NewReader(text), h, list)
	if err != nil {
		t.Fatal(err)
	}
	return sig + text
}

// verify returns the failures, and how many signatures there were.
func verify(t testing.TB, text string, txt map[string]string) (int, []error) {
	t.Helper()
	got, err := dkim.VerifyWithOptions(strings.NewReader(text), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if r, ok := txt[name]; ok {
			return []string{r}, nil
		}
		return nil, fmt.Errorf("no record %s", name)
	}})
	if err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, v := range got {
		if v.Err != nil {
			errs = append(errs, v.Err)
		}
	}
	return len(got), errs
}

func TestBothKeysSign(t *testing.T) {
	list, txt := keys(t, "rsa", "ed25519")
	n, errs := verify(t, sign(t, letter, list), txt)
	if n != 2 || len(errs) > 0 {
		t.Errorf("%d signatures, failures %v", n, errs)
	}
}

func TestOversigned(t *testing.T) {
	list, txt := keys(t, "ed25519")
	out := sign(t, letter, list)
	for _, field := range []string{"From: x@evil.example", "Subject: other", "Reply-To: x@evil.example", "Content-Type: text/html", "To: c@d"} {
		if _, errs := verify(t, field+"\r\n"+out, txt); len(errs) != 1 {
			t.Errorf("%s added: the signature holds", field)
		}
	}
	if _, errs := verify(t, "Received: from z\r\nList-Id: <l>\r\n"+out, txt); len(errs) != 0 {
		t.Errorf("trace and list fields break it: %v", errs)
	}
}

func TestWireForm(t *testing.T) {
	list, txt := keys(t, "ed25519")
	h, err := Inspect(strings.NewReader(letter))
	if err != nil {
		t.Fatal(err)
	}
	raw := letter + "bare\nline\rfeeds\r\r\nend\r\n"
	sig, err := Sign(io.MultiReader(strings.NewReader(raw[:len(letter)+15]), strings.NewReader(raw[len(letter)+15:])), h, list)
	if err != nil {
		t.Fatal(err)
	}
	sent := letter + "bare\r\nline feeds \r\nend\r\n"
	if n, errs := verify(t, sig+sent, txt); n != 1 || len(errs) > 0 {
		t.Errorf("as sent: %d signatures, %v", n, errs)
	}
}

func TestInspect(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct{ name, text, from string }{
		{"plain", "From: a@b.example\r\n\r\n", "b.example"},
		{"folded", "Subject: x\r\nFrom: A\r\n <a@B.example>\r\n\r\nFrom: c@d\r\n", "b.example"},
		{"long line before", "X: " + long + "\r\nFrom: a@b.example\r\n\r\n", "b.example"},
		{"long line itself", "From: \"" + long + "\" <a@b.example>\r\n\r\n", "b.example"},
		{"two fields", "From: a@b.example\r\nFrom: a@b.example\r\n\r\n", ""},
		{"two domains", "From: a@b.example, c@d.example\r\n\r\n", ""},
		{"two authors", "From: a@b.example, c@b.example\r\n\r\n", "b.example"},
		{"none", "To: a@b\r\n\r\n", ""},
		{"no address", "From: somebody\r\n\r\n", ""},
		{"no body", "From: a@b.example", "b.example"},
		{"quoted at", "From: \"x@evil.example\" <a@b.example>\r\n\r\n", "b.example"},
	} {
		h, err := Inspect(strings.NewReader(c.text))
		if err != nil || h.From != c.from {
			t.Errorf("%s: %q, %v, want %q", c.name, h.From, err, c.from)
		}
	}
	if _, err := Inspect(strings.NewReader(strings.Repeat("X: y\r\n", headerMost/6+10))); err == nil {
		t.Error("a header section without bound is taken")
	}
}

func TestSignedBy(t *testing.T) {
	list, _ := keys(t, "ed25519")
	h, err := Inspect(strings.NewReader(sign(t, letter, list)))
	if err != nil || !h.SignedBy(list) {
		t.Errorf("own signature is not seen: %v", err)
	}
	other := []Key{{Domain: "example.org", Selector: "another"}}
	if h.SignedBy(other) {
		t.Error("another selector counts as ours")
	}
}

func TestRecords(t *testing.T) {
	_, txt := keys(t, "rsa", "ed25519")
	rec := txt["srsa._domainkey.example.org"]
	line := ZoneLine("example.org", "srsa", rec)
	for _, part := range strings.Split(line, `"`) {
		if len(part) > 255 {
			t.Errorf("a string of %d bytes", len(part))
		}
	}
	if !SameKey(strings.ReplaceAll(rec, "; ", " ;"), rec) || SameKey(rec, txt["sed25519._domainkey.example.org"]) || SameKey("p=", rec) {
		t.Error("SameKey is wrong")
	}
}

// TestOtherImplementation has dkimpy check both signatures, where it is installed.
func TestOtherImplementation(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import dkim, nacl").Run(); err != nil {
		t.Skip("python3-dkim is not installed")
	}
	list, txt := keys(t, "rsa", "ed25519")
	file := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(file, []byte(sign(t, letter, list)), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "import dkim,sys,json\ntxt=json.loads(sys.argv[2])\n" +
		"def get(name, timeout=5):\n    return txt.get(name.decode().rstrip('.')).encode()\n" +
		"d=dkim.DKIM(open(sys.argv[1],'rb').read())\nprint([d.verify(idx=i, dnsfunc=get) for i in range(2)])\n"
	js := fmt.Sprintf("{%q:%q,%q:%q}", "srsa._domainkey.example.org", txt["srsa._domainkey.example.org"],
		"sed25519._domainkey.example.org", txt["sed25519._domainkey.example.org"])
	out, err := exec.Command(python, "-c", script, file, js).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "[True, True]" {
		t.Errorf("dkimpy says %s %v", out, err)
	}
}

func FuzzInspect(f *testing.F) {
	f.Add("From: a@b\r\n\r\n")
	f.Add(letter)
	f.Add("DKIM-Signature: d=x; s=y\r\nFrom:\r\n <a@b>\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Inspect(strings.NewReader(text))
		if err != nil {
			return
		}
		h.SignedBy([]Key{{Domain: "b", Selector: "y"}})
		if strings.ContainsAny(h.From, "\r\n") {
			t.Errorf("From = %q", h.From)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	list, _ := keys(b, "rsa", "ed25519")
	text := letter + strings.Repeat("A line of text that is as long as most are.\r\n", 90)
	for b.Loop() {
		sign(b, text, list)
	}
}
