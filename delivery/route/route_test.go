package route

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"mailserver/internal/address"
	"mailserver/internal/setting"
	"mailserver/schema"
)

// sample is a host with every class of domain, in the statements that the
// original's appendix gives for it.
const sample = `
INSERT INTO Setting VALUES ('myhostname', 'host.example');
INSERT INTO RClass VALUES (0,'reject'),(10,'aggressive'),(20,'moderate'),(30,'conservative'),(35,'yourclass'),(50,'open');
INSERT INTO Transport (tpNexthop) VALUES ('mx.relay.example');
INSERT INTO Transport (tpNum, tpTransport, tpNexthop, tpMx, tpPort) VALUES
  (7, 'lmtp', 'store.example', 0, 2424), (8, 'error', '5.2.1 Mailbox closed', 1, NULL), (9, 'retry', NULL, 1, NULL),
  (10, 'smtp', NULL, 1, NULL), (11, 'discard', NULL, 1, NULL), (12, 'uucp', 'x', 1, NULL), (13, 'smtp', 'a.example', 0, NULL);
INSERT INTO Domain (domName, domClass) VALUES ('host.example', 1), ('new.local.example', 1), ('target.example', 0);
INSERT INTO Domain (domName, domTpNum, domClass, domRcNum) VALUES
  ('new.relay.example', (SELECT tpNum FROM Transport WHERE tpNexthop IS 'mx.relay.example'), 2, 20);
INSERT INTO Domain (domName, domClass, domRcNum) VALUES ('new.alias.example', 3, 20), ('catchall.example', 3, 10);
INSERT INTO Domain (domName, domClass, domSysUser, domRcNum) VALUES ('new.vmail.example', 842, 1007, 20);
INSERT INTO Domain (domName, domClass, active) VALUES ('killed.example', 842, 0);
INSERT INTO Domain (domName, domClass, domTpNum) VALUES ('.routed.example', 0, 7), ('lmtp.local.example', 1, 7);
`

// add inserts an Address: user@domain, with further columns.
func add(addr string, columns ...string) string {
	names, values := "", ""
	for _, c := range columns {
		name, value, _ := strings.Cut(c, "=")
		names, values = names+", "+name, values+", "+value
	}
	local, domain := addr[:strings.LastIndexByte(addr, '@')], addr[strings.LastIndexByte(addr, '@')+1:]
	return fmt.Sprintf("INSERT INTO Address (addLocalpart, addDomNum%s) VALUES ('%s', (SELECT domNum FROM Domain WHERE domName IS '%s')%s);\n",
		names, local, domain, values)
}

// num is a subquery for the number of an address.
func num(addr string) string {
	local, domain := addr[:strings.LastIndexByte(addr, '@')], addr[strings.LastIndexByte(addr, '@')+1:]
	return fmt.Sprintf("(SELECT addNum FROM Address JOIN Domain ON (Address.addDomNum=Domain.domNum) WHERE addLocalpart IS '%s' AND domName IS '%s')", local, domain)
}

func valias(from, to string) string {
	to, ext, ok := strings.Cut(to, " ext ")
	if ok {
		ext = "'" + ext + "'"
	} else {
		ext = "NULL"
	}
	return fmt.Sprintf("INSERT INTO VAlias (vaNum, vaTargetNum, vaExtension) VALUES (%s, %s, %s);\n", num(from), num(to), ext)
}

func mailbox(addr string, columns ...string) string {
	names, values := "", ""
	for _, c := range columns {
		name, value, _ := strings.Cut(c, "=")
		names, values = names+", "+name, values+", "+value
	}
	return fmt.Sprintf("INSERT INTO VMailbox (vmNum, vmPasswd%s) VALUES (%s, '{PLAIN}whatAcoolPassword'%s);\n", names, num(addr), values)
}

func alias5(addr, target string) string {
	return fmt.Sprintf("INSERT INTO Alias (aliasNum, aliasTarget) VALUES (%s, '%s');\n", num(addr), target)
}

