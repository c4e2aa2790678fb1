package auth

import (
	"context"
	"strings"
	"testing"
)

func stored(t *testing.T, s *Service, local string) string {
	t.Helper()
	view := must(s.d.Mail.View(context.Background()))
	return must(view.Address(context.Background(), 2, local)).Mailbox.Passwd
}

func TestRehash(t *testing.T) {
	ctx := context.Background()
	s, _ := newService(t, func(c *Config) { c.RehashScheme = "SCRAM-SHA-256" })
	if _, err := s.Plain(ctx, Client{}, "ann@box.example", "wrong"); err == nil || stored(t, s, "ann") != "{PLAIN}Ann secret" {
		t.Error("a wrong password is stored")
	}
	for range 2 {
		if _, err := s.Plain(ctx, Client{}, "ann@box.example", "Ann secret"); err != nil {
			t.Fatal(err)
		}
	}
	now := stored(t, s, "ann")
	if ok, err := Verify(now, "Ann secret"); !strings.HasPrefix(now, "{SCRAM-SHA-256}") || !ok || err != nil {
		t.Errorf("%s: %v, %v", now, ok, err)
	}
	for _, tt := range []struct {
		stored, want string
		same         bool
	}{
		{"{SSHA512}x", "ssha512", true}, {"{SSHA512.HEX}x", "SSHA512", true}, {"{SSHA}x", "SSHA512", false}, {"$6$a$b", "SHA512-CRYPT", true},
		{"{CRYPT}$2y$05$x", "{BLF-CRYPT}", true}, {"abcdefghijklm", "BLF-CRYPT", false}, {"{CLEAR}x", "PLAIN", true}, {"$y$j$x$y", "CRYPT", true},
		{"$y$j$x$y", "SHA512-CRYPT", false},
	} {
		if sameScheme(tt.stored, "CRYPT", tt.want) != tt.same {
			t.Errorf("%s as %s", tt.stored, tt.want)
		}
	}
	s, _ = newService(t, func(c *Config) { c.RehashScheme = "NTLM" })
	if _, err := s.Plain(ctx, Client{}, "ann@box.example", "Ann secret"); err != nil || stored(t, s, "ann") != "{PLAIN}Ann secret" {
		t.Errorf("an unknown scheme of auth_rehash_scheme: %v", err)
	}
}

// TestRehashOfEveryScheme: a password of each scheme and encoding is stored anew
// at the next log-in with it, and each scheme can be what it is stored by.
func TestRehashOfEveryScheme(t *testing.T) {
	ctx := context.Background()
	var cfg *Config
	s, path := newService(t, func(c *Config) { c.CacheSize, c.Throttle, cfg = 0, false, c })
	moves := func(former, password, scheme string) {
		t.Helper()
		cfg.RehashScheme = scheme
		other(t, path, "UPDATE VMailbox SET vmPasswd = '"+strings.ReplaceAll(former, "'", "''")+"' WHERE vmNum = 1")
		for _, word := range []string{password, password, "y" + password} { // the second time with what is new
			if _, err := s.Plain(ctx, Client{}, "ann@box.example", word); (err == nil) != (word == password) {
				t.Errorf("%s to %s with %q: %v", former, scheme, word, err)
			}
		}
		now := stored(t, s, "ann")
		if ok, err := Verify(now, password); !strings.HasPrefix(now, "{"+scheme+"}") || !ok || err != nil {
			t.Errorf("%s to %s: %s, %v", former, scheme, now, err)
		}
	}
	seen := make(map[string]bool)
	for _, v := range storedLines(t) {
		name, data := splitScheme(v[2], "CRYPT")
		if f := strings.Split(data, "$"); name == "CRYPT" && len(f) > 1 {
			name += f[1]
		}
		if name = strings.ToUpper(name); !seen[name] && !strings.HasPrefix(name, "SCRAM-SHA-256") {
			seen[name] = true
			moves(v[2], v[1], "SCRAM-SHA-256")
		}
	}
	for _, name := range append(Schemes(), "SSHA512.HEX", "SHA512-CRYPT.B64") {
		if plainName(name) != "PLAIN" {
			moves("{PLAIN}pä wörd", "pä wörd", name)
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %v", seen)
	}
}
