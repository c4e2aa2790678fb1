package smtp

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"mailserver/internal/maillog"
)

// bdat takes one chunk, RFC 3030 §2. Whatever the answer, the chunk is read.
func (s *session) bdat(ctx context.Context, args string) reply {
	size, last, ok := parseChunk(args)
	if !ok {
		return s.badChunk(args)
	}
	r, bad := s.beginChunk(ctx, size, last)
	s.tx.bad = bad
	if !s.readChunk(size) {
		return reply{}
	}
	if bad {
		return s.endChunk(r, last)
	}
	if !last {
		return reply{250, "2.0.0", fmt.Sprintf("Ok: %d bytes", size)}
	}
	s.tx.intake.finish()
	total := s.tx.intake.size
	r = s.finish(ctx, func(id string) reply {
		return reply{250, "2.0.0", fmt.Sprintf("Ok: %d bytes queued as %s", total, id)}
	})
	s.reset()
	return r
}

// parseChunk reads "size [LAST]".
func parseChunk(args string) (size int64, last, ok bool) {
	words := strings.Fields(args)
	if len(words) == 0 || len(words) > 2 {
		return 0, false, false
	}
	n, err := strconv.ParseUint(words[0], 10, 62)
	if len(words) == 2 {
		last = true
		ok = strings.EqualFold(words[1], "LAST")
	} else {
		ok = true
	}
	return int64(n), last, ok && err == nil
}

// badChunk ends the session: where the next command begins is not known.
func (s *session) badChunk(args string) reply {
	s.warn("malformed BDAT", "%s: malformed BDAT command syntax from %s: BDAT %s",
		s.queueID(), s.namaddr, maillog.Escaped([]byte(args), 100))
	return reply{521, "5.5.4", "Syntax: BDAT count [LAST]"}
}

// beginChunk decides about a chunk before it is read.
func (s *session) beginChunk(ctx context.Context, size int64, last bool) (reply, bool) {
	tx := s.tx
	first := !tx.bdat
	tx.bdat = true
	switch {
	case tx.bad:
		return reply{551, "5.0.0", fmt.Sprintf("Discarded %d bytes after earlier error", size)}, true
	case size == 0 && !last:
		return reply{551, "5.7.1", "Null BDAT request"}, true
	}
	if limit := s.set.MessageLimit; limit > 0 && (size > limit || tx.intake != nil && tx.intake.size > limit-size) {
		s.warn("chunk too big", "%s: BDAT request from %s exceeds message size limit", s.queueID(), s.namaddr)
		return chunkTooBig, true
	}
	if !first {
		return reply{}, false
	}
	if r, bad := s.judgeData(ctx, "BDAT"); bad {
		return r, true
	}
	return s.open(ctx)
}

// readChunk reads size bytes into the message, if there is one that takes them.
func (s *session) readChunk(size int64) bool {
	s.beginContent()
	for s.bytes < size {
		p, err := s.rd.Block()
		if err != nil {
			s.lost(err)
			return false
		}
		p = p[:min(int64(len(p)), size-s.bytes)]
		if tx := s.tx; tx != nil && tx.intake != nil && !tx.bad {
			tx.intake.feed(p)
		}
		s.took(len(p))
	}
	s.content = false
	return true
}

// endChunk answers a chunk that was refused; after the last one the
// transaction is over.
func (s *session) endChunk(r reply, last bool) reply {
	if last {
		r = s.forEach(r)
		s.reset()
	}
	return r
}

// skipChunk reads over the chunk of a BDAT that may not be given now, and makes
// r the answer.
func (s *session) skipChunk(args string, r reply) reply {
	size, last, ok := parseChunk(args)
	if !ok {
		return s.badChunk(args)
	}
	if s.tx != nil {
		s.tx.bdat, s.tx.bad = true, true
	}
	if !s.readChunk(size) {
		return reply{}
	}
	if last {
		s.reset()
	}
	return r
}
