package imap

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"
)

// runIdle: RFC 2177. The goroutine of the session waits for the client's DONE,
// without buffers; a change of the mailbox wakes it.
func runIdle(ctx context.Context, s *session) (reply, error) {
	s.enc.Raw("+ idling\r\n")
	for {
		if s.box != nil {
			if err := s.tellChanges(ctx, true); err != nil {
				return reply{}, err
			}
		}
		if err := s.tellNotified(ctx); err != nil {
			return reply{}, err
		}
		switch err := s.idleWait(); {
		case err == nil:
			return s.idleDone()
		case errors.Is(err, errWoken):
			if err := s.leaving(); err != nil {
				return reply{}, err
			}
		case isTimeout(err):
			s.enc.Raw("* OK Still here\r\n")
		default:
			return reply{}, s.broken(err)
		}
	}
}

// broken passes an error of the connection on through replyTo.
func (s *session) broken(err error) error {
	return errors.Join(errBroken, err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// idleWait returns nil when the client has said something, errWoken when
// something has changed, a timeout when it is time for a sign of life.
func (s *session) idleWait() error {
	if s.dec.Buffered() > 0 {
		return nil
	}
	if err := s.enc.Park(); err != nil {
		return err
	}
	wait := s.cfg.IdleNotify
	if wait <= 0 {
		wait = 24 * time.Hour
	}
	s.link.park(wait)
	defer s.link.unpark() // after the watch has ended: a late wake is forgotten
	defer s.watch()()
	if err := s.leaving(); err != nil {
		return err
	}
	return s.dec.Park()
}

// watch wakes the session when the mailbox changes, until stop is called.
func (s *session) watch() (stop func()) {
	if s.box == nil || s.wanted() == 0 {
		return func() {}
	}
	view := s.box.view
	view.Watch(s.link.wake)
	return view.Unwatch
}

func (s *session) idleDone() (reply, error) {
	s.dec.Begin(loginLineLimit)
	line := s.dec.Run(func(c byte) bool { return c != '\r' && c != '\n' })
	s.dec.End()
	if err := s.dec.Err(); err != nil {
		return reply{}, err
	}
	if !strings.EqualFold(line, "DONE") {
		return reply{}, &refusal{"Expected DONE."}
	}
	return reply{}, nil
}
