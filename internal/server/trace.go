package server

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"mailserver/internal/config"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

// Bounds of what is not written yet.
const (
	traceEvery = time.Second
	traceMost  = 2000 // lines
	traceLine  = 1000 // bytes
	traceSteps = 8000 // bytes
)

// tracer keeps the lines of the log that concern mail, for "mailserver trace".
// It never holds up who logs: what is too much is left out.
type tracer struct {
	mu    sync.Mutex
	lines []schema.TraceLine
	lost  int
}

// traceHandler gives records to the log, and to a tracer.
type traceHandler struct {
	slog.Handler
	to   *tracer
	held []slog.Attr
}

// Handle is slog.Handler.
func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo {
		h.to.add(r, h.held)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs is slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs), h.to, append(h.held[:len(h.held):len(h.held)], attrs...)}
}

// WithGroup is slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name), h.to, h.held}
}

func (t *tracer) add(r slog.Record, held []slog.Attr) {
	l := schema.TraceLine{Time: r.Time}
	line, tag, rule, steps := "", "", "", ""
	var rest []slog.Attr
	take := func(a slog.Attr) bool {
		switch a.Key {
		case maillog.Line:
			line = a.Value.String()
		case maillog.Tag:
			tag = a.Value.String()
		case maillog.Rule:
			rule = a.Value.String()
		case maillog.Steps:
			steps = strings.TrimRight(a.Value.String(), "\n")
		case maillog.Conn:
			l.Conn = a.Value.String()
		case maillog.QueueID:
			l.Queue = a.Value.String()
		default:
			if line == "" {
				rest = append(rest, a)
			}
		}
		return true
	}
	for _, a := range held {
		take(a)
	}
	r.Attrs(take)
	if line == "" {
		var b strings.Builder
		b.WriteString(r.Message)
		for _, a := range rest {
			fmt.Fprintf(&b, " %s=%q", a.Key, a.Value.String())
		}
		line = strings.TrimSpace(b.String())
	}
	if tag != "" {
		line = tag + ": " + line
	}
	if rule != "" {
		line += " rule=" + rule
	}
	if l.Queue == "NOQUEUE" {
		l.Queue = ""
	}
	l.Text = strings.ToValidUTF8(line[:min(len(line), traceLine)], "?")
	if steps != "" { // a line of the log is one line; what follows it is only here
		l.Text += "\n" + strings.ToValidUTF8(steps[:min(len(steps), traceSteps)], "?")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) >= traceMost {
		t.lost++
		return
	}
	t.lines = append(t.lines, l)
}

// take returns what has come since the last call.
func (t *tracer) take() []schema.TraceLine {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := t.lines
	t.lines = make([]schema.TraceLine, 0, len(lines)) // as many may come again
	if t.lost > 0 && len(lines) > 0 {
		lines = append(lines, schema.TraceLine{Time: lines[len(lines)-1].Time, Text: fmt.Sprintf("%d lines are left out: too many at a time", t.lost)})
		t.lost = 0
	}
	return lines
}

// keepTrace writes the lines now and then, and once at the end.
func (s *Server) keepTrace(ctx context.Context, t *tracer) {
	tick := time.NewTicker(traceEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.writeTrace(context.WithoutCancel(ctx), t)
			return
		case <-tick.C:
			s.writeTrace(ctx, t)
		}
	}
}

func (s *Server) writeTrace(ctx context.Context, t *tracer) {
	lines := t.take()
	c, err := config.Of[config.Trace](s.Config)(ctx)
	if err != nil || c.Lines == 0 || len(lines) == 0 {
		return
	}
	if err := s.State.Write(ctx, func(tx *schema.Tx) error { return tx.AddTrace(lines, c.Lines) }); err != nil && ctx.Err() == nil {
		t.mu.Lock() // said by the log it would only make more lines
		t.lost += len(lines)
		t.mu.Unlock()
	}
}
