package smtp

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"mailserver/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestCommandTable prints the table, so that a changed rule shows in review.
func TestCommandTable(t *testing.T) {
	list := make([]*command, 0, len(commands))
	for _, c := range commands {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].index < list[j].index })
	var b strings.Builder
	for _, c := range append(list, unknownCommand) {
		fmt.Fprintf(&b, "%-8s  %-22s  %s\n", c.name, rolesOf(c), flagsOf(c))
	}
	const golden = "testdata/commands.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the table is\n%s\n%s says\n%s", b.String(), golden, want)
	}
}

func rolesOf(c *command) string {
	var list []string
	for role, name := range []string{policy.MX: "mx", policy.Submission: "submission", policy.LMTP: "lmtp"} {
		if c.roles&(1<<role) != 0 {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func flagsOf(c *command) string {
	var list []string
	for i, name := range flagNames {
		if c.is(1 << i) {
			list = append(list, name)
		}
	}
	return strings.Join(list, " ")
}

func TestConfigDefaultsAreValid(t *testing.T) {
	w := newWorld(t)
	c, err := w.srv.config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Banner != "mx.example.net ESMTP Postfix" || !c.exceptions.Contains(addrPort("127.0.0.1:1").Addr()) {
		t.Errorf("%+v", c.Config)
	}
}

func TestConfigRefusesByName(t *testing.T) {
	for _, row := range []string{
		"smtpd_forbid_bare_newline=maybe", "smtpd_timeout=0", "line_length_limit=100", "line_length_limit=1000000",
		"smtpd_recipient_limit=0", "smtpd_forbidden_commands=regexp:/x/", "mynetworks=nonsense",
		"smtpd_forbid_bare_newline_reject_code=250",
	} {
		w := newWorld(t, row)
		_, err := w.srv.config(t.Context())
		name, _, _ := strings.Cut(row, "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", row, err)
		}
	}
}