// newRouter returns a Router over a real file with the sample and more rows;
// root and one.user are its system users.
func newRouter(t testing.TB, rows ...string) (*Router, string) {
	t.Helper()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "mail.sqlite")
	if err := schema.CreateMail(ctx, path); err != nil {
		t.Fatal(err)
	}
	other(t, path, sample+strings.Join(rows, ""))
	m, err := schema.OpenMail(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	params, err := setting.NewTable(Config{})
	if err != nil {
		t.Fatal(err)
	}
	config := func(ctx context.Context) (*Config, error) {
		view, err := m.View(ctx)
		if err != nil {
			return nil, err
		}
		set, err := view.Settings(ctx)
		if err != nil {
			return nil, err
		}
		var c Config
		return &c, params.Fill(&c, set)
	}
	return New(Deps{Mail: m, Config: config, Dir: "/data", LookupUser: lookupUser}), path
}

func lookupUser(name string) (*user.User, error) {
	switch name {
	case "root":
		return &user.User{Username: "root", Uid: "0", Gid: "0", HomeDir: "/root"}, nil
	case "one.user":
		return &user.User{Username: "one.user", Uid: "1007", Gid: "1008", HomeDir: "/home/one"}, nil
	case "odd@user":
		return &user.User{Username: "odd@user", Uid: "1009", Gid: "1009", HomeDir: "/home/odd"}, nil
	case "trouble":
		return nil, errors.New("no directory now")
	}
	return nil, user.UnknownUserError(name)
}

// other runs SQL on a connection of its own, as the sqlite3 shell would.
func other(t testing.TB, path, rows string) {
	t.Helper()
	if err := schema.Script(context.Background(), path, rows); err != nil {
		t.Fatalf("%v\n%s", err, rows)
	}
}

func parse(t testing.TB, s string) address.Address {
	t.Helper()
	if s == "<>" {
		return address.Address{}
	}
	a, err := address.Parse(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return a
}

// say writes a destination in one line.
func say(d Destination) string {
	a := d.Address.Plain()
	switch d.Kind {
	case Mailbox:
		return fmt.Sprintf("%s: %s %d:%d", a, d.Box.Mail, d.Box.UID, d.Box.GID)
	case Next:
		host := d.Nexthop
		if !d.MX {
			host = "[" + host + "]"
		}
		if d.Port != 0 {
			host += fmt.Sprint(":", d.Port)
		}
		return a + ": " + d.Transport + ":" + host
	case Failure:
		if !d.Permanent && d.Enhanced[0] != '4' || d.Permanent && d.Enhanced[0] != '5' {
			return fmt.Sprintf("permanent %v with code %s", d.Permanent, d.Enhanced)
		}
		return a + ": " + d.Enhanced + " " + d.Text
	}
	return a + ": " + d.Kind.String() + " " + d.Target
}

func expand(t testing.TB, r *Router, to string) string {
	t.Helper()
	list, err := r.Expand(context.Background(), parse(t, to))
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, d := range list {
		if d.Original != parse(t, to) {
			t.Errorf("%s: original is %v", to, d.Original)
		}
		if len(d.Path) == 0 {
			t.Errorf("%s: no path", to)
		}
		out = append(out, say(d))
	}
	return strings.Join(out, "\n")
}

type expandCase struct{ name, to, want string }

func runExpand(t *testing.T, r *Router, cases []expandCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if got := expand(t, r, tt.to); got != tt.want {
				t.Errorf("%s:\n%s\nwant\n%s", tt.to, got, tt.want)
			}
		})
	}
}

