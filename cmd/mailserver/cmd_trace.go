package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"mailserver/schema"
)

func traceCommands() []command {
	return []command{{name: "trace", args: "[ID|ADDRESS|CLIENT]", max: 1, about: "what happened to a message, or to the mail of an address: its lines of the log, from connect to delivery",
		more: "Every message and connection that a line with the text belongs to is shown whole. The newest\ntrace_lines lines are kept.", setup: trace}}
}

func trace(fs *flag.FlagSet) action {
	since := fs.String("since", "", "`time`: 2h, 30m, 2026-11-20 or 2026-11-20 14:05")
	most := fs.Int("most", 1000, "`lines`, the newest")
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		q := schema.TraceQuery{Since: time.Unix(0, 0), Most: *most}
		if *since != "" {
			var err error
			if q.Since, err = sinceTime(*since, time.Now()); err != nil {
				return err
			}
		}
		if len(args) > 0 {
			q.Text = strings.Trim(args[0], "<>")
		} else if *since == "" {
			return usage("trace: say a queue ID, an address, a client, or --since")
		}
		return a.withState(ctx, func(s *schema.State) error {
			if *asJSON {
				t := a.table(true)
				return t.end(s.Trace(ctx, q, func(l schema.TraceLine) error { return t.row(l) }))
			}
			return s.Trace(ctx, q, func(l schema.TraceLine) error {
				_, err := fmt.Fprintf(a.out, "%s %s\n", l.Time.Format("2006-01-02 15:04:05.000"), strings.ReplaceAll(l.Text, "\n", "\n  "))
				return err
			})
		})
	}
}

// sinceTime reads a span before now, or a time of this host.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.DateOnly, "2006-01-02 15:04", time.DateTime, time.RFC3339} {
		if at, err := time.ParseInLocation(form, text, time.Local); err == nil {
			return at, nil
		}
	}
	return now, usage("--since %q is neither a span such as 2h nor a time such as 2026-11-20 14:05", text)
}
