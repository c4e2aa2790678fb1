package policy_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"mailserver/internal/testport"
	"mailserver/policy"
	"mailserver/schema"
)

// A side-by-side test: the same lists and rows are given to Postfix and to the
// engine, the same probes go to both, and the replies must be the same. It
// needs Postfix installed, root to start it, and is left out otherwise.

// peerCase is a configuration and what is asked of it.
type peerCase struct {
	name   string
	set    map[string]string // settings, by their name without smtpd_ and _restrictions
	probes []probe
}

// probe is one session.
type probe struct {
	addr, host, reverse string // of the client; '' as strangerProbe
	helo                string
	login               string
	from                string
	to                  []string
	data                bool
}

// peerTables are access tables of both: rows "key action".
var peerTables = map[string][]string{
	"clients": {"192.0.2.66 REJECT not you", "spam.example REJECT 5.7.25 whole domain", "192.0.2.67 DEFER_IF_PERMIT maybe", "192.0.2.68 DEFER_IF_REJECT", "198.51 450 4.2.1 net", "unknown REJECT nameless"},
	"helos":   {"bad.example REJECT", "mx.bad.example OK", "[192.0.2.9] 550 literal", "192.0.2.9 521 5.1.1 number"},
	"senders": {"<> DEFER null", "user@bad.example REJECT 5.1.1 user", "bad.example 554 5.1.2 domain", "user@ REJECT any user", "ext@plus.example REJECT no extension", "class@x.example z-two", "list@x.example permit_mynetworks, reject", "ok@x.example OK", "num@x.example 12345", "deep@x.example z-deep",
		"loop@x.example z-loop1", "junk@x.example nonsense", "map@x.example hash:junk", "dip@x.example DEFER_IF_PERMIT 4.7.9 wait", "dir@x.example DEFER_IF_REJECT 4.7.8 hmm", "only@x.example 550", "text@x.example 550 no such code", "warn@x.example WARN look"},
	"rcpts": {"u@here.example REJECT closed", "relay.example 450 4.1.7 relay is down", "a@here.example OK", "b@here.example DUNNO", "c@here.example REJECT 4.1.8 strange code", "d@here.example 599 5.9.9 x"},
}

// peerPatterns are cidr and regexp tables, as files of Postfix have them.
var peerPatterns = map[string][]string{
	"cidr:nets":    {"192.0.2.128/25 DUNNO", "192.0.2.0/24 REJECT net", "!192.0.0.0/8 450 far"},
	"regexp:names": {`/^(u)ser@(.*)$/ REJECT no $1 of ${2}`, `/CASE/i REJECT case`, `!/@/ DEFER no at`},
}

// peerClasses are restriction classes.
var peerClasses = map[string]string{
	"z-two": "warn_if_reject reject, defer", "z-deep": "z-mid", "z-mid": "z-low, permit", "z-low": "defer_if_reject",
	"z-loop1": "check_sender_access static:z-loop2", "z-loop2": "check_sender_access static:z-loop1", "z-permit": "permit", "z-reject": "reject",
}

func peerCases() []peerCase {
	std := []probe{{to: []string{"u@here.example"}}, {from: "user@bad.example", to: []string{"u@here.example", "a@here.example"}}}
	lists := func(names string, texts ...string) []peerCase {
		var out []peerCase
		for _, text := range texts {
			out = append(out, peerCase{name: names + " " + text, set: map[string]string{names: text}, probes: std})
		}
		return out
	}
	var all []peerCase
	simple := []string{"permit", "reject", "defer", "defer_if_permit", "defer_if_permit, permit", "defer_if_permit, reject", "defer_if_reject, reject",
		"defer_if_reject, defer", "defer_if_reject, permit", "defer_if_reject, defer_if_permit, reject", "defer_if_permit, defer_if_reject, reject",
		"warn_if_reject reject, permit", "warn_if_reject reject, reject", "warn_if_reject z-two, reject", "warn_if_reject defer_if_permit, permit",
		"warn_if_reject defer_if_reject, reject", "warn_if_reject", "nonsense", "warn_if_reject nonsense", "z-permit, reject", "z-reject", "z-deep, reject",
		"check_sender_access texthash:senders, reject", "static:{REJECT go away}", "permit_mynetworks, reject",
		"reject_plaintext_session", "reject_unauth_destination", "reject_unlisted_recipient", "reject_unlisted_sender", "reject_multi_recipient_bounce",
		"PERMIT_MYNETWORKS Reject", "reject_unauth_pipelining, permit", "reject_non_fqdn_recipient, reject_non_fqdn_sender, reject_non_fqdn_helo_hostname"}
	for _, l := range []string{"client", "helo", "sender", "relay", "recipient"} {
		all = append(all, lists(l, simple...)...)
	}
	for _, pair := range [][2]string{{"client", "recipient"}, {"client", "helo"}, {"helo", "sender"}, {"sender", "relay"}, {"relay", "recipient"}} {
		for _, texts := range [][2]string{{"defer_if_permit", "reject"}, {"defer_if_permit", "permit"}, {"defer_if_reject", "reject"}, {"permit", "reject"}, {"reject", "defer"}, {"warn_if_reject", "reject"}, {"defer_if_permit", "defer_if_reject, reject"}} {
			all = append(all, peerCase{name: fmt.Sprint(pair, texts), set: map[string]string{pair[0]: texts[0], pair[1]: texts[1]}, probes: std})
		}
	}
	return append(all, tableCases()...)
}

