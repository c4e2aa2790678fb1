package totp

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"
)

const seed = "12345678901234567890"

// TestVectors are those of RFC 6238, appendix B, and RFC 4226, appendix D.
func TestVectors(t *testing.T) {
	for at, want := range map[int64]string{59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130"} {
		if got := code([]byte(seed), uint64(at/step), 8); got != want {
			t.Errorf("%d: %s, want %s", at, got, want)
		}
	}
	for i, want := range strings.Fields("755224 287082 359152 969429 338314 254676 287922 162583 399871 520489") {
		if got := code([]byte(seed), uint64(i), 6); got != want {
			t.Errorf("counter %d: %s, want %s", i, got, want)
		}
	}
}

func TestVerify(t *testing.T) {
	secret, err := New(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(2_000_000_010, 0)
	var used int64
	for _, tt := range []struct {
		name  string
		shift time.Duration
		want  bool
	}{{"too old", -2 * time.Minute, false}, {"late", -30 * time.Second, true}, {"late again", -30 * time.Second, false},
		{"now", 0, true}, {"now again", 0, false}, {"before the last", -30 * time.Second, false}, {"early", 30 * time.Second, true}, {"too early", 90 * time.Second, false}} {
		given, _ := Code(secret, at.Add(tt.shift))
		now, ok, err := Verify(strings.ToLower(secret), given[:3]+" "+given[3:], at, used)
		if ok != tt.want || err != nil || ok == (now == used) {
			t.Errorf("%s: %v, %v", tt.name, ok, err)
		}
		used = now
	}
	for _, bad := range []string{"", "000000", "12345", "1234567", "abcdef"} {
		if _, ok, _ := Verify("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", bad, at, 0); ok && bad != "000000" {
			t.Errorf("%q is right", bad)
		}
	}
	for _, bad := range []string{"", "ABC", "0189", strings.Repeat("A", 300)} {
		if _, _, err := Verify(bad, "123456", at, 0); !errors.Is(err, ErrSecret) || Check(bad) == nil {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if got := URI("mx.example", "ann@b.example", "ABC"); got != "otpauth://totp/mx.example:ann@b.example?issuer=mx.example&secret=ABC" {
		t.Error(got)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "123456")
	f.Fuzz(func(t *testing.T, secret, given string) {
		if _, ok, _ := Verify(secret, given, time.Unix(59, 0), 0); ok && len(strings.ReplaceAll(given, " ", "")) != digits {
			t.Errorf("%q is right", given)
		}
	})
}
