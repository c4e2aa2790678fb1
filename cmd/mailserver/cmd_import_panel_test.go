package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// postfixAdmin is what pg_dump and mysqldump write of PostfixAdmin, shortened.
const postfixAdmin = `-- MySQL dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
DROP TABLE IF EXISTS ` + "`admin`" + `;
CREATE TABLE ` + "`admin`" + ` (
  ` + "`username`" + ` varchar(255) NOT NULL,
  ` + "`password`" + ` varchar(255) NOT NULL,
  PRIMARY KEY (` + "`username`" + `)
) ENGINE=InnoDB COMMENT='Postfix Admin - Virtual Admins';
INSERT INTO ` + "`admin`" + ` VALUES ('root@example.org','$1$x$y');
CREATE TABLE ` + "`domain`" + ` (
  ` + "`domain`" + ` varchar(255) NOT NULL,
  ` + "`description`" + ` varchar(255) NOT NULL,
  ` + "`aliases`" + ` int(10) NOT NULL DEFAULT 0,
  ` + "`mailboxes`" + ` int(10) NOT NULL DEFAULT 0,
  ` + "`maxquota`" + ` bigint(20) NOT NULL DEFAULT 0,
  ` + "`quota`" + ` bigint(20) NOT NULL DEFAULT 0,
  ` + "`transport`" + ` varchar(255) NOT NULL,
  ` + "`backupmx`" + ` tinyint(1) NOT NULL DEFAULT 0,
  ` + "`created`" + ` datetime NOT NULL DEFAULT '2000-01-01 00:00:00',
  ` + "`active`" + ` tinyint(1) NOT NULL DEFAULT 1,
  PRIMARY KEY (` + "`domain`" + `)
);
INSERT INTO ` + "`domain`" + ` VALUES ('ALL','',0,0,0,0,'',0,'2000-01-01 00:00:00',1),('example.org','Bob\'s',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',1),
('backup.example','',0,0,0,0,'smtp:[192.0.2.9]',1,'2000-01-01 00:00:00',1),('old.example','',0,0,0,0,'virtual',0,'2000-01-01 00:00:00',0),('not a domain','',0,0,0,0,'',0,'',1);
CREATE TABLE ` + "`mailbox`" + ` (
  ` + "`username`" + ` varchar(255) NOT NULL, ` + "`password`" + ` varchar(255) NOT NULL, ` + "`name`" + ` varchar(255), ` + "`maildir`" + ` varchar(255),
  ` + "`quota`" + ` bigint(20), ` + "`local_part`" + ` varchar(255), ` + "`domain`" + ` varchar(255), ` + "`active`" + ` tinyint(1)
);
INSERT INTO ` + "`mailbox`" + ` (` + "`username`, `password`, `name`, `maildir`, `quota`, `local_part`, `domain`, `active`" + `) VALUES
('joe@example.org','{PLAIN}pass','Joe','example.org/joe/',1024000,'joe','example.org',1),
('ann@example.org','$1$abc$0123','Ann','example.org/ann/',-1,'ann','example.org',1),
('off@example.org','{PLAIN}x','','',0,'off','example.org',0);
CREATE TABLE ` + "`alias`" + ` (` + "`address`" + ` varchar(255), ` + "`goto`" + ` text, ` + "`domain`" + ` varchar(255), ` + "`active`" + ` tinyint(1));
INSERT INTO ` + "`alias`" + ` VALUES ('joe@example.org','joe@example.org','example.org',1),('ann@example.org','ann@example.org,ann@elsewhere.example','example.org',1),
('sales@example.org','joe@example.org,ann@example.org','example.org',1),('@example.org','joe@example.org','example.org',1),('gone@example.org','joe@example.org','example.org',0);
CREATE TABLE ` + "`alias_domain`" + ` (` + "`alias_domain`" + ` varchar(255), ` + "`target_domain`" + ` varchar(255), ` + "`active`" + ` tinyint(1));
INSERT INTO ` + "`alias_domain`" + ` VALUES ('example.net','example.org',1);
`

