package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailserver/internal/address"
	"mailserver/policy"
	"mailserver/schema"
)

func sayRecipient(p policy.Recipient) string {
	what := "listed"
	switch {
	case p.MovedTo != "":
		what = "moved to " + p.MovedTo
	case p.Rejects != "":
		what = "rejects " + p.Rejects
	case !p.Listed:
		what = "not in " + p.Table
	}
	return fmt.Sprintf("%s %s RC%02d %s", p.Address.Plain(), className(p.Class), p.RClass, what)
}

func TestRecipient(t *testing.T) {
	r, path := newRouter(t,
		add("new-system-user@host.example", "addRcNum=35"), add("One.user@host.example", "addRcNum=10"),
		add("new-user@new.local.example", "addTpNum=7", "addRcNum=10"), add("root@host.example", "active=0"),
		add("new-relay-addr@new.relay.example"), add("relay-killed@new.relay.example", "active=0", "addRcNum=0"),
		add("joe@new.relay.example", "addRcNum=35"), add("joe+x@new.relay.example", "addRcNum=0"),
		add("closed@new.relay.example", "addTpNum=8"), add("later@new.relay.example", "addTpNum=9"),
		add("ann@new.vmail.example", "active=-1", "addRcNum=50"), mailbox("ann@new.vmail.example"),
		add("killed@new.vmail.example"), mailbox("killed@new.vmail.example", "active=0"),
		add("postmaster@new.alias.example"), valias("postmaster@new.alias.example", "ann@new.vmail.example"),
		add("none@new.alias.example"),
		add("@catchall.example"), valias("@catchall.example", "ann@new.vmail.example"),
		add("@new.relay.example", "active=0"),
		add("names@host.example"), alias5("names@host.example", "ann@new.vmail.example"),
		add("boss@target.example"), valias("boss@target.example", "ann@new.vmail.example"),
		`INSERT INTO Relocated (rlAddress, rlTarget) VALUES ('moved@new.vmail.example', 'm@else.example'), ('postmaster@new.alias.example', 'x'), ('jim', 'jim@else.example'), ('@else2.example', 'elsewhere');
		 INSERT INTO Canonical (cnAddress, cnTarget, cnMap) VALUES ('old@new.vmail.example', 'ann@new.vmail.example', 'recipient_canonical'), ('@old.example', '@new.vmail.example', 'canonical'), ('local.name', 'ann@new.vmail.example', 'canonical');`)
	for _, tt := range []struct{ name, to, want string }{
		{"external", "Bob@Else.example", "Bob@Else.example external RC30 listed"},
		{"mailbox, its class", "Ann@new.vmail.example", "Ann@new.vmail.example virtual mailbox RC50 listed"},
		{"mailbox with extension", "ann+x@new.vmail.example.", "ann+x@new.vmail.example virtual mailbox RC50 listed"},
		{"mailbox unknown, class of the domain", "eve@new.vmail.example", "eve@new.vmail.example virtual mailbox RC20 not in virtual mailbox table"},
		{"mailbox off", "killed@new.vmail.example", "killed@new.vmail.example virtual mailbox RC20 not in virtual mailbox table"},
		{"domain off", "ann@killed.example", "ann@killed.example external RC30 listed"},
		{"relay listed", "new-relay-addr@new.relay.example", "new-relay-addr@new.relay.example relay RC20 listed"},
		{"relay off: its class is not asked", "relay-killed@new.relay.example", "relay-killed@new.relay.example relay RC20 not in relay recipient table"},
		{"relay unlisted, catch-all off", "eve@new.relay.example", "eve@new.relay.example relay RC20 not in relay recipient table"},
		{"class without extension", "Joe+y@new.relay.example", "Joe+y@new.relay.example relay RC35 listed"},
		{"class with extension", "joe+X@new.relay.example", "joe+X@new.relay.example relay RC00 listed"},
		{"error transport", "closed@new.relay.example", "closed@new.relay.example relay RC20 rejects 5.2.1 Mailbox closed"},
		{"retry transport", "later@new.relay.example", "later@new.relay.example relay RC20 rejects 4.0.0 Address is undeliverable"},
		{"alias", "postmaster@new.alias.example", "postmaster@new.alias.example virtual alias RC20 listed"},
		{"row without alias", "none@new.alias.example", "none@new.alias.example virtual alias RC20 not in virtual alias table"},
		{"alias unknown", "eve@new.alias.example", "eve@new.alias.example virtual alias RC20 not in virtual alias table"},
		{"alias of an external address", "boss@target.example", "boss@target.example external RC30 listed"},
		{"catch-all has the class of its domain (B1)", "eve@catchall.example", "eve@catchall.example virtual alias RC10 listed"},
		{"system user, no row", "odd.name@host.example", "odd.name@host.example local RC30 not in local recipient table"},
		{"system user, class (B5)", "one.user@host.example", "one.user@host.example local RC10 listed"},
		{"system user elsewhere, class (B5)", "one.user+x@new.local.example", "one.user+x@new.local.example local RC10 listed"},
		{"row without user", "new-system-user@host.example", "new-system-user@host.example local RC35 not in local recipient table"},
		{"system user off", "root@host.example", "root@host.example local RC30 not in local recipient table"},
		{"class of a local domain's row", "new-user@new.local.example", "new-user@new.local.example local RC10 not in local recipient table"},
		{"name of aliases(5)", "names@new.local.example", "names@new.local.example local RC30 listed"},
		{"postmaster is always known", "PostMaster@new.local.example", "PostMaster@new.local.example local RC30 listed"},
		{"bare postmaster", "postmaster", "postmaster@host.example local RC30 listed"},
		{"moved", "moved+x@new.vmail.example", "moved+x@new.vmail.example virtual mailbox RC20 moved to m@else.example"},
		{"moved, local name", "jim@new.local.example", "jim@new.local.example local RC30 moved to jim@else.example"},
		{"moved, bare name is for local domains", "jim@new.vmail.example", "jim@new.vmail.example virtual mailbox RC20 not in virtual mailbox table"},
		{"moved domain", "x@else2.example", "x@else2.example external RC30 moved to elsewhere"},
		{"canonical", "old@new.vmail.example", "old@new.vmail.example virtual mailbox RC20 listed"},
		{"canonical local name", "local.name@host.example", "local.name@host.example local RC30 listed"},
		{"minus at the start", "-x@new.vmail.example", "-x@new.vmail.example virtual mailbox RC20 rejects 5.1.3 Bad recipient address syntax"},
		{"routing characters stay", "user%else.example@new.relay.example", "user%else.example@new.relay.example relay RC20 not in relay recipient table"},
		{"overlong", strings.Repeat("x", 2000) + "@new.vmail.example", strings.Repeat("x", 2000) + "@new.vmail.example virtual mailbox RC20 not in virtual mailbox table"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := r.Recipient(context.Background(), parse(t, tt.to))
			if got := sayRecipient(p); err != nil || got != tt.want {
				t.Errorf("%v %s\nwant %s", err, got, tt.want)
			}
			if p.Original != parse(t, tt.to) || p.Listed == (p.Table != "") {
				t.Errorf("%+v", p)
			}
		})
	}
	runExpand(t, r, []expandCase{
		{"canonical goes first", "old+x@new.vmail.example", "ann+x@new.vmail.example: /home/vmail/new.vmail.example/ann/Mail 842:800"},
		{"canonical of a domain", "Ann@old.example", "Ann@new.vmail.example: /home/vmail/new.vmail.example/ann/Mail 842:800"},
		{"moved", "moved@new.vmail.example", "moved@new.vmail.example: 5.1.6 User has moved to m@else.example"},
	})
	if p, _ := r.Recipient(context.Background(), parse(t, "Joe+y@new.relay.example")); p.Extended != "Joe@new.relay.example" {
		t.Errorf("without extension: %q", p.Extended)
	}
	other(t, path, `INSERT INTO Setting VALUES ('recipient_delimiter', '-')`)
	for to, want := range map[string]string{"owner-x@host.example": "", "x-request@host.example": "", "ann-y@new.vmail.example": "ann@new.vmail.example"} {
		if p, _ := r.Recipient(context.Background(), parse(t, to)); p.Extended != want {
			t.Errorf("%s without extension: %q", to, p.Extended)
		}
	}
}

