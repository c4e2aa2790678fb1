package main

import (
	"bytes"
	"context"
	"flag"
	"strings"
	"testing"

	"mailserver/internal/testenv"
	"mailserver/schema"

	"mailserver/internal/server"
)

// sampleDir makes a data directory with the sample rows.
func sampleDir(t *testing.T) string {
	t.Helper()
	dir := testenv.Dir(t)
	err := server.Create(context.Background(), server.Plan{Dir: dir, Hostname: "mx.example", Postmaster: "joe@vmail.example", Sample: true,
		Settings: server.OwnMail(), Listeners: server.StandardListeners(20000)})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a command line on a data directory.
func run(t *testing.T, dir, in string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{in: strings.NewReader(in), out: &stdout, err: &stderr}
	code = a.main(context.Background(), append(args, "--data", dir))
	return code, stdout.String(), stderr.String()
}

func TestHelpTakesData(t *testing.T) {
	for line, want := range map[string]string{"help --data /x": "queue list", "--data=/x help queue": "queue retry", "help queue list --data /x": "queue list"} {
		var out bytes.Buffer
		a := &app{out: &out, err: &out}
		if code := a.main(context.Background(), strings.Fields(line)); code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d\n%s", line, code, out.String())
		}
	}
}

func TestDataBeforeTheCommand(t *testing.T) {
	dir := sampleDir(t)
	for _, args := range [][]string{{"--data", dir, "domain", "list"}, {"--data=" + dir, "domain", "list"}} {
		var stdout, stderr bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &stdout, err: &stderr}
		if code := a.main(context.Background(), args); code != 0 || !strings.Contains(stdout.String(), "vmail.example") {
			t.Errorf("%q: exit %d\n%s%s", args, code, stdout.String(), stderr.String())
		}
	}
}

