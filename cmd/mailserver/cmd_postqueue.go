package main

import (
	"context"
	"io"
	"strings"
)

// postqueue is postqueue(1): -p, -j, -f, -i ID, -s SITE.
func postqueue(ctx context.Context, a *app, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "-p":
		return a.again(ctx, "queue", "list")
	case len(args) == 1 && args[0] == "-j":
		return a.again(ctx, "queue", "list", "--json")
	case len(args) == 1 && args[0] == "-f":
		return a.again(ctx, "queue", "retry", "ALL")
	case len(args) == 2 && args[0] == "-i":
		return a.again(ctx, "queue", "retry", args[1])
	case len(args) == 2 && args[0] == "-s":
		return a.again(ctx, "queue", "flush", args[1])
	}
	return usage("postqueue: use -p, -j, -f, -i ID or -s SITE; %q is not supported", strings.Join(args, " "))
}

// postsuper is postsuper(1): -d, -e, -f, -h, -H, -r ID; - reads IDs from standard input.
func postsuper(ctx context.Context, a *app, args []string) error {
	verbs := map[string][]string{"-d": {"queue", "delete", "--yes"}, "-h": {"queue", "hold"}, "-H": {"queue", "release"}, "-r": {"queue", "retry"},
		"-e": {"queue", "expire"}, "-f": {"queue", "expire", "--release"}}
	if len(args) == 0 || len(args)%2 != 0 {
		return usage("postsuper: use -d, -e, -f, -h, -H or -r with an ID, ALL or -")
	}
	for i := 0; i < len(args); i += 2 {
		verb, ok := verbs[args[i]]
		if !ok {
			return usage("postsuper: %s is not supported", args[i])
		}
		ids := args[i+1 : i+2]
		if ids[0] == "-" {
			text, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
			if err != nil {
				return err
			}
			if ids = strings.Fields(string(text)); len(ids) == 0 {
				continue
			}
		}
		if err := a.again(ctx, append(verb[:len(verb):len(verb)], ids...)...); err != nil {
			return err
		}
	}
	return nil
}

// postcat is postcat(1): -q ID, with -h for the header alone.
func postcat(ctx context.Context, a *app, args []string) error {
	call := []string{"queue", "show"}
	for _, arg := range args {
		switch {
		case arg == "-q":
		case arg == "-h" || arg == "-hq" || arg == "-qh":
			call = append(call, "--headers")
		case strings.HasPrefix(arg, "-"):
			return usage("postcat: %s is not supported", arg)
		default:
			call = append(call, arg)
		}
	}
	return a.again(ctx, call...)
}

// postmap is postmap(1): -q KEY MAP. Tables need no making: rows act at once.
func postmap(ctx context.Context, a *app, args []string) error {
	if len(args) == 3 && args[0] == "-q" {
		return a.again(ctx, "lookup", args[2], args[1])
	}
	if len(args) == 1 && !strings.HasPrefix(args[0], "-") {
		return usage("postmap: %s: tables are rows of mail.sqlite here, and act at once", args[0])
	}
	return usage("postmap: use -q KEY MAP; %q is not supported", strings.Join(args, " "))
}
