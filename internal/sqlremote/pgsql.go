package sqlremote

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/url"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// pg makes connections of database/sql out of those of pgconn. A query is sent
// with its parameters as texts whose type the server finds out, as if they
// stood in it, and nothing stays prepared: poolers need not know of it.
//
// What has no type by itself, such as a parameter of CONCAT, is asked again as
// text.
type pg struct {
	config *pgconn.Config

	mu    sync.Mutex // guards texts
	texts map[string]bool
}

// maxTexts bounds the queries that are known to need types.
const maxTexts = 1000

// indeterminate is the SQLSTATE of a parameter whose type cannot be found out.
const indeterminate = "42P18"

// textOID is the type text of PostgreSQL.
const textOID = 25

func (p *pg) typed(query string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.texts[query]
}

func (p *pg) needsTypes(query string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.texts == nil || len(p.texts) >= maxTexts {
		p.texts = make(map[string]bool)
	}
	p.texts[query] = true
}

func pgConnector(u *url.URL) (driver.Connector, error) {
	q := u.Query()
	if socket := q.Get("socket"); socket != "" {
		q.Del("socket")
		q.Set("host", socket)
		u.RawQuery = q.Encode()
	}
	config, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return nil, errors.New("the URL of the database cannot be read: host, port, sslmode") // err has much of it
	}
	config.ConnectTimeout = connectTime
	return &pg{config: config}, nil
}

var errOnlyQueries = errors.New("only queries are asked")

// Connect implements driver.Connector.
func (p *pg) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := pgconn.ConnectConfig(ctx, p.config)
	if err != nil {
		return nil, err
	}
	return &pgConn{c, p}, nil
}

// Driver implements driver.Connector.
func (p *pg) Driver() driver.Driver { return p }

// Open implements driver.Driver.
func (p *pg) Open(string) (driver.Conn, error) { return nil, errOnlyQueries }

type pgConn struct {
	c *pgconn.PgConn
	p *pg
}

// Prepare implements driver.Conn.
func (c *pgConn) Prepare(string) (driver.Stmt, error) { return nil, errOnlyQueries }

// Begin implements driver.Conn.
func (c *pgConn) Begin() (driver.Tx, error) { return nil, errOnlyQueries }

// Close implements driver.Conn.
func (c *pgConn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTime)
	defer cancel()
	return c.c.Close(ctx)
}

// IsValid implements driver.Validator.
func (c *pgConn) IsValid() bool { return !c.c.IsClosed() }

// QueryContext implements driver.QueryerContext. A connection that the server
// has closed meanwhile is driver.ErrBadConn: a look-up can be asked again.
func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		text, ok := a.Value.(string)
		if !ok {
			return nil, errOnlyQueries
		}
		params[i] = []byte(text)
	}
	if c.p.typed(query) {
		return c.ask(ctx, query, params, textOIDs(len(params)))
	}
	rows, err := c.ask(ctx, query, params, nil)
	var fault *pgconn.PgError
	if errors.As(err, &fault) && fault.Code == indeterminate {
		c.p.needsTypes(query)
		return c.ask(ctx, query, params, textOIDs(len(params)))
	}
	return rows, err
}

func textOIDs(n int) []uint32 {
	list := make([]uint32, n)
	for i := range list {
		list[i] = textOID
	}
	return list
}

func (c *pgConn) ask(ctx context.Context, query string, params [][]byte, types []uint32) (driver.Rows, error) {
	r := &pgRows{conn: c.c, ctx: ctx, r: c.c.ExecParams(ctx, query, params, types, nil, nil)}
	for _, f := range r.r.FieldDescriptions() {
		r.columns = append(r.columns, f.Name)
	}
	if r.columns == nil { // an error, or no query
		if _, err := r.r.Close(); err != nil {
			return nil, r.fault(err)
		}
		return nil, errOnlyQueries
	}
	return r, nil
}

type pgRows struct {
	conn    *pgconn.PgConn
	ctx     context.Context
	r       *pgconn.ResultReader
	columns []string
	done    bool
}

func (r *pgRows) fault(err error) error {
	if r.conn.IsClosed() && r.ctx.Err() == nil {
		return driver.ErrBadConn
	}
	return err
}

// Columns implements driver.Rows.
func (r *pgRows) Columns() []string { return r.columns }

// Close implements driver.Rows.
func (r *pgRows) Close() error {
	if r.done {
		return nil
	}
	r.done = true
	_, err := r.r.Close()
	return err
}

// Next implements driver.Rows. All values are texts.
func (r *pgRows) Next(dest []driver.Value) error {
	if !r.r.NextRow() {
		if err := r.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	for i, v := range r.r.Values() {
		if dest[i] = nil; v != nil {
			dest[i] = string(v)
		}
	}
	return nil
}
