package metrics

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"mailserver/internal/maillog"
)

func TestCounts(t *testing.T) {
	var out bytes.Buffer
	c := New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log := slog.New(c).With("conn", 1).WithGroup("g")
	for range 3 {
		maillog.Event(slog.New(c), slog.LevelInfo, maillog.SMTP, "line", "delivery", slog.String("status", "sent"))
	}
	maillog.Event(slog.New(c), slog.LevelInfo, maillog.SMTPD, "line", `odd "name"`)
	log.Warn("something")
	log.Info("not an event")
	var text bytes.Buffer
	w := NewWriter(&text)
	c.Write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	const want = `# HELP mailserver_events_total Events of the log, by program and kind.
# TYPE mailserver_events_total counter
mailserver_events_total{program="",event="something",status=""} 1
mailserver_events_total{program="postfix/smtp",event="delivery",status="sent"} 3
mailserver_events_total{program="postfix/smtpd",event="odd \"name\"",status=""} 1
`
	if text.String() != want {
		t.Errorf("\n%s, want\n%s", text.String(), want)
	}
	if strings.Contains(out.String(), "delivery") || !strings.Contains(out.String(), "something") {
		t.Errorf("what is not to be printed is counted only: %s", out.String())
	}
	for i := range 2 * maxEvents {
		log.Warn(fmt.Sprint("strange ", i))
	}
	n := 0
	c.Each(func(Event, uint64) { n++ })
	if n != maxEvents {
		t.Errorf("%d kinds", n)
	}
}
