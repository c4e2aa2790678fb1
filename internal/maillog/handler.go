package maillog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"
)

// Format is how the log is written.
type Format string

// The forms of the log, setting log_format.
const (
	Syslog Format = "syslog" // Nov 21 08:00:00 host postfix/smtpd[17]: line
	JSON   Format = "json"
	Logfmt Format = "logfmt" // time=... level=... msg=... k=v
)

// New returns a handler that writes to w. host is the name that the syslog
// form shows.
func New(w io.Writer, f Format, level slog.Leveler, host string) (slog.Handler, error) {
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutLine}
	switch f {
	case Syslog:
		return &syslogHandler{w: w, mu: new(sync.Mutex), level: level, host: host, pid: os.Getpid()}, nil
	case JSON:
		return slog.NewJSONHandler(w, opts), nil
	case Logfmt:
		return slog.NewTextHandler(w, opts), nil
	}
	return nil, fmt.Errorf("log_format: %q is none of syslog, json, logfmt", f)
}

func withoutLine(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == Line || a.Key == Steps) {
		return slog.Attr{}
	}
	return a
}

// syslogHandler writes what a syslog daemon would write into /var/log/mail.log.
type syslogHandler struct {
	w     io.Writer
	mu    *sync.Mutex // held while a line is written
	level slog.Leveler
	host  string
	pid   int
	attrs []slog.Attr // of WithAttrs, keys with their groups
	group string      // prefix of keys, "a.b."
}

func (h *syslogHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		c.attrs = append(c.attrs, slog.Attr{Key: h.group + a.Key, Value: a.Value})
	}
	return &c
}

func (h *syslogHandler) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "."
	return &c
}

// Handle writes one line. An event that has its own line (Line) is written in
// its words; anything else as level, message and attributes.
func (h *syslogHandler) Handle(_ context.Context, r slog.Record) error {
	if tag, line := own(&r); line != "" && len(h.attrs) == 0 && h.group == "" {
		return write(h, r.Time, tag, line)
	}
	var tag, line string
	b := make([]byte, 0, 256)
	b = appendMessage(b, r)
	for _, a := range h.attrs {
		b, tag, line = h.take(b, a, tag, line)
	}
	r.Attrs(func(a slog.Attr) bool {
		b, tag, line = h.take(b, slog.Attr{Key: h.group + a.Key, Value: a.Value}, tag, line)
		return true
	})
	if line != "" {
		b = append(b[:0], line...)
	}
	return write(h, r.Time, tag, b)
}

// own finds the tag and the line of an event among its attributes.
func own(r *slog.Record) (tag, line string) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case Tag:
			tag = a.Value.String()
		case Line:
			line = a.Value.String()
		}
		return tag == "" || line == ""
	})
	return tag, line
}

func appendMessage(b []byte, r slog.Record) []byte {
	switch {
	case r.Level >= slog.LevelError:
		b = append(b, "error: "...)
	case r.Level >= slog.LevelWarn:
		b = append(b, "warning: "...)
	case r.Level < slog.LevelInfo:
		b = append(b, "debug: "...)
	}
	return append(b, r.Message...)
}

// take adds an attribute to the text, or remembers it when it is the tag or
// the line.
func (h *syslogHandler) take(b []byte, a slog.Attr, tag, line string) ([]byte, string, string) {
	switch a.Key {
	case Tag:
		return b, a.Value.String(), line
	case Line:
		return b, tag, a.Value.String()
	case "", Steps:
		return b, tag, line
	}
	return appendAttr(b, a), tag, line
}

func appendAttr(b []byte, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, sub := range v.Group() {
			b = appendAttr(b, slog.Attr{Key: a.Key + "." + sub.Key, Value: sub.Value})
		}
		return b
	}
	b = append(b, ' ')
	b = append(b, a.Key...)
	b = append(b, '=')
	text := v.String()
	if needsQuotes(text) {
		return strconv.AppendQuote(b, text)
	}
	return append(b, text...)
}

func needsQuotes(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '"' || s[i] == '=' || s[i] == 0x7f {
			return true
		}
	}
	return s == ""
}

// ownTag is the tag of lines that no Postfix or Dovecot program would write.
const ownTag = "mailserver"

// lines holds buffers for lines.
var lines = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

func write[T string | []byte](h *syslogHandler, t time.Time, tag string, text T) error {
	if t.IsZero() {
		t = time.Now()
	}
	mem := lines.Get().(*[]byte)
	defer lines.Put(mem)
	b := (*mem)[:0]
	b = t.AppendFormat(b, time.Stamp)
	b = append(b, ' ')
	b = append(b, h.host...)
	b = append(b, ' ')
	switch tag {
	case Dovecot: // its lines name the process themselves: "dovecot: imap-login: ..."
		b = append(b, tag...)
	case "":
		b = appendPID(append(b, ownTag...), h.pid)
	default:
		b = appendPID(append(b, tag...), h.pid)
	}
	b = append(b, ": "...)
	b = append(appendPrintable(b, text), '\n')
	if cap(b) <= 4<<10 {
		*mem = b
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(b)
	return err
}

func appendPID(b []byte, pid int) []byte {
	b = append(b, '[')
	b = strconv.AppendInt(b, int64(pid), 10)
	return append(b, ']')
}

// appendPrintable replaces control characters, so that nobody writes lines of
// the log by naming himself "x\nNov 21 ...".
func appendPrintable[T string | []byte](b []byte, text T) []byte {
	from := len(b)
	b = append(b, text...)
	for i, c := range b[from:] {
		if c < ' ' || c == 0x7f {
			b[from+i] = '?'
		}
	}
	return b
}
