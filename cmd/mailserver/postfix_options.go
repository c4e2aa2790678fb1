package main

import (
	pathpkg "path"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// Each -o of master.cf is told: what it became, that it changes nothing, or
// why it has no counterpart.

// listenerColumns are options whose meaning is in the row of the listener.
var listenerColumns = map[string]string{
	"smtpd_tls_security_level": "lsTls", "smtpd_tls_wrappermode": "lsTls", "smtpd_enforce_tls": "lsTls", "smtpd_use_tls": "lsTls",
	"smtpd_sasl_auth_enable": "lsAuth", "smtpd_tls_auth_only": "lsAuth", "inet_interfaces": "lsAddress", "smtpd_upstream_proxy_protocol": "lsProxy",
	"postscreen_upstream_proxy_protocol": "lsProxy", "myhostname": "lsHostname",
}

// sharedOptions say why an option of one listener cannot be kept; patterns of
// path.Match.
var sharedOptions = [][2]string{
	{"smtpd_milters", "filters are the same for all listeners"}, {"milter_*", "filters are the same for all listeners"},
	{"non_smtpd_milters", "filters are the same for all listeners"}, {"content_filter", "the filter is the same for all listeners; an empty one is kept"},
	{"cleanup_service_name", "header checks and rewriting are the same for all listeners"},
	{"receive_override_options", "recipients, rewriting, header checks and milters are the same for all listeners"},
	{"local_recipient_maps", "recipients are looked up for every listener"}, {"relay_recipient_maps", "recipients are looked up for every listener"},
	{"virtual_*", "recipients are looked up for every listener"}, {"smtpd_reject_unlisted_*", "recipients are looked up for every listener"},
	{"mynetworks*", "the networks are the same for all listeners: setting mynetworks"},
	{"smtpd_restriction_classes", "classes are the same for all listeners"},
	{"smtpd_tls_*cert_file", "certificates go by the name that the client asks for: rows of Cert, or column lsCertNum"},
	{"smtpd_tls_*key_file", "certificates go by the name that the client asks for: rows of Cert, or column lsCertNum"},
	{"smtpd_tls_chain_files", "certificates go by the name that the client asks for: rows of Cert, or column lsCertNum"},
	{"*_restrictions", "listeners of protocol mx share one list"},
}

// plainOption tells of an option that means nothing here, or says what main.cf
// or Postfix says anyway.
func (mv *postfixMove) plainOption(s *postfixconf.Service, o postfixconf.Param) bool {
	reason := ""
	switch {
	case o.Name == "syslog_name":
		reason = "the log names services as Debian's master.cf does"
	case !mv.conf.Known(o.Name) && !mv.referred(o.Name):
		mv.told(s, missed, "-o %s: Postfix has no such parameter, and no line names it", o.Name)
		return true
	case !mv.conf.Known(o.Name):
		reason = "where other options name it"
	case mv.over(s, o.Name) == mv.value(o.Name):
		reason = "as it is without"
	default:
		reason = listed(needlessParams, o.Name)
	}
	if reason != "" {
		mv.told(s, needless, "-o %s: %s", o.Name, reason)
	}
	return reason != ""
}

// referred reports whether an option of some service names a parameter.
func (mv *postfixMove) referred(name string) bool {
	for _, s := range mv.master {
		for _, o := range s.Options {
			for _, r := range postfixconf.References(o.Value) {
				if r == name {
					return true
				}
			}
		}
	}
	return false
}

// listed is the reason that a list has for a name; ” if it has none.
func listed(list [][2]string, name string) string {
	for _, n := range list {
		if ok, _ := pathpkg.Match(n[0], name); ok {
			return n[1]
		}
	}
	return ""
}

// partOptions tells of options of services that are parts of this process.
func (mv *postfixMove) partOptions(s *postfixconf.Service) {
	for _, o := range s.Options {
		if !mv.plainOption(s, o) {
			mv.told(s, missed, "-o %s: settings are the same for all mail", o.Name)
		}
	}
}

// proxied reports whether the clients of a service are proxies.
func (mv *postfixMove) proxied(s *postfixconf.Service) bool {
	name := "smtpd_upstream_proxy_protocol"
	if s.Command == "postscreen" {
		name = "postscreen_upstream_proxy_protocol"
	}
	return mv.over(s, name) == "haproxy"
}

// options tells about each -o of a listener.
func (mv *postfixMove) options(s *postfixconf.Service, l schema.Listener) error {
	if l.Protocol == "submission" {
		if err := mv.submissionLists(s); err != nil {
			return err
		}
	}
	for _, w := range s.Args {
		mv.told(s, needless, "%s: what is logged is the setting log_debug", w)
	}
	for _, o := range s.Options {
		mv.listenerOption(s, l, o)
	}
	return nil
}

func (mv *postfixMove) listenerOption(s *postfixconf.Service, l schema.Listener, o postfixconf.Param) {
	column := listenerColumns[o.Name]
	switch {
	case column != "":
		mv.told(s, taken, "-o %s: column %s of Listener", o.Name, column)
	case o.Name == "content_filter" && l.Tag != "":
		mv.told(s, taken, "-o %s: column lsTag of Listener, whose mail no filter of settings gets", o.Name)
	case l.Protocol == "submission" && muaName(o.Name) != "": // told with the lists
	case strings.HasPrefix(o.Name, "smtp_") || strings.HasPrefix(o.Name, "lmtp_"):
		mv.told(s, needless, "-o %s: smtpd(8) sends no mail", o.Name)
	case mv.plainOption(s, o):
	default:
		reason := listed(sharedOptions, o.Name)
		if reason == "" && !mv.known(o.Name) {
			reason = listed(missingParams, o.Name)
		}
		if reason == "" {
			reason = "settings hold for every listener"
		}
		mv.told(s, missed, "-o %s: %s", o.Name, reason)
	}
}
