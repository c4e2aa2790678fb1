package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mailserver/internal/address"
	"mailserver/internal/dns"
	"mailserver/internal/dnsplan"
	"mailserver/internal/server"
	"mailserver/schema"
)

// listUsers are the restrictions that name a list of the DNS.
var listUsers = []string{"reject_rbl_client", "permit_dnswl_client"}

// lists: a resolver that many share is refused by the lists, and some answer
// it as if every client were listed. RFC 5782 §5 has the test points.
func (d *doctor) lists(ctx context.Context) error {
	zones, err := d.listZones(ctx)
	if err != nil {
		return err
	}
	if d.mute {
		for _, zone := range zones {
			d.unasked("resolver", "list "+zone)
		}
		return nil
	}
	r := d.flags.ask(d.app)
	for _, zone := range zones {
		d.listZone(ctx, r, zone)
	}
	return nil
}

// listZones are the lists that restriction classes ask.
func (d *doctor) listZones(ctx context.Context) (zones []string, err error) {
	err = d.p.Mail.Classes(ctx, func(c schema.ClassRow) error {
		words := strings.FieldsFunc(c.List, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' || r == '\n' })
		for i, w := range words[:max(len(words)-1, 0)] {
			zone, _, _ := strings.Cut(words[i+1], "=")
			if slices.Contains(listUsers, strings.ToLower(w)) && !slices.Contains(zones, zone) {
				zones = append(zones, zone)
			}
		}
		return nil
	})
	return zones, err
}

func (d *doctor) listZone(ctx context.Context, r *dns.Resolver, zone string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	f := dnsplan.Finding{Subject: "list " + zone, State: dnsplan.Good, Found: "answers"}
	listed, err := d.listed(ctx, r, netip4(127, 0, 0, 2), zone)
	all, _ := d.listed(ctx, r, netip4(127, 0, 0, 1), zone)
	switch {
	case err != nil:
		f.State, f.Found = dnsplan.Unknown, err.Error()
	case strings.HasPrefix(listed, "127.255.255."):
		f.State, f.Found, f.Why = dnsplan.Bad, listed, "the list refuses this resolver; its answers are of no use"
		f.Mend = "run a resolver of your own (unbound) and name it in /etc/resolv.conf"
	case listed == "":
		f.State, f.Found, f.Why = dnsplan.Warn, "127.0.0.2 is not listed", "the list does not answer this resolver, or is dead"
		f.Mend = "run a resolver of your own (unbound), or take the list out of the classes"
	case all != "":
		f.State, f.Found, f.Why = dnsplan.Bad, "127.0.0.1 is listed: "+all, "the list lists everybody"
		f.Mend = "take the list out of the classes"
	}
	d.add("resolver", f)
	if f.State != dnsplan.Good {
		return
	}
	for _, ip := range d.public {
		if code, err := d.listed(ctx, r, ip, zone); err == nil && code != "" {
			d.add("resolver", dnsplan.Finding{Subject: ip.String() + " in " + zone, State: dnsplan.Bad, Found: code, Expected: "not listed",
				Why: "others who ask this list refuse our mail", Mend: "find and stop the cause, then ask the list to take the address out"})
		}
	}
}

// network: can mail leave at all?
func (d *doctor) network(ctx context.Context) error {
	if d.probe == "" {
		return nil
	}
	f := dnsplan.Finding{Subject: "port 25 to " + d.probe, State: dnsplan.Good}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.probe)
	if err == nil {
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(15 * time.Second))
		f.Found, err = bufio.NewReaderSize(conn, 1024).ReadString('\n')
		f.Found = strings.TrimSpace(f.Found)
	}
	if err != nil || !strings.HasPrefix(f.Found, "220") {
		f.State, f.Expected, f.Why = dnsplan.Bad, "220", "no mail can leave; many providers close port 25 until asked"
		f.Mend = "ask your provider to open port 25, or send through a smarthost: INSERT INTO RelayHost (rhNexthop, rhUser, rhPasswd) VALUES ('[smtp.example.net]:587', 'user', 'password');"
		if err != nil {
			f.Found = err.Error()
		}
	}
	d.add("network", f)
	return nil
}

// rows are the quick steps of "mailserver check".
func (d *doctor) rows(ctx context.Context) error {
	c := &checker{p: d.p}
	for _, step := range []func(*checker, context.Context) error{(*checker).settings, (*checker).restrictions, (*checker).rows,
		(*checker).listeners, (*checker).certificates, (*checker).files} {
		if err := step(c, ctx); err != nil {
			return err
		}
	}
	for _, f := range c.found {
		state := dnsplan.Bad
		if f.Warn {
			state = dnsplan.Warn
		}
		d.add(f.Area, dnsplan.Finding{Subject: f.What, State: state, Mend: f.Mend})
	}
	return d.ownCertificate(ctx)
}

