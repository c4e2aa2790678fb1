package maillog

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSyslogLines(t *testing.T) {
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want string
	}{
		{"event in Postfix's words", func(l *slog.Logger) {
			Event(l, slog.LevelInfo, SMTPD, "connect from unknown[192.0.2.1]", "connected", slog.String(Remote, "192.0.2.1"))
		}, "postfix/smtpd[PID]: connect from unknown[192.0.2.1]"},
		{"event in Dovecot's words", func(l *slog.Logger) {
			Event(l, slog.LevelInfo, Dovecot, "imap-login: Login: user=<joe>", "login")
		}, "dovecot: imap-login: Login: user=<joe>"},
		{"plain message", func(l *slog.Logger) { l.Info("listening", "address", "[::]:25", "reason", "a b") },
			`mailserver[PID]: listening address=[::]:25 reason="a b"`},
		{"error with attributes of a child", func(l *slog.Logger) { l.With("conn", 7).WithGroup("g").Error("broken", "err", "x") },
			"mailserver[PID]: error: broken conn=7 g.err=x"},
		{"no line breaks from outside", func(l *slog.Logger) { Event(l, slog.LevelWarn, SMTPD, "helo=<a\nNov 21>", "x") },
			"postfix/smtpd[PID]: helo=<a?Nov 21>"},
		{"debug is off", func(l *slog.Logger) { l.Debug("dialog") }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var buf bytes.Buffer
			h, err := New(&buf, Syslog, slog.LevelInfo, "mx")
			if err != nil {
				t.Fatal(err)
			}
			tt.log(slog.New(h))
			got := buf.String()
			if tt.want == "" {
				if got != "" {
					t.Fatalf("wrote %q", got)
				}
				return
			}
			if _, err := time.Parse(time.Stamp, got[:len(time.Stamp)]); err != nil {
				t.Fatalf("%q does not begin with a time: %v", got, err)
			}
			want := " mx " + strings.Replace(tt.want, "PID", fmt.Sprint(os.Getpid()), 1) + "\n"
			if got[len(time.Stamp):] != want {
				t.Fatalf("got  %q\nwant %q", got[len(time.Stamp):], want)
			}
		})
	}
}

func TestJSONAndLogfmtLeaveTheLineOut(t *testing.T) {
	for _, f := range []Format{JSON, Logfmt} {
		var buf bytes.Buffer
		h, err := New(&buf, f, slog.LevelInfo, "mx")
		if err != nil {
			t.Fatal(err)
		}
		Event(slog.New(h), slog.LevelInfo, SMTPD, "the line", "connected", slog.String(Remote, "192.0.2.1"))
		if got := buf.String(); strings.Contains(got, "the line") || !strings.Contains(got, "192.0.2.1") || !strings.Contains(got, "postfix/smtpd") {
			t.Errorf("%s: %s", f, got)
		}
	}
	if _, err := New(nil, "xml", slog.LevelInfo, ""); err == nil {
		t.Error("log_format xml was taken")
	}
}

func TestFileIsOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "two")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path + ".1"); string(got) != "one\n" {
		t.Errorf("old file holds %q", got)
	}
	if got, _ := os.ReadFile(path); string(got) != "two\n" {
		t.Errorf("new file holds %q", got)
	}
}
