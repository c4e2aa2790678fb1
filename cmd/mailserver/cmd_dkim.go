package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"mailserver/internal/dkim"
	"mailserver/internal/dns"
	"mailserver/schema"
)

func dkimCommands() []command {
	return []command{
		{name: "dkim add", args: "DOMAIN", min: 1, max: 1, about: "make keys that sign what the domain sends, RSA and Ed25519; print the records to publish",
			more: "Mail is signed from then on; publish the records first if you like:\ndkim add --wait makes keys that sign only after \"dkim rotate\" has seen the records.", setup: dkimAdd},
		{name: "dkim show", args: "DOMAIN", min: 1, max: 1, about: "the records to publish, as lines of a zone file and as one string", setup: dkimShow},
		{name: "dkim list", about: "all keys", setup: dkimList},
		{name: "dkim check", args: "DOMAIN", min: 1, max: 1, about: "does the DNS have the records; exit 78 if one is missing or wrong", setup: dkimCheck},
		{name: "dkim rotate", args: "DOMAIN", min: 1, max: 1, about: "replace the keys: first call makes new ones, second call switches when the DNS has them",
			setup: dkimRotate},
		{name: "dkim rm", args: "DOMAIN SELECTOR", min: 2, max: 2, about: "remove a key", setup: dkimRemove},
	}
}

// newKeys makes keys named by the day, one of each algorithm.
func newKeys(domain, selector, algorithm string, active bool) ([]schema.DkimKey, error) {
	if _, ok := dnsName(domain); !ok {
		return nil, usage("%q is not a domain", domain)
	}
	if selector == "" {
		selector = time.Now().UTC().Format("20060102")
	}
	if _, ok := dnsName(selector + ".x"); !ok || strings.Contains(selector, ".") {
		return nil, usage("--selector: %q is not a label of the DNS", selector)
	}
	var list []schema.DkimKey
	for _, alg := range dkim.Algorithms() {
		if algorithm != "" && algorithm != alg {
			continue
		}
		key, err := dkim.NewKey(alg)
		if err != nil {
			return nil, err
		}
		list = append(list, schema.DkimKey{Active: active, Domain: strings.ToLower(domain), Selector: selector + alg[:1], Algorithm: alg, Key: key})
	}
	if len(list) == 0 {
		return nil, usage("--algorithm: %q is none of %s", algorithm, strings.Join(dkim.Algorithms(), ", "))
	}
	return list, nil
}

// dnsName reports whether a name can stand in a zone as it is.
func dnsName(s string) (string, bool) {
	ok := len(s) > 0 && len(s) < 200 && strings.Contains(s, ".")
	for label := range strings.SplitSeq(s, ".") {
		ok = ok && label != "" && len(label) < 64 && strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	}
	return s, ok
}