func tableCases() []peerCase {
	to := []string{"u@here.example"}
	var senders, helos []probe
	for _, s := range strings.Fields("<> user@bad.example other@bad.example x@sub.bad.example user@good.example ext+tag@plus.example class@x.example list@x.example ok@x.example num@x.example deep@x.example junk@x.example map@x.example dip@x.example dir@x.example only@x.example text@x.example warn@x.example CASE@y.example user@z.example plain@y.example") {
		senders = append(senders, probe{from: s, to: to})
	}
	for _, h := range strings.Fields("bad.example mx.bad.example a.mx.bad.example [192.0.2.9] 192.0.2.9 [192.0.2] [IPv6:::1] [IPv6:zz] mx mx. -a.example a-.example a..b a_b.example 1234 a.1234 x@y b%c " + strings.Repeat("a", 64) + ".example") {
		helos = append(helos, probe{helo: h, to: to})
	}
	clients := []probe{{addr: "192.0.2.66", to: to}, {addr: "192.0.2.67", to: to}, {addr: "192.0.2.68", to: to}, {addr: "198.51.100.1", to: to},
		{host: "a.spam.example", to: to}, {host: "[UNAVAILABLE]", to: to}, {host: "[TEMPUNAVAIL]", to: to}, {host: "[UNAVAILABLE]", reverse: "[UNAVAILABLE]", to: to},
		{addr: "192.0.2.130", to: to}, {addr: "203.0.113.1", to: to}, {addr: "IPV6:2001:db8::1", to: to}, {addr: "127.0.0.1", to: to}}
	rcpts := []probe{{to: strings.Fields("u@here.example a@here.example b@here.example c@here.example d@here.example unknown@here.example u@relay.example nobody@relay.example x@elsewhere.example u%elsewhere.example@here.example elsewhere.example!u@here.example u@[192.0.2.99] postmaster POSTMASTER x@local.example root@local.example nobody@alias.example known@alias.example moved@here.example err@relay.example later@relay.example")}}
	c := func(list, text string, probes []probe) peerCase {
		return peerCase{name: list + " " + text, set: map[string]string{list: text}, probes: probes}
	}
	set := func(p peerCase, name, value string) peerCase {
		p.name += " " + name + "=" + value
		m := map[string]string{name: value}
		for k, v := range p.set {
			m[k] = v
		}
		p.set = m
		return p
	}
	senderCase := c("sender", "check_sender_access texthash:senders", senders)
	rcptCase := c("recipient", "check_recipient_access texthash:rcpts", rcpts)
	bounce := []probe{{from: "<>", to: []string{"a@here.example", "b@here.example"}, data: true}, {from: "<>", to: []string{"a@here.example"}, data: true}}
	return []peerCase{
		c("client", "check_client_access texthash:clients", clients), c("client", "texthash:clients, reject", clients),
		c("client", "check_client_access cidr:nets", clients), c("client", "reject_unknown_client_hostname", clients),
		c("client", "reject_unknown_reverse_client_hostname", clients), c("client", "check_reverse_client_hostname_access texthash:clients", clients),
		c("client", "permit_mynetworks, reject", clients),
		c("helo", "check_helo_access texthash:helos", helos), c("helo", "reject_invalid_helo_hostname", helos),
		c("helo", "reject_non_fqdn_helo_hostname", helos), c("helo", "texthash:helos", helos),
		senderCase, c("sender", "texthash:senders, reject", senders), c("sender", "check_sender_access regexp:names", senders),
		c("sender", "reject_non_fqdn_sender", []probe{{from: "a", to: to}, {from: "a@b", to: to}, {from: "a@b.", to: to}, {from: "a@b.c.", to: to}, {from: "a@[192.0.2.1]", to: to}, {from: "<>", to: to}}),
		c("sender", "reject_unlisted_sender", []probe{{from: "ghost@here.example", to: to}, {from: "u@here.example", to: to}, {from: "ghost@local.example", to: to}, {from: "nobody@relay.example", to: to}, {from: "nobody@alias.example", to: to}}),
		set(c("sender", "", []probe{{from: "ghost@here.example", to: to}}), "smtpd_reject_unlisted_sender", "yes"),
		rcptCase, c("recipient", "texthash:rcpts, permit", rcpts), c("relay", "permit_auth_destination, reject", rcpts), c("relay", "reject_unauth_destination", rcpts),
		c("recipient", "warn_if_reject reject_unlisted_recipient, permit", rcpts), set(c("recipient", "", rcpts), "smtpd_reject_unlisted_recipient", "no"),
		set(c("recipient", "", []probe{{to: strings.Fields("x@here.example x@relay.example x@local.example")}}), "show_user_unknown_table_name", "no"), c("recipient", "", rcpts), set(rcptCase, "soft_bounce", "yes"),
		set(set(senderCase, "access_map_reject_code", "550"), "access_map_defer_code", "451"), set(c("recipient", "reject", rcpts), "reject_code", "521"),
		set(c("recipient", "defer", rcpts), "defer_code", "421"), set(c("relay", "defer_unauth_destination", rcpts), "relay_domains_reject_code", "550"),
		c("data", "reject", bounce), c("data", "reject_multi_recipient_bounce", bounce), c("data", "check_recipient_access texthash:rcpts, defer", bounce), c("data", "texthash:rcpts", bounce),
		c("data", "defer_if_permit", bounce), c("recipient", "reject_multi_recipient_bounce", bounce),
		set(c("client", "permit_mynetworks, check_client_access cidr:nets", clients), "smtpd_delay_reject", "no"), set(c("helo", "reject_non_fqdn_helo_hostname", helos[:6]), "smtpd_delay_reject", "no"),
		set(senderCase, "smtpd_delay_reject", "no"),
		set(set(c("relay", "defer", rcpts), "recipient", "reject"), "smtpd_relay_before_recipient_restrictions", "no"),
	}
}

