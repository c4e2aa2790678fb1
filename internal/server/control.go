package server

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/config"
	"mailserver/internal/control"
	"mailserver/internal/listen"
	"mailserver/internal/metrics"
	"mailserver/schema"
)

// Status is what the server says about itself.
type Status struct {
	Version  string         `json:"version"`
	PID      int            `json:"pid"`
	Started  time.Time      `json:"started"`
	Healthy  bool           `json:"healthy"`
	Problem  string         `json:"problem,omitempty"`
	Sessions map[string]int `json:"sessions"` // by protocol
	Queue    map[string]int `json:"queue"`    // recipients by state
	Memory   []MemoryPart   `json:"memory"`
}

// MemoryPart is one part of the memory of the process.
type MemoryPart struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
	About string `json:"about"`
}

// serveControl answers commands of the program.
func (s *Server) serveControl(ctx context.Context) {
	path := control.Socket(s.Dir)
	l, err := (listen.Socket{Address: "unix:" + path}).Listen(ctx)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		s.Log.Error("commands cannot reach the server", "socket", path, "err", err)
		return
	}
	web := control.NewServer(s.controlHandler())
	stop := context.AfterFunc(ctx, func() { web.Close() })
	defer stop()
	if err := web.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		s.Log.Error("commands cannot reach the server", "err", err)
	}
}

// controlHandler is all that commands may ask.
func (s *Server) controlHandler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.Status(r.Context()))
	})
	mux.HandleFunc("GET /overrides", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.opt.Overrides)
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s.listSessions())
	})
	mux.HandleFunc("POST /sessions/kill", s.killSessions)
	s.monitorHandler(mux)
	return mux
}

// monitorHandler is what monitors may ask: nothing about anybody's mail.
func (s *Server) monitorHandler(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if problem := s.problem(r.Context()); problem != "" {
			http.Error(w, problem, http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /metrics", s.writeMetrics)
}

// healthTime bounds the questions of one check of health.
const healthTime = 5 * time.Second

// problem says why mail cannot be served; ” if it can.
func (s *Server) problem(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	if _, err := s.listenerRows(ctx); err != nil {
		return "mail.sqlite: " + err.Error()
	}
	if _, err := s.State.QueueCounts(ctx); err != nil {
		return "state.sqlite: " + err.Error()
	}
	if n := s.ls.missing(); n > 0 {
		return strconv.Itoa(n) + " listeners cannot be bound"
	}
	return ""
}

// Status describes the server now.
func (s *Server) Status(ctx context.Context) Status {
	st := Status{Version: version(), PID: os.Getpid(), Started: s.started, Sessions: s.sessions(), Memory: memoryParts()}
	st.Problem = s.problem(ctx)
	st.Healthy = st.Problem == ""
	st.Queue, _ = s.State.QueueCounts(ctx)
	return st
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
}

// memoryParts says where the memory is, from /proc and the runtime.
func memoryParts() []MemoryPart {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	pss := procKB("/proc/self/smaps_rollup", "Pss:")
	return []MemoryPart{
		{"resident", procKB("/proc/self/status", "VmRSS:"), "all that is in memory, with pages shared with others"},
		{"proportional", pss, "with its share of shared pages: what would be free without it"},
		{"anonymous", procKB("/proc/self/status", "RssAnon:"), "its own, not from files"},
		{"program", procKB("/proc/self/status", "RssFile:"), "pages of the program and of databases; the kernel takes them back when it needs them"},
		{"heap", int64(m.HeapAlloc), "in use: sessions, caches, open mailboxes"},
		{"heap free", int64(m.HeapIdle - m.HeapReleased), "kept for the next burst"},
		{"stacks", int64(m.StackInuse), strconv.Itoa(runtime.NumGoroutine()) + " goroutines"},
		{"runtime", int64(m.MSpanSys + m.MCacheSys + m.BuckHashSys + m.GCSys + m.OtherSys), "the collector's own"},
	}
}

// procKB reads a field of /proc in bytes; 0 if it is not there.
func procKB(file, field string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// writeMetrics writes everything for Prometheus.
func (s *Server) writeMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	out := metrics.NewWriter(w)
	defer out.Flush()
	st := s.Status(r.Context())
	up := 0.0
	if st.Healthy {
		up = 1
	}
	out.Value("mailserver_healthy", "gauge", "1 when mail can be served.", up)
	out.Value("mailserver_start_time_seconds", "gauge", "Unix time of the start.", float64(st.Started.Unix()))
	for _, protocol := range []string{"imap", "pop3", "smtp"} {
		out.Value("mailserver_sessions", "gauge", "Connections now.", float64(st.Sessions[protocol]), "protocol", protocol)
	}
	for _, state := range schema.QueueStates() {
		out.Value("mailserver_queue_recipients", "gauge", "Recipients in the queue, by state.", float64(st.Queue[state]), "state", state)
	}
	for _, m := range st.Memory {
		out.Value("mailserver_memory_bytes", "gauge", "Memory of the process; parts overlap.", float64(m.Bytes), "part", m.Name)
	}
	f := s.Auth.Figures()
	out.Value("mailserver_password_hashes_total", "counter", "Hashes to verify passwords, by whose they were.", float64(f.Known), "client", "known")
	out.Value("mailserver_password_hashes_total", "counter", "Hashes to verify passwords, by whose they were.", float64(f.Strangers), "client", "stranger")
	out.Value("mailserver_password_guess_seconds_total", "counter", "Time that hashes of strangers' wrong passwords took.", f.Guessing.Seconds())
	if s.opt.Counter != nil {
		s.opt.Counter.Write(out)
	}
}

// webEdge serves monitors on listeners of protocol http.
type webEdge struct {
	s   *Server
	web *http.Server
}

func newWebEdge(s *Server) *webEdge {
	e := &webEdge{s: s}
	mux := http.NewServeMux()
	s.monitorHandler(mux)
	e.web = control.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.allowed(r) {
			http.Error(w, "not for you: setting metrics_networks", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return e
}

// allowed: only those networks may know how much mail there is.
func (e *webEdge) allowed(r *http.Request) bool {
	c, err := config.Of[config.Web](e.s.Config)(r.Context())
	if err != nil {
		return false
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return strings.HasPrefix(r.RemoteAddr, "@") || r.RemoteAddr == "" // a unix socket
	}
	for _, text := range c.Networks {
		p, err := netip.ParsePrefix(text)
		if err == nil && p.Contains(from.Addr().Unmap()) {
			return true
		}
	}
	return false
}

func (e *webEdge) Serve(_ context.Context, l net.Listener, _ schema.Listener) error {
	return e.web.Serve(l)
}

func (e *webEdge) Shutdown(ctx context.Context) error { return e.web.Shutdown(ctx) }
