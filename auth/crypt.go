package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	gobcrypt "github.com/go-crypt/x/bcrypt"
	"github.com/go-crypt/x/crypt"
	"github.com/go-crypt/x/yescrypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// What a stored hash may cost at most. A row with more is refused, not tried:
// one log-in would hold up all others.
const (
	maxRounds      = 2_000_000 // SHA-crypt: about a second
	maxBcryptCost  = 16        // about six seconds
	maxArgonMemory = 256 << 10 // KiB
	maxArgonWork   = 2 << 20   // KiB times passes: a few seconds
	maxArgonLanes  = 64
)

// Costs of new hashes: those of doveadm pw, except where its default is out of
// date (bcrypt, 5) or wants 64 MiB for every log-in (Argon2id).
const (
	newBcryptCost   = 10
	newArgonMemory  = 19 << 10 // KiB
	newArgonPasses  = 2
	newArgoniMemory = 12 << 10
	newArgoniPasses = 3
	shaCryptRounds  = 5000
)

// cryptAlphabet is what crypt(3) writes salts in.
const cryptAlphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// readCrypt reads what crypt(3) wrote, by its prefix.
func readCrypt(stored []byte) (*hashed, error) {
	id, _, _ := strings.Cut(strings.TrimPrefix(string(stored), "$"), "$")
	switch {
	case !bytes.HasPrefix(stored, []byte("$")):
		return readDESCrypt(stored)
	case id == "1":
		return readMD5Crypt(stored)
	case id == "apr1":
		return readApacheMD5(stored)
	case id == "5":
		return readSHA256Crypt(stored)
	case id == "6":
		return readSHA512Crypt(stored)
	case id == "2a", id == "2b", id == "2y":
		return readBcrypt(stored)
	case id == "7":
		return readScrypt(stored)
	case id == "y":
		return readYescrypt(stored)
	case id == "argon2i":
		return readArgon2i(stored)
	case id == "argon2id":
		return readArgon2id(stored)
	}
	return nil, fmt.Errorf("%w: $%s$ is not known here", ErrHash, clip(id))
}

// readMD5Crypt reads $1$salt$hash.
func readMD5Crypt(stored []byte) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	if len(f) != 4 || f[0] != "" || f[1] != "1" || len(f[2]) > 8 || len(f[3]) != 22 {
		return nil, fmt.Errorf("%w: not $1$salt$hash", ErrHash)
	}
	salt, want := []byte(f[2]), []byte(f[3])
	return &hashed{slow: true, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(crypt.KeyMD5Crypt(password, salt), want) == 1
	}}, nil
}

func makeMD5Crypt(password []byte, rand io.Reader) ([]byte, error) {
	salt, err := cryptSalt(8, rand)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "$1$%s$%s", salt, crypt.KeyMD5Crypt(password, salt)), nil
}

func readSHA256Crypt(stored []byte) (*hashed, error) {
	return readSHACrypt(stored, "5", sha256.New, 43)
}

func readSHA512Crypt(stored []byte) (*hashed, error) {
	return readSHACrypt(stored, "6", sha512.New, 86)
}

// readSHACrypt reads $id$[rounds=n$]salt$hash.
func readSHACrypt(stored []byte, id string, sum func() hash.Hash, size int) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	rounds := shaCryptRounds
	if len(f) == 5 && strings.HasPrefix(f[2], "rounds=") {
		n, err := strconv.Atoi(f[2][len("rounds="):])
		if err != nil || n < 1000 || n > maxRounds {
			return nil, fmt.Errorf("%w: %s is not in 1000..%d", ErrHash, clip(f[2]), maxRounds)
		}
		rounds = n
		f = append(f[:2], f[3:]...)
	}
	if len(f) != 4 || f[0] != "" || f[1] != id || len(f[2]) > 16 || len(f[3]) != size {
		return nil, fmt.Errorf("%w: not $%s$salt$hash", ErrHash, id)
	}
	salt, want := []byte(f[2]), []byte(f[3])
	return &hashed{slow: true, check: func(password []byte) bool {
		return subtle.ConstantTimeCompare(crypt.KeySHACrypt(sum, password, salt, rounds), want) == 1
	}}, nil
}

func makeSHA256Crypt(password []byte, rand io.Reader) ([]byte, error) {
	return makeSHACrypt(password, "5", sha256.New, rand)
}

func makeSHA512Crypt(password []byte, rand io.Reader) ([]byte, error) {
	return makeSHACrypt(password, "6", sha512.New, rand)
}

func makeSHACrypt(password []byte, id string, sum func() hash.Hash, rand io.Reader) ([]byte, error) {
	salt, err := cryptSalt(16, rand)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "$%s$%s$%s", id, salt, crypt.KeySHACrypt(sum, password, salt, shaCryptRounds)), nil
}

// cryptSalt returns n letters of crypt(3)'s alphabet.
func cryptSalt(n int, rand io.Reader) ([]byte, error) {
	salt := make([]byte, n)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, err
	}
	for i := range salt {
		salt[i] = cryptAlphabet[salt[i]%64]
	}
	return salt, nil
}

// readBcrypt reads $2a$, $2b$ and $2y$, which are the same for passwords as
// they are typed. $2x$ has a fault in the hash function itself.
func readBcrypt(stored []byte) (*hashed, error) {
	if len(stored) != 60 || stored[0] != '$' || stored[1] != '2' || !bytes.ContainsAny(stored[2:3], "aby") {
		return nil, fmt.Errorf("%w: not $2y$cost$saltandhash", ErrHash)
	}
	if strings.Trim(string(stored[7:]), cryptAlphabet) != "" {
		return nil, fmt.Errorf("%w: not $2y$cost$saltandhash", ErrHash)
	}
	cost, err := bcrypt.Cost(stored)
	if err != nil || cost > maxBcryptCost {
		return nil, fmt.Errorf("%w: bcrypt cost is not in %d..%d", ErrHash, bcrypt.MinCost, maxBcryptCost)
	}
	return &hashed{slow: true, check: func(password []byte) bool {
		return bcrypt.CompareHashAndPassword(stored, password) == nil
	}}, nil
}

