// Mailserver is a mail host in one process: MX, submission and LMTP, routing,
// queue, Maildir delivery, IMAP. What it does is rows in one SQLite file.
//
// "mailserver help" lists the commands; README.md begins with the first mail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"mailserver/schema"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	args := os.Args[1:]
	if name := filepath.Base(os.Args[0]); personas()[name] != nil {
		args = append([]string{name}, args...)
	}
	code := a.main(ctx, args)
	stop()
	os.Exit(code)
}

// command is a row of the table of commands.
type command struct {
	name     string // "domain add"
	args     string // as the usage line shows them
	min, max int    // number of arguments; max -1: any
	about    string // one line
	more     string // further lines of its help
	inner    bool   // programs call it, not people: at the end of the list
	// setup declares the command's flags and returns what it does.
	setup func(*flag.FlagSet) action
}

type action func(ctx context.Context, a *app, args []string) error

// group is commands under a heading of the help.
type group struct {
	heading  string
	commands []func() []command
}

// groups are all commands, in the order of the help.
func groups() []group {
	return []group{
		{"The server", []func() []command{setupCommands, serveCommands, statusCommands, doctorCommands, dnsCommands, configCommands}},
		{"Domains, addresses, mailboxes", []func() []command{domainCommands, addressCommands, moreAddressCommands, aliasCommands, mailboxCommands}},
		{"Mail and who reads it", []func() []command{mailCommands, ftsCommands, aclCommands, sessionCommands, deliverCommands}},
		{"Where mail goes, and why", []func() []command{lookupCommands, policyCommands, classCommands, traceCommands, auditCommands, queueCommands}},
		{"Limits, memory of clients, reports", []func() []command{memoryCommands, dmarcCommands, tlsrptCommands}},
		{"Passwords, keys, certificates", []func() []command{passwordCommands, authCommands, dkimCommands}},
		{"Moving in and out, backup", []func() []command{importCommands, postfixCommands, panelCommands, backupCommands}},
		{"The program", []func() []command{completionCommands, versionCommands}},
	}
}

// commands is every command.
func commands() []command {
	var all []command
	for _, p := range groups() {
		for _, list := range p.commands {
			all = append(all, list()...)
		}
	}
	return all
}

// main runs one command line and returns the exit code.
func (a *app) main(ctx context.Context, args []string) int {
	err := a.run(ctx, args)
	if err == nil {
		return 0
	}
	code := exitCode(err)
	if !errors.Is(err, errQuiet) {
		fmt.Fprintf(a.err, "mailserver: %v\n", err)
		if hint := hint(err); hint != "" {
			fmt.Fprintf(a.err, "  %s\n", hint)
		}
	}
	return code
}

func (a *app) run(ctx context.Context, args []string) error {
	if ok, err := a.asPersona(ctx, args); ok {
		return err
	}
	args = dataLast(args)
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		return a.help(args)
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.dir, "data", defaultData(), "the data `directory`")
	do := c.setup(fs)
	pos, err := parse(fs, rest)
	if errors.Is(err, flag.ErrHelp) {
		a.commandHelp(c)
		return nil
	}
	if err != nil {
		return usage("%s: %v", c.name, err)
	}
	if len(pos) < c.min || c.max >= 0 && len(pos) > c.max {
		return usage("use: mailserver %s %s", c.name, c.args)
	}
	a.flags = fs
	return do(schema.WithActor(ctx, actor(c.name)), a, pos)
}

// dataLast moves a --data that stands before the command behind it, where
// flags are read.
func dataLast(args []string) []string {
	for _, name := range []string{"--data", "-data"} {
		switch {
		case len(args) > 2 && args[0] == name:
			return append(args[2:len(args):len(args)], args[:2]...)
		case len(args) > 1 && strings.HasPrefix(args[0], name+"="):
			return append(args[1:len(args):len(args)], args[0])
		}
	}
	return args
}

