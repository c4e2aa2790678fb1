package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailserver/internal/server"
	"mailserver/internal/testenv"
	"mailserver/internal/testport"
	"mailserver/internal/tlscert"
	"mailserver/schema"
)

// eventually waits for something that the server does within a second or two.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

func greets(network, addr string) bool {
	conn, err := net.DialTimeout(network, addr, time.Minute)
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	b := make([]byte, 4)
	n, err := conn.Read(b)
	return err == nil && (string(b[:n]) == "220 " || string(b[:n]) == "* OK")
}

func TestListenersFollowTheirRows(t *testing.T) {
	e := testenv.Start(t, testenv.Options{})
	old := e.Addr(testenv.IMAP)
	idle := e.Dial(testenv.IMAP)
	if _, err := idle.Lines(`^\* OK`); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(e.Dir, "lmtp.sock")
	e.SQL(`INSERT INTO Listener (lsProtocol, lsAddress, lsTls) VALUES ('lmtp', 'unix:` + socket + `', 'none')`)
	eventually(t, "the new listener answers", func() bool { return greets("unix", socket) })

	e.SQL(`UPDATE Listener SET active = 0 WHERE lsProtocol = 'imap' AND lsTls = 'may'`)
	eventually(t, "the old listener is closed", func() bool { return !greets("tcp", old) })
	if err := idle.Send("a NOOP"); err != nil {
		t.Fatal(err)
	}
	if _, err := idle.Lines(`^a OK`); err != nil {
		t.Errorf("the session of a listener that is gone: %v", err)
	}

	taken, err := net.Listen("tcp", testport.Addr(t))
	if err != nil {
		t.Fatal(err)
	}
	e.SQL(`INSERT INTO Listener (lsProtocol, lsAddress) VALUES ('mx', '` + taken.Addr().String() + `')`)
	eventually(t, "the failure is in the log", func() bool { return strings.Contains(e.Log(), "cannot listen") })
	taken.Close()
	eventually(t, "it is bound when the port is free", func() bool { return greets("tcp", taken.Addr().String()) })
	if n := strings.Count(e.Log(), "cannot listen"); n != 1 {
		t.Errorf("the failure is in the log %d times", n)
	}
}

func TestUnknownSettingIsNamedWhileRunning(t *testing.T) {
	e := testenv.Start(t, testenv.Options{})
	e.SQL(`INSERT INTO Setting VALUES ('smtpd_nonsense', '1')`)
	eventually(t, "the setting is named in the log", func() bool { return strings.Contains(e.Log(), "smtpd_nonsense") })
}

func TestCertificateOfAListener(t *testing.T) {
	e := testenv.Start(t, testenv.Options{})
	for _, name := range []string{"a.example", "b.example"} {
		file := filepath.Join(e.Dir, "tls", name)
		if err := tlscert.SelfSigned(file+".crt", file+".key", name, time.Now()); err != nil {
			t.Fatal(err)
		}
		e.SQL(`INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES ('` + name + `', 'tls/` + name + `.crt', 'tls/` + name + `.key')`)
	}
	shown := func(p testenv.Protocol, sni string) string {
		conn, err := tls.Dial("tcp", e.Addr(p), &tls.Config{InsecureSkipVerify: true, ServerName: sni})
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	for sni, want := range map[string]string{"": testenv.Host, "b.example": "b.example", "other.example": testenv.Host} {
		if got := shown(testenv.IMAPS, sni); got != want {
			t.Errorf("a client that asks for %q is shown %s", sni, got)
		}
	}
	e.SQL(`UPDATE Listener SET lsCertNum = (SELECT ctNum FROM Cert WHERE ctHostname = 'a.example') WHERE lsProtocol = 'imap' AND lsTls = 'wrapper'`)
	eventually(t, "the listener shows its own certificate", func() bool { return shown(testenv.IMAPS, "b.example") == "a.example" })
	if got := shown(testenv.SMTPS, "b.example"); got != "b.example" {
		t.Errorf("another listener shows %s", got)
	}
}

func TestStartRefuses(t *testing.T) {
	ctx := context.Background()
	make := func(t *testing.T, sql string) string {
		dir := testenv.Dir(t)
		plan := server.Plan{Dir: dir, Hostname: "mx.example", Settings: server.OwnMail(), Listeners: []schema.Listener{{Protocol: "mx", Address: "127.0.0.1:0", TLS: "may"}}}
		if err := server.Create(ctx, plan); err != nil {
			t.Fatal(err)
		}
		if sql != "" {
			if err := schema.Script(ctx, server.MailFile(dir), sql); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	tests := []struct {
		name, sql string
		want      error
	}{
		{"unknown setting", "INSERT INTO Setting VALUES ('nonsense', '1')", server.ErrConfig},
		{"bad value", "INSERT INTO Setting VALUES ('message_size_limit', 'big')", server.ErrConfig},
		{"no listener", "DELETE FROM Listener", server.ErrConfig},
		{"protocol of later", "INSERT INTO Listener (lsProtocol, lsAddress) VALUES ('managesieve', '127.0.0.1:00')", server.ErrConfig},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := make(t, tt.sql)
			if s, err := server.Start(ctx, server.Options{Dir: dir}); !errors.Is(err, tt.want) {
				t.Errorf("error %v", err)
				if err == nil {
					s.Shutdown(ctx)
				}
			}
			// What a failed start leaves behind must not keep out the next.
			if err := schema.Script(ctx, server.MailFile(dir), `DELETE FROM Setting WHERE stName IN ('nonsense', 'message_size_limit');
				DELETE FROM Listener; INSERT INTO Listener (lsProtocol, lsAddress) VALUES ('mx', '127.0.0.1:0')`); err != nil {
				t.Fatal(err)
			}
			s, err := server.Start(ctx, server.Options{Dir: dir})
			if err != nil {
				t.Fatalf("mended: %v", err)
			}
			if _, err := server.Start(ctx, server.Options{Dir: dir}); !errors.Is(err, server.ErrRunning) {
				t.Errorf("a second server: %v", err)
			}
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	if err := server.Create(ctx, server.Plan{Dir: make(t, ""), Hostname: "mx.example"}); !errors.Is(err, os.ErrExist) {
		t.Errorf("init over a data directory: %v", err)
	}
}

func TestSystemdIsToldWhenReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	all := make(chan string, 1000) // read at once: a full socket would hold the server up
	go func() {                    // ends with conn
		defer close(all)
		for b := make([]byte, 100); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			all <- string(b[:n])
		}
	}()
	const alive = "WATCHDOG=1"
	heard := func() (got string) { // but for signs of life
		for got = <-all; got == alive; got = <-all {
		}
		return got
	}
	time.AfterFunc(2*time.Minute, func() { conn.Close() })
	e := testenv.Start(t, testenv.Options{})
	if got := heard(); got != "READY=1" {
		t.Errorf("systemd was told %q", got)
	}
	for range 3 {
		if got := <-all; got != alive {
			t.Errorf("systemd was told %q", got)
		}
	}
	e.Stop()
	if got := heard(); got != "STOPPING=1" {
		t.Errorf("systemd was told %q", got)
	}
}

func TestShutdownEndsIdleSessions(t *testing.T) {
	e := testenv.Start(t, testenv.Options{})
	in, out := e.Dial(testenv.SMTP), e.Dial(testenv.IMAP)
	if err := errors.Join(in.Match("^220 "), out.Match(`^\* OK`)); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	e.Stop()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := errors.Join(in.Match("^421 "), out.Match(`^\* BYE`)); err != nil {
		t.Error(err)
	}
}
