package sasl

import (
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-sasl"
)

func TestBearer(t *testing.T) {
	big := strings.Repeat("t", MaxToken+1)
	for _, tt := range []struct {
		name, message, user, token string
		x                          bool
	}{
		{"of the RFC", "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01", "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", false},
		{"no user", "n,,\x01auth=Bearer abc\x01\x01", "", "abc", false},
		{"scheme in lower case", "y,a=a=2Cb=3Dc,\x01auth=bearer abc\x01\x01", "a,b=c", "abc", false},
		{"of Google", "user=someuser@example.com\x01auth=Bearer ya29.vF9dft4\x01\x01", "someuser@example.com", "ya29.vF9dft4", true},
		{"channel binding", "p=tls-exporter,,\x01auth=Bearer abc\x01\x01", "", "", false},
		{"no end", "n,,\x01auth=Bearer abc\x01", "", "", false},
		{"no token", "n,,\x01host=x\x01\x01", "", "", false},
		{"empty token", "n,,\x01auth=Bearer \x01\x01", "", "", false},
		{"Basic", "n,,\x01auth=Basic abc\x01\x01", "", "", false},
		{"line end in the token", "n,,\x01auth=Bearer a\r\nX: y\x01\x01", "", "", false},
		{"odd user", "n,a=x=y,\x01auth=Bearer abc\x01\x01", "", "", false},
		{"NUL in the user", "user=a\x00b\x01auth=Bearer abc\x01\x01", "", "", true},
		{"no pair", "n,,\x01auth\x01\x01", "", "", false},
		{"long", "n,,\x01auth=Bearer " + big + "\x01\x01", "", "", false},
		{"the other mechanism", "user=a\x01auth=Bearer abc\x01\x01", "", "", false},
	} {
		var user, token string
		b := Bearer{Verify: func(u, s string) error { user, token = u, s; return nil }}
		server := NewOAuthBearer(b)
		if tt.x {
			server = NewXOAuth2(b)
		}
		_, done, err := exchange(server, nil, []byte(tt.message))
		if done != (tt.token != "") || user != tt.user || token != tt.token || !done && err != ErrSyntax {
			t.Errorf("%s: %q %q, %v, %v", tt.name, user, token, done, err)
		}
	}
}

func TestBearerIsToldOfARefusal(t *testing.T) {
	errDown := errors.New("down")
	for _, fault := range []error{errNo, errDown} {
		s := NewOAuthBearer(Bearer{Verify: func(string, string) error { return fault }, Refused: func(err error) bool { return err == errNo }, Scope: "mail"})
		challenge, done, err := s.Next([]byte("n,,\x01auth=Bearer abc\x01\x01"))
		if fault == errDown {
			if challenge != nil || done || err != errDown {
				t.Errorf("%s, %v, %v", challenge, done, err)
			}
			continue
		}
		if string(challenge) != `{"status":"invalid_token","schemes":"bearer","scope":"mail"}` || done || err != nil {
			t.Errorf("%s, %v, %v", challenge, done, err)
		}
		if _, done, err = s.Next([]byte{1}); done || err != errNo {
			t.Errorf("at the end: %v, %v", done, err)
		}
		if _, _, err = s.Next(nil); err != sasl.ErrUnexpectedClientResponse {
			t.Errorf("after the end: %v", err)
		}
	}
}

// FuzzBearer holds that a token that reaches Verify is one of RFC 6750.
func FuzzBearer(f *testing.F) {
	f.Add(true, []byte("n,a=user@example.com,\x01host=x\x01auth=Bearer abc==\x01\x01"))
	f.Add(false, []byte("user=a\x01auth=Bearer abc\x01\x01"))
	f.Fuzz(func(t *testing.T, which bool, message []byte) {
		b := Bearer{Verify: func(user, token string) error {
			if token == "" || len(token) > MaxToken || len(user) > MaxName || strings.ContainsAny(token+user, "\x00\r\n") || strings.ContainsAny(token, " \x01") {
				t.Errorf("%q, %q", user, token)
			}
			return nil
		}}
		s := NewXOAuth2(b)
		if which {
			s = NewOAuthBearer(b)
		}
		s.Next(message)
	})
}
