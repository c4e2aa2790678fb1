// Package sqlremote connects to databases of servers, MariaDB, MySQL and
// PostgreSQL, for look-ups, without long waits for a server that is away.
package sqlremote

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Kind is the language of a database.
type Kind int

// Kinds of servers.
const (
	MySQL Kind = iota + 1
	PostgreSQL
)

// Timeout bounds one look-up, with the connection that it needs.
const Timeout = 10 * time.Second

// Bounds of making a connection.
const (
	connectTime = 5 * time.Second
	// rest is how long a server that could not be reached is not asked.
	rest = 5 * time.Second
)

// ErrAway says that a server could not be reached.
var ErrAway = errors.New("the database server cannot be reached")

// KindOf tells a URL, mysql://user:password@host:port/database or
// postgres://..., from the path of a file, which is 0.
func KindOf(place string) Kind {
	scheme, _, ok := strings.Cut(place, "://")
	switch {
	case !ok:
	case scheme == "mysql" || scheme == "mariadb":
		return MySQL
	case scheme == "postgres" || scheme == "postgresql":
		return PostgreSQL
	}
	return 0
}

// Connector makes the connections to the database that a URL names, within
// connectTime each. The pool is the caller's. ?socket=/path is a socket of this host; tls=true,
// preferred or skip-verify (MySQL) and sslmode (PostgreSQL, as libpq has it)
// say what of TLS is wanted.
func Connector(place string) (driver.Connector, error) {
	u, err := url.Parse(place)
	if err != nil {
		return nil, errors.New("the URL of the database cannot be read") // err has the password
	}
	var c driver.Connector
	switch KindOf(place) {
	case MySQL:
		c, err = mysqlConnector(u)
	case PostgreSQL:
		c, err = pgConnector(u)
	default:
		err = fmt.Errorf("%q is no kind of database: mysql, postgres", u.Scheme)
	}
	if err != nil {
		return nil, err
	}
	return &resting{Connector: c, now: time.Now}, nil
}

// resting is a connector that leaves a server alone for a while after it could
// not be reached: clients are answered at once, not after a time-out each.
type resting struct {
	driver.Connector
	now func() time.Time

	mu    sync.Mutex // guards what follows
	until time.Time
	why   error
}

// Connect implements driver.Connector.
func (r *resting) Connect(ctx context.Context) (driver.Conn, error) {
	r.mu.Lock()
	until, why := r.until, r.why
	r.mu.Unlock()
	if r.now().Before(until) {
		return nil, fmt.Errorf("%w: %w", ErrAway, why)
	}
	limited, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	c, err := r.Connector.Connect(limited)
	if err == nil {
		return c, nil
	}
	if ctx.Err() == nil { // not the client who went away
		r.mu.Lock()
		r.until, r.why = r.now().Add(rest), err
		r.mu.Unlock()
	}
	return nil, fmt.Errorf("%w: %w", ErrAway, err)
}
