package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// cacheEntry is the memory, in bytes, that one remembered log-in takes.
const cacheEntry = 100

// verified remembers which passwords were right, so that a client that logs in
// every minute costs one hash an hour. An entry is a keyed digest of name,
// password and stored hash: with another row it is another entry, and nothing
// can be read from it, since the key is random and dies with the process.
type verified struct {
	key [32]byte

	mu       sync.Mutex // guards what follows
	now, old map[digestKey]time.Time
}

type digestKey [sha256.Size]byte

func newVerified() *verified {
	v := &verified{now: make(map[digestKey]time.Time)}
	rand.Read(v.key[:])
	return v
}

// of returns the entry of a log-in.
func (v *verified) of(name, password, stored string) digestKey {
	m := hmac.New(sha256.New, v.key[:])
	for _, s := range []string{name, password, stored} {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(s)))
		m.Write(n[:])
		m.Write([]byte(s))
	}
	return digestKey(m.Sum(nil))
}

// has reports whether k was verified less than ttl ago.
func (v *verified) has(k digestKey, now time.Time, ttl time.Duration) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	at, ok := v.now[k]
	if !ok {
		if at, ok = v.old[k]; ok {
			v.now[k] = at // in use: survives the next turn of the halves
		}
	}
	return ok && now.Sub(at) < ttl
}

// add remembers k. Of two halves, the older is dropped when the newer is full.
func (v *verified) add(k digestKey, now time.Time, size int64) {
	half := int(size / cacheEntry / 2)
	if half <= 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.now) >= half {
		v.old, v.now = v.now, make(map[digestKey]time.Time)
	}
	v.now[k] = now
}
