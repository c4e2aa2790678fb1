package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"mailserver/internal/control"
)

func sessionCommands() []command {
	return []command{
		{name: "session list", args: "[USER|ADDRESS]", max: 1, about: "IMAP and POP3 sessions of the server that runs", setup: sessionList},
		{name: "session kill", args: "USER|ADDRESS|ID", min: 1, max: 1, about: "end sessions at once; their clients may come again", setup: sessionKill},
	}
}

func sessionList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		var list []control.Session
		if err := control.Do(ctx, a.dir, "GET", "/sessions", &list); err != nil {
			return err
		}
		t := a.table(*asJSON, "USER", "PROTO", "REMOTE", "TLS", "SINCE", "ID")
		for _, s := range list {
			if len(args) > 0 && !strings.EqualFold(s.User, args[0]) && s.Remote != args[0] {
				continue
			}
			if err := t.row(s, s.User, s.Proto, s.Remote, yesNo(s.TLS), s.Begun.Format(time.DateTime), s.ID); err != nil {
				return err
			}
		}
		return t.end(nil)
	}
}

func sessionKill(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		by := "id"
		if _, err := netip.ParseAddr(args[0]); err == nil {
			by = "remote"
		} else if strings.Contains(args[0], "@") {
			by = "user"
		}
		var done struct {
			Ended int `json:"ended"`
		}
		for {
			if err := control.Do(ctx, a.dir, "POST", "/sessions/kill?"+url.Values{by: {args[0]}}.Encode(), &done); err != nil {
				return err
			}
			if done.Ended > 0 || by != "id" {
				break
			}
			by = "user" // one of the system has a bare name
		}
		if *asJSON {
			return a.object(true, done)
		}
		_, err := fmt.Fprintf(a.out, "%d sessions\n", done.Ended)
		return err
	}
}
