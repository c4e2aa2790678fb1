package arc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailserver/internal/dkim"
)

// group is a part of the suite in testdata.
type group struct {
	Description string                       `json:"description"`
	TXT         map[string]string            `json:"txt"`
	Domain      string                       `json:"domain"`
	Selector    string                       `json:"sel"`
	PrivateKey  string                       `json:"privatekey"`
	Tests       map[string]map[string]string `json:"tests"`
}

func groups(t *testing.T, file string) (list []group) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(text, &list)
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func lookup(txt map[string]string) Lookup {
	return func(name string) ([]string, error) {
		if text, ok := txt[name]; ok {
			return []string{text}, nil
		}
		return nil, &net.DNSError{Name: name, Err: "no such host", IsNotFound: true}
	}
}

func TestPublicSuiteOfValidation(t *testing.T) {
	count := 0
	for _, g := range groups(t, "validation.json") {
		for name, c := range g.Tests {
			count++
			want := strings.ToLower(c["cv"])
			if want == "" {
				want = Fail // the draft let it open; RFC 8617 §5.2 step 2 does not
			}
			got, err := Verify(strings.NewReader(strings.ReplaceAll(c["message"], "\n", "\r\n")), lookup(g.TXT))
			if err != nil || got.Result != want {
				t.Errorf("%s, %s: %+v, %v; want %s", name, c["description"], got, err, want)
			}
		}
	}
	if count < 160 {
		t.Errorf("only %d cases", count)
	}
}

