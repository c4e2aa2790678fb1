package auth

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gosasl "github.com/emersion/go-sasl"

	"mailserver/internal/setting"
	"mailserver/schema"
)

const someUsers = `
INSERT INTO Domain (domNum, domName, domClass, active) VALUES (1, 'host.example', 1, 1), (2, 'box.example', 842, 1), (3, 'off.example', 842, 0);
INSERT INTO Address (addNum, addLocalpart, addDomNum, active) VALUES
  (1, 'ann', 2, 1), (2, 'Bob', 2, 1), (3, 'gone', 2, 1), (4, 'nopw', 2, 1), (5, 'denied', 2, -1), (6, 'nomail', 2, 0),
  (7, 'alias', 2, 1), (8, 'odd', 2, 1), (9, 'sys@box.example', 1, -1), (10, 'sys', 2, 1), (11, 'ann', 3, 1), (12, 'root', 1, -1),
  (13, 'broken', 2, 1);
INSERT INTO VMailbox (vmNum, active, vmPasswd) VALUES
  (1, 1, '{PLAIN}Ann secret'), (2, 1, '$6$NCcvERkX5bZEJ5N.$t044amoFkP2qna6Oju1QugrKmlVFSfydLeYtTnKcrouO7AjR69qf6j8YNz9SwxIVOksWZoEqNLAsYizlMzFT..'),
  (3, 0, '{PLAIN}pw'), (4, 1, NULL), (5, 1, '{PLAIN}pw'), (6, 1, '{PLAIN}pw'), (8, 1, '{NTLM}0123'), (10, 1, '{PLAIN}pw'),
  (11, 1, '{PLAIN}pw'), (13, 1, '{SHA512-CRYPT}$6$x');`

// newService returns a Service over a real file, which it returns the path of.
// Refusals are not delayed unless change asks for it.
func newService(t testing.TB, change func(*Config)) (*Service, string) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "mail.sqlite")
	if err := schema.CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	other(t, path, someUsers)
	m, err := schema.OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	cfg := Config{Hostname: "host.example", DefaultScheme: "CRYPT", UsernameFormat: "%Lu", Mechanisms: []string{"plain", "login"}, Throttle: true, ThrottleMax: 15 * time.Second, ThrottleSize: 1 << 20,
		ThrottleExempt: []string{"127.0.0.0/8", "[::1]/128"}, BanFailures: 30, BanTime: 10 * time.Minute, BanMaxTime: 24 * time.Hour, CertName: "commonName",
		CacheSize: 1 << 20, CacheTTL: time.Hour, Workers: 2, HashMemory: 64 << 20}
	if change != nil {
		change(&cfg)
	}
	st, err := schema.OpenState(ctx, filepath.Join(t.TempDir(), "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return New(Deps{Mail: m, State: st, Config: func(context.Context) (*Config, error) { return &cfg, nil }}), path
}

// other runs SQL on a connection of its own, as the sqlite3 shell would.
func other(t testing.TB, path, rows string) {
	t.Helper()
	if err := schema.Script(context.Background(), path, rows); err != nil {
		t.Fatalf("%v\n%s", err, rows)
	}
}

func TestPlainDecides(t *testing.T) {
	s, _ := newService(t, nil)
	for _, tt := range []struct {
		name, user, password string
		want                 string // canonical name; '' refused
		err                  error
	}{
		{"right", "ann@box.example", "Ann secret", "ann@box.example", nil},
		{"name in another case", "ANN@Box.Example", "Ann secret", "ann@box.example", nil},
		{"row in another case", "bob@box.example", "correct horse", "bob@box.example", nil},
		{"wrong password", "ann@box.example", "ann secret", "", ErrBadCredentials},
		{"wrong password of a hash", "bob@box.example", "battery", "", ErrBadCredentials},
		{"unknown user", "eve@box.example", "pw", "", ErrBadCredentials},
		{"unknown domain", "ann@nowhere.example", "pw", "", ErrBadCredentials},
		{"bare name", "ann", "Ann secret", "", ErrBadCredentials},
		{"mailbox off", "gone@box.example", "pw", "", ErrBadCredentials},
		{"no password stored", "nopw@box.example", "pw", "", ErrBadCredentials},
		{"alias only", "alias@box.example", "pw", "", ErrBadCredentials},
		{"active -1", "denied@box.example", "pw", "", ErrBadCredentials},
		{"active 0 takes no mail, logs in", "nomail@box.example", "pw", "nomail@box.example", nil},
		{"domain off, log-ins go on", "ann@off.example", "pw", "ann@off.example", nil},
		{"system user with @ denied", "sys@box.example", "pw", "", ErrBadCredentials},
		{"unknown scheme", "odd@box.example", "pw", "", ErrUnavailable},
		{"broken hash", "broken@box.example", "pw", "", ErrUnavailable},
		{"empty password", "ann@box.example", "", "", ErrBadCredentials},
		{"empty name", "", "pw", "", ErrBadCredentials},
		{"long password", "ann@box.example", strings.Repeat("x", 5000), "", ErrBadCredentials},
		{"control in name", "ann@box.example\r\n", "Ann secret", "", ErrBadCredentials},
		{"NUL in password", "ann@box.example", "Ann secret\x00", "", ErrBadCredentials},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := s.Plain(context.Background(), Client{}, tt.user, tt.password)
			if err != tt.err || id.User != tt.want {
				t.Errorf("%+v, %v; want %q, %v", id, err, tt.want, tt.err)
			}
		})
	}
}

