package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Algorithms are those that a key can have, as DkimKey.dkAlgorithm has them.
var algorithms = []string{"rsa", "ed25519"}

// Algorithms returns the names of the algorithms.
func Algorithms() []string { return append([]string(nil), algorithms...) }

// rsaBits: the most that fits every resolver and every receiver; RFC 8301 §3.2
// asks for 2048.
const rsaBits = 2048

// NewKey makes a private key and returns it as PKCS #8 PEM.
func NewKey(algorithm string) (string, error) {
	var key any
	var err error
	switch algorithm {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return "", fmt.Errorf("there is no DKIM algorithm %q; known are %s", algorithm, strings.Join(algorithms, ", "))
	}
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// ParseKey reads a private key: PKCS #8, or the older PKCS #1 of opendkim-genkey.
func ParseKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the key is not PEM")
	}
	var key any
	var err error
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the key cannot be read: neither PKCS #8 nor PKCS #1")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 1024 {
			return nil, fmt.Errorf("an RSA key of %d bits is not accepted by receivers", k.N.BitLen())
		}
		return k, nil
	case ed25519.PrivateKey:
		return k, nil
	}
	return nil, fmt.Errorf("a key of type %T cannot sign mail", key)
}

// Algorithm names the algorithm of a key.
func Algorithm(s crypto.Signer) string {
	if _, ok := s.(ed25519.PrivateKey); ok {
		return "ed25519"
	}
	return "rsa"
}

// Record is the text of the TXT record that belongs to a key, as one string.
// RFC 6376 §3.6.1, RFC 8463 §4.
func Record(s crypto.Signer) (string, error) {
	switch pub := s.Public().(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			return "", err
		}
		return "v=DKIM1; k=rsa; h=sha256; p=" + base64.StdEncoding.EncodeToString(der), nil
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(pub), nil
	}
	return "", fmt.Errorf("a key of type %T cannot sign mail", s.Public())
}

// Name is where the record stands.
func Name(domain, selector string) string { return selector + "._domainkey." + domain }

// stringMost bounds one string of a TXT record, RFC 1035 §3.3.14.
const stringMost = 255

// Strings is a text as the strings of a TXT record in a zone file.
func Strings(text string) string {
	var parts []string
	for len(text) > stringMost {
		parts = append(parts, `"`+text[:stringMost]+`"`)
		text = text[stringMost:]
	}
	parts = append(parts, `"`+text+`"`)
	if len(parts) == 1 {
		return parts[0]
	}
	return "( " + strings.Join(parts, "\n\t") + " )"
}

// ZoneLine writes a record as a line of a zone file.
func ZoneLine(domain, selector, record string) string {
	return Name(domain, selector) + ".\tIN\tTXT\t" + Strings(record)
}

// SameKey reports whether a published record holds the key of the other: the
// tags may stand in any order, with any spaces.
func SameKey(published, expected string) bool {
	a, b := tagList(published), tagList(expected)
	k := a["k"]
	if k == "" {
		k = "rsa"
	}
	return a["p"] != "" && a["p"] == b["p"] && k == b["k"]
}
