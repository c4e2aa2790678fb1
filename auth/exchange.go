package auth

import (
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/emersion/go-sasl"

	mech "mailserver/internal/sasl"
)

// offer is a row of the table of SASL mechanisms.
type offer struct {
	name   string
	clear  bool // sends the password itself: only under TLS
	bound  bool // needs a TLS connection that is known
	client bool // needs a certificate of the client
	serve  func(*exchange) sasl.Server
}

var mechanisms = []offer{
	{name: "PLAIN", clear: true, serve: func(x *exchange) sasl.Server { return mech.NewPlain(x.password) }},
	{name: "LOGIN", clear: true, serve: func(x *exchange) sasl.Server { return mech.NewLogin(x.password) }},
	{name: "SCRAM-SHA-256-PLUS", bound: true, serve: func(x *exchange) sasl.Server { return x.scram(sha256Sum, true) }},
	{name: "SCRAM-SHA-256", serve: func(x *exchange) sasl.Server { return x.scram(sha256Sum, false) }},
	{name: "SCRAM-SHA-1-PLUS", bound: true, serve: func(x *exchange) sasl.Server { return x.scram(sha1Sum, true) }},
	{name: "SCRAM-SHA-1", serve: func(x *exchange) sasl.Server { return x.scram(sha1Sum, false) }},
	{name: "CRAM-MD5", serve: (*exchange).cramMD5},
	{name: "OAUTHBEARER", clear: true, serve: func(x *exchange) sasl.Server { return mech.NewOAuthBearer(x.bearer()) }},
	{name: "XOAUTH2", clear: true, serve: func(x *exchange) sasl.Server { return mech.NewXOAuth2(x.bearer()) }},
	{name: "EXTERNAL", bound: true, client: true, serve: func(x *exchange) sasl.Server { return mech.NewExternal(x.external) }},
}

func findMechanism(name string) *offer {
	for i := range mechanisms {
		if strings.EqualFold(mechanisms[i].name, name) {
			return &mechanisms[i]
		}
	}
	return nil
}

// fits reports whether the connection has what the mechanism needs.
func (m *offer) fits(c Client) bool {
	return (!m.bound || c.State != nil) && (!m.client || len(c.State.PeerCertificates) > 0)
}

// exchange is one run of a mechanism.
type exchange struct {
	s     *Service
	ctx   context.Context
	c     Client
	name  string
	plus  bool // -PLUS of the mechanism is offered too
	done  func(Identity)
	claim string // who the client says it is, for the log
}

// named is a server that knows the claim of its client.
type named struct {
	sasl.Server
	x *exchange
}

// Claim is the name.
func (n named) Claim() string { return n.x.claim }

// Claim returns the user name that the client of an exchange from Begin has
// given so far, unverified; ” if none.
func Claim(server sasl.Server) string {
	if n, ok := server.(interface{ Claim() string }); ok {
		return n.Claim()
	}
	return ""
}

func (x *exchange) tell(id Identity, err error) error {
	if err == nil {
		x.done(id)
	}
	return err
}

func (x *exchange) password(cred mech.Credentials) error {
	x.claim = cred.User
	return x.tell(x.s.login(x.ctx, x.c, x.name, cred))
}

// begin admits an exchange that never shows a password, and reads the account.
// A password that is stored so that none of these can be answered from it is
// a refusal.
func (x *exchange) begin(user, authzid string) (*attempt, *account, error) {
	x.claim = user
	a, err := x.s.admit(x.ctx, x.c, x.name, user, 0)
	if err != nil {
		return nil, nil, err
	}
	name, err := canonical(a.cfg, user)
	if err == nil {
		var acc *account
		if acc, err = x.s.account(x.ctx, a.cfg, x.c, name); err == nil {
			if !a.mayAct(mech.Credentials{Authzid: authzid, User: user}, acc) {
				acc.refuse("%q may not act as %q", user, authzid)
			}
			return a, acc, nil
		}
	}
	_, err = a.end("", err)
	return nil, nil, err
}

// own returns the account's own password, read; nil when it is refused. An app
// password is typed into programs that send it as it is.
func (a *attempt) own(acc *account) (*hashed, error) {
	if acc.refused == nil && (len(acc.secrets) == 0 || acc.secrets[0].app != 0) {
		acc.refuse("mailbox has no password for this")
	}
	if acc.refused != nil {
		return nil, nil
	}
	if _, other := elsewhere(acc.secrets[0].stored); other || acc.secrets[0].helper {
		acc.refuse("%s cannot be answered from a password that is held elsewhere", a.mechanism)
		return nil, nil
	}
	h, err := readHash(acc.secrets[0].stored, a.cfg.DefaultScheme, acc.name)
	if err != nil {
		return nil, fmt.Errorf("password of %s: %w", acc.name, err)
	}
	return h, nil
}

