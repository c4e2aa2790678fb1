package main

import (
	pathpkg "path"
	"path/filepath"
	"slices"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// needlessParams are parameters that concern how Postfix is built of programs
// and files; patterns of path.Match.
var needlessParams = [][2]string{
	{"compatibility_level", "settings say themselves what they do"},
	{"*_directory", "the data directory is all there is"},
	{"mail_owner", "the user of this server is its own: setting mail_owner"},
	{"setgid_group", "no program has rights of a group"},
	{"sendmail_path", "mailserver is sendmail, mailq and newaliases too"},
	{"mailq_path", "mailserver is sendmail, mailq and newaliases too"},
	{"newaliases_path", "mailserver is sendmail, mailq and newaliases too"},
	{"debug_peer_*", "setting log_debug"}, {"debugger_command", "there is no such need"},
	{"biff", "nobody is told of mail by comsat(8)"},
	{"inet_interfaces", "rows of Listener"},
	{"smtpd_sasl_type", "log-ins are checked here"}, {"smtpd_sasl_path", "log-ins are checked here"},
	{"smtpd_sasl_local_domain", "log-ins have their domain"}, {"smtpd_sasl_service", "log-ins are checked here"},
	{"cyrus_sasl_config_path", "log-ins are checked here"}, {"smtpd_sasl_security_options", "setting auth_mechanisms; without TLS nothing is offered that can be read"},
	{"smtpd_sasl_tls_security_options", "setting auth_mechanisms"},
	{"smtpd_sasl_auth_enable", "column lsAuth of Listener"},
	{"smtpd_tls_security_level", "column lsTls of Listener"}, {"smtpd_use_tls", "column lsTls of Listener"}, {"smtpd_enforce_tls", "column lsTls of Listener"},
	{"smtpd_tls_wrappermode", "column lsTls of Listener"},
	{"smtpd_tls_session_*", "sessions are resumed by tickets"}, {"smtp_tls_session_*", "connections are kept"}, {"lmtp_tls_session_*", "connections are kept"},
	{"*_tls_loglevel", "handshakes are logged at level debug"}, {"tls_random_*", "the system's"}, {"smtpd_tls_dh*", "there is no DH but that of elliptic curves"},
	{"smtpd_tls_eecdh_grade", "the curves are Go's"}, {"tls_preempt_cipherlist", "the ciphers are Go's"},
	{"smtp_tls_note_starttls_offer", "the log has it"}, {"smtp_tls_CApath", "the system's certificates, or smtp_tls_CAfile"},
	{"mailbox_size_limit", "quota is a column of VMailbox"}, {"virtual_mailbox_limit", "quota is a column of VMailbox"},
	{"virtual_minimum_uid", "a class above 800 is the UID"},
	{"maillog_file*", "the log is this server's: setting maillog_file"}, {"syslog_*", "lines go by journald or to maillog_file"},
	{"*_service_name", "this server is one process"}, {"export_environment", "this server is one process"}, {"import_environment", "this server is one process"},
	{"max_idle", "this server is one process"}, {"max_use", "this server is one process"}, {"process_*", "this server is one process"},
	{"*_process_limit", "this server is one process"}, {"address_verify_map", "state.sqlite"}, {"postscreen_cache_map", "state.sqlite"},
	{"proxy_read_maps", "there are no processes to ask for one another"}, {"proxy_write_maps", "there are no processes to ask for one another"},
	{"berkeley_db_*", "there is no Berkeley DB"}, {"lmdb_*", "there is no LMDB"}, {"default_database_type", "rows of SQLite"},
	{"smtpd_client_port_logging", "the log has it where it matters"}, {"enable_long_queue_ids", "queue IDs are long and sort by time"},
	{"smtp_dns_support_level", "setting smtp_tls_security_level: dane"}, {"smtp_host_lookup", "the DNS, and /etc/hosts"},
	{"show_user_unknown_table_name_", ""}, {"smtputf8_*", "SMTPUTF8 is offered"}, {"strict_mailbox_ownership", "mail files are opened as their user"},
	{"milter_connect_timeout_", ""}, {"multi_instance_*", "a directory of its own for each: --data"}, {"authorized_*_users", "trusted_users says who may name any sender"},
	{"tls_*", "TLS is that of Go: setting ssl_min_protocol"}, {"fast_flush_*", "mailserver queue flush"}, {"rbl_reply_maps_", ""},
}

// missingParams have no counterpart, with the reason.
var missingParams = [][2]string{
	{"*_tls_*protocols", "TLS 1.2 and newer: setting ssl_min_protocol"}, {"*_tls_*ciphers", "the ciphers are Go's, all of them good"},
	{"smtpd_command_filter", "commands are not rewritten"}, {"smtp_reply_filter", "replies are not rewritten"}, {"*_dns_reply_filter", "the DNS is not rewritten"},
	{"smtpd_log_access_permit_actions", "mailserver trace says why mail was taken"},
	{"mailbox_command_maps", "one mailbox_command; .forward of each user"}, {"mailbox_transport_maps", "one mailbox_transport; rows of Address with a transport"},
	{"fallback_transport_maps", "one fallback_transport"}, {"smtpd_proxy_filter", "content_filter, or a milter"}, {"smtpd_proxy_*", "content_filter, or a milter"},
	{"local_header_rewrite_context", ""}, {"virtual_mailbox_limit_maps", "quota is a column of VMailbox"}, {"virtual_mailbox_lock", "Maildir needs no locks"},
	{"qmqpd_*", "QMQP is not spoken here"}, {"stress", "it is measured"}, {"content_filter_", ""},
	{"lmtp_*", "clients of LMTP go by the settings of smtp_"}, {"mynetworks_style", "setting mynetworks: say the networks"},
	{"empty_address_*", "the address of bounces is what it is"}, {"smtp_fallback_relay", "there is no second way"}, {"fallback_relay", "there is no second way"},
}

// remaining takes every line of main.cf that no step has spoken of.
func (mv *postfixMove) remaining() error {
	if err := mv.defaults(); err != nil {
		return err
	}
	refers := make(map[string]bool)
	for _, p := range mv.conf.Params() {
		for _, name := range postfixconf.References(p.Value) {
			refers[name] = true
		}
	}
	for _, s := range mv.master {
		for _, o := range s.Options {
			for _, name := range postfixconf.References(o.Value) {
				refers[name] = true
			}
		}
	}
	for _, p := range mv.conf.Params() {
		if mv.done[p.Name] || mv.conf.Overridden(p) || mv.classes[strings.ToLower(p.Name)] {
			continue
		}
		if err := mv.remainder(p, refers[p.Name]); err != nil {
			return err
		}
	}
	return nil
}

func (mv *postfixMove) remainder(p postfixconf.Param, referred bool) error {
	for _, l := range []struct {
		verdict string
		list    [][2]string
	}{{needless, needlessParams}, {missed, missingParams}} {
		if l.verdict == missed && mv.known(p.Name) {
			break
		}
		for _, n := range l.list {
			if ok, _ := pathpkg.Match(n[0], p.Name); ok && !(strings.Contains(n[0], "*") && mv.known(p.Name)) {
				mv.param(p.Name, l.verdict, "%s", n[1])
				return nil
			}
		}
	}
	if mv.known(p.Name) {
		return mv.set(p.Name, mv.settingValue(p))
	}
	switch {
	case referred:
		mv.param(p.Name, taken, "where other lines name it")
	case !mv.conf.Known(p.Name):
		mv.param(p.Name, missed, "Postfix has no such parameter, and no line names it")
	case mv.value(p.Name) == mv.defaultOf(p.Name):
		mv.param(p.Name, needless, "it is Postfix's default")
	default:
		mv.param(p.Name, missed, "there is no such setting here")
	}
	return nil
}

func (mv *postfixMove) known(name string) bool {
	_, ok, _ := mv.table.Value(name, nil)
	return ok
}

func (mv *postfixMove) defaultOf(name string) string {
	text, _ := mv.conf.Expand(mv.conf.Defaults[name])
	return strings.TrimSpace(text)
}

// rawParams are expanded as they are used, with names of their own.
var rawParams = map[string]bool{"default_rbl_reply": true, "smtpd_reject_footer": true, "postscreen_reject_footer": true, "forward_path": true,
	"luser_relay": true, "mailbox_command": true, "command_execution_directory": true, "bounce_template_file": true}

// settingValue keeps references to what is a setting here too; all others are
// followed.
func (mv *postfixMove) settingValue(p postfixconf.Param) string {
	if rawParams[p.Name] {
		return p.Value
	}
	names := postfixconf.References(p.Value)
	if postfixconf.Plain(p.Value) && !slices.ContainsFunc(names, func(n string) bool { return !mv.known(n) }) {
		return p.Value
	}
	return mv.value(p.Name)
}

// postfixDefaults are parameters whose default here is another, and whose
// meaning the answers to clients depend on.
var postfixDefaults = []string{"recipient_delimiter", "home_mailbox", "append_dot_mydomain"}

// defaults writes what Postfix does without a line in main.cf.
func (mv *postfixMove) defaults() error {
	for _, name := range postfixDefaults {
		if _, ok := mv.conf.Get(name); ok {
			continue
		}
		value := mv.defaultOf(name)
		if ours, ok, _ := mv.table.Value(name, nil); !ok || ours == value {
			continue
		}
		mv.tell("main.cf", 0, name, taken, "Postfix's default, %q, is not ours", value)
		if err := mv.put(name, value); err != nil {
			return err
		}
	}
	return nil
}

// fault is why a setting cannot have a value; ” if it can.
func (mv *postfixMove) fault(name, value string) string {
	if !mv.known(name) {
		return "there is no such setting here"
	}
	next := make(map[string]string, len(mv.rows)+1)
	for k, v := range mv.rows {
		next[k] = v
	}
	next[strings.ToLower(name)] = value
	for _, f := range config.Faults(mv.table, next) {
		if strings.EqualFold(f.Name, name) {
			return f.Reason
		}
	}
	return ""
}

// certificates takes the files of TLS.
func (mv *postfixMove) certificates() error {
	cert, key := mv.value("smtpd_tls_cert_file"), mv.value("smtpd_tls_key_file")
	if cert == "" || cert == "none" {
		cert, key = mv.value("smtpd_tls_eccert_file"), mv.value("smtpd_tls_eckey_file")
	}
	if chain := postfixconf.Words(mv.value("smtpd_tls_chain_files"), true); len(chain) > 0 {
		cert, key = chain[len(chain)-1], chain[0]
		if len(chain) > 2 {
			mv.param("smtpd_tls_chain_files", missed, "one certificate for a name: %s", cert)
		}
	}
	if key == "" {
		key = cert
	}
	verdict, text := needless, "no certificate"
	if cert != "" {
		if !filepath.IsAbs(cert) || !filepath.IsAbs(key) {
			cert, key = mv.path(cert), mv.path(key)
		}
		if err := mv.t.PutCert(schema.Cert{Hostname: mv.hostname(), CertFile: cert, KeyFile: key}); err != nil {
			return err
		}
		verdict, text = taken, "certificate of "+mv.hostname()
	}
	for _, name := range []string{"smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file", "smtpd_tls_eckey_file", "smtpd_tls_chain_files", "smtpd_tls_dcert_file", "smtpd_tls_dkey_file"} {
		if !mv.done[name] {
			mv.param(name, verdict, "%s", text)
		}
	}
	return mv.tablesOf("tls_server_sni_maps", "", func(file string, row postfixconf.Row) error {
		files := strings.Fields(row.Value)
		if len(files) == 0 {
			return nil
		}
		return mv.row(file, row.Line, row.Key, mv.t.PutCert(schema.Cert{Hostname: row.Key, CertFile: files[len(files)-1], KeyFile: files[0]}))
	})
}
