package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mailserver/internal/testenv"
)

// oldHost are the tables of a Postfix as people have them.
var oldHost = map[string]string{
	"vmailbox":      "# mailboxes\njoe@vm.example   vm.example/joe/\nann@vm.example   vm.example/ann/\nmoved@vm.example vm.example/moved/\nstrict@vm.example vm.example/strict/\nquiet@vm.example vm.example/quiet/\n",
	"virtual":       "al.example  anything\ninfo@al.example  joe@vm.example,\n   ann@vm.example\nsales@vm.example root\n@catch.example   joe@vm.example\ncatch.example any\nboss@vm.example  ann@vm.example\n@old.example @vm.example\nold.example  -\npat.example  -\nre.example  -\nloop1@al.example loop2@al.example\nloop2@al.example loop1@al.example\n",
	"virtual_re":    "/^team.*@vm\\.example$/ ann@vm.example\n/^(.+)@re\\.example$/ ${1}@vm.example\n/@pat\\.example$/ joe@vm.example, ann@vm.example\n",
	"ways_re":       "/@(.*\\.)?away\\.example$/ error:5.7.1 not from here\n",
	"aliases":       "postmaster: root\nlist: joe@vm.example, ann@vm.example\n\"quoted\": root\n",
	"relays":        "rel.example OK\n",
	"relayto":       "u@rel.example x\nerr@rel.example x\nlater@rel.example x\nknown@in.rel.example x\n",
	"transport":     "err@rel.example error:5.7.1 not taken here\nlater@rel.example retry:4.3.2 come back\nrel.example smtp:[127.0.0.1]:1\n.far.example discard:\n",
	"relocated":     "moved@vm.example new@there.example\n@gone.example nobody\n",
	"access":        "spam.example REJECT no spam\nuser@bad.example 550 5.7.9 go away\n<> DUNNO\nwait.example DEFER_IF_PERMIT 4.7.9 wait\nclass@c.example z-strict\n",
	"clients":       "127.0.0.66 REJECT not you\n127.0.0.67/32 450 4.2.1 later\nif 127.0.0.0/8\n!127.0.0.64/26 DUNNO\n127.0.0.68 REJECT within\nendif\n",
	"senders":       "/^(.*)@pills\\.example$/ REJECT no pills of $1\n!/@/ DUNNO\nif /@two\\.example$/\n/^a@/ REJECT a of two\nendif\n",
	"classes":       "strict@vm.example RC11-strict\nquiet@vm.example RC12-quiet\nvm.example RC13-usual\n",
	"header_checks": "/^Subject: .*pills/ REJECT no pills in subjects\n/^X-Hold: yes/ WARN held\n",
	"canonical":     "oldname@vm.example joe@vm.example\n",
}

const oldMain = `smtpd_peername_lookup = no
mydomain = old.host.example
mynetworks = 127.0.0.1/32
conf = texthash:%[1]s
mydestination = $myhostname, local.example
local_recipient_maps = $alias_maps, inline:{ root=x }
alias_maps = hash:%[1]s/aliases
virtual_mailbox_domains = vm.example, gone.example
virtual_mailbox_maps = $conf/vmailbox
virtual_mailbox_base = %[1]s/vmail
virtual_uid_maps = static:%[2]d
virtual_gid_maps = static:%[2]d
virtual_minimum_uid = 100
virtual_transport = virtual
virtual_alias_maps = $conf/virtual, regexp:%[1]s/virtual_re
relay_domains = $conf/relays
relay_recipient_maps = $conf/relayto
relay_transport = relay
transport_maps = $conf/transport, regexp:%[1]s/ways_re
relocated_maps = $conf/relocated
canonical_maps = $conf/canonical
header_checks = regexp:%[1]s/header_checks
recipient_delimiter = -
message_size_limit = ${big?{100000}:{20000}}
smtpd_helo_required = yes
disable_vrfy_command = yes
strict_rfc821_envelopes = yes
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_banner = $myhostname ESMTP at ${mydomain}
smtpd_reject_footer = \c. Ask us, $client_name
smtpd_restriction_classes = z-strict, z-quiet, RC11-strict, RC12-quiet, RC13-usual
z-strict = reject_non_fqdn_helo_hostname, check_sender_access $conf/access, defer
z-quiet = warn_if_reject reject
RC11-strict = z-strict
RC12-quiet = z-quiet,
    permit
RC13-usual = reject_non_fqdn_sender,
  # a comment within
  check_sender_access inline:{ inline.example=REJECT, {two.inline.example = 550 5.7.2 two words} }
smtpd_client_restrictions = check_client_access cidr:%[1]s/clients
smtpd_sender_restrictions = permit_mynetworks, check_sender_access $conf/access, check_sender_access regexp:%[1]s/senders
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_recipient_restrictions =
  permit_mynetworks
  check_recipient_access $conf/classes
smtpd_data_restrictions = reject_unauth_pipelining, reject_multi_recipient_bounce
mua_list = permit_sasl_authenticated, reject
smtp_tls_security_level = may
bounce_queue_lifetime = 1d
maximal_queue_lifetime = 3d
delay_warning_time = 4h
biff = no
my_own_word = nobody asks
tcp_windowsize = 65536
`

