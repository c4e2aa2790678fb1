package schema

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mailserver/internal/sqlremote"
)

// foreignFile is the database of another program, opened for look-ups.
type foreignFile struct {
	id fileID
	db *sql.DB
}

// mapFile opens the file of a map, or the server that a URL names; ” is our own. One that was replaced is
// opened anew.
func (m *mailFile) mapFile(path string) (*sql.DB, error) {
	if path == "" {
		return m.r, nil
	}
	if sqlremote.KindOf(path) != 0 {
		return m.mapServer(path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(m.dir, path)
	}
	id, err := identify(path)
	if err != nil {
		return nil, err
	}
	if id == (fileID{}) {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.foreign[path]; ok {
		if f.id == id {
			return f.db, nil
		}
		f.db.Close()
		delete(m.foreign, path)
	}
	db, err := open(path, 2, true)
	if err != nil {
		return nil, err
	}
	if m.foreign == nil {
		m.foreign = make(map[string]foreignFile)
	}
	m.foreign[path] = foreignFile{id, db}
	return db, nil
}

// mapServer opens the database of a server; nothing is connected yet.
func (m *mailFile) mapServer(url string) (*sql.DB, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.foreign[url]; ok {
		return f.db, nil
	}
	if len(m.foreign) >= maxForeign {
		return nil, fmt.Errorf("more than %d databases", maxForeign)
	}
	c, err := sqlremote.Connector(url)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(maxRemote)
	db.SetMaxIdleConns(maxRemote / 2)
	db.SetConnMaxIdleTime(time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	if m.foreign == nil {
		m.foreign = make(map[string]foreignFile)
	}
	m.foreign[url] = foreignFile{db: db}
	return db, nil
}

// maxRemote bounds the connections to one server.
const maxRemote = 4

// maxForeign bounds the databases of other programs that are open.
const maxForeign = 64

// closeForeign closes the databases of other programs.
func (m *mailFile) closeForeign() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, f := range m.foreign {
		errs = append(errs, f.db.Close())
	}
	m.foreign = nil
	return errors.Join(errs...)
}

// domainNumber gives a domain that no row names a number below 0, so that its
// addresses can be asked for as those of rows are.
func (m *mailFile) domainNumber(name string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.numbers[name]; ok {
		return n
	}
	if m.numbers == nil {
		m.numbers = make(map[string]int64)
	}
	m.names = append(m.names, name)
	n := -int64(len(m.names))
	m.numbers[name] = n
	return n
}

// numberedDomain is the domain of such a number; ” if there is none.
func (m *mailFile) numberedDomain(n int64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := int(-n) - 1; i >= 0 && i < len(m.names) {
		return m.names[i]
	}
	return ""
}
