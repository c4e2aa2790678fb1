package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"mailserver/internal/testenv"
)

// panel is the database of another program, the SQL maps that read it, and what
// they are to answer.
type panel struct {
	name    string
	tables  string
	maps    string // rows of SqlMap; FILE is the database, HOME a directory, UID ours
	lookups []string
	user    string // logs in
	secret  string
	mails   map[string]string // recipient → Maildir below HOME; '' is refused
	add     string            // a statement of the panel, for later
	later   string            // the address that exists then
}

var panels = []panel{
	{
		name: "postfix and courier",
		tables: "CREATE TABLE `domains` (`domain` varchar(50) NOT NULL);\n" +
			"CREATE TABLE `forwardings` (`source` varchar(80) NOT NULL, `destination` text NOT NULL);\n" +
			"CREATE TABLE `transport` (`domain` varchar(128) NOT NULL DEFAULT '', `transport` varchar(128) NOT NULL DEFAULT '');\n" +
			"CREATE TABLE `users` (`email` varchar(80) NOT NULL, `password` varchar(20) NOT NULL, `quota` int(10) DEFAULT '10485760');\n" + `
INSERT INTO domains VALUES ('example.org');
INSERT INTO users VALUES ('joe@example.org', 'abccBcrPOxnLU', 10485760), ('ann@example.org', 'x', 100);
INSERT INTO forwardings VALUES ('sales@example.org', 'joe@example.org,ann@example.org'), ('@example.org', 'joe@example.org');
INSERT INTO transport VALUES ('elsewhere.example', 'smtp:[127.0.0.1]:1');`,
		maps: `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('virtual_mailbox_domains', 'FILE', 'SELECT domain FROM domains WHERE domain=''%s'''),
 ('email2email', 'FILE', 'SELECT email FROM users WHERE email=''%s'''),
 ('virtual_alias_maps', 'FILE', 'SELECT destination FROM forwardings WHERE source=''%s'''),
 ('virtual_alias_maps:email2email', 'FILE', 'SELECT email FROM users WHERE email=''%s'''),
 ('virtual_mailbox_limit_maps', 'FILE', 'SELECT quota FROM users WHERE email=''%s'''),
 ('virtual_mailbox_maps', 'FILE', 'SELECT PRINTF("%s/%s/", SUBSTR(email,INSTR(email,''@'')+1) , SUBSTR(email,0,INSTR(email,''@'')) ) FROM users WHERE email=''%s'''),
 ('transport_maps', 'FILE', 'SELECT transport FROM transport WHERE domain=''%s'''),
 ('virtual_mailbox_base', NULL, 'SELECT ''HOME'''),
 ('virtual_uid_maps', NULL, 'SELECT UID'), ('virtual_gid_maps', NULL, 'SELECT GID'),
 ('password_query', 'FILE', 'SELECT password FROM users WHERE email=''%u''');`,
		lookups: []string{
			"virtual_mailbox_domains example.org = example.org",
			"email2email joe@example.org = joe@example.org",
			"virtual_alias_maps sales@example.org = joe@example.org,ann@example.org",
			"virtual_alias_maps joe@example.org = joe@example.org",
			"virtual_mailbox_limit_maps joe@example.org = 10485760",
			"virtual_mailbox_maps joe@example.org = example.org/joe/",
			"transport_maps elsewhere.example = smtp:[127.0.0.1]:1",
			"virtual_mailbox_maps nobody@example.org = ",
			"virtual_mailbox_maps o'brien@example.org = ",
		},
		user: "joe@example.org", secret: "pass",
		mails: map[string]string{"joe@example.org": "example.org/joe", "sales@example.org": "example.org/joe", "unknown@example.org": "example.org/joe",
			"x@example.com": ""},
		add: "INSERT INTO domains VALUES ('new.example'); INSERT INTO users VALUES ('new@new.example', 'x', 0);", later: "new@new.example",
	},
	{
		name: "opensmtpd and dovecot",
		tables: `CREATE TABLE users (username TEXT NOT NULL, domain TEXT NOT NULL, mailbox TEXT NOT NULL, password TEXT NULL);
INSERT INTO users VALUES('hugo', 'barrera.io', 'hugo@barrera.io', '$2b$08$CEWRsxzLeTziYlq58gJvd.35RQ0fK2jP9RW8AisoxAznmmN6GsdvK');
INSERT INTO users VALUES('%', 'barrera.io', 'hugo@barrera.io', NULL);
INSERT INTO users VALUES('contact', 'example.com', 'contact@example.com', '{PLAIN}pass');`,
		maps: `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('query_credentials', 'FILE', 'SELECT username||''@''||domain, password FROM users WHERE (username||''@''||domain)=?'),
 ('query_userinfo', 'FILE', 'SELECT 7000, 7000, ''/var/empty'' FROM users WHERE (username||''_''||domain)=?'),
 ('virtual_mailbox_domains', 'FILE', 'SELECT domain FROM users WHERE domain=? LIMIT 1'),
 ('virtual_alias_maps', 'FILE', 'SELECT replace(mailbox, ''@'', ''_'') FROM users WHERE ? LIKE (username||''@''||domain)'),
 ('virtual_uid_maps', NULL, 'SELECT UID'), ('virtual_gid_maps', NULL, 'SELECT GID'),
 ('password_query', 'FILE', 'SELECT password FROM users WHERE mailbox = replace(''%u'', ''_'', ''@'') AND password NOT NULL'),
 ('user_query', 'FILE', 'SELECT ''HOME/''||domain||''/''||username AS home FROM users WHERE mailbox = replace(''%u'', ''_'', ''@'') AND password NOT NULL');`,
		lookups: []string{
			"query_credentials contact@example.com = contact@example.com,{PLAIN}pass",
			"query_userinfo hugo_barrera.io = 7000,7000,/var/empty",
			"virtual_mailbox_domains barrera.io = barrera.io",
			"virtual_alias_maps anything@barrera.io = hugo_barrera.io",
			"virtual_alias_maps contact@example.com = contact_example.com",
			"virtual_alias_maps other@example.com = ",
		},
		user: "contact@example.com", secret: "pass",
		mails: map[string]string{"contact@example.com": "example.com/contact/Mail", "anything@barrera.io": "barrera.io/hugo/Mail", "other@example.com": ""},
		add:   "INSERT INTO users VALUES ('new', 'new.example', 'contact@example.com', NULL);", later: "new@new.example",
	},
	{
		name: "dinomail",
		tables: `CREATE TABLE dinomail_virtualdomain (id INTEGER PRIMARY KEY, name varchar(200) NOT NULL UNIQUE);
CREATE TABLE dinomail_virtualuser (id INTEGER PRIMARY KEY, email varchar(200) NOT NULL UNIQUE, password varchar(200) NOT NULL, quota bigint NOT NULL DEFAULT 0);
CREATE TABLE dinomail_virtualalias (id INTEGER PRIMARY KEY, source varchar(200) NOT NULL, destination varchar(200) NOT NULL);
INSERT INTO dinomail_virtualdomain (name) VALUES ('example.org');
INSERT INTO dinomail_virtualuser (email, password) VALUES ('test@example.org', '{PLAIN}pass');
INSERT INTO dinomail_virtualalias (source, destination) VALUES ('postmaster@example.org', 'test@example.org');`,
		maps: `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('virtual_mailbox_domains', 'FILE', 'SELECT 1 FROM dinomail_virtualdomain WHERE name=''%s'''),
 ('virtual_mailbox_maps', 'FILE', 'SELECT 1 FROM dinomail_virtualuser WHERE email=''%s'''),
 ('virtual_alias_maps', 'FILE', 'SELECT destination FROM dinomail_virtualalias WHERE source=''%s'''),
 ('email2email', 'FILE', 'SELECT email FROM dinomail_virtualuser WHERE email=''%s'''),
 ('user_query', 'FILE', 'SELECT email as user, concat(''*:bytes='', quota) AS quota_rule, ''HOME/%d/%n'' AS home, UID AS uid, GID AS gid FROM dinomail_virtualuser WHERE email=''%u'''),
 ('password_query', 'FILE', 'SELECT password FROM dinomail_virtualuser WHERE email=''%u'''),
 ('iterate_query', 'FILE', 'SELECT email AS user FROM dinomail_virtualuser');`,
		lookups: []string{ // the four answers of the document
			"virtual_mailbox_domains example.org = 1",
			"virtual_mailbox_maps test@example.org = 1",
			"virtual_alias_maps postmaster@example.org = test@example.org",
			"email2email test@example.org = test@example.org",
		},
		user: "test@example.org", secret: "pass",
		mails: map[string]string{"test@example.org": "example.org/test/Mail", "postmaster@example.org": "example.org/test/Mail", "nobody@example.org": ""},
		add:   "INSERT INTO dinomail_virtualalias (source, destination) VALUES ('new@example.org', 'test@example.org');", later: "new@example.org",
	},
	{
		name: "ispmail",
		tables: `CREATE TABLE virtual_domains (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE virtual_users (id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL REFERENCES virtual_domains(id), email TEXT NOT NULL UNIQUE, password TEXT NOT NULL, quota INTEGER NOT NULL DEFAULT 0);
CREATE TABLE virtual_aliases (id INTEGER PRIMARY KEY, domain_id INTEGER NOT NULL REFERENCES virtual_domains(id), source TEXT NOT NULL, destination TEXT NOT NULL);
INSERT INTO virtual_domains VALUES (1, 'example.org');
INSERT INTO virtual_users VALUES (1, 1, 'john@example.org', '{PLAIN}pass', 0);
INSERT INTO virtual_aliases VALUES (1, 1, 'jack@example.org', 'john@example.org'), (2, 1, '@example.org', 'john@example.org');`,
		maps: `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('virtual_mailbox_domains', 'FILE', 'SELECT 1 FROM virtual_domains WHERE name=''%s'''),
 ('virtual_mailbox_maps', 'FILE', 'SELECT 1 FROM virtual_users WHERE email=''%s'''),
 ('virtual_alias_maps', 'FILE', 'SELECT destination FROM virtual_aliases WHERE source=''%s'''),
 ('virtual_alias_maps:email2email', 'FILE', 'SELECT email FROM virtual_users WHERE email=''%s'''),
 ('user_query', 'FILE', 'SELECT email AS user, ''*:bytes='' || quota AS quota_rule, ''HOME/%d/%n'' AS home, UID AS uid, GID AS gid FROM virtual_users WHERE email=''%u'''),
 ('password_query', 'FILE', 'SELECT password FROM virtual_users WHERE email=''%u'''),
 ('iterate_query', 'FILE', 'SELECT email AS user FROM virtual_users');`,
		lookups: []string{
			"virtual_mailbox_domains example.org = 1",
			"virtual_mailbox_maps john@example.org = 1",
			"virtual_alias_maps jack@example.org = john@example.org",
			"virtual_mailbox_maps jack@example.org = ",
		},
		user: "john@example.org", secret: "pass",
		mails: map[string]string{"john@example.org": "example.org/john/Mail", "jack@example.org": "example.org/john/Mail", "any@example.org": "example.org/john/Mail", "x@example.com": ""},
		add:   "INSERT INTO virtual_domains VALUES (2, 'new.example'); INSERT INTO virtual_aliases VALUES (3, 2, 'new@new.example', 'john@example.org');", later: "new@new.example",
	},
	{
		name: "the design's second form",
		tables: `CREATE TABLE Transport (id INTEGER PRIMARY KEY, active INTEGER DEFAULT 1, transport TEXT, nexthop INTEGER, mx INTEGER DEFAULT 1, port INTEGER);
CREATE TABLE Domain (id INTEGER PRIMARY KEY, name TEXT, active INTEGER DEFAULT 1, class INTEGER, owner INTEGER, transport INTEGER, rclass INTEGER DEFAULT 30);
CREATE TABLE Address (id INTEGER PRIMARY KEY, localpart TEXT, domain INTEGER, active INTEGER DEFAULT 1, transport INTEGER, rclass INTEGER);
CREATE TABLE Alias (id INTEGER PRIMARY KEY, address INTEGER, active INTEGER DEFAULT 1, target INTEGER, extension TEXT);
CREATE TABLE VMailbox (id INTEGER PRIMARY KEY, active INTEGER DEFAULT 1, uid INTEGER, gid INTEGER, home TEXT, password TEXT);
INSERT INTO Domain (id, name, class) VALUES (0, NULL, 1), (1, 'vmail.org', 842), (2, 'alias.org', 3), (3, 'off.org', 842);
UPDATE Domain SET active = 0 WHERE id = 3;
INSERT INTO Address (id, localpart, domain) VALUES (1, 'joe', 1), (2, 'info', 2), (3, 'joe', 3), (4, 'ann', 1);
INSERT INTO VMailbox (id, password) VALUES (1, '{PLAIN}pass'), (3, '{PLAIN}pass'), (4, '{PLAIN}x');
INSERT INTO Alias (address, target) VALUES (2, 1), (2, 4);`,
		maps: `
INSERT INTO SqlMap (smName, smFile, smQuery) VALUES
 ('virtual_mailbox_domains', 'FILE', 'SELECT name FROM Domain WHERE name=''%s'' AND active AND class>=800'),
 ('virtual_alias_domains', 'FILE', 'SELECT name FROM Domain WHERE name=''%s'' AND active AND class=3'),
 ('virtual_mailbox_maps', 'FILE', 'SELECT d.name || ''/'' || a.localpart || ''/'' FROM Address a JOIN Domain d ON d.id=a.domain JOIN VMailbox v ON v.id=a.id WHERE a.localpart=''%u'' AND d.name=''%d'' AND a.active AND d.active AND v.active'),
 ('virtual_alias_maps', 'FILE', 'SELECT t.localpart || ''@'' || td.name FROM Alias l JOIN Address a ON a.id=l.address JOIN Domain d ON d.id=a.domain JOIN Address t ON t.id=l.target JOIN Domain td ON td.id=t.domain WHERE a.localpart=''%u'' AND d.name=''%d'' AND a.active AND l.active ORDER BY l.id'),
 ('virtual_mailbox_base', NULL, 'SELECT ''HOME'''),
 ('virtual_uid_maps', NULL, 'SELECT UID'), ('virtual_gid_maps', NULL, 'SELECT GID'),
 ('password_query', 'FILE', 'SELECT v.password FROM VMailbox v JOIN Address a ON a.id=v.id JOIN Domain d ON d.id=a.domain WHERE a.localpart=''%n'' AND d.name=''%d'' AND v.active');`,
		lookups: []string{
			"virtual_mailbox_domains vmail.org = vmail.org",
			"virtual_mailbox_domains alias.org = ",
			"virtual_alias_domains alias.org = alias.org",
			"virtual_mailbox_maps joe@vmail.org = vmail.org/joe/",
			"virtual_mailbox_maps joe@off.org = ",
			"virtual_alias_maps info@alias.org = joe@vmail.org,ann@vmail.org",
		},
		user: "joe@vmail.org", secret: "pass",
		mails: map[string]string{"joe@vmail.org": "vmail.org/joe", "info@alias.org": "vmail.org/ann", "joe@off.org": "", "nobody@vmail.org": ""},
		add:   "INSERT INTO Address (id, localpart, domain) VALUES (9, 'new', 2); INSERT INTO Alias (address, target) VALUES (9, 1);", later: "new@alias.org",
	},
}

