package auth

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

//go:embed testdata/stored.txt
var storedText string

// storedLines returns program, password and stored form of each vector.
func storedLines(t testing.TB) [][3]string {
	t.Helper()
	var list [][3]string
	for line := range strings.Lines(storedText) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Split(line, "\t"); !strings.HasPrefix(line, "#") {
			if len(f) != 3 {
				t.Fatalf("bad vector %q", line)
			}
			list = append(list, [3]string(f))
		}
	}
	if len(list) < 90 {
		t.Fatalf("only %d vectors", len(list))
	}
	return list
}

func TestHashesOfOtherProgramsVerify(t *testing.T) {
	for _, v := range storedLines(t) {
		program, password, stored := v[0], v[1], v[2]
		if ok, err := VerifyOf("ann@box.example", stored, password); !ok || err != nil {
			t.Errorf("%s: %s does not open %s: %v", program, password, stored, err)
		}
		if wrong := password[1:] + "y"; wrong != password {
			if ok, _ := VerifyOf("ann@box.example", stored, wrong); ok {
				t.Errorf("%s: %q opens %s", program, wrong, stored)
			}
		}
	}
}

func TestHashVerifiesWithEveryScheme(t *testing.T) {
	for _, name := range Schemes() {
		for _, suffix := range []string{"", ".b64", ".HEX"} {
			stored, err := Hash(name+suffix, "pä wörd", rand.Reader)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !strings.HasPrefix(stored, "{"+name+strings.ToUpper(suffix)+"}") {
				t.Errorf("%s: %s", name, stored)
			}
			right, err := Verify(stored, "pä wörd")
			wrong, _ := Verify(stored, "pa wörd")
			if !right || wrong || err != nil {
				t.Errorf("%s: right %v, wrong %v, %v", stored, right, wrong, err)
			}
		}
	}
}

func TestHashReadsItsSaltFromRand(t *testing.T) {
	for _, name := range Schemes() {
		a, err := Hash(name, "pw", bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := Hash(name, "pw", bytes.NewReader(bytes.Repeat([]byte{7}, 64))); a != b {
			t.Errorf("%s: %s, then %s", name, a, b)
		}
	}
	if _, err := Hash("SSHA512", "pw", strings.NewReader("")); err == nil {
		t.Error("a hash without salt")
	}
}

func TestHashIsReadByDoveadm(t *testing.T) {
	doveadm, err := exec.LookPath("doveadm")
	if err != nil {
		t.Skip("no doveadm here")
	}
	for _, name := range Schemes() {
		stored, err := Hash(name, "correct horse", rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(doveadm, "-c", os.DevNull, "pw", "-t", stored, "-p", "correct horse")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "verified") {
			t.Errorf("%s: %v %s", stored, err, out)
		}
	}
}

func TestPasswordsThatCannotBeStored(t *testing.T) {
	for name, tt := range map[string][2]string{
		"unknown scheme":   {"NTLM", "pw"},
		"unknown encoding": {"SSHA.b32", "pw"},
		"empty":            {"PLAIN", ""},
		"NUL":              {"PLAIN", "a\x00b"},
		"long":             {"PLAIN", strings.Repeat("x", MaxPassword+1)},
		"long for bcrypt":  {"BLF-CRYPT", strings.Repeat("x", 73)},
	} {
		if s, err := Hash(tt[0], tt[1], rand.Reader); err == nil {
			t.Errorf("%s: %s", name, s)
		}
	}
}

func TestUnusableHashesAreErrors(t *testing.T) {
	for _, tt := range []struct {
		stored string
		err    error
	}{
		{"{NTLM}abc", ErrScheme},
		{"{SSHA512.b32}abc", ErrScheme},
		{"{}abc", ErrScheme},
		{"{DES-CRYPT}v1unNM6r5v.8!", ErrHash},
		{"{CRYPT}$7$abc", ErrHash},
		{"", ErrHash},
		{"{SHA512-CRYPT}$6$salt$short", ErrHash},
		{"{SHA512-CRYPT}$6$rounds=999999999$salt$" + strings.Repeat("a", 86), ErrHash},
		{"{SHA512-CRYPT}$6$rounds=-1$salt$" + strings.Repeat("a", 86), ErrHash},
		{"{BLF-CRYPT}$2y$31$" + strings.Repeat("a", 53), ErrHash},
		{"{BLF-CRYPT}$2y$05$" + strings.Repeat("!", 53), ErrHash},
		{"{BLF-CRYPT}$2x$05$" + strings.Repeat("a", 53), ErrHash},
		{"{ARGON2ID}$argon2id$v=19$m=4194304,t=3,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", ErrHash},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=1000,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", ErrHash},
		{"{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=200$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", ErrHash},
		{"{ARGON2ID}$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", ErrHash},
		{"{ARGON2ID}$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA", ErrHash},
		{"{CRYPT}$y$jFT$abcdefghijklmnop$" + strings.Repeat("a", 43), ErrHash},
		{"{SSHA512}YWJj", ErrHash},
		{"{SSHA512}not base64", ErrHash},
		{"{SHA}abc", ErrHash},
		{"{PLAIN}" + strings.Repeat("x", maxStored), ErrHash},
	} {
		if ok, err := Verify(tt.stored, "pw"); ok || !errors.Is(err, tt.err) {
			t.Errorf("%.40s: %v, %v; want %v", tt.stored, ok, err, tt.err)
		}
	}
}

func TestNoEmptyPassword(t *testing.T) {
	if ok, _ := Verify("{PLAIN}", ""); ok {
		t.Error("{PLAIN} is opened by the empty password")
	}
}

// FuzzReadHash holds that any text is read or refused, within the bounds of
// memory, and that what is cheap can be verified.
func FuzzReadHash(f *testing.F) {
	for _, v := range storedLines(f) {
		f.Add(v[2])
	}
	f.Add("{SHA512-CRYPT}$6$rounds=1000$")
	f.Add("{ARGON2ID}$argon2id$v=19$m=8,t=1,p=1$$")
	f.Add("{")
	f.Fuzz(func(t *testing.T, stored string) {
		h, err := readHash(stored, "CRYPT", "ann@box.example")
		if err != nil {
			if !errors.Is(err, ErrHash) && !errors.Is(err, ErrScheme) {
				t.Errorf("%q: %v", stored, err)
			}
			return
		}
		if h.memory > maxArgonMemory<<10 {
			t.Errorf("%q needs %d bytes", stored, h.memory)
		}
		if !h.slow {
			h.check([]byte("pw"))
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, name := range []string{"PLAIN", "SSHA512", "SHA512-CRYPT", "BLF-CRYPT", "ARGON2ID"} {
		stored, err := Hash(name, "correct horse", rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ok, err := Verify(stored, "correct horse"); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
	}
}