var panelTests = []struct {
	kind, source string
	says         []string
	routes       map[string]string // address → what the route says; '' is refused
	user, secret string
}{
	{"postfixadmin", postfixAdmin, []string{"4 domains", "3 mailboxes", "table admin: 1 rows, no counterpart here", `domain "not a domain": no name of a domain`, "1 aliases that are not active"},
		map[string]string{"joe@example.org": "mailbox", "sales@example.org": "joe@example.org: mailbox", "ann@example.org": "ann@elsewhere.example: host",
			"whoever@example.org": "joe@example.org: mailbox", "joe@example.net": "joe@example.org: mailbox", "x@backup.example": "User unknown in relay"}, "joe@example.org", "pass"},
	{"ispmail", `CREATE TABLE virtual_domains (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE virtual_users (id INTEGER PRIMARY KEY, domain_id INTEGER, email TEXT, password TEXT, quota INTEGER);
CREATE TABLE virtual_aliases (id INTEGER PRIMARY KEY, domain_id INTEGER, source TEXT, destination TEXT);
INSERT INTO virtual_domains VALUES (1, 'example.org'); INSERT INTO virtual_users VALUES (1, 1, 'joe@example.org', '{PLAIN}pass', 0);
INSERT INTO virtual_aliases VALUES (1, 1, 'jack@example.org', 'joe@example.org');`,
		[]string{"1 domains", "1 mailboxes", "1 aliases"}, map[string]string{"jack@example.org": "joe@example.org: mailbox", "jill@example.org": "User unknown"}, "joe@example.org", "pass"},
	{"dinomail", `CREATE TABLE dinomail_virtualdomain (id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE dinomail_virtualuser (email TEXT, password TEXT, quota INTEGER);
CREATE TABLE dinomail_virtualalias (source TEXT, destination TEXT);
INSERT INTO dinomail_virtualdomain VALUES (1, 'example.org'); INSERT INTO dinomail_virtualuser VALUES ('test@example.org', '{PLAIN}pass', 1000);
INSERT INTO dinomail_virtualalias VALUES ('postmaster@example.org', 'test@example.org');`,
		[]string{"1 domains", "1 mailboxes", "1 aliases"}, map[string]string{"postmaster@example.org": "test@example.org: mailbox"}, "test@example.org", "pass"},
	{"forwardings", "CREATE TABLE `domains` (`domain` varchar(50)); CREATE TABLE `forwardings` (`source` varchar(80), `destination` text); CREATE TABLE `transport` (`domain` varchar(128), `transport` varchar(128));" +
		"CREATE TABLE `users` (`email` varchar(80), `password` varchar(20), `quota` int(10) DEFAULT '10485760');" +
		"INSERT INTO domains VALUES ('example.org'); INSERT INTO users VALUES ('joe@example.org', 'abccBcrPOxnLU', 10485760);" +
		"INSERT INTO forwardings VALUES ('@example.org', 'joe@example.org'), ('a@example.org', 'joe@example.org,b@elsewhere.example'); INSERT INTO transport VALUES ('elsewhere.example', 'smtp:[192.0.2.7]:26');",
		[]string{"2 domains", "1 mailboxes", "3 aliases"}, map[string]string{"x@example.org": "joe@example.org: mailbox", "a@example.org": "b@elsewhere.example: host smtp:[192.0.2.7]:26"}, "joe@example.org", "pass"},
	{"opensmtpd", `CREATE TABLE users (username TEXT NOT NULL, domain TEXT NOT NULL, mailbox TEXT NOT NULL, password TEXT NULL);
INSERT INTO users VALUES('hugo', 'barrera.io', 'hugo@barrera.io', '{PLAIN}pass'), ('%', 'barrera.io', 'hugo@barrera.io', NULL), ('a%', 'barrera.io', 'hugo@barrera.io', NULL);`,
		[]string{"1 domains", "1 mailboxes", "1 aliases", "a pattern; as SQL: INSERT INTO PatternAlias"}, map[string]string{"anything@barrera.io": "hugo@barrera.io: mailbox"}, "hugo@barrera.io", "pass"},
	{"postfix-dovecot-sqlite", `CREATE TABLE Transport (id INTEGER PRIMARY KEY, active INTEGER DEFAULT 1, transport TEXT, nexthop INTEGER, mx INTEGER DEFAULT 1, port INTEGER);
CREATE TABLE Domain (id INTEGER PRIMARY KEY, name TEXT, active INTEGER DEFAULT 1, class INTEGER, owner INTEGER, transport INTEGER, rclass INTEGER DEFAULT 30);
CREATE TABLE Address (id INTEGER PRIMARY KEY, localpart TEXT, domain INTEGER, active INTEGER DEFAULT 1, transport INTEGER, rclass INTEGER);
CREATE TABLE Alias (id INTEGER PRIMARY KEY, address INTEGER, active INTEGER DEFAULT 1, target INTEGER, extension TEXT);
CREATE TABLE VMailbox (id INTEGER PRIMARY KEY, active INTEGER DEFAULT 1, uid INTEGER, gid INTEGER, home TEXT, password TEXT);
INSERT INTO Domain (id, name, class) VALUES (0, NULL, 1), (1, 'vmail.example', 1001), (2, 'alias.example', 3), (3, 'next.example', 0);
INSERT INTO Transport (id, transport, nexthop, mx, port) VALUES (1, 'smtp', 3, 0, 26);
INSERT INTO Domain (id, name, class, transport) VALUES (4, 'relay.example', 2, 1);
INSERT INTO Address (id, localpart, domain) VALUES (1, 'joe', 1), (2, 'info', 2), (3, 'x', 4);
INSERT INTO VMailbox (id, password) VALUES (1, '{PLAIN}pass'); INSERT INTO Alias (address, target, extension) VALUES (2, 1, 'lists');`,
		[]string{"4 domains", "1 mailboxes", "1 aliases"}, map[string]string{"info@alias.example": "joe+lists@vmail.example: mailbox"}, "joe@vmail.example", "pass"},
}

