package pop3

import (
	"context"
)

func runDele(_ context.Context, s *session, i int) error {
	s.drop.delete(i)
	s.say("+OK Marked to be deleted.")
	return nil
}

// runRset: RFC 1939 §5, and RFC 1460 §5 with LAST.
func runRset(ctx context.Context, s *session) error {
	s.drop.reset()
	if s.cfg.EnableLast && !s.cfg.NoFlagUpdates {
		if err := s.drop.unsee(ctx); err != nil {
			return err
		}
	}
	s.say("+OK")
	return nil
}

// runQuit: RFC 1939 §6. The update is carried out whole even when the client
// or the server is in a hurry.
func runQuit(ctx context.Context, s *session) error {
	if s.drop == nil {
		s.say("+OK Logging out")
		s.state = ended
		return s.link.flush()
	}
	if err := s.drop.update(context.WithoutCancel(ctx), s.cfg); err != nil {
		if err := s.reply(err); err != nil {
			return err
		}
		return &ending{"Storage error during logout."}
	}
	if s.drop.deleted.n > 0 {
		s.say("+OK Logging out, messages deleted.")
	} else {
		s.say("+OK Logging out.")
	}
	s.state = ended
	return s.link.flush()
}