// fullName turns the short name of a list into that of its setting.
func fullName(name string) string {
	switch name {
	case "client", "helo", "sender", "relay", "recipient", "data":
		return "smtpd_" + name + "_restrictions"
	}
	return name
}

// postfix is a private Postfix with one SMTP server for each case.
type postfix struct {
	dir   string
	dns   string // address of its DNS server, port 53; '' that of the system
	ports []int
}

func startPostfix(t *testing.T, cases []peerCase, dnsServer string) *postfix {
	t.Helper()
	if testing.Short() {
		t.Skip("short")
	}
	if _, err := exec.LookPath("postfix"); err != nil || os.Getuid() != 0 {
		leaveOut(t, "Postfix is not installed here, or cannot be started without root")
	}
	dir, err := os.MkdirTemp("", "postfix")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if os.Getenv("POLICY_KEEP") == "" {
			os.RemoveAll(dir)
		}
	})
	p := &postfix{dir: dir, dns: dnsServer}
	p.write(t, cases)
	if out, err := p.command("start").CombinedOutput(); err != nil {
		leaveOut(t, "Postfix does not start here: %v\n%s", err, out)
	}
	t.Cleanup(func() { p.command("stop").Run() })
	for range 100 {
		if c, err := net.Dial("tcp", p.addr(len(cases)-1)); err == nil {
			c.Close()
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	leaveOut(t, "Postfix does not answer")
	return nil
}

// leaveOut skips a comparison, unless MAILSERVER_PEERS=1 says that it must run.
func leaveOut(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("MAILSERVER_PEERS") == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func (p *postfix) command(verb string) *exec.Cmd {
	cmd := exec.Command("postfix", "-c", p.dir, verb)
	if p.dns != "" { // its own resolv.conf, which nobody else sees
		cmd = exec.Command("unshare", "-m", "sh", "-c", `mount --bind "$0/resolv.conf" /etc/resolv.conf && exec postfix -c "$0" "$1"`, p.dir, verb)
	}
	cmd.Stdin = nil
	return cmd
}

func (p *postfix) addr(i int) string { return fmt.Sprintf("127.0.0.1:%d", p.ports[i]) }

func (p *postfix) file(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *postfix) write(t *testing.T, cases []peerCase) {
	t.Helper()
	os.Chmod(p.dir, 0o755)
	for _, d := range []string{"queue", "data"} {
		os.Mkdir(filepath.Join(p.dir, d), 0o755)
	}
	exec.Command("chown", "postfix", filepath.Join(p.dir, "data")).Run()
	for name, rows := range peerTables {
		p.file(t, name, strings.Join(rows, "\n")+"\n")
	}
	for name, rows := range peerPatterns {
		_, name, _ = strings.Cut(name, ":")
		p.file(t, name, strings.Join(rows, "\n")+"\n")
	}
	var main strings.Builder
	fmt.Fprintf(&main, `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.here.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = all
mydestination = local.example
local_recipient_maps = inline:{root=root}
virtual_mailbox_domains = here.example
virtual_mailbox_maps = inline:{u@here.example=u, a@here.example=a, b@here.example=b, c@here.example=c, d@here.example=d, moved@here.example=m}
virtual_alias_domains = alias.example
virtual_alias_maps = inline:{known@alias.example=u@here.example}
relay_domains = relay.example
relay_recipient_maps = inline:{u@relay.example=u, err@relay.example=e, later@relay.example=l}
relocated_maps = inline:{moved@here.example=new@there.example}
transport_maps = inline:{{err@relay.example=error:5.7.1 not taken}, {later@relay.example=retry:4.3.2 later}}
recipient_delimiter = +
smtpd_sender_login_maps = inline:{{owned@example.net=boss, maid}, @whole.example=cook, root=cook}
smtpd_sasl_security_options =
address_verify_negative_refresh_time = 1d
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_mynetworks, defer_unauth_destination
smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_restriction_classes = %[2]s
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
default_process_limit = 400
`, p.dir, strings.Join(sortedKeys(peerClasses), ", "))
	for name, list := range peerClasses {
		fmt.Fprintf(&main, "%s = %s\n", name, list)
	}
	p.file(t, "main.cf", main.String())
	p.file(t, "resolv.conf", "nameserver "+p.dns+"\noptions timeout:1 attempts:1\n")
	for range cases {
		p.ports = append(p.ports, testport.Base(t, 0))
	}
	var master strings.Builder
	for _, l := range []string{"rewrite unix - - n - - trivial-rewrite", "cleanup unix n - n - 0 cleanup", "proxymap unix - - n - - proxymap", "anvil unix - - n - 1 anvil",
		"qmgr unix n - n 300 1 qmgr", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce", "trace unix - - n - 0 bounce", "tlsmgr unix - - n 1000? 1 tlsmgr", "verify unix - - n - 1 verify", "error unix - - n - - error", "retry unix - - n - - error", "postlog unix-dgram n - n - 1 postlogd"} {
		fmt.Fprintln(&master, l)
	}
	for i, c := range cases {
		fmt.Fprintf(&master, "127.0.0.1:%d inet n - n - - smtpd\n", p.ports[i])
		for _, name := range sortedKeys(c.set) {
			fmt.Fprintf(&master, "  -o { %s = %s }\n", fullName(name), p.paths(c.set[name]))
		}
	}
	p.file(t, "master.cf", master.String())
}

// paths gives tables the path of their file.
func (p *postfix) paths(text string) string {
	for _, typ := range []string{"texthash:", "cidr:", "regexp:"} {
		text = strings.ReplaceAll(text, typ, typ+p.dir+"/")
	}
	return text
}

func sortedKeys[V any](m map[string]V) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	sort.Strings(list)
	return list
}

// ask sends a probe and returns the replies from the first that can differ.
func (p *postfix) ask(t *testing.T, i int, pr probe) []string {
	t.Helper()
	c, err := net.DialTimeout("tcp", p.addr(i), 2*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(c)
	read := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) {
					return "silence"
				}
				return "closed"
			}
			if len(line) > 3 && line[3] == ' ' {
				return strings.TrimRight(line, "\r\n")
			}
		}
	}
	say := func(format string, args ...any) string {
		fmt.Fprintf(c, format+"\r\n", args...)
		return read()
	}
	read()
	if hello := say("EHLO first.example"); !strings.HasPrefix(hello, "250") {
		return []string{"before XCLIENT: " + hello}
	}
	var out []string
	xclient := fmt.Sprintf("XCLIENT ADDR=%s NAME=%s REVERSE_NAME=%s", pr.addr, pr.host, pr.reverse)
	if pr.login != "" {
		xclient += " LOGIN=" + pr.login
	}
	if got := say("%s", xclient); !strings.HasPrefix(got, "220") {
		return append(out, got)
	}
	if got := say("EHLO %s", pr.helo); !strings.HasPrefix(got, "250") {
		return append(out, got)
	}
	if got := say("MAIL FROM:<%s>", strings.Trim(pr.from, "<>")); !strings.HasPrefix(got, "250") {
		return append(out, got)
	}
	for _, to := range pr.to {
		if out = append(out, say("RCPT TO:<%s>", to)); out[len(out)-1] == "closed" {
			return out
		}
	}
	if pr.data {
		out = append(out, say("DATA"))
	}
	return out
}

