package schema

import (
	"context"
	_ "embed"
	"strings"
)

//go:embed mail_out.sql
var mailOutDDL string

// SaslPassword is a row of SaslPassword.
type SaslPassword struct {
	User   string
	Passwd string
}

// SaslPassword returns the credentials for a next hop, as it is written, a host
// or a sender; nil if none. postconf(5) smtp_sasl_password_maps
func (v *View) SaslPassword(ctx context.Context, key string) (*SaslPassword, error) {
	return cached(v, cacheKey{kind: lookSaslPassword, key: strings.ToLower(key)}, func() (*SaslPassword, error) {
		var r SaslPassword
		found, err := v.m.one(ctx, `SELECT spUser, spPasswd FROM SaslPassword WHERE spKey = ? AND active <> 0`,
			[]any{key}, &r.User, &r.Passwd)
		if err != nil || !found {
			return nil, wrap("look up SASL password", err)
		}
		return &r, nil
	})
}

// Pipe is a row of Pipe: a transport that is a program. Size, MaxProc and
// Recipients are 0 where NULL.
type Pipe struct {
	Name       string
	Argv       string
	User       string // user or user:group
	Flags      string
	Directory  string // '' is /
	EOL        string // with escapes
	NullSender string
	Size       int64
	MaxProc    int
	Recipients int
	TimeLimit  string // '' the setting
}

// Pipe returns the active row of a transport, in any case; nil if none.
func (v *View) Pipe(ctx context.Context, name string) (*Pipe, error) {
	return cached(v, cacheKey{kind: lookPipe, key: strings.ToLower(name)}, func() (*Pipe, error) {
		var p Pipe
		found, err := v.m.one(ctx, `SELECT ppName, ppArgv, ppUser, ppFlags, ifnull(ppDirectory, ''), ppEol, ppNullSender,
			ifnull(ppSize, 0), ifnull(ppMaxProc, 0), ifnull(ppRecipients, 0), ifnull(ppTimeLimit, '')
			FROM Pipe WHERE ppName = ? AND active <> 0`, []any{name},
			&p.Name, &p.Argv, &p.User, &p.Flags, &p.Directory, &p.EOL, &p.NullSender, &p.Size, &p.MaxProc, &p.Recipients, &p.TimeLimit)
		if err != nil || !found {
			return nil, wrap("look up pipe "+name, err)
		}
		return &p, nil
	})
}
