package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/postfixconf"
	"mailserver/internal/setting"
	"mailserver/schema"
)

func postfixCommands() []command {
	return []command{{name: "import postfix", args: "DIR", min: 1, max: 1,
		about: "settings, tables and services of Postfix: DIR has its main.cf and master.cf",
		more: "Tables are read from their text sources. Each line of main.cf and master.cf is told: what it became, or\n" +
			"why it has no counterpart. One transaction; --dry-run shows what would be done. It can be run again.\n" +
			"When DIR is a copy such as /old/etc/postfix, other files are looked for below /old.",
		setup: importPostfix}}
}

func importPostfix(fs *flag.FlagSet) action {
	dry := fs.Bool("dry-run", false, "change nothing")
	brief := fs.Bool("brief", false, "only what could not be taken")
	asJSON := fs.Bool("json", false, "as JSON")
	passwd := fs.String("passwd-file", "", "`file` of Dovecot's passwd-file: passwords of the virtual mailboxes")
	root := fs.String("root", "", "`directory` below which absolute paths are looked for")
	return func(ctx context.Context, a *app, args []string) error {
		mv, err := readPostfix(args[0], *root)
		if err != nil {
			return err
		}
		mv.passwd = *passwd
		return a.withMail(ctx, func(m *schema.Mail) error {
			if err := mv.current(ctx, m); err != nil {
				return err
			}
			err := m.Write(ctx, func(t *schema.Tx) error {
				mv.t = t
				if err := mv.run(); err != nil {
					return err
				}
				if *dry {
					return errDryRun
				}
				return nil
			})
			if err != nil && !errors.Is(err, errDryRun) {
				return err
			}
			return mv.say(a, *asJSON, *brief, *dry)
		})
	}
}

// Verdicts about a line.
const (
	taken    = "taken"
	needless = "needless" // the server does it by itself, or has nothing of the kind
	missed   = "not taken"
)

// told is a line of the report.
type told struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	What    string `json:"what"`
	Verdict string `json:"verdict"`
	Text    string `json:"text,omitempty"`
}

// postfixMove is one import of a Postfix.
type postfixMove struct {
	conf   *postfixconf.Main
	master []postfixconf.Service
	dir    string // of main.cf
	root   string // before absolute paths
	passwd string

	t       *schema.Tx
	table   *setting.Table
	rows    map[string]string // of Setting, as they will be
	report  []told
	done    map[string]bool   // parameters that a step has spoken of
	tables  map[string]string // access tables by type:path, '' could not be taken
	names   map[string]bool   // of access tables
	classes map[string]bool   // smtpd_restriction_classes
	locals  []string          // local domains by name
	counts  map[string]int
	sqlHint map[string]bool
	below   bool // relay_domains count for their subdomains
}

// maxTold bounds the report.
const maxTold = 100000

func (mv *postfixMove) tell(file string, line int, what, verdict, format string, args ...any) {
	if len(mv.report) < maxTold {
		mv.report = append(mv.report, told{file, line, what, verdict, fmt.Sprintf(format, args...)})
	}
}

// param tells about a line of main.cf, if there is one, and ends its business.
func (mv *postfixMove) param(name, verdict, format string, args ...any) {
	mv.done[name] = true
	if p, ok := mv.conf.Get(name); ok {
		mv.tell("main.cf", p.Line, name, verdict, format, args...)
	}
}

// readPostfix reads main.cf and master.cf of a directory.
func readPostfix(dir, root string) (*postfixMove, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if root == "" {
		root = strings.TrimSuffix(dir, "/etc/postfix")
		if root == dir {
			root = ""
		}
	}
	mv := &postfixMove{dir: dir, root: root, done: make(map[string]bool), tables: make(map[string]string), names: make(map[string]bool),
		classes: make(map[string]bool), counts: make(map[string]int), sqlHint: make(map[string]bool)}
	f, err := os.Open(filepath.Join(dir, "main.cf"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var faults []postfixconf.Param
	if mv.conf, faults, err = postfixconf.ReadMain(f); err != nil {
		return nil, err
	}
	for _, p := range faults {
		mv.tell("main.cf", p.Line, p.Value, missed, "no = in it")
	}
	for _, p := range mv.conf.Params() {
		if mv.conf.Overridden(p) {
			mv.tell("main.cf", p.Line, p.Name, needless, "a later line says it anew")
		}
	}
	return mv, mv.readMaster()
}

func (mv *postfixMove) readMaster() error {
	f, err := os.Open(filepath.Join(mv.dir, "master.cf"))
	if errors.Is(err, os.ErrNotExist) {
		mv.tell("master.cf", 0, "master.cf", missed, "there is none: listeners stay as they are")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var faults []postfixconf.Param
	if mv.master, faults, err = postfixconf.ReadMaster(f); err != nil {
		return err
	}
	for _, p := range faults {
		mv.tell("master.cf", p.Line, p.Value, missed, "cannot be read")
	}
	return nil
}

// current reads the settings that are there.
func (mv *postfixMove) current(ctx context.Context, m *schema.Mail) error {
	src, err := config.New(m)
	if err != nil {
		return err
	}
	if mv.table, err = config.Table(); err != nil {
		return err
	}
	rows, err := src.Rows(ctx)
	if err != nil {
		return err
	}
	mv.rows = make(map[string]string, len(rows))
	for name, value := range rows {
		mv.rows[name] = value
	}
	host, ok := mv.conf.Get("myhostname")
	mv.conf.Defaults["myhostname"] = rows["myhostname"]
	name, err := mv.conf.Expand(host.Value)
	if !ok || err != nil {
		name = rows["myhostname"]
	}
	if _, domain, ok := strings.Cut(name, "."); ok {
		mv.conf.Defaults["mydomain"] = domain
	}
	mv.conf.Defaults["mynetworks"] = "127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128"
	mv.conf.Defaults["config_directory"] = mv.dir
	return nil
}

// run writes everything, in the order that rows need one another.
func (mv *postfixMove) run() error {
	for _, step := range []func() error{
		mv.host, mv.domains, mv.mailboxes, mv.virtualAliases, mv.localAliases, mv.relayRecipients, mv.localRecipients,
		mv.transports, mv.rewriting, mv.contentChecks, mv.outgoing, mv.certificates,
		mv.restrictionClasses, mv.restrictions, mv.screen, mv.services, mv.remaining,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// say prints the report in the order of the files.
func (mv *postfixMove) say(a *app, asJSON, brief, dry bool) error {
	if asJSON {
		t := a.table(true)
		for _, l := range mv.report {
			if err := t.row(l); err != nil {
				return err
			}
		}
		return t.end(nil)
	}
	n := make(map[string]int)
	for _, l := range mv.sorted() {
		n[l.Verdict]++
		if brief && l.Verdict != missed {
			continue
		}
		where := l.File
		if l.Line > 0 {
			where = fmt.Sprintf("%s:%d", l.File, l.Line)
		}
		text := strings.TrimSuffix(fmt.Sprintf("%s: %s: %s: %s", where, l.What, l.Verdict, l.Text), ": ")
		fmt.Fprintln(a.out, text)
	}
	would := ""
	if dry {
		would = ", nothing was changed"
	}
	_, err := fmt.Fprintf(a.out, "%d taken, %d needless, %d not taken%s\n", n[taken], n[needless], n[missed], would)
	return err
}
