package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"mailserver/internal/nets"
	"mailserver/internal/pattern"
	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// restrictionClasses takes smtpd_restriction_classes: a row each, and a number
// for those that are called RCnn-name.
func (mv *postfixMove) restrictionClasses() error {
	names := postfixconf.Words(mv.value("smtpd_restriction_classes"), true)
	for _, name := range names {
		mv.classes[strings.ToLower(name)] = true
	}
	for _, name := range names {
		p, ok := mv.conf.Get(name)
		if !ok {
			mv.param("smtpd_restriction_classes", missed, "nothing says what %s is: mail that reaches it is answered 451, as by Postfix", name)
			continue
		}
		if mv.conf.Known(name) {
			mv.tell("main.cf", p.Line, name, missed, "it is a parameter and a class: rename the class")
			continue
		}
		list, err := mv.list(name, mv.value(name))
		if err != nil {
			return err
		}
		if err := mv.t.PutRestriction(name, list); err != nil {
			if err := mv.row("main.cf", p.Line, name, err); err != nil {
				return err
			}
			continue
		}
		note, err := mv.number(name)
		if err != nil {
			return err
		}
		mv.param(name, taken, "restriction class%s", note)
	}
	mv.param("smtpd_restriction_classes", taken, "%d classes", len(names))
	return nil
}

// number gives RCnn-name its number.
func (mv *postfixMove) number(name string) (note string, err error) {
	if len(name) < 6 || !strings.HasPrefix(name, "RC") || name[4] != '-' {
		return "", nil
	}
	n, err := strconv.Atoi(name[2:4])
	if err != nil {
		return "", nil
	}
	err = mv.t.PutClassNumber(n, name[5:])
	if errors.Is(err, schema.ErrExists) {
		return fmt.Sprintf("; number %d has another name here: mailserver class list", n), nil
	}
	return fmt.Sprintf(", number %d", n), err
}

// lists are the parameters that hold restrictions.
var postfixLists = []string{"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
	"smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions"}

// restrictions takes the lists of main.cf. One that main.cf does not say is
// Postfix's default, which may be another than ours.
func (mv *postfixMove) restrictions() error {
	for _, name := range postfixLists {
		text := mv.value(name)
		list, err := mv.list(name, text)
		if err != nil {
			return err
		}
		if err := mv.setAs(name, list, "setting"); err != nil {
			return err
		}
	}
	return nil
}

// tableRestrictions are those whose argument is a table.
func takesTable(word string) bool {
	return strings.HasPrefix(word, "check_") && strings.HasSuffix(word, "_access")
}

// list is a list of restrictions as it is here: tables under their names. What
// names a table that cannot be had is left out, and told.
func (mv *postfixMove) list(where, text string) (string, error) {
	words := postfixconf.Words(text, true)
	var out []string
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch lower := strings.ToLower(word); {
		case takesTable(lower) && i+1 < len(words):
			i++
			name, err := mv.accessTable(where, words[i])
			if err != nil {
				return "", err
			}
			if name != "" {
				out = append(out, word+" "+name)
			}
		case lower == "check_policy_service" && i+1 < len(words):
			i++
			out = append(out, word+" "+mv.server(where, words[i]))
		case lower == "sleep" || strings.HasPrefix(lower, "reject_rbl_") || strings.HasPrefix(lower, "reject_rhsbl_") || strings.HasPrefix(lower, "permit_dnswl_") || strings.HasPrefix(lower, "permit_rhswl_"):
			if i+1 < len(words) {
				i++
				word += " " + words[i]
			}
			out = append(out, word)
		case lower == "reject_maps_rbl" || lower == "check_relay_domains" || lower == "permit_naked_ip_address":
			mv.tell("main.cf", mv.line(where), where, missed, "%s: Postfix has had it once", word)
		case lower == "warn_if_reject" && i+1 < len(words):
			out = append(out, word)
		case strings.Contains(word, ":") || strings.HasPrefix(word, "{"):
			name, err := mv.accessTable(where, word)
			if err != nil {
				return "", err
			}
			if name != "" {
				out = append(out, name)
			}
		default:
			out = append(out, word)
		}
	}
	return joinList(out), nil
}

// joinList joins restrictions; warn_if_reject belongs to what follows.
func joinList(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case strings.EqualFold(words[i-1], "warn_if_reject"):
			b.WriteByte(' ')
		default:
			b.WriteString(", ")
		}
		b.WriteString(w)
	}
	return b.String()
}

func (mv *postfixMove) line(name string) int {
	p, _ := mv.conf.Get(name)
	return p.Line
}

// server is the argument of check_policy_service; sockets are below the queue
// directory.
func (mv *postfixMove) server(where, word string) string {
	inner, braced := postfixconf.Unbrace(word)
	words := postfixconf.Words(inner, true)
	if len(words) == 0 {
		return word
	}
	if path, ok := strings.CutPrefix(words[0], "unix:"); ok {
		if !filepath.IsAbs(path) {
			path = filepath.Join(mv.value("queue_directory"), path)
		}
		words[0] = "unix:" + path
		for _, s := range mv.master {
			if s.Command == "spawn" && strings.HasSuffix(path, "/"+s.Name) {
				mv.tell("master.cf", s.Line, s.Name, missed, "programs are not started by this server: let systemd start it on %s", words[0])
			}
		}
	}
	if braced {
		return "{ " + strings.Join(words, ", ") + " }"
	}
	return words[0]
}

