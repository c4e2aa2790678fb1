package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/control"
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
	changed := fs.Bool("n", false, "only those with a row")
	defaults := fs.Bool("d", false, "the defaults")
	show := showing(fs)
	return func(ctx context.Context, a *app, args []string) error {
		return a.withConfig(ctx, func(_ *schema.Mail, src *config.Source) error {
			o, err := a.origins(ctx, src)
			if err != nil {
				return err
			}
			var unknown []string
			for _, name := range args {
				name = strings.ToLower(name)
				s, ok, err := o.setting(ctx, name, *defaults)
				switch {
				case err != nil:
					return err
				case !ok:
					unknown = append(unknown, name)
				case !*changed || s.Origin != originDefault:
					a.printSetting(s, show)
				}
			}
			if unknown != nil {
				return usage("this server has no setting %q", strings.Join(unknown, ", "))
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
	originLine    = "command line" // of the server that runs
)

// origins knows of each setting where it comes from.
type origins struct {
	src  *config.Source
	rows map[string]string
	line map[string]string
}

// origins asks the server that runs, if one does, what its command line says.
func (a *app) origins(ctx context.Context, src *config.Source) (o origins, err error) {
	o.src = src
	if o.rows, err = src.Rows(ctx); err != nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := control.Do(ctx, a.dir, "GET", "/overrides", &o.line); err != nil && !errors.Is(err, control.ErrNotRunning) {
		fmt.Fprintln(a.err, "mailserver: what the command line of the server says is not known:", err)
	}
	return o, nil
}

// setting is one as the server sees it, or its default; ok is false if there
// is none of that name.
func (o origins) setting(ctx context.Context, name string, asDefault bool) (s shownSetting, ok bool, err error) {
	s = shownSetting{Name: name, Origin: originDefault}
	if s.Default, ok = defaultOf(o.src, name); !ok || asDefault {
		s.Value = s.Default
		return s, ok, nil
	}
	if value, given := o.line[name]; given {
		s.Value, s.Origin = value, originLine
		return s, true, nil
	}
	if _, given := o.rows[name]; given {
		s.Origin = originRow
	}
	s.Value, ok, err = o.src.Value(ctx, name)
	return s, ok, err
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
	Origin  string `json:"origin"` // row, default, command line
}

// shown is how settings are printed.
type shown struct{ bare, names, origin *bool }

func showing(fs *flag.FlagSet) shown {
	return shown{
		bare:   fs.Bool("h", false, "only the values"),
		names:  fs.Bool("H", false, "only the names"),
		origin: fs.Bool("origin", false, "where each comes from: row, default, command line"),
	}
}

func configList(fs *flag.FlagSet) action {
	changed := fs.Bool("n", false, "only those with a row, or that the command line of the server says")
	defaults := fs.Bool("d", false, "the defaults")
	show := showing(fs)
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		if *changed && *defaults {
			return usage("say one of -d and -n")
		}
		return a.withConfig(ctx, func(_ *schema.Mail, src *config.Source) error {
			o, err := a.origins(ctx, src)
			if err != nil {
				return err
			}
			var list []shownSetting
			for _, f := range src.Fields() {
				s := shownSetting{f.Name, f.Default, f.Default, originDefault}
				if value, ok := o.line[f.Name]; ok && !*defaults {
					s.Value, s.Origin = value, originLine
				} else if value, ok := o.rows[f.Name]; ok && !*defaults {
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
				a.printSetting(s, show)
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

// printSetting prints a line as postconf(1), -h: only the value, -H: only the
// name.
func (a *app) printSetting(s shownSetting, show shown) {
	line := s.Name + " = " + s.Value
	switch {
	case *show.names:
		line = s.Name
	case *show.bare:
		line = s.Value
	}
	line = strings.TrimRight(line, " ")
	if *show.origin {
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