// finish ends an exchange that never showed a password.
func (x *exchange) finish(a *attempt, acc *account, ok bool) error {
	switch {
	case acc.refused != nil:
		return x.tell(a.end("", acc.refused))
	case !ok:
		return x.tell(a.end("", fmt.Errorf("%w: password mismatch", ErrBadCredentials)))
	}
	return x.tell(a.end(acc.name, nil))
}

func (x *exchange) scram(sum digest, plus bool) sasl.Server {
	var a *attempt
	var acc *account
	m := mech.SCRAM{Sum: sum, Rand: rand.Reader, Plus: plus, Offered: x.plus}
	if x.c.State != nil {
		m.Bind = func(name string) ([]byte, bool) { return binding(name, x.c.State, x.c.Shown) }
	}
	return m.New(mech.Challenge{
		Keys: func(authzid, user string) (mech.Keys, error) {
			var err error
			if a, acc, err = x.begin(user, authzid); err != nil {
				return mech.Keys{}, err
			}
			keys, err := a.scramKeys(acc, sum)
			if err != nil {
				_, err = a.end("", err)
			}
			return keys, err
		},
		Finish: func(ok bool) error {
			if a == nil { // somebody took our offer of -PLUS away
				return ErrBadCredentials
			}
			return x.finish(a, acc, ok)
		},
	})
}

// scramKeys returns the keys of an account. Of a clear password they are made;
// for all others, and for nobody, there are a salt that stays the same and no
// keys, so that the exchange fails at its end.
func (a *attempt) scramKeys(acc *account, sum digest) (mech.Keys, error) {
	h, err := a.own(acc)
	if err != nil {
		return mech.Keys{}, err
	}
	fake := hmac.New(sha256.New, a.s.salts[:])
	fake.Write([]byte(acc.name))
	salt := fake.Sum(nil)[:16]
	switch {
	case h != nil && h.scram != nil && h.digest().Size() == sum().Size():
		return *h.scram, nil
	case h != nil && h.clear != nil:
		release, err := a.turn(0)
		if err != nil {
			return mech.Keys{}, err
		}
		defer release(true)
		return mech.DeriveKeys(sum, mech.Prepare(h.clear), salt, scramIterations), nil
	case h != nil:
		acc.refuse("%s cannot be answered from the stored password", a.mechanism)
	}
	return mech.Keys{Salt: salt, Iterations: scramIterations}, nil
}

// binding returns the data of a channel binding: tls-exporter of RFC 9266,
// tls-server-end-point and tls-unique of RFC 5929.
func binding(name string, st *tls.ConnectionState, shown *x509.Certificate) ([]byte, bool) {
	switch name {
	case "tls-exporter":
		data, err := st.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
		return data, err == nil
	case "tls-unique":
		return st.TLSUnique, st.Version < tls.VersionTLS13 && len(st.TLSUnique) > 0
	case "tls-server-end-point":
		return endPoint(shown)
	}
	return nil, false
}

// endPoint is a digest of the server's certificate by the digest that it is
// signed by, SHA-256 instead of the broken ones, RFC 5929 §4.1.
func endPoint(cert *x509.Certificate) ([]byte, bool) {
	if cert == nil {
		return nil, false
	}
	by := crypto.SHA256
	switch cert.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		by = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		by = crypto.SHA512
	case x509.PureEd25519:
		return nil, false // the RFC has none for it
	}
	h := by.New()
	h.Write(cert.Raw)
	return h.Sum(nil), true
}

func (x *exchange) cramMD5() sasl.Server {
	var nonce [12]byte
	rand.Read(nonce[:])
	host := "localhost"
	if cfg, err := x.s.d.Config(x.ctx); err == nil {
		host = cfg.Hostname
	}
	challenge := fmt.Sprintf("<%x.%d@%s>", nonce, x.s.d.Now().Unix(), host)
	return mech.NewCRAMMD5(challenge, func(user string, digest []byte) error {
		a, acc, err := x.begin(user, "")
		if err != nil {
			return err
		}
		h, err := a.own(acc)
		if err != nil {
			return x.tell(a.end("", err))
		}
		return x.finish(a, acc, cramFits(a, acc, h, challenge, digest))
	})
}

func cramFits(a *attempt, acc *account, h *hashed, challenge string, digest []byte) bool {
	states := cramStates(nil) // work for nobody too
	switch {
	case h != nil && h.cram != nil:
		states = h.cram
	case h != nil && h.clear != nil:
		states = cramStates(h.clear)
	case h != nil:
		acc.refuse("%s cannot be answered from the stored password", a.mechanism)
	}
	want := hex.EncodeToString(cramDigest(states, []byte(challenge)))
	return hmac.Equal([]byte(want), []byte(strings.ToLower(string(digest))))
}
