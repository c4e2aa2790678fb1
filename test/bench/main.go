// Command bench measures this server beside Postfix and Dovecot, and beside an
// earlier build of itself, in one run: each starts in a directory and a control
// group of its own on loopback, every row of the table is measured in turns,
// and medians are printed.
//
//	go run ./test/bench -dir /var/tmp/bench -before /path/to/older/mailserver
//
// Postfix and Dovecot need root and are left out where they are not installed.
// docs/performance.md says what the figures mean.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
)

// options are the flags.
type options struct {
	dir    string
	binary string
	before string
	rows   string
	runs   int
	scale  float64
	peer   bool
	list   bool
}

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "", "directory for the data of all servers; default: a new one below /var/tmp, removed at the end")
	flag.StringVar(&o.binary, "binary", "", "the program to measure; default: built from this tree")
	flag.StringVar(&o.before, "before", "", "an older program to measure beside it")
	flag.StringVar(&o.rows, "rows", "", "regular expression: only rows with such a name")
	flag.IntVar(&o.runs, "runs", 3, "runs of each row on each server")
	flag.Float64Var(&o.scale, "scale", 1, "how much of the usual number of messages")
	flag.BoolVar(&o.peer, "peer", true, "with Postfix and Dovecot, if they are installed")
	flag.BoolVar(&o.list, "list", false, "name the rows")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	wanted, err := regexp.Compile(o.rows)
	if err != nil {
		return err
	}
	var list []row
	for _, r := range allRows() {
		if wanted.MatchString(r.name) {
			list = append(list, r)
		}
	}
	if o.list {
		for _, r := range list {
			fmt.Println(r.name)
		}
		return nil
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("/var/tmp", "bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	// Owners of mailboxes pass through it.
	if err := os.MkdirAll(o.dir, 0o711); err != nil {
		return err
	}
	if err := os.Chmod(o.dir, 0o711); err != nil {
		return err
	}
	return measure(o, list)
}

// measure starts the servers, runs all rows in turns and prints the table.
func measure(o options, list []row) error {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, os.Interrupt, syscall.SIGTERM)
	all, err := start(o)
	defer func() {
		for _, s := range all {
			s.stop()
			s.group.remove()
		}
	}()
	if err != nil {
		return err
	}
	b := &bench{scale: o.scale, dir: o.dir, found: make(map[string]string)}
	t := newTable(all)
	for _, r := range list {
		for i := range o.runs {
			for _, s := range all {
				select {
				case sig := <-stopped:
					t.print(os.Stdout)
					return fmt.Errorf("ended by %v", sig)
				default:
				}
				f, err := r.run(b, s)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", r.name, s.name, err)
				}
				t.add(r, s, f)
				fmt.Fprintf(os.Stderr, "%s %d/%d %s: %v\n", r.name, i+1, o.runs, s.name, f)
			}
		}
	}
	t.print(os.Stdout)
	return nil
}

// start starts every server that takes part; those that run are returned even
// if one does not.
func start(o options) ([]*subject, error) {
	var all []*subject
	add := func(s *subject, err error) error {
		if s != nil {
			all = append(all, s)
		}
		return err
	}
	if o.peer && peerInstalled() {
		if err := add(startPeer(filepath.Join(o.dir, "peer"))); err != nil {
			return all, err
		}
	}
	if o.before != "" {
		if err := add(startOurs(o.before, "before", filepath.Join(o.dir, "before"))); err != nil {
			return all, err
		}
	}
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "mailserver")
		build := exec.Command("go", "build", "-o", o.binary, "mailserver/cmd/mailserver")
		if out, err := build.CombinedOutput(); err != nil {
			return all, fmt.Errorf("build: %w\n%s", err, out)
		}
	}
	return all, add(startOurs(o.binary, "after", filepath.Join(o.dir, "after")))
}
