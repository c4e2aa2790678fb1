package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailserver/internal/server"
	"mailserver/internal/tlscert"
	"mailserver/schema"
	"mailserver/storage"
)

// fault is what a check has found.
type fault struct {
	Area string `json:"area"`
	What string `json:"what"`
	Mend string `json:"mend,omitempty"` // a statement or a command
	Warn bool   `json:"warning"`        // it works, but not as somebody may think
}

// checker is one run of "mailserver check".
type checker struct {
	p      *server.Parts
	repair bool
	found  []fault
}

func (c *checker) add(area, mend, format string, args ...any) {
	c.found = append(c.found, fault{Area: area, What: fmt.Sprintf(format, args...), Mend: mend})
}

func (c *checker) warn(area, mend, format string, args ...any) {
	c.found = append(c.found, fault{area, fmt.Sprintf(format, args...), mend, true})
}

// checkSteps are the areas, in the order of the output.
var checkSteps = []struct {
	name string
	run  func(*checker, context.Context) error
}{
	{"settings", (*checker).settings},
	{"restrictions", (*checker).restrictions},
	{"rows", (*checker).rows},
	{"listeners", (*checker).listeners},
	{"certificates", (*checker).certificates},
	{"files", (*checker).files},
	{"queue", (*checker).queue},
	{"names", (*checker).names},
	{"aliases", (*checker).aliases},
	{"passwords", (*checker).passwords},
	{"mailboxes", (*checker).mailboxes},
}

func check(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	repair := fs.Bool("repair", false, "bring the index of every mailbox in line with its tree")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			c := &checker{p: p, repair: *repair}
			for _, step := range checkSteps {
				if err := step.run(c, ctx); err != nil {
					c.add(step.name, "", "%v", err)
				}
			}
			return a.report(c.found, *asJSON)
		})
	}
}

func (a *app) report(found []fault, asJSON bool) error {
	bad := 0
	for _, f := range found {
		if !f.Warn {
			bad++
		}
	}
	if asJSON {
		t := a.table(true)
		for _, f := range found {
			if err := t.row(f); err != nil {
				return err
			}
		}
		if err := t.end(nil); err != nil {
			return err
		}
	} else {
		a.printFaults(found, bad)
	}
	if bad > 0 {
		return errFaults
	}
	return nil
}

func (a *app) printFaults(found []fault, bad int) {
	for _, f := range found {
		kind := "fault"
		if f.Warn {
			kind = "warning"
		}
		fmt.Fprintf(a.out, "%s: %s: %s\n", f.Area, kind, f.What)
		if f.Mend != "" {
			fmt.Fprintf(a.out, "    %s\n", f.Mend)
		}
	}
	if bad == 0 {
		fmt.Fprintln(a.out, "nothing is wrong")
	}
}

func (c *checker) settings(ctx context.Context) error {
	faults, err := c.p.Config.Faults(ctx)
	for _, f := range faults {
		name := f.Name
		if strings.ContainsAny(name, " \t'") {
			name = quoted(name)
		}
		c.add("settings", "mailserver config unset "+name, "%s", f)
	}
	return err
}

func (c *checker) restrictions(ctx context.Context) error {
	problems, err := c.p.Policy.Check(ctx)
	for _, p := range problems {
		c.found = append(c.found, fault{Area: "restrictions", What: p.String(), Warn: !p.Fatal})
	}
	return err
}

func (c *checker) rows(ctx context.Context) error {
	bad, err := c.p.Mail.Integrity(ctx)
	for _, f := range bad {
		c.add("rows", f.Mend, "%s", f.What)
	}
	if err != nil {
		return err
	}
	odd, err := c.p.Mail.Incomplete(ctx)
	for _, f := range odd {
		c.warn("rows", f.Mend, "%s", f.What)
	}
	if err != nil {
		return err
	}
	v, err := c.p.Mail.View(ctx)
	if err != nil {
		return err
	}
	maps, err := v.CheckSQLMaps(ctx)
	for _, f := range maps {
		c.add("rows", f.Mend, "%s", f.What)
	}
	if err != nil {
		return err
	}
	left, err := c.p.Delivery.BadChecks(ctx)
	for _, what := range left {
		c.add("rows", "", "ContentCheck %s; it is left out", what)
	}
	if err != nil {
		return err
	}
	state, err := c.p.State.Integrity(ctx)
	for _, f := range state {
		c.add("rows", "", "state.sqlite: %s", f.What)
	}
	return err
}

func (c *checker) listeners(ctx context.Context) error {
	v, err := c.p.Mail.View(ctx)
	if err != nil {
		return err
	}
	rows, err := v.Listeners(ctx)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		c.add("listeners", "", "the table Listener has no active row: the server would not start")
	}
	for _, l := range rows {
		c.listener(l)
	}
	return nil
}

func (c *checker) listener(l schema.Listener) {
	mend := fmt.Sprintf("UPDATE Listener SET active=0 WHERE lsNum=%d;", l.Num)
	if !server.Speaks(l.Protocol) {
		c.add("listeners", mend, "%s: this server does not speak %s yet", l.Address, l.Protocol)
	}
	if l.Protocol == "lmtp" && !onLoopback(l.Address) {
		c.warn("listeners", "", "%s: LMTP trusts everybody who can connect; put it on loopback", l.Address)
	}
	if l.Auth == 2 && !onLoopback(l.Address) {
		c.warn("listeners", "", "%s: passwords may cross the network without TLS (lsAuth 2)", l.Address)
	}
	if path, ok := strings.CutPrefix(l.Address, "unix:"); ok {
		if !filepath.IsAbs(path) {
			c.add("listeners", "", "%s: the path must begin with /", l.Address)
		}
		return
	}
	if _, err := net.ResolveTCPAddr("tcp", l.Address); err != nil {
		c.add("listeners", mend, "%s: %v", l.Address, err)
	}
}

func onLoopback(address string) bool {
	if strings.HasPrefix(address, "unix:") {
		return true
	}
	host, _, _ := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *checker) certificates(ctx context.Context) error {
	bad, err := c.p.Certs.Check(ctx, time.Now())
	for _, host := range slices.Sorted(maps.Keys(bad)) {
		err := bad[host]
		if errors.Is(err, tlscert.ErrSoon) {
			c.warn("certificates", "", "%s: %v", host, err)
		} else {
			c.add("certificates", "", "%s: %v", host, err)
		}
	}
	return err
}

// files: what holds passwords and keys is nobody else's business.
func (c *checker) files(context.Context) error {
	for _, name := range []string{"mail.sqlite", "state.sqlite", "spool", filepath.Join("tls", "self-signed.key")} {
		path := filepath.Join(c.p.Dir, name)
		st, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if st.Mode().Perm()&0o077 != 0 {
			c.add("files", "chmod go= "+path, "%s can be read by others (mode %04o)", path, st.Mode().Perm())
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && os.Geteuid() != 0 && int(sys.Uid) != os.Geteuid() {
			c.add("files", fmt.Sprintf("chown %d %s", os.Geteuid(), path), "%s belongs to another user (UID %d)", path, sys.Uid)
		}
	}
	return nil
}

// mailboxes compares the index with the tree of every mailbox.
func (c *checker) mailboxes(ctx context.Context) error {
	return c.p.CheckMailboxes(ctx, c.repair, func(user string, diffs []storage.Difference, err error) {
		if err != nil {
			c.add("mailboxes", "", "%s: %v", user, err)
		}
		for _, d := range diffs {
			c.add("mailboxes", "mailserver check --repair", "%s: %s", user, d)
		}
	})
}