func TestClassesAndTransports(t *testing.T) {
	r, _ := newRouter(t,
		add("new-vmail-user@new.vmail.example"), mailbox("new-vmail-user@new.vmail.example"),
		add("Own@new.vmail.example"), mailbox("Own@new.vmail.example", "vmUid=1200", "vmGid=1300", "vmHome='/srv/own'", "vmQuota=5000"),
		add("rel@new.vmail.example"), mailbox("rel@new.vmail.example", "vmHome='mail/rel'"),
		add("killed@new.vmail.example"), mailbox("killed@new.vmail.example", "active=0"),
		add("off@new.vmail.example", "active=0"), mailbox("off@new.vmail.example"),
		add("denied@new.vmail.example", "active=-1"), mailbox("denied@new.vmail.example"),
		add("low@new.vmail.example"), mailbox("low@new.vmail.example", "vmUid=99"),
		add("gid@new.vmail.example"), mailbox("gid@new.vmail.example", "vmGid=0"),
		add("out@new.vmail.example"), mailbox("out@new.vmail.example", "vmHome='/srv/../etc'"),
		add("a/b@new.vmail.example"), mailbox("a/b@new.vmail.example"),
		add("far@new.vmail.example"), mailbox("far@new.vmail.example", "vmHost='store2.example:2424'"),
		add("new-user@new.local.example", "addTpNum=7", "addRcNum=10"),
		add("R1@new.relay.example"), add("R2@new.relay.example", "addTpNum=13"), add("gone@new.relay.example", "active=0"),
		add("closed@new.relay.example", "addTpNum=8"), add("later@new.relay.example", "addTpNum=9"),
		add("hole@new.relay.example", "addTpNum=11"), add("odd@new.relay.example", "addTpNum=12"),
		add("dom@new.relay.example", "addTpNum=10"), add("boss@target.example", "addTpNum=13"),
		add("x@new.alias.example"),
	)
	const unknown = `5.1.1 unknown user: "`
	runExpand(t, r, []expandCase{
		{"virtual mailbox", "new-vmail-user@new.vmail.example", "new-vmail-user@new.vmail.example: /home/vmail/new.vmail.example/new-vmail-user/Mail 842:800"},
		{"in another case, trailing dot", "NEW-vmail-user@New.VMAIL.example.", "NEW-vmail-user@New.VMAIL.example: /home/vmail/new.vmail.example/new-vmail-user/Mail 842:800"},
		{"extension", "new-vmail-user+Lists@new.vmail.example", "new-vmail-user+Lists@new.vmail.example: /home/vmail/new.vmail.example/new-vmail-user/Mail 842:800"},
		{"uid, gid, home of the mailbox", "own@new.vmail.example", "own@new.vmail.example: /srv/own/Mail 1200:1300"},
		{"relative home", "rel@new.vmail.example", "rel@new.vmail.example: /data/mail/rel/Mail 842:800"},
		{"mailbox off", "killed@new.vmail.example", `killed@new.vmail.example: ` + unknown + `killed@new.vmail.example"`},
		{"address off", "off@new.vmail.example", `off@new.vmail.example: ` + unknown + `off@new.vmail.example"`},
		{"log-in denied, mail taken", "denied@new.vmail.example", "denied@new.vmail.example: /home/vmail/new.vmail.example/denied/Mail 842:800"},
		{"unknown mailbox", "eve@new.vmail.example", `eve@new.vmail.example: ` + unknown + `eve@new.vmail.example"`},
		{"uid too low", "low@new.vmail.example", "low@new.vmail.example: 4.3.5 mail system configuration error"},
		{"gid 0", "gid@new.vmail.example", "gid@new.vmail.example: 4.3.5 mail system configuration error"},
		{"home leads out", "out@new.vmail.example", "out@new.vmail.example: 4.3.5 mail system configuration error"},
		{"slash in a name", "a/b@new.vmail.example", "a/b@new.vmail.example: 4.3.5 mail system configuration error"},
		{"mailbox of another host", "far@new.vmail.example", "far@new.vmail.example: lmtp:[store2.example]:2424"},
		{"domain off", "ann@killed.example", "ann@killed.example: smtp:killed.example"},
		{"system user", "one.user@host.example", "one.user@host.example: /home/one/Maildir 1007:1008"},
		{"system user by another local domain", "One.User+x@new.local.example", "One.User+x@new.local.example: /home/one/Maildir 1007:1008"},
		{"system user with an @ (B3)", `"odd@user"@host.example`, "odd@user@host.example: /home/odd/Maildir 1009:1009"},
		{"bare name", "root", "root@host.example: /root/Maildir 0:0"},
		{"localhost", "root@localhost", "root@localhost: /root/Maildir 0:0"},
		{"localhost of mydomain", "root@localhost.example", "root@localhost.example: /root/Maildir 0:0"},
		{"unknown local name", "nobody1@host.example", `nobody1@host.example: ` + unknown + `nobody1"`},
		{"null address", "<>", "MAILER-DAEMON@host.example: discard "},
		{"postmaster without alias waits", "postmaster@host.example", "postmaster@host.example: 4.3.5 required alias not found: postmaster"},
		{"transport of a local address", "new-user@new.local.example", "new-user@new.local.example: lmtp:[store.example]:2424"},
		{"relay by a transport without name", "r1@new.relay.example", "r1@new.relay.example: relay:mx.relay.example"},
		{"relay, unlisted (B4)", "nobody@new.relay.example", "nobody@new.relay.example: relay:mx.relay.example"},
		{"relay, transport of its own", "r2@new.relay.example", "r2@new.relay.example: smtp:[a.example]"},
		{"relay, with extension", "r2+x@new.relay.example", "r2+x@new.relay.example: smtp:[a.example]"},
		{"relay address off", "gone@new.relay.example", "gone@new.relay.example: 5.1.1 User unknown in relay recipient table"},
		{"error transport", "closed@new.relay.example", "closed@new.relay.example: 5.2.1 Mailbox closed"},
		{"retry transport", "later@new.relay.example", "later@new.relay.example: 4.0.0 Address is undeliverable"},
		{"discard transport", "hole@new.relay.example", "hole@new.relay.example: discard "},
		{"transport that is not implemented", "odd@new.relay.example", "odd@new.relay.example: 4.3.0 mail transport uucp is not implemented"},
		{"NULL next hop is the domain", "dom@new.relay.example", "dom@new.relay.example: smtp:new.relay.example"},
		{"external", "Bob@Else.Example", "Bob@Else.Example: smtp:else.example"},
		{"external with a transport", "boss@target.example", "boss@target.example: smtp:[a.example]"},
		{"external, listed domain", "x@target.example", "x@target.example: smtp:target.example"},
		{"parent domain", "x@deep.sub.routed.example", "x@deep.sub.routed.example: lmtp:[store.example]:2424"},
		{"parent domain is not the domain", "x@routed.example", "x@routed.example: smtp:routed.example"},
		{"address literal", "x@[192.0.2.9]", "x@[192.0.2.9]: smtp:[192.0.2.9]"},
		{"address literal IPv6", "x@[IPv6:2001:db8::9]", "x@[IPv6:2001:db8::9]: smtp:[2001:db8::9]"},
		{"our own address literal", "root@[127.0.0.1]", "root@[127.0.0.1]: /root/Maildir 0:0"},
		{"alias domain without alias", "x@new.alias.example", "x@new.alias.example: 5.1.1 User unknown in virtual alias table"},
		{"minus at the start", "-x@new.vmail.example", "-x@new.vmail.example: 5.1.3 bad address syntax"},
	})
	list, _ := r.Expand(context.Background(), parse(t, "own@new.vmail.example"))
	if b := list[0].Box; b.User != "own@new.vmail.example" || b.Home != "/srv/own" || b.Quota != 5000 || b.Folder != "" {
		t.Errorf("box %+v", b)
	}
	if _, err := r.Expand(context.Background(), parse(t, "trouble@host.example")); err == nil {
		t.Error("an error of the system's user look-up is taken for no such user")
	}
}

