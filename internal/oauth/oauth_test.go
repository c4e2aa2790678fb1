package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAsk(t *testing.T) {
	var seen http.Request
	var status int
	var body string
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		seen = *r
		if status == http.StatusFound {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		w.Write([]byte(body))
	})
	srv := httptest.NewTLSServer(answer)
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, mode string
		status     int
		body       string
		want       string // claim sub; 'refused', or part of another error
	}{
		{"introspection", "post", 200, `{"active":true,"sub":"ann","exp":5}`, "ann"},
		{"inactive", "post", 200, `{"active":false}`, "refused"},
		{"odd active", "post", 200, `{"active":"yes","sub":"ann"}`, "refused"},
		{"our secret is wrong", "post", 401, `{}`, "HTTP status 401"},
		{"user data", "auth", 200, `{"sub":"ann"}`, "ann"},
		{"user data, bad token", "auth", 401, ``, "refused"},
		{"token data", "get", 200, `{"sub":"ann"}`, "ann"},
		{"token data, bad token", "get", 400, `{"error":"invalid_token"}`, "refused"},
		{"fault", "auth", 500, `{}`, "HTTP status 500"},
		{"elsewhere", "auth", 302, ``, "HTTP status 302"},
		{"no JSON", "auth", 200, `<html>`, "no JSON"},
		{"an array", "auth", 200, `[]`, "no JSON"},
		{"null", "auth", 200, `null`, "no JSON"},
		{"endless", "auth", 200, `{"sub":"` + strings.Repeat("x", maxAnswer) + `"}`, "too long"},
	} {
		status, body = tt.status, tt.body
		s := Server{Mode: tt.mode, URL: srv.URL + "/ask?token=", ID: "mail", Secret: "s:1", CAFile: ca, Timeout: time.Minute}
		c, err := s.Ask(t.Context(), "tok.en", time.Now())
		switch {
		case tt.want == "refused" && errors.Is(err, ErrRefused):
		case err != nil && !errors.Is(err, ErrRefused) && strings.Contains(err.Error(), tt.want):
		case err == nil && c.Text("sub") == tt.want:
		default:
			t.Errorf("%s: %v, %v", tt.name, c, err)
		}
		user, secret, _ := seen.BasicAuth()
		sent := map[string]string{"auth": seen.Header.Get("Authorization"), "get": seen.URL.Query().Get("token"), "post": seen.PostForm.Get("token") + " " + user + " " + secret}[tt.mode]
		if want := map[string]string{"auth": "Bearer tok.en", "get": "tok.en", "post": "tok.en mail s%3A1"}[tt.mode]; sent != want {
			t.Errorf("%s: sent %q", tt.name, sent)
		}
	}
	srv.Close()
	s := Server{Mode: "get", URL: srv.URL + "/?t=", CAFile: ca, Timeout: time.Minute}
	if _, err := s.Ask(t.Context(), "hidden", time.Now()); err == nil || errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "hidden") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestClaims(t *testing.T) {
	c := Claims{"a": []any{"x", 1, "y"}, "b": " x  y", "c": true, "d": json.Number("17")}
	got := fmt.Sprintf("%v %v %v %q %q %q %v %v", c.List("a"), c.List("b"), c.List("c"), c.Text("c"), c.Text("d"), c.Text("a"), c.Time("d").Unix(), c.Time("c").IsZero())
	if got != `[x y] [x y] [] "true" "17" "" 17 true` {
		t.Error(got)
	}
}

func TestSignedTokens(t *testing.T) {
	b64 := base64.RawURLEncoding.EncodeToString
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	edPub, edKey, _ := ed25519.GenerateKey(rand.Reader)
	point, _ := ecKey.PublicKey.Bytes()
	set := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"r","use":"sig","n":%q,"e":%q},{"kty":"EC","kid":"e","crv":"P-256","alg":"ES256","x":%q,"y":%q},
		{"kty":"OKP","kid":"d","crv":"Ed25519","x":%q},{"kty":"oct","kid":"o","k":"c2VjcmV0"}]}`,
		b64(rsaKey.N.Bytes()), b64(big.NewInt(int64(rsaKey.E)).Bytes()), b64(point[1:33]), b64(point[33:]), b64(edPub))
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(alg string, text []byte) []byte {
		sum := sha256.Sum256(text)
		switch alg {
		case "RS256":
			s, _ := rsa.SignPKCS1v15(rand.Reader, rsaKey, crypto.SHA256, sum[:])
			return s
		case "PS256":
			s, _ := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, sum[:], nil)
			return s
		case "ES256":
			r, s, _ := ecdsa.Sign(rand.Reader, ecKey, sum[:])
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		case "EdDSA":
			return ed25519.Sign(edKey, text)
		}
		return nil
	}
	now := time.Unix(1e9, 0)
	make := func(header, claims, alg string) string {
		text := b64([]byte(header)) + "." + b64([]byte(claims))
		return text + "." + b64(sign(alg, []byte(text)))
	}
	good := `{"sub":"ann","exp":1000000600}`
	for name, tt := range map[string]struct {
		token string
		ok    bool
	}{
		"RS256":         {make(`{"alg":"RS256","kid":"r"}`, good, "RS256"), true},
		"PS256":         {make(`{"alg":"PS256"}`, good, "PS256"), true},
		"ES256":         {make(`{"alg":"ES256","kid":"e","typ":"JWT"}`, good, "ES256"), true},
		"EdDSA":         {make(`{"alg":"EdDSA"}`, good, "EdDSA"), true},
		"another key":   {make(`{"alg":"RS256","kid":"x"}`, good, "RS256"), false},
		"none":          {make(`{"alg":"none"}`, good, ""), false},
		"shared secret": {make(`{"alg":"HS256","kid":"o"}`, good, ""), false},
		"crit":          {make(`{"alg":"RS256","crit":["b64"]}`, good, "RS256"), false},
		"expired":       {make(`{"alg":"RS256"}`, `{"exp":1000000000}`, "RS256"), false},
		"no expiry":     {make(`{"alg":"RS256"}`, `{"sub":"ann"}`, "RS256"), false},
		"not yet":       {make(`{"alg":"RS256"}`, `{"exp":1000000600,"nbf":1000000300}`, "RS256"), false},
		"no signature":  {b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(good)) + ".", false},
		"other claims":  {b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(`{"sub":"eve","exp":1000000600}`)) + "." + strings.Split(make(`{"alg":"RS256"}`, good, "RS256"), ".")[2], false},
		"opaque":        {"abc", false},
	} {
		c, err := (&Server{Mode: "local", KeyFile: file}).Ask(t.Context(), tt.token, now)
		if tt.ok && (err != nil || c.Text("sub") != "ann") || !tt.ok && !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if _, err := (&Server{Mode: "local", KeyFile: file + "x"}).Ask(t.Context(), "a.b.c", now); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("without keys: %v", err)
	}
}

// FuzzVerify holds that any token and any keys are refused, or the token good.
func FuzzVerify(f *testing.F) {
	f.Add("eyJhbGciOiJSUzI1NiJ9.e30.AA", `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`)
	f.Add("eyJhbGciOiJFUzI1NiJ9.e30.AA", `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`)
	file := filepath.Join(f.TempDir(), "keys.json")
	f.Fuzz(func(t *testing.T, token, keys string) {
		os.WriteFile(file, []byte(keys), 0o600)
		if c, err := (&Server{Mode: "local", KeyFile: file}).Ask(t.Context(), token, time.Now()); err == nil && c.Time("exp").IsZero() {
			t.Error(c)
		}
	})
}
