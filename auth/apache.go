package auth

import (
	"crypto/md5"
	"crypto/subtle"
	"fmt"
	"strings"
)

// readApacheMD5 reads $apr1$salt$hash, as htpasswd -m and openssl passwd -apr1
// write it: MD5-CRYPT with another word in the mix.
func readApacheMD5(stored []byte) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	if len(f) != 4 || f[0] != "" || f[1] != "apr1" || len(f[2]) > 8 || len(f[3]) != 22 {
		return nil, fmt.Errorf("%w: not $apr1$salt$hash", ErrHash)
	}
	salt, want := []byte(f[2]), []byte(f[3])
	return &hashed{slow: true, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(apacheMD5(password, salt), want) == 1
	}}, nil
}

// apacheMD5 is the 1000 rounds of MD5-CRYPT with the magic of Apache.
func apacheMD5(password, salt []byte) []byte {
	inner := md5.Sum(join(password, salt, password))
	h := md5.New()
	h.Write(join(password, []byte("$apr1$"), salt))
	for n := len(password); n > 0; n -= md5.Size {
		h.Write(inner[:min(n, md5.Size)])
	}
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			h.Write([]byte{0})
		} else {
			h.Write(password[:1])
		}
	}
	sum := h.Sum(nil)
	for i := range 1000 {
		h.Reset()
		odd := i&1 == 1
		h.Write(pick(odd, password, sum))
		if i%3 != 0 {
			h.Write(salt)
		}
		if i%7 != 0 {
			h.Write(password)
		}
		h.Write(pick(odd, sum, password))
		sum = h.Sum(sum[:0])
	}
	return apacheLetters(sum)
}

func pick(first bool, a, b []byte) []byte {
	if first {
		return a
	}
	return b
}

func join(parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// apacheLetters writes the 16 bytes in the order, and base 64, of crypt(3).
func apacheLetters(sum []byte) []byte {
	out := make([]byte, 0, 22)
	letters := func(v uint32, n int) {
		for range n {
			out = append(out, cryptAlphabet[v&63])
			v >>= 6
		}
	}
	for _, t := range [5][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		letters(uint32(sum[t[0]])<<16|uint32(sum[t[1]])<<8|uint32(sum[t[2]]), 4)
	}
	letters(uint32(sum[11]), 2)
	return out
}