func TestVirtualAliases(t *testing.T) {
	box := func(names ...string) (s string) {
		for _, n := range names {
			s += add(n+"@new.vmail.example") + mailbox(n+"@new.vmail.example")
		}
		return s
	}
	r, _ := newRouter(t, box("ann", "bob", "cat"),
		add("42@new.alias.example"), add("your-target@target.example"), add("@target.example"),
		add("info@new.alias.example"), valias("info@new.alias.example", "ann@new.vmail.example"), valias("info@new.alias.example", "your-target@target.example"),
		add("twice@new.alias.example"), valias("twice@new.alias.example", "info@new.alias.example"), valias("twice@new.alias.example", "ann@new.vmail.example"),
		add("ext@new.alias.example"), valias("ext@new.alias.example", "ann@new.vmail.example ext Lists"),
		valias("cat@new.vmail.example", "cat@new.vmail.example"), valias("cat@new.vmail.example", "bob@new.vmail.example"),
		add("a@new.vmail.example"), add("b@new.vmail.example"),
		valias("a@new.vmail.example", "b@new.vmail.example"), valias("b@new.vmail.example", "a@new.vmail.example"), valias("b@new.vmail.example", "ann@new.vmail.example"),
		add("@catchall.example"), valias("@catchall.example", "ann@new.vmail.example"),
		add("own@catchall.example"), valias("own@catchall.example", "bob@new.vmail.example"),
		add("off@catchall.example", "active=0"),
		add("moved@new.alias.example"), valias("moved@new.alias.example", "@target.example"),
		add("self@new.vmail.example"), mailbox("self@new.vmail.example"), valias("self@new.vmail.example", "self@new.vmail.example ext copy"),
		add("dead@new.alias.example"), valias("dead@new.alias.example", "ann@new.vmail.example"), "UPDATE VAlias SET active=0 WHERE vaNum="+num("dead@new.alias.example")+";",
		"INSERT INTO PatternAlias (paDomNum, paPattern, paTarget, paPriority) SELECT domNum, 'sales-%', 'bob@new.vmail.example, Boss@Else.example', 1 FROM Domain WHERE domName='new.vmail.example';",
		"INSERT INTO PatternAlias (paDomNum, paPattern, paTarget, paPriority) SELECT domNum, 'sales-_', 'ann@new.vmail.example', 0 FROM Domain WHERE domName='new.vmail.example';",
		box("sales-own"),
	)
	m := func(names ...string) string {
		for i, n := range names {
			base, _, _ := strings.Cut(n, "+")
			names[i] = n + "@new.vmail.example: /home/vmail/new.vmail.example/" + base + "/Mail 842:800"
		}
		return strings.Join(names, "\n")
	}
	runExpand(t, r, []expandCase{
		{"two targets", "info@new.alias.example", m("ann") + "\nyour-target@target.example: smtp:target.example"},
		{"through another alias, each once", "twice@new.alias.example", m("ann") + "\nyour-target@target.example: smtp:target.example"},
		{"extension is propagated", "info+x@new.alias.example", m("ann+x") + "\nyour-target+x@target.example: smtp:target.example"},
		{"extension of the row", "ext@new.alias.example", m("ann+Lists")},
		{"itself and another", "cat@new.vmail.example", m("cat", "bob")},
		{"a circle with a way out", "a@new.vmail.example", "a@new.vmail.example: 5.1.1 unknown user: \"a@new.vmail.example\"\n" + m("ann")},
		{"catch-all", "whoever@catchall.example", m("ann")},
		{"catch-all with extension", "whoever+x@catchall.example", m("ann+x")},
		{"explicit beside the catch-all", "own@catchall.example", m("bob")},
		{"off beside the catch-all", "off@catchall.example", "off@catchall.example: 5.1.1 User unknown in virtual alias table"},
		{"same name elsewhere", "moved+x@new.alias.example", "moved+x@target.example: smtp:target.example"},
		{"itself with extension", "self@new.vmail.example", m("self+copy")},
		{"alias row off", "dead@new.alias.example", "dead@new.alias.example: 5.1.1 User unknown in virtual alias table"},
		{"pattern", "sales-berlin@new.vmail.example", m("bob") + "\nBoss@Else.example: smtp:else.example"},
		{"pattern of higher priority", "sales-X@new.vmail.example", m("ann")},
		{"mailbox beside the pattern", "sales-own@new.vmail.example", m("sales-own")},
	})
}

