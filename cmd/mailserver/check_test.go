package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mailserver/delivery/queue"
	"mailserver/internal/server"
	"mailserver/internal/tlscert"
	"mailserver/schema"
)

// queued puts a message into the queue of a data directory, on hold.
func queued(t *testing.T, dir string) string {
	t.Helper()
	ctx := context.Background()
	state, err := schema.OpenState(ctx, server.StateFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	q, err := queue.Open(queue.Deps{Dir: dir, State: state})
	if err != nil {
		t.Fatal(err)
	}
	text, err := q.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer text.Drop()
	text.Write([]byte("Subject: x\r\n\r\nx\r\n"))
	rcpts := []queue.Recipient{{Address: "a@b.example", Original: "a@b.example", Site: "smtp:b.example", State: schema.QueueHeld}}
	if err := q.Add(ctx, text, &queue.Message{Sender: "s@x.example", Arrived: time.Now()}, rcpts); err != nil {
		t.Fatal(err)
	}
	return text.ID()
}

// wantCheck runs check and looks for what it must say.
func wantCheck(t *testing.T, dir string, code int, want ...string) {
	t.Helper()
	got, out, errs := run(t, dir, "", "check")
	if got != code {
		t.Errorf("exit %d, want %d\n%s", got, code, errs)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("check does not say %q:\n%s", w, out)
		}
	}
}

func TestCheckQueueFiles(t *testing.T) {
	dir := sampleDir(t)
	left := filepath.Join(dir, "spool", "orphan", queued(t, dir))
	id := queued(t, dir)
	if err := os.Rename(filepath.Join(dir, "spool", "queue", id), left); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, dir, exitConfig, "queue: fault: "+id+" from <s@x.example>: its file in spool/queue is gone", "mailserver queue delete "+id,
		"queue: warning: "+left)
}

func TestQueueDeleteIsLogged(t *testing.T) {
	dir := sampleDir(t)
	id := queued(t, dir)
	if _, _, errs := run(t, dir, "", "queue", "delete", id); !strings.Contains(errs, "postfix/postsuper[") || !strings.HasSuffix(errs, ": "+id+": removed\n") {
		t.Errorf("standard error: %q", errs)
	}
	file := filepath.Join(dir, "maillog")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, dir, "", "config", "set", "maillog_file="+file); code != 0 {
		t.Fatal(errs)
	}
	id = queued(t, dir)
	_, _, errs := run(t, dir, "", "queue", "delete", "ALL", "--yes")
	if log, err := os.ReadFile(file); err != nil || errs != "" || !strings.HasSuffix(string(log), ": "+id+": removed\n") {
		t.Errorf("log %q, %v; standard error %q", log, err, errs)
	}
}

func TestCheckCertificates(t *testing.T) {
	dir := sampleDir(t)
	const life = 10 * 365 * 24 * time.Hour
	sql := ""
	for host, end := range map[string]time.Duration{"soon.example": 13 * 24 * time.Hour, "good.example": 15 * 24 * time.Hour, "over.example": -time.Hour} {
		cert, key := filepath.Join(dir, host+".crt"), filepath.Join(dir, host+".key")
		if err := tlscert.SelfSigned(cert, key, host, time.Now().Add(end-life)); err != nil {
			t.Fatal(err)
		}
		sql += "INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES ('" + host + "', '" + cert + "', '" + key + "');"
	}
	write := func(sql string) {
		t.Helper()
		if err := schema.Script(context.Background(), server.MailFile(dir), sql); err != nil {
			t.Fatal(err)
		}
	}
	write(sql + "UPDATE Cert SET active = 0 WHERE ctHostname = 'over.example'")
	wantCheck(t, dir, 0, "certificates: warning: soon.example: ")
	if _, out, _ := run(t, dir, "", "check"); strings.Contains(out, "good.example") {
		t.Error(out)
	}
	write("UPDATE Cert SET active = 1 WHERE ctHostname = 'over.example';" +
		"UPDATE Cert SET ctKeyFile = (SELECT ctKeyFile FROM Cert WHERE ctHostname = 'soon.example') WHERE ctHostname = 'good.example'")
	wantCheck(t, dir, exitConfig, "certificates: fault: over.example: certificate", "ran out on",
		"certificates: fault: good.example: read certificate of good.example: tls: private key does not match public key")
}

