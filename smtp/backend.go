package smtp

import (
	"context"
	"crypto/tls"
	"io"

	"github.com/emersion/go-sasl"

	"mailserver/auth"
	"mailserver/delivery"
	"mailserver/internal/address"
	"mailserver/policy"
)

// Judge judges one connection; *policy.Session is one. Tests use another to
// force verdicts.
type Judge interface {
	Connect(ctx context.Context) policy.Verdict
	Helo(ctx context.Context, name string, esmtp bool) policy.Verdict
	TLS(st *tls.ConnectionState)
	Login(user, mechanism string)
	Pipelined()
	Mail(ctx context.Context, from policy.Sender, size int64) policy.Verdict
	Rcpt(ctx context.Context, to policy.Recipient) policy.Verdict
	Vrfy(ctx context.Context, to policy.Recipient) policy.Verdict
	Etrn(ctx context.Context, domain string) policy.Verdict
	Data(ctx context.Context) policy.Verdict
	EndOfData(ctx context.Context, m policy.Content) policy.Verdict
	Reset()
}

// Router resolves addresses; *route.Router is one. An error is temporary.
type Router interface {
	Sender(ctx context.Context, from address.Address) (policy.Sender, error)
	Recipient(ctx context.Context, to address.Address) (policy.Recipient, error)
}

// Accepter takes messages. Begin's error is temporary; one that is a lack of
// room on the disk wraps syscall.ENOSPC or EDQUOT.
type Accepter interface {
	Begin(ctx context.Context, env *delivery.Envelope) (Message, error)
}

// Message is a message on its way in; *delivery.Message is one.
type Message interface {
	ID() string
	Write(p []byte) (int, error)
	Size() int64
	Open() io.Reader // what has been written, from its beginning
	// Rewrite makes it what fn writes, and Spare is room beside it.
	Rewrite(fn func(io.Writer) error) error
	Spare() (delivery.Spare, error)
	Refused() bool // Commit will refuse it, whatever comes
	Commit(ctx context.Context, eff policy.Effects) []delivery.Outcome
	Abort()
}

// Authenticator runs SASL exchanges; *auth.Service is one.
type Authenticator interface {
	Mechanisms(ctx context.Context, c auth.Client, plaintext bool) []string
	Begin(ctx context.Context, c auth.Client, mechanism string, done func(auth.Identity)) sasl.Server
}

// Judging makes the sessions of e the judges of a server.
func Judging(e *policy.Engine) func(policy.Client) Judge {
	return func(c policy.Client) Judge {
		s := e.NewSession(c)
		s.KeepSteps = true
		return s
	}
}

// Accepting makes a *delivery.Service the Accepter of a server.
func Accepting[M Message](s beginner[M]) Accepter { return accepting[M]{s} }

type beginner[M Message] interface {
	Begin(ctx context.Context, env *delivery.Envelope) (M, error)
}

type accepting[M Message] struct{ s beginner[M] }

func (a accepting[M]) Begin(ctx context.Context, env *delivery.Envelope) (Message, error) {
	m, err := a.s.Begin(ctx, env)
	if err != nil {
		return nil, err // not a Message that holds a nil pointer
	}
	return m, nil
}
