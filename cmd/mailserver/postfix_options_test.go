package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// everyMaster is a master.cf with services of each kind, and what hosts that
// filter with Amavis put there.
const everyMaster = `smtp      inet  n       -       y       -       -       smtpd -v
2525      inet  n       -       y       -       -       smtpd
  -o syslog_name=postfix/second -o smtpd_client_restrictions=permit_mynetworks,reject
  -o myhostname=second.example -o smtpd_upstream_proxy_protocol=haproxy
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_reject_unlisted_recipient=no
  -o smtpd_client_restrictions=$mua_client_restrictions
  -o smtpd_helo_restrictions=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
smtps     inet  n       -       y       -       -       smtpd
  -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject -o smtpd_client_restrictions=permit
  -o mua_unheard_of=1
127.0.0.1:10025 inet n - y - - smtpd
  -o content_filter=
  -o mynetworks_style=host
  -o mynetworks=127.0.0.0/8
  -o local_recipient_maps=
  -o relay_recipient_maps=
  -o strict_rfc821_envelopes=yes
  -o smtp_tls_security_level=none
  -o smtpd_tls_security_level=none
  -o smtpd_restriction_classes=
  -o smtpd_delay_reject=no
  -o smtpd_client_restrictions=permit_mynetworks,reject
  -o smtpd_sender_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o smtpd_data_restrictions=reject_unauth_pipelining
  -o smtpd_end_of_data_restrictions=
  -o smtpd_error_sleep_time=0
  -o smtpd_soft_error_limit=1001
  -o smtpd_hard_error_limit=1000
  -o smtpd_client_connection_count_limit=0
  -o smtpd_client_connection_rate_limit=0
  -o smtpd_proxy_filter=127.0.0.1:10024
  -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks
smtp-amavis unix -      -       y       -       2       smtp
  -o smtp_data_done_timeout=1200 -o smtp_send_xforward_command=yes -o max_use=20
slow      unix  -       -       y       -       -       smtp -o syslog_name=postfix/slow
pickup    unix  n       -       y       60      1       pickup -o content_filter= -o receive_override_options=no_header_body_checks
cleanup   unix  n       -       y       -       0       cleanup -o header_checks=regexp:/etc/postfix/other
qmgr      unix  n       -       n       300     1       qmgr
policyd-spf unix -      n       n       -       0       spawn user=policyd-spf argv=/usr/bin/policyd-spf
maildrop  unix  -       n       n       -       -       pipe
  flags=DRXhu user=vmail argv=/usr/bin/maildrop -d ${recipient} -o not=one
ifmail    unix  -       n       n       -       -       pipe flags=F user=ftn argv=/usr/lib/ifmail/ifmail -r $nexthop ($recipient)
`

// TestEveryOptionIsTold: no -o of master.cf is passed over in silence.
func TestEveryOptionIsTold(t *testing.T) {
	dir, etc := sampleDir(t), t.TempDir()
	for name, text := range map[string]string{
		"main.cf":   "myhostname = mx.example\ncontent_filter = smtp-amavis:[127.0.0.1]:10024\nmua_client_restrictions = permit\n",
		"master.cf": everyMaster,
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	code, report, errs := run(t, dir, "", "import", "postfix", etc)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	service, line := "", 0
	for i, l := range strings.Split(strings.TrimSpace(everyMaster), "\n") {
		if !strings.HasPrefix(l, " ") {
			f := strings.Fields(l)
			service, line = f[0]+" "+f[1], i+1
		}
		if strings.HasPrefix(service, "maildrop ") {
			continue
		}
		for _, o := range regexp.MustCompile(`-o (\w+)=`).FindAllStringSubmatch(l, -1) {
			said := regexp.MustCompile(`(?m)^master.cf:\d+: ` + regexp.QuoteMeta(service) + `: (taken|needless|not taken): -o ` + o[1] + `: \S`)
			if n := len(said.FindAllString(report, -1)); n != 1 {
				t.Errorf("line %d, %s: -o %s is told %d times", line, service, o[1], n)
			}
		}
	}
	for _, want := range []string{
		"2525 inet: taken: -o myhostname: column lsHostname of Listener", "2525 inet: not taken: -o smtpd_client_restrictions: listeners of protocol mx share one list",
		"submission inet: taken: -o smtpd_relay_restrictions: setting mua_relay_restrictions", "submission inet: taken: -o smtpd_tls_security_level: column lsTls",
		"smtps inet: not taken: -o mua_unheard_of: Postfix has no such parameter", "10025 inet: taken: -o content_filter: column lsTag",
		"10025 inet: not taken: -o receive_override_options: recipients, rewriting", "10025 inet: needless: -o smtp_tls_security_level: smtpd(8) sends no mail",
		"10025 inet: needless: -o smtpd_end_of_data_restrictions: as it is without", "10025 inet: not taken: -o smtpd_proxy_filter: content_filter, or a milter",
		"cleanup unix: not taken: -o header_checks: settings are the same for all mail", "smtp inet: needless: -v: what is logged",
		"slow unix: needless: -o syslog_name:", "policyd-spf unix: not taken: programs are not started for clients", "maildrop unix: taken: row of Pipe",
	} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(report)
	}
	wantRows(t, dir)
}

// wantRows looks at the listeners that everyMaster makes.
func wantRows(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("sqlite3", dir+"/mail.sqlite", "SELECT lsAddress, lsProtocol, lsTls, lsAuth, lsProxy, ifnull(lsHostname, ''), ifnull(lsTag, '') FROM Listener").CombinedOutput()
	if err != nil {
		t.Skipf("sqlite3: %v %s", err, out)
	}
	for _, row := range []string{":2525|mx|may|0|1|second.example|", ":587|submission|encrypt|1|0||", ":465|submission|wrapper|1|0||", "127.0.0.1:10025|mx|none|0|0||filtered"} {
		if !strings.Contains("\n"+string(out), "\n"+row+"\n") {
			t.Errorf("no listener %s in\n%s", row, out)
		}
	}
}