func TestSender(t *testing.T) {
	r, _ := newRouter(t, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("postmaster@new.alias.example"), valias("postmaster@new.alias.example", "ann@new.vmail.example"))
	for _, tt := range []struct{ from, want string }{
		{"<>", " external true "},
		{"bob@else.example", "bob@else.example external true "},
		{"ann@new.vmail.example", "ann@new.vmail.example virtual mailbox true "},
		{"eve@new.vmail.example", "eve@new.vmail.example virtual mailbox false virtual mailbox table"},
		{"postmaster@new.alias.example", "postmaster@new.alias.example virtual alias true "},
		{"one.user", "one.user@host.example local true "},
	} {
		s, err := r.Sender(context.Background(), parse(t, tt.from))
		if got := fmt.Sprintf("%s %s %v %s", s.Address.Plain(), className(s.Class), s.Listed, s.Table); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.from, got, err, tt.want)
		}
	}
}

func TestCanonicalSender(t *testing.T) {
	r, path := newRouter(t, `INSERT INTO Canonical (cnAddress, cnTarget, cnMap) VALUES ('ann@new.vmail.example', 'Ann.Lee@new.vmail.example', 'sender_canonical'),
		('root', 'admin@host.example', 'canonical'), ('@old.example', '@new.example', 'canonical');`)
	for from, want := range map[string]string{"<>": "", "ann+x@new.vmail.example": "Ann.Lee+x@new.vmail.example", "root": "admin@host.example",
		"bob@old.example": "bob@new.example", "Bob@Else.example": "Bob@Else.example"} {
		if got, err := r.CanonicalSender(context.Background(), parse(t, from)); err != nil || got.Plain() != want {
			t.Errorf("%s: %s, %v; want %s", from, got.Plain(), err, want)
		}
	}
	other(t, path, `INSERT INTO Canonical (cnAddress, cnTarget) VALUES ('a@a.example', 'b@a.example'), ('b@a.example', 'a@a.example')`)
	if _, err := r.CanonicalSender(context.Background(), parse(t, "a@a.example")); !errors.Is(err, ErrAliasLoop) {
		t.Errorf("a circle: %v", err)
	}
}

