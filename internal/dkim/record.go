package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
)

// PublicKey is a key that a domain has published.
type PublicKey struct {
	rsa     *rsa.PublicKey
	ed25519 ed25519.PublicKey
}

// rsaLeast: RFC 8301 §3.2 does not let shorter keys count.
const rsaLeast = 1024

// ParseRecord reads the text of a key record, RFC 6376 §3.6.1. A key that was
// revoked, or is not for mail and SHA-256, is an error.
func ParseRecord(text string) (*PublicKey, error) {
	t := tagList(text)
	if v, has := t["v"]; has && v != "DKIM1" {
		return nil, errors.New("not a DKIM key")
	}
	if h, has := t["h"]; has && !listed(h, "sha256") {
		return nil, errors.New("the key is not for SHA-256")
	}
	if s, has := t["s"]; has && !listed(s, "email", "*") {
		return nil, errors.New("the key is not for mail")
	}
	if t["p"] == "" {
		return nil, errors.New("the key is revoked")
	}
	der, err := base64.StdEncoding.DecodeString(t["p"])
	if err != nil {
		return nil, errors.New("the key cannot be read")
	}
	switch t["k"] {
	case "", "rsa":
		return rsaKey(der)
	case "ed25519":
		if len(der) == ed25519.PublicKeySize {
			return &PublicKey{ed25519: der}, nil
		}
	}
	return nil, errors.New("the key cannot be read")
}

func listed(list string, words ...string) bool {
	for item := range strings.SplitSeq(list, ":") {
		for _, w := range words {
			if item == w {
				return true
			}
		}
	}
	return false
}

// rsaKey reads both forms in use: SubjectPublicKeyInfo, and the bare key of
// the examples in RFC 6376.
func rsaKey(der []byte) (*PublicKey, error) {
	var key *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(der); err == nil {
		key, _ = any.(*rsa.PublicKey)
	} else {
		key, _ = x509.ParsePKCS1PublicKey(der)
	}
	switch {
	case key == nil:
		return nil, errors.New("the key cannot be read")
	case key.N.BitLen() < rsaLeast:
		return nil, errors.New("the key is too short")
	}
	return &PublicKey{rsa: key}, nil
}

// Verify checks a signature over a SHA-256 sum. algorithm is that of the
// signature, "rsa" or "ed25519"; it must be the key's.
func (k *PublicKey) Verify(algorithm string, sum, signature []byte) error {
	switch {
	case algorithm == "rsa" && k.rsa != nil:
		if rsa.VerifyPKCS1v15(k.rsa, crypto.SHA256, sum, signature) == nil {
			return nil
		}
	case algorithm == "ed25519" && k.ed25519 != nil:
		if ed25519.Verify(k.ed25519, sum, signature) {
			return nil
		}
	default:
		return errors.New("the key is of another algorithm")
	}
	return errors.New("the signature does not hold")
}
