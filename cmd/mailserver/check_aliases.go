package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/server"
	"mailserver/schema"
)

// refusedTarget says why mail for the target of an alias would be returned; ”
// when somebody gets it, and for what is no address of this host.
func refusedTarget(ctx context.Context, p *server.Parts, target, host string) (string, error) {
	if strings.ContainsAny(target[:min(len(target), 1)], `/|:"\`) {
		return "", nil
	}
	if !strings.Contains(target, "@") {
		target += "@" + host
	}
	to, err := address.Parse(target)
	if err != nil {
		return "it is no address", nil
	}
	rcpt, err := p.Route.Recipient(ctx, to)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", target, err)
	case rcpt.Listed:
		return "", nil
	}
	return "User unknown in " + rcpt.Table, nil
}

// warnTargets tells of targets that an alias has just got and that nobody
// reads. The alias stands, as one of Postfix would: they may come later.
func (a *app) warnTargets(ctx context.Context, targets []string) {
	err := a.withParts(ctx, func(p *server.Parts) error {
		host, err := hostname(ctx, p.Mail)
		if err != nil {
			return err
		}
		var all error
		for _, target := range targets {
			why, err := refusedTarget(ctx, p, target, host)
			all = errors.Join(all, err)
			if why != "" {
				fmt.Fprintf(a.err, "mailserver: warning: mail for %s will be returned: %s\n", target, why)
			}
		}
		return all
	})
	if err != nil {
		fmt.Fprintln(a.err, "mailserver: warning: whether the targets can get mail is not known:", err)
	}
}

// maxTargets is how many aliases that lead nowhere are named.
const maxTargets = 100

// aliases: one that leads to an unknown user takes mail and returns it.
func (c *checker) aliases(ctx context.Context) error {
	host, err := hostname(ctx, c.p.Mail)
	if err != nil {
		return err
	}
	n := 0
	err = c.p.Mail.DoubtfulAliases(ctx, func(r schema.AliasRow) error {
		why, err := refusedTarget(ctx, c.p, r.Target, host)
		if err != nil || why == "" {
			return err
		}
		if n++; n <= maxTargets {
			c.warn("aliases", "mailserver alias rm "+r.Address+" "+r.Target, "%s leads to %s, whose mail is returned: %s", r.Address, r.Target, why)
		}
		return nil
	})
	if n > maxTargets {
		c.warn("aliases", "", "%d more aliases lead to unknown users", n-maxTargets)
	}
	return err
}
