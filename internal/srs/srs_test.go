package srs

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func scheme(secrets ...string) *Scheme {
	at := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	return &Scheme{Secrets: secrets, Now: func() time.Time { return at }}
}

func TestThereAndBack(t *testing.T) {
	s := scheme("secret")
	once := s.Forward("Alice", "Example.org")
	at := stamp(s.now())
	if want := "SRS0=" + s.hash("secret", at, "example.org", "alice") + "=" + at + "=Example.org=Alice"; once != want {
		t.Errorf("SRS0 is %s, want %s", once, want)
	}
	local, domain, err := s.Reverse(once)
	if local != "Alice" || domain != "Example.org" || err != nil {
		t.Errorf("back: %s@%s, %v", local, domain, err)
	}
	if local, domain, err = s.Reverse(strings.ToLower(once)); local != "alice" || domain != "example.org" || err != nil {
		t.Errorf("without case: %s@%s, %v", local, domain, err)
	}
	other := scheme("another")
	twice := other.Forward(once, "first.example")
	if !strings.HasPrefix(twice, "SRS1=") || !strings.HasSuffix(twice, "=first.example="+once[4:]) {
		t.Errorf("SRS1 is %s", twice)
	}
	third := scheme("third").Forward(twice, "second.example")
	if !strings.HasPrefix(third, "SRS1=") || !strings.HasSuffix(third, "=first.example="+once[4:]) {
		t.Errorf("SRS1 again is %s", third)
	}
	if local, domain, err = other.Reverse(twice); local != once || domain != "first.example" || err != nil {
		t.Errorf("back to the first host: %s@%s, %v", local, domain, err)
	}
}

// TestHashIsHMAC compares with another implementation of HMAC-SHA1.
func TestHashIsHMAC(t *testing.T) {
	s := scheme("key")
	// echo -n "aaexample.comuser" | openssl dgst -sha1 -hmac key -binary | base64
	if got := s.sum("key", "AA", "Example.com", "USER"); got != "SkyZ1VmUAXXbgH5jbWj7DlvQSIg" {
		t.Error(got)
	}
}

func TestRefused(t *testing.T) {
	s := scheme("new", "old")
	good := s.Forward("a", "b.example")
	old := scheme("old").Forward("a", "b.example")
	late := scheme("new")
	late.Now = func() time.Time { return s.Now().Add(22 * day) }
	edge := scheme("new")
	edge.Now = func() time.Time { return s.Now().Add(21 * day) }
	for _, c := range []struct {
		name   string
		by     *Scheme
		text   string
		reason error
	}{
		{"good", s, good, nil},
		{"an old secret", s, old, nil},
		{"a secret that was taken out", scheme("new"), old, ErrForged},
		{"the last day", edge, good, nil},
		{"too old", late, good, ErrExpired},
		{"another sender", s, strings.Replace(good, "=a", "=x", 1), ErrForged},
		{"another day", s, strings.Replace(good, "="+stamp(s.now())+"=", "=AA=", 1), ErrForged},
		{"a short hash", s, "SRS0=" + good[5:7] + good[9:], ErrForged},
		{"no hash", s, "SRS0==AA=b.example=a", ErrForged},
		{"parts missing", s, "SRS0=abcd=AA", ErrSyntax},
		{"SRS1 with nothing within", s, "SRS1=abcd=host=", ErrSyntax},
		{"SRS1 forged", s, "SRS1=abcd=host.example==abcd=AA=b.example=a", ErrForged},
		{"another address", s, "srs0", ErrNone},
		{"another name", s, "SRS2=abcd=AA=b=c", ErrNone},
		{"plus", &Scheme{Secrets: []string{"new"}, Separator: '+', Now: s.Now}, "SRS0+" + good[5:], nil},
	} {
		if _, _, err := c.by.Reverse(c.text); !errors.Is(err, c.reason) {
			t.Errorf("%s: %v, want %v", c.name, err, c.reason)
		}
	}
}

func FuzzReverse(f *testing.F) {
	s := scheme("k")
	f.Add(s.Forward("a", "b"))
	f.Add(s.Forward(s.Forward("a", "b"), "c"))
	f.Add("SRS1=abcd=x==")
	f.Add("SRS0+====")
	f.Fuzz(func(t *testing.T, text string) {
		local, domain, err := s.Reverse(text)
		if err == nil && (local == "" || domain == "") {
			t.Errorf("%q stands for %q@%q", text, local, domain)
		}
		again := s.Forward(text, "host.example")
		if text == "" {
			return
		}
		if _, _, err := s.Reverse(again); err != nil {
			t.Errorf("%q as %q: %v", text, again, err)
		}
	})
}
