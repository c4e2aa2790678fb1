package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"mailserver/internal/backup"
	"mailserver/internal/config"
	"mailserver/internal/maillog"
	"mailserver/internal/metrics"
	"mailserver/schema"
)

// ErrConfig says that rows of the operator keep the server from starting. The
// text names each of them.
var ErrConfig = errors.New("configuration")

// rowsInterval is how often listeners and settings are compared with their
// rows. Nobody waits for it: commands ask for their rows themselves.
const rowsInterval = time.Second

// Server is a running server: all parts, and the sockets of the listeners.
type Server struct {
	*Parts
	opt  Options
	lock *os.File
	ls   *listeners

	edges    []edge // in the order of starting
	sessions func() map[string]int
	started  time.Time
	stop     context.CancelFunc
	tasks    sync.WaitGroup // queue, watch of rows
	// screened waits for what is still to be written about clients.
	screened func()
	trace    *tracer

	closeOnce sync.Once
	closeErr  error
}

// Start opens the data directory, binds every listener and serves. It returns
// when all of them answer; Shutdown ends it. ctx is for the start only.
func Start(ctx context.Context, o Options) (*Server, error) {
	held, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, backup.Unfinished)); err == nil {
		held.Close()
		return nil, fmt.Errorf("%w: a restore into %s has not been finished; run it again", ErrConfig, o.Dir)
	}
	kept := &tracer{}
	if o.Log != nil {
		o.Log = slog.New(traceHandler{Handler: o.Log.Handler(), to: kept})
	}
	parts, err := Open(ctx, o)
	if err != nil {
		held.Close()
		return nil, err
	}
	s := &Server{Parts: parts, opt: o, lock: held, trace: kept, started: time.Now()}
	if err := s.start(ctx); err != nil {
		s.Shutdown(ctx)
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	if err := s.refuseFaults(ctx); err != nil {
		return err
	}
	proc, err := s.process(ctx)
	if err != nil {
		return err
	}
	limitMemory(proc)
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	if err := s.startEdges(proc); err != nil {
		return err
	}
	s.tellProblems(ctx)
	s.tasks.Go(func() { s.runQueue(run) })
	rows, err := s.listenerRows(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return fmt.Errorf("%w: the table Listener has no active row", ErrConfig)
	}
	if err := s.ls.match(run, rows); err != nil {
		return err
	}
	s.startPickup(run)
	s.tasks.Go(func() { s.serveControl(run) })
	s.tasks.Go(func() { s.watchRows(run) })
	s.tasks.Go(func() { s.keepTLS(run) })
	s.tasks.Go(func() { s.renewCerts(run) })
	s.tasks.Go(func() { s.serveAuthSocket(run) })
	s.tasks.Go(func() { s.sendDMARCReports(run) })
	s.tasks.Go(func() { s.keepTrace(run, s.trace) })
	s.tasks.Go(func() { s.tidy(run) })
	if every := watchdogInterval(); every > 0 {
		s.tasks.Go(func() { s.watchdog(run, every) })
	}
	notify("READY=1")
	return nil
}

// refuseFaults names every setting that the server would have to ignore.
func (s *Server) refuseFaults(ctx context.Context) error {
	faults, err := s.Config.Faults(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("%w: setting %s", ErrConfig, f))
	}
	return errors.Join(errs...)
}

// collectAt is GOGC. The runtime collects a small heap no sooner than at 4 MB
// times this share: about what an idle server holds, and most of what a session
// needs lives short.
const collectAt = 100

func limitMemory(p *config.Process) {
	debug.SetGCPercent(collectAt)
	if p.MemoryLimit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(p.MemoryLimit)
	}
}

func (s *Server) listenerRows(ctx context.Context) ([]schema.Listener, error) {
	v, err := s.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	return v.Listeners(ctx)
}

func (s *Server) runQueue(ctx context.Context) {
	if err := s.Delivery.Run(ctx); err != nil && ctx.Err() == nil {
		s.Log.Error("queue has stopped", "err", err)
	}
}

