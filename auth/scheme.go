package auth

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"

	"golang.org/x/crypto/md4" //lint:ignore SA1019 old databases hold it

	mech "mailserver/internal/sasl"
)

var (
	// ErrScheme: a stored password has a {SCHEME} that is not known here.
	ErrScheme = errors.New("unknown password scheme")
	// ErrHash: a stored password is not what its scheme writes, or would cost
	// more than any log-in is worth.
	ErrHash = errors.New("unusable password hash")
)

// MaxPassword bounds a password, in bytes, as crypt(3) does
// (CRYPT_MAX_PASSPHRASE_SIZE).
const MaxPassword = 512

// maxStored bounds the text of a stored password.
const maxStored = 2048

// hashed is a stored password, read and found fit to be verified.
type hashed struct {
	memory int64 // bytes that check needs
	slow   bool  // check takes a slot
	check  func(password []byte) bool

	// What mechanisms need that never see the password; nil: not stored so.
	clear  []byte
	scram  *mech.Keys
	digest digest // of scram
	cram   []byte
}

// encoding is how a scheme's bytes are written.
type encoding int

const (
	asText encoding = iota // crypt(3) strings and clear text: as they are
	asHex
	asBase64
)

// scheme is one row of the table of password schemes.
type scheme struct {
	encoding encoding
	size     int // of an unsalted digest: tells hex from base64; 0 otherwise
	read     func(stored []byte) (*hashed, error)
	make     func(password []byte, rand io.Reader) ([]byte, error) // nil: only verified
	readFor  func(stored []byte, user string) (*hashed, error)     // in place of read: the hash holds the name
}

// schemes are those of Dovecot, with its names.
func schemes(name string) (scheme, bool) {
	s, ok := schemeTable[name]
	return s, ok
}

var schemeTable = map[string]scheme{
	"PLAIN":         textScheme(readClear, makeClear),
	"CLEAR":         textScheme(readClear, makeClear),
	"CLEARTEXT":     textScheme(readClear, makeClear),
	"CRYPT":         textScheme(readCrypt, makeSHA512Crypt),
	"MD5":           textScheme(readMD5, makeMD5Crypt),
	"MD5-CRYPT":     textScheme(readMD5Crypt, makeMD5Crypt),
	"SHA256-CRYPT":  textScheme(readSHA256Crypt, makeSHA256Crypt),
	"SHA512-CRYPT":  textScheme(readSHA512Crypt, makeSHA512Crypt),
	"BLF-CRYPT":     textScheme(readBcrypt, makeBcrypt),
	"ARGON2I":       textScheme(readArgon2i, makeArgon2i),
	"ARGON2ID":      textScheme(readArgon2id, makeArgon2id),
	"PLAIN-MD5":     digestScheme(md5Sum, asHex),
	"MD5RAW":        digestScheme(md5Sum, asHex).onlyRead(), // of Courier
	"PLAIN-MD4":     digestScheme(md4.New, asHex).onlyRead(),
	"LDAP-MD5":      digestScheme(md5Sum, asBase64),
	"SHA":           digestScheme(sha1Sum, asBase64),
	"SHA1":          digestScheme(sha1Sum, asBase64),
	"SHA256":        digestScheme(sha256Sum, asBase64),
	"SHA512":        digestScheme(sha512Sum, asBase64),
	"SMD5":          saltedScheme(md5Sum),
	"SSHA":          saltedScheme(sha1Sum),
	"SSHA256":       saltedScheme(sha256Sum),
	"SSHA512":       saltedScheme(sha512Sum),
	"PBKDF2":        textScheme(readPBKDF2, makePBKDF2),
	"SCRAM-SHA-1":   scramScheme(sha1Sum),
	"SCRAM-SHA-256": scramScheme(sha256Sum),
	"CRAM-MD5":      {encoding: asHex, read: readCRAM, make: makeCRAM},
	"HMAC-MD5":      {encoding: asHex, read: readCRAM, make: makeCRAM},
	"DES-CRYPT":     textScheme(readDESCrypt, nil),
	"DIGEST-MD5":    {encoding: asHex, readFor: readDigestMD5},
}

// textScheme is a row for what is stored as it is written.
func textScheme(read func([]byte) (*hashed, error), make func([]byte, io.Reader) ([]byte, error)) scheme {
	return scheme{encoding: asText, read: read, make: make}
}

// onlyRead is the row for a scheme that is no longer made.
func (s scheme) onlyRead() scheme {
	s.make = nil
	return s
}

// Schemes returns the names of the password schemes that Hash makes, sorted.
// DES-CRYPT, DIGEST-MD5, PLAIN-MD4 and MD5RAW are verified as well, and no
// longer made.
func Schemes() []string {
	list := make([]string, 0, len(schemeTable))
	for name, s := range schemeTable {
		if s.make != nil {
			list = append(list, name)
		}
	}
	sort.Strings(list)
	return list
}