func TestRowsActAtTheNextLogin(t *testing.T) {
	s, path := newService(t, nil)
	try := func(password string) error {
		_, err := s.Plain(context.Background(), Client{}, "ann@box.example", password)
		return err
	}
	if err := try("Ann secret"); err != nil {
		t.Fatal(err)
	}
	other(t, path, `UPDATE VMailbox SET vmPasswd = '{PLAIN}new' WHERE vmNum = 1`)
	if err := try("Ann secret"); err != ErrBadCredentials {
		t.Errorf("old password: %v", err)
	}
	if err := try("new"); err != nil {
		t.Errorf("new password: %v", err)
	}
	other(t, path, `UPDATE Address SET active = -1 WHERE addNum = 1`)
	if err := try("new"); err != ErrBadCredentials {
		t.Errorf("denied: %v", err)
	}
	other(t, path, `UPDATE Address SET active = 1 WHERE addNum = 1; UPDATE VMailbox SET active = 0 WHERE vmNum = 1`)
	if err := try("new"); err != ErrBadCredentials {
		t.Errorf("mailbox off: %v", err)
	}
}

func TestUnreadableFileIsNotAWrongPassword(t *testing.T) {
	s, _ := newService(t, nil)
	s.d.Mail.Close()
	if _, err := s.Plain(context.Background(), Client{}, "ann@box.example", "Ann secret"); err != ErrUnavailable {
		t.Errorf("without a file: %v", err)
	}
}

func TestNameSettings(t *testing.T) {
	for _, tt := range []struct {
		name, format, realm, sent, want string
	}{
		{"default realm", "%Lu", "box.example", "ann", "ann@box.example"},
		{"realm given", "%Lu", "other.example", "ann@box.example", "ann@box.example"},
		{"domain dropped", "%n@box.example", "", "ann@webmail.example", "ann@box.example"},
		{"parts", "%Un@%d", "", "ann@box.example", "ann@box.example"},
	} {
		s, _ := newService(t, func(c *Config) { c.UsernameFormat, c.DefaultRealm = tt.format, tt.realm })
		if id, err := s.Plain(context.Background(), Client{}, tt.sent, "Ann secret"); err != nil || id.User != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, id, err)
		}
	}
	for _, format := range []string{"%{user|lower}", "%s", "x%", "%L"} {
		s, _ := newService(t, func(c *Config) { c.UsernameFormat = format })
		if _, err := s.Plain(context.Background(), Client{}, "ann@box.example", "Ann secret"); err != ErrUnavailable {
			t.Errorf("format %q: %v", format, err)
		}
	}
}