func addKeys(ctx context.Context, a *app, list []schema.DkimKey) error {
	err := a.change(ctx, func(t *schema.Tx) error {
		for _, k := range list {
			if err := t.AddDkimKey(k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range list {
		if err := a.printRecord(k); err != nil {
			return err
		}
	}
	return nil
}

func dkimAdd(fs *flag.FlagSet) action {
	selector := fs.String("selector", "", "`name` of the keys; default: today")
	algorithm := fs.String("algorithm", "", "only this `algorithm`: rsa or ed25519")
	file := fs.String("key-file", "", "take the private key in this `file` (PEM, as opendkim-genkey makes it); needs --selector")
	wait := fs.Bool("wait", false, "sign only after \"dkim rotate\"")
	return func(ctx context.Context, a *app, args []string) error {
		if *file != "" {
			return takeKey(ctx, a, args[0], *selector, *file, !*wait)
		}
		list, err := newKeys(args[0], *selector, *algorithm, !*wait)
		if err != nil {
			return err
		}
		return addKeys(ctx, a, list)
	}
}

// keyFileMost bounds a file with a private key.
const keyFileMost = 64 << 10

func takeKey(ctx context.Context, a *app, domain, selector, file string, active bool) error {
	if _, ok := dnsName(selector + "." + domain); !ok || selector == "" {
		return usage("dkim add --key-file: say the --selector under which its record is published")
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, keyFileMost))
	if err != nil {
		return err
	}
	s, err := dkim.ParseKey(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return addKeys(ctx, a, []schema.DkimKey{{Active: active, Domain: strings.ToLower(domain), Selector: selector, Algorithm: dkim.Algorithm(s), Key: string(text)}})
}

// record is the record of a row.
func record(k schema.DkimKey) (string, error) {
	s, err := dkim.ParseKey(k.Key)
	if err != nil {
		return "", fmt.Errorf("DKIM key %s of %s: %w", k.Selector, k.Domain, err)
	}
	return dkim.Record(s)
}

func (a *app) printRecord(k schema.DkimKey) error {
	text, err := record(k)
	if err != nil {
		return err
	}
	state := "signs"
	if !k.Active {
		state = "waits for its record; then: mailserver dkim rotate " + k.Domain
	}
	_, err = fmt.Fprintf(a.out, "; %s, %s\n%s\n; as one string: %s\n", k.Algorithm, state, dkim.ZoneLine(k.Domain, k.Selector, text), text)
	return err
}

// keysOf returns all keys of a domain; ErrNotFound if it has none.
func keysOf(ctx context.Context, a *app, domain string) (list []schema.DkimKey, err error) {
	err = a.withMail(ctx, func(m *schema.Mail) error {
		return m.AllDkimKeys(ctx, domain, func(k schema.DkimKey) error {
			list = append(list, k)
			return nil
		})
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("DKIM keys of %s: %w", domain, schema.ErrNotFound)
	}
	return list, err
}

// published is a key as JSON, without its private part.
type published struct {
	Domain    string `json:"domain"`
	Selector  string `json:"selector"`
	Algorithm string `json:"algorithm"`
	Signs     bool   `json:"signs"`
	Name      string `json:"name"`
	Record    string `json:"record"`
	DNS       string `json:"dns,omitempty"` // ok, missing, wrong, unknown
}

func publish(k schema.DkimKey) (published, error) {
	text, err := record(k)
	return published{k.Domain, k.Selector, k.Algorithm, k.Active, dkim.Name(k.Domain, k.Selector), text, ""}, err
}

func dkimShow(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		list, err := keysOf(ctx, a, args[0])
		if err != nil {
			return err
		}
		if !*asJSON {
			for _, k := range list {
				if err := a.printRecord(k); err != nil {
					return err
				}
			}
			return nil
		}
		t := a.table(true)
		for _, k := range list {
			p, err := publish(k)
			if err == nil {
				err = t.row(p)
			}
			if err != nil {
				return err
			}
		}
		return t.end(nil)
	}
}

func dkimList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withMail(ctx, func(m *schema.Mail) error {
			t := a.table(*asJSON, "DOMAIN", "SELECTOR", "ALGORITHM", "SIGNS")
			return t.end(m.AllDkimKeys(ctx, "", func(k schema.DkimKey) error {
				p, err := publish(k)
				if err != nil {
					return err
				}
				return t.row(p, k.Domain, k.Selector, k.Algorithm, yesNo(k.Active))
			}))
		})
	}
}

// inDNS says what the DNS has for a key: ok, missing, wrong, unknown.
func (a *app) inDNS(ctx context.Context, k schema.DkimKey) (string, error) {
	want, err := record(k)
	if err != nil {
		return "", err
	}
	if a.dns == nil {
		a.dns = dns.New(dns.Config{Entries: -1})
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	answer, err := a.dns.Lookup(ctx, dkim.Name(k.Domain, k.Selector), dns.TXT)
	switch {
	case dns.NotFound(err):
		return "missing", nil
	case err != nil:
		return "unknown: " + err.Error(), nil
	case len(answer.Records) != 1:
		return fmt.Sprintf("wrong: %d records, must be one", len(answer.Records)), nil
	case !dkim.SameKey(answer.Records[0].Text, want):
		return "wrong: another key", nil
	}
	return "ok", nil
}

func dkimCheck(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "as JSON")
	return func(ctx context.Context, a *app, args []string) error {
		list, err := keysOf(ctx, a, args[0])
		if err != nil {
			return err
		}
		t := a.table(*asJSON, "NAME", "SIGNS", "DNS")
		var faults error
		for _, k := range list {
			p, err := publish(k)
			if err != nil {
				return err
			}
			if p.DNS, err = a.inDNS(ctx, k); err != nil {
				return err
			}
			if p.DNS != "ok" && k.Active {
				faults = errFaults
			}
			if err := t.row(p, p.Name, yesNo(k.Active), p.DNS); err != nil {
				return err
			}
		}
		return errors.Join(t.end(nil), faults)
	}
}

func dkimRotate(fs *flag.FlagSet) action {
	selector := fs.String("selector", "", "`name` of the new keys; default: today")
	force := fs.Bool("force", false, "switch without asking the DNS")
	return func(ctx context.Context, a *app, args []string) error {
		list, err := keysOf(ctx, a, args[0])
		if err != nil {
			return err
		}
		var old, waiting []schema.DkimKey
		for _, k := range list {
			if k.Active {
				old = append(old, k)
			} else {
				waiting = append(waiting, k)
			}
		}
		if len(waiting) == 0 {
			fresh, err := newKeys(args[0], *selector, "", false)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "publish these records, then say again: mailserver dkim rotate %s\n", args[0])
			return addKeys(ctx, a, fresh)
		}
		if !*force {
			if err := a.allPublished(ctx, waiting); err != nil {
				return err
			}
		}
		if err := a.change(ctx, func(t *schema.Tx) error { return t.SwitchDkimKeys(args[0]) }); err != nil {
			return err
		}
		for _, k := range old {
			fmt.Fprintf(a.out, "after a week, when mail signed with it has arrived, remove the record %s\n", dkim.Name(k.Domain, k.Selector))
		}
		return nil
	}
}

func (a *app) allPublished(ctx context.Context, keys []schema.DkimKey) error {
	for _, k := range keys {
		state, err := a.inDNS(ctx, k)
		if err != nil {
			return err
		}
		if state != "ok" {
			fmt.Fprintf(a.err, "%s: %s; the old keys go on signing\n", dkim.Name(k.Domain, k.Selector), state)
			return errFaults
		}
	}
	return nil
}

func dkimRemove(*flag.FlagSet) action {
	return func(ctx context.Context, a *app, args []string) error {
		return a.change(ctx, func(t *schema.Tx) error { return t.RemoveDkimKey(args[0], args[1]) })
	}
}
