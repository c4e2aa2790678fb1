package main

import (
	"errors"
	"fmt"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// isPattern reports whether a row is of a table of patterns.
func isPattern(key string) bool {
	return strings.HasPrefix(key, "/") || strings.HasPrefix(key, "!") || strings.HasPrefix(key, "if ") || key == "endif"
}

// virtualAliases takes virtual(5).
func (mv *postfixMove) virtualAliases() error {
	catchAll, seen, block := 0, make(map[string]bool), patternBlock{}
	err := mv.tablesOf("virtual_alias_maps", "virtual_alias_maps", func(file string, row postfixconf.Row) error {
		if isPattern(row.Key) {
			if !block.covers(mv, file, row) {
				return mv.virtualPattern(file, row, seen)
			}
			return nil
		}
		if !strings.Contains(row.Key, "@") && strings.Contains(row.Key, ".") && mv.isDomain(row.Key) {
			return nil // a domain: aliasDomains
		}
		key := row.Key
		if !strings.Contains(key, "@") {
			key += "@" + mv.hostname()
		}
		local, domain, ok := cutAddress(key)
		if !ok {
			mv.tell(file, row.Line, row.Key, missed, "no address")
			return nil
		}
		if local == "" {
			catchAll++
		}
		return mv.virtualAlias(file, row, local, domain)
	})
	if err != nil || catchAll == 0 {
		return err
	}
	return mv.put("catchall_postfix_compat", "yes")
}

// isDomain reports whether a key without @ is a domain that aliases name.
func (mv *postfixMove) isDomain(key string) bool {
	class, err := mv.t.DomainClass(key)
	return err == nil && class == schema.VirtualAlias
}

func (mv *postfixMove) hostname() string {
	if name := mv.rows["myhostname"]; name != "" {
		return name
	}
	return "localhost"
}

// origin is the domain of an address without one.
func (mv *postfixMove) origin() string {
	if name := mv.rows["myorigin"]; name != "" && !strings.Contains(name, "$") {
		return name
	}
	if name := mv.value("myorigin"); name != "" && !strings.HasPrefix(name, "/") {
		return name
	}
	return mv.hostname()
}

// virtualAlias writes the targets of one address. @domain as a target keeps
// the local part.
func (mv *postfixMove) virtualAlias(file string, row postfixconf.Row, local, domain string) error {
	if _, err := mv.t.EnsureAddress(local, domain); err != nil {
		return mv.row(file, row.Line, row.Key, err)
	}
	from, err := mv.t.AddressNum(local, domain)
	if err != nil {
		return err
	}
	if _, err := mv.t.RemoveAliases(from, ""); err != nil {
		return err
	}
	for _, to := range splitTargets(row.Value) {
		if strings.HasPrefix(to, "|") || strings.HasPrefix(to, "/") || strings.HasPrefix(to, ":") {
			mv.tell(file, row.Line, row.Key, missed, "%s: a virtual alias leads to addresses only", to)
			continue
		}
		if strings.HasPrefix(to, "@") && local != "" {
			to = local + to
		}
		if !strings.Contains(to, "@") {
			to += "@" + mv.origin()
		}
		toLocal, toDomain, ok := cutAddress(to)
		if !ok {
			mv.tell(file, row.Line, row.Key, missed, "%s is no address", to)
			continue
		}
		target, err := mv.t.EnsureAddress(toLocal, toDomain)
		if err == nil {
			err = mv.t.AddVAlias(from, target, "")
		}
		if err := mv.row(file, row.Line, row.Key, err); err != nil {
			return err
		}
	}
	return nil
}

// splitTargets splits what an alias leads to by commas, and white space between
// addresses; "..." is one target.
func splitTargets(text string) []string {
	var list []string
	var word strings.Builder
	quoted, command := false, false
	end := func() {
		if s := strings.TrimSpace(word.String()); s != "" {
			list = append(list, s)
		}
		word.Reset()
		command = false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quoted && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case c == '"':
			quoted = !quoted
			command = command || word.Len() == 0
		case !quoted && (c == ',' || !command && (c == ' ' || c == '\t')):
			end()
		default:
			word.WriteByte(c)
		}
	}
	end()
	return list
}

// localAliases takes aliases(5).
func (mv *postfixMove) localAliases() error {
	maps := mv.value("alias_maps")
	if _, set := mv.conf.Get("alias_maps"); !set {
		maps = "hash:/etc/aliases"
	}
	host, n := mv.hostname(), 0
	if err := mv.t.PutDomain(host, schema.External); err != nil {
		return err
	}
	for _, ref := range postfixconf.Refs(maps) {
		err := mv.each(ref, true, func(file string, row postfixconf.Row) error {
			n++
			return mv.localAlias(file, row, host)
		})
		if errors.Is(err, errNoTable) {
			if _, set := mv.conf.Get("alias_maps"); set {
				mv.param("alias_maps", missed, "%s", strings.TrimPrefix(err.Error(), errNoTable.Error()+": "))
			}
			continue
		}
		if err != nil {
			return err
		}
		mv.param("alias_maps", taken, "%d names of %s", n, ref.Text)
	}
	mv.param("alias_database", needless, "there is nothing to build: rows act at once")
	return nil
}

