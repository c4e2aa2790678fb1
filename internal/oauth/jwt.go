package oauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha256" // RS256, ES256
	_ "crypto/sha512" // RS384, RS512
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"
)

// maxKeys bounds a file of keys, in bytes.
const maxKeys = 256 << 10

// algorithm is a way to sign of RFC 7518 §3.1, by public keys only: with a
// shared secret, who verifies could sign.
type algorithm struct {
	kty  string
	hash crypto.Hash
}

var algorithms = map[string]algorithm{
	"RS256": {"RSA", crypto.SHA256}, "RS384": {"RSA", crypto.SHA384}, "RS512": {"RSA", crypto.SHA512},
	"PS256": {"RSA", crypto.SHA256}, "ES256": {"EC", crypto.SHA256}, "EdDSA": {"OKP", 0},
}

// jwk is a public key, RFC 7517 §4.
type jwk struct {
	Kty, Kid, Use, Alg, Crv, N, E, X, Y string
}

// verify reads a signed token, RFC 7515 §3.1, and its times, RFC 7519 §4.1.
func (s *Server) verify(token string, now time.Time) (Claims, error) {
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: not a signed token", ErrRefused)
	}
	var header struct {
		Alg, Kid string
		Crit     []string
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || unpack(parts[0], &header) != nil || len(header.Crit) > 0 {
		return nil, fmt.Errorf("%w: not a signed token", ErrRefused)
	}
	if !signed(keys, header.Alg, header.Kid, []byte(parts[0]+"."+parts[1]), signature) {
		return nil, fmt.Errorf("%w: the signature is of none of the keys", ErrRefused)
	}
	var c Claims
	if err := unpack(parts[1], &c); err != nil || c == nil {
		return nil, fmt.Errorf("%w: no claims", ErrRefused)
	}
	switch until, from := c.Time("exp"), c.Time("nbf"); {
	case until.IsZero():
		return nil, fmt.Errorf("%w: no time of expiry", ErrRefused)
	case !now.Before(until):
		return nil, fmt.Errorf("%w: expired", ErrRefused)
	case now.Add(time.Minute).Before(from):
		return nil, fmt.Errorf("%w: not valid yet", ErrRefused)
	}
	return c, nil
}

func unpack(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

func (s *Server) keys() ([]jwk, error) {
	st, err := os.Stat(s.KeyFile)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxKeys {
		return nil, errors.New("the file of keys is too long")
	}
	text, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return nil, err
	}
	var set struct{ Keys []jwk }
	if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 {
		return nil, fmt.Errorf("%s holds no JWK set", s.KeyFile)
	}
	return set.Keys, nil
}

// signed reports whether one of the keys, of that name if the token has one,
// has signed.
func signed(keys []jwk, alg, kid string, text, signature []byte) bool {
	a, ok := algorithms[alg]
	if !ok {
		return false
	}
	sum := text
	if a.hash != 0 {
		h := a.hash.New()
		h.Write(text)
		sum = h.Sum(nil)
	}
	for _, k := range keys {
		if k.Kty != a.kty || kid != "" && k.Kid != kid || k.Alg != "" && k.Alg != alg || k.Use != "" && k.Use != "sig" {
			continue
		}
		if k.fits(alg, a.hash, sum, signature) {
			return true
		}
	}
	return false
}

func (k *jwk) fits(alg string, hash crypto.Hash, sum, signature []byte) bool {
	number := func(text string) *big.Int {
		raw, _ := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
		return new(big.Int).SetBytes(raw)
	}
	switch k.Kty {
	case "RSA":
		e := number(k.E)
		key := &rsa.PublicKey{N: number(k.N), E: int(e.Int64())}
		if !e.IsInt64() || key.E < 3 || key.E > 1<<31-1 || key.N.BitLen() < 1024 || key.N.BitLen() > 8192 {
			return false
		}
		if alg == "PS256" {
			return rsa.VerifyPSS(key, hash, sum, signature, nil) == nil
		}
		return rsa.VerifyPKCS1v15(key, hash, sum, signature) == nil
	case "EC":
		x, y := number(k.X), number(k.Y)
		if k.Crv != "P-256" || len(signature) != 64 || x.BitLen() > 256 || y.BitLen() > 256 {
			return false
		}
		point := make([]byte, 65)
		point[0] = 4 // not compressed
		x.FillBytes(point[1:33])
		y.FillBytes(point[33:])
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return err == nil && ecdsa.Verify(key, sum, new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(k.X, "="))
	return err == nil && k.Crv == "Ed25519" && len(raw) == ed25519.PublicKeySize && ed25519.Verify(raw, sum, signature)
}
