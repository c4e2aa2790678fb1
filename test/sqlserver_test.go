package test

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailserver/internal/testenv"
	"mailserver/internal/testport"
)

// sqlServer is a database server of the test's own.
type sqlServer struct {
	t     *testing.T
	name  string
	dir   string
	port  string
	start func() *exec.Cmd
	// admin runs statements as the server's owner, say in the database of the
	// tests; dump writes all of that.
	admin, say func(statements string) (string, error)
	dump       func(args ...string) string
	url        string
	cmd        *exec.Cmd
}

// asUser is the account that a database server runs as.
func asUser(t *testing.T, name, dir string) *syscall.SysProcAttr {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil || os.Geteuid() != 0 {
		if os.Getenv("MAILSERVER_PEERS") == "1" && os.Geteuid() == 0 {
			t.Fatalf("there is no user %s", name)
		}
		t.Skipf("a database server runs as the user %s, which needs root", name)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

func serverDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sql-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// mustCmd runs a program of the database.
func mustCmd(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Start()
	if err == nil {
		late := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer late.Stop()
		err = cmd.Wait()
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String()
}

func mariaDB(t *testing.T) *sqlServer {
	need(t, "mariadbd")
	s := &sqlServer{t: t, name: "MariaDB", dir: serverDir(t), port: strconv.Itoa(testport.Base(t, 0))}
	as := asUser(t, "mysql", s.dir)
	install := exec.Command("mariadb-install-db", "--no-defaults", "--user=mysql", "--datadir="+s.dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	install.SysProcAttr = as
	mustCmd(t, install)
	s.start = func() *exec.Cmd {
		cmd := exec.Command("mariadbd", "--no-defaults", "--datadir="+s.dir+"/data", "--socket="+s.dir+"/s", "--port="+s.port, "--bind-address=127.0.0.1",
			"--pid-file="+s.dir+"/pid", "--innodb-buffer-pool-size=16M", "--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve", "--log-error="+s.dir+"/log")
		cmd.SysProcAttr = as
		return cmd
	}
	client := []string{"--no-defaults", "--default-character-set=utf8mb4", "--socket=" + s.dir + "/s", "-uroot", "-N"}
	s.admin = func(statements string) (string, error) { return outside(t, statements, "mariadb", client...) }
	s.say = func(statements string) (string, error) {
		return outside(t, statements, "mariadb", append(client[:len(client):len(client)], "postfix")...)
	}
	s.dump = func(args ...string) string {
		return mustCmd(t, exec.Command("mariadb-dump", append([]string{"--no-defaults", "--default-character-set=utf8mb4", "--socket=" + s.dir + "/s", "-uroot", "postfix"}, args...)...))
	}
	s.url = "mysql://mail:mails-secret@127.0.0.1:" + s.port + "/postfix"
	s.run()
	s.must(s.admin("CREATE DATABASE postfix; CREATE USER mail@'127.0.0.1' IDENTIFIED BY 'mails-secret'; GRANT SELECT ON postfix.* TO mail@'127.0.0.1';"))
	return s
}

func postgreSQL(t *testing.T) *sqlServer {
	need(t, "psql")
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian has it off the path
	if path, missing := exec.LookPath("postgres"); missing == nil && len(found) == 0 {
		path, err = filepath.EvalSymlinks(path)
		found = []string{path}
	}
	if err != nil || len(found) == 0 {
		need(t, "postgres")
	}
	bin := filepath.Dir(found[len(found)-1])
	s := &sqlServer{t: t, name: "PostgreSQL", dir: serverDir(t), port: strconv.Itoa(testport.Base(t, 0))}
	as := asUser(t, "postgres", s.dir)
	install := exec.Command(bin+"/initdb", "-D", s.dir+"/data", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C")
	install.SysProcAttr, install.Dir = as, s.dir
	mustCmd(t, install)
	s.start = func() *exec.Cmd {
		cmd := exec.Command(bin+"/postgres", "-D", s.dir+"/data", "-p", s.port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "shared_buffers=1MB", "-c", "max_connections=12")
		cmd.SysProcAttr, cmd.Dir = as, s.dir
		return cmd
	}
	in := func(database string) func(string) (string, error) {
		return func(statements string) (string, error) {
			return outside(t, statements, bin+"/psql", "-h", s.dir, "-p", s.port, "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qAt", database)
		}
	}
	s.admin, s.say = in("postgres"), in("postfix")
	s.dump = func(args ...string) string {
		return mustCmd(t, exec.Command(bin+"/pg_dump", append([]string{"-h", s.dir, "-p", s.port, "-U", "postgres", "postfix"}, args...)...))
	}
	s.url = "postgres://mail:mails-secret@127.0.0.1:" + s.port + "/postfix"
	s.run()
	s.must(s.admin("CREATE ROLE mail LOGIN PASSWORD 'mails-secret';\nCREATE DATABASE postfix;"))
	return s
}

func (s *sqlServer) must(out string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v %s", s.name, err, out)
	}
}

// run starts the server and waits until it answers.
func (s *sqlServer) run() {
	s.t.Helper()
	s.cmd = s.start()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.stop)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := s.admin("SELECT 1;"); err == nil { // PostgreSQL listens before it is ready
			return
		}
	}
	log, _ := os.ReadFile(s.dir + "/log")
	s.t.Fatalf("%s does not answer\n%s", s.name, log)
}

func (s *sqlServer) stop() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(syscall.SIGQUIT)
	process := s.cmd.Process
	late := time.AfterFunc(patience, func() { process.Kill() })
	defer late.Stop()
	s.cmd.Wait()
	s.cmd = nil
}

// postfixAdminTables is PostfixAdmin's schema; TEXT, BOOL, TRUE and TIME differ.
const postfixAdminTables = `
CREATE TABLE domain (domain varchar(255) NOT NULL PRIMARY KEY, description varchar(255) NOT NULL DEFAULT '', aliases int NOT NULL DEFAULT 0, mailboxes int NOT NULL DEFAULT 0,
 maxquota bigint NOT NULL DEFAULT 0, quota bigint NOT NULL DEFAULT 0, transport varchar(255) DEFAULT NULL, backupmx BOOL NOT NULL DEFAULT FALSE,
 created TIME NOT NULL DEFAULT '2000-01-01 00:00:00', modified TIME NOT NULL DEFAULT '2000-01-01 00:00:00', active BOOL NOT NULL DEFAULT TRUE, password_expiry int DEFAULT 0);
CREATE TABLE admin (username varchar(255) NOT NULL PRIMARY KEY, password varchar(255) NOT NULL, superadmin BOOL NOT NULL DEFAULT FALSE, active BOOL NOT NULL DEFAULT TRUE);
CREATE TABLE mailbox (username varchar(255) NOT NULL PRIMARY KEY, password varchar(255) NOT NULL, name varchar(255) NOT NULL DEFAULT '', maildir varchar(255) NOT NULL DEFAULT '',
 quota bigint NOT NULL DEFAULT 0, local_part varchar(255) NOT NULL DEFAULT '', domain varchar(255) NOT NULL REFERENCES domain (domain),
 created TIME NOT NULL DEFAULT '2000-01-01 00:00:00', modified TIME NOT NULL DEFAULT '2000-01-01 00:00:00', active BOOL NOT NULL DEFAULT TRUE, token varchar(255) NOT NULL DEFAULT '');
CREATE TABLE alias (address varchar(255) NOT NULL PRIMARY KEY, goto text NOT NULL, domain varchar(255) NOT NULL,
 created TIME NOT NULL DEFAULT '2000-01-01 00:00:00', active BOOL NOT NULL DEFAULT TRUE);
CREATE TABLE alias_domain (alias_domain varchar(255) NOT NULL PRIMARY KEY, target_domain varchar(255) NOT NULL, active BOOL NOT NULL DEFAULT TRUE);
CREATE TABLE quota2 (username varchar(100) NOT NULL PRIMARY KEY, bytes bigint NOT NULL DEFAULT 0, messages int NOT NULL DEFAULT 0);
INSERT INTO domain (domain, description, transport) VALUES ('ALL', '', ''), ('example.org', 'Bob''s \n "place"; ü', 'virtual'), ('example.net', '', 'virtual');
INSERT INTO domain (domain, transport, backupmx) VALUES ('backup.example', 'smtp:[127.0.0.1]:1', TRUE);
INSERT INTO admin (username, password) VALUES ('root@example.org', 'x');
INSERT INTO mailbox (username, password, maildir, quota, local_part, domain) VALUES ('joe@example.org', '{PLAIN}pass', 'example.org/joe/', 1024000, 'joe', 'example.org'),
 ('ann@example.org', '{PLAIN}pass', 'example.org/ann/', 0, 'ann', 'example.org');
INSERT INTO mailbox (username, password, maildir, local_part, domain, active) VALUES ('off@example.org', '{PLAIN}pass', 'example.org/off/', 'off', 'example.org', FALSE);
INSERT INTO alias (address, goto, domain) VALUES ('joe@example.org', 'joe@example.org', 'example.org'), ('sales@example.org', 'joe@example.org,ann@example.org', 'example.org'),
 ('ann@example.org', 'ann@example.org', 'example.org'), ('o''brien@example.org', 'joe@example.org', 'example.org');
INSERT INTO alias_domain (alias_domain, target_domain) VALUES ('example.net', 'example.org');
`

// postfixAdminMaps are the queries that PostfixAdmin's documentation gives.
const postfixAdminMaps = `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('relay_domains', 'URL', 'SELECT domain FROM domain WHERE domain=''%s'' AND active = TRUE AND backupmx = TRUE'),
 ('virtual_mailbox_domains', 'URL', 'SELECT domain FROM domain WHERE domain=''%s'' AND active = TRUE AND backupmx = FALSE'),
 ('virtual_mailbox_maps', 'URL', 'SELECT maildir FROM mailbox WHERE username=''%s'' AND active = TRUE'),
 ('virtual_mailbox_limit_maps', 'URL', 'SELECT quota FROM mailbox WHERE username=''%s'' AND active = TRUE'),
 ('virtual_alias_maps', 'URL', 'SELECT goto FROM alias WHERE address=''%s'' AND active = TRUE'),
 ('virtual_alias_maps:domains', 'URL', 'SELECT goto FROM alias,alias_domain WHERE alias_domain.alias_domain = ''%d'' and alias.address = CONCAT(''%u'', ''@'', alias_domain.target_domain) AND alias.active = TRUE AND alias_domain.active=TRUE'),
 ('password_query', 'URL', 'SELECT username AS user, password FROM mailbox WHERE username = ''%u'' AND active = TRUE'),
 ('user_query', 'URL', 'SELECT ''HOME/%d/%n'' AS home, UID AS uid, UID AS gid, CONCAT(''*:bytes='', quota) AS quota_rule FROM mailbox WHERE username = ''%u'' AND active = TRUE'),
 ('iterate_query', 'URL', 'SELECT username AS user FROM mailbox WHERE active = TRUE');
`

// TestPostfixAdminOnServers runs on a PostfixAdmin in MariaDB, and in
// PostgreSQL, where they are; then it reads their dumps.
func TestPostfixAdminOnServers(t *testing.T) {
	for _, open := range []func(*testing.T) *sqlServer{mariaDB, postgreSQL} {
		s := open(t)
		t.Run(s.name, s.test)
		s.stop()
	}
}

func (s *sqlServer) test(t *testing.T) {
	words := []string{"BOOL", "boolean", "TIME", "timestamp"}
	grant := "GRANT SELECT ON ALL TABLES IN SCHEMA public TO mail;"
	if s.name == "MariaDB" {
		words, grant = []string{"BOOL", "tinyint(1)", "TIME", "datetime", "REFERENCES domain (domain)", ""}, ""
	}
	say := func(statements string) {
		t.Helper()
		if out, err := s.say(statements); err != nil {
			t.Fatalf("%v %s", err, out)
		}
	}
	say(strings.NewReplacer(words...).Replace(postfixAdminTables) + grant)
	h := sampleHost(t, "")
	root := testenv.Dir(t)
	if err := os.MkdirAll(root+"/vmail", 0o755); err != nil {
		t.Fatal(err)
	}
	uid := fmt.Sprint(max(os.Getuid(), 842))
	h.sql(strings.NewReplacer("URL", s.url, "HOME", root+"/vmail", "UID", uid).Replace(postfixAdminMaps))
	h.mustRun("config", "set", "disable_plaintext_auth=no", "mynetworks=192.0.2.0/24", "smtpd_hard_error_limit=100000", "smtpd_soft_error_limit=100000")
	h.start()
	for question, want := range map[string]string{
		"virtual_mailbox_domains example.org": "example.org", "virtual_mailbox_maps joe@example.org": "example.org/joe/", "virtual_mailbox_maps off@example.org": "",
		"virtual_alias_maps sales@example.org": "joe@example.org,ann@example.org", "virtual_alias_maps sales@example.net": "joe@example.org,ann@example.org",
		"virtual_alias_maps o'brien@example.org": "joe@example.org", "virtual_alias_maps x'--@example.org": "", `virtual_alias_maps x\@example.org`: "",
		"virtual_mailbox_limit_maps joe@example.org": "1024000", "relay_domains backup.example": "backup.example", "virtual_alias_maps '@example.org": "",
	} {
		h.wantLookup(question, want)
	}
	c := h.sender()
	for i, to := range []string{"joe@example.org", "sales@example.org", "sales@example.net", "o'brien@example.org"} {
		if err := c.send(to, message(fmt.Sprint("in-place-", i), "s", "x")); err != nil {
			t.Errorf("%s: %v\n%s", to, err, h.log.tail(5))
		}
	}
	waitFor(t, "mail", func() bool { return len(idsIn(t, []string{root + "/vmail/example.org/joe/Mail"})) == 4 })
	refused := func(to string, want int) {
		t.Helper()
		if err := c.send(to, message("no", "s", "x")); code(err) != want {
			t.Errorf("%s: %v, want %d", to, err, want)
		}
		c.cmd(250, "RSET")
	}
	refused("off@example.org", 550)
	refused("new@example.org", 550)
	say("INSERT INTO alias (address, goto, domain) VALUES ('new@example.org', 'joe@example.org', 'example.org');")
	if err := c.send("new@example.org", message("new", "s", "x")); err != nil {
		t.Errorf("the panel's new alias: %v", err)
	}
	s.logins(t, h)
	s.away(t, h, refused, c)
	s.imports(t)
}

func (s *sqlServer) logins(t *testing.T, h *host) {
	t.Helper()
	c, err := imapclient.DialInsecure(h.addr(143), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, who := range [][2]string{{"joe@example.org", "wrong"}, {"off@example.org", "pass"}, {"x' OR '1'='1@example.org", "pass"}} {
		if err := c.Login(who[0], who[1]).Wait(); err == nil || !strings.Contains(err.Error(), "AUTHENTICATIONFAILED") {
			t.Errorf("log-in of %v: %v", who, err)
		}
	}
	if err := c.Login("joe@example.org", "pass").Wait(); err != nil {
		t.Fatalf("log in: %v", err)
	}
	if box, err := c.Select("INBOX", nil).Wait(); err != nil || box.NumMessages < 4 {
		t.Errorf("INBOX: %v %+v", err, box)
	}
}

// away stops the server: all is temporary, soon answered; then it comes back.
func (s *sqlServer) away(t *testing.T, h *host, refused func(string, int), c *sender) {
	t.Helper()
	s.stop()
	before := time.Now()
	for range 5 {
		refused("joe@example.org", 451)
		refused("nobody@example.org", 451)
	}
	if took := time.Since(before); took > time.Minute {
		t.Errorf("ten answers without the server took %v", took)
	}
	ic, err := imapclient.DialInsecure(h.addr(143), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ic.Close()
	if err := ic.Login("ann@example.org", "pass").Wait(); err == nil || !strings.Contains(err.Error(), "UNAVAILABLE") {
		t.Errorf("log-in without the server: %v", err)
	}
	if out, err := h.run("", "check"); err == nil || !strings.Contains(out, "SqlMap ") || strings.Contains(out, "mails-secret") {
		t.Errorf("check: %v %s", err, out)
	}
	if strings.Contains(h.log.tail(1000), "mails-secret") {
		t.Error("the password is in the log")
	}
	s.run()
	waitFor(t, "mail after the server is back", func() bool {
		err := c.send("joe@example.org", message("back", "s", "x"))
		if err != nil {
			c.cmd(250, "RSET")
		}
		return err == nil
	})
}

// imports reads dumps of every form into a new data directory each.
func (s *sqlServer) imports(t *testing.T) {
	t.Helper()
	forms := [][]string{nil, {"--inserts"}, {"--column-inserts", "--clean"}}
	if s.name == "MariaDB" {
		forms = [][]string{nil, {"--skip-extended-insert"}, {"--complete-insert", "--hex-blob", "--compatible=ansi"}, {"--skip-quote-names", "--no-create-info", "--complete-insert"}}
	}
	for _, args := range forms {
		file := filepath.Join(testenv.Dir(t), "dump.sql")
		if err := os.WriteFile(file, []byte(s.dump(args...)), 0o600); err != nil {
			t.Fatal(err)
		}
		if keep := os.Getenv("MAILSERVER_KEEP_DUMPS"); keep != "" {
			os.WriteFile(filepath.Join(keep, strings.ToLower(s.name)+strings.Join(args, "")+".sql"), []byte(s.dump(args...)), 0o644)
		}
		d := &host{t: t, dir: filepath.Join(testenv.Dir(t), "data"), log: new(syncBuffer)}
		d.mustRun("init", "--hostname", "mx.example", "--own-mail")
		out, err := d.run("", "import", "postfixadmin", file)
		for _, want := range []string{"3 domains", "3 mailboxes", "aliases of a mailbox to itself"} {
			if err != nil || !strings.Contains(out, want) {
				t.Errorf("dump %v: %v, want %q in\n%s", args, err, want, out)
			}
		}
		if out := d.mustRun("lookup", "virtual_alias_maps", "sales@example.org"); strings.TrimSpace(out) != "ann@example.org,joe@example.org" && strings.TrimSpace(out) != "joe@example.org,ann@example.org" {
			t.Errorf("dump %v: sales leads to %s", args, out)
		}
		if out, err := d.run("pass\n", "auth", "test", "joe@example.org"); err != nil {
			t.Errorf("dump %v: log-in: %v %s", args, err, out)
		}
	}
}