// sayEarlier puts a line before all others of a file.
func sayEarlier(t *testing.T, path, line string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append([]byte(line), text...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestImportPostfix brings the configuration of a running Postfix here. This
// server then answers as that Postfix did.
func TestImportPostfix(t *testing.T) {
	files := testenv.Dir(t)
	if err := os.Chmod(files, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range oldHost {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mustOutside(t, "", "postalias", "hash:"+filepath.Join(files, "aliases"))
	uid := 5000
	vmail := filepath.Join(files, "vmail")
	if err := os.Mkdir(vmail, 0o755); err != nil {
		t.Fatal(err)
	}
	os.Chown(vmail, uid, uid)
	second := freeBase(t) + 587
	port, dir := startPostfix(t, fmt.Sprintf(oldMain, files, uid),
		fmt.Sprintf("127.0.0.1:%d inet n - n - - smtpd\n  -o syslog_name=postfix/submission\n  -o smtpd_client_restrictions=$mua_list -o smtpd_helo_restrictions= -o smtpd_sender_restrictions=\n"+
			"  -o { smtpd_recipient_restrictions = check_recipient_access $conf/classes, permit } -o smtpd_relay_restrictions=permit_sasl_authenticated,reject\n", second),
		"virtual unix - n n - - virtual\nlocal unix - n n - - local\nrelay unix - - n - - smtp\nerror unix - - n - - error\nretry unix - - n - - error\n",
		"scan unix - n n - 7 pipe\n  flags=Rq user=nobody argv=/bin/true -f ${sender} -- ${recipient}\n")
	mx, mua := fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", second)
	want := map[string]string{}
	for _, c := range postfixProbes() {
		want[c.name] = c.dialog(t, mx, c.from)
	}
	said := dialogCase{say: [][]string{{"EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<joe@vm.example>", "QUIT"}}}
	wantMUA := said.dialog(t, mua, net.IPv4(127, 0, 0, 1))
	waitFor(t, "mail of Postfix", func() bool { return count(vmail+"/vm.example/joe/new") > 0 })
	mustOutside(t, "", "postfix", "-c", filepath.Join(dir, "etc"), "stop")
	sayEarlier(t, filepath.Join(dir, "etc", "main.cf"), "mydestination = earlier.example\n")
	before := count(vmail + "/vm.example/joe/new")

	h := &host{t: t, dir: filepath.Join(testenv.Dir(t), "data"), base: freeBase(t), log: new(syncBuffer)}
	h.mustRun("init", "--hostname", "mx.example", "--port-base", fmt.Sprint(h.base), "--own-mail")
	t.Cleanup(h.stop)
	dry := h.mustRun("import", "postfix", filepath.Join(dir, "etc"), "--dry-run")
	if out := h.mustRun("domain", "list"); strings.Contains(out, "vm.example") {
		t.Errorf("the dry run has changed rows:\n%s", out)
	}
	report := h.mustRun("import", "postfix", filepath.Join(dir, "etc"))
	if strings.TrimSpace(report) != strings.TrimSuffix(strings.TrimSpace(dry), ", nothing was changed") {
		t.Errorf("the import said\n%s\nthe dry run\n%s", report, dry)
	}
	checkReport(t, report)
	if again := h.mustRun("import", "postfix", filepath.Join(dir, "etc")); again != report {
		t.Errorf("the second time:\n%s", difference(report, again))
	}
	if out := h.mustRun("lookup", "transport_maps", "rel.example"); strings.TrimSpace(out) != "smtp:[127.0.0.1]:1" {
		t.Errorf("transport: %s", out)
	}
	h.start()
	for _, c := range postfixProbes() {
		if got := c.dialog(t, mx, c.from); got != want[c.name] {
			t.Errorf("%s:\n%s\nPostfix had said\n%s", c.name, got, want[c.name])
		}
	}
	if got := said.dialog(t, mua, net.IPv4(127, 0, 0, 1)); got != wantMUA {
		t.Errorf("submission:\n%s\nPostfix had said\n%s", got, wantMUA)
	}
	waitFor(t, "mail in the Maildir that Postfix had", func() bool { return count(vmail+"/vm.example/joe/new") > before })
}

// checkReport looks for what must be said of single lines.
func checkReport(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{
		`virtual_mailbox_maps: taken: 5 entries of texthash:`, `virtual_mailbox_maps: not taken: the passwords of 5 mailboxes`,
		`my_own_word: not taken: Postfix has no such parameter`, `tcp_windowsize: not taken: there is no such setting`, `biff: needless: `,
		`conf: taken: where other lines name it`, `RC11-strict: taken: restriction class, number 11`, `z-quiet: taken`,
		`scan unix: taken: row of Pipe`, `inet: taken: listener submission at 127.0.0.1:`, `inet: taken: listener mx at 127.0.0.1:`,
		`clients: cidr:`, `mydestination: needless: a later line says it anew`, `header_checks: taken: 2 entries`,
		`: taken: row of PatternAlias: team%@vm.example`, `: taken: alias of the domain re.example, which keeps the local part`, `: taken: transport of away.example and .away.example`,
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	for line := range strings.Lines(report) {
		if strings.Contains(line, ": not taken: ") && !regexp.MustCompile(`my_own_word|tcp_windowsize|passwords of|command_directory|subdomains`).MatchString(line) {
			t.Errorf("not expected: %s", line)
		}
	}
}

func count(dir string) int {
	list, _ := os.ReadDir(dir)
	return len(list)
}

// postfixProbes are sessions of strangers and neighbours.
func postfixProbes() []struct {
	dialogCase
	from net.IP
} {
	type probe = struct {
		dialogCase
		from net.IP
	}
	var list []probe
	stranger, neighbour := net.IPv4(127, 0, 0, 5), net.IPv4(127, 0, 0, 1)
	add := func(name string, from net.IP, lines ...string) {
		list = append(list, probe{dialogCase{name: name, say: [][]string{append(lines, "QUIT")}}, from})
	}
	var rcpts []string
	for _, to := range strings.Fields("joe@vm.example ANN@VM.EXAMPLE nobody@vm.example strict@vm.example quiet@vm.example joe-ext@vm.example sales@vm.example boss@vm.example moved@vm.example " +
		"info@al.example none@al.example any.body@catch.example joe@old.example nobody@old.example loop1@al.example u@rel.example nobody@rel.example err@rel.example later@rel.example " +
		"x@elsewhere.example root@local.example list@local.example quoted@front.example nobody@local.example postmaster postmaster@front.example x@gone.example oldname@vm.example " +
		"teamwork@vm.example TEAM@vm.example myteam@vm.example joe@re.example nobody@re.example any@pat.example x@away.example x@in.away.example x@faraway.example u@in.rel.example known@in.rel.example u@deep.in.rel.example u@notrel.example") {
		rcpts = append(rcpts, "RCPT TO:<"+to+">")
	}
	for _, who := range []struct {
		name string
		ip   net.IP
	}{{"stranger", stranger}, {"neighbour", neighbour}} {
		for _, from := range []string{"a@c.example", "", "x@spam.example", "user@bad.example", "x@wait.example", "class@c.example", "joe@pills.example", "a@two.example", "b@two.example", "bare", "x@inline.example", "x@two.inline.example"} {
			add(who.name+" from "+from, who.ip, append([]string{"EHLO c.example", "MAIL FROM:<" + from + ">"}, rcpts...)...)
		}
		add(who.name+" commands", who.ip, "MAIL FROM:<a@c.example>", "VRFY joe@vm.example", "HELO c", "MAIL FROM:<a@c.example>", "RCPT TO:<strict@vm.example>", "RCPT TO:<joe@vm.example>", "DATA", "Subject: cheap pills\r\n\r\nx\r\n.")
		add(who.name+" size", who.ip, "EHLO c.example", "MAIL FROM:<a@c.example> SIZE=30000")
		add(who.name+" mail", who.ip, "EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<joe@vm.example>", "DATA", "Subject: hello\r\nX-Hold: yes\r\n\r\nx\r\n.")
	}
	for _, n := range []byte{66, 67, 68, 70, 130} {
		add(fmt.Sprintf("client %d", n), net.IPv4(127, 0, 0, n), "EHLO c.example", "MAIL FROM:<a@c.example>", "RCPT TO:<joe@vm.example>")
	}
	add("bounce to two", stranger, "EHLO c.example", "MAIL FROM:<>", "RCPT TO:<joe@vm.example>", "RCPT TO:<ann@vm.example>", "DATA")
	return list
}
