package main

import (
	"fmt"
	"strings"

	"mailserver/internal/contentcheck"
	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// transportName is the transport that a service of master.cf stands for here:
// itself if this server knows it or a row of Pipe has it, smtp or lmtp for
// another client of that kind; ” if there is none.
func (mv *postfixMove) transportName(name string) (known, note string) {
	switch name {
	case "", "smtp", "relay", "lmtp", "local", "virtual", "error", "retry", "discard":
		return name, ""
	}
	for _, s := range mv.master {
		if s.Name != name || s.Type != "unix" {
			continue
		}
		switch s.Command {
		case "smtp", "lmtp", "error", "discard", "local", "virtual":
			if len(s.Options) > 0 {
				note = fmt.Sprintf("what master.cf says of %s with -o is not taken along", name)
			}
			return s.Command, note
		case "pipe":
			return name, ""
		}
	}
	return "", ""
}

// way takes a parameter that is a transport and next hop.
func (mv *postfixMove) way(name, text string) error {
	if _, ok := mv.conf.Get(name); !ok {
		mv.done[name] = true
		return nil
	}
	transport, hop, cut := strings.Cut(text, ":")
	known, note := mv.transportName(transport)
	if known == "" && transport != "" {
		mv.param(name, missed, "there is no transport %q", transport)
		return nil
	}
	if rest, ok := strings.CutPrefix(hop, "unix:"); ok && !strings.HasPrefix(rest, "/") {
		hop = "unix:" + mv.value("queue_directory") + "/" + rest
	}
	if known != "" || cut {
		text = known
		if cut {
			text += ":" + hop
		}
	}
	return mv.setAs(name, text, note)
}

// transports takes transport(5), and the transports of the classes.
func (mv *postfixMove) transports() error {
	for _, name := range []string{"mailbox_transport", "fallback_transport", "local_transport", "relay_transport", "default_transport"} {
		text := mv.value(name)
		if (name == "mailbox_transport" || name == "local_transport") && dovecotWay(text) && text != "" {
			mv.param(name, needless, "this server delivers by itself; say where Dovecot has the mail of system users: home_mailbox")
			continue
		}
		if err := mv.way(name, text); err != nil {
			return err
		}
	}
	block := patternBlock{}
	return mv.tablesOf("transport_maps", "transport_maps", func(file string, row postfixconf.Row) error {
		if isPattern(row.Key) {
			if !block.covers(mv, file, row) {
				return mv.transportPattern(file, row)
			}
			return nil
		}
		return mv.row(file, row.Line, row.Key, mv.transport(file, row))
	})
}

func (mv *postfixMove) transport(file string, row postfixconf.Row) error {
	name, hop, _ := strings.Cut(row.Value, ":")
	known, note := mv.transportName(name)
	if known == "" && name != "" {
		return fmt.Errorf("%w: there is no transport %q", schema.ErrValue, name)
	}
	if note != "" {
		mv.tell(file, row.Line, row.Key, missed, "%s", note)
	}
	if known == "lmtp" && dovecotWay("lmtp:"+hop) && strings.Contains(hop, "dovecot") || known == "virtual" && hop == "" {
		mv.tell(file, row.Line, row.Key, needless, "this server delivers by itself")
		return nil
	}
	if rest, ok := strings.CutPrefix(hop, "unix:"); ok && !strings.HasPrefix(rest, "/") {
		hop = "unix:" + mv.value("queue_directory") + "/" + rest
	}
	field := schema.To(nil)
	if known != "" || hop != "" {
		spec, err := parseTransport(known + ":" + hop)
		if err != nil {
			return fmt.Errorf("%w: %w", schema.ErrValue, err)
		}
		num, err := mv.t.Transport(spec)
		if err != nil {
			return err
		}
		field = schema.To(num)
	}
	if local, domain, ok := strings.Cut(row.Key, "@"); ok {
		if _, err := mv.t.EnsureAddress(local, domain); err != nil {
			return err
		}
		return mv.t.SetAddress(local, domain, schema.AddressChange{Transport: field})
	}
	if err := mv.t.PutDomain(row.Key, schema.External); err != nil {
		return err
	}
	return mv.t.SetDomain(row.Key, schema.DomainChange{Transport: field})
}

// rewriting takes the maps that change addresses, relocated(5), and blind
// copies.
func (mv *postfixMove) rewriting() error {
	type put func(key, value string) error
	named := func(table string, fn func(table, key, value string) error) put {
		return func(key, value string) error { return fn(table, key, value) }
	}
	for _, m := range []struct {
		parameter string
		put       put
	}{
		{"canonical_maps", named("canonical", mv.t.PutCanonical)},
		{"sender_canonical_maps", named("sender_canonical", mv.t.PutCanonical)},
		{"recipient_canonical_maps", named("recipient_canonical", mv.t.PutCanonical)},
		{"smtp_generic_maps", named("generic", mv.t.PutCanonical)},
		{"sender_bcc_maps", named("sender", mv.t.PutBcc)},
		{"recipient_bcc_maps", named("recipient", mv.t.PutBcc)},
		{"relocated_maps", mv.t.PutRelocated},
		{"smtp_tls_policy_maps", mv.t.PutTLSPolicy},
		{"sender_dependent_relayhost_maps", func(key, value string) error { return mv.t.PutRelayHost(key, value, "") }},
		{"sender_dependent_default_transport_maps", func(key, value string) error {
			name, hop, _ := strings.Cut(value, ":")
			return mv.t.PutRelayHost(key, hop, name)
		}},
		{"smtp_sasl_password_maps", func(key, value string) error {
			user, secret, ok := strings.Cut(value, ":")
			if !ok {
				return fmt.Errorf("%w: it is not user:password", schema.ErrValue)
			}
			return mv.t.PutSaslPassword(key, user, secret)
		}},
		{"smtpd_sender_login_maps", func(key, value string) error {
			for _, login := range splitTargets(value) {
				if err := mv.t.PutSenderOwner(key, login); err != nil {
					return err
				}
			}
			return nil
		}},
	} {
		sql := ""
		if m.parameter == "smtpd_sender_login_maps" {
			sql = m.parameter
		}
		err := mv.tablesOf(m.parameter, sql, func(file string, row postfixconf.Row) error {
			if isPattern(row.Key) {
				mv.tell(file, row.Line, row.Key, missed, "this table has no patterns")
				return nil
			}
			return mv.row(file, row.Line, row.Key, m.put(row.Key, row.Value))
		})
		if err != nil {
			return err
		}
	}
	if mv.value("smtpd_sender_login_maps") != "" {
		return mv.put("smtpd_sender_login_maps", "SenderOwner")
	}
	return nil
}

// contentChecks takes header_checks(5) and its kin.
func (mv *postfixMove) contentChecks() error {
	for _, m := range []struct{ parameter, table string }{
		{"header_checks", "header"}, {"mime_header_checks", "mime_header"}, {"nested_header_checks", "nested_header"},
		{"body_checks", "body"}, {"smtp_header_checks", "smtp_header"},
	} {
		if _, ok := mv.conf.Get(m.parameter); !ok || (m.parameter == "mime_header_checks" || m.parameter == "nested_header_checks") && mv.conf.Raw(m.parameter) == "$header_checks" {
			mv.done[m.parameter] = true
			continue
		}
		if err := mv.t.ClearContentChecks(m.table); err != nil {
			return err
		}
		priority := 0
		err := mv.tablesOf(m.parameter, "", func(file string, row postfixconf.Row) error {
			if !isPattern(row.Key) {
				mv.tell(file, row.Line, row.Key, missed, "a pattern begins with /")
				return nil
			}
			if _, bad := contentcheck.Compile([]contentcheck.Row{{Pattern: row.Key, Action: row.Value}}); len(bad) > 0 && row.Key != "endif" && !strings.HasPrefix(row.Key, "if ") {
				mv.tell(file, row.Line, row.Key, missed, "%s", bad[0])
				return nil
			}
			priority++
			return mv.row(file, row.Line, row.Key, mv.t.AddContentCheck(m.table, row.Key, row.Value, priority))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// outgoing takes what concerns next hops and is not of the same form here.
func (mv *postfixMove) outgoing() error {
	mv.param("smtp_sasl_auth_enable", needless, "who has a password for a next hop logs in there")
	for _, p := range []string{"smtp_use_tls", "smtp_enforce_tls"} {
		if _, ok := mv.conf.Get(p); ok {
			mv.param(p, missed, "it is long obsolete: smtp_tls_security_level")
		}
	}
	return nil
}