func makeBcrypt(password []byte, rand io.Reader) ([]byte, error) {
	if len(password) > 72 {
		return nil, errors.New("bcrypt reads only 72 bytes of a password")
	}
	salt := make([]byte, 16)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, err
	}
	out, err := gobcrypt.GenerateFromPasswordSalt(password, salt, newBcryptCost)
	if err != nil {
		return nil, err
	}
	out[2] = 'y' // as doveadm and PHP write it
	return out, nil
}

// readYescrypt reads $y$jNr$salt$hash with the flags that crypt(5) writes.
func readYescrypt(stored []byte) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	if len(f) != 5 || f[0] != "" || f[1] != "y" || len(f[2]) != 3 || len(f[3]) > 86 || len(f[4]) != 43 {
		return nil, fmt.Errorf("%w: not $y$jNr$salt$hash", ErrHash)
	}
	_, logN, r, err := yescrypt.DecodeSetting([]byte(f[2]))
	if err != nil || logN < 10 || logN > 18 || r < 1 || r > 32 || 128*r<<logN > maxArgonMemory<<10 {
		return nil, fmt.Errorf("%w: yescrypt parameters %s", ErrHash, f[2])
	}
	if yescrypt.Decode64([]byte(f[3])) == nil {
		return nil, fmt.Errorf("%w: yescrypt salt", ErrHash)
	}
	setting := stored[:bytes.LastIndexByte(stored, '$')]
	return &hashed{slow: true, memory: int64(128*r) << logN, check: func(password []byte) bool {
		got, err := yescrypt.Hash(password, setting)
		return err == nil && subtle.ConstantTimeCompare(got, stored) == 1
	}}, nil
}

// argonKey is argon2.Key or argon2.IDKey.
type argonKey func(password, salt []byte, passes, memory uint32, lanes uint8, size uint32) []byte

func readArgon2i(stored []byte) (*hashed, error)  { return readArgon(stored, "argon2i", argon2.Key) }
func readArgon2id(stored []byte) (*hashed, error) { return readArgon(stored, "argon2id", argon2.IDKey) }

// readArgon reads $argon2id$v=19$m=65536,t=3,p=1$salt$hash.
func readArgon(stored []byte, id string, key argonKey) (*hashed, error) {
	f := strings.Split(string(stored), "$")
	if len(f) != 6 || f[0] != "" || f[1] != id || f[2] != "v=19" {
		return nil, fmt.Errorf("%w: not $%s$v=19$m=,t=,p=$salt$hash", ErrHash, id)
	}
	m, t, p, err := argonParameters(f[3])
	if err != nil {
		return nil, err
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(f[4])
	want, err2 := base64.RawStdEncoding.DecodeString(f[5])
	if err1 != nil || err2 != nil || len(salt) < 8 || len(salt) > 64 || len(want) < 16 || len(want) > 128 {
		return nil, fmt.Errorf("%w: argon2 salt or hash", ErrHash)
	}
	return &hashed{slow: true, memory: int64(m) << 10, check: func(password []byte) bool {
		got := key(password, salt, t, m, p, uint32(len(want)))
		return subtle.ConstantTimeCompare(got, want) == 1
	}}, nil
}

// argonParameters reads m=KiB,t=passes,p=lanes and holds them to the bounds.
func argonParameters(s string) (memory, passes uint32, lanes uint8, err error) {
	var n [3]int
	f := strings.Split(s, ",")
	if len(f) != 3 {
		return 0, 0, 0, fmt.Errorf("%w: argon2 parameters", ErrHash)
	}
	for i, prefix := range []string{"m=", "t=", "p="} {
		text, ok := strings.CutPrefix(f[i], prefix)
		if n[i], err = strconv.Atoi(text); err != nil || !ok || n[i] < 1 {
			return 0, 0, 0, fmt.Errorf("%w: argon2 parameters", ErrHash)
		}
	}
	if n[2] > maxArgonLanes || n[0] < 8*n[2] || n[0] > maxArgonMemory || n[1] > maxArgonWork/n[0] {
		return 0, 0, 0, fmt.Errorf("%w: argon2 %s costs too much (at most %d KiB, %d KiB times passes, %d lanes)",
			ErrHash, clip(s), maxArgonMemory, maxArgonWork, maxArgonLanes)
	}
	return uint32(n[0]), uint32(n[1]), uint8(n[2]), nil
}

func makeArgon2i(password []byte, rand io.Reader) ([]byte, error) {
	return makeArgon(password, "argon2i", argon2.Key, newArgoniMemory, newArgoniPasses, rand)
}

func makeArgon2id(password []byte, rand io.Reader) ([]byte, error) {
	return makeArgon(password, "argon2id", argon2.IDKey, newArgonMemory, newArgonPasses, rand)
}

func makeArgon(password []byte, id string, key argonKey, memory, passes uint32, rand io.Reader) ([]byte, error) {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(rand, salt); err != nil {
		return nil, err
	}
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Appendf(nil, "$%s$v=19$m=%d,t=%d,p=1$%s$%s", id, memory, passes,
		b64(salt), b64(key(password, salt, passes, memory, 1, 32))), nil
}