func TestPublicSuiteOfSealing(t *testing.T) {
	for _, file := range []string{"signing.json"} {
		for _, g := range groups(t, file) {
			signer, err := dkim.ParseKey(g.PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			for name, c := range g.Tests {
				at, _ := strconv.ParseInt(c["t"], 10, 64)
				s := Sealer{Key: dkim.Key{Domain: g.Domain, Selector: g.Selector, Signer: signer}, AuthservID: c["srv-id"], whole: true,
					Now: func() time.Time { return time.Unix(at, 0) }}
				got := suiteSeal(t, &s, g, c)
				for _, f := range []struct{ name, want string }{
					{"ARC-Seal", c["AS"]}, {"ARC-Message-Signature", c["AMS"]}, {"ARC-Authentication-Results", c["AAR"]},
				} {
					if spaceless(got[strings.ToLower(f.name)]) != spaceless(f.want) {
						t.Errorf("%s, %s: %s\n%s, want\n%s", file, name, f.name, got[strings.ToLower(f.name)], f.want)
					}
				}
			}
		}
	}
}

func suiteSeal(t *testing.T, s *Sealer, g group, c map[string]string) map[string]string {
	t.Helper()
	text := strings.ReplaceAll(c["message"], "\n", "\r\n")
	chain, err := Verify(strings.NewReader(text), lookup(g.TXT))
	if err != nil {
		t.Fatal(err)
	}
	set, err := s.seal(strings.NewReader(text), chain, strings.Split(c["sig-headers"], ":"))
	if err != nil && !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
	fields := make(map[string]string)
	head, _, _ := readHeader(strings.NewReader(set))
	for _, f := range head {
		fields[f.name] = f.value()
	}
	return fields
}

func spaceless(s string) string { return strings.TrimSuffix(strings.Join(strings.Fields(s), ""), ";") }

// host is a way station with a key of each algorithm.
func host(t testing.TB, alg, domain string, txt map[string]string) *Sealer {
	t.Helper()
	text, err := dkim.NewKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	key, err := dkim.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if txt[dkim.Name(domain, "s")], err = dkim.Record(key); err != nil {
		t.Fatal(err)
	}
	return &Sealer{Key: dkim.Key{Domain: domain, Selector: "s", Signer: key}, AuthservID: "mx." + domain}
}

const letter = "From: a@example.org\r\nTo: b@example.net\r\nSubject: list  mail\r\nContent-Type: text/plain;\r\n\tcharset=utf-8\r\n\r\nHello \r\n\r\n.\r\n\r\n"

func pass(t testing.TB, s *Sealer, text string, txt map[string]string) string {
	t.Helper()
	chain, err := Verify(strings.NewReader(text), lookup(txt))
	if err != nil {
		t.Fatal(err)
	}
	text = "Authentication-Results: " + s.AuthservID + ";\r\n\tspf=pass; arc=" + chain.Result + "\r\n" + text
	set, err := s.Seal(strings.NewReader(text), chain)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(set, "\r\n") {
		if len(line) > 100 {
			t.Errorf("a line of %d bytes: %s", len(line), line)
		}
	}
	return set + "Received: from x by " + s.AuthservID + "\r\n" + text
}

func TestChainOfHosts(t *testing.T) {
	txt := make(map[string]string)
	text := letter
	for i, alg := range []string{"rsa", "ed25519", "rsa"} {
		text = pass(t, host(t, alg, fmt.Sprintf("h%d.example", i), txt), text, txt)
		chain, err := Verify(strings.NewReader(text), lookup(txt))
		if err != nil || chain.Result != Pass || len(chain.Sets) != i+1 {
			t.Fatalf("behind host %d: %+v, %v", i, chain, err)
		}
	}
	chain, _ := Verify(strings.NewReader(text), lookup(txt))
	if s := chain.Sets[1]; s != (Set{Instance: 2, Domain: "h1.example", Selector: "s", Results: "mx.h1.example; spf=pass; arc=pass"}) {
		t.Errorf("set 2 = %+v", s)
	}
	for _, c := range []struct{ name, old, new string }{
		{"body", "Hello", "Hallo"},
		{"subject", "list  mail", "[list] mail"},
		{"author", "From: a@", "From: x@"},
		{"second author", "From: a@", "From: x@example\r\nFrom: a@"},
		{"results", "spf=pass", "spf=fail"},
		{"seal taken out", "ARC-Seal: a=ed", "X-Seal: a=ed"},
	} {
		if bad, _ := Verify(strings.NewReader(strings.Replace(text, c.old, c.new, 1)), lookup(txt)); bad.Result != Fail || bad.Why == "" {
			t.Errorf("%s changed: %+v", c.name, bad)
		}
	}
	if same, _ := Verify(strings.NewReader(strings.Replace(text, "list  mail", "list mail", 1)), lookup(txt)); same.Result != Pass {
		t.Errorf("white space changed: %+v", same)
	}
}

func TestAFailedChainIsSealedOnceMore(t *testing.T) {
	txt := make(map[string]string)
	text := strings.Replace(pass(t, host(t, "ed25519", "a.example", txt), letter, txt), "Hello", "Hi", 1)
	text = pass(t, host(t, "ed25519", "b.example", txt), text, txt)
	chain, _ := Verify(strings.NewReader(text), lookup(txt))
	if chain.Result != Fail || !chain.ended {
		t.Errorf("chain %+v", chain)
	}
	if _, err := host(t, "ed25519", "c.example", txt).Seal(strings.NewReader(text), chain); !errors.Is(err, ErrEnded) {
		t.Errorf("sealed again: %v", err)
	}
}

func TestTheDNSDoesNotAnswer(t *testing.T) {
	txt := make(map[string]string)
	s := host(t, "ed25519", "a.example", txt)
	text := pass(t, s, letter, txt)
	chain, err := Verify(strings.NewReader(text), func(string) ([]string, error) {
		return nil, &net.DNSError{Err: "server misbehaving", IsTemporary: true}
	})
	if err != nil || chain.Result != Fail || !chain.Temporary {
		t.Errorf("%+v, %v", chain, err)
	}
	if _, err := s.Seal(strings.NewReader(text), chain); !errors.Is(err, ErrEnded) {
		t.Errorf("a chain that nobody has checked is sealed: %v", err)
	}
}

func TestLimits(t *testing.T) {
	txt := make(map[string]string)
	s := host(t, "ed25519", "a.example", txt)
	text := letter
	for range MostSets {
		text = pass(t, s, text, txt)
	}
	asked := 0
	chain, err := Verify(strings.NewReader(text), func(name string) ([]string, error) {
		asked++
		return lookup(txt)(name)
	})
	if err != nil || chain.Result != Pass || asked != 1 {
		t.Errorf("%d sets: %s %s, %v, asked %d times", len(chain.Sets), chain.Result, chain.Why, err, asked)
	}
	if _, err := s.Seal(strings.NewReader(text), chain); !errors.Is(err, ErrEnded) {
		t.Errorf("one set too many: %v", err)
	}
	huge := strings.Repeat("X: y\r\n", headerMost/6+10) + letter
	if chain, err := Verify(strings.NewReader(huge), lookup(nil)); err != nil || chain.Result != Fail {
		t.Errorf("huge header: %+v, %v", chain, err)
	}
}

func TestSealsWhatTheClientSends(t *testing.T) {
	txt := make(map[string]string)
	s := host(t, "rsa", "a.example", txt)
	raw := "From: a@b\r\n\r\nbare\nline\rfeeds\r\r\nend"
	set, err := s.Seal(strings.NewReader(raw), &Chain{Result: None})
	if err != nil {
		t.Fatal(err)
	}
	sent := set + "From: a@b\r\n\r\nbare\r\nline feeds \r\nend\r\n"
	if chain, _ := Verify(strings.NewReader(sent), lookup(txt)); chain.Result != Pass {
		t.Errorf("%+v", chain)
	}
}

// TestOtherImplementation has dkimpy check a chain, where it is installed.
func TestOtherImplementation(t *testing.T) {
	python := "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import dkim").Run(); err != nil {
		t.Skip("python3-dkim is not installed")
	}
	txt := make(map[string]string)
	text := pass(t, host(t, "rsa", "a.example", txt), letter, txt)
	text = pass(t, host(t, "rsa", "b.example", txt), text, txt)
	file := filepath.Join(t.TempDir(), "letter")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	js, _ := json.Marshal(txt)
	script := "import dkim,sys,json\ntxt=json.loads(sys.argv[2])\n" +
		"def get(name, timeout=5):\n    return txt.get(name.decode().rstrip('.')).encode()\n" +
		"cv,results,why=dkim.ARC(open(sys.argv[1],'rb').read()).verify(dnsfunc=get)\nprint(cv.decode(),len(results),why)\n"
	out, err := exec.Command(python, "-c", script, file, string(js)).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "pass 2 success" {
		t.Errorf("dkimpy says %s %v", out, err)
	}
}

