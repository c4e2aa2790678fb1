package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mailserver/internal/postfixconf"
	"mailserver/schema"
)

// dovecotWays are transports that hand mail to a Dovecot on this host: what
// this server does itself.
func dovecotWay(text string) bool {
	name, hop, _ := strings.Cut(text, ":")
	switch name {
	case "dovecot", "dovecot-lda", "virtual":
		return true
	case "lmtp":
		return strings.Contains(hop, "dovecot") || strings.HasPrefix(hop, "unix:private/")
	}
	return text == "" || strings.HasPrefix(name, "dovecot")
}

// mailboxes takes virtual_mailbox_maps and what says where their files lie.
func (mv *postfixMove) mailboxes() error {
	way := mv.value("virtual_transport")
	own := way == "virtual" // the files are where the maps say
	base := mv.value("virtual_mailbox_base")
	uids, err := mv.owners("virtual_uid_maps")
	if err != nil {
		return err
	}
	gids, err := mv.owners("virtual_gid_maps")
	if err != nil {
		return err
	}
	if n := mv.staticNumber("virtual_gid_maps"); n > 0 {
		if err := mv.put("virtual_default_gid", strconv.Itoa(n)); err != nil {
			return err
		}
	}
	passwords, err := mv.passwords()
	if err != nil {
		return err
	}
	maildirs := false
	err = mv.tablesOf("virtual_mailbox_maps", "virtual_mailbox_maps", func(file string, row postfixconf.Row) error {
		local, domain, ok := cutAddress(row.Key)
		if !ok || local == "" {
			mv.tell(file, row.Line, row.Key, missed, "a mailbox needs user@domain: a catch-all is an alias")
			return nil
		}
		c := schema.MailboxChange{}
		if own {
			if !strings.HasSuffix(row.Value, "/") {
				mv.tell(file, row.Line, row.Key, missed, "%s is an mbox file: the mailbox is made empty; mailserver import mbox brings its mail", filepath.Join(base, row.Value))
			} else {
				c.Home, maildirs = schema.To(filepath.Join(base, row.Value)), true
			}
		}
		if n, ok := uids(row.Key); ok {
			c.UID = schema.To(n)
		}
		if n, ok := gids(row.Key); ok {
			c.GID = schema.To(n)
		}
		if stored, ok := passwords[row.Key]; ok {
			c.Passwd = schema.To(stored)
			mv.counts["passwords"]++
		}
		err := mv.t.AddVMailbox(local, domain, c)
		if errors.Is(err, schema.ErrExists) {
			err = mv.t.SetVMailbox(local, domain, c)
		}
		mv.counts["mailboxes"]++
		return mv.row(file, row.Line, row.Key, err)
	})
	if err != nil {
		return err
	}
	return mv.whereMailLies(way, own, base, maildirs)
}

// whereMailLies tells about the parameters of virtual mailboxes.
func (mv *postfixMove) whereMailLies(way string, own bool, base string, maildirs bool) error {
	mv.done["virtual_mailbox_base"], mv.done["virtual_transport"] = true, true
	if p, ok := mv.conf.Get("virtual_mailbox_maps"); ok && mv.counts["mailboxes"] > mv.counts["passwords"] {
		mv.tell("main.cf", p.Line, "virtual_mailbox_maps", missed, "the passwords of %d mailboxes: they are not Postfix's; --passwd-file reads those of Dovecot",
			mv.counts["mailboxes"]-mv.counts["passwords"])
	}
	switch {
	case own && maildirs:
		mv.param("virtual_mailbox_base", taken, "the home of each mailbox is below it")
		mv.param("virtual_transport", needless, "this server delivers by itself")
		return mv.put("virtual_mailbox_dir", "") // the path is the Maildir itself
	case own || dovecotWay(way):
		mv.param("virtual_mailbox_base", needless, "Dovecot says where mail lies")
		mv.param("virtual_transport", needless, "this server delivers by itself; say where Dovecot has the mail: mailserver config set virtual_mailbox_home=... virtual_mailbox_dir=...")
		return nil
	}
	mv.param("virtual_mailbox_base", needless, "virtual_transport says where mail goes")
	return mv.way("virtual_transport", way)
}

// put writes a setting that no line of main.cf has by that name.
func (mv *postfixMove) put(name, value string) error {
	mv.rows[name] = value
	return mv.t.SetSetting(name, value)
}

// owners reads virtual_uid_maps or virtual_gid_maps. A number for all that the
// class has already is no number.
func (mv *postfixMove) owners(name string) (func(key string) (int, bool), error) {
	if n := mv.staticNumber(name); n >= 0 {
		mv.param(name, taken, "%d for all", n)
		all := name == "virtual_gid_maps" || schema.Class(n) == mv.mailboxClass()
		return func(string) (int, bool) { return n, !all }, nil
	}
	numbers := make(map[string]int)
	err := mv.tablesOf(name, name, func(file string, row postfixconf.Row) error {
		n, err := strconv.Atoi(row.Value)
		if err != nil {
			mv.tell(file, row.Line, row.Key, missed, "%q is no number", row.Value)
			return nil
		}
		numbers[row.Key] = n
		return nil
	})
	return func(key string) (int, bool) {
		n, ok := numbers[key]
		if _, domain, cut := strings.Cut(key, "@"); !ok && cut {
			n, ok = numbers["@"+domain]
		}
		return n, ok
	}, err
}

// passwords reads Dovecot's passwd-file: user:password:uid:gid:gecos:home:...
func (mv *postfixMove) passwords() (map[string]string, error) {
	if mv.passwd == "" {
		return nil, nil
	}
	f, err := os.Open(mv.passwd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := make(map[string]string)
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		fields := strings.Split(in.Text(), ":")
		if strings.HasPrefix(fields[0], "#") || strings.TrimSpace(fields[0]) == "" {
			continue
		}
		if len(fields) < 2 || fields[1] == "" {
			mv.tell(mv.passwd, n, fields[0], missed, "there is no password")
			continue
		}
		all[strings.ToLower(fields[0])] = withScheme(fields[1], "CRYPT")
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", mv.passwd, err)
	}
	return all, nil
}
