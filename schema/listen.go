package schema

import (
	"context"
	"database/sql"
	_ "embed"
)

//go:embed mail_listen.sql
var mailListenDDL string

//go:embed state_requiretls.sql
var stateRequireTLSDDL string

// Listener is a row of Listener.
type Listener struct {
	Num       int64
	Protocol  string // mx, submission, lmtp, imap, pop3, managesieve, http
	Address   string // host:port, or unix:/path
	TLS       string // none, may, encrypt, wrapper
	Hostname  string // '': setting myhostname
	CertNum   int64  // 0: by SNI
	Tag       string
	Auth      int    // SMTP: 1 offers AUTH, 2 without TLS too
	Proxy     bool   // clients are proxies, which say who theirs are
	Interface string // '': all
	Mode      string // of a path, octal; '': by the umask
}

// Listeners returns the active listeners.
func (v *View) Listeners(ctx context.Context) ([]Listener, error) {
	return cached(v, cacheKey{kind: lookListeners}, func() ([]Listener, error) {
		var list []Listener
		err := v.m.each(ctx, `SELECT lsNum, lsProtocol, lsAddress, lsTls, ifnull(lsHostname, ''), ifnull(lsCertNum, 0),
			ifnull(lsTag, ''), lsAuth, lsProxy <> 0, ifnull(lsInterface, ''), ifnull(lsMode, '')
			FROM Listener WHERE active <> 0 ORDER BY lsNum`, nil, func(rows *sql.Rows) error {
			var l Listener
			err := rows.Scan(&l.Num, &l.Protocol, &l.Address, &l.TLS, &l.Hostname, &l.CertNum, &l.Tag, &l.Auth, &l.Proxy, &l.Interface, &l.Mode)
			list = append(list, l)
			return err
		})
		return list, wrap("read listeners", err)
	})
}
