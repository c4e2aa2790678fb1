package storage

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// splitName cuts a file name in two: what names the message for good, and the
// flags from the colon on.
func splitName(file string) (base, info string) {
	if i := strings.LastIndexByte(file, ':'); i >= 0 {
		return file[:i], file[i:]
	}
	return file, ""
}

// nameSizes reads the sizes that Dovecot and Courier write into names: S= the
// file's, W= with CRLF line ends. Missing or bad ones are -1.
func nameSizes(base string) (size, virtual int64) {
	return nameField(base, ",S="), nameField(base, ",W=")
}

func nameField(base, key string) int64 {
	i := strings.Index(base, key)
	if i < 0 {
		return -1
	}
	text, _, _ := strings.Cut(base[i+len(key):], ",")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || text[0] == '+' {
		return -1
	}
	return n
}

// nameTime is when a file was named: seconds, and microseconds after an M. It
// is good for putting files in order only.
func nameTime(base string) (sec, usec int64, ok bool) {
	first, rest, _ := strings.Cut(base, ".")
	sec, err := strconv.ParseInt(first, 10, 64)
	if err != nil || sec < 0 {
		return 0, 0, false
	}
	rest, _, _ = strings.Cut(rest, ".")
	if i := strings.IndexByte(rest, 'M'); i >= 0 {
		digits := rest[i+1:]
		n := 0
		for n < len(digits) && digits[n] >= '0' && digits[n] <= '9' {
			n++
		}
		usec, _ = strconv.ParseInt(digits[:min(n, 6)], 10, 64)
	}
	return sec, usec, true
}

// namer makes names of files that no other process makes:
// https://cr.yp.to/proto/maildir.html.
type namer struct {
	now  func() time.Time
	pid  int
	host string
	n    atomic.Uint64
}

func newNamer(now func() time.Time) *namer {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	host = strings.NewReplacer("/", `\057`, ":", `\072`, ",", `\054`).Replace(host)
	return &namer{now: now, pid: os.Getpid(), host: host}
}

// next returns a name without sizes. The counter makes it different from all
// others of this process, time and process from those of others.
func (g *namer) next() string {
	t := g.now()
	return fmt.Sprintf("%d.M%06dP%dQ%d.%s", t.Unix(), t.Nanosecond()/1000, g.pid, g.n.Add(1), g.host)
}

func withSizes(name string, size, virtual int64) string {
	b := make([]byte, 0, len(name)+32)
	b = append(b, name...)
	b = append(b, ",S="...)
	b = strconv.AppendInt(b, size, 10)
	b = append(b, ",W="...)
	return string(strconv.AppendInt(b, virtual, 10))
}
