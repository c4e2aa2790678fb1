package main

import (
	"context"
	"flag"
	"fmt"
	"net/netip"
	"strings"

	"mailserver/internal/dnsplan"
	"mailserver/internal/server"
)

func doctorCommands() []command {
	return []command{
		{name: "doctor", about: "is this a mail host that others will talk to: DNS, port 25, lists, certificates, disk, clock, queue, rows; exit 78",
			more: "Each fault comes with what was expected and found, why it matters, and the line that mends it.\n--monitor prints one line and exits 0, 1 or 2, as Nagios and its kin expect.", setup: runDoctor},
	}
}

// doctor is one run of "mailserver doctor".
type doctor struct {
	app     *app
	p       *server.Parts
	flags   dnsFlags
	probe   string // host:port outside; '': not asked
	mute    bool   // the resolver does not answer
	public  []netip.Addr
	domains []dnsplan.Domain
	found   []examined
}

// examined is one finding with the area that it belongs to.
type examined struct {
	Area string `json:"area"`
	dnsplan.Finding
}

func (d *doctor) add(area string, f dnsplan.Finding) { d.found = append(d.found, examined{area, f}) }

func (d *doctor) addAll(area string, list []dnsplan.Finding) {
	for _, f := range list {
		d.add(area, f)
	}
}

// unasked notes a check that needs a resolver where none answers.
func (d *doctor) unasked(area, subject string) {
	d.add(area, dnsplan.Finding{Subject: subject, State: dnsplan.Unknown, Found: "not asked: the resolver does not answer"})
}

// doctorSteps are the areas, in the order of the output.
var doctorSteps = []struct {
	name string
	run  func(*doctor, context.Context) error
}{
	{"dns", func(d *doctor, ctx context.Context) error { return d.names(ctx, "") }},
	{"resolver", (*doctor).lists},
	{"network", (*doctor).network},
	{"rows", (*doctor).rows},
	{"duties", (*doctor).duties},
	{"disk", (*doctor).disk},
	{"clock", (*doctor).clock},
	{"queue", (*doctor).waiting},
	{"server", (*doctor).running},
}

func runDoctor(fs *flag.FlagSet) action {
	f := newDNSFlags(fs)
	probe := fs.String("probe", "gmail-smtp-in.l.google.com:25", "`host:port` outside that shows whether port 25 is open; '' asks nobody")
	monitor := fs.Bool("monitor", false, "one line; exit 0, 1 for warnings, 2 for faults")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withParts(ctx, func(p *server.Parts) error {
			d := &doctor{app: a, p: p, flags: f, probe: *probe}
			for _, step := range doctorSteps {
				if err := step.run(d, ctx); err != nil {
					d.add(step.name, dnsplan.Finding{Subject: step.name, State: dnsplan.Unknown, Found: err.Error()})
				}
			}
			if *monitor {
				return d.oneLine()
			}
			return d.report()
		})
	}
}

// count says how many findings have a state.
func (d *doctor) count(s dnsplan.State) (n int) {
	for _, f := range d.found {
		if f.State == s {
			n++
		}
	}
	return n
}

// report prints what was found; errFaults if any of it is a fault.
func (d *doctor) report() error {
	if *d.flags.asJSON {
		t := d.app.table(true)
		for _, f := range d.found {
			if err := t.row(f); err != nil {
				return err
			}
		}
		if err := t.end(nil); err != nil {
			return err
		}
	} else {
		d.printAll()
	}
	if d.count(dnsplan.Bad) > 0 {
		return errFaults
	}
	return nil
}

// printAll prints what is not right, and the sum. What has no answer mostly has
// one cause: from the second on it is told together, unless all was asked for.
func (d *doctor) printAll() {
	together := !*d.flags.verbose && d.count(dnsplan.Unknown) > 1
	var left []examined
	for _, f := range d.found {
		switch {
		case together && f.State == dnsplan.Unknown:
			left = append(left, f)
		case f.State != dnsplan.Good || *d.flags.verbose:
			d.print(f)
		}
	}
	if left != nil {
		d.printLeft(left)
	}
	fmt.Fprintln(d.app.out, d.sum())
}

// maxLeft is how many checks that could not be made are named.
const maxLeft = 10

func (d *doctor) printLeft(left []examined) {
	var names []string
	for _, f := range left[:min(len(left), maxLeft)] {
		names = append(names, f.Subject)
	}
	text := strings.Join(names, ", ")
	if n := len(left) - maxLeft; n > 0 {
		text += fmt.Sprintf(" and %d more; --verbose names them", n)
	}
	all := left[0]
	all.Subject, all.Expected = fmt.Sprintf("%d checks could not be made: %s", len(left), text), ""
	d.print(all)
}

func (d *doctor) sum() string {
	return fmt.Sprintf("%d faults, %d warnings, %d without answer, %d right",
		d.count(dnsplan.Bad), d.count(dnsplan.Warn), d.count(dnsplan.Unknown), d.count(dnsplan.Good))
}

func (d *doctor) print(f examined) {
	fmt.Fprintf(d.app.out, "%s: %s: %s\n", f.Area, f.State, f.Subject)
	for _, line := range []struct{ name, text string }{{"expected", f.Expected}, {"found", f.Found}, {"why", f.Why}, {"mend", f.Mend}} {
		if line.text != "" && (f.State != dnsplan.Good || line.name == "found") {
			fmt.Fprintf(d.app.out, "    %-9s %s\n", line.name, strings.ReplaceAll(line.text, "\n", " "))
		}
	}
}

// oneLine is the output of a monitor's plug-in.
func (d *doctor) oneLine() error {
	var names []string
	for _, s := range []dnsplan.State{dnsplan.Bad, dnsplan.Warn, dnsplan.Unknown} {
		for _, f := range d.found {
			if f.State == s && len(names) < 5 {
				names = append(names, f.Subject)
			}
		}
	}
	word, code := "OK", 0
	switch {
	case d.count(dnsplan.Bad) > 0:
		word, code = "CRITICAL", 2
	case d.count(dnsplan.Warn)+d.count(dnsplan.Unknown) > 0:
		word, code = "WARNING", 1
	}
	fmt.Fprintf(d.app.out, "MAIL %s - %s", word, d.sum())
	if names != nil {
		fmt.Fprintf(d.app.out, ": %s", strings.Join(names, "; "))
	}
	fmt.Fprintln(d.app.out)
	if code == 0 {
		return nil
	}
	return &exitError{code, errQuiet}
}
