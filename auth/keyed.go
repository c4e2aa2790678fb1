package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	goencoding "encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	mech "mailserver/internal/sasl"
)

// Stored passwords of which a challenge can be answered, and PBKDF2.

const (
	maxIterations   = 1_000_000 // PBKDF2, SCRAM: below a second
	pbkdf2Rounds    = 5000      // of doveadm pw
	scramIterations = 4096      // RFC 7677 §4; more costs the client as much
)

// readPBKDF2 reads $1$salt$rounds$hex, as Dovecot has it: HMAC-SHA-1.
func readPBKDF2(stored []byte) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	if len(f) != 5 || f[0] != "" || f[1] != "1" {
		return nil, fmt.Errorf("%w: not $1$salt$rounds$hash", ErrHash)
	}
	rounds, err := strconv.Atoi(f[3])
	want, hexErr := hex.DecodeString(f[4])
	if err != nil || hexErr != nil || rounds < 1 || rounds > maxIterations || len(want) != sha1.Size {
		return nil, fmt.Errorf("%w: not $1$salt$rounds$hash with 1..%d rounds", ErrHash, maxIterations)
	}
	return &hashed{slow: true, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(derive(sha1.New, password, []byte(f[2]), rounds), want) == 1
	}}, nil
}

func makePBKDF2(password []byte, rand io.Reader) ([]byte, error) {
	salt, err := cryptSalt(16, rand)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "$1$%s$%d$%x", salt, pbkdf2Rounds, derive(sha1.New, password, salt, pbkdf2Rounds)), nil
}

// derive is PBKDF2 with as many bytes as the digest has.
func derive(sum func() hash.Hash, password, salt []byte, rounds int) []byte {
	key, err := pbkdf2.Key(sum, string(password), salt, rounds, sum().Size())
	if err != nil { // only for short keys in FIPS mode
		return nil
	}
	return key
}

// scramScheme is a row for SCRAM-SHA-1 or SCRAM-SHA-256:
// iterations,salt,StoredKey,ServerKey.
func scramScheme(sum func() hash.Hash) scheme {
	return scheme{
		encoding: asText,
		read:     func(stored []byte) (*hashed, error) { return readSCRAM(stored, sum) },
		make: func(password []byte, rand io.Reader) ([]byte, error) {
			salt := make([]byte, 16)
			if _, err := io.ReadFull(rand, salt); err != nil {
				return nil, err
			}
			k := mech.DeriveKeys(sum, mech.Prepare(password), salt, scramIterations)
			b64 := base64.StdEncoding.EncodeToString
			return fmt.Appendf(nil, "%d,%s,%s,%s", k.Iterations, b64(k.Salt), b64(k.StoredKey), b64(k.ServerKey)), nil
		},
	}
}

func readSCRAM(stored []byte, sum func() hash.Hash) (*hashed, error) {
	f := strings.Split(string(stored), ",")
	if len(f) != 4 {
		return nil, fmt.Errorf("%w: not iterations,salt,StoredKey,ServerKey", ErrHash)
	}
	k := mech.Keys{}
	var err error
	if k.Iterations, err = strconv.Atoi(f[0]); err != nil || k.Iterations < 1 || k.Iterations > maxIterations {
		return nil, fmt.Errorf("%w: iterations are not in 1..%d", ErrHash, maxIterations)
	}
	for i, part := range []*[]byte{&k.Salt, &k.StoredKey, &k.ServerKey} {
		if *part, err = base64.StdEncoding.DecodeString(f[i+1]); err != nil {
			return nil, fmt.Errorf("%w: not iterations,salt,StoredKey,ServerKey", ErrHash)
		}
	}
	if size := sum().Size(); len(k.Salt) == 0 || len(k.StoredKey) != size || len(k.ServerKey) != size {
		return nil, fmt.Errorf("%w: keys are not of %d bytes", ErrHash, size)
	}
	return &hashed{slow: true, scram: &k, digest: sum, check: func(password []byte) bool {
		made := func(password []byte) bool {
			return hmac.Equal(mech.DeriveKeys(sum, password, k.Salt, k.Iterations).StoredKey, k.StoredKey)
		}
		clean := mech.Prepare(password)
		return made(clean) || !bytes.Equal(clean, password) && made(password) // doveadm does not prepare
	}}, nil
}

// cramSize is that of two MD5 states, the outer one first, as Dovecot's.
const cramSize = 32

func readCRAM(stored []byte) (*hashed, error) {
	if len(stored) != cramSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrHash, len(stored), cramSize)
	}
	return &hashed{cram: stored, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(cramStates(password), stored) == 1
	}}, nil
}

func makeCRAM(password []byte, _ io.Reader) ([]byte, error) { return cramStates(password), nil }

// md5Magic begins the marshalled state of crypto/md5; four words follow.
const md5Magic = "md5\x01"

// cramStates returns the MD5 states after the padded key, RFC 2195 §2: what a
// server needs of a password, and not the password.
func cramStates(password []byte) []byte {
	key := make([]byte, md5.BlockSize)
	if len(password) > md5.BlockSize {
		sum := md5.Sum(password)
		copy(key, sum[:])
	} else {
		copy(key, password)
	}
	out := make([]byte, 0, cramSize)
	for _, pad := range []byte{0x5c, 0x36} {
		h := md5.New()
		for _, c := range key {
			h.Write([]byte{c ^ pad})
		}
		state, err := h.(goencoding.BinaryMarshaler).MarshalBinary()
		if err != nil || !bytes.HasPrefix(state, []byte(md5Magic)) {
			return nil
		}
		for i := range 4 { // Dovecot has the words with the low byte first
			out = binary.LittleEndian.AppendUint32(out, binary.BigEndian.Uint32(state[4+4*i:]))
		}
	}
	return out
}

// cramDigest is HMAC-MD5 of a challenge, from the states.
func cramDigest(states, challenge []byte) []byte {
	resume := func(state, text []byte) []byte {
		saved := []byte(md5Magic)
		for i := range 4 {
			saved = binary.BigEndian.AppendUint32(saved, binary.LittleEndian.Uint32(state[4*i:]))
		}
		saved = append(saved, make([]byte, md5.BlockSize)...)
		saved = binary.BigEndian.AppendUint64(saved, md5.BlockSize) // bytes so far
		h := md5.New()
		if err := h.(goencoding.BinaryUnmarshaler).UnmarshalBinary(saved); err != nil {
			return nil
		}
		h.Write(text)
		return h.Sum(nil)
	}
	return resume(states[:16], resume(states[16:], challenge))
}

// readDigestMD5 reads MD5(user:realm:password), RFC 2831 §2.1.2.1; the realm is
// the domain of the user.
func readDigestMD5(stored []byte, user string) (*hashed, error) {
	if len(stored) != md5.Size {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrHash, len(stored), md5.Size)
	}
	at := strings.LastIndexByte(user, '@')
	if user == "" {
		return nil, fmt.Errorf("%w: this one belongs to a user name", ErrHash)
	}
	name, realm := user, ""
	if at >= 0 {
		name, realm = user[:at], user[at+1:]
	}
	prefix := name + ":" + realm + ":"
	return &hashed{check: func(password []byte) bool {
		sum := md5.Sum(append([]byte(prefix), password...))
		return subtle.ConstantTimeCompare(sum[:], stored) == 1
	}}, nil
}
