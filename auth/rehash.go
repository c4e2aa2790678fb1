package auth

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"mailserver/schema"
)

// rehash stores a right password by the scheme of auth_rehash_scheme, when it
// is stored by another. What fails is said in the log: the log-in is right.
func (a *attempt) rehash(acc *account, stored, password string) {
	want := a.cfg.RehashScheme
	if want == "" || sameScheme(stored, a.cfg.DefaultScheme, want) {
		return
	}
	log := a.s.d.Log.With("user", acc.name, "reason", want)
	fresh, err := a.hash(want, password)
	if err != nil {
		log.Error("password not stored anew by auth_rehash_scheme", "err", err)
		return
	}
	err = a.s.d.Mail.Write(a.ctx, func(tx *schema.Tx) error { return tx.ReplacePassword(acc.num, stored, fresh) })
	if err != nil {
		log.Warn("password not stored anew by auth_rehash_scheme", "err", err)
		return
	}
	a.s.cache.add(a.s.cache.of(acc.name, password, fresh), a.s.d.Now(), a.cfg.CacheSize)
	log.Info("password stored anew by auth_rehash_scheme")
}

// hash makes a stored password in its turn. The memory is that of the scheme
// with the largest need.
func (a *attempt) hash(scheme, password string) (string, error) {
	release, err := a.turn(newArgonMemory << 10)
	if err != nil {
		return "", err
	}
	defer release(false)
	return Hash(scheme, password, rand.Reader)
}

// sameName are schemes that write the same.
var sameName = map[string]string{"CLEAR": "PLAIN", "CLEARTEXT": "PLAIN", "SHA1": "SHA", "MD5": "MD5-CRYPT", "HMAC-MD5": "CRAM-MD5", "MD5RAW": "PLAIN-MD5"}

// cryptName are the schemes of crypt(3) strings by their prefix.
var cryptName = map[string]string{"1": "MD5-CRYPT", "5": "SHA256-CRYPT", "6": "SHA512-CRYPT", "2a": "BLF-CRYPT", "2b": "BLF-CRYPT",
	"2y": "BLF-CRYPT", "argon2i": "ARGON2I", "argon2id": "ARGON2ID"}

// sameScheme reports whether a stored password has a scheme already, whatever
// the encoding. CRYPT as a wish is met by any crypt(3) string.
func sameScheme(stored, defaultScheme, want string) bool {
	name, data := splitScheme(stored, defaultScheme)
	have, wish := plainName(name), plainName(strings.Trim(want, "{}"))
	if have == "CRYPT" && wish != "CRYPT" {
		have = "DES-CRYPT"
		if f := strings.Split(data, "$"); len(f) > 1 {
			have = cryptName[f[1]]
		}
	}
	return have == wish
}

func plainName(scheme string) string {
	base, _, _ := strings.Cut(strings.ToUpper(scheme), ".")
	if same, ok := sameName[base]; ok {
		return same
	}
	return base
}

// appNoted is how exactly the last use of an app password is kept.
const appNoted = time.Hour

// noteApp records the use of an app password, once an hour.
func (s *Service) noteApp(ctx context.Context, c Client, app int64) {
	if s.d.State == nil {
		return
	}
	now := s.d.Now()
	s.appMu.Lock()
	last := s.apps[app]
	fresh := now.Sub(last) >= appNoted
	if fresh {
		if len(s.apps) >= maxApps {
			clear(s.apps)
		}
		s.apps[app] = now
	}
	s.appMu.Unlock()
	if !fresh {
		return
	}
	err := s.d.State.Write(ctx, func(tx *schema.Tx) error { return tx.AddAppUse(app, c.Service, c.Remote.String(), now) })
	if err != nil {
		s.d.Log.Warn("use of an app password not recorded", "err", err)
	}
}

// maxApps bounds the memory of uses already recorded.
const maxApps = 4096
