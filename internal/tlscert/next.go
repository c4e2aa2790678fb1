package tlscert

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// A key is changed in two steps, so that DNS has the TLSA record of the next
// one before any client sees it: KEYFILE.next waits, KEYFILE.roll is taken at
// the next look at certificates.
const (
	NextSuffix = ".next"
	RollSuffix = ".roll"
)

// ErrNoNext: there is no next key to change to.
var ErrNoNext = errors.New("there is no next key")

// TLSA returns the data of a TLSA record for a public key, as it is in a
// certificate: DANE-EE, of the key, SHA-256, RFC 6698 §2.1.
func TLSA(rawPublicKey []byte) string {
	return fmt.Sprintf("3 1 1 %x", sha256.Sum256(rawPublicKey))
}

// NextTLSA returns the record of the key that comes next; ” when there is none.
func NextTLSA(keyFile string) (string, error) {
	text, err := os.ReadFile(keyFile + NextSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", fmt.Errorf("%s is not PEM", keyFile+NextSuffix)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return "", fmt.Errorf("%s holds another kind of key", keyFile+NextSuffix)
	}
	public, err := x509.MarshalPKIXPublicKey(&signer.PublicKey)
	return TLSA(public), err
}

// MakeNext makes the next key, if it is not there.
func MakeNext(keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(keyFile+NextSuffix, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = pem.Encode(f, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	for _, step := range []func() error{f.Sync, f.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	return err
}

// Roll asks for a certificate with the next key.
func Roll(keyFile string) error {
	err := os.Rename(keyFile+NextSuffix, keyFile+RollSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoNext
	}
	return err
}
