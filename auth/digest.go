package auth

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
)

// digest makes one of the hash functions that passwords were once stored by.
type digest func() hash.Hash

func md5Sum() hash.Hash    { return md5.New() }
func sha1Sum() hash.Hash   { return sha1.New() }
func sha256Sum() hash.Hash { return sha256.New() }
func sha512Sum() hash.Hash { return sha512.New() }

// sum returns the digest of password followed by salt.
func (d digest) sum(password, salt []byte) []byte {
	h := d()
	h.Write(password)
	h.Write(salt)
	return h.Sum(nil)
}

// saltSize is the length of new salts, in bytes, of {SSHA*} and {SMD5}.
const saltSize = 8

// digestScheme is a row for a digest without salt.
func digestScheme(d digest, enc encoding) scheme {
	size := d().Size()
	return scheme{
		encoding: enc,
		size:     size,
		read: func(stored []byte) (*hashed, error) {
			if len(stored) != size {
				return nil, fmt.Errorf("%w: %d bytes, want %d", ErrHash, len(stored), size)
			}
			return d.hashed(stored, nil), nil
		},
		make: func(password []byte, _ io.Reader) ([]byte, error) { return d.sum(password, nil), nil },
	}
}

// saltedScheme is a row for a digest of password and salt, followed by the salt.
func saltedScheme(d digest) scheme {
	size := d().Size()
	return scheme{
		encoding: asBase64,
		read: func(stored []byte) (*hashed, error) {
			if len(stored) <= size {
				return nil, fmt.Errorf("%w: %d bytes, want more than %d", ErrHash, len(stored), size)
			}
			return d.hashed(stored[:size], stored[size:]), nil
		},
		make: func(password []byte, rand io.Reader) ([]byte, error) {
			salt := make([]byte, saltSize)
			if _, err := io.ReadFull(rand, salt); err != nil {
				return nil, err
			}
			return append(d.sum(password, salt), salt...), nil
		},
	}
}

// readMD5 reads what {MD5} means to Dovecot, MD5-CRYPT, and to Courier, a
// digest in base64, which is of another length.
func readMD5(stored []byte) (*hashed, error) {
	if sum, err := base64.StdEncoding.DecodeString(string(stored)); err == nil && len(sum) == md5.Size {
		return digest(md5Sum).hashed(sum, nil), nil
	}
	return readMD5Crypt(stored)
}

func (d digest) hashed(sum, salt []byte) *hashed {
	return &hashed{check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(d.sum(password, salt), sum) == 1
	}}
}

// readClear reads a password that is stored as it is. Digests are compared, so
// that not even the length shows in the time.
func readClear(stored []byte) (*hashed, error) {
	h := digest(sha256Sum).hashed(digest(sha256Sum).sum(stored, nil), nil)
	h.clear = stored
	return h, nil
}

func makeClear(password []byte, _ io.Reader) ([]byte, error) { return password, nil }