// accessTable brings a table of access(5), once, and returns how a list names
// it; ” if it could not be taken, which has been told.
func (mv *postfixMove) accessTable(where, word string) (string, error) {
	ref := postfixconf.ParseRef(word)
	if ref.Type == "static" || ref.Type == "inline" {
		return word, nil
	}
	key := ref.Type + ":" + ref.Name
	if name, ok := mv.tables[key]; ok {
		return name, nil
	}
	name, err := mv.bring(ref)
	if errors.Is(err, errNoTable) {
		mv.tell("main.cf", mv.line(where), where, missed, "%s is left out of the list: %s", word, strings.TrimPrefix(err.Error(), errNoTable.Error()+": "))
		name, err = "", nil
	}
	mv.tables[key] = name
	return name, err
}

// bring writes the rows of a table.
func (mv *postfixMove) bring(ref postfixconf.Ref) (string, error) {
	name := mv.freeName(ref)
	if isSQL(ref) {
		if isClassQuery(name) {
			return "sqlite:" + name, nil // the rows of this server answer it
		}
		text, err := mv.sqlMap(ref, name)
		if err != nil || text == "" {
			return "", err
		}
		mv.tell(mv.short(mv.path(ref.Name)), 0, name, taken, "%s", text)
		return "sqlite:" + name, nil
	}
	kind, ok := sourceKinds[ref.Type]
	if !ok {
		return "", mv.each(ref, false, nil)
	}
	if err := mv.t.ClearAccess(name); err != nil {
		return "", err
	}
	typ := map[postfixconf.Kind]string{postfixconf.Hash: "hash", postfixconf.CIDR: "cidr", postfixconf.Regexp: "regexp"}[kind]
	n := 0
	err := mv.each(ref, false, func(file string, row postfixconf.Row) error {
		key, why := accessKey(kind, row.Key, n)
		if why != "" {
			mv.tell(file, row.Line, row.Key, missed, "%s", why)
			return nil
		}
		action, err := mv.action(file, row)
		if err != nil {
			return err
		}
		n++
		err = mv.t.AddAccess(name, typ, key, action, n)
		if errors.Is(err, schema.ErrExists) {
			mv.tell(file, row.Line, row.Key, missed, "the key is there already: the first counts")
			return nil
		}
		return mv.row(file, row.Line, row.Key, err)
	})
	if err != nil {
		return "", err
	}
	mv.tell(mv.short(mv.path(ref.Name)), 0, brief(ref.Text), taken, "access table %s, %d rows", name, n)
	if n == 0 { // an empty table must exist
		return "inline:{nothing.invalid=DUNNO}", nil
	}
	return ref.Type + ":" + name, nil
}

// accessKey is the key of a row as Access has it. Its rows have different
// keys: what repeats is told apart by spaces, which do not count.
func accessKey(kind postfixconf.Kind, key string, n int) (string, string) {
	bare := strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(key, "if "), "!"))
	switch {
	case key == "endif":
		return fmt.Sprintf("endif %d", n), ""
	case kind == postfixconf.CIDR:
		if _, err := nets.Parse(bare); err != nil {
			return "", err.Error()
		}
	case kind == postfixconf.Regexp:
		if _, err := pattern.Parse(bare); err != nil {
			return "", err.Error()
		}
	}
	if strings.HasPrefix(key, "if ") {
		return key + strings.Repeat(" ", n%1000), ""
	}
	return key, ""
}

// action is what a row asks for: a list of restrictions may name tables. Rows
// if and endif have none.
func (mv *postfixMove) action(file string, row postfixconf.Row) (string, error) {
	if row.Value == "" {
		return "DUNNO", nil
	}
	return row.Value, nil
}

// isClassQuery reports the tables that policy answers from rows of its own.
func isClassQuery(name string) bool {
	switch strings.ToLower(name) {
	case "access-rcpt", "access-rcptdomain", "access-bscat", "bscat":
		return true
	}
	return false
}

// freeName is a name for a table that no other has.
func (mv *postfixMove) freeName(ref postfixconf.Ref) string {
	name := tableName(ref.Name)
	if isClassQuery(name) && !isSQL(ref) {
		name += "_table"
	}
	for base, n := name, 2; mv.names[strings.ToLower(name)]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	mv.names[strings.ToLower(name)] = true
	return name
}

// screen takes what postscreen(8) asks tables for.
func (mv *postfixMove) screen() error {
	for _, name := range []string{"postscreen_access_list", "mynetworks", "smtpd_client_event_limit_exceptions", "smtpd_milter_maps", "rbl_reply_maps", "relay_clientcerts"} {
		if _, ok := mv.conf.Get(name); !ok {
			continue
		}
		var out []string
		for _, ref := range postfixconf.Refs(mv.value(name)) {
			word := ref.Text
			if _, source := sourceKinds[ref.Type]; source || isSQL(ref) {
				table, err := mv.accessTable(name, word)
				if err != nil {
					return err
				}
				word = table
			} else if ref.Type == "" && strings.HasPrefix(ref.Name, "/") {
				var err error
				if word, err = mv.fileWords(name, ref); err != nil {
					return err
				}
			}
			if word != "" {
				out = append(out, word)
			}
		}
		if err := mv.setAs(name, strings.Join(out, ", "), ""); err != nil {
			return err
		}
	}
	return nil
}

// fileWords are the words of a file that a list names.
func (mv *postfixMove) fileWords(name string, ref postfixconf.Ref) (string, error) {
	var words []string
	err := mv.each(ref, false, func(_ string, row postfixconf.Row) error {
		words = append(words, row.Key)
		return nil
	})
	if errors.Is(err, errNoTable) {
		mv.param(name, missed, "%v", err)
		return "", nil
	}
	return strings.Join(words, ", "), err
}
