package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/schema"
)

func from(addr string) Client {
	return Client{Service: "imap", Remote: netip.MustParseAddr(addr)}
}

func TestNetworks(t *testing.T) {
	for addr, want := range map[string][2]string{
		"203.0.113.9":        {"203.0.113.9", "203.0.113.0/24"},
		"::ffff:203.0.113.9": {"203.0.113.9", "203.0.113.0/24"},
		"2001:db8:1:2:3::4":  {"2001:db8:1:2::/64", "2001:db8:1::/48"},
		"fe80::1:2:3:4%eth0": {"fe80::/64", "fe80::/48"},
	} {
		if near, far := networks(netip.MustParseAddr(addr)); near != want[0] || far != want[1] {
			t.Errorf("%s: %s, %s", addr, near, far)
		}
	}
}

// clock makes a service whose time stands still but for what it waits, and
// returns its guard's hold of the next attempt.
func hold(t *testing.T, s *Service, c Client, user, password string) time.Duration {
	t.Helper()
	start := time.Now()
	s.Plain(t.Context(), c, user, password)
	return time.Since(start)
}

// stateless is a service without files: everything waits inside a bubble.
func stateless(t *testing.T, change func(*Config)) *Service {
	s, _ := newService(t, change)
	s.d.State, s.guard.state = nil, nil
	for _, u := range []string{"ann", "eve"} { // caches the rows
		s.Plain(context.Background(), Client{}, u+"@box.example", "Ann secret")
	}
	s.pattern.Store(&hashed{check: func([]byte) bool { return false }})
	s.guard.t = throttle{}
	s.guard.stop = nil // of no bubble
	return s
}

func TestGuessesFromOneAddressWait(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		var waits []string
		for i := range 10 {
			waits = append(waits, hold(t, s, from("203.0.113.9"), "ann@box.example", fmt.Sprint("guess", i)).String())
		}
		if got := strings.Join(waits, " "); got != "0s 0s 0s 0s 0s 0s 1s 2s 4s 8s" {
			t.Errorf("waits of one after the other: %s", got)
		}
		if d := hold(t, s, from("198.51.100.7"), "bob@box.example", "x"); d != 0 {
			t.Errorf("another address waits %v", d)
		}
		_, err := s.Plain(t.Context(), from("203.0.113.9"), "ann@box.example", "Ann secret")
		if err != nil {
			t.Errorf("the right password, after its wait: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if d := hold(t, s, from("203.0.113.9"), "ann@box.example", "again"); d != 0 {
			t.Errorf("two hours later: waits %v", d)
		}
	})
}

func TestGuessesAtOnceAreCountedAtOnce(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		tried := make(chan error, 200)
		for i := range 200 {
			go func() {
				_, err := s.Plain(t.Context(), from("203.0.113.9"), fmt.Sprint("u", i, "@box.example"), "x")
				tried <- err
			}()
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		looked := 0
		for range 200 {
			if err := <-tried; err == ErrBadCredentials {
				looked++
			} else if err != ErrThrottled || !errors.Is(err, ErrUnavailable) {
				t.Errorf("held off with %v", err)
			}
		}
		if looked < 5 || looked > 11 {
			t.Errorf("%d of 200 guesses at once were looked at", looked)
		}
	})
}

func TestTheSameWrongPasswordIsOneGuess(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		for i := range 100 {
			if d := hold(t, s, from("203.0.113.9"), "ann@box.example", "last year's"); d != 0 {
				t.Fatalf("an old phone waits %v at try %d", d, i)
			}
		}
	})
}

func TestAnAccountIsNeverLockedOut(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		for i := range 300 { // a botnet: every guess from another network
			c := from(fmt.Sprintf("100.%d.%d.9", i/250, i%250))
			go s.Plain(t.Context(), c, "ann@box.example", fmt.Sprint("guess", i))
		}
		synctest.Wait()
		start := time.Now()
		if _, err := s.Plain(t.Context(), from("198.51.100.7"), "ann@box.example", "Ann secret"); err != nil || time.Since(start) > 15*time.Second {
			t.Errorf("the owner at a new address: %v after %v", err, time.Since(start))
		}
	})
}

func TestKnownUsersAreCountedByThemselves(t *testing.T) {
	var cfg *Config
	s, _ := newService(t, func(c *Config) { c.ThrottleMax, cfg = 50*time.Millisecond, c })
	ctx := context.Background()
	office := from("203.0.113.9")
	if _, err := s.Plain(ctx, office, "ann@box.example", "Ann secret"); err != nil {
		t.Fatal(err)
	}
	for i := range 60 { // the office's guesser is banned
		s.Plain(ctx, office, "eve@box.example", fmt.Sprint("guess", i))
		time.Sleep(time.Millisecond)
	}
	if bans := must(s.d.State.Bans(ctx, time.Now())); len(bans) != 1 || bans[0].Net != "203.0.113.9" || !strings.Contains(bans[0].Reason, "eve@box.example") {
		t.Fatalf("bans: %+v", bans)
	}
	if _, err := s.Plain(ctx, office, "bob@box.example", "correct horse"); err != ErrThrottled {
		t.Errorf("a stranger at a banned address: %v", err)
	}
	cfg.ThrottleMax = time.Minute
	start := time.Now()
	if _, err := s.Plain(ctx, office, "ann@box.example", "Ann secret"); err != nil || time.Since(start) > 30*time.Second {
		t.Errorf("who has come from there before: %v after %v", err, time.Since(start))
	}
	cfg.ThrottleMax = 50 * time.Millisecond
	err := s.d.State.Write(ctx, func(tx *schema.Tx) error { _, err := tx.LiftBan("203.0.113.9"); return err })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plain(ctx, office, "bob@box.example", "correct horse"); err != nil {
		t.Errorf("after the ban was lifted: %v", err)
	}
}

