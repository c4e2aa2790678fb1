package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mailserver/auth"
	"mailserver/internal/config"
	"mailserver/internal/maillog"
	"mailserver/internal/server"
	"mailserver/internal/shadow"
)

func serveCommands() []command {
	return []command{
		{name: "demo", about: "show a mail going in and coming out, then serve; nothing to set up", setup: demo},
		{name: "init", args: "--hostname NAME", about: "make a data directory", setup: initData,
			more: "--port-base N listens on loopback at N+25 (mx), N+587 and N+465 (submission), N+143 and\nN+993 (imap), N+110 and N+995 (pop3), N+24 (lmtp); 0 means the standard ports on all addresses."},
		{name: "serve", about: "run the server", setup: serve},
		{name: server.ShadowHelper, about: "verify passwords of the system's users for serve, which starts it when root", setup: shadowHelper, inner: true},
		{name: "check", about: "settings, rows, files, certificates, index: what is wrong, and how to mend it; exit 78", setup: check},
	}
}

func initData(fs *flag.FlagSet) action {
	name := fs.String("hostname", "", "`name` of this host, as its DNS has it")
	base := fs.Int("port-base", 0, "add this `number` to every port, on loopback only")
	postmaster := fs.String("postmaster", "", "`address` for mail to postmaster and abuse; without, they have a mailbox")
	sample := fs.Bool("sample", false, "with the sample domains and users")
	own := fs.Bool("own-mail", os.Geteuid() != 0, "keep all mail below the data directory, as one user")
	return func(ctx context.Context, a *app, _ []string) error {
		host, err := chooseHostname(*name)
		if err != nil {
			return err
		}
		if *base < 0 || *base > 65535-995 {
			return usage("--port-base: %d leaves no room for the ports", *base)
		}
		plan := server.Plan{Dir: a.dir, Hostname: host, Postmaster: *postmaster, Listeners: server.StandardListeners(*base), Sample: *sample}
		if *own {
			plan.Settings = server.OwnMail()
		}
		if err := server.Create(ctx, plan); err != nil {
			return err
		}
		if os.Geteuid() == 0 {
			if err := giveToOwner(ctx, a); err != nil {
				return err
			}
		}
		a.sayMade(plan)
		return nil
	}
}

// chooseHostname is the flag, or the host's own name when it has a domain.
func chooseHostname(name string) (string, error) {
	if name == "" {
		own, err := os.Hostname()
		if err != nil || !strings.Contains(own, ".") {
			return "", usage("init: say --hostname NAME, such as mx.example.org")
		}
		name = own
	}
	if !strings.Contains(name, ".") || strings.ContainsAny(name, " @/:") {
		return "", usage("--hostname: %q is not a host name with its domain", name)
	}
	return strings.ToLower(strings.TrimSuffix(name, ".")), nil
}

func giveToOwner(ctx context.Context, a *app) error {
	proc, err := server.Process(ctx, a.dir)
	if err != nil {
		return err
	}
	_, err = server.GiveTo(a.dir, proc.Owner)
	return err
}

func (a *app) sayMade(p server.Plan) {
	fmt.Fprintf(a.out, "made %s for %s\n", a.dir, p.Hostname)
	for _, l := range p.Listeners {
		fmt.Fprintf(a.out, "  %-10s %s (TLS: %s)\n", l.Protocol, l.Address, l.TLS)
	}
	fmt.Fprintf(a.out, "the certificate in %s signs itself; put a real one in the table Cert\n", filepath.Join(a.dir, "tls"))
	if p.Postmaster == "" {
		fmt.Fprintf(a.out, "postmaster and abuse have a mailbox; to read it: mailserver mailbox set postmaster@%s --password-stdin\n", p.Hostname)
	}
	fmt.Fprintf(a.out, "next: mailserver domain add DOMAIN; mailserver mailbox add USER@DOMAIN --password-stdin; mailserver serve\n")
}

func serve(fs *flag.FlagSet) action {
	format := fs.String("log-format", "", "`form` of the log: syslog, json, logfmt; default: setting log_format")
	file := fs.String("log-file", "", "log to this `file`; default: setting maillog_file, or standard error")
	return func(ctx context.Context, a *app, _ []string) error {
		proc, err := server.Process(ctx, a.dir)
		if err != nil {
			return err
		}
		found, err := server.Settle(ctx, a.dir, proc)
		if err != nil {
			return err
		}
		overrides := make(map[string]string)
		if *format != "" {
			proc.LogFormat, overrides["log_format"] = *format, *format
		}
		if *file != "" {
			proc.LogFile, overrides["maillog_file"] = *file, *file
		}
		log, counter, logFile, err := server.Logger(proc)
		if err != nil {
			return err
		}
		defer logFile.Close()
		if !found {
			log.Warn("running as root: there is no user to become", "mail_owner", proc.Owner)
		}
		tellConfined(log, proc)
		helper, err := server.Helper()
		if err != nil {
			return err
		}
		defer helper.Close()
		defer reopenOnHangup(logFile)()
		spread()
		s, err := server.Start(ctx, server.Options{Dir: a.dir, Log: log, Counter: counter, Shadow: helper, Overrides: overrides})
		if err != nil {
			return err
		}
		fmt.Fprintln(a.err, "ready")
		return a.untilInterrupted(ctx, s, proc)
	}
}

func tellConfined(log *slog.Logger, proc *config.Process) {
	if version := server.Confined(); version > 0 {
		log.Info("landlock: only files of rows and of the system can be reached", "version", version)
	} else if proc.Landlock == "yes" {
		log.Warn("landlock: the kernel has none, every file stays in reach")
	}
}

// reopenOnHangup opens the log file, if there is one, anew at SIGHUP, for
// logrotate. Neither that signal nor a standard error that nobody reads any
// more ends a server.
func reopenOnHangup(f *maillog.File) (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range hup {
			if err := f.Reopen(); err != nil {
				fmt.Fprintln(os.Stderr, "mailserver:", err)
			}
		}
	}()
	return func() {
		signal.Stop(hup)
		close(hup)
		<-done
	}
}

func (a *app) untilInterrupted(ctx context.Context, s *server.Server, proc *config.Process) error {
	<-ctx.Done()
	s.Log.Info("stopping")
	end, cancel := context.WithTimeout(context.Background(), proc.ShutdownGrace)
	defer cancel()
	return s.Shutdown(end)
}

// reachable turns the address of a listener into one to connect to.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// since says a short time as people read it.
func since(t time.Time) string { return time.Since(t).Round(time.Millisecond).String() }

// shadowHelper answers on file 3.
func shadowHelper(*flag.FlagSet) action {
	return func(context.Context, *app, []string) error {
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP) // it ends with the server
		f := os.NewFile(3, "socket")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			return usage("%s: serve starts it: %v", server.ShadowHelper, err)
		}
		verify := func(stored, password string) (bool, error) { return auth.Verify("{CRYPT}"+stored, password) }
		return (&shadow.Helper{Verify: verify}).Serve(conn)
	}
}
