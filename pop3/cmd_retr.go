package pop3

import (
	"context"
	"errors"
	"strconv"
	"strings"
)

func runRetr(ctx context.Context, s *session, i int) error {
	n, err := s.send(ctx, i, "+OK "+strconv.FormatUint(uint64(s.drop.sizes[i]), 10)+" octets\r\n", everything)
	if err != nil {
		return err
	}
	s.counts.retr++
	s.counts.retrBytes += n
	s.drop.retrieved(i)
	return nil
}

// topArgs are a message and how many lines of its body are wanted.
type topArgs struct {
	message int
	lines   uint64
}

func parseTop(s *session, args string) (a topArgs, err error) {
	var rest string
	if a.message, rest, err = s.messageNumber(args); err != nil {
		return a, err
	}
	if rest == "" || rest[0] != ' ' {
		return a, noSuch("Noise after message number: %s", rest)
	}
	rest = strings.TrimLeft(rest, " ")
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if n == 0 {
		return a, noSuch("Invalid size: %s", rest)
	}
	if a.lines, err = strconv.ParseUint(rest[:n], 10, 63); err != nil {
		return a, noSuch("Size too large: %s", rest)
	}
	if rest[n:] != "" {
		return a, noSuch("Noise after size: %s", rest[n:])
	}
	return a, nil
}

func runTop(ctx context.Context, s *session, a topArgs) error {
	n, err := s.send(ctx, a.message, "+OK\r\n", int64(a.lines))
	if err != nil {
		return err
	}
	s.counts.top++
	s.counts.topBytes += n
	return nil
}

// send writes a message after its first line, and returns how many bytes that
// was without the last line.
func (s *session) send(ctx context.Context, i int, first string, lines int64) (int64, error) {
	body, err := s.drop.message(ctx, i)
	if errors.Is(err, errExpunged) {
		return 0, noSuch("Message %d expunged.", i+1)
	}
	if err != nil {
		return 0, err
	}
	defer body.Close()
	s.link.say(first)
	t := text{to: s.link, lines: lines, nuls: !s.cfg.worksAround(noNULs), eoh: s.cfg.worksAround(endOfHeader)}
	n, err := t.copy(body)
	if err != nil {
		// Only the end of the connection tells that this was not all of it.
		return n, &ending{"Internal error: " + err.Error()}
	}
	return n + int64(len(first)), s.link.err
}
