package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/server"
	"mailserver/schema"
)

func completionCommands() []command {
	return []command{
		{name: "completion", args: "SHELL", min: 1, max: 1, about: "a script by which the shell completes commands, flags, domains and addresses",
			more: "bash: mailserver completion bash > /etc/bash_completion.d/mailserver\nzsh:  mailserver completion zsh > \"${fpath[1]}/_mailserver\"\nfish: mailserver completion fish > ~/.config/fish/completions/mailserver.fish", setup: completion},
		{name: "complete", args: "-- WORD...", max: -1, about: "what the last word may become; for the scripts of completion", setup: complete, inner: true},
	}
}

var completionScripts = map[string]string{
	"bash": `_mailserver() {
	local IFS=$'\n'
	COMPREPLY=($(mailserver complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
	[[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
	if declare -F __ltrim_colon_completions >/dev/null; then __ltrim_colon_completions "${COMP_WORDS[COMP_CWORD]}"; fi
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}
complete -F _mailserver mailserver
`,
	"zsh": `#compdef mailserver
local -a found
found=("${(@f)$(mailserver complete -- "${words[@]:1:$((CURRENT - 1))}" 2>/dev/null)}")
compadd -- "${found[@]}"
`,
	"fish": `complete -c mailserver -f -a '(mailserver complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

func completion(*flag.FlagSet) action {
	return func(_ context.Context, a *app, args []string) error {
		script, ok := completionScripts[args[0]]
		if !ok {
			return usage("%q is none of bash, zsh, fish", args[0])
		}
		_, err := fmt.Fprint(a.out, script)
		return err
	}
}

// maxCompletions bounds what a shell is shown.
const maxCompletions = 200

func complete(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		if len(args) == 0 {
			args = []string{""}
		}
		for _, word := range a.completions(ctx, args[:len(args)-1], args[len(args)-1]) {
			fmt.Fprintln(a.out, word)
		}
		return nil
	}
}

// completions are the words that may follow, and begin with prefix.
func (a *app) completions(ctx context.Context, before []string, prefix string) []string {
	if i := slices.Index(before, "--data"); i >= 0 && i+1 < len(before) {
		a.dir = before[i+1]
		before = slices.Delete(slices.Clone(before), i, i+2)
	}
	words := slices.DeleteFunc(slices.Clone(before), func(w string) bool { return strings.HasPrefix(w, "-") })
	line := strings.Join(words, " ")
	var list []string
	var here *command
	for _, c := range commands() {
		switch rest, ok := strings.CutPrefix(c.name+" ", line+" "); {
		case c.name == "complete":
		case line == "":
			list = append(list, strings.Fields(c.name)[0])
		case ok && rest != "":
			list = append(list, strings.Fields(rest)[0])
		}
		if line == c.name || strings.HasPrefix(line, c.name+" ") {
			here = &c
		}
	}
	if here != nil {
		list = append(list, a.arguments(ctx, here, prefix)...)
	}
	list = slices.DeleteFunc(list, func(w string) bool { return !strings.HasPrefix(w, prefix) })
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), maxCompletions)]
}

// arguments completes what a command takes: flags, and the names it is about.
func (a *app) arguments(ctx context.Context, c *command, prefix string) (list []string) {
	if strings.HasPrefix(prefix, "-") {
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.setup(fs)
		fs.VisitAll(func(f *flag.Flag) { list = append(list, "--"+f.Name) })
		return append(list, "--data")
	}
	if strings.HasPrefix(c.name, "config ") && strings.Contains(c.args, "NAME") {
		return settingNames(strings.HasPrefix(c.name, "config set"))
	}
	if _, err := os.Stat(server.MailFile(a.dir)); err != nil {
		return nil
	}
	a.withMail(ctx, func(m *schema.Mail) error {
		list = namesFor(ctx, m, c.args, prefix)
		return nil
	})
	return list
}

// namesFor are the names that the arguments of a command ask for.
func namesFor(ctx context.Context, m *schema.Mail, args, prefix string) (list []string) {
	add := func(s string) error {
		list = append(list, s)
		return nil
	}
	switch {
	case strings.Contains(args, "ADDRESS"), strings.Contains(args, "USER"):
		completeAddress(ctx, m, prefix, add)
	case strings.Contains(args, "DOMAIN"), strings.Contains(args, "NAME"):
		m.Domains(ctx, func(r schema.DomainRow) error { return add(r.Domain) })
		if args == "NAME" {
			m.Classes(ctx, func(r schema.ClassRow) error { return add(r.Name) })
		}
	}
	return list
}

// completeMost is how many addresses are looked through for one key press.
const completeMost = 5000

// completeAddress gives addresses that may begin with the prefix.
func completeAddress(ctx context.Context, m *schema.Mail, prefix string, add func(string) error) {
	if local, domain, ok := strings.Cut(prefix, "@"); ok {
		m.AddressesAt(ctx, local, domain, completeMost, func(r schema.AddressRow) error { return add(r.Address) })
		return
	}
	n := 0
	m.Addresses(ctx, "", func(r schema.AddressRow) error {
		if n++; n > completeMost {
			return io.EOF
		}
		return add(r.Address)
	})
}

// settingNames are all settings; with = behind them where a value follows.
func settingNames(assign bool) (list []string) {
	t, err := config.Table()
	if err != nil {
		return nil
	}
	for _, f := range t.Fields() {
		name := f.Name
		if assign {
			name += "="
		}
		list = append(list, name)
	}
	return list
}
