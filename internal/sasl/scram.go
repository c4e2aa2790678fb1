package sasl

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/emersion/go-sasl"
)

// Keys are what a server keeps of a password, RFC 5802 §3.
type Keys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// DeriveKeys makes Keys of a password, which should be Prepared.
func DeriveKeys(sum func() hash.Hash, password, salt []byte, iterations int) Keys {
	salted, err := pbkdf2.Key(sum, string(password), salt, iterations, sum().Size())
	if err != nil { // only for short keys in FIPS mode
		return Keys{Salt: salt, Iterations: iterations}
	}
	client := mac(sum, salted, "Client Key")
	h := sum()
	h.Write(client)
	return Keys{Salt: salt, Iterations: iterations, StoredKey: h.Sum(nil), ServerKey: mac(sum, salted, "Server Key")}
}

func mac(sum func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(sum, key)
	io.WriteString(m, text)
	return m.Sum(nil)
}

// Challenge knows the user of a SCRAM exchange.
type Challenge struct {
	// Keys of the user; made up for one who is not known, so that nobody
	// learns who is.
	Keys func(authzid, user string) (Keys, error)
	// Finish takes whether the client knew the password; its error is what
	// Next returns.
	Finish func(ok bool) error
}

// SCRAM is what a server of one SCRAM mechanism is made of, RFC 5802.
type SCRAM struct {
	Sum  func() hash.Hash
	Rand io.Reader
	// Bind returns the data of a channel binding by its name, of the TLS
	// connection that the exchange runs on; nil: there is none.
	Bind func(name string) ([]byte, bool)
	// Plus: this is the mechanism with the suffix -PLUS. Offered: the client
	// was offered that one, so that it lies when it says it was not.
	Plus    bool
	Offered bool
}

// maxSCRAM bounds a message of the client, in bytes.
const maxSCRAM = 4096

type scram struct {
	SCRAM
	c     Challenge
	step  int
	keys  Keys
	nonce string
	gs2   string // header of the first message
	bound []byte // channel binding data
	bare  string // the first message without gs2
	first string // the server's first message
}

// New returns a server of the mechanism.
func (m SCRAM) New(c Challenge) sasl.Server { return &scram{SCRAM: m, c: c} }

// Next takes the client's first message, its proof, and the empty answer to
// the server's proof.
func (s *scram) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && s.step == 0 {
		s.step = 1
		return []byte{}, false, nil
	}
	step := s.step
	s.step = len(scramSteps)
	if len(response) > maxSCRAM {
		return nil, false, ErrSyntax
	}
	switch step {
	case 0, 1:
		challenge, err = s.begin(string(response))
		s.next(2, err)
		return challenge, false, err
	case 2:
		challenge, err = s.prove(string(response))
		s.next(3, err)
		return challenge, false, err
	case 3:
		if len(response) != 0 {
			return nil, false, ErrSyntax
		}
		return nil, true, nil
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

// scramSteps are: nothing said, asked for the first message, for the proof, for
// the end. Behind them the exchange is over.
var scramSteps = [4]struct{}{}

func (s *scram) next(step int, err error) {
	if err == nil {
		s.step = step
	}
}

// begin: gs2-header client-first-message-bare, RFC 5802 §7.
func (s *scram) begin(message string) ([]byte, error) {
	parts := strings.SplitN(message, ",", 3)
	if len(parts) != 3 {
		return nil, ErrSyntax
	}
	if err := s.bind(parts[0]); err != nil {
		return nil, err
	}
	authzid, ok := "", true
	if parts[1] != "" {
		authzid, ok = attribute(parts[1], 'a')
	}
	s.gs2, s.bare = parts[0]+","+parts[1]+",", parts[2]
	fields := strings.Split(s.bare, ",")
	if !ok || len(fields) < 2 || strings.HasPrefix(fields[0], "m=") {
		return nil, ErrSyntax
	}
	user, ok1 := attribute(fields[0], 'n')
	nonce, ok2 := attribute(fields[1], 'r')
	authzid, ok3 := saslname(authzid)
	user, ok4 := saslname(user)
	if !ok1 || !ok2 || !ok3 || !ok4 || user == "" || nonce == "" || len(user) > MaxName || len(authzid) > MaxName {
		return nil, ErrSyntax
	}
	own := make([]byte, 18)
	if _, err := io.ReadFull(s.Rand, own); err != nil {
		return nil, fmt.Errorf("make nonce: %w", err)
	}
	var err error
	if s.keys, err = s.c.Keys(authzid, user); err != nil {
		return nil, err
	}
	s.nonce = nonce + base64.StdEncoding.EncodeToString(own)
	s.first = fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.keys.Salt), s.keys.Iterations)
	return []byte(s.first), nil
}

