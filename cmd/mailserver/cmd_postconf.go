package main

import (
	"context"
	"strings"
)

// postconf does the work of postconf(1): -n -d -h, names, -e NAME=VALUE, -X NAME.
// NAME=VALUE alone is -e, as there.
func postconf(ctx context.Context, a *app, args []string) error {
	var flags, names []string
	edit, remove := false, false
	for _, arg := range args {
		letters, isFlag := strings.CutPrefix(arg, "-")
		if !isFlag {
			names = append(names, arg)
			edit = edit || strings.Contains(arg, "=")
			continue
		}
		for _, c := range letters {
			switch c {
			case 'e':
				edit = true
			case 'X', '#':
				remove = true
			case 'n', 'd', 'h':
				flags = append(flags, "-"+string(c))
			case 'x': // values of names are expanded anyway
			default:
				return usage("postconf: -%c is not supported", c)
			}
		}
	}
	switch {
	case remove && len(names) > 0:
		return a.again(ctx, append([]string{"config", "unset"}, names...)...)
	case edit && len(names) > 0:
		return a.again(ctx, append([]string{"config", "set"}, names...)...)
	case edit || remove:
		return usage("postconf: -e and -X want names")
	case len(names) > 0:
		return a.postconfNames(ctx, flags, names)
	}
	return a.again(ctx, append([]string{"config", "list"}, flags...)...)
}

// postconfNames shows settings by name; -n has no meaning for them.
func (a *app) postconfNames(ctx context.Context, flags, names []string) error {
	line := []string{"config", "get"}
	for _, f := range flags {
		if f != "-n" {
			line = append(line, f)
		}
	}
	return a.again(ctx, append(line, names...)...)
}