// TestCommandLines runs lines one after another on one data directory.
func TestCommandLines(t *testing.T) {
	dir := sampleDir(t)
	lines := []struct {
		line string
		in   string
		code int
		want string // in standard output, or in standard error of a failure
	}{
		{"domain list", "", 0, "vmail.example     mailbox 842  yes"},
		{"domain add new.example --rclass moderate", "", 0, ""},
		{"domain show new.example", "", 0, "mailbox 842"},
		{"alias show postmaster@new.example", "", 0, "postmaster@mx.example"},
		{"domain show new.example --json", "", 0, `"class":842`},
		{"domain add new.example --class relay", "", exitCantCreate, "exists already"},
		{"domain add --class relay --nexthop [10.0.0.5]:26 far.example", "", 0, ""},
		{"domain show far.example", "", 0, ":[10.0.0.5]:26"},
		{"lookup transport_maps far.example", "", 0, ":[10.0.0.5]:26"},
		{"domain set far.example --transport lmtp:in.example:24", "", 0, ""},
		{"domain show far.example", "", 0, "lmtp:in.example:24"},
		{"domain set far.example --class planet", "", exitUsage, "is no class"},
		{"domain set far.example --rclass 77", "", exitNoUser, "no such row"},
		{"domain set gone.example --rclass 20", "", exitNoUser, "no such row"},
		{"domain rm new.example", "", exitData, "Address postmaster@new.example"},
		{"domain rm mx.example", "", exitData, "$myhostname"},
		{"domain rm new.example --recursive", "", exitUsage, "say --yes"},

		{"mailbox add max@new.example --password-stdin --quota 500M", "s3cret\n", 0, ""},
		{"mailbox list new.example", "", 0, "max@new.example  yes     yes   yes    BLF-CRYPT  500M"},
		{"mailbox add max@new.example --password-stdin", "x\n", exitCantCreate, "exists already"},
		{"import imap imaps://joe:pw@x.example -u joe@vmail.example", "", exitUsage, "--password-stdin"},
		{"import imap imaps://joe@x.example -u joe@vmail.example", "", exitUsage, "--password-stdin"},
		{"import maildir /nonexistent", "", exitUsage, "-u"},
		{"import maildir /nonexistent -u joe@vmail.example", "", exitNoInput, "no Maildir"},
		{"import mbox /nonexistent -u joe@vmail.example", "", exitNoInput, "no such file"},
		{"import dovecot /nonexistent -u joe@vmail.example", "", exitNoInput, "no Maildir"},
		{"import mbox /dev/null -u nobody@vmail.example", "", exitNoUser, "no such user"},
		{"export imap imaps://joe@x.example -u joe@vmail.example", "", exitUsage, "--password-stdin"},
		{"mailbox add max@nowhere.example --password-stdin", "x\n", exitNoUser, "domain nowhere.example"},
		{"mailbox add eve@alias.example --password-stdin", "x\n", exitData, "domain set alias.example --class mailbox"},
		{"mailbox add eve@local.example --password-stdin", "x\n", exitUsage, "--uid"},
		{"mailbox add eve@new.example --password-stdin --scheme ROT13", "x\n", exitUsage, "ROT13"},
		{"mailbox show max@new.example", "", 0, "mail/new.example/max/Mail"},
		{"mailbox set max@new.example --quota 1G --active no", "", 0, ""},
		{"mailbox list new.example --json", "", 0, `"quota":1073741824`},
		{"route max@new.example", "", 0, "User unknown in virtual mailbox table"},
		{"mailbox set max@new.example --active yes", "", 0, ""},
		{"route max@new.example --json", "", 0, `"kind":"mailbox"`},

		{"alias add both@new.example max@new.example ann@elsewhere.test", "", 0, ""},
		{"alias list new.example", "", 0, "ann@elsewhere.test"},
		{"lookup virtual_alias_maps both@new.example", "", 0, "max@new.example,ann@elsewhere.test"},
		{"lookup virtual_alias_maps nobody@new.example", "", exitNotFound, ""},
		{"lookup no_such_map x", "", exitUsage, "no such table"},
		{"alias set both@new.example ann@elsewhere.test --active no", "", 0, ""},
		{"lookup virtual_alias_maps both@new.example", "", 0, "max@new.example\n"},
		{"alias rm both@new.example nobody@new.example", "", exitNoUser, "no such row"},
		{"address rm max@new.example", "", exitData, "VAlias from both@new.example"},
		{"alias rm both@new.example", "", 0, ""},
		{"address rm both@new.example", "", 0, ""},
		{"alias add staff :include:/etc/staff joe@vmail.example", "", 0, ""},
		{"alias show staff", "", 0, ":include:/etc/staff"},
		{"alias add x@new.example /var/mail/x", "", exitUsage, "only a name of this host"},

		{"address add @new.example --rclass open", "", 0, ""},
		{"address set max@new.example --login no", "", 0, ""},
		{"address list new.example", "", 0, "no log-in"},
		{"address set max@new.example --mail no --login no", "", exitUsage, "mailbox set --active no"},
		{"address show max@new.example", "", 0, "VMailbox"},
		{"address add nonsense@", "", exitUsage, "is not an address"},
		{"queue requeue ALL", "", exitUsage, `"requeue" is "retry" here; say one of list`},
		{"domain delete x.example", "", exitUsage, `"delete" is "rm" here`},
		{"queue frobnicate", "", exitUsage, `there is no "frobnicate"; say one of`},
		{"queue", "", exitUsage, "queue: say one of list"},
		{"address add x@exa..mple", "", exitData, `"exa..mple" is no domain`},
		{"address add \"x\"@new.example", "", exitData, "write what is between them"},
		{"alias add a@new.example b@-x.example", "", exitData, `"-x.example" is no domain`},
		{"alias add a@new.example b\x01@new.example", "", exitData, "what no address can"},
		{"mailbox add @new.example --password-stdin", "x\n", exitUsage, "alias add @new.example USER@new.example"},
		{"mailbox add a/b@new.example --password-stdin", "x\n", exitUsage, "say --home"},
		{"mailbox add a/b@new.example --password-stdin --home ab", "x\n", 0, ""},
		{"mailbox rm a/b@new.example --yes", "", 0, ""},
		{"domain add a@b.example", "", exitData, `"a@b.example" is no domain`},
		{"domain add .foo", "", exitData, "is no domain"},
		{"domain add 192.0.2.1", "", exitData, "is no domain"},
		{"domain add .below.example --class relay --nexthop [192.0.2.7]", "", 0, ""},
		{"address add @.below.example", "", 0, ""},
		{"route x@a.below.example", "", 0, "relay:[192.0.2.7]"},
		{"lookup relay_domains below.example", "", exitNotFound, ""},
		{"domain add .routed.example --class external --nexthop [192.0.2.8]", "", 0, ""},
		{"route x@a.routed.example", "", 0, "[192.0.2.8]"},
		{"domain add [192.0.2.1] --class local", "", 0, ""},
		{"domain add bücher.example", "", 0, ""},
		{"dns show bücher.example --address 192.0.2.1", "", 0, "xn--bcher-kva.example.\tIN\tMX"},

		{"class add 35 yours --list reject_non_fqdn_sender,permit --text go", "", 0, ""},
		{"class show RC35-yours", "", 0, "reject_non_fqdn_sender"},
		{"class add 100 over --list permit", "", exitUsage, "no number from 0 to 99"},
		{"class add z-mine --list z-common", "", 0, ""},
		{"class rm z-common", "", exitData, "Restriction z-mine"},
		{"address set max@new.example --rclass yours", "", 0, ""},
		{"class rm RC35-yours", "", exitData, "Address max@new.example"},
		{"class list", "", 0, "RC99-open"},
		{"limit set ann@x.example --hour 20", "", 0, ""},
		{"limit list", "", 0, "ann@x.example"},
		{"limit reset ann@x.example", "", 0, ""},
		{"limit rm ann@x.example", "", 0, ""},
		{"limit set ann@x.example", "", 64, "say --hour or --day"},
		{"greylist list --json", "", 0, "[]"},
		{"greylist forget ALL", "", 0, "0 forgotten"},
		{"dmarc list --day 2026-11-20 --json", "", 0, "[]"},
		{"dmarc list --day x", "", 64, "is no date"},
		{"dmarc report nowhere.example", "", 67, "no such row"},
		{"trace --since 1h --json", "", 0, "[]"},
		{"trace", "", 64, "say a queue ID"},
		{"trace --since soon", "", 64, "neither a span"},

		{"config set message_size_limit=20M smtpd_helo_required=yes", "", 0, ""},
		{"config set smtpd_recipient_restrictions=permit_foo,reject_unauth_destination", "", exitConfig, "permit_foo: is neither a restriction"},
		{"config set smtpd_client_restrictions=z-common", "", 0, ""},
		{"config unset smtpd_client_restrictions", "", 0, ""},
		{"config get message_size_limit", "", 0, "message_size_limit = 20M"},
		{"config list -n", "", 0, "smtpd_helo_required = yes"},
		{"config list -d", "", 0, "smtpd_helo_required = no"},
		{"config set message_size_limt=20M", "", exitConfig, "message_size_limt"},
		{"config set smtpd_helo_required=maybe", "", exitConfig, "neither yes nor no"},
		{"config set smtpd_recipient_limit=0", "", exitConfig, "smtpd_recipient_limit: value out of range"},
		{"config set mynetworks=foo", "", exitConfig, `mynetworks: "foo" is neither a network nor a host`},
		{"config set mynetworks=10.0.0.1/8", "", exitConfig, `non-null host address bits in "10.0.0.1/8", perhaps you should use "10.0.0.0/8" instead`},
		{"config set log_format=xml", "", exitConfig, `log_format: "xml" is none of syslog, json, logfmt`},
		{"config set ssl_min_protocol=SSLv3", "", exitConfig, "none of TLSv1.2, TLSv1.3"},
		{"config set smtp_tls_security_level=maybe", "", exitConfig, `TLS security level "maybe" is not supported`},
		{"config set default_pass_scheme=NONE", "", exitConfig, "default_pass_scheme"},
		{"config set local_recipient_maps=hash:/etc/x", "", exitConfig, "hash:/etc/x is not known here"},
		{"config set inet_protocols=ipx", "", exitConfig, `inet_protocols: "ipx" is none of all, ipv4, ipv6`},
		{"config set auth_mechanisms=gssapi", "", exitConfig, `"gssapi" is not implemented`},
		{"config set default_process_limit=0", "", exitConfig, "default_process_limit: is less than 1"},
		{"config set reject_code=250", "", exitConfig, "reject_code: is less than 400"},
		{"config set smtp_tls_CAfile=/etc/ssl/certs/ca-certificates.crt", "", 0, ""},
		{"config set notify_classes=bounce,protocol", "", exitConfig, `"protocol" is none of bounce, 2bounce`},
		{"config set smtp_sasl_security_options=nodictionary", "", exitConfig, `"nodictionary" is none of noplaintext, noanonymous`},
		{"config set inet_protocols=IPv4", "", 0, ""},
		{"config unset inet_protocols", "", 0, ""},
		{"config unset smtpd_helo_required", "", 0, ""},
		{"config unset smtpd_helo_required", "", exitNoUser, "no such row"},

		{"pw verify {PLAIN}abc", "abc\n", 0, "verified"},
		{"pw verify {PLAIN}abc", "abd\n", exitNotFound, "wrong"},
		{"pw hash --scheme SSHA512", "abc\n", 0, "{SSHA512}"},
		{"pw hash", "\n", exitUsage, "no password"},

		{"queue list", "", 0, "Mail queue is empty"},
		{"queue show 4F3A21", "", exitNoUser, "4F3A21"},
		{"queue delete ALL", "", exitUsage, "say --yes"},
		{"queue retry ALL", "", 0, "0 recipients"},

		{"domain disable new.example --logins", "", 0, "1 log-ins changed"},
		{"check", "", 0, "nothing is wrong"},
		{"mailbox rm max@new.example --purge --yes", "", exitData, "mailbox set max@new.example --active yes"},
		{"domain enable new.example --logins", "", 0, "1 log-ins changed"},
		{"mailbox rm max@new.example --purge --yes", "", 0, ""},
		{"domain rm new.example --recursive --yes", "", 0, ""},
		{"version", "", 0, "mailserver"},
		{"nonsense", "", exitUsage, "no command"},
		{"domain", "", exitUsage, "say one of"},
		{"domain show", "", exitUsage, "use: mailserver domain show NAME"},
		{"domain list --nonsense", "", exitUsage, "nonsense"},
	}
	for _, l := range lines {
		code, out, errs := run(t, dir, l.in, strings.Fields(l.line)...)
		said := out
		if code != 0 && !strings.Contains(out, l.want) {
			said = errs
		}
		if code != l.code || !strings.Contains(said, l.want) {
			t.Errorf("%s\nexit %d, want %d; want in the output: %q\n%s%s", l.line, code, l.code, l.want, out, errs)
		}
	}
}

