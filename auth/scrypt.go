package auth

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// readScrypt reads $7$Nrrrrrpppppsalt$hash, crypt(5): N is a power of two, all
// numbers are written in the alphabet of crypt(3), the lowest bits first.
func readScrypt(stored []byte) (*hashed, error) {
	body, ok := bytes.CutPrefix(stored, []byte("$7$"))
	at := bytes.LastIndexByte(body, '$')
	if !ok || at < 11 || at > 11+64 || len(body)-at-1 != 43 {
		return nil, fmt.Errorf("%w: not $7$Nrrrrrpppppsalt$hash", ErrHash)
	}
	logN, ok1 := cryptNumber(body[:1])
	r, ok2 := cryptNumber(body[1:6])
	p, ok3 := cryptNumber(body[6:11])
	if !ok1 || !ok2 || !ok3 || logN < 1 || logN > 20 || r < 1 || r > 1024 || p < 1 || p > 16 ||
		128*r<<logN > maxArgonMemory<<10 || 128*r*p<<logN > maxArgonWork<<10 {
		return nil, fmt.Errorf("%w: scrypt parameters %s", ErrHash, body[:11])
	}
	salt, want := body[11:at], body[at+1:]
	return &hashed{slow: true, memory: int64(128*r) << logN, check: func(password []byte) bool {
		got, err := scrypt.Key(password, salt, 1<<logN, r, p, 32)
		return err == nil && subtle.ConstantTimeCompare(cryptText(got), want) == 1
	}}, nil
}

// cryptNumber reads a number of six bits a letter, the lowest first.
func cryptNumber(text []byte) (n int, ok bool) {
	for i, c := range text {
		digit := strings.IndexByte(cryptAlphabet, c)
		if digit < 0 {
			return 0, false
		}
		n |= digit << (6 * i)
	}
	return n, true
}

// cryptText writes groups of three bytes as four letters, the lowest bits
// first.
func cryptText(raw []byte) []byte {
	var out []byte
	for len(raw) > 0 {
		group := raw[:min(3, len(raw))]
		raw = raw[len(group):]
		bits := 0
		for i, b := range group {
			bits |= int(b) << (8 * i)
		}
		for range (8*len(group) + 5) / 6 {
			out = append(out, cryptAlphabet[bits&63])
			bits >>= 6
		}
	}
	return out
}
