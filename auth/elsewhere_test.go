package auth

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestPasswordsHeldElsewhere asks a server that knows ann and her password, and
// cannot say anything about bob.
func TestPasswordsHeldElsewhere(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "auth")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "VERSION\t1\t2\nDONE\n")
			in := bufio.NewScanner(c)
			for in.Scan() {
				_, resp, ok := strings.Cut(in.Text(), "resp=")
				if !ok {
					continue
				}
				asked++
				plain, _ := base64.StdEncoding.DecodeString(resp)
				switch string(plain) {
				case "\x00ann@box.example\x00far", "\x00other\x00far":
					fmt.Fprint(c, "OK\t1\tuser=x\n")
				case "\x00bob@box.example\x00far":
					fmt.Fprint(c, "FAIL\t1\ttemp\n")
				default:
					fmt.Fprint(c, "FAIL\t1\n")
				}
				break
			}
			c.Close()
		}
	}()
	var cfg *Config
	s, path := newService(t, func(c *Config) {
		c.SASLServer = "dovecot:" + socket
		c.RehashScheme = "SHA512-CRYPT"
		c.Mechanisms = everyMechanism
		cfg = c
	})
	other(t, path, `UPDATE VMailbox SET vmPasswd = '{SASL}' WHERE vmNum IN (1, 2, 5); UPDATE VMailbox SET vmPasswd = '{sasl}other' WHERE vmNum = 6`)
	try := func(user, password string) error {
		_, err := s.Plain(context.Background(), Client{}, user+"@box.example", password)
		return err
	}
	for _, tt := range []struct {
		user, password string
		err            error
	}{
		{"ann", "far", nil}, {"ann", "near", ErrBadCredentials}, {"bob", "far", ErrUnavailable}, {"nomail", "far", nil}, {"denied", "far", ErrBadCredentials},
	} {
		if err := try(tt.user, tt.password); err != tt.err {
			t.Errorf("%s %s: %v", tt.user, tt.password, err)
		}
	}
	if asked != 4 {
		t.Errorf("asked %d times", asked)
	}
	if got := stored(t, s, "ann"); got != "{SASL}" {
		t.Errorf("the password was stored here: %s", got)
	}
	if _, err := talk(s, Client{}, "SCRAM-SHA-256", "ann@box.example", "far", nil); err != ErrBadCredentials {
		t.Errorf("SCRAM: %v", err)
	}
	cfg.SASLServer = ""
	if err := try("ann", "far"); err != ErrUnavailable {
		t.Errorf("without a server: %v", err)
	}
}