func TestCatchAllAndExplicitAddresses(t *testing.T) {
	rows := []string{
		add("@new.vmail.example"), add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("bob@new.vmail.example"), mailbox("bob@new.vmail.example"),
		add("classy@new.vmail.example", "addRcNum=35"),
		add("gone@new.vmail.example"), mailbox("gone@new.vmail.example", "active=0"),
		valias("@new.vmail.example", "ann@new.vmail.example"),
		add("@new.relay.example"), add("rex@new.relay.example"), valias("@new.relay.example", "ann@new.vmail.example"),
		add("@new.local.example"), valias("@new.local.example", "ann@new.vmail.example"),
	}
	ann := "ann@new.vmail.example: /home/vmail/new.vmail.example/ann/Mail 842:800"
	r, path := newRouter(t, rows...)
	runExpand(t, r, []expandCase{
		{"unknown", "eve@new.vmail.example", ann},
		{"mailbox", "bob@new.vmail.example", "bob@new.vmail.example: /home/vmail/new.vmail.example/bob/Mail 842:800"},
		{"the target itself", "ann@new.vmail.example", ann},
		{"row without mailbox", "classy@new.vmail.example", ann},
		{"mailbox off", "gone@new.vmail.example", `gone@new.vmail.example: 5.1.1 unknown user: "gone@new.vmail.example"`},
		{"relay, unlisted", "eve@new.relay.example", ann},
		{"relay, listed", "rex@new.relay.example", "rex@new.relay.example: relay:mx.relay.example"},
		{"local, unknown", "eve@new.local.example", ann},
		{"local, system user", "one.user@new.local.example", "one.user@new.local.example: /home/one/Maildir 1007:1008"},
	})
	other(t, path, `INSERT INTO Setting VALUES ('catchall_postfix_compat', 'yes')`)
	runExpand(t, r, []expandCase{
		{"compat: mailbox", "bob@new.vmail.example", ann},
		{"compat: the target itself", "ann@new.vmail.example", ann},
		{"compat: relay, listed", "rex@new.relay.example", ann},
		{"compat: system user", "one.user@new.local.example", ann},
	})
}