// TestWrongSettingThatStands: to set a wrong value again fails, to set another
// setting beside it does not, and a right value mends it.
func TestWrongSettingThatStands(t *testing.T) {
	dir := sampleDir(t)
	if err := schema.Script(context.Background(), server.MailFile(dir), `INSERT INTO Setting VALUES ('smtpd_helo_required', 'maybe'), ('smtpd_nonsense', '1')`); err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		line, want string
		code       int
	}{
		{"config set smtpd_helo_required=maybe", "neither yes nor no", exitConfig},
		{"config set SMTPD_HELO_REQUIRED=maybe", "neither yes nor no", exitConfig},
		{"config set message_size_limit=20M smtpd_helo_required=maybe", "neither yes nor no", exitConfig},
		{"config set smtpd_nonsense=1", "smtpd_nonsense", exitConfig},
		{"config get -h message_size_limit", "10240000", 0}, // nothing of a line that fails
		{"config set message_size_limit=30M", "", 0},
		{"config set smtpd_helo_required=yes", "", 0},
		{"config unset smtpd_nonsense", "", 0},
		{"config set smtpd_helo_required=yes", "", 0},
	} {
		code, out, errs := run(t, dir, "", strings.Fields(l.line)...)
		if code != l.code || !strings.Contains(out+errs, l.want) {
			t.Errorf("%s\nexit %d, want %d, and %q\n%s%s", l.line, code, l.code, l.want, out, errs)
		}
	}
}