// ownCertificate: the one that init made is good enough for SMTP, not for
// mail programs.
func (d *doctor) ownCertificate(ctx context.Context) error {
	v, err := d.p.Mail.View(ctx)
	if err != nil {
		return err
	}
	certs, err := v.Certs(ctx)
	if err != nil {
		return err
	}
	for _, c := range certs {
		leaf, err := readLeaf(d.p.Dir, c.CertFile)
		if err != nil || leaf.Issuer.String() != leaf.Subject.String() {
			continue
		}
		d.add("certificates", dnsplan.Finding{Subject: c.Hostname, State: dnsplan.Warn, Found: "signs itself", Expected: "signed by an authority",
			Why: "mail programs warn their users", Mend: "mailserver config set acme_directory=https://acme-v02.api.letsencrypt.org/directory acme_contact=postmaster@" + c.Hostname})
	}
	return nil
}

func readLeaf(dir, file string) (*x509.Certificate, error) {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return x509.ParseCertificate(block.Bytes)
}

// duties: every mail domain answers to these names, RFC 2142 and RFC 5321 §4.5.1.
func (d *doctor) duties(ctx context.Context) error {
	for _, dom := range d.domains {
		for _, name := range []string{"postmaster", "abuse"} {
			to, err := address.Parse(name + "@" + dom.Name)
			if err != nil {
				return err
			}
			rcpt, err := d.p.Route.Recipient(ctx, to)
			if err != nil {
				return err
			}
			if !rcpt.Listed {
				d.add("duties", dnsplan.Finding{Subject: name + "@" + dom.Name, State: dnsplan.Warn, Found: "is refused", Expected: "is read by somebody",
					Why: "others report faults there, and some lists demand it", Mend: "mailserver alias add " + name + "@" + dom.Name + " YOU@" + dom.Name})
			}
		}
	}
	return nil
}

// Below these a host soon takes no mail.
const (
	leastFree    = 512 << 20
	leastPercent = 5
)

func (d *doctor) disk(ctx context.Context) error {
	places := []string{d.p.Dir}
	if home, _, err := d.p.Config.Value(ctx, "virtual_mailbox_home"); err == nil {
		if i := strings.IndexByte(home, '%'); i > 0 {
			places = append(places, filepath.Dir(home[:i]+"x"))
		}
	}
	for _, place := range places {
		var st unix.Statfs_t
		if err := unix.Statfs(place, &st); err != nil {
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			return fmt.Errorf("%s: %w", place, err)
		}
		free := int64(st.Bavail) * st.Bsize
		f := dnsplan.Finding{Subject: "disk of " + place, State: dnsplan.Good, Found: size(free) + " free"}
		if free < leastFree || st.Blocks > 0 && st.Bavail*100/st.Blocks < leastPercent {
			f.State, f.Why, f.Mend = dnsplan.Bad, "when it is full, mail is answered 452 and waits at its senders", "du -x "+place+" | sort -n | tail"
		}
		if st.Files > 0 && st.Ffree*100/st.Files < leastPercent {
			f.State, f.Found, f.Why = dnsplan.Bad, fmt.Sprintf("%d inodes free", st.Ffree), "each message is a file"
		}
		d.add("disk", f)
	}
	return nil
}

// clock: DKIM, TLS and dates of mail depend on it.
func (d *doctor) clock(context.Context) error {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	f := dnsplan.Finding{Subject: "clock", State: dnsplan.Good, Found: "is kept in step"}
	switch {
	case err != nil:
		return fmt.Errorf("ask for the clock: %w", err)
	case state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0:
		f.State, f.Found, f.Why = dnsplan.Warn, "nobody keeps it in step", "signatures, certificates and dates of mail depend on it"
		f.Mend = "systemctl enable --now systemd-timesyncd"
	}
	d.add("clock", f)
	return nil
}

// oldMail is how long mail may wait before somebody should look.
const oldMail = 24 * time.Hour

func (d *doctor) waiting(ctx context.Context) error {
	list, err := d.p.State.QueuePage(ctx, "", 1)
	if err != nil {
		return err
	}
	f := dnsplan.Finding{Subject: "queue", State: dnsplan.Good, Found: "nothing waits long"}
	if len(list) > 0 {
		if age := time.Since(list[0].Arrived); age > oldMail {
			f.State, f.Found = dnsplan.Warn, fmt.Sprintf("mail waits since %s", list[0].Arrived.Format(time.RFC3339))
			f.Why, f.Mend = "the senders do not know yet that it has not arrived", "mailserver queue list"
		}
	}
	d.add("queue", f)
	return nil
}

func (d *doctor) running(context.Context) error {
	f := dnsplan.Finding{Subject: "server", State: dnsplan.Good, Found: "runs"}
	if !server.Running(d.p.Dir) {
		f.State, f.Found, f.Mend = dnsplan.Warn, "does not run on this data directory", "systemctl start mailserver"
	}
	d.add("server", f)
	return nil
}

func netip4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }

// listed asks one list for an address: the code it answers, ” for none.
func (d *doctor) listed(ctx context.Context, r *dns.Resolver, ip netip.Addr, zone string) (string, error) {
	name, _, _ := strings.Cut(dns.ReverseName(ip), ".in-addr.arpa")
	name, _, _ = strings.Cut(name, ".ip6.arpa")
	a, err := r.Lookup(ctx, name+"."+zone, dns.A)
	switch {
	case dns.NotFound(err):
		return "", nil
	case err != nil:
		return "", err
	case len(a.Records) == 0:
		return "", nil
	}
	return a.Records[0].Addr.String(), nil
}
