package auth

import (
	"context"
	"strings"
	"testing"
	"time"
)

func TestVerifiedPasswordIsRemembered(t *testing.T) {
	s, path := newService(t, nil)
	now := time.Unix(1e9, 0)
	s.d.Now = func() time.Time { return now }
	ctx := context.Background()
	login := func() error {
		_, err := s.Plain(ctx, Client{}, "bob@box.example", "correct horse")
		return err
	}
	verified := func() bool { s.pattern.Store(nil); err := login(); return err == nil && s.pattern.Load() != nil }
	if !verified() || verified() {
		t.Error("verified not once")
	}
	now = now.Add(61 * time.Minute)
	if !verified() {
		t.Error("remembered after auth_cache_ttl")
	}
	other(t, path, `UPDATE VMailbox SET vmPasswd = '{CRYPT}' || vmPasswd WHERE vmNum = 2`)
	if !verified() {
		t.Error("remembered though the row has changed")
	}
	other(t, path, `DELETE FROM VMailbox WHERE vmNum = 2`)
	if err := login(); err != ErrBadCredentials {
		t.Errorf("remembered though the row is gone: %v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	v := newVerified()
	now := time.Unix(1e9, 0)
	for i := range 10000 {
		v.add(v.of("u", strings.Repeat("x", i), "h"), now, 100*cacheEntry)
	}
	if n := len(v.now) + len(v.old); n > 100 {
		t.Errorf("%d entries, want at most 100", n)
	}
	v = newVerified()
	v.add(v.of("u", "p", "h"), now, 0)
	if len(v.now) != 0 {
		t.Error("an entry though auth_cache_size is 0")
	}
	if v.of("ab", "c", "h") == v.of("a", "bc", "h") {
		t.Error("names and passwords run together")
	}
}
