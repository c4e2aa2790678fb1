package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/sys/unix"

	"mailserver/internal/address"
	"mailserver/internal/config"
	"mailserver/internal/dns"
	"mailserver/internal/server"
	"mailserver/schema"
)

// app is one run of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	dir      string
	flags    *flag.FlagSet
	dns      *dns.Resolver // nil: the system's
}

// installedData is the data directory of an installed server.
const installedData = "/var/lib/mailserver"

// defaultData is ./data, or /var/lib/mailserver for a program that is
// installed where packages install programs.
func defaultData() string {
	exe, err := os.Executable()
	if err != nil {
		return "data"
	}
	switch filepath.Dir(exe) {
	case "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin":
		if _, err := os.Stat(installedData); err == nil {
			return installedData
		}
	}
	return "data"
}

// given returns the flags that the command line has, by name.
func (a *app) given() map[string]string {
	set := make(map[string]string)
	a.flags.Visit(func(f *flag.Flag) { set[f.Name] = f.Value.String() })
	return set
}

// withMail opens mail.sqlite for a command.
func (a *app) withMail(ctx context.Context, do func(*schema.Mail) error) error {
	m, err := schema.OpenMail(ctx, server.MailFile(a.dir))
	if err != nil {
		return err
	}
	defer m.Close()
	return do(m)
}

// change runs one transaction on mail.sqlite.
func (a *app) change(ctx context.Context, do func(*schema.Tx) error) error {
	return a.withMail(ctx, func(m *schema.Mail) error { return m.Write(ctx, do) })
}

// withParts opens the whole data directory, as the server does.
func (a *app) withParts(ctx context.Context, do func(*server.Parts) error) error {
	return a.withPartsLog(ctx, nil, do)
}

func (a *app) withPartsLog(ctx context.Context, log *slog.Logger, do func(*server.Parts) error) error {
	p, err := server.Open(ctx, server.Options{Dir: a.dir, Log: log, DNS: a.dns})
	if err != nil {
		return err
	}
	defer p.Close()
	return do(p)
}

// hostname is the setting myhostname: the domain of bare names.
func hostname(ctx context.Context, m *schema.Mail) (string, error) {
	src, err := config.New(m)
	if err != nil {
		return "", err
	}
	name, _, err := src.Value(ctx, "myhostname")
	return name, err
}

// splitAddress reads user@domain, or @domain, the catch-all. A bare name is
// one of host, the domain of system users; host ” refuses it.
func splitAddress(text, host string) (local, domain string, err error) {
	i := strings.LastIndexByte(text, '@')
	switch {
	case i < 0 && host != "" && text != "":
		return text, host, nil
	case i < 0 || i == len(text)-1:
		return "", "", usage("%q is not an address such as user@domain", text)
	}
	return text[:i], text[i+1:], nil
}

// newAddress is do for an address that comes into being: refused is what could
// never be one.
func newAddress(do func(t *schema.Tx, local, domain string) error) func(t *schema.Tx, local, domain string) error {
	return func(t *schema.Tx, local, domain string) error {
		if err := checkNew(local, domain); err != nil {
			return err
		}
		return do(t, local, domain)
	}
}

func checkNew(local, domain string) error {
	if err := address.CheckNew(local, domain); err != nil {
		return fmt.Errorf("%w: %w", schema.ErrValue, err)
	}
	return nil
}

// withAddress opens the database for the address that an argument names, and
// for host, the domain of bare names.
func (a *app) withAddress(ctx context.Context, arg string, do func(m *schema.Mail, local, domain, host string) error) error {
	return a.withMail(ctx, func(m *schema.Mail) error {
		host, err := hostname(ctx, m)
		if err != nil {
			return err
		}
		local, domain, err := splitAddress(arg, host)
		if err != nil {
			return err
		}
		return do(m, local, domain, host)
	})
}

// tableRows is how many rows are kept to find the width of columns: a list may
// be longer than the memory.
const tableRows = 1000

// table prints rows as columns, or as one JSON array.
type table struct {
	json *json.Encoder
	w    *tabwriter.Writer
	out  io.Writer
	n    int
}

func (a *app) table(asJSON bool, head ...string) *table {
	if asJSON {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		return &table{json: enc, out: a.out}
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	return &table{w: w, out: a.out}
}

// row prints one row: v as JSON, else the cells.
func (t *table) row(v any, cells ...any) error {
	t.n++
	if t.json == nil {
		texts := make([]string, len(cells))
		for i, c := range cells {
			if texts[i] = fmt.Sprint(c); texts[i] == "" {
				texts[i] = "-"
			}
		}
		_, err := fmt.Fprintln(t.w, strings.Join(texts, "\t"))
		if err == nil && t.n%tableRows == 0 {
			err = t.w.Flush()
		}
		return err
	}
	open := ","
	if t.n == 1 {
		open = "["
	}
	if _, err := io.WriteString(t.out, open); err != nil {
		return err
	}
	return t.json.Encode(v)
}

func (t *table) end(err error) error {
	if err != nil {
		return err
	}
	if t.json == nil {
		return t.w.Flush()
	}
	if t.n == 0 {
		io.WriteString(t.out, "[")
	}
	_, err = io.WriteString(t.out, "]\n")
	return err
}

// object prints one thing: as JSON, or name by name.
func (a *app) object(asJSON bool, v any, pairs ...any) error {
	if asJSON {
		enc := json.NewEncoder(a.out)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if text := fmt.Sprint(pairs[i+1]); text != "" {
			fmt.Fprintf(w, "%v:\t%s\n", pairs[i], text)
		}
	}
	return w.Flush()
}

func yesNo(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

// maxSecret bounds a password read from standard input.
const maxSecret = 4096

// secret reads one line from standard input, without echo games: a password
// comes from a pipe or a file.
func (a *app) secret() (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(a.in, maxSecret+2), 256).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case line == "":
		return "", usage("standard input holds no password")
	case len(line) > maxSecret:
		return "", usage("the password has more than %d bytes", maxSecret)
	}
	return line, nil
}

// confirm asks before something that cannot be undone. Without a terminal
// only --yes will do.
func (a *app) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if f, ok := a.in.(*os.File); ok && isTerminal(f) {
		fmt.Fprintf(a.err, "%s? [y/N] ", what)
		answer, _ := bufio.NewReader(a.in).ReadString('\n')
		if strings.HasPrefix(strings.ToLower(answer), "y") {
			return nil
		}
		return usage("nothing was done")
	}
	return usage("%s: say --yes", what)
}

// isTerminal reports whether somebody sits there; /dev/null is nobody.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
