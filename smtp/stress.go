package smtp

import "time"

// What holds when nearly all sessions are taken: who keeps one without use
// loses it soon. postconf(5) stress
const (
	stressFull    = 90 // in parts of a hundred of smtpd_connection_limit
	stressTimeout = 10 * time.Second
	stressHard    = 1
	stressJunk    = 1
)

func (s *session) stressed() bool {
	return s.srv.Sessions()*100 > s.set.Connections*stressFull
}

// patience is how long a client is waited for.
func (s *session) patience() time.Duration {
	if s.stressed() {
		return min(s.set.Timeout, stressTimeout)
	}
	return s.set.Timeout
}

func (s *session) hardErrors() int {
	if s.errors > 0 && s.stressed() {
		return min(s.set.HardErrors, stressHard)
	}
	return s.set.HardErrors
}

func (s *session) junkMost() int {
	if s.stressed() {
		return min(s.set.Junk, stressJunk)
	}
	return s.set.Junk
}