// find returns the command that the line begins with, and the rest of it.
func find(args []string) (command, []string, error) {
	var verbs []string
	for _, c := range commands() {
		noun, verb, two := strings.Cut(c.name, " ")
		if noun != args[0] {
			continue
		}
		if !two {
			return c, args[1:], nil
		}
		if words := strings.Fields(verb); len(args) > len(words) && slices.Equal(args[1:1+len(words)], words) {
			return c, args[1+len(words):], nil
		}
		verbs = append(verbs, verb)
	}
	if len(verbs) > 0 {
		return command{}, nil, usage("%s: %ssay one of %s", args[0], otherWord(args[1:], verbs), strings.Join(verbs, ", "))
	}
	return command{}, nil, usage("there is no command %q; see: mailserver help", args[0])
}

// otherWord answers a verb that other programs have for one of verbs.
func otherWord(args, verbs []string) string {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return ""
	}
	for _, same := range [][]string{{"rm", "delete", "del", "remove"}, {"delete", "rm", "remove"}, {"add", "create", "new"}, {"list", "ls"},
		{"show", "cat", "get", "view", "info"}, {"retry", "requeue", "run"}, {"set", "edit", "update", "modify", "passwd", "password"}, {"disable", "off"}, {"enable", "on"}} {
		if slices.Contains(same[1:], args[0]) && slices.Contains(verbs, same[0]) {
			return fmt.Sprintf("%q is %q here; ", args[0], same[0])
		}
	}
	return fmt.Sprintf("there is no %q; ", args[0])
}

// parse reads flags before, between and after the arguments: one grammar,
// noun verb object --flags. "--" ends the flags.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var pos []string
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return pos, nil
		}
		if done := len(args) - len(rest); done > 0 && args[done-1] == "--" {
			return append(pos, rest...), nil
		}
		pos, args = append(pos, rest[0]), rest[1:]
	}
}

// help takes --data as every command does, and needs no directory.
func (a *app) help(args []string) error {
	fs := flag.NewFlagSet("help", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.String("data", "", "")
	if len(args) > 0 {
		pos, err := parse(fs, args[1:])
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			return usage("%v; see: mailserver help", err)
		}
		if len(pos) > 0 {
			return a.helpOn(pos)
		}
	}
	fmt.Fprint(a.out, "mailserver: a mail host in one process.\n\n  mailserver COMMAND [ARGUMENTS] [--data DIR]\n\n")
	var inner []command
	for _, p := range groups() {
		fmt.Fprintf(a.out, "%s\n", p.heading)
		for _, list := range p.commands {
			for _, c := range list() {
				if c.inner {
					inner = append(inner, c)
				} else {
					a.helpLine(c)
				}
			}
		}
		fmt.Fprintln(a.out)
	}
	fmt.Fprintln(a.out, "For other programs")
	for _, c := range inner {
		a.helpLine(c)
	}
	fmt.Fprintln(a.out)
	fmt.Fprintf(a.out, "\"mailserver help COMMAND\" says more; first steps: mailserver demo, mailserver setup. Data directory: %s\n", defaultData())
	return nil
}

func (a *app) helpLine(c command) {
	fmt.Fprintf(a.out, "  %-46s %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
}

func (a *app) helpOn(args []string) error {
	name := strings.Join(args, " ")
	found := false
	for _, c := range commands() {
		if c.name == name || strings.HasPrefix(c.name, name+" ") {
			if found {
				fmt.Fprintln(a.out)
			}
			a.commandHelp(c)
			found = true
		}
	}
	if !found {
		return usage("there is no command %q; see: mailserver help", name)
	}
	return nil
}

func (a *app) commandHelp(c command) {
	fmt.Fprintf(a.out, "mailserver %s\n    %s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	if c.more != "" {
		fmt.Fprintf(a.out, "    %s\n", strings.ReplaceAll(c.more, "\n", "\n    "))
	}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.String("data", defaultData(), "the data `directory`")
	c.setup(fs)
	fs.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		fmt.Fprintf(a.out, "    --%-24s %s\n", strings.TrimSpace(f.Name+" "+name), text)
	})
}