func TestLocalAliases(t *testing.T) {
	include := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(include, []byte("# members\nann@new.vmail.example, root\n\nExt@Else.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	os.WriteFile(bad, []byte("|/bin/sh\n"), 0o600)
	r, _ := newRouter(t,
		add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("postmaster@host.example"), alias5("postmaster@host.example", "root"),
		add("abuse@host.example"), alias5("abuse@host.example", "postmaster"), alias5("abuse@host.example", "ann@new.vmail.example"),
		add("archive@host.example"), alias5("archive@host.example", "/var/mail/archive"), alias5("archive@host.example", "ann@new.vmail.example"),
		add("cmd@host.example"), alias5("cmd@host.example", "|/usr/bin/vacation a, b"), alias5("cmd@host.example", "\"|/bin/cat >x\""),
		add("list@host.example"), alias5("list@host.example", ":include:"+include),
		add("nolist@host.example"), alias5("nolist@host.example", ":include:/nonexistent/list"),
		add("badlist@host.example"), alias5("badlist@host.example", ":include:"+bad),
		add("one.user@host.example"), alias5("one.user@host.example", `\one.user`), alias5("one.user@host.example", "ann@new.vmail.example"),
		add("root@host.example"), alias5("root@host.example", "root"), alias5("root@host.example", "/var/log/rootmail"),
		add("p@host.example"), alias5("p@host.example", "q"), alias5("p@host.example", "/tmp/p"), add("q@host.example"), alias5("q@host.example", "p"),
		add("two@host.example"), alias5("two@host.example", "ann@new.vmail.example, Ext@Else.example"),
		add("broken@host.example"), alias5("broken@host.example", "@"),
		add("here@new.local.example"), alias5("here@new.local.example", "ann@new.vmail.example"),
		add("v@host.example"), valias("v@host.example", "ann@new.vmail.example"), // B2
		add("x@new.alias.example"), alias5("x@new.alias.example", "ann@new.vmail.example"),
	)
	ann := "ann@new.vmail.example: /home/vmail/new.vmail.example/ann/Mail 842:800"
	root := "root@host.example: /root/Maildir 0:0"
	rootlog := "root@host.example: file /var/log/rootmail"
	runExpand(t, r, []expandCase{
		{"name to name", "postmaster@host.example", root + "\n" + rootlog},
		{"of another local domain", "Postmaster@new.local.example", root + "\n" + rootlog},
		{"bare postmaster", "postmaster", root + "\n" + rootlog},
		{"two rows", "abuse@host.example", root + "\n" + rootlog + "\n" + ann},
		{"file and address", "archive@host.example", "archive@host.example: file /var/mail/archive\n" + ann},
		{"commands", "cmd@host.example", "cmd@host.example: command /usr/bin/vacation a, b\ncmd@host.example: command /bin/cat >x"},
		{"include", "list@host.example", "list@host.example: forward ann@new.vmail.example, root@host.example, Ext@Else.example"},
		{"include that is missing waits", "nolist@host.example", "nolist@host.example: 4.2.0 cannot read include file /nonexistent/list"},
		{"command in an include", "badlist@host.example", "badlist@host.example: 5.7.1 mail to command is restricted"},
		{"backslash", "one.user@host.example", "one.user@host.example: /home/one/Maildir 1007:1008\n" + ann},
		{"itself", "root@host.example", root + "\n" + rootlog},
		{"circle", "p@host.example", "p@host.example: 5.1.1 unknown user: \"p\"\np@host.example: file /tmp/p"},
		{"list in a row", "two@host.example", ann + "\nExt@Else.example: smtp:else.example"},
		{"row of another local domain", "here@new.local.example", ann},
		{"routed elsewhere, aliases hold (B2)", "abuse@lmtp.local.example", root + "\n" + rootlog + "\n" + ann},
		{"routed elsewhere, virtual alias of a system user (B2)", "v@lmtp.local.example", ann},
		{"routed elsewhere, file stays there (B2)", "archive@lmtp.local.example", "archive@lmtp.local.example: lmtp:[store.example]:2424"},
		{"aliases(5) are for local names", "x@new.alias.example", "x@new.alias.example: 5.1.1 User unknown in virtual alias table"},
	})
	if got := expand(t, r, "broken@host.example"); !strings.HasPrefix(got, "error: ") {
		t.Errorf("a broken row: %s", got)
	}
}

func TestNexthopForms(t *testing.T) {
	for _, tt := range []struct{ setting, want string }{
		{"smtp:mx.example", "smtp:mx.example"}, {"smtp:[mx.example]", "smtp:[mx.example]"}, {"smtp:mx.example:2525", "smtp:mx.example:2525"},
		{"smtp:[mx.example]:submission", "smtp:[mx.example]:587"}, {"lmtp:inet:store.example:24", "lmtp:[store.example]:24"},
		{"lmtp:unix:/run/lmtp", "lmtp:[unix:/run/lmtp]"}, {"smtp:[2001:db8::1]:25", "smtp:[2001:db8::1]:25"}, {"smtp:2001:db8::1", "smtp:2001:db8::1"},
		{"smtp", "smtp:else.example"}, {"error:5.7.1 Not here", "5.7.1 Not here"}, {"error", "5.0.0 Address is undeliverable"}, {"retry:try later", "4.0.0 try later"},
		{"retry:5.1.1 later", "4.1.1 later"}, {"discard:", "discard "}, {"smtp:a.example, b.example", "smtp:a.example, b.example"},
		{"smtp:a.example:nonsense", "4.3.5 mail system configuration error"}, {"maildrop:x", "4.3.0 mail transport maildrop is not implemented"},
	} {
		r, _ := newRouter(t, "INSERT INTO Setting VALUES ('default_transport', '"+tt.setting+"');")
		if got := expand(t, r, "x@else.example"); got != "x@else.example: "+tt.want {
			t.Errorf("%s: %s, want %s", tt.setting, got, tt.want)
		}
	}
}

func TestPathTellsHow(t *testing.T) {
	r, _ := newRouter(t, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("info@new.alias.example"), valias("info@new.alias.example", "ann@new.vmail.example"))
	list, err := r.Expand(context.Background(), parse(t, "info+x@new.alias.example"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `virtual alias info@new.alias.example -> ann+x@new.vmail.example
domain new.vmail.example is virtual mailbox (842)
transport virtual:new.vmail.example by class virtual mailbox
mailbox /home/vmail/new.vmail.example/ann/Mail of ann@new.vmail.example, uid 842, gid 800`
	if got := strings.Join(list[0].Path, "\n"); got != want {
		t.Errorf("path:\n%s\nwant\n%s", got, want)
	}
}

func TestResolveFollowsNoAlias(t *testing.T) {
	r, _ := newRouter(t, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("bob@new.vmail.example"), mailbox("bob@new.vmail.example"), valias("bob@new.vmail.example", "ann@new.vmail.example"),
		add("one.user@host.example"), alias5("one.user@host.example", "/var/mail/x"),
		add("info@new.alias.example"), valias("info@new.alias.example", "ann@new.vmail.example"))
	for to, want := range map[string]string{
		"bob@new.vmail.example":  "bob@new.vmail.example: /home/vmail/new.vmail.example/bob/Mail 842:800",
		"one.user":               "one.user@host.example: /home/one/Maildir 1007:1008",
		"info@new.alias.example": "info@new.alias.example: 5.1.1 User unknown in virtual alias table",
		"x@else.example":         "x@else.example: smtp:else.example",
	} {
		d, err := r.Resolve(context.Background(), parse(t, to))
		if err != nil || say(*d) != want {
			t.Errorf("%s: %+v, %v; want %s", to, d, err, want)
		}
	}
}

func TestAliasLimits(t *testing.T) {
	var rows strings.Builder
	chain := func(name string, n int) {
		for i := range n + 1 {
			rows.WriteString(add(fmt.Sprintf("%s%d@new.alias.example", name, i)))
		}
		for i := range n {
			rows.WriteString(valias(fmt.Sprintf("%s%d@new.alias.example", name, i), fmt.Sprintf("%s%d@new.alias.example", name, i+1)))
		}
	}
	chain("c", 12)
	rows.WriteString(add("wide@new.alias.example"))
	for i := range 12 {
		a := fmt.Sprintf("w%d@target.example", i)
		rows.WriteString(add(a) + valias("wide@new.alias.example", a))
	}
	rows.WriteString(add("grow@new.alias.example") + add("grow@catchall.example") +
		valias("grow@new.alias.example", "grow@catchall.example ext x") + valias("grow@catchall.example", "grow@new.alias.example ext y"))
	r, path := newRouter(t, rows.String(), `INSERT INTO Setting VALUES ('virtual_alias_recursion_limit','12'),('virtual_alias_expansion_limit','12');`)
	ctx := context.Background()
	if got, err := r.Expand(ctx, parse(t, "wide@new.alias.example")); err != nil || len(got) != 12 {
		t.Errorf("12 targets: %d, %v", len(got), err)
	}
	if got := expand(t, r, "c0@new.alias.example"); got != "c12@new.alias.example: 5.1.1 User unknown in virtual alias table" {
		t.Errorf("12 steps: %s", got)
	}
	other(t, path, `UPDATE Setting SET stValue = '11' WHERE stName LIKE 'virtual_alias_%'`)
	for _, a := range []string{"wide", "c0", "grow"} {
		if _, err := r.Expand(ctx, parse(t, a+"@new.alias.example")); !errors.Is(err, ErrAliasLoop) {
			t.Errorf("%s over the limit: %v", a, err)
		}
	}
	other(t, path, `DELETE FROM Setting WHERE stName LIKE 'virtual_alias_%'`)
	if _, err := r.Expand(ctx, parse(t, "grow@new.alias.example")); !errors.Is(err, ErrAliasLoop) {
		t.Errorf("extensions that grow: %v", err)
	}
}