func TestRowsActAtTheNextCall(t *testing.T) {
	r, path := newRouter(t)
	const to = "late@new.vmail.example"
	for _, step := range []struct{ rows, recipient, expand string }{
		{"", "virtual mailbox RC20 not in virtual mailbox table", `5.1.1 unknown user: "` + to + `"`},
		{add(to) + mailbox(to), "virtual mailbox RC20 listed", "/home/vmail/new.vmail.example/late/Mail 842:800"},
		{"UPDATE Address SET addRcNum=35 WHERE addLocalpart='late';", "virtual mailbox RC35 listed", "/home/vmail/new.vmail.example/late/Mail 842:800"},
		{"UPDATE Domain SET domClass=900 WHERE domName='new.vmail.example';", "virtual mailbox RC35 listed", "/home/vmail/new.vmail.example/late/Mail 900:800"},
		{"INSERT INTO Setting VALUES ('virtual_default_gid','700'),('virtual_mailbox_dir','Maildir'),('virtual_mailbox_home','mail/%d/%n');", "virtual mailbox RC35 listed", "/data/mail/new.vmail.example/late/Maildir 900:700"},
		{"UPDATE Domain SET domTpNum=7 WHERE domName='new.vmail.example';", "virtual mailbox RC35 listed", "lmtp:[store.example]:2424"},
		{"UPDATE Transport SET active=0 WHERE tpNum=7; UPDATE Domain SET domClass=2 WHERE domName='new.vmail.example';", "relay RC35 listed", "relay:new.vmail.example"},
		{"INSERT INTO RelayHost (rhNexthop) VALUES ('[smart.example]:587');", "relay RC35 listed", "relay:[smart.example]:587"},
		{"UPDATE Domain SET domClass=1 WHERE domName='new.vmail.example'; INSERT INTO Setting VALUES ('local_transport','lmtp:unix:/run/lmtp');", "local RC35 listed", "lmtp:[unix:/run/lmtp]"},
		{"INSERT INTO Setting VALUES ('local_recipient_maps','address');", "local RC35 listed", "lmtp:[unix:/run/lmtp]"},
		{"UPDATE Domain SET active=0 WHERE domName='new.vmail.example';", "external RC30 listed", "smtp:[smart.example]:587"},
		{"INSERT INTO Setting VALUES ('mydestination','new.vmail.example');", "external RC30 listed", "smtp:[smart.example]:587"},
	} {
		if step.rows != "" {
			other(t, path, step.rows)
		}
		p, err := r.Recipient(context.Background(), parse(t, to))
		if got := sayRecipient(p); err != nil || got != to+" "+step.recipient {
			t.Errorf("after %s: %v %s, want %s", step.rows, err, got, step.recipient)
		}
		if got := expand(t, r, to); got != to+": "+step.expand {
			t.Errorf("after %s: %s, want %s", step.rows, got, step.expand)
		}
	}
}

