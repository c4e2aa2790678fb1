package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// host takes the names of the host.
func (mv *postfixMove) host() error {
	if _, ok := mv.conf.Get("myhostname"); ok {
		if err := mv.set("myhostname", mv.value("myhostname")); err != nil {
			return err
		}
	}
	origin := mv.value("myorigin")
	if filepath.IsAbs(origin) {
		text, err := os.ReadFile(mv.path(origin))
		name := strings.TrimSpace(string(text))
		if err != nil || name == "" || len(name) > 255 {
			mv.param("myorigin", missed, "%s holds no name: %v", origin, err)
			return nil
		}
		return mv.setAs("myorigin", name, "the name in "+origin)
	}
	return nil
}

// set writes a setting; a value that cannot be obeyed is told and left out.
func (mv *postfixMove) set(name, value string) error { return mv.setAs(name, value, "") }

func (mv *postfixMove) setAs(name, value, note string) error {
	if fault := mv.fault(name, value); fault != "" {
		mv.param(name, missed, "%s", fault)
		return nil
	}
	mv.rows[name] = value
	if note == "" {
		note = "setting"
	}
	mv.param(name, taken, "%s", note)
	return mv.t.SetSetting(name, value)
}

// entries are the words of a list of domains: what stands there, and what
// files and tables hold. Tables of SQL become maps.
func (mv *postfixMove) entries(name string, fn func(file string, line int, word string) error) error {
	p, set := mv.conf.Get(name)
	refs := postfixconf.Refs(mv.value(name))
	said := 0
	for _, ref := range refs {
		word := strings.TrimPrefix(ref.Text, "!")
		switch {
		case strings.HasPrefix(ref.Text, "!"):
			mv.tell("main.cf", p.Line, name, missed, "%s: exceptions have no counterpart: name what is meant", ref.Text)
		case isSQL(ref):
			text, err := mv.sqlMap(ref, name)
			if err != nil {
				return err
			}
			if text != "" {
				mv.tell("main.cf", p.Line, name, taken, "%s", text)
				said++
			}
		case ref.Type == "" && !strings.Contains(ref.Name, "/"):
			if err := fn("main.cf", p.Line, word); err != nil {
				return err
			}
		default:
			err := mv.each(ref, false, func(file string, row postfixconf.Row) error { return fn(file, row.Line, row.Key) })
			if errors.Is(err, errNoTable) {
				mv.param(name, missed, "%s", strings.TrimPrefix(err.Error(), errNoTable.Error()+": "))
				said++
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	mv.done[name] = true
	if set && said == 0 {
		mv.param(name, taken, "%d domains", mv.counts[name])
	}
	return nil
}

// domain writes a domain of a list.
func (mv *postfixMove) domain(list string, class schema.Class) func(file string, line int, word string) error {
	return func(file string, line int, word string) error {
		word = strings.ToLower(word)
		if _, ok := dnsName(strings.TrimPrefix(word, ".")); !ok {
			mv.tell(file, line, word, missed, "no name of a domain")
			return nil
		}
		if slices.Contains(mv.locals, word) && class != schema.Local {
			mv.tell(file, line, word, missed, "it is in mydestination too, which comes first")
			return nil
		}
		mv.counts[list]++
		return mv.row(file, line, word, mv.t.PutDomain(word, class))
	}
}

// domains takes the lists of the four classes. As in Postfix, the first that
// names a domain counts: local, virtual alias, virtual mailbox, relay; so they
// are written in the opposite order.
func (mv *postfixMove) domains() error {
	if err := mv.destination(); err != nil {
		return err
	}
	if err := mv.parentDomains(); err != nil {
		return err
	}
	if err := mv.entries("relay_domains", mv.relayDomain()); err != nil {
		return err
	}
	if p, ok := mv.conf.Get("relay_domains"); ok && mv.below && mv.counts["relay_domains"] > 0 {
		mv.tell("main.cf", p.Line, "relay_domains", taken, "their subdomains: rows .DOMAIN, as parent_domain_matches_subdomains has it")
	}
	if err := mv.entries("virtual_mailbox_domains", mv.domain("virtual_mailbox_domains", mv.mailboxClass())); err != nil {
		return err
	}
	return mv.aliasDomains()
}

// parentDomains takes the list of what counts for subdomains too: the setting
// for those that are settings, relay_domains as rows.
func (mv *postfixMove) parentDomains() error {
	const name = "parent_domain_matches_subdomains"
	var words, needed []string
	for _, w := range postfixconf.Words(mv.value(name), true) {
		switch w {
		case "relay_domains":
			mv.below = true
		case "mynetworks", "permit_mx_backup_networks", "smtpd_access_maps":
			words = append(words, w)
		case "debug_peer_list", "fast_flush_domains", "qmqpd_authorized_clients": // nothing has them here
		default:
			needed = append(needed, w)
		}
	}
	if _, ok := mv.conf.Get(name); !ok {
		return nil
	}
	if len(needed) > 0 {
		mv.param(name, missed, "%s: its names count for themselves", strings.Join(needed, ", "))
	}
	return mv.setAs(name, strings.Join(words, ", "), "setting; relay_domains are rows")
}

// relayDomain writes a relay domain, and what lies below it where Postfix takes
// that too. A name .example.com is only that.
func (mv *postfixMove) relayDomain() func(file string, line int, word string) error {
	put := mv.domain("relay_domains", schema.Relay)
	return func(file string, line int, word string) error {
		if err := put(file, line, word); err != nil || !mv.below || strings.HasPrefix(word, ".") {
			return err
		}
		if class, err := mv.t.DomainClass(word); err != nil || class != schema.Relay {
			return nil
		}
		return mv.t.PutDomain("."+strings.ToLower(word), schema.Relay)
	}
}

// destination takes mydestination: names stay a setting, what tables hold are
// rows.
func (mv *postfixMove) destination() error {
	var names []string
	for _, ref := range postfixconf.Refs(mv.value("mydestination")) {
		if ref.Type == "" && !strings.Contains(ref.Name, "/") && !strings.HasPrefix(ref.Text, "!") {
			names = append(names, strings.ToLower(ref.Text))
		}
	}
	mv.locals = names
	if _, ok := mv.conf.Get("mydestination"); !ok {
		return nil
	}
	err := mv.entries("mydestination", func(file string, line int, word string) error {
		mv.counts["mydestination"]++
		if file == "main.cf" {
			return nil
		}
		mv.locals = append(mv.locals, strings.ToLower(word))
		return mv.domain("", schema.Local)(file, line, word)
	})
	if err != nil {
		return err
	}
	mv.rows["mydestination"] = strings.Join(names, ", ")
	return mv.t.SetSetting("mydestination", mv.rows["mydestination"])
}

// aliasDomains takes virtual_alias_domains; without it they are the keys of
// virtual_alias_maps that are domains.
func (mv *postfixMove) aliasDomains() error {
	put := mv.domain("virtual_alias_domains", schema.VirtualAlias)
	p, set := mv.conf.Get("virtual_alias_domains")
	if set && strings.TrimSpace(p.Value) != "$virtual_alias_maps" && strings.TrimSpace(p.Value) != "${virtual_alias_maps}" {
		return mv.entries("virtual_alias_domains", put)
	}
	for _, ref := range postfixconf.Refs(mv.value("virtual_alias_maps")) {
		err := mv.each(ref, false, func(file string, row postfixconf.Row) error {
			if strings.Contains(row.Key, "@") || !strings.Contains(row.Key, ".") || strings.ContainsAny(row.Key, "/ ") {
				return nil
			}
			return put(file, row.Line, row.Key)
		})
		if err != nil && !errors.Is(err, errNoTable) { // virtualAliases will tell
			return err
		}
	}
	mv.param("virtual_alias_domains", taken, "%d domains", mv.counts["virtual_alias_domains"])
	return nil
}

// staticNumber is N of static:N; below 0 where the parameter is something else.
func (mv *postfixMove) staticNumber(name string) int {
	refs := postfixconf.Refs(mv.value(name))
	if len(refs) != 1 || refs[0].Type != "static" {
		return -1
	}
	text, _ := postfixconf.Unbrace(refs[0].Name)
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// mailboxClass is the class of virtual mailbox domains: the UID of their files,
// if it can be one.
func (mv *postfixMove) mailboxClass() schema.Class {
	if c := schema.Class(mv.staticNumber("virtual_uid_maps")); c.IsMailbox() {
		return c
	}
	return schema.Class(mailboxUID)
}
