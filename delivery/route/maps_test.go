package route

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestLookup(t *testing.T) {
	r, _ := newRouter(t,
		add("ann@new.vmail.example"), mailbox("ann@new.vmail.example"), add("Own@new.vmail.example", "addTpNum=13", "addRcNum=35"),
		mailbox("Own@new.vmail.example", "vmUid=1200", "vmGid=1300", "vmHome='/srv/own'"),
		add("off@new.vmail.example"), mailbox("off@new.vmail.example", "active=0"),
		add("R1@new.relay.example"), add("r2@new.relay.example", "active=0"), add("@new.relay.example"), add("r3@new.relay.example", "addTpNum=13"),
		add("info@new.alias.example"), valias("info@new.alias.example", "ann@new.vmail.example ext x"), valias("info@new.alias.example", "Own@new.vmail.example"),
		add("@catchall.example"), valias("@catchall.example", "ann@new.vmail.example"),
		add("sys@host.example", "addRcNum=10"), valias("sys@host.example", "ann@new.vmail.example"),
		add("postmaster@host.example"), alias5("postmaster@host.example", "root"), alias5("postmaster@host.example", "|/bin/true"),
		`INSERT INTO Relocated (rlAddress, rlTarget) VALUES ('moved@new.vmail.example', 'm@else.example');
		 INSERT INTO Canonical (cnAddress, cnTarget, cnMap) VALUES ('a@b.example', 'c@d.example', 'generic');
		 INSERT INTO SenderOwner (soAddress, soLogin) VALUES ('@new.vmail.example', 'ann@new.vmail.example'), ('@new.vmail.example', 'own@new.vmail.example');
		 INSERT INTO RelayHost (rhSender, rhNexthop, rhPasswd) VALUES ('@new.vmail.example', '[smart.example]:587', 'hush');
		 INSERT INTO TlsPolicy (tsNexthop, tsPolicy) VALUES ('else.example', 'encrypt');
		 INSERT INTO Bcc (bcMap, bcAddress, bcTarget) VALUES ('sender', 'ann@new.vmail.example', 'log@host.example');
		 INSERT INTO BScat (bsSender, bsPriority, bsTarget) VALUES ('<>', 2, 'z-two'), ('<>', 1, 'z-one');
		 INSERT INTO Access (acTable, acKey, acAction) VALUES ('helo', 'bad.example', 'REJECT go away');
		 INSERT INTO Access (acTable, acKey, acAction, acType) VALUES ('nets', '192.0.2.0/24', 'REJECT', 'cidr');`)
	for _, tt := range []struct{ table, key, want string }{
		{"mydestination", "Host.Example", "host.example"}, {"mydestination", "localhost", "localhost"}, {"mydestination", "new.relay.example", ""},
		{"dom-local.query", "new.local.example", "new.local.example"},
		{"relay_domains", "new.relay.example", "new.relay.example"}, {"relay_domains", "sub.new.relay.example", ""},
		{"virtual_alias_domains", "catchall.example", "catchall.example"},
		{"virtual_mailbox_domains", "new.vmail.example", "new.vmail.example"}, {"virtual_mailbox_domains", "killed.example", ""},
		{"relay_recipient_maps", "r1@new.relay.example", "4"}, {"relay_recipient_maps", "r2@new.relay.example", ""},
		{"relay_recipient_maps", "@new.relay.example", "6"}, {"relay_recipient_maps", "x@new.relay.example", ""},
		{"relay_recipient_maps", "ann@new.vmail.example", ""},
		{"local_recipient_maps", "One.User", "one.user"}, {"local_recipient_maps", "one.user@new.local.example", "one.user"}, {"local_recipient_maps", "eve", ""},
		{"alias_maps", "Postmaster", "root,|/bin/true"}, {"alias_maps", "eve", ""}, {"alias_maps", "info@new.alias.example", ""},
		{"virtual_alias_maps", "info@new.alias.example", "ann+x@new.vmail.example,Own@new.vmail.example"},
		{"maps-valias", "info+ext@new.alias.example", ""}, {"virtual_alias_maps", "@catchall.example", "ann@new.vmail.example"},
		{"virtual_alias_maps", "x@catchall.example", ""}, {"virtual_alias_maps", "sys@new.local.example", "ann@new.vmail.example"},
		{"virtual_alias_maps", "sys", "ann@new.vmail.example"}, {"virtual_alias_maps", "postmaster@host.example", ""},
		{"virtual_mailbox_maps", "Ann@new.vmail.example", "/home/vmail/new.vmail.example/ann/Mail/"}, {"virtual_mailbox_maps", "off@new.vmail.example", ""},
		{"virtual_uid_maps", "ann@new.vmail.example", "842"}, {"virtual_gid_maps", "ann@new.vmail.example", "800"},
		{"virtual_uid_maps", "own@new.vmail.example", "1200"}, {"virtual_gid_maps", "own@new.vmail.example", "1300"},
		{"transport_maps", "own@new.vmail.example", "smtp:[a.example]"}, {"transport_maps", "new.relay.example", ":mx.relay.example"},
		{"transport_maps", "r1@new.relay.example", ":mx.relay.example"}, {"transport_maps", "eve@new.relay.example", ""},
		{"transport_maps", "r3@new.relay.example", "smtp:[a.example]"}, {"transport_maps", ".routed.example", "lmtp:[store.example]:2424"},
		{"recipient_access", "own@new.vmail.example", "RC35-yourclass"}, {"recipient_access", "ann@new.vmail.example", "RC20-moderate"},
		{"recipient_access", "new.vmail.example", "RC20-moderate"}, {"access-rcpt", "x@catchall.example", "RC10-aggressive"},
		{"recipient_access", "sys@new.local.example", "RC10-aggressive"}, {"recipient_access", "x@else.example", ""},
		{"recipient_access", "host.example", "RC30-conservative"},
		{"rclass", "0", "RC00-reject"}, {"rclass", "99", ""}, {"rclass", "x", ""},
		{"relocated_maps", "Moved@new.vmail.example", "m@else.example"},
		{"smtp_generic_maps", "a@b.example", "c@d.example"}, {"canonical_maps", "a@b.example", ""},
		{"smtpd_sender_login_maps", "@new.vmail.example", "ann@new.vmail.example,own@new.vmail.example"},
		{"sender_dependent_relayhost_maps", "@new.vmail.example", "[smart.example]:587"},
		{"smtp_tls_policy_maps", "else.example", "encrypt"}, {"sender_bcc_maps", "ann@new.vmail.example", "log@host.example"},
		{"access-bscat", "<>", "z-one,z-two"},
		{"helo", "BAD.example", "REJECT go away"}, {"helo", "good.example", ""},
	} {
		got, found, err := r.Lookup(context.Background(), tt.table, tt.key)
		if err != nil || got != tt.want || found != (tt.want != "") {
			t.Errorf("%s %s: %q, %v, %v; want %q", tt.table, tt.key, got, found, err, tt.want)
		}
	}
	if _, _, err := r.Lookup(context.Background(), "nonsense", "x"); !errors.Is(err, ErrNoMap) {
		t.Errorf("a table that is not there: %v", err)
	}
	if _, _, err := r.Lookup(context.Background(), "nets", "192.0.2.1"); err == nil || errors.Is(err, ErrNoMap) || !strings.Contains(err.Error(), "cidr") {
		t.Errorf("a table of networks: %v", err)
	}
}

func TestMapsAnswer(t *testing.T) {
	r, _ := newRouter(t)
	names := r.Maps()
	if !slices.IsSorted(names) || len(names) < 20 {
		t.Errorf("maps %v", names)
	}
	for _, name := range names {
		for _, key := range []string{"", "@", "x", "x@", "@x", "a@b@c", strings.Repeat("k", 3000)} {
			if _, _, err := r.Lookup(context.Background(), name, key); err != nil {
				t.Errorf("%s %q: %v", name, key, err)
			}
		}
	}
}