func TestImportPanels(t *testing.T) {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("sqlite3 is not installed")
	}
	for _, c := range panelTests {
		t.Run(c.kind, func(t *testing.T) {
			dir := t.TempDir()
			do := func(line, in string) (int, string) {
				var out, errs bytes.Buffer
				a := &app{in: strings.NewReader(in), out: &out, err: &errs}
				code := a.main(context.Background(), append(strings.Fields(line), "--data", filepath.Join(dir, "d")))
				return code, out.String() + errs.String()
			}
			if code, out := do("init --hostname mx.example --own-mail", ""); code != 0 {
				t.Fatal(out)
			}
			file := filepath.Join(dir, "source")
			if strings.HasPrefix(c.source, "--") {
				if err := os.WriteFile(file, []byte(c.source), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				cmd := exec.Command("sqlite3", "-bail", file)
				cmd.Stdin = strings.NewReader(c.source)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v %s", err, out)
				}
			}
			code, dry := do("import "+c.kind+" "+file+" --dry-run", "")
			if _, out := do("domain list", ""); code != 0 || !strings.HasPrefix(dry, "would take") || strings.Contains(out, "example.org") {
				t.Fatalf("dry run: exit %d\n%s\n%s", code, dry, out)
			}
			code, out := do("import "+c.kind+" "+file, "")
			if code != 0 || strings.TrimPrefix(out, "took") != strings.TrimPrefix(dry, "would take") {
				t.Errorf("exit %d\n%s\nthe dry run said\n%s", code, out, dry)
			}
			for _, want := range c.says {
				if !strings.Contains(out, want) {
					t.Errorf("%q is not said:\n%s", want, out)
				}
			}
			for to, want := range c.routes {
				if _, out := do("route "+to, ""); !strings.Contains(out, want) {
					t.Errorf("route %s: want %q in\n%s", to, want, out)
				}
			}
			if code, out := do("auth test "+c.user, c.secret+"\n"); code != 0 {
				t.Errorf("log in as %s: exit %d %s", c.user, code, out)
			}
			if _, again := do("import "+c.kind+" "+file, ""); !strings.Contains(again, "mailboxes there already") {
				t.Errorf("the second time:\n%s", again)
			}
			if _, out := do("check", ""); strings.Contains(out, "rows: fault") {
				t.Errorf("check:\n%s", out)
			}
		})
	}
}
