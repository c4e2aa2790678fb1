package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/server"
	"mailserver/schema"
)

func configCommands() []command {
	return []command{
		{name: "config get", args: "NAME...", min: 1, max: -1, about: "settings as the server sees them, as postconf", setup: configGet},
		{name: "config set", args: "NAME=VALUE...", min: 1, max: -1, about: "change settings, as postconf -e; NAME= alone means empty", setup: configSet},
		{name: "config unset", args: "NAME...", min: 1, max: -1, about: "back to the default, as postconf -X", setup: configUnset},
		{name: "config list", about: "all settings, as postconf; -n: only changed ones; -d: defaults; --origin: where each comes from", setup: configList},
	}
}

func versionCommands() []command {
	return []command{{name: "version", about: "version of the program", setup: showVersion}}
}

func (a *app) withConfig(ctx context.Context, do func(*schema.Mail, *config.Source) error) error {
	return a.withMail(ctx, func(m *schema.Mail) error {
		src, err := config.New(m)
		if err != nil {
			return err
		}
		return do(m, src)
	})
}

func configGet(fs *flag.FlagSet) action {
	defaults := fs.Bool("d", false, "the defaults")
	bare := fs.Bool("h", false, "only the values")
	origin := fs.Bool("origin", false, "where each comes from")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withConfig(ctx, func(_ *schema.Mail, src *config.Source) error {
			rows, err := src.Rows(ctx)
			if err != nil {
				return err
			}
			for _, name := range args {
				name = strings.ToLower(name)
				s := shownSetting{Name: name, Origin: originOf(rows, name)}
				var ok bool
				if *defaults {
					s.Value, ok = defaultOf(src, name)
					s.Origin = originDefault
				} else if s.Value, ok, err = src.Value(ctx, name); err != nil {
					return err
				}
				if !ok {
					return usage("this server has no setting %q", name)
				}
				a.printSetting(s, *bare, *origin)
			}
			return nil
		})
	}
}

func configSet(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.withConfig(ctx, func(m *schema.Mail, src *config.Source) error {
			rows, err := src.Rows(ctx)
			if err != nil {
				return err
			}
			next := make(map[string]string, len(rows))
			for k, v := range rows {
				next[k] = v
			}
			changed := make(map[string]string)
			for _, arg := range args {
				name, value, ok := strings.Cut(arg, "=")
				if !ok {
					return usage("%q is not NAME=VALUE", arg)
				}
				name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
				changed[name], next[name] = value, value
			}
			if err := refuseFaults(rows, next, changed); err != nil {
				return err
			}
			if err := refuseLists(ctx, m, src, rows, next); err != nil {
				return err
			}
			return m.Write(ctx, func(t *schema.Tx) error {
				for name, value := range changed {
					if err := t.SetSetting(name, value); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// Where a setting comes from.
const (
	originRow     = "row"
	originDefault = "default"
)

func originOf(rows map[string]string, name string) string {
	if _, ok := rows[name]; ok {
		return originRow
	}
	return originDefault
}

func defaultOf(src *config.Source, name string) (value string, ok bool) {
	for _, f := range src.Fields() {
		if f.Name == name {
			return f.Default, true
		}
	}
	return "", false
}

// refuseFaults refuses settings that would bring a fault which is not there
// now, and those set, by name, that are wrong whether or not they were before.
func refuseFaults(now, next, set map[string]string) error {
	t, err := config.Table()
	if err != nil {
		return err
	}
	old := make(map[config.Fault]bool)
	for _, f := range config.Faults(t, now) {
		old[f] = true
	}
	for _, f := range config.Faults(t, next) {
		if _, mine := set[strings.ToLower(f.Name)]; mine || !old[f] {
			return fmt.Errorf("%w: %s", server.ErrConfig, f)
		}
	}
	return nil
}

func configUnset(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error {
			for _, name := range args {
				if err := t.UnsetSetting(name); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// shownSetting is a setting as JSON.
type shownSetting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Origin  string `json:"origin"` // row, default
}

func configList(fs *flag.FlagSet) action {
	changed := fs.Bool("n", false, "only those with a row")
	defaults := fs.Bool("d", false, "the defaults")
	bare := fs.Bool("h", false, "only the values")
	origin := fs.Bool("origin", false, "where each comes from")
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withConfig(ctx, func(_ *schema.Mail, src *config.Source) error {
			rows, err := src.Rows(ctx)
			if err != nil {
				return err
			}
			var list []shownSetting
			for _, f := range src.Fields() {
				s := shownSetting{f.Name, f.Default, f.Default, originDefault}
				if value, ok := rows[f.Name]; ok && !*defaults {
					s.Value, s.Origin = value, originRow
				} else if *changed {
					continue
				}
				list = append(list, s)
			}
			if *asJSON {
				return a.jsonSettings(list)
			}
			for _, s := range list {
				a.printSetting(s, *bare, *origin)
			}
			return nil
		})
	}
}

func (a *app) jsonSettings(list []shownSetting) error {
	t := a.table(true)
	for _, s := range list {
		if err := t.row(s); err != nil {
			return err
		}
	}
	return t.end(nil)
}

// printSetting prints a line as postconf(1), -h: only the value.
func (a *app) printSetting(s shownSetting, bare, origin bool) {
	line := s.Name + " = " + s.Value
	if bare {
		line = s.Value
	}
	line = strings.TrimRight(line, " ")
	if origin {
		line += "  # " + s.Origin
	}
	io.WriteString(a.out, line+"\n")
}

// version is set by the build: -ldflags "-X main.version=1.0".
var version = "development"

func showVersion(*flag.FlagSet) action {
	return func(_ context.Context, a *app, _ []string) error {
		revision := ""
		if info, ok := debug.ReadBuildInfo(); ok {
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					revision = " " + s.Value[:min(12, len(s.Value))]
				}
			}
		}
		_, err := fmt.Fprintf(a.out, "mailserver %s%s, %s, %s/%s\n", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		return err
	}
}
