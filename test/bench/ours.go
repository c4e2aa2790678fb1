package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mailserver/schema"
)

// mailUID owns the mail of every server, as in a set-up of Postfix's virtual(8).
const mailUID = 842

// startOurs makes a data directory and runs the program on it.
func startOurs(binary, name, dir string) (*subject, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	init := exec.Command(binary, "init", "--hostname", "mail."+domain, "--data", dir)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("init: %w\n%s", err, out)
	}
	if err := rows(filepath.Join(dir, "mail.sqlite"), filepath.Join(dir, "mail"), ports); err != nil {
		return nil, err
	}
	if err := makeMailDirectory(filepath.Join(dir, "mail", domain)); err != nil {
		return nil, err
	}
	if out, err := exec.Command("chown", "-R", fmt.Sprintf("%d:%[1]d", mailUID), dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("chown: %w\n%s", err, out)
	}
	g, err := newGroup(name)
	if err != nil {
		return nil, err
	}
	s := &subject{name: name, smtp: local(ports[0]), imap: local(ports[1]), imaps: local(ports[2]), pop3: local(ports[3]), sink: ports[4],
		mail: filepath.Join(dir, "mail", domain), maildir: "Mail", uid: mailUID, gid: mailUID, group: g, texts: &textIndex{binary, dir}}
	return s, s.serve(binary, dir)
}

// serve runs the program as its systemd unit does: as the user that owns the
// mail, without rights beyond that.
func (s *subject) serve(binary, dir string) error {
	cmd := s.group.command("setpriv", "--reuid", strconv.Itoa(mailUID), "--regid", strconv.Itoa(mailUID), "--clear-groups", "--inh-caps=-all",
		binary, "serve", "--data", dir, "--log-file", filepath.Join(dir, "log"))
	if err := cmd.Start(); err != nil {
		return err
	}
	s.stop = func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}
	s.cold = func() error {
		s.stop()
		return s.serve(binary, dir)
	}
	time.Sleep(200 * time.Millisecond)
	return answering(s.smtp, s.imap, s.imaps, s.pop3)
}

// makeMailDirectory makes a directory whose parents all may pass through.
func makeMailDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chown(dir, mailUID, mailUID); err != nil {
		return err
	}
	return os.Chmod(filepath.Dir(dir), 0o755)
}

// rows are the settings, listeners, mailboxes and the route to the sink.
func rows(file, mail string, ports []int) error {
	var q strings.Builder
	for _, kv := range [][2]string{
		{"virtual_mailbox_home", mail + "/%d/%n"},
		{"virtual_default_gid", strconv.Itoa(mailUID)},
		{"smtpd_client_connection_count_limit", "0"},
		{"mail_max_userip_connections", "2000"},
		{"disable_plaintext_auth", "no"},
		{"message_size_limit", "52428800"},
		{"smtpd_peername_lookup", "no"},
	} {
		fmt.Fprintf(&q, "INSERT OR REPLACE INTO Setting VALUES ('%s', '%s');", kv[0], kv[1])
	}
	q.WriteString("DELETE FROM Listener;")
	for i, l := range []string{"mx", "imap", "imap", "pop3"} {
		tls := "may"
		if i == 2 {
			tls = "wrapper"
		}
		fmt.Fprintf(&q, "INSERT INTO Listener (lsProtocol, lsAddress, lsTls) VALUES ('%s', '%s', '%s');", l, local(ports[i]), tls)
	}
	fmt.Fprintf(&q, "INSERT INTO Domain (domNum, domName, domClass) VALUES (900, '%s', %d);", domain, mailUID)
	for i := range users {
		fmt.Fprintf(&q, "INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (%d, 'u%03d', 900);"+
			"INSERT INTO VMailbox (vmNum, vmPasswd) VALUES (%[1]d, '{PLAIN}%[3]s');", 9000+i, i, password)
	}
	fmt.Fprintf(&q, "INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES (900, 'smtp', '127.0.0.1', 0, %d);"+
		"INSERT INTO Domain (domName, domClass, domTpNum) VALUES ('%s', 0, 900);", ports[4], sinkDomain)
	return schema.Script(context.Background(), file, q.String())
}
