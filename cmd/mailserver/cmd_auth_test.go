package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailserver/internal/server"
	"mailserver/schema"
)

func TestAuthCommands(t *testing.T) {
	dir := sampleDir(t)
	code, out, errs := run(t, dir, "", "app-password", "add", "ann@vmail.example", "phone", "--protocols", "imap")
	if code != 0 || len(out) != 24 {
		t.Fatalf("%d %q %s", code, out, errs)
	}
	secret := out
	st, err := schema.OpenState(context.Background(), server.StateFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	err = st.Write(context.Background(), func(tx *schema.Tx) error {
		for _, net := range []string{"203.0.113.9", "2001:db8:1:2::/64", "198.51.100.1"} {
			if _, err := tx.AddBan(net, "a test", time.Now(), time.Hour, time.Hour); err != nil {
				return err
			}
		}
		return nil
	})
	st.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		line, in string
		code     int
		want     string
	}{
		{"app-password add ann@vmail.example phone", "", exitCantCreate, "exists already"},
		{"app-password add nobody@vmail.example phone", "", exitNoUser, "nobody@vmail.example"},
		{"app-password add ann@vmail.example tv --protocols imap,gopher", "", exitUsage, "gopher"},
		{"auth test ann@vmail.example", secret, 0, "ann@vmail.example: authentication succeeded"},
		{"auth test ANN@vmail.example", "anns-secret\n", 0, "ann@vmail.example: authentication succeeded"},
		{"auth test ann@vmail.example --service smtp", secret, exitNotFound, "password mismatch"},
		{"app-password list ann@vmail.example", "", 0, "phone"},
		{"app-password list --json", "", 0, `"last_protocol":"imap"`},
		{"app-password rm ann@vmail.example phone", "", 0, ""},
		{"app-password rm ann@vmail.example phone", "", exitNoUser, "phone"},
		{"auth test ann@vmail.example", secret, exitNotFound, "password mismatch"},
		{"ban list", "", 0, "203.0.113.9"},
		{"ban list --json", "", 0, `"net":"2001:db8:1:2::/64"`},
		{"ban lift 203.0.113.9", "", 0, "lifted 1"},
		{"ban lift 203.0.113.9", "", exitNotFound, ""},
		{"ban lift 2001:db8:1:2::77", "", 0, "lifted 1"},
		{"ban lift somebody", "", exitUsage, "neither"},
		{"ban lift ALL", "", 0, "lifted 1"},
		{"cert list", "", 0, "3 1 1 "},
		{"cert list --json", "", 0, `"issuer":"mx.example"`},
		{"cert roll mx.example", "", exitUsage, "cert next mx.example"},
		{"cert next mx.example", "", 0, "_25._tcp.mx.example. IN TLSA 3 1 1 "},
		{"cert list --json", "", 0, `"tlsa_next":"3 1 1 `},
		{"cert roll mx.example", "", 0, "next key"},
		{"cert next other.example", "", exitUsage, "no certificate"},
		{"pw verify --user ann@box.example {DIGEST-MD5}da23e1863730fc4052239ebbe27979eb", "correct horse", 0, "verified"},
	} {
		code, out, errs := run(t, dir, tt.in, strings.Fields(tt.line)...)
		if code != tt.code || !strings.Contains(out+errs, tt.want) {
			t.Errorf("%s: %d, %s%s", tt.line, code, out, errs)
		}
	}
}