func TestBansGrow(t *testing.T) {
	ctx := context.Background()
	st := must(schema.OpenState(ctx, filepath.Join(t.TempDir(), "state.sqlite")))
	defer st.Close()
	now := time.Unix(1e9, 0)
	var got []string
	for range 10 {
		st.Write(ctx, func(tx *schema.Tx) error {
			until, err := tx.AddBan("192.0.2.1", "x", now, 10*time.Minute, 24*time.Hour)
			got = append(got, until.Sub(now).String())
			now = until
			return err
		})
	}
	if s := strings.Join(got, " "); s != "10m0s 20m0s 40m0s 1h20m0s 2h40m0s 5h20m0s 10h40m0s 21h20m0s 24h0m0s 24h0m0s" {
		t.Error(s)
	}
	if yes := must(st.Banned(ctx, "192.0.2.1", now.Add(-time.Second))); !yes {
		t.Error("not banned before its end")
	}
	if yes := must(st.Banned(ctx, "192.0.2.1", now)); yes {
		t.Error("banned after its end")
	}
}

func TestExemptAddressesShareNothing(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		for i := range 100 { // a webmail program logs all its users in from here
			if d := hold(t, s, from("127.0.0.1"), fmt.Sprint("u", i, "@box.example"), "x"); d != 0 {
				t.Fatalf("user %d waits %v", i, d)
			}
		}
	})
	if _, err := listed([]string{"10.0.0.0/33"}, netip.MustParseAddr("10.0.0.1")); err == nil {
		t.Error("10.0.0.0/33 is a network")
	}
	if yes, err := listed([]string{"192.0.2.1", "[2001:db8::]/32"}, netip.MustParseAddr("2001:db8::1")); !yes || err != nil {
		t.Error("not listed", err)
	}
}

func TestCountersAreBounded(t *testing.T) {
	var th throttle
	now := time.Now()
	for i := range 100000 {
		th.charge(uint64(i), byAddress, uint64(i), now, time.Second, 100*counterSize)
	}
	if n := len(th.now) + len(th.old); n > 101 {
		t.Errorf("%d counters", n)
	}
}

func TestAppPasswords(t *testing.T) {
	s, path := newService(t, nil)
	other(t, path, `INSERT INTO AppPassword (apNum, apAddNum, apName, apPasswd, apProtocols, apExpires, active) VALUES
		(1, 1, 'phone', '{PLAIN}phone word', 'imap,smtp', NULL, 1), (2, 1, 'old', '{PLAIN}old word', '', 100, 1),
		(3, 1, 'off', '{PLAIN}off word', '', NULL, 0), (4, 4, 'only', '{PLAIN}only word', 'pop3', NULL, 1),
		(5, 5, 'denied', '{PLAIN}denied word', '', NULL, 1)`)
	s.d.Now = func() time.Time { return time.Unix(1e9, 0) }
	for _, tt := range []struct {
		service, user, password string
		err                     error
	}{
		{"imap", "ann", "phone word", nil}, {"smtp", "ann", "phone word", nil}, {"pop3", "ann", "phone word", ErrBadCredentials},
		{"pop3", "ann", "Ann secret", nil}, {"imap", "ann", "old word", ErrBadCredentials}, {"imap", "ann", "off word", ErrBadCredentials},
		{"pop3", "nopw", "only word", nil}, {"imap", "nopw", "only word", ErrBadCredentials}, {"imap", "denied", "denied word", ErrBadCredentials},
		{"imap", "ann", "phone word", nil}, // remembered
	} {
		_, err := s.Plain(context.Background(), Client{Service: tt.service, Remote: netip.MustParseAddr("127.0.0.1")}, tt.user+"@box.example", tt.password)
		if err != tt.err {
			t.Errorf("%s %s %q: %v", tt.service, tt.user, tt.password, err)
		}
	}
	at, proto, remote, err := s.d.State.AppUse(context.Background(), 1)
	if err != nil || at.Unix() != 1e9 || proto != "imap" || remote != "127.0.0.1" {
		t.Errorf("last use %v, %s, %s, %v", at, proto, remote, err)
	}
}

