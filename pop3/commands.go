package pop3

import (
	"context"
	"errors"
	"strings"

	"mailserver/internal/maillog"
)

// command is a row of the table. The session loop checks the state, lets parse
// read the arguments, and calls what parse returned.
type command struct {
	name   string
	states state
	// enabled is nil for what is always there.
	enabled func(*Config) bool
	parse   func(s *session, args string) (func(context.Context) error, error)
}

// row makes a command of functions that agree on the type of its arguments.
func row[A any](c command, parse func(*session, string) (A, error), run func(context.Context, *session, A) error) command {
	c.parse = func(s *session, args string) (func(context.Context) error, error) {
		a, err := parse(s, args)
		return func(ctx context.Context) error { return run(ctx, s, a) }, err
	}
	return c
}

// bare makes a command whose arguments are not looked at, as in Dovecot.
func bare(c command, run func(context.Context, *session) error) command {
	c.parse = func(s *session, _ string) (func(context.Context) error, error) {
		return func(ctx context.Context) error { return run(ctx, s) }, nil
	}
	return c
}

// commandTable is every command, in the order of RFC 1939 and what came later.
// testdata/commands.golden is its print.
func commandTable() []command {
	return []command{
		bare(command{name: "CAPA", states: authorization | transaction}, runCapa),
		bare(command{name: "STLS", states: authorization}, runSTLS),
		row(command{name: "AUTH", states: authorization}, parseAuth, runAuth),
		row(command{name: "USER", states: authorization}, parseText, runUser),
		row(command{name: "PASS", states: authorization}, parseText, runPass),
		bare(command{name: "APOP", states: authorization}, runAPOP),
		bare(command{name: "QUIT", states: authorization | transaction}, runQuit),

		bare(command{name: "STAT", states: transaction}, runStat),
		row(command{name: "LIST", states: transaction}, parseMaybeMessage, runList),
		row(command{name: "RETR", states: transaction}, parseMessage, runRetr),
		row(command{name: "DELE", states: transaction}, parseMessage, runDele),
		bare(command{name: "NOOP", states: transaction}, runNoop),
		bare(command{name: "RSET", states: transaction}, runRset),
		row(command{name: "TOP", states: transaction}, parseTop, runTop),
		row(command{name: "UIDL", states: transaction}, parseMaybeMessage, runUIDL),
		bare(command{name: "LAST", states: transaction, enabled: func(c *Config) bool { return c.EnableLast }}, runLast),
	}
}

// byName indexes the table.
func byName(table []command) map[string]*command {
	index := make(map[string]*command, len(table))
	for i := range table {
		index[table[i].name] = &table[i]
	}
	return index
}

// command reads and runs one command. Its error ends the session.
func (s *session) command(ctx context.Context) error {
	wait, longest := loginTimeout, loginLine
	if s.state == transaction {
		wait, longest = idleTimeout, commandLine
	}
	line, err := s.link.line(wait, longest)
	if err != nil {
		return err
	}
	name, args, _ := strings.Cut(string(line), " ")
	cfg, err := s.srv.d.Config(ctx)
	if err != nil {
		return s.reply(s.unavailable("read the settings", err))
	}
	s.cfg = cfg
	c := s.srv.commands[strings.ToUpper(name)]
	if c == nil || c.states&s.state == 0 || c.enabled != nil && !c.enabled(cfg) {
		return s.unknown(name)
	}
	run, err := c.parse(s, args)
	if err == nil {
		s.bad = 0
		err = run(ctx)
	} else {
		s.bad++
	}
	return s.reply(err)
}

// unknown answers a command that there is not, or not now; too many of them end
// the session.
func (s *session) unknown(name string) error {
	s.bad++
	switch {
	case s.state == authorization && s.bad >= maxBadLogin:
		s.say("-ERR Unknown command.")
		s.say("-ERR Too many invalid bad commands.")
		return errTooManyBad
	case s.state == authorization || name == "":
		s.say("-ERR Unknown command.")
	default:
		s.say("-ERR Unknown command: " + maillog.OneLine(strings.ToUpper(name)))
	}
	if s.bad > maxBad {
		s.say("-ERR Too many bad commands.")
		return errTooManyBad
	}
	return s.link.err
}

var errTooManyBad = errors.New("too many bad commands")
