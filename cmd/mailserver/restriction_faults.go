package main

import (
	"context"
	"fmt"
	"strings"

	"mailserver/internal/config"
	"mailserver/internal/server"
	"mailserver/policy"
	"mailserver/schema"
)

// restrictionFaults are what would be answered 451 with these rows of Setting.
func restrictionFaults(ctx context.Context, m *schema.Mail, src *config.Source, rows map[string]string) ([]policy.Problem, error) {
	cfg, err := config.Filled[policy.Config](src, rows)
	if err != nil {
		return nil, err
	}
	engine := policy.New(policy.Deps{Mail: m, Config: func(context.Context) (*policy.Config, error) { return cfg, nil }})
	all, err := engine.Check(ctx)
	var fatal []policy.Problem
	for _, p := range all {
		if p.Fatal {
			fatal = append(fatal, p)
		}
	}
	return fatal, err
}

// refuseLists refuses settings with which a list would say what nobody knows,
// and did not say before.
func refuseLists(ctx context.Context, m *schema.Mail, src *config.Source, now, next map[string]string) error {
	was, err := restrictionFaults(ctx, m, src, now)
	if err != nil {
		was = nil // rows that are not usable have no list; next has them mended
	}
	old := make(map[policy.Problem]bool)
	for _, p := range was {
		old[p] = true
	}
	faults, err := restrictionFaults(ctx, m, src, next)
	if err != nil {
		return nil // of a setting that is not changed here: refuseFaults has let it pass
	}
	for _, p := range faults {
		if !old[p] {
			return fmt.Errorf("%w: %s", server.ErrConfig, strings.TrimPrefix(p.String(), "setting "))
		}
	}
	return nil
}

// warnOfClass tells what a class says that nobody knows. It may be made next.
func (a *app) warnOfClass(ctx context.Context, name string) error {
	return a.withConfig(ctx, func(m *schema.Mail, src *config.Source) error {
		rows, err := src.Rows(ctx)
		if err != nil {
			return err
		}
		faults, err := restrictionFaults(ctx, m, src, rows)
		if err != nil {
			return nil // check says what settings are not usable
		}
		for _, p := range faults {
			if strings.EqualFold(p.Where, "class "+name) {
				fmt.Fprintf(a.err, "mailserver: warning: %s; mail that it judges is answered 451 until that is mended\n", p)
			}
		}
		return nil
	})
}
