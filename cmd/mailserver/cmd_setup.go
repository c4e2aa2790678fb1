package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"mailserver/auth"
	"mailserver/internal/dkim"
	"mailserver/internal/server"
	"mailserver/schema"
)

func setupCommands() []command {
	return []command{
		{name: "setup", about: "from nothing to a mail host: host name, first domain and mailbox, certificate, DKIM keys, the DNS records to publish",
			more: "Asks for what the flags leave open when it has a terminal. Run it again at any time: what is\nthere already stays as it is.", setup: setupHost},
	}
}

// letsEncrypt is the authority of --acme.
const letsEncrypt = "https://acme-v02.api.letsencrypt.org/directory"

// firstRun is one run of setup.
type firstRun struct {
	a                         *app
	hostname, domain, mailbox string
	acme                      string
	base                      int
	passwordStdin, own        bool
	addresses                 string
	made                      []string // said at the end
}

func setupHost(fs *flag.FlagSet) action {
	r := &firstRun{}
	fs.StringVar(&r.hostname, "hostname", "", "`name` of this host, as its DNS has it; default: the host's own")
	fs.StringVar(&r.domain, "domain", "", "first mail `domain`")
	fs.StringVar(&r.mailbox, "mailbox", "", "first mailbox, `user@domain`; gets the mail for postmaster")
	fs.BoolVar(&r.passwordStdin, "password-stdin", false, "read its password from standard input; without, one is made and shown once")
	fs.StringVar(&r.acme, "acme", "", "get certificates from Let's Encrypt, which writes to this `address`")
	fs.StringVar(&r.addresses, "address", "", "public `addresses` of this host, by comma")
	fs.IntVar(&r.base, "port-base", 0, "as for init")
	fs.BoolVar(&r.own, "own-mail", true, "keep all mail below the data directory, as one user; false: each domain has its owner")
	return func(ctx context.Context, a *app, _ []string) error {
		r.a = a
		for _, step := range []func(context.Context) error{r.ask, r.directory, r.firstDomain, r.firstMailbox, r.keys, r.certificates} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return r.tell(ctx)
	}
}

// ask completes the flags at a terminal, and what follows from them.
func (r *firstRun) ask(ctx context.Context) error {
	if f, ok := r.a.in.(*os.File); ok && isTerminal(f) && !r.passwordStdin {
		in := bufio.NewReader(r.a.in)
		own, _ := os.Hostname()
		r.question(in, &r.hostname, "Name of this host, as its DNS has it", own)
		r.question(in, &r.mailbox, "First mailbox (user@domain)", "")
		r.question(in, &r.acme, "Address for Let's Encrypt to write to (empty: no certificate from it)", "")
	}
	if _, domain, ok := strings.Cut(r.mailbox, "@"); ok && r.domain == "" {
		r.domain = domain
	}
	if _, ok := dnsName(r.domain); r.domain != "" && !ok {
		return usage("--domain: %q is not a domain", r.domain)
	}
	if r.mailbox != "" && !strings.HasSuffix(strings.ToLower(r.mailbox), "@"+strings.ToLower(r.domain)) {
		return usage("--mailbox: %s is not of the domain %s", r.mailbox, r.domain)
	}
	return nil
}

func (r *firstRun) question(in *bufio.Reader, to *string, text, otherwise string) {
	if *to != "" {
		return
	}
	if otherwise != "" {
		text += " [" + otherwise + "]"
	}
	fmt.Fprintf(r.a.err, "%s: ", text)
	answer, _ := in.ReadString('\n')
	if *to = strings.TrimSpace(answer); *to == "" {
		*to = otherwise
	}
}

func (r *firstRun) say(format string, args ...any) {
	r.made = append(r.made, fmt.Sprintf(format, args...))
}

// directory makes the data directory as init does, or takes the one there.
func (r *firstRun) directory(ctx context.Context) error {
	if _, err := os.Stat(server.MailFile(r.a.dir)); err == nil {
		return r.a.withMail(ctx, func(m *schema.Mail) error {
			have, err := hostname(ctx, m)
			if err == nil && r.hostname != "" && !strings.EqualFold(have, r.hostname) {
				return usage("%s is of %s; to change the name: mailserver config set myhostname=%s", r.a.dir, have, r.hostname)
			}
			r.hostname = have
			r.say("%s is there already, for %s", r.a.dir, have)
			return err
		})
	}
	host, err := chooseHostname(r.hostname)
	if err != nil {
		return err
	}
	r.hostname = host
	plan := server.Plan{Dir: r.a.dir, Hostname: host, Postmaster: r.mailbox, Listeners: server.StandardListeners(r.base)}
	if r.own {
		plan.Settings = server.OwnMail()
	}
	if err := server.Create(ctx, plan); err != nil {
		return err
	}
	r.say("made %s for %s", r.a.dir, host)
	if os.Geteuid() == 0 {
		return giveToOwner(ctx, r.a)
	}
	return nil
}