// peerEngine is our side: the classes and tables of all cases.
func peerEngine(t *testing.T) *env {
	t.Helper()
	v := newEnv(t)
	v.exec(`DELETE FROM Restriction`)
	for name, list := range peerClasses {
		v.class(name, list)
	}
	for table, rows := range peerTables {
		for _, row := range rows {
			key, action, _ := strings.Cut(row, " ")
			v.access(table, key, action)
		}
	}
	for name, rows := range peerPatterns {
		typ, table, _ := strings.Cut(name, ":")
		for i, row := range rows {
			key, action, _ := strings.Cut(row, " ")
			v.accessRow(typ, table, key, action, i)
		}
	}
	return v
}

// configure makes the settings those of a case.
func (v *env) configure(c peerCase) {
	v.t.Helper()
	rows := map[string]string{"mynetworks": "127.0.0.0/8", "smtpd_relay_restrictions": "permit_mynetworks, defer_unauth_destination",
		"smtpd_recipient_restrictions": "permit_mynetworks, reject_unauth_destination"}
	for name, text := range c.set {
		if name != "smtpd_sasl_auth_enable" { // ours is asked of the listener
			rows[fullName(name)] = text
		}
	}
	query, args := "DELETE FROM Setting;", []any{}
	for name, text := range rows {
		query += "INSERT INTO Setting VALUES (?, ?);"
		args = append(args, name, text)
	}
	v.exec(query, args...)
}

