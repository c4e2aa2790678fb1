package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/smtp"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailserver/internal/server"
	"mailserver/schema"
)

// demoHost is the name of the demo's server; the sample rows do the rest.
const demoHost = "mx.example"

// demoBase is the port base of the demo.
const demoBase = 10000

func demo(fs *flag.FlagSet) action {
	once := fs.Bool("once", false, "end after the mail was shown")
	verbose := fs.Bool("v", false, "show the log too")
	return func(ctx context.Context, a *app, _ []string) error {
		if _, ok := a.given()["data"]; !ok {
			dir, err := os.MkdirTemp("", "mailserver-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			a.dir = dir
		}
		d := &demonstration{app: a, log: slog.New(slog.DiscardHandler)}
		if *verbose {
			d.log = slog.New(slog.NewTextHandler(a.err, nil))
		}
		if err := d.start(ctx); err != nil {
			return err
		}
		err := d.show(ctx)
		if err == nil && !*once {
			d.inviteAndWait(ctx)
		}
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return errors.Join(err, d.s.Shutdown(end))
	}
}

// demonstration is a sample server and a client that uses it.
type demonstration struct {
	*app
	log *slog.Logger
	s   *server.Server
}

func (d *demonstration) say(format string, args ...any) {
	fmt.Fprintf(d.out, "demo: "+format+"\n", args...)
}

// start makes the sample data directory and serves it: at the ports of the
// demo, or any free ones when those are taken.
func (d *demonstration) start(ctx context.Context) error {
	begun := time.Now()
	_, err := os.Stat(server.MailFile(d.dir))
	if errors.Is(err, os.ErrNotExist) {
		err = server.Create(ctx, server.Plan{Dir: d.dir, Hostname: demoHost, Postmaster: "joe@vmail.example", Sample: true,
			Settings: server.OwnMail(), Listeners: server.StandardListeners(demoBase)})
	}
	if err != nil {
		return err
	}
	d.say("sample rows are in %s", server.MailFile(d.dir))
	opt := server.Options{Dir: d.dir, Log: d.log}
	d.s, err = server.Start(ctx, opt)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := schema.Script(ctx, server.MailFile(d.dir), freePorts); err != nil {
			return err
		}
		d.s, err = server.Start(ctx, opt)
	}
	if err != nil {
		return err
	}
	for _, protocol := range []string{"mx", "submission", "imap", "lmtp"} {
		d.say("%s listens at %s", protocol, d.addr(protocol))
	}
	d.say("started in %s", since(begun))
	return nil
}

// freePorts lets the kernel choose: port 0, written in as many ways as there
// are rows, since the column is unique.
const freePorts = `UPDATE Listener SET lsAddress = '127.0.0.1:' || substr('0000000000', 1, lsNum)`

// addr is the address of the first listener of a protocol.
func (d *demonstration) addr(protocol string) string {
	v, err := d.s.Mail.View(context.Background())
	if err != nil {
		return ""
	}
	rows, err := v.Listeners(context.Background())
	if err != nil {
		return ""
	}
	for _, l := range rows {
		if l.Protocol == protocol && l.TLS != "wrapper" {
			return reachable(d.s.Addr(l.Num))
		}
	}
	return ""
}

const demoMessage = "From: A stranger <stranger@elsewhere.example>\r\n" +
	"To: sales@alias.example\r\nSubject: Hello from the demo\r\nMessage-ID: <demo@elsewhere.example>\r\n\r\n" +
	"It works: in by SMTP, out by IMAP, and every step was a row in SQLite.\r\n"

// show sends a mail to an alias by SMTP and reads it from the mailbox behind
// it by IMAP.
func (d *demonstration) show(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.explain, d.send, d.read} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}

// explain says where mail for one address of each kind would go.
func (d *demonstration) explain(ctx context.Context) error {
	for _, to := range []string{"sales@alias.example", "joe@vmail.example", "user@relay.example", "anything@catchall.example"} {
		var text strings.Builder
		quiet := &app{out: &text, dir: d.dir}
		if err := quiet.run(ctx, []string{"route", to, "--data", d.dir}); err != nil {
			return err
		}
		for line := range strings.Lines(text.String()) {
			if where, ok := strings.CutPrefix(strings.TrimSpace(line), "-> "); ok {
				d.say("mail for %s goes to %s", to, where)
			}
		}
	}
	return nil
}

func (d *demonstration) send(context.Context) error {
	addr := d.addr("mx")
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c, err := smtp.NewClient(&echo{conn, d}, demoHost)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := c.Hello("client.elsewhere.example"); err != nil {
		return err
	}
	if err := c.Mail("stranger@elsewhere.example"); err != nil {
		return err
	}
	if err := c.Rcpt("sales@alias.example"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, demoMessage); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	d.say("taken by SMTP after %s: the message is on disk", since(begun))
	return c.Quit()
}

// echo shows the dialog that goes over a connection.
type echo struct {
	net.Conn
	d *demonstration
}

func (e *echo) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.show("S: ", p[:n])
	return n, err
}

func (e *echo) Write(p []byte) (int, error) {
	e.show("C: ", p)
	return e.Conn.Write(p)
}

func (e *echo) show(who string, p []byte) {
	for line := range strings.Lines(string(p)) {
		e.d.say("  %s%s", who, strings.TrimRight(line, "\r\n"))
	}
}

func (d *demonstration) read(context.Context) error {
	begun := time.Now()
	c, err := imapclient.DialStartTLS(d.addr("imap"), &imapclient.Options{
		// The demo's certificate signs itself.
		TLSConfig: &tls.Config{InsecureSkipVerify: true},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Login("joe@vmail.example", "joes-secret").Wait(); err != nil {
		return err
	}
	d.say("logged in by IMAP as joe@vmail.example, over TLS")
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		return err
	}
	if box.NumMessages == 0 {
		return errors.New("the mailbox is empty")
	}
	section := &imap.FetchItemBodySection{Peek: true}
	list, err := c.Fetch(imap.SeqSetNum(box.NumMessages), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
	if err != nil {
		return err
	}
	if len(list) != 1 {
		return fmt.Errorf("%d messages instead of 1", len(list))
	}
	d.say("INBOX has %d message; number %d, UID %d, says:", box.NumMessages, box.NumMessages, list[0].UID)
	for line := range strings.Lines(string(list[0].FindBodySection(section))) {
		d.say("  %s", strings.TrimRight(line, "\r\n"))
	}
	d.say("read by IMAP after %s", since(begun))
	return c.Logout().Wait()
}

func (d *demonstration) inviteAndWait(ctx context.Context) {
	d.say("serving until you press Ctrl-C. Try in another terminal:")
	d.say("  swaks --server %s --to joe@vmail.example --from you@elsewhere.example", d.addr("mx"))
	d.say("  curl -k --ssl-reqd --user joe@vmail.example:joes-secret 'imap://%s/INBOX;MAILINDEX=1'", d.addr("imap"))
	d.say("  sqlite3 %s \"UPDATE Address SET active=0 WHERE addLocalpart='sales'\"   and send again", server.MailFile(d.dir))
	d.say("  go run ./cmd/mailserver route sales@alias.example --data %s", d.dir)
	<-ctx.Done()
	d.say("stopping")
}