func (r *firstRun) firstDomain(ctx context.Context) error {
	if r.domain == "" || strings.EqualFold(r.domain, r.hostname) {
		return nil
	}
	err := r.a.change(ctx, func(t *schema.Tx) error {
		return addDomain(t, r.domain, r.hostname, map[string]string{"class": "mailbox"})
	})
	switch {
	case errors.Is(err, schema.ErrExists):
		r.say("domain %s is there already", r.domain)
		return nil
	case err == nil:
		r.say("added the domain %s, with postmaster and abuse", r.domain)
	}
	return err
}

// passwordAlphabet leaves out what people read wrongly.
const passwordAlphabet = "abcdefghijkmnpqrstuvwxyz23456789"

// newPassword makes one of 100 bits, in groups for those who type it.
func newPassword() string {
	raw := make([]byte, 20)
	rand.Read(raw)
	var b strings.Builder
	for i, c := range raw {
		if i > 0 && i%5 == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(passwordAlphabet[int(c)%len(passwordAlphabet)])
	}
	return b.String()
}

func (r *firstRun) firstMailbox(ctx context.Context) error {
	if r.mailbox == "" {
		return nil
	}
	password, shown := "", ""
	var err error
	if r.passwordStdin {
		if password, err = r.a.secret(); err != nil {
			return err
		}
	} else {
		password = newPassword()
		shown = ", password " + password
	}
	hash, err := auth.Hash(defaultScheme, password, rand.Reader)
	if err != nil {
		return err
	}
	err = r.a.onAddress(ctx, r.mailbox, newAddress(func(t *schema.Tx, local, domain string) error {
		return t.AddVMailbox(local, domain, schema.MailboxChange{Passwd: schema.To(hash)})
	}))
	switch {
	case errors.Is(err, schema.ErrExists):
		r.say("mailbox %s is there already; its password stays", r.mailbox)
		return nil
	case err == nil:
		r.say("added the mailbox %s%s", r.mailbox, shown)
	}
	return err
}

// keys makes DKIM keys for every mail domain that has none.
func (r *firstRun) keys(ctx context.Context) error {
	return r.a.withMail(ctx, func(m *schema.Mail) error {
		domains, err := mailDomains(ctx, m, r.hostname, "")
		if err != nil {
			return err
		}
		for _, d := range domains {
			if len(d.Keys) > 0 {
				continue
			}
			list, err := newKeys(d.Name, "", "", true)
			if err != nil {
				return err
			}
			if err := m.Write(ctx, func(t *schema.Tx) error {
				for _, k := range list {
					if err := t.AddDkimKey(k); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
			r.say("made DKIM keys of %s: %s", d.Name, strings.Join(dkim.Algorithms(), ", "))
		}
		return nil
	})
}

func (r *firstRun) certificates(ctx context.Context) error {
	if r.acme == "" {
		r.say("the certificate signs itself; for one of Let's Encrypt: mailserver setup --acme YOU@%s", orExample(r.domain))
		return nil
	}
	err := r.a.change(ctx, func(t *schema.Tx) error {
		if err := t.SetSetting("acme_directory", letsEncrypt); err != nil {
			return err
		}
		return t.SetSetting("acme_contact", r.acme)
	})
	if err == nil {
		r.say("the server gets its certificate from Let's Encrypt while it runs; port 80 must reach it")
	}
	return err
}

func orExample(domain string) string {
	if domain == "" {
		return "example.org"
	}
	return domain
}

func (r *firstRun) tell(ctx context.Context) error {
	for _, line := range r.made {
		fmt.Fprintln(r.a.out, line)
	}
	fmt.Fprintf(r.a.out, "\nPublish these records:\n\n")
	fs := flag.NewFlagSet("dns show", flag.ContinueOnError)
	show := dnsShow(fs)
	if err := fs.Set("address", r.addresses); err != nil {
		return err
	}
	if err := show(ctx, r.a, nil); err != nil {
		return err
	}
	fmt.Fprintf(r.a.out, "\nThen: mailserver serve (or systemctl start mailserver), and ask: mailserver doctor\n")
	return nil
}