// answer is what our engine and its words say to a probe.
func (v *env) answer(pr probe) []string {
	c := policy.Client{Addr: netipAddr(strings.TrimPrefix(pr.addr, "IPV6:")), Name: pr.host, ReverseName: pr.reverse}
	for _, name := range []*string{&c.Name, &c.ReverseName} {
		if strings.HasPrefix(*name, "[") {
			c.TempFail = c.TempFail || *name == "[TEMPUNAVAIL]"
			*name = "unknown"
		}
	}
	s := v.e.NewSession(c)
	from := peerSender(strings.Trim(pr.from, "<>"))
	s.Login(pr.login, "PLAIN")
	for _, step := range []func() policy.Verdict{
		func() policy.Verdict { return s.Connect(ctx) },
		func() policy.Verdict { return s.Helo(ctx, pr.helo, true) },
		func() policy.Verdict { return s.Mail(ctx, from, 0) },
	} {
		if got := step(); !got.OK() {
			return []string{reply(got)}
		}
	}
	var out []string
	for _, to := range pr.to {
		got := s.Rcpt(ctx, peerRecipient(to))
		text := reply(got)
		if got.Action == policy.Disconnect {
			if out = append(out, text); len(out) < len(pr.to) {
				out = append(out, "closed")
			}
			return out
		}
		if got.OK() {
			text = "250 2.1.5 Ok"
		}
		out = append(out, text)
	}
	if pr.data {
		text := reply(s.Data(ctx))
		if text == "ok" {
			text = "354 End data with <CR><LF>.<CR><LF>"
		}
		out = append(out, text)
	}
	return out
}

