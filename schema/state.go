package schema

import (
	"context"
	"database/sql"
	_ "embed"
	"sync"
)

//go:embed state_queue.sql
var stateQueueDDL string

//go:embed state_index.sql
var stateIndexDDL string

//go:embed state_copy.sql
var stateCopyDDL string

//go:embed state_metadata.sql
var stateMetadataDDL string

//go:embed state_auth.sql
var stateAuthDDL string

//go:embed state_out.sql
var stateOutDDL string

//go:embed state_queue2.sql
var stateQueue2DDL string

//go:embed state_queue3.sql
var stateQueue3DDL string

//go:embed state_queue4.sql
var stateQueue4DDL string

//go:embed state_queue5.sql
var stateQueue5DDL string

// stateSteps leads an empty file to the newest version of state.sqlite.
var stateSteps = []migration{
	{"first version", stateQueueDDL + stateIndexDDL},
	{"log-ins", stateAuthDDL},
	{"tags and results of TLS", stateOutDDL},
	{"queue by destination", stateQueue2DDL},
	{"policy", statePolicyDDL},
	{"screening", stateScreenDDL},
	{"new mail before retries", stateQueue3DDL},
	{"copies on their way", stateCopyDDL},
	{"annotations", stateMetadataDDL},
	{"trace", stateTraceDDL},
	{"expiry by hand", stateQueue4DDL},
	{"REQUIRETLS", stateRequireTLSDDL},
	{"second factors", stateTotpDDL},
	{"sharing", stateSharingDDL},
	{"why mail was taken", stateQueue5DDL},
}

// State is state.sqlite: what the server knows. Its methods may be called
// from any goroutine.
type State struct {
	r *sql.DB
	w *writer

	wdb *sql.DB

	mu    sync.Mutex
	stmts map[string]*sql.Stmt // readers; guarded by mu
}

// OpenState opens state.sqlite at path, making or migrating it as needed.
func OpenState(ctx context.Context, path string) (*State, error) {
	if err := migrate(ctx, path, stateSteps, nil); err != nil {
		return nil, err
	}
	r, err := open(path, 2, true)
	if err != nil {
		return nil, err
	}
	wdb, err := open(path, 1, false)
	if err != nil {
		r.Close()
		return nil, err
	}
	w, err := startWriter(ctx, wdb)
	if err != nil {
		r.Close()
		wdb.Close()
		return nil, err
	}
	return &State{r: r, w: w, wdb: wdb, stmts: make(map[string]*sql.Stmt)}, nil
}

// Write runs fn inside the next group commit and returns when it is on disk,
// or undone. fn must not block and must not call Write.
func (s *State) Write(ctx context.Context, fn func(*Tx) error) error {
	return s.w.do(ctx, s.w.queue, fn)
}

// WriteBulk is Write for work on many rows that nobody waits for: of such
// writes at most one goes into a group, so that mail coming in waits for one
// of them and never for all.
func (s *State) WriteBulk(ctx context.Context, fn func(*Tx) error) error {
	return s.w.do(ctx, s.w.bulk, fn)
}

// Close waits for writes under way and closes the file.
func (s *State) Close() error {
	err := s.w.close()
	s.wdb.Close()
	for _, st := range s.stmts {
		st.Close()
	}
	if e := s.r.Close(); err == nil {
		err = e
	}
	return err
}

// stmt returns the prepared form of a constant query for the readers. A caller
// must not hold open rows while it asks for more: there are two connections.
func (s *State) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.Lock()
	st, ok := s.stmts[query]
	s.mu.Unlock()
	if ok {
		return st, nil
	}
	st, err := s.r.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first, ok := s.stmts[query]; ok {
		st.Close()
		return first, nil
	}
	s.stmts[query] = st
	return st, nil
}

func (s *State) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := s.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (s *State) queryRow(ctx context.Context, query string, args ...any) (*sql.Row, error) {
	st, err := s.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return st.QueryRowContext(ctx, args...), nil
}
