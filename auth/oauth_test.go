package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch token := r.FormValue("token"); token {
		case "down":
			w.WriteHeader(http.StatusBadGateway)
		case "dead":
			fmt.Fprint(w, `{"active":false}`)
		case "short":
			fmt.Fprintf(w, `{"active":true,"email":"ann@box.example","scope":"openid mail","iss":"https://id.example","exp":%d}`, time.Now().Add(-time.Second).Unix())
		case "noscope":
			fmt.Fprint(w, `{"active":true,"email":"ann@box.example","scope":"openid","iss":"https://id.example"}`)
		case "alien":
			fmt.Fprint(w, `{"active":true,"email":"ann@box.example","scope":"mail","iss":"https://evil.example"}`)
		case "noname":
			fmt.Fprint(w, `{"active":true,"scope":"mail","iss":"https://id.example"}`)
		default:
			fmt.Fprintf(w, `{"active":true,"email":%q,"scope":"openid mail","iss":"https://id.example"}`, token+"@box.example")
		}
	}))
	defer srv.Close()
	s, _ := newService(t, func(c *Config) {
		c.Mechanisms = []string{"OAUTHBEARER", "XOAUTH2"}
		c.OAuth = OAuth{IntrospectionURL: srv.URL, IntrospectionMode: "post", UsernameAttribute: "email", ActiveAttribute: "active", ActiveValue: "true",
			Scope: []string{"mail"}, Issuers: []string{"https://id.example"}, OAuthTimeout: time.Minute}
	})
	try := func(user, token string) (string, error) {
		who := ""
		x := s.Begin(context.Background(), Client{TLS: true}, "XOAUTH2", func(id Identity) { who = id.User })
		challenge, done, err := x.Next([]byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"))
		if err == nil && !done {
			if string(challenge) != `{"status":"invalid_token","schemes":"bearer","scope":"mail"}` {
				t.Errorf("%s: told %s", token, challenge)
			}
			_, _, err = x.Next([]byte{})
		}
		return who, err
	}
	for _, tt := range []struct {
		user, token, want string
		err               error
	}{
		{"ann@box.example", "ann", "ann@box.example", nil}, {"ANN@box.example", "Ann", "ann@box.example", nil},
		{"bob@box.example", "ann", "", ErrBadCredentials}, {"ann@box.example", "dead", "", ErrBadCredentials},
		{"ann@box.example", "short", "", ErrBadCredentials}, {"ann@box.example", "noscope", "", ErrBadCredentials},
		{"ann@box.example", "alien", "", ErrBadCredentials}, {"ann@box.example", "noname", "", ErrBadCredentials},
		{"denied@box.example", "denied", "", ErrBadCredentials}, {"nobody@box.example", "nobody", "", ErrBadCredentials},
		{"ann@box.example", "down", "", ErrUnavailable},
	} {
		if who, err := try(tt.user, tt.token); who != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s with %s: %q, %v", tt.user, tt.token, who, err)
		}
	}
	before := asked.Load()
	if who, err := try("ann@box.example", "ann"); who == "" || asked.Load() != before {
		t.Errorf("a good token is asked about again: %v", err)
	}
	srv.Close()
	if _, err := try("ann@box.example", "other"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("nobody answers: %v", err)
	}
	x := s.Begin(context.Background(), Client{TLS: true}, "OAUTHBEARER", func(id Identity) {
		if id.User != "ann@box.example" {
			t.Error(id)
		}
	})
	if _, done, err := x.Next([]byte("n,,\x01auth=Bearer ann\x01\x01")); !done || Claim(x) != "ann@box.example" {
		t.Errorf("without a user: %v, %q", err, Claim(x))
	}
}

func TestTokensAreBounded(t *testing.T) {
	var m tokens
	v := newVerified()
	for i := range 10000 {
		m.add(v.of("", fmt.Sprint(i), ""), "ann@box.example", time.Now().Add(time.Hour), 100*tokenEntry)
	}
	if n := len(m.now) + len(m.old); n > 100 {
		t.Errorf("%d tokens", n)
	}
}