func TestMasterUsers(t *testing.T) {
	s, path := newService(t, func(c *Config) { c.MasterSeparator = "*"; c.RehashScheme = "SHA512-CRYPT" })
	other(t, path, `INSERT INTO Administrator (adName, adPasswd, adDomNum, active) VALUES ('root', '{PLAIN}all', NULL, 1),
		('boxer', '{PLAIN}box', 2, 1), ('offer', '{PLAIN}off', 3, 1), ('gone', '{PLAIN}gone', NULL, 0)`)
	for _, tt := range []struct {
		authzid, user, password, want string
	}{
		{"", "ann@box.example*root", "all", "ann@box.example"}, {"", "ANN@box.example*ROOT", "all", "ann@box.example"},
		{"ann@box.example", "root", "all", "ann@box.example"}, {"", "ann@box.example*boxer", "box", "ann@box.example"},
		{"", "ann@box.example*offer", "off", ""}, {"", "ann@box.example*gone", "gone", ""}, {"", "ann@box.example*root", "Ann secret", ""},
		{"", "denied@box.example*root", "all", ""}, {"", "nopw@box.example*root", "all", ""}, {"", "root", "all", ""},
		{"", "ann@box.example*", "Ann secret", ""},
	} {
		a := s.Begin(context.Background(), Client{}, "PLAIN", func(id Identity) {
			if id.User != tt.want {
				t.Errorf("%+v: is %s", tt, id.User)
			}
		})
		if _, _, err := a.Next([]byte(tt.authzid + "\x00" + tt.user + "\x00" + tt.password)); (err == nil) != (tt.want != "") {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if got := stored(t, s, "ann"); got != "{PLAIN}Ann secret" {
		t.Errorf("a master's log-in has changed the user's password: %s", got)
	}
}

func TestSystemUsers(t *testing.T) {
	shadow := filepath.Join(t.TempDir(), "shadow")
	text := "root:" + crypted + ":19000:0:99999:7:::\nsys:" + crypted + ":19000:0:99999:7:::\nlocked:!" + crypted + ":19000:0:99999:7:::\n" +
		"open::19000:0:99999:7:::\nexpired:" + crypted + ":19000:0:99999:7::100:\nann:" + crypted + ":19000:0:99999:7:::\nodd:x\n"
	if err := os.WriteFile(shadow, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, path := newService(t, func(c *Config) { c.SystemUsers = true; c.FirstUID = 500 })
	s.d.Shadow = shadow
	s.d.LookupUser = lookupIn(map[string]string{"root": "0", "sys": "1000", "locked": "1001", "open": "1002", "expired": "1003", "ann": "1004", "blocked": "1005"})
	other(t, path, `INSERT INTO Address (addLocalpart, addDomNum, active) VALUES ('sys2', 1, 1);
		INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (50, 'ann', 1);
		INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (50, '{PLAIN}row word')`)
	try := func(user, password string) (string, error) {
		id, err := s.Plain(context.Background(), Client{}, user, password)
		return id.User, err
	}
	for _, tt := range []struct{ user, password, want string }{
		{"sys", "correct horse", "sys"}, {"SYS@host.example", "correct horse", "sys"}, {"sys", "wrong", ""}, {"root", "correct horse", ""},
		{"locked", "correct horse", ""}, {"open", "", ""}, {"expired", "correct horse", ""}, {"blocked", "correct horse", ""},
		{"ann@box.example", "Ann secret", "ann@box.example"}, // not of the system: the next is asked
		{"ann", "correct horse", "ann"},
		{"ann@host.example", "row word", ""}, // known to the system: no other is asked
	} {
		if got, err := try(tt.user, tt.password); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %q: %q, %v", tt.user, tt.password, got, err)
		}
	}
	other(t, path, `INSERT INTO Address (addLocalpart, addDomNum, active) VALUES ('sys', 1, -1)`)
	if _, err := try("sys", "correct horse"); err != ErrBadCredentials {
		t.Errorf("denied by a row: %v", err)
	}
	os.Remove(shadow)
	if _, err := try("ann", "correct horse"); err != ErrUnavailable {
		t.Errorf("without the file: %v", err)
	}
}

// crypted is "correct horse".
const crypted = "$6$NCcvERkX5bZEJ5N.$t044amoFkP2qna6Oju1QugrKmlVFSfydLeYtTnKcrouO7AjR69qf6j8YNz9SwxIVOksWZoEqNLAsYizlMzFT.."

// lookupIn finds the users of a system by name.
func lookupIn(uids map[string]string) func(string) (*user.User, error) {
	return func(name string) (*user.User, error) {
		if uid, ok := uids[name]; ok {
			return &user.User{Username: name, Uid: uid, Gid: uid}, nil
		}
		return nil, user.UnknownUserError(name)
	}
}

func TestStopEndsTheWaiting(t *testing.T) {
	s := stateless(t, nil)
	synctest.Test(t, func(t *testing.T) {
		s.guard.stop = make(chan struct{})
		for i := range 9 {
			s.Plain(t.Context(), from("203.0.113.9"), "ann@box.example", fmt.Sprint("guess", i))
		}
		go func() { time.Sleep(time.Second); s.Stop() }()
		start := time.Now()
		if _, err := s.Plain(t.Context(), from("203.0.113.9"), "ann@box.example", "Ann secret"); err != ErrThrottled || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
