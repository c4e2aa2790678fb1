package sqlremote

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKindOf(t *testing.T) {
	for place, want := range map[string]Kind{"/var/x.sqlite": 0, "": 0, "mysql://h/d": MySQL, "mariadb://h/d": MySQL, "postgres://h/d": PostgreSQL,
		"postgresql://h/d": PostgreSQL, "redis://h": 0, "x:y": 0} {
		if got := KindOf(place); got != want {
			t.Errorf("%q: %d, want %d", place, got, want)
		}
	}
}

// TestBadPlaces: what cannot be a database is refused, and no password is said.
func TestBadPlaces(t *testing.T) {
	for _, place := range []string{"mysql://u:secret@[::1/x", "postgres://u:secret@h:port/d", "postgres://u:secret@h/d?sslmode=sometimes", "mysql://u:secret@h/d?tls=nonsense", "x://u:secret@h"} {
		c, err := Connector(place)
		if err == nil || c != nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", place, err)
		}
	}
	for _, place := range []string{"mysql://u:p@h1,h2:3307/d?tls=preferred", "mysql://u@/d?socket=/run/s", "postgres://u:p@h/d?sslmode=require", "postgres://u@/d?socket=/run/pg"} {
		if _, err := Connector(place); err != nil {
			t.Errorf("%s: %v", place, err)
		}
	}
}

type failing struct {
	driver.Connector
	asked int
	err   error
}

func (f *failing) Connect(context.Context) (driver.Conn, error) {
	f.asked++
	return nil, f.err
}

// TestRest: a server that could not be reached is left alone for a while, not
// because a client went away.
func TestRest(t *testing.T) {
	now := time.Unix(1000, 0)
	f := &failing{err: errors.New("refused")}
	r := &resting{Connector: f, now: func() time.Time { return now }}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, step := range []struct {
		ctx   context.Context
		after time.Duration
		asked int
	}{{gone, 0, 1}, {context.Background(), 0, 2}, {context.Background(), rest - 1, 2}, {context.Background(), 1, 3}} {
		now = now.Add(step.after)
		if _, err := r.Connect(step.ctx); !errors.Is(err, ErrAway) || !errors.Is(err, f.err) || f.asked != step.asked {
			t.Errorf("%+v: asked %d times, %v", step, f.asked, err)
		}
	}
}