func TestDefaultSettings(t *testing.T) {
	params, err := setting.NewTable(Config{})
	if err != nil {
		t.Fatal(err)
	}
	var c Config
	if err := params.Fill(&c, nil); err != nil {
		t.Fatal(err)
	}
	if c.FailureDelay != 2*time.Second || c.Workers != 2 || c.HashMemory != 64<<20 || c.CacheSize != 1<<20 || strings.Join(c.Mechanisms, " ") != "plain login" {
		t.Errorf("%+v", c)
	}
}

func TestBegin(t *testing.T) {
	s, _ := newService(t, nil)
	ctx := context.Background()
	for _, tt := range []struct {
		mechanism string
		responses []string
		want      Identity
		err       error
	}{
		{"plain", []string{"\x00Ann@box.example\x00Ann secret"}, Identity{"ann@box.example", "PLAIN"}, nil},
		{"PLAIN", []string{"ANN@box.example\x00ann@box.example\x00Ann secret"}, Identity{"ann@box.example", "PLAIN"}, nil},
		{"PLAIN", []string{"bob@box.example\x00ann@box.example\x00Ann secret"}, Identity{}, ErrBadCredentials},
		{"PLAIN", []string{"\x00ann@box.example\x00wrong"}, Identity{}, ErrBadCredentials},
		{"PLAIN", []string{"ann@box.example Ann secret"}, Identity{}, ErrSyntax},
		{"PLAIN", []string{"\x00odd@box.example\x00pw"}, Identity{}, ErrUnavailable},
		{"LOGIN", []string{"ann@box.example", "Ann secret"}, Identity{"ann@box.example", "LOGIN"}, nil},
		{"LOGIN", []string{"ann@box.example", "wrong"}, Identity{}, ErrBadCredentials},
	} {
		var got Identity
		server := s.Begin(ctx, Client{TLS: true}, tt.mechanism, func(id Identity) { got = id })
		done, err := run(server, tt.responses)
		if got != tt.want || err != tt.err || done != (tt.err == nil) {
			t.Errorf("%s %q: %+v, %v, %v; want %+v, %v", tt.mechanism, tt.responses, got, done, err, tt.want, tt.err)
		}
	}
	if s.Begin(ctx, Client{}, "GSSAPI", nil) != nil {
		t.Error("GSSAPI is offered")
	}
}

func run(s gosasl.Server, responses []string) (done bool, err error) {
	for _, r := range responses {
		if _, done, err = s.Next([]byte(r)); err != nil {
			return done, err
		}
	}
	return done, err
}

func TestMechanisms(t *testing.T) {
	ctx := context.Background()
	s, _ := newService(t, func(c *Config) { c.Mechanisms = []string{"login", "Plain", "gssapi"} })
	for _, tt := range []struct {
		tls, plaintext bool
		want           string
	}{{true, false, "LOGIN PLAIN"}, {false, true, "LOGIN PLAIN"}, {false, false, ""}} {
		if got := strings.Join(s.Mechanisms(ctx, Client{TLS: tt.tls}, tt.plaintext), " "); got != tt.want {
			t.Errorf("tls %v, plaintext %v: %q", tt.tls, tt.plaintext, got)
		}
	}
	s, _ = newService(t, func(c *Config) { c.Mechanisms = []string{"login"} })
	if s.Begin(ctx, Client{}, "PLAIN", nil) != nil {
		t.Error("PLAIN begins though the setting does not name it")
	}
}

