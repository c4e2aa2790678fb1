package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"mailserver/internal/control"
	"mailserver/internal/server"
)

func statusCommands() []command {
	return []command{
		{name: "status", about: "the server that runs: sessions, queue, memory; exit 69 when it is not well, 75 when none runs", setup: status},
		{name: "metrics", about: "what /metrics says to monitors", setup: showMetrics},
		{name: "reload", about: "nothing has to be reloaded: rows act at the next command; says what is wrong with them", setup: check},
	}
}

// askTime bounds a question to the server.
const askTime = 30 * time.Second

// errUnwell is a server that says of itself that it cannot serve.
var errUnwell = &exitError{exitUnavailable, errQuiet}

func status(fs *flag.FlagSet) action {
	memory := fs.Bool("memory", false, "where the memory is")
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		var st server.Status
		if err := control.Do(ctx, a.dir, "GET", "/status", &st); err != nil {
			return err
		}
		if *asJSON {
			if err := a.object(true, st); err != nil {
				return err
			}
		} else if err := a.printStatus(st, *memory); err != nil {
			return err
		}
		if !st.Healthy {
			return errUnwell
		}
		return nil
	}
}

func (a *app) printStatus(st server.Status, memory bool) error {
	health := "ok"
	if !st.Healthy {
		health = st.Problem
	}
	pairs := []any{"health", health, "process", st.PID, "running since", fmt.Sprintf("%s (%s)", st.Started.Format(time.RFC3339), time.Since(st.Started).Round(time.Second)),
		"sessions", fmt.Sprintf("%d smtp, %d imap, %d pop3", st.Sessions["smtp"], st.Sessions["imap"], st.Sessions["pop3"]),
		"queue", fmt.Sprintf("%d waiting, %d active, %d on hold", st.Queue["waiting"], st.Queue["active"], st.Queue["hold"])}
	for _, m := range st.Memory {
		if memory || m.Name == "resident" {
			pairs = append(pairs, "memory "+m.Name, fmt.Sprintf("%.1f MB  %s", float64(m.Bytes)/(1<<20), m.About))
		}
	}
	return a.object(false, nil, pairs...)
}

func showMetrics(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, _ []string) error {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		defer cancel()
		body, err := control.Get(ctx, a.dir, "GET", "/metrics")
		if err != nil {
			return err
		}
		defer body.Close()
		_, err = io.Copy(a.out, body)
		return errors.Join(err, body.Close())
	}
}
