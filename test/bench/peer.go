package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

//go:embed testdata
var files embed.FS

// peerInstalled reports whether Postfix and Dovecot can be started: by root
// only, since both change users.
func peerInstalled() bool {
	for _, name := range []string{"postfix", "dovecot", "sqlite3", "openssl"} {
		if _, err := exec.LookPath(name); err != nil {
			fmt.Fprintln(os.Stderr, "bench: without the peer:", err)
			return false
		}
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench: without the peer: not root")
		return false
	}
	return true
}

// peerFile are the values of the templates below testdata.
type peerFile struct {
	Root, Domain, SinkDomain                 string
	SMTP, IMAP, IMAPS, POP3, LMTP, Sink, UID int
}

// startPeer runs Postfix with virtual(8), and Dovecot, with their maps in
// SQLite, durable and otherwise as Debian ships them.
func startPeer(root string) (*subject, error) {
	if err := os.RemoveAll(root); err != nil {
		return nil, err
	}
	p, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	f := peerFile{root, domain, sinkDomain, p[0], p[1], p[2], p[3], p[4], p[5], mailUID}
	if err := f.write(); err != nil {
		return nil, err
	}
	g, err := newGroup("peer")
	if err != nil {
		return nil, err
	}
	s := &subject{name: "peer", smtp: local(f.SMTP), imap: local(f.IMAP), imaps: local(f.IMAPS), pop3: local(f.POP3), sink: f.Sink,
		mail: filepath.Join(root, "mail", domain), uid: mailUID, gid: mailUID, group: g}
	postfix, dovecot := filepath.Join(root, "postfix"), filepath.Join(root, "dovecot", "dovecot.conf")
	s.stop = func() {
		exec.Command("postfix", "-c", postfix, "stop").Run()
		exec.Command("doveadm", "-c", dovecot, "stop").Run()
		g.empty(10 * time.Second)
	}
	s.cold = func() error { return exec.Command("doveadm", "-c", dovecot, "reload").Run() }
	if err := background(g.command("dovecot", "-c", dovecot)); err != nil {
		return s, err
	}
	if err := background(g.command("postfix", "-c", postfix, "start")); err != nil {
		return s, err
	}
	return s, answering(s.smtp, s.imap, s.imaps, s.pop3)
}

// background runs a command that leaves a daemon behind, which must not hold a
// pipe of ours.
func background(cmd *exec.Cmd) error {
	out, err := os.CreateTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w\n%s", cmd.Args[3], err, said)
	}
	return nil
}

// write makes the directories, configuration, maps and certificate.
func (f peerFile) write() error {
	for _, dir := range []string{"postfix/sql", "dovecot", "run", "log", "spool", "data", "db", "tls"} {
		if err := os.MkdirAll(filepath.Join(f.Root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := makeMailDirectory(filepath.Join(f.Root, "mail", domain)); err != nil {
		return err
	}
	if err := os.Chown(filepath.Join(f.Root, "mail"), mailUID, mailUID); err != nil {
		return err
	}
	for from, to := range map[string]string{"main.cf": "postfix/main.cf", "master.cf": "postfix/master.cf", "domains.cf": "postfix/sql/domains.cf",
		"users.cf": "postfix/sql/users.cf", "aliases.cf": "postfix/sql/aliases.cf", "dovecot.conf": "dovecot/dovecot.conf", "sql.conf": "dovecot/sql.conf", "maps.sql": "db/maps.sql"} {
		if err := f.fill(from, filepath.Join(f.Root, to)); err != nil {
			return err
		}
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("chown", "postfix", filepath.Join(f.Root, "data")),
		exec.Command("sqlite3", filepath.Join(f.Root, "db", "mail.sqlite"), ".read "+filepath.Join(f.Root, "db", "maps.sql")),
		exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj", "/CN=mail."+domain,
			"-keyout", filepath.Join(f.Root, "tls", "key.pem"), "-out", filepath.Join(f.Root, "tls", "cert.pem")),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
		}
	}
	return nil
}

func (f peerFile) fill(from, to string) error {
	t, err := template.New(from).Funcs(template.FuncMap{"users": userNumbers}).ParseFS(files, "testdata/"+from)
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	return t.Execute(out, f)
}

func userNumbers() []string {
	var list []string
	for i := range users {
		list = append(list, fmt.Sprintf("u%03d", i))
	}
	return list
}
