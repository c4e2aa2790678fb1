// Package totp is one-time passwords by the clock, RFC 6238, over the HOTP of
// RFC 4226: six digits by HMAC-SHA-1, a new one each half minute, which is what
// every program for it can do.
package totp

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

const (
	step   = 30 // seconds
	digits = 6
	// drift is how many steps a clock may be off, RFC 6238 §5.2.
	drift = 1
	// Shortest and longest secret, in bytes, RFC 4226 §4.
	minSecret, maxSecret = 16, 128
	newSecret            = 20
)

// ErrSecret: a text is not a secret.
var ErrSecret = errors.New("not a TOTP secret: base32 of 16 to 128 bytes")

var alphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// New makes a secret, as base32.
func New(rand io.Reader) (string, error) {
	var b [newSecret]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", err
	}
	return alphabet.EncodeToString(b[:]), nil
}

// parse reads a secret as people type it: in any case, with spaces.
func parse(secret string) ([]byte, error) {
	clean := strings.TrimRight(strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(secret)), "=")
	key, err := alphabet.DecodeString(clean)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, ErrSecret
	}
	return key, nil
}

// Check reports whether a text is a secret: nil or ErrSecret.
func Check(secret string) error {
	_, err := parse(secret)
	return err
}

// code is HOTP of a counter, RFC 4226 §5.3.
func code(key []byte, counter uint64, digits int) string {
	m := hmac.New(sha1.New, key)
	binary.Write(m, binary.BigEndian, counter)
	sum := m.Sum(nil)
	at := sum[len(sum)-1] & 15
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	mod := uint32(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%mod)
}

// Code is the code at a time.
func Code(secret string, at time.Time) (string, error) {
	key, err := parse(secret)
	if err != nil {
		return "", err
	}
	return code(key, uint64(at.Unix()/step), digits), nil
}

// Verify reports whether a code is right at a time. used is the step of the
// last code that was, 0 if none; one of it or before is not right again. The
// step returned is the one to keep.
func Verify(secret, given string, at time.Time, used int64) (now int64, ok bool, err error) {
	key, err := parse(secret)
	if err != nil {
		return used, false, err
	}
	given = strings.ReplaceAll(given, " ", "")
	current := at.Unix() / step
	for s := max(current-drift, 0); s <= current+drift; s++ {
		if subtle.ConstantTimeCompare([]byte(code(key, uint64(s), digits)), []byte(given)) == 1 && s > used {
			return s, true, nil
		}
	}
	return used, false, nil
}

// URI is what programs read, mostly as a QR code.
func URI(issuer, account, secret string) string {
	q := url.Values{"secret": {secret}, "issuer": {issuer}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: strings.ReplaceAll(q.Encode(), "+", "%20")}
	return u.String()
}