func TestLocalRecipientMaps(t *testing.T) {
	r, path := newRouter(t, add("listed@new.local.example"), add("sys@host.example"))
	for _, tt := range []struct {
		maps, to string
		want     bool
	}{
		{"unix:passwd.byname, $alias_maps", "one.user@new.local.example", true},
		{"proxy:unix:passwd.byname", "one.user@new.local.example", true},
		{"$alias_maps", "one.user@new.local.example", false},
		{"address", "one.user@new.local.example", false},
		{"address", "listed@new.local.example", true},
		{"address", "listed@host.example", false},
		{"address", "sys@new.local.example", false},
		{"", "whoever@new.local.example", true},
	} {
		other(t, path, "INSERT OR REPLACE INTO Setting VALUES ('local_recipient_maps', '"+tt.maps+"')")
		p, err := r.Recipient(context.Background(), parse(t, tt.to))
		if err != nil || p.Listed != tt.want {
			t.Errorf("%q, %s: %v, %v", tt.maps, tt.to, p.Listed, err)
		}
	}
	other(t, path, "INSERT OR REPLACE INTO Setting VALUES ('local_recipient_maps', 'ldap:users')")
	if _, err := r.Recipient(context.Background(), parse(t, "x@host.example")); err == nil || !strings.Contains(err.Error(), "ldap:users") {
		t.Errorf("an unknown map: %v", err)
	}
}

func TestAccount(t *testing.T) {
	r, _ := newRouter(t, add("ann@new.vmail.example", "active=0"), mailbox("ann@new.vmail.example"),
		add("ann@killed.example"), mailbox("ann@killed.example"),
		add("off@new.vmail.example"), mailbox("off@new.vmail.example", "active=0"),
		add("far@new.vmail.example"), mailbox("far@new.vmail.example", "vmHost='store2.example'"),
		add("box@host.example"), mailbox("box@host.example", "vmUid=2000"))
	for user, want := range map[string]string{
		"ANN@new.vmail.example": "/home/vmail/new.vmail.example/ann/Mail 842:800",
		"ann@killed.example":    "/home/vmail/killed.example/ann/Mail 842:800",
		"box@host.example":      "/home/vmail/host.example/box/Mail 2000:800",
		"one.user":              "/home/one/Maildir 1007:1008",
		"odd@user":              "/home/odd/Maildir 1009:1009",
		"off@new.vmail.example": "", "far@new.vmail.example": "", "eve@new.vmail.example": "", "eve": "", "": "", "@": "",
	} {
		b, err := r.Account(context.Background(), user)
		got := ""
		if b != nil {
			got = fmt.Sprintf("%s %d:%d", b.Mail, b.UID, b.GID)
		}
		if err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", user, got, err, want)
		}
	}
}