func TestRefusalIsDelayedFromItsStart(t *testing.T) {
	var cfg *Config
	s, _ := newService(t, func(c *Config) { cfg = c })
	ctx := context.Background()
	for _, user := range []string{"ann@box.example", "bob@box.example", "eve@box.example"} { // caches the rows
		s.Plain(ctx, Client{}, user, "x")
	}
	cfg.FailureDelay = 2 * time.Second
	s.guard.stop = nil // of no bubble
	synctest.Test(t, func(t *testing.T) {
		for _, user := range []string{"ann@box.example", "bob@box.example", "eve@box.example"} {
			start := time.Now()
			if _, err := s.Plain(t.Context(), Client{}, user, "wrong"); err != ErrBadCredentials {
				t.Fatal(err)
			}
			if d := time.Since(start); d != 2*time.Second {
				t.Errorf("%s is refused after %v", user, d)
			}
		}
		start := time.Now()
		if _, err := s.Plain(t.Context(), Client{}, "ann@box.example", "Ann secret"); err != nil || time.Since(start) != 0 {
			t.Errorf("a right password: %v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Plain(ctx, Client{}, "ann@box.example", "wrong"); err != ErrBadCredentials || time.Since(start) != time.Second {
			t.Errorf("client gone: %v after %v", err, time.Since(start))
		}
	})
}

func TestUnknownUserCostsWhatTheLastOneDid(t *testing.T) {
	s, _ := newService(t, nil)
	ctx := context.Background()
	calls := 0
	s.pattern.Store(&hashed{check: func([]byte) bool { calls++; return true }})
	for _, user := range []string{"eve@box.example", "denied@box.example", "gone@box.example", "", "ann\x00"} {
		if _, err := s.Plain(ctx, Client{}, user, "pw"); err != ErrBadCredentials {
			t.Errorf("%q: %v", user, err)
		}
	}
	if calls != 5 {
		t.Errorf("%d hashes for 5 log-ins without a user", calls)
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	var out strings.Builder
	s, _ := newService(t, nil)
	s.d.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, user := range []string{"ann@box.example", "eve@box.example", "odd@box.example", "denied@box.example", "broken@box.example"} {
		s.Plain(context.Background(), Client{Service: "imap"}, user, "Hush-hush")
	}
	for _, secret := range []string{"Hush-hush", "Ann secret", "$6$x", "0123"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, out.String())
		}
	}
	for _, reason := range []string{"NTLM", "password mismatch", "unknown user", "active -1", "SHA512-CRYPT"} {
		if !strings.Contains(out.String(), reason) {
			t.Errorf("%q is not in the log:\n%s", reason, out.String())
		}
	}
}

func BenchmarkLogin(b *testing.B) {
	s, _ := newService(b, nil)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Plain(ctx, Client{}, "bob@box.example", "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCheckNamesTheSetting(t *testing.T) {
	params := must(setting.NewTable(Config{}))
	for _, tt := range []struct{ name, value, want string }{
		{"auth_mechanisms", "plain login scram-sha-256-plus scram-sha-1 cram-md5 external", ""},
		{"auth_mechanisms", "plain gssapi", `setting auth_mechanisms: "gssapi" is not implemented`},
		{"auth_username_format", "%{user}", "setting auth_username_format: "},
		{"auth_rehash_scheme", "{SSHA512.hex}", ""}, {"auth_rehash_scheme", "DES-CRYPT", "setting auth_rehash_scheme: "},
		{"auth_rehash_scheme", "NTLM", "setting auth_rehash_scheme: "},
		{"auth_throttle_exempt", "10.0.0.0/8 here", "setting auth_throttle_exempt: "}, {"auth_throttle_exempt", "", ""},
		{"auth_sasl_server", "ldap:/x", "setting auth_sasl_server: "}, {"auth_sasl_server", "saslauthd:/run/saslauthd/mux", ""},
		{"ssl_cert_username_field", "x500", "setting ssl_cert_username_field: "},
	} {
		var c Config
		if err := params.Fill(&c, map[string]string{tt.name: tt.value}); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s = %s: %v", tt.name, tt.value, err)
		}
	}
}