// bind takes the flag of channel binding. RFC 5802 §6: "y" from a client that
// was offered -PLUS means that somebody took the offer away.
func (s *scram) bind(flag string) error {
	name, isName := attribute(flag, 'p')
	switch {
	case flag == "n" && !s.Plus:
		return nil
	case flag == "y" && !s.Plus && !s.Offered:
		return nil
	case flag == "y" && !s.Plus:
		return s.c.Finish(false)
	case !isName || !s.Plus || s.Bind == nil:
		return ErrSyntax
	}
	var ok bool
	if s.bound, ok = s.Bind(name); !ok {
		return ErrSyntax
	}
	return nil
}

// prove: c=,r=,p=. The proof is the client key, hidden by a signature that only
// who has the stored key can make.
func (s *scram) prove(message string) ([]byte, error) {
	without, last, ok := cutLast(message, ",p=")
	fields := strings.Split(without, ",")
	if !ok || len(fields) < 2 {
		return nil, ErrSyntax
	}
	header, ok1 := attribute(fields[0], 'c')
	nonce, ok2 := attribute(fields[1], 'r')
	bound, err1 := base64.StdEncoding.DecodeString(header)
	proof, err2 := base64.StdEncoding.DecodeString(last)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || nonce != s.nonce {
		return nil, ErrSyntax
	}
	text := s.bare + "," + s.first + "," + without
	right := hmac.Equal(bound, append([]byte(s.gs2), s.bound...)) && s.knows(proof, text)
	if err := s.c.Finish(right); err != nil {
		return nil, err
	}
	sign := mac(s.Sum, s.keys.ServerKey, text)
	return []byte("v=" + base64.StdEncoding.EncodeToString(sign)), nil
}

func (s *scram) knows(proof []byte, text string) bool {
	sign := mac(s.Sum, s.keys.StoredKey, text)
	if len(proof) != len(sign) || len(s.keys.StoredKey) == 0 {
		return false
	}
	for i := range sign {
		sign[i] ^= proof[i]
	}
	h := s.Sum()
	h.Write(sign)
	return hmac.Equal(h.Sum(nil), s.keys.StoredKey)
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func attribute(field string, name byte) (string, bool) {
	if len(field) < 2 || field[0] != name || field[1] != '=' {
		return "", false
	}
	return field[2:], true
}

// saslname undoes =2C and =3D; any other "=" is an error, RFC 5802 §5.1.
func saslname(s string) (string, bool) {
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(s)
	if strings.ContainsAny(plain, "=\x00") {
		return "", false
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s), true
}

// NewCRAMMD5 returns a server of CRAM-MD5, RFC 2195. challenge is what the
// client has to sign; verify gets the name and the digest.
func NewCRAMMD5(challenge string, verify func(user string, digest []byte) error) sasl.Server {
	return &cram{challenge: challenge, verify: verify}
}

type cram struct {
	challenge string
	verify    func(user string, digest []byte) error
	step      int
}

// Next says the challenge, whatever an initial response holds, then takes the
// answer: name, space, digest in hex.
func (c *cram) Next(response []byte) (challenge []byte, done bool, err error) {
	c.step++
	switch {
	case c.step == 1 && len(response) > 0:
		c.step = 3
		return nil, false, ErrSyntax // the client speaks second
	case c.step == 1:
		return []byte(c.challenge), false, nil
	case c.step > 2:
		return nil, false, sasl.ErrUnexpectedClientResponse
	}
	at := bytes.LastIndexByte(response, ' ')
	if at <= 0 || at > MaxName || len(response)-at-1 != 32 || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, ErrSyntax
	}
	if err := c.verify(string(response[:at]), response[at+1:]); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}

// NewExternal returns a server of EXTERNAL, RFC 4422 appendix A: verify gets
// whom the client wants to be, or ”.
func NewExternal(verify func(authzid string) error) sasl.Server { return &external{verify: verify} }

type external struct {
	verify      func(string) error
	asked, done bool
}

// Next takes the one message of the client.
func (e *external) Next(response []byte) (challenge []byte, done bool, err error) {
	if e.done {
		return nil, false, sasl.ErrUnexpectedClientResponse
	}
	if response == nil && !e.asked {
		e.asked = true
		return []byte{}, false, nil
	}
	e.done = true
	if len(response) > MaxName || bytes.IndexByte(response, 0) >= 0 {
		return nil, false, ErrSyntax
	}
	if err := e.verify(string(response)); err != nil {
		return nil, false, err
	}
	return nil, true, nil
}