func TestUnreadableFileIsTemporary(t *testing.T) {
	r, _ := newRouter(t)
	r.d.Mail.Close()
	ctx := context.Background()
	_, err1 := r.Recipient(ctx, address.Address{Local: "a", Domain: "new.vmail.example"})
	_, err2 := r.Sender(ctx, address.Address{Local: "a", Domain: "new.vmail.example"})
	_, err3 := r.Expand(ctx, address.Address{Local: "a", Domain: "new.vmail.example"})
	_, err4 := r.Account(ctx, "a@new.vmail.example")
	_, _, err5 := r.Lookup(ctx, "mydestination", "host.example")
	for i, err := range []error{err1, err2, err3, err4, err5} {
		if err == nil {
			t.Errorf("call %d answers without a file", i+1)
		}
	}
}

func TestLike(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"%", "", true}, {"%", "abc", true}, {"a%", "ABC", true}, {"%c", "abc", true}, {"a%c", "abxc", true}, {"a%c", "abcx", false},
		{"_", "a", true}, {"_", "", false}, {"_", "é", true}, {"a_c", "abc", true}, {"%b%b%", "abab", true}, {"%b%b%", "ab", false},
		{"", "", true}, {"", "a", false}, {"sales-%", "sales", false}, {strings.Repeat("%a", 50) + "b", strings.Repeat("a", 500), false},
	} {
		if got := like(tt.pattern, tt.text); got != tt.want {
			t.Errorf("%q LIKE %q: %v", tt.text, tt.pattern, got)
		}
	}
}

func FuzzRecipient(f *testing.F) {
	for _, s := range []string{"ann@new.vmail.example", "ann+x@catchall.example", "root", "postmaster@host.example", `"a@b"@host.example`,
		"x@[127.0.0.1]", "x@[IPv6:::1]", "-@-", "a%b!c@new.relay.example", "@x", "x@.", "x@..routed.example", "%@new.vmail.example"} {
		f.Add(s)
	}
	r, _ := newRouter(f, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("@catchall.example"), valias("@catchall.example", "ann@new.vmail.example"), add("postmaster@host.example"), alias5("postmaster@host.example", "root, ann@new.vmail.example"),
		"INSERT INTO PatternAlias (paDomNum, paPattern, paTarget) SELECT domNum, '%x%y_', '@catchall.example' FROM Domain WHERE domName='new.vmail.example';")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := address.Parse(s)
		if err != nil || strings.HasPrefix(strings.ToLower(a.Local), "trouble") {
			return
		}
		ctx := context.Background()
		p, err := r.Recipient(ctx, a)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if p.Address.Domain == "" || p.Listed == (p.Table != "") || p.Class == schema.External && !p.Listed {
			t.Errorf("%q: %+v", s, p)
		}
		list, err := r.Expand(ctx, a)
		if errors.Is(err, ErrAliasLoop) && len(s) > 1000 { // virtual_alias_address_length_limit
			return
		}
		if err != nil || len(list) == 0 {
			t.Fatalf("%q: %d destinations, %v", s, len(list), err)
		}
		for _, d := range list {
			if d.Kind == Mailbox && !strings.HasPrefix(d.Box.Mail, "/home/") && d.Box.Mail != "/root/Maildir" {
				t.Errorf("%q: mailbox %s", s, d.Box.Mail)
			}
		}
	})
}

func BenchmarkRecipient(b *testing.B) {
	for name, to := range map[string]string{"mailbox": "ann+x@new.vmail.example", "unknown": "eve@new.vmail.example", "external": "bob@else.example"} {
		b.Run(name, func(b *testing.B) {
			r, _ := newRouter(b, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"))
			fixConfig(b, r)
			a := parse(b, to)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Recipient(context.Background(), a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fixConfig leaves reading the settings out of what is measured.
func fixConfig(b *testing.B, r *Router) {
	cfg, err := r.d.Config(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	r.d.Config = func(context.Context) (*Config, error) { return cfg, nil }
}

func BenchmarkExpand(b *testing.B) {
	r, _ := newRouter(b, add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"),
		add("info@new.alias.example"), valias("info@new.alias.example", "ann@new.vmail.example"))
	fixConfig(b, r)
	a := parse(b, "info@new.alias.example")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Expand(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
}
