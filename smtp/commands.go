package smtp

import (
	"context"
	"fmt"
	"strings"

	"mailserver/policy"
)

// flags say how the loop treats a command.
type flags uint16

const (
	beforeTLS flags = 1 << iota // heard where STARTTLS is demanded
	always                      // heard from a client that was refused at connect
	waits                       // the client waits for the reply before it goes on
	junk                        // many of them count as errors
	settled                     // is not run while the settings cannot be read
	chunk                       // content of a told size follows, whatever the answer
	noBDAT                      // not between the chunks of a message
	outside                     // not within a transaction
	inMail                      // only after MAIL
	inRcpt                      // only after a RCPT that was accepted
	greeted                     // only after HELO, if smtpd_helo_required
)

var flagNames = []string{"beforeTLS", "always", "waits", "junk", "settled", "chunk", "noBDAT", "outside", "inMail",
	"inRcpt", "greeted"}

// roles is a set of policy.Role.
type roles uint8

const (
	mail    = 1<<policy.MX | 1<<policy.Submission
	lmtp    = 1 << policy.LMTP
	anyRole = mail | lmtp
)

// command is one verb. run answers; the zero reply says that it has answered
// itself.
type command struct {
	name  string
	roles roles
	flags flags
	run   func(*session, context.Context, string) reply
	index int
}

func (c *command) is(f flags) bool { return c.flags&f != 0 }

const maxCommands = 20

// commands are in the order in which the log counts them.
var commands = indexed([]command{
	{name: "HELO", roles: mail, flags: beforeTLS | waits | junk, run: (*session).heloCommand},
	{name: "EHLO", roles: mail, flags: beforeTLS | waits | junk, run: (*session).ehlo},
	{name: "LHLO", roles: lmtp, flags: beforeTLS | waits | junk, run: (*session).ehlo},
	{name: "STARTTLS", roles: anyRole, flags: beforeTLS | outside, run: (*session).startTLS},
	{name: "AUTH", roles: anyRole, flags: settled | greeted, run: (*session).auth},
	{name: "MAIL", roles: anyRole, flags: settled | greeted | outside, run: (*session).mail},
	{name: "RCPT", roles: anyRole, flags: settled | inMail | noBDAT, run: (*session).rcpt},
	{name: "DATA", roles: anyRole, flags: settled | waits | inRcpt | noBDAT, run: (*session).data},
	{name: "BDAT", roles: anyRole, flags: settled | inRcpt | chunk, run: (*session).bdat},
	{name: "RSET", roles: anyRole, flags: junk, run: (*session).rset},
	{name: "NOOP", roles: anyRole, flags: beforeTLS | waits | junk, run: (*session).noop},
	{name: "VRFY", roles: anyRole, flags: settled | waits | junk, run: (*session).vrfy},
	{name: "ETRN", roles: mail, flags: settled | greeted | junk, run: (*session).etrn},
	{name: "XFORWARD", roles: mail, flags: settled | outside, run: (*session).xforward},
	{name: "HELP", roles: anyRole, flags: beforeTLS | junk, run: (*session).help},
	{name: "QUIT", roles: anyRole, flags: beforeTLS | always, run: (*session).quit},
})

// unknownCommand stands for every verb that is not in the table.
var unknownCommand = &command{name: "UNKNOWN", roles: anyRole, flags: beforeTLS, index: maxCommands - 1}

func indexed(list []command) map[string]*command {
	m := make(map[string]*command, len(list))
	for i := range list {
		list[i].index = i
		m[list[i].name] = &list[i]
	}
	return m
}

// lookup finds a verb in any case; unknownCommand if the role has none such.
func lookup(verb string, role policy.Role) *command {
	cmd := commands[strings.ToUpper(verb)]
	if cmd == nil || cmd.roles&(1<<role) == 0 {
		return unknownCommand
	}
	return cmd
}

// wrongState answers a command out of its place.
func (s *session) wrongState(cmd *command) (reply, bool) {
	tx := s.tx
	switch {
	case cmd.is(greeted) && s.set.HeloRequired && s.helo == "":
		return needHelo, true
	case cmd.is(outside) && tx != nil:
		return nested(cmd), true
	case cmd.is(noBDAT) && tx != nil && tx.bdat:
		return reply{503, "5.5.1", "Error: " + cmd.name + " after BDAT"}, true
	case cmd.is(inMail) && tx == nil:
		return needMail, true
	case cmd.is(inRcpt) && tx == nil:
		return needRcpt, true
	case cmd.is(inRcpt) && len(tx.env.To) == 0:
		return noRecipients, true
	}
	return reply{}, false
}

func nested(cmd *command) reply {
	if cmd.name == "MAIL" {
		return nestedMail
	}
	return reply{503, "5.5.1", "Error: MAIL transaction in progress"}
}

// countsLine is how often each command succeeded, of how many: " ehlo=1
// rcpt=0/3 quit=1 commands=2/5".
func (s *session) countsLine() string {
	var b strings.Builder
	var good, all int
	for i, n := range s.counts {
		if n.all == 0 {
			continue
		}
		good, all = good+int(n.good), all+int(n.all)
		fmt.Fprintf(&b, " %s=%s", nameOf(i), ratio(int(n.good), int(n.all)))
	}
	fmt.Fprintf(&b, " commands=%s", ratio(good, all))
	return b.String()
}

func nameOf(index int) string {
	for name, cmd := range commands {
		if cmd.index == index {
			return strings.ToLower(name)
		}
	}
	return "unknown"
}

func ratio(good, all int) string {
	if good == all {
		return fmt.Sprint(all)
	}
	return fmt.Sprintf("%d/%d", good, all)
}