func FuzzVerify(f *testing.F) {
	txt := make(map[string]string)
	s := host(f, "ed25519", "a.example", txt)
	f.Add(letter)
	f.Add(pass(f, s, pass(f, s, letter, txt), txt))
	f.Add("ARC-Seal: i=1;\r\nARC-Message-Signature: i=1; h=:; b=\r\nARC-Authentication-Results: i=1;\n\nx")
	f.Add("ARC-Seal: i=51; cv=fail\n")
	f.Fuzz(func(t *testing.T, text string) {
		chain, err := Verify(strings.NewReader(text), lookup(txt))
		if err != nil || chain.Result == Fail && chain.Why == "" {
			t.Fatalf("%+v, %v", chain, err)
		}
		if strings.Contains(text, "\x00") {
			return
		}
		set, err := s.Seal(strings.NewReader(text), chain)
		if err == nil && chain.Result != Fail && strings.HasPrefix(text, "From: ") {
			sent := io.MultiReader(strings.NewReader(set), dkim.Wire(strings.NewReader(text)))
			if again, _ := Verify(sent, lookup(txt)); again.Result != Pass {
				t.Errorf("our own set: %+v\n%s", again, set)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	txt := make(map[string]string)
	text := pass(b, host(b, "rsa", "a.example", txt), letter+strings.Repeat("A line of text that is as long as most are.\r\n", 90), txt)
	b.ReportAllocs()
	for b.Loop() {
		if c, _ := Verify(strings.NewReader(text), lookup(txt)); c.Result != Pass {
			b.Fatal(c.Why)
		}
	}
}