// peerDomains are the domains of both sides.
var peerDomains = map[string]struct {
	class schema.Class
	users string
	table string
}{
	"local.example": {1, " root postmaster ", "local recipient table"},
	"relay.example": {2, " u err later ", "relay recipient table"},
	"alias.example": {3, " known ", "virtual alias table"},
	"here.example":  {842, " u a b c d moved ", "virtual mailbox table"},
}

func peerSender(s string) policy.Sender {
	to := peerRecipient(s)
	return policy.Sender{Original: to.Original, Address: to.Address, Class: to.Class, Listed: to.Listed, Table: to.Table}
}

func peerRecipient(s string) policy.Recipient {
	a := addr(s)
	r := policy.Recipient{Original: a, Address: a, Domain: a.Domain, RClass: 30, Listed: true}
	if a.Domain == "" && a.Local != "" {
		r.Address.Domain = "mx.here.example"
	}
	r.Address.Domain = strings.TrimSuffix(r.Address.Domain, ".")
	if d, ok := peerDomains[strings.ToLower(a.Domain)]; ok {
		user, _, _ := strings.Cut(a.Local, "+")
		r.Class = d.class
		if r.Listed = strings.Contains(d.users, " "+strings.ToLower(user)+" "); !r.Listed {
			r.Table = d.table
		}
	}
	switch s {
	case "moved@here.example":
		r.MovedTo = "new@there.example"
	case "err@relay.example":
		r.Rejects = "5.7.1 not taken"
	case "later@relay.example":
		r.Rejects = "4.3.2 later"
	}
	return r
}

func TestSameRepliesAsPostfix(t *testing.T) {
	cases := chosen(peerCases())
	p := startPostfix(t, cases, "")
	v := peerEngine(t)
	v.compare(t, p, cases)
}

// chosenDifference are the replies of Postfix that are others here, with why.
// docs/decisions/ says more of each.
var chosenDifference = map[string]string{
	"450 4.4.4 <u@mxonly.example>: Recipient address rejected: Unable to look up mail exchanger host mx.elsewhere.example: Name or service not known": "a host that is not there is surely not this one",
}

// chosen are the cases that POLICY_CASES names; all without it.
func chosen(cases []peerCase) []peerCase {
	if n := os.Getenv("POLICY_CASES"); n != "" {
		var few []peerCase
		for _, c := range cases {
			if strings.Contains(c.name, n) {
				few = append(few, c)
			}
		}
		cases = few
	}
	return cases
}

// compare sends every probe to both.
func (v *env) compare(t *testing.T, p *postfix, cases []peerCase) {
	t.Helper()
	probes, differ := 0, 0
	for i, c := range cases {
		v.configure(c)
		for _, pr := range c.probes {
			pr = pr.complete()
			want, got := p.ask(t, i, pr), v.answer(pr)
			probes += len(want)
			for j := range want {
				if why := chosenDifference[want[j]]; why != "" && j < len(got) && got[j] != want[j] {
					t.Logf("%s: %q for Postfix's %q: %s", c.name, got[j], want[j], why)
					want[j] = got[j]
				}
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				differ++
				t.Errorf("%s\n%+v:\nours    %s\nPostfix %s", c.name, pr, strings.Join(got, "\n        "), strings.Join(want, "\n        "))
			}
		}
	}
	t.Logf("%d cases, %d replies compared, %d sessions differ", len(cases), probes, differ)
}

// complete fills in what a probe leaves open.
func (pr probe) complete() probe {
	for _, f := range []struct {
		field *string
		value string
	}{{&pr.addr, "192.0.2.10"}, {&pr.host, "mx.example.net"}, {&pr.reverse, "mx.example.net"}, {&pr.helo, "mx.example.net"}, {&pr.from, "a@example.net"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	return pr
}
