package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"

	"mailserver/schema"
)

func classCommands() []command {
	return []command{
		{name: "class add", args: "[NUMBER] NAME --list LIST", min: 1, max: 2, about: "add a restriction class; with a number it can be given to recipients",
			more:  "class add 35 yourclass --list 'z-common, reject_non_fqdn_sender' makes RC35-yourclass.\nclass add z-mine --list '...' makes a component that other classes name.",
			setup: classAdd},
		{name: "class set", args: "NAME", min: 1, max: 1, about: "change a class", setup: classSet},
		{name: "class list", about: "all classes", setup: classList},
		{name: "class show", args: "NAME", min: 1, max: 1, about: "a class", setup: classShow},
		{name: "class rm", args: "NAME", min: 1, max: 1, about: "remove a class that nothing names", setup: classRemove},
	}
}

func classFlags(fs *flag.FlagSet) (list, text *string) {
	list = fs.String("list", "", "`restrictions`, access tables and classes, by comma")
	text = fs.String("text", "", "`text` to say instead of the plain refusal; '' for none")
	return list, text
}

func classAdd(fs *flag.FlagSet) action {
	list, text := classFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		if strings.TrimSpace(*list) == "" {
			return usage("class add: say --list with at least one restriction")
		}
		num, numErr := strconv.Atoi(args[0])
		if len(args) == 2 && (numErr != nil || num < 0 || num > 99) {
			return usage("class add: %q is no number from 0 to 99", args[0])
		}
		name := args[0]
		if len(args) == 2 {
			name = schema.ClassName(num, args[1])
		}
		err := a.change(ctx, func(t *schema.Tx) error {
			if len(args) == 2 {
				if err := t.NumberClass(num, args[1]); err != nil {
					return err
				}
			}
			return t.SetClass(name, schema.To(*list), schema.To(nullable(*text)), true)
		})
		if err != nil {
			return err
		}
		return a.warnOfClass(ctx, name)
	}
}

func classSet(fs *flag.FlagSet) action {
	classFlags(fs)
	return func(ctx context.Context, a *app, args []string) error {
		var list, text schema.Field
		given := a.given()
		if v, ok := given["list"]; ok {
			list = schema.To(v)
		}
		if v, ok := given["text"]; ok {
			text = schema.To(nullable(v))
		}
		if err := a.change(ctx, func(t *schema.Tx) error { return t.SetClass(args[0], list, text, false) }); err != nil {
			return err
		}
		return a.warnOfClass(ctx, args[0])
	}
}

func classList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "CLASS", "USES", "RESTRICTIONS", "TEXT")
			return t.end(m.Classes(ctx, func(r schema.ClassRow) error { return t.row(r, r.Name, r.Uses, r.List, r.Text) }))
		})
	}
}

func classShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			found := false
			err := m.Classes(ctx, func(r schema.ClassRow) error {
				if !strings.EqualFold(r.Name, args[0]) && strconv.Itoa(r.Num) != args[0] {
					return nil
				}
				found = true
				return a.object(*asJSON, r, "class", r.Name, "restrictions", r.List, "text", r.Text, "used by", fmt.Sprint(r.Uses, " domains and addresses"))
			})
			if err == nil && !found {
				err = fmt.Errorf("class %s: %w", args[0], schema.ErrNotFound)
			}
			return err
		})
	}
}

func classRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error { return t.RemoveClass(args[0]) })
	}
}