// watchRows keeps the listeners as their rows are, and says in the log when a
// changed row of Setting cannot be acted on.
func (s *Server) watchRows(ctx context.Context) {
	tick := time.NewTicker(rowsInterval)
	defer tick.Stop()
	var seen, checked int64
	next := time.Now().Add(problemsInterval)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		v, err := s.Mail.View(ctx)
		if err != nil {
			continue // commands say 451 meanwhile
		}
		rows, err := v.Listeners(ctx)
		if err != nil {
			continue
		}
		s.ls.tell(s.ls.match(ctx, rows))
		if v.Generation() != seen {
			seen = v.Generation()
			s.tellFaults(ctx)
		}
		if now := time.Now(); seen != checked && now.After(next) {
			checked, next = seen, now.Add(problemsInterval)
			s.tellProblems(ctx)
		}
	}
}

// problemsInterval bounds how often changed rows make the lists be read anew:
// that looks at every row of Access.
const problemsInterval = time.Minute

// tellProblems says which restrictions mail would be answered 451 for. They
// keep nobody from serving the others: each defers the mail that reaches it.
func (s *Server) tellProblems(ctx context.Context) {
	problems, err := s.Policy.Check(ctx)
	if err != nil {
		return // the commands say it
	}
	for _, p := range problems[:min(len(problems), maxProblems)] {
		if p.Fatal {
			s.Log.Error("restriction cannot be followed", "where", p.Where, "name", p.Name, "reason", p.Text)
		}
	}
}

// maxProblems bounds what one reading writes into the log.
const maxProblems = 20

func (s *Server) tellFaults(ctx context.Context) {
	faults, err := s.Config.Faults(ctx)
	if err != nil {
		return
	}
	for _, f := range faults {
		s.Log.Error("setting is not usable", "setting", f.Name, "reason", f.Reason)
	}
}

// Addr returns the address that the listener of a row is bound to; nil if it
// is not bound.
func (s *Server) Addr(num int64) net.Addr { return s.ls.addr(num) }

// Shutdown stops in reverse order of starting: listeners and sessions (421,
// BYE; DATA and APPEND under way may finish), the queue, the store, the files.
// After ctx ends, sessions are cut off. Calling it again waits for the first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeOnce.Do(func() { s.closeErr = s.shutdown(ctx) })
	return s.closeErr
}

func (s *Server) shutdown(ctx context.Context) error {
	notify("STOPPING=1")
	s.Auth.Stop()
	var errs []error
	var edges sync.WaitGroup
	var mu sync.Mutex
	for _, e := range s.edges {
		edges.Go(func() {
			if err := e.Shutdown(ctx); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	edges.Wait()
	if s.stop != nil {
		s.stop()
	}
	if s.ls != nil {
		s.ls.done.Wait()
	}
	s.tasks.Wait()
	if s.screened != nil {
		s.screened()
	}
	errs = append(errs, s.Parts.Close())
	s.lock.Close()
	return errors.Join(errs...)
}

// Process reads the settings of the process as a whole, before anything else is
// opened. An error of a row is ErrConfig.
func Process(ctx context.Context, dir string) (*config.Process, error) {
	p := &Parts{Dir: dir}
	if err := p.openMail(ctx); err != nil {
		return nil, err
	}
	defer p.Close()
	proc, err := p.process(ctx)
	if errors.Is(err, config.ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return proc, err
}

// Logger makes the log of a serving process, and what counts its events. Close the file at the end: the
// last lines may wait in it.
func Logger(p *config.Process) (*slog.Logger, *metrics.Counter, *maillog.File, error) {
	level := slog.LevelInfo
	if p.LogDebug {
		level = slog.LevelDebug
	}
	f, err := maillog.OpenFile(p.LogFile)
	if err != nil {
		return nil, nil, nil, err
	}
	h, err := maillog.New(f, maillog.Format(p.LogFormat), level, p.Hostname)
	if err != nil {
		f.Close()
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	c := metrics.New(h)
	return slog.New(c), c, f, nil
}
