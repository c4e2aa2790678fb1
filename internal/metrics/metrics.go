// Package metrics counts the events of the log. What a monitor wants to know
// is said there once already; nothing else has to count.
package metrics

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"mailserver/internal/maillog"
)

// Event is a kind of event: events of the log with a tag.
type Event struct {
	Tag    string // postfix/smtpd, dovecot ...
	Name   string // the message of the event, a constant phrase
	Status string // of deliveries: sent, deferred, bounced; '' else
}

// maxEvents bounds the kinds that are told apart. There are fewer; a log line
// whose message is no constant must not eat the memory.
const maxEvents = 1000

// counts are shared by a Counter and what is derived from it.
type counts struct {
	mu   sync.RWMutex
	by   map[Event]*atomic.Uint64
	lost atomic.Uint64
}

// Counter is a slog.Handler that counts what goes on to the next.
type Counter struct {
	next slog.Handler
	c    *counts
}

// New returns a Counter in front of a handler.
func New(next slog.Handler) *Counter {
	return &Counter{next, &counts{by: make(map[Event]*atomic.Uint64)}}
}

// Enabled is true for events that are counted, whether they are printed or not.
func (h *Counter) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelInfo || h.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *Counter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Counter{h.next.WithAttrs(attrs), h.c}
}

// WithGroup implements slog.Handler.
func (h *Counter) WithGroup(name string) slog.Handler { return &Counter{h.next.WithGroup(name), h.c} }

// Handle counts a record and hands it on.
func (h *Counter) Handle(ctx context.Context, r slog.Record) error {
	e := Event{Name: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case maillog.Tag:
			e.Tag = a.Value.String()
		case "status":
			e.Status = a.Value.String()
		}
		return true
	})
	if e.Tag != "" || r.Level >= slog.LevelWarn {
		h.c.add(e)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (c *counts) add(e Event) {
	c.mu.RLock()
	n := c.by[e]
	c.mu.RUnlock()
	if n == nil {
		c.mu.Lock()
		if n = c.by[e]; n == nil {
			if len(c.by) >= maxEvents {
				c.mu.Unlock()
				c.lost.Add(1)
				return
			}
			n = new(atomic.Uint64)
			c.by[e] = n
		}
		c.mu.Unlock()
	}
	n.Add(1)
}

// Each calls fn for every kind of event so far, in order.
func (h *Counter) Each(fn func(Event, uint64)) {
	h.c.mu.RLock()
	list := make([]Event, 0, len(h.c.by))
	for e := range h.c.by {
		list = append(list, e)
	}
	h.c.mu.RUnlock()
	slices.SortFunc(list, func(a, b Event) int {
		return strings.Compare(a.Tag+"\x00"+a.Name+"\x00"+a.Status, b.Tag+"\x00"+b.Name+"\x00"+b.Status)
	})
	for _, e := range list {
		h.c.mu.RLock()
		n := h.c.by[e]
		h.c.mu.RUnlock()
		fn(e, n.Load())
	}
}

// Writer writes the text form of Prometheus, version 0.0.4.
type Writer struct {
	w    *bufio.Writer
	last string
}

// NewWriter returns a Writer. Flush it.
func NewWriter(w io.Writer) *Writer { return &Writer{w: bufio.NewWriter(w)} }

// Flush writes what is still held.
func (w *Writer) Flush() error { return w.w.Flush() }

// Value writes one value; kind is counter or gauge, labels are pairs.
func (w *Writer) Value(name, kind, help string, value float64, labels ...string) {
	if name != w.last {
		fmt.Fprintf(w.w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
		w.last = name
	}
	w.w.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := ","
		if i == 0 {
			sep = "{"
		}
		fmt.Fprintf(w.w, `%s%s="%s"`, sep, labels[i], labelEscapes.Replace(labels[i+1]))
	}
	if len(labels) > 0 {
		w.w.WriteByte('}')
	}
	w.w.WriteString(" " + strconv.FormatFloat(value, 'f', -1, 64) + "\n")
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// Write writes all counts.
func (h *Counter) Write(w *Writer) {
	h.Each(func(e Event, n uint64) {
		w.Value("mailserver_events_total", "counter", "Events of the log, by program and kind.", float64(n), "program", e.Tag, "event", e.Name, "status", e.Status)
	})
	if n := h.c.lost.Load(); n > 0 {
		w.Value("mailserver_events_lost_total", "counter", "Events of more kinds than are told apart.", float64(n))
	}
}