func TestCheckFindsFaults(t *testing.T) {
	dir := sampleDir(t)
	if err := schema.Script(context.Background(), server.MailFile(dir), `
		INSERT INTO Setting VALUES ('smtpd_nonsense', '1');
		DELETE FROM Address WHERE addLocalpart = 'joe';
		INSERT INTO Restriction (rsName, rsList) VALUES ('RC77-bad', 'reject_everything_odd');
		INSERT INTO RClass VALUES (77, 'bad');
		UPDATE Domain SET domRcNum = 77 WHERE domName = 'vmail.example';
		INSERT INTO Listener (lsProtocol, lsAddress) VALUES ('lmtp', ':20024'), ('managesieve', ':24190');
		INSERT INTO Cert (ctHostname, ctCertFile, ctKeyFile) VALUES ('gone.example', 'no.crt', 'no.key');`); err != nil {
		t.Fatal(err)
	}
	code, out, _ := run(t, dir, "", "check")
	if code != exitConfig {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{"smtpd_nonsense", "DELETE FROM VMailbox WHERE vmNum=", "reject_everything_odd", "LMTP trusts", "managesieve", "gone.example"} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not say %q:\n%s", want, out)
		}
	}
	code, out, _ = run(t, dir, "", "check", "--json")
	if code != exitConfig || !strings.HasPrefix(out, "[{") || !strings.HasSuffix(out, "]\n") {
		t.Errorf("exit %d, JSON %s", code, out)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range commands() {
		if c.about == "" || c.setup == nil {
			t.Errorf("%s has no help or does nothing", c.name)
			continue
		}
		if c.setup(flag.NewFlagSet(c.name, flag.ContinueOnError)) == nil {
			t.Errorf("%s does nothing", c.name)
		}
		var out bytes.Buffer
		a := &app{out: &out, err: &out}
		if code := a.main(context.Background(), append([]string{"help"}, strings.Fields(c.name)...)); code != 0 || !strings.Contains(out.String(), c.name) {
			t.Errorf("help %s: exit %d\n%s", c.name, code, out.String())
		}
	}
}

func TestParseTransport(t *testing.T) {
	for text, want := range map[string]schema.TransportSpec{
		"smtp:[mx.example]:25": {Name: "smtp", Nexthop: "mx.example", Port: 25},
		":mx.example":          {Nexthop: "mx.example", MX: true},
		"lmtp:":                {Name: "lmtp", MX: true},
		"relay:a.example:2525": {Name: "relay", Nexthop: "a.example", MX: true, Port: 2525},
		"smtp:[2001:db8::1]":   {Name: "smtp", Nexthop: "2001:db8::1"},
	} {
		if got, err := parseTransport(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"smtp", "smtp:[a]b", "smtp:a:0", "smtp:a:99999", "smtp:[a]:x"} {
		if got, err := parseTransport(bad); err == nil {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}
