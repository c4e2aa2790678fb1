package pop3

import (
	"context"
	"strconv"
	"strings"

	"mailserver/storage"
)

// all is what LIST and UIDL are asked for without a number.
const all = -1

// parseMessage reads the number of a message that is not marked as deleted,
// and returns it less one.
func parseMessage(s *session, args string) (int, error) {
	i, rest, err := s.messageNumber(args)
	if err == nil && rest != "" {
		err = noSuch("Noise after message number: %s", rest)
	}
	return i, err
}

func parseMaybeMessage(s *session, args string) (int, error) {
	if strings.TrimLeft(args, " ") == "" {
		return all, nil
	}
	return parseMessage(s, args)
}

// messageNumber reads a number at the start of args.
func (s *session) messageNumber(args string) (i int, rest string, err error) {
	args = strings.TrimLeft(args, " ")
	n := 0
	for n < len(args) && args[n] >= '0' && args[n] <= '9' {
		n++
	}
	num, perr := strconv.ParseUint(args[:n], 10, 32)
	switch {
	case n == 0:
		return 0, "", noSuch("Invalid message number: %s", args)
	case perr != nil:
		return 0, "", noSuch("Message number too large: %s", args)
	case num == 0 || num > uint64(s.drop.len()):
		return 0, "", noSuch("There's no message %d.", num)
	case s.drop.deleted.has(int(num - 1)):
		return 0, "", noSuch("Message is deleted.")
	}
	return int(num - 1), args[n:], nil
}

func runNoop(_ context.Context, s *session) error {
	s.say("+OK")
	return nil
}

func runStat(_ context.Context, s *session) error {
	s.link.say("+OK ")
	s.pair(s.drop.len()-s.drop.deleted.n, uint64(s.drop.total-s.drop.gone))
	return nil
}

// pair writes a line of two numbers.
func (s *session) pair(a int, b uint64) {
	var buf [48]byte
	line := strconv.AppendInt(buf[:0], int64(a), 10)
	line = append(line, ' ')
	line = strconv.AppendUint(line, b, 10)
	s.link.Write(append(line, "\r\n"...))
}

func runList(_ context.Context, s *session, i int) error {
	d := s.drop
	if i != all {
		s.link.say("+OK ")
		s.pair(i+1, uint64(d.sizes[i]))
		return nil
	}
	s.say("+OK " + strconv.Itoa(d.len()-d.deleted.n) + " messages:")
	for i := range d.len() {
		if !d.deleted.has(i) {
			s.pair(i+1, uint64(d.sizes[i]))
		}
	}
	s.say(".")
	return nil
}

// stepUIDL is how many file names are held at once.
const stepUIDL = 256

// runUIDL: RFC 1939 §7.
func runUIDL(ctx context.Context, s *session, i int) error {
	format, err := parseFormat(s.cfg.UIDLFormat)
	if err != nil {
		return err
	}
	ids, err := s.drop.view.Identifiers()
	if err != nil {
		return err
	}
	list := &uidls{s: s, format: format, ids: ids}
	if s.cfg.UIDLDuplicates == "rename" {
		list.times = map[string]int{}
	}
	if i != all {
		return list.one(ctx, i)
	}
	s.say("+OK")
	for from := 0; from < s.drop.len(); from += stepUIDL {
		if err := list.write(ctx, from, min(from+stepUIDL, s.drop.len()), ""); err != nil {
			return &ending{"POP3 UIDLs couldn't be listed: " + err.Error()}
		}
	}
	s.say(".")
	return nil
}

// uidls is one UIDL.
type uidls struct {
	s      *session
	format format
	ids    *storage.Identifiers // of another server: they stay
	times  map[string]int       // how often each was told; nil: never mind
	silent bool
}

// write writes the identifiers of messages from, to (exclusive), each after a
// word.
func (u *uidls) write(ctx context.Context, from, to int, word string) error {
	d := u.s.drop
	var names []string
	if u.format.needsFile() {
		var err error
		if names, err = d.view.FileNames(ctx, d.uids[from:to]); err != nil {
			return err
		}
	}
	var buf [160]byte
	k := known{validity: d.view.UIDValidity()}
	for i := from; i < to; i++ {
		if d.deleted.has(i) && u.times == nil {
			continue
		}
		k.uid = d.uids[i]
		if names != nil {
			k.file, k.guid = names[i-from], names[i-from]
		}
		line := append(buf[:0], word...)
		line = strconv.AppendInt(line, int64(i+1), 10)
		line = append(line, ' ')
		n := len(line)
		line, err := u.identifier(ctx, line, i, k)
		if err != nil {
			return err
		}
		if line = u.rename(line, n); !u.silent && !d.deleted.has(i) {
			u.s.link.Write(append(line, "\r\n"...))
		}
	}
	return nil
}

func runLast(_ context.Context, s *session) error {
	s.say("+OK " + strconv.Itoa(s.drop.last))
	return nil
}