// TestCheckSeesWhatTheShellTakes: rows that sqlite3 writes without a word.
func TestCheckSeesWhatTheShellTakes(t *testing.T) {
	dir := sampleDir(t)
	ctx := context.Background()
	m, err := schema.OpenMail(ctx, server.MailFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	err = m.Write(ctx, func(tx *schema.Tx) error {
		if _, err := tx.AddDomain("exa mple", 842, schema.DomainChange{}); err != nil {
			return err
		}
		return tx.AddVMailbox("word", "vmail.example", schema.MailboxChange{Passwd: schema.To("sesame")})
	})
	if err != nil {
		t.Fatal(err)
	}
	wantCheck(t, dir, exitConfig, `names: warning: "exa mple" is no domain`, "mailserver domain rm --recursive -- 'exa mple'",
		"passwords: fault: word@vmail.example cannot log in: scheme CRYPT", "begins with {PLAIN}",
		"mailserver mailbox set word@vmail.example --password-stdin")
	if _, out, _ := run(t, dir, "", "check"); strings.Contains(out, "sesame") {
		t.Errorf("a password is shown:\n%s", out)
	}
}

// TestClassWarns: a class may name what is made next, but not in silence.
func TestClassWarns(t *testing.T) {
	dir := sampleDir(t)
	code, _, errs := run(t, dir, "", "class", "add", "z-next", "--list", "permit_foo")
	if code != 0 || !strings.Contains(errs, "class z-next: permit_foo: is neither") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, _, errs = run(t, dir, "", "class", "set", "z-next", "--list", "permit"); code != 0 || errs != "" {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// TestDamagedFile: each file that is no database any more is named, with what
// to do.
func TestDamagedFile(t *testing.T) {
	for _, name := range []string{"mail.sqlite", "state.sqlite"} {
		dir := sampleDir(t)
		for _, rest := range []string{"-wal", "-shm"} {
			os.Remove(filepath.Join(dir, name+rest))
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.Repeat("nonsense", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"serve", "check"} {
			if code, _, errs := run(t, dir, "", command); code != exitConfig || !strings.Contains(errs, name) || !strings.Contains(errs, ".recover") {
				t.Errorf("%s, %s: exit %d, %s", name, command, code, errs)
			}
		}
	}
}

// TestAliasesThatLeadNowhere: such an alias is added, with a warning, and
// check names it as long as nobody reads its target.
func TestAliasesThatLeadNowhere(t *testing.T) {
	dir := sampleDir(t)
	add := func(want string, args ...string) {
		t.Helper()
		code, _, errs := run(t, dir, "", append([]string{"alias", "add"}, args...)...)
		if code != 0 || errs != want {
			t.Errorf("alias add %v: exit %d, %q, want %q", args, code, errs, want)
		}
	}
	add("mailserver: warning: mail for ghost@vmail.example will be returned: User unknown in virtual mailbox table\n",
		"team@vmail.example", "joe@vmail.example", "ghost@vmail.example", "ann@elsewhere.test")
	add("mailserver: warning: mail for ghost will be returned: User unknown in local recipient table\n",
		"helpdesk", "ghost", "root", "|/bin/true", ":include:/nonexistent")
	add("", "chain@vmail.example", "team@vmail.example")
	wantCheck(t, dir, 0, "aliases: warning: team@vmail.example leads to ghost@vmail.example, whose mail is returned: User unknown in virtual mailbox table",
		"mailserver alias rm team@vmail.example ghost@vmail.example", "helpdesk@mx.example leads to ghost, whose")
	for _, line := range []string{"mailbox add ghost@vmail.example --password-hash {PLAIN}x", "alias rm helpdesk ghost", "address disable vmail.example --like joe"} {
		if code, _, errs := run(t, dir, "", strings.Fields(line)...); code != 0 {
			t.Fatalf("%s: %s", line, errs)
		}
	}
	_, out, _ := run(t, dir, "", "check")
	if strings.Contains(out, "ghost") || !strings.Contains(out, "team@vmail.example leads to joe@vmail.example, whose mail is returned") {
		t.Errorf("check:\n%s", out)
	}
	if _, out, _ := run(t, dir, "", "mailbox", "list", "vmail.example"); !regexp.MustCompile(`(?m)^joe@vmail.example +yes +no +yes `).MatchString(out) {
		t.Errorf("mailbox list:\n%s", out)
	}
}

// TestEditsOfAShell: what the sqlite3 shell takes and the server cannot use is
// named with its row and with the statement that mends it.
func TestEditsOfAShell(t *testing.T) {
	dir := sampleDir(t)
	err := schema.Script(context.Background(), server.MailFile(dir), `
UPDATE VMailbox SET active = 'yes', vmQuota = '500M' WHERE vmNum = (SELECT addNum FROM Address WHERE addLocalpart = 'joe' AND vmNum = addNum);
UPDATE Listener SET lsAuth = 'on' WHERE lsProtocol = 'submission' AND lsTls = 'wrapper';
INSERT INTO Domain (domName, domClass) VALUES ('Blank.example ', 3);
INSERT INTO Address (addLocalpart, addDomNum) SELECT 'end ', domNum FROM Domain WHERE domName = 'Blank.example ';
CREATE TABLE Panel (n INTEGER);
INSERT INTO Panel VALUES ('words of others');
INSERT INTO Setting VALUES ('soft_bounce ', 'yes');`)
	if err != nil {
		t.Fatal(err)
	}
	wantCheck(t, dir, exitConfig, "active is 'yes', which is no whole number", "UPDATE VMailbox SET active=NUMBER WHERE vmNum=",
		"vmQuota is '500M', which is no whole number", "lsAuth is 'on', which is no whole number", "UPDATE Listener SET lsAuth=NUMBER WHERE lsNum=",
		`"Blank.example " is no domain`, "UPDATE Domain SET domName='Blank.example' WHERE domNum=", "('end '): blanks at its ends", "mailserver config unset 'soft_bounce '")
	if _, out, _ := run(t, dir, "", "check"); strings.Contains(out, "words of others") {
		t.Errorf("tables of others are looked at:\n%s", out)
	}
}
