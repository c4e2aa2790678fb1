package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"mailserver/delivery/route"
	"mailserver/internal/address"
	"mailserver/internal/server"
	"mailserver/policy"
)

func lookupCommands() []command {
	return []command{
		{name: "lookup", args: "MAP KEY", min: 2, max: 2, about: "ask a map as postmap -q does; exit 1 when it has no such key",
			more: "Maps go by the names of their Postfix parameters: virtual_alias_maps, transport_maps,\nmydestination, alias_maps, relocated_maps, ...", setup: lookup},
		{name: "route", args: "ADDRESS", min: 1, max: 1, about: "where would mail for it go, and why", setup: showRoute},
	}
}

func lookup(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			value, found, err := p.Route.Lookup(ctx, args[0], args[1])
			if errors.Is(err, route.ErrNoMap) {
				return usage("lookup: %v", err)
			}
			if err != nil {
				return err
			}
			if !found {
				return errNotFound
			}
			_, err = fmt.Fprintln(a.out, value)
			return err
		})
	}
}

// routed is the answer of route as JSON.
type routed struct {
	Address      string        `json:"address"`
	Class        string        `json:"class"`
	RClass       string        `json:"rclass,omitempty"`
	Accepted     bool          `json:"accepted"`
	Refused      string        `json:"refused,omitempty"`
	Destinations []destination `json:"destinations,omitempty"`
}

type destination struct {
	Address   string   `json:"address"`
	Kind      string   `json:"kind"`
	Where     string   `json:"where"`
	Transport string   `json:"transport,omitempty"`
	Path      []string `json:"path,omitempty"`
}

func showRoute(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		to, err := address.Parse(args[0])
		if err != nil {
			return usage("%q: %v", args[0], err)
		}
		return a.withParts(ctx, func(p *server.Parts) error {
			rcpt, err := p.Route.Recipient(ctx, to)
			if err != nil {
				return err
			}
			dests, err := p.Route.Expand(ctx, to)
			if err != nil {
				return err
			}
			r, err := describe(ctx, p, rcpt, dests)
			if err != nil {
				return err
			}
			if *asJSON {
				return a.object(true, r)
			}
			a.printRoute(r)
			return nil
		})
	}
}

func describe(ctx context.Context, p *server.Parts, rcpt policy.Recipient, dests []route.Destination) (routed, error) {
	r := routed{Address: rcpt.Address.Plain(), Class: className(rcpt.Class), Accepted: rcpt.Listed}
	v, err := p.Mail.View(ctx)
	if err != nil {
		return r, err
	}
	if rcpt.RClass >= 0 {
		name, err := v.RClass(ctx, rcpt.RClass)
		if err != nil {
			return r, err
		}
		r.RClass = fmt.Sprintf("RC%02d-%s", rcpt.RClass, name)
	}
	switch {
	case rcpt.MovedTo != "":
		r.Accepted, r.Refused = false, "User has moved to "+rcpt.MovedTo
	case !rcpt.Listed:
		r.Refused = "User unknown in " + rcpt.Table
	case rcpt.Rejects != "":
		r.Accepted, r.Refused = false, rcpt.Rejects
	}
	for i := range dests {
		r.Destinations = append(r.Destinations, describeOne(&dests[i]))
	}
	return r, nil
}

// describeOne says where a destination ends.
func describeOne(d *route.Destination) destination {
	out := destination{Address: d.Address.Plain(), Transport: d.Transport, Path: d.Path}
	switch d.Kind {
	case route.Mailbox:
		out.Kind, out.Where = "mailbox", fmt.Sprintf("%s (user %s, UID %d, GID %d)", d.Box.Mail, d.Box.User, d.Box.UID, d.Box.GID)
		if d.Box.Quota > 0 {
			out.Where += ", quota " + size(d.Box.Quota)
		}
	case route.Next:
		out.Kind, out.Where = "host", nextHop(d)
	case route.File:
		out.Kind, out.Where = "file", d.Target
	case route.Command:
		out.Kind, out.Where = "command", d.Target
	case route.Failure:
		out.Kind, out.Where = "failure", d.Enhanced+" "+d.Text
	case route.Discard:
		out.Kind = "discard"
	}
	return out
}

func nextHop(d *route.Destination) string {
	host := d.Nexthop
	if !d.MX {
		host = "[" + host + "]"
	}
	if d.Port != 0 {
		host = fmt.Sprintf("%s:%d", host, d.Port)
	}
	return d.Transport + ":" + host
}

func (a *app) printRoute(r routed) {
	fmt.Fprintf(a.out, "%s\n  class: %s\n", r.Address, r.Class)
	if r.RClass != "" {
		fmt.Fprintf(a.out, "  restriction class: %s\n", r.RClass)
	}
	if r.Refused != "" {
		fmt.Fprintf(a.out, "  refused at RCPT: %s\n", r.Refused)
	}
	for _, d := range r.Destinations {
		fmt.Fprintf(a.out, "  -> %s: %s %s\n", d.Address, d.Kind, d.Where)
		for _, step := range d.Path {
			fmt.Fprintf(a.out, "       %s\n", step)
		}
	}
}