func (mv *postfixMove) localAlias(file string, row postfixconf.Row, host string) error {
	if strings.Contains(row.Key, "@") || isPattern(row.Key) {
		mv.tell(file, row.Line, row.Key, missed, "no name of a local user")
		return nil
	}
	from, err := mv.t.EnsureAddress(row.Key, host)
	if err != nil {
		return mv.row(file, row.Line, row.Key, err)
	}
	for _, to := range splitTargets(row.Value) {
		if err := mv.row(file, row.Line, row.Key, mv.t.AddAlias(from, to)); err != nil {
			return err
		}
	}
	return nil
}

// relayRecipients takes relay_recipient_maps; without them every address of a
// relay domain exists.
func (mv *postfixMove) relayRecipients() error {
	if mv.value("relay_recipient_maps") == "" {
		var domains []string
		err := mv.entriesQuiet("relay_domains", func(word string) { domains = append(domains, word) })
		if err != nil {
			return err
		}
		for _, domain := range withSubdomains(domains, mv.below) {
			if class, err := mv.t.DomainClass(domain); err != nil || class != schema.Relay {
				continue
			}
			if _, err := mv.t.EnsureAddress("", domain); err != nil {
				return err
			}
		}
		if p, ok := mv.conf.Get("relay_domains"); ok && len(domains) > 0 {
			mv.tell("main.cf", p.Line, "relay_domains", taken, "every address of them: without relay_recipient_maps Postfix knows no better; remove with mailserver address rm @DOMAIN")
		}
		mv.done["relay_recipient_maps"] = true
		return nil
	}
	return mv.tablesOf("relay_recipient_maps", "relay_recipient_maps", func(file string, row postfixconf.Row) error {
		local, domain, ok := cutAddress(row.Key)
		if !ok || isPattern(row.Key) {
			mv.tell(file, row.Line, row.Key, missed, "no address")
			return nil
		}
		_, err := mv.t.EnsureAddress(local, domain)
		return mv.row(file, row.Line, row.Key, err)
	})
}

// withSubdomains are domains and, where they count, what lies below each.
func withSubdomains(domains []string, below bool) []string {
	all := domains
	for _, d := range domains {
		if below && !strings.HasPrefix(d, ".") {
			all = append(all, "."+d)
		}
	}
	return all
}

// entriesQuiet are the names of a list of domains, told about elsewhere.
func (mv *postfixMove) entriesQuiet(name string, fn func(word string)) error {
	for _, ref := range postfixconf.Refs(mv.value(name)) {
		if ref.Type == "" && !strings.Contains(ref.Name, "/") {
			fn(strings.ToLower(ref.Text))
			continue
		}
		if isSQL(ref) {
			continue
		}
		err := mv.each(ref, false, func(_ string, row postfixconf.Row) error { fn(strings.ToLower(row.Key)); return nil })
		if err != nil && !errors.Is(err, errNoTable) {
			return err
		}
	}
	return nil
}

// localRecipients takes local_recipient_maps: users and aliases are words here,
// what a table holds are addresses of the local domains.
func (mv *postfixMove) localRecipients() error {
	p, set := mv.conf.Get("local_recipient_maps")
	if !set {
		mv.done["local_recipient_maps"] = true
		return nil
	}
	var words []string
	n := 0
	aliases := mv.value("alias_maps")
	text, err := mv.conf.Expand(strings.NewReplacer("$alias_maps", "address:aliases", "${alias_maps}", "address:aliases").Replace(p.Value))
	if err != nil {
		mv.param("local_recipient_maps", missed, "%v", err)
		return nil
	}
	for _, ref := range postfixconf.Refs(text) {
		switch {
		case ref.Text == "address:aliases" || aliases != "" && strings.Contains(aliases, ref.Text):
			words = append(words, "$alias_maps")
			continue
		case ref.Type == "unix" && ref.Name == "passwd.byname":
			words = append(words, "unix:passwd.byname")
			continue
		}
		err := mv.each(ref, false, func(file string, row postfixconf.Row) error {
			n++
			return mv.localRecipient(file, row)
		})
		if errors.Is(err, errNoTable) {
			mv.param("local_recipient_maps", missed, "%s", strings.TrimPrefix(err.Error(), errNoTable.Error()+": "))
			return nil
		}
		if err != nil {
			return err
		}
	}
	if n > 0 {
		words = append(words, "address")
	}
	return mv.setAs("local_recipient_maps", strings.Join(words, ", "), fmt.Sprintf("setting, and %d addresses", n))
}

func (mv *postfixMove) localRecipient(file string, row postfixconf.Row) error {
	domains := mv.locals
	local, domain, at := strings.Cut(row.Key, "@")
	if at {
		domains = []string{domain}
	}
	for _, d := range domains {
		if d == "localhost" || local == "" {
			continue
		}
		if err := mv.t.PutDomain(d, schema.Local); err != nil {
			return mv.row(file, row.Line, row.Key, err)
		}
		if _, err := mv.t.EnsureAddress(local, d); err != nil {
			return mv.row(file, row.Line, row.Key, err)
		}
	}
	return nil
}