// TestForeignSchemasInPlace runs a server on the database of another program,
// with that program's queries.
func TestForeignSchemasInPlace(t *testing.T) {
	t.Parallel()
	for _, p := range panels {
		t.Run(p.name, p.test)
	}
}

func (p panel) test(t *testing.T) {
	h := sampleHost(t, "")
	root := testenv.Dir(t)
	file, home := filepath.Join(root, "panel.sqlite"), filepath.Join(root, "vmail")
	if err := os.MkdirAll(home, 0o755); err != nil {
		t.Fatal(err)
	}
	sqlite := func(statements string) { mustOutside(t, statements, "sqlite3", "-bail", file) }
	sqlite(p.tables)
	uid := max(os.Getuid(), 842)
	h.sql(strings.NewReplacer("FILE", file, "HOME", home, "UID", fmt.Sprint(uid), "GID", fmt.Sprint(uid)).Replace(p.maps))
	h.mustRun("config", "set", "disable_plaintext_auth=no", "mynetworks=192.0.2.0/24")
	h.start()
	for _, l := range p.lookups {
		question, want, _ := strings.Cut(l, " = ")
		h.wantLookup(question, want)
	}
	s := h.sender()
	for to, dir := range p.mails {
		id := strings.NewReplacer("@", "-", "%", "").Replace(to)
		err := s.send(to, message(id, "in place", "x"))
		if dir == "" {
			if code(err) < 500 {
				t.Errorf("%s: %v, want a refusal", to, err)
			}
			s.cmd(250, "RSET")
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", to, err)
			continue
		}
		waitFor(t, "mail for "+to, func() bool { return idsIn(t, []string{filepath.Join(home, dir)})[id] == 1 })
	}
	c, err := imapclient.DialInsecure(h.addr(143), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(p.user, "wrong").Wait(); err == nil {
		t.Error("a wrong password logs in")
	}
	if err := c.Login(p.user, p.secret).Wait(); err != nil {
		t.Fatalf("log in: %v", err)
	}
	box, err := c.Select("INBOX", nil).Wait()
	if err != nil || box.NumMessages == 0 {
		t.Errorf("INBOX: %v %+v", err, box)
	}
	// What the panel writes acts at the next command.
	if err := s.send(p.later, message("early", "s", "x")); code(err) < 500 {
		t.Errorf("%s before it exists: %v", p.later, err)
	}
	s.cmd(250, "RSET")
	sqlite(p.add)
	if err := s.send(p.later, message("later", "s", "x")); err != nil {
		t.Errorf("%s after the panel has added it: %v\n%s", p.later, err, h.log.tail(5))
	}
	// The panel's database cannot be read: nothing is refused for good.
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	if err := s.send(p.user, message("away", "s", "x")); code(err) != 451 {
		t.Errorf("without the database: %v, want 451", err)
	}
	if out, err := h.run("", "check"); err == nil || !strings.Contains(out, "SqlMap ") {
		t.Errorf("check: %v %s", err, out)
	}
}

// wantLookup asks a map of the host for a key, "MAP KEY"; want "": it has none.
func (h *host) wantLookup(question, want string) {
	h.t.Helper()
	name, key, _ := strings.Cut(question, " ")
	out, err := h.run("", "lookup", name, key)
	if got := strings.TrimSpace(out); got != want || (err != nil) != (want == "") {
		h.t.Errorf("lookup %s: %q (%v), want %q", question, got, err, want)
	}
}