// Hash returns the stored form {SCHEME}... of a password. The name may end in
// .b64 or .hex, as Dovecot's. Salts are read from rand. Errors: ErrScheme, or
// why this password cannot be stored so.
func Hash(name, password string, rand io.Reader) (string, error) {
	name = strings.Trim(name, "{}")
	s, enc, err := findScheme(name)
	if err != nil {
		return "", err
	}
	if err := checkPassword(password); err != nil {
		return "", err
	}
	if s.make == nil {
		return "", fmt.Errorf("passwords of scheme %s are verified here, but no longer made", name)
	}
	raw, err := s.make([]byte(password), rand)
	if err != nil {
		return "", fmt.Errorf("make a password of scheme %s: %w", name, err)
	}
	return "{" + strings.ToUpper(name) + "}" + encode(raw, enc), nil
}

// checkPassword refuses what no log-in could send.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("the password is empty")
	case len(password) > MaxPassword:
		return fmt.Errorf("the password is longer than %d bytes", MaxPassword)
	case strings.IndexByte(password, 0) >= 0:
		return errors.New("the password holds a NUL byte")
	}
	return nil
}

// Verify reports whether password is the one that stored, {SCHEME}hash, was
// made from; without a scheme it is CRYPT. Errors: ErrScheme, ErrHash. It takes
// the time and memory the scheme asks for, unbounded by a Service.
func Verify(stored, password string) (bool, error) { return VerifyOf("", stored, password) }

// VerifyOf is Verify for the schemes that hold the user's name, DIGEST-MD5.
func VerifyOf(user, stored, password string) (bool, error) {
	h, err := readHash(stored, "CRYPT", user)
	if err != nil {
		return false, err
	}
	return checkPassword(password) == nil && h.check([]byte(password)), nil
}

// Usable says why nobody can log in with the stored password of a user,
// whatever is typed; nil: somebody can. One without {SCHEME} has
// defaultScheme. Errors: ErrScheme, ErrHash.
func Usable(user, stored, defaultScheme string) error {
	if _, ok := elsewhere(stored); ok {
		return nil
	}
	_, err := readHash(stored, defaultScheme, user)
	return err
}

// readHash reads the stored password of a user; one without {SCHEME} has
// defaultScheme.
func readHash(stored, defaultScheme, user string) (*hashed, error) {
	if len(stored) > maxStored {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrHash, maxStored)
	}
	name, data := splitScheme(stored, defaultScheme)
	s, enc, err := findScheme(name)
	if err != nil {
		return nil, err
	}
	raw, err := decode(data, enc, s.size)
	if err != nil {
		return nil, fmt.Errorf("%w: scheme %s: %v", ErrHash, name, err)
	}
	var h *hashed
	if s.readFor != nil {
		h, err = s.readFor(raw, user)
	} else {
		h, err = s.read(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("scheme %s: %w", name, err)
	}
	return h, nil
}

// splitScheme takes "{SCHEME}data" apart.
func splitScheme(stored, defaultScheme string) (name, data string) {
	if strings.HasPrefix(stored, "{") {
		if end := strings.IndexByte(stored, '}'); end > 0 {
			return stored[1:end], stored[end+1:]
		}
	}
	return strings.Trim(defaultScheme, "{}"), stored
}

// findScheme takes the name of a scheme, in any case, with or without the
// suffix of an encoding.
func findScheme(name string) (scheme, encoding, error) {
	base, suffix, _ := strings.Cut(strings.ToUpper(name), ".")
	s, ok := schemes(base)
	if !ok {
		return scheme{}, 0, fmt.Errorf("%w %q", ErrScheme, clip(name))
	}
	switch suffix {
	case "":
		return s, s.encoding, nil
	case "HEX":
		s.size = 0
		return s, asHex, nil
	case "B64", "BASE64":
		s.size = 0
		return s, asBase64, nil
	}
	return scheme{}, 0, fmt.Errorf("%w %q", ErrScheme, clip(name))
}

// clip keeps what may be a mistyped password out of the log, but for its start.
func clip(name string) string {
	if len(name) > 24 {
		return name[:24] + "..."
	}
	return name
}

// decode undoes encode. An unsalted digest without "=" of twice its size in
// letters is hex, whatever the scheme writes itself, as in Dovecot.
func decode(data string, enc encoding, size int) ([]byte, error) {
	if size > 0 && len(data) == 2*size && !strings.Contains(data, "=") {
		enc = asHex
	}
	switch enc {
	case asHex:
		return hex.DecodeString(data)
	case asBase64:
		return base64.RawStdEncoding.DecodeString(strings.TrimRight(data, "="))
	}
	return []byte(data), nil
}

func encode(raw []byte, enc encoding) string {
	switch enc {
	case asHex:
		return hex.EncodeToString(raw)
	case asBase64:
		return base64.StdEncoding.EncodeToString(raw)
	}
	return string(raw)
}
