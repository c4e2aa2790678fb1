package main

import (
	"context"
	"strings"
)

// postconf does the work of postconf(1): -n -d -h -H, names, -e NAME=VALUE, -X NAME.
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
			case 'n', 'd', 'h', 'H':
				flags = append(flags, "-"+string(c))
			case 'p', 'f', 'v': // what is done anyway; lines are not folded here
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
		return a.again(ctx, append(append([]string{"config", "get"}, flags...), names...)...)
	}
	return a.again(ctx, append([]string{"config", "list"}, flags...)...)
}
