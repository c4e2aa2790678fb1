package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailserver/schema"
)

// Problem is something in settings or rows that the engine cannot follow, or
// that says less than it seems to.
type Problem struct {
	Where string // "setting smtpd_client_restrictions", "class RC35-x", "access table t, key k"
	Name  string // the restriction, class or table that it is about
	Text  string
	Fatal bool // mail that reaches it is answered 451
}

// String gives one line.
func (p Problem) String() string { return p.Where + ": " + p.Name + ": " + p.Text }

// Check reads every list, class and access row as the evaluation would and
// reports what it could not follow. An error says that the rows could not be
// read.
func (e *Engine) Check(ctx context.Context) ([]Problem, error) {
	view, err := e.d.Mail.View(ctx)
	if err != nil {
		return nil, err
	}
	cfg, err := e.d.Config(ctx)
	if err != nil {
		return nil, err
	}
	c := &checker{e: e, ctx: ctx, view: view}
	for _, step := range []func() error{
		func() error { return c.settings(cfg) }, c.classes, c.numbers, c.access, c.backscatter,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.found, nil
}

type checker struct {
	e     *Engine
	ctx   context.Context
	view  *schema.View
	found []Problem
}

func (c *checker) add(fatal bool, where, name, format string, args ...any) {
	c.found = append(c.found, Problem{where, name, fmt.Sprintf(format, args...), fatal})
}

// settingLists are the settings that hold lists, and whether a bare access
// table may stand in them.
func settingLists(cfg *Config) []struct {
	name, text string
	bare       bool
	known      need
} {
	return []struct {
		name, text string
		bare       bool
		known      need
	}{
		{"smtpd_client_restrictions", cfg.Client, true, nothing},
		{"smtpd_helo_restrictions", cfg.Helo, true, helo},
		{"smtpd_sender_restrictions", cfg.Sender, true, sender},
		{"smtpd_relay_restrictions", cfg.Relay, true, recipient},
		{"smtpd_recipient_restrictions", cfg.Recipient, true, recipient},
		{"smtpd_data_restrictions", cfg.Data, false, recipient},
		{"smtpd_end_of_data_restrictions", cfg.EndOfData, false, recipient},
		{"smtpd_etrn_restrictions", cfg.Etrn, true, etrn},
		{"mua_client_restrictions", cfg.MuaClient, true, nothing},
		{"mua_helo_restrictions", cfg.MuaHelo, true, helo},
		{"mua_sender_restrictions", cfg.MuaSender, true, sender},
		{"mua_relay_restrictions", cfg.MuaRelay, true, recipient},
		{"mua_recipient_restrictions", cfg.MuaRecipient, true, recipient},
	}
}

func (c *checker) settings(cfg *Config) error {
	for _, l := range settingLists(cfg) {
		where := "setting " + l.name
		items := c.e.compile(l.text)
		if err := c.list(where, items, l.bare); err != nil {
			return err
		}
		for _, it := range items.items {
			if !cfg.DelayReject && it.rule != nil && it.rule.needs > l.known && l.known < recipient {
				c.add(false, where, it.name, "never acts here with smtpd_delay_reject=no")
			}
		}
	}
	for _, pair := range [][3]string{{"smtpd_relay_restrictions", cfg.Relay, cfg.Recipient}, {"mua_relay_restrictions", cfg.MuaRelay, cfg.MuaRecipient}} {
		relay, err := c.e.hasGuard(c.ctx, c.view, pair[1], 0)
		rcpt, err2 := c.e.hasGuard(c.ctx, c.view, pair[2], 0)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		if !relay && !rcpt {
			c.add(true, "setting "+pair[0], pair[0], "%s", guardText)
		}
	}
	if nets := parseNets(strings.Join(cfg.MyNetworks, " ")); nets.bad != "" {
		c.add(true, "setting mynetworks", "permit_mynetworks", "%s", nets.bad)
	}
	return nil
}

func (c *checker) classes() error {
	all, err := c.view.Restrictions(c.ctx)
	if err != nil {
		return err
	}
	for _, rs := range all {
		where := "class " + rs.Name
		if r := c.e.rules[strings.ToLower(rs.Name)]; r != nil {
			c.add(false, where, rs.Name, "is the name of a restriction, which is meant instead")
		}
		items := c.e.compile(rs.List)
		if len(items.items) == 0 {
			c.add(false, where, rs.Name, "is empty: it says nothing")
		}
		if err := c.list(where, items, true); err != nil {
			return err
		}
		if err := c.loop(rs.Name); err != nil {
			return err
		}
	}
	return nil
}

// loop reports a class that leads back to itself.
func (c *checker) loop(start string) error {
	seen := make(map[string]bool)
	var visit func(name string) (bool, error)
	visit = func(name string) (bool, error) {
		if seen[name] {
			return false, nil
		}
		seen[name] = true
		rs, err := c.view.Restriction(c.ctx, name)
		if err != nil || rs == nil {
			return false, err
		}
		for _, it := range c.e.compile(rs.List).items {
			if it.rule != nil || it.bare {
				continue
			}
			if strings.EqualFold(it.name, start) {
				return true, nil
			}
			if hit, err := visit(strings.ToLower(it.name)); hit || err != nil {
				return hit, err
			}
		}
		return false, nil
	}
	hit, err := visit(strings.ToLower(start))
	if hit {
		c.add(true, "class "+start, start, "leads back to itself")
	}
	return err
}

func (c *checker) numbers() error {
	all, err := c.view.RClasses(c.ctx)
	if err != nil {
		return err
	}
	for _, rc := range all {
		full := fmt.Sprintf("RC%02d-%s", rc.Num, rc.Name)
		rs, err := c.view.Restriction(c.ctx, full)
		if err != nil {
			return err
		}
		if rs == nil {
			c.add(true, fmt.Sprintf("class number %d", rc.Num), full, "has no row in Restriction")
		}
	}
	return nil
}

func (c *checker) access() error {
	return c.view.EachAccess(c.ctx, func(l schema.AccessLine) error {
		where := fmt.Sprintf("access table %s, key %s", l.Table, l.Key)
		if l.Type != "hash" {
			_, isIf, err := compileRow(l.AccessRow)
			if isIf || isEndif(l.Key) {
				return nil
			}
			if err != nil {
				c.add(false, where, l.Type, "%v; the row is left out", err)
			}
		}
		return c.action(where, l.Action)
	})
}

func (c *checker) backscatter() error {
	return c.view.EachBackscatter(c.ctx, func(sender, target string) error {
		return c.action("backscatter sender "+sender, target)
	})
}

// action checks what a row says.
func (c *checker) action(where, text string) error {
	a := parseAction(text)
	switch {
	case a.verb != "":
		return nil
	case strings.Contains(a.text, ":"):
		c.add(true, where, a.text, "a look-up table within an access table; name a restriction class instead")
		return nil
	case strings.Contains(a.text, "$"):
		return nil // filled in from the pattern
	}
	return c.list(where, c.e.compile(a.text), true)
}

// list checks the items of one list. bare says that a table may stand without
// check_*_access.
func (c *checker) list(where string, l *list, bare bool) error {
	for i, it := range l.items {
		switch {
		case it.bad != "":
			c.add(true, where, it.text, "%s", it.bad)
		case it.bare && !bare:
			c.add(true, where, it.text, "say which check_*_access it is for")
		case it.rule == nil && !it.bare:
			if err := c.name(where, it.name, bare); err != nil {
				return err
			}
		case it.rule != nil && it.rule.run == nil && !it.rule.prefix:
			c.add(true, where, it.name, "is not built into this server")
		}
		if it.rule != nil && it.rule.ends() && i+1 < len(l.items) && !(i > 0 && l.items[i-1].isWarn()) {
			c.add(false, where, it.name, "what follows it is ignored: %s", l.items[i+1].text)
		}
		if err := c.table(where, it); err != nil {
			return err
		}
	}
	return nil
}

func (it *item) isWarn() bool { return it.rule != nil && it.rule.prefix }

// ends reports a restriction behind which a list never goes on.
func (r *rule) ends() bool { return r.name == "permit" || r.name == "reject" || r.name == "defer" }

// name checks a word that is no restriction: a class or a table.
func (c *checker) name(where, name string, bare bool) error {
	rs, err := c.view.Restriction(c.ctx, name)
	if err != nil || rs != nil {
		return err
	}
	has, err := c.view.HasAccess(c.ctx, name)
	switch {
	case err != nil:
		return err
	case !has:
		c.add(true, where, name, "is neither a restriction, nor a class, nor an access table")
	case !bare:
		c.add(true, where, name, "say which check_*_access it is for")
	}
	return nil
}

// table reports a table without rows.
func (c *checker) table(where string, it item) error {
	if it.bad != "" || it.table.name == "" || it.table.kind > foreignTable {
		if it.table.kind == staticTable {
			return c.action(where, it.table.action)
		}
		return nil
	}
	has, err := c.view.HasAccess(c.ctx, it.table.name)
	if err != nil || has {
		return err
	}
	c.add(it.bare || it.table.kind == foreignTable, where, it.table.name, "access table has no rows")
	return nil
}
