package test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// manyAddresses adds domains d0.scale.example and so on, each with mailboxes u0
// and so on.
func (h *host) manyAddresses(domains, each int) {
	h.sql(fmt.Sprintf(`BEGIN;
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Domain (domName, domClass, domRcNum) SELECT 'd' || i || '.scale.example', 842, 20 FROM n;
		WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i+1 FROM n WHERE i+1 < %d)
		INSERT INTO Address (addLocalpart, addDomNum) SELECT 'u' || i, domNum FROM Domain, n WHERE domName LIKE '%%.scale.example';
		INSERT INTO VMailbox (vmNum, vmPasswd) SELECT addNum, '{PLAIN}x' FROM Address JOIN Domain ON domNum = addDomNum WHERE domName LIKE '%%.scale.example';
		COMMIT;`, domains, each))
}

// rcpts asks for n recipients, one at a time, and returns how long each took.
// Each has a reply beginning with want.
func (h *host) rcpts(n int, want string, to func() string) []time.Duration {
	h.t.Helper()
	s, err := dialSender(h.addr(25))
	if err != nil {
		h.t.Fatal(err)
	}
	defer s.c.Close()
	took := make([]time.Duration, 0, n)
	for i := range n {
		if i%500 == 0 {
			for _, line := range []string{"RSET", "MAIL FROM:<a@elsewhere.example>"} {
				if err := s.cmd(250, "%s", line); err != nil {
					h.t.Fatal(err)
				}
			}
		}
		begun := time.Now()
		s.c.PrintfLine("RCPT TO:<%s>", to())
		line, err := s.c.ReadLine()
		took = append(took, time.Since(begun))
		if err != nil || !strings.HasPrefix(line, want) {
			h.t.Fatalf("%s, %v; want %s", line, err, want)
		}
	}
	return took
}

func median(list []time.Duration) time.Duration {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

func oneOf(domains, each int) func() string {
	return func() string { return fmt.Sprintf("u%d@d%d.scale.example", rand.IntN(each), rand.IntN(domains)) }
}

// TestManyAddresses: RCPT with very many addresses is answered as with ten,
// memory has a bound whatever is asked for, and a row that another program
// changes is seen by the next command. With MAILSERVER_LONG=1 there are a
// million addresses in 10,000 domains.
func TestManyAddresses(t *testing.T) {
	domains, each, n := 1000, 20, 2000
	if long() {
		domains, each, n = 10000, 100, 30000
	}
	few, many := sampleHost(t, ""), sampleHost(t, "")
	few.manyAddresses(1, 10)
	many.manyAddresses(domains, each)
	for _, h := range []*host{few, many} {
		h.mustRun("config", "set", "smtpd_peername_lookup=no", "smtpd_hard_error_limit=1000000", "smtpd_soft_error_limit=1000000", "smtpd_junk_command_limit=1000000")
		h.start()
		h.rcpts(200, "250", oneOf(1, 10))
	}
	many.rcpts(n, "250", oneOf(domains, each)) // each domain has been asked for
	for round := range 3 {
		c0, a := few.cpu(), few.rcpts(n, "250", oneOf(1, 10))
		c1, d, b := few.cpu(), many.cpu(), many.rcpts(n, "250", oneOf(domains, each))
		t.Logf("round %d: RCPT %v with ten addresses, %v with %d; %v and %v of the processor each; resident %d and %d KiB", round, median(a), median(b),
			domains*each, (c1-c0)/time.Duration(n), (many.cpu()-d)/time.Duration(n), few.resident(), many.resident())
	}
	unknown, start := 0, 0
	for round := range 6 {
		many.rcpts(n, "550", func() string {
			unknown++
			return fmt.Sprintf("%s%d@d%d.scale.example", strings.Repeat("nobody", 9), unknown, rand.IntN(domains))
		})
		if round == 2 {
			start = many.resident()
		}
	}
	t.Logf("%d unknown recipients: resident %d KiB after half of them, %d KiB after all", unknown, start, many.resident())
	if grown := many.resident() - start; grown > 6<<10 {
		t.Errorf("memory grows by %d KiB, and does not stop", grown)
	}
	last := fmt.Sprintf("u%d@d%d.scale.example", each-1, domains-1)
	for _, step := range []struct{ sql, want string }{
		{"", "250"},
		{"UPDATE Address SET active = 0 WHERE addLocalpart = 'u%d' AND addDomNum = (SELECT domNum FROM Domain WHERE domName = 'd%d.scale.example')", "550"},
		{"UPDATE Address SET active = 1 WHERE addLocalpart = 'u%d' AND addDomNum = (SELECT domNum FROM Domain WHERE domName = 'd%d.scale.example')", "250"},
		{"UPDATE Domain SET domClass = 3 WHERE domClass = 842 -- %d, %d, all of them", "550"},
	} {
		if step.sql != "" {
			many.sql(fmt.Sprintf(step.sql, each-1, domains-1))
		}
		many.rcpts(1, step.want, func() string { return last })
	}
	if peak := many.listPeak(domains * each); peak > 40<<10 {
		t.Errorf("address list needs %d KiB", peak)
	}
	if out := many.mustRun("address", "show", last); !strings.Contains(out, last) {
		t.Error(out)
	}
}

// listPeak lists all addresses, want or more, and returns how much memory that
// takes at most, in KiB.
func (h *host) listPeak(want int) (peak int) {
	h.t.Helper()
	begun := time.Now()
	list := &host{t: h.t, cmd: exec.Command(program, "address", "list", "--data", h.dir)}
	out, err := list.cmd.StdoutPipe()
	if err == nil {
		err = list.cmd.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	lines := 0
	for sc := bufio.NewScanner(out); sc.Scan(); lines++ {
		if lines%1000 == 0 {
			peak = list.peak()
		}
	}
	if err := list.cmd.Wait(); err != nil || lines < want {
		h.t.Errorf("%d lines of %d, %v", lines, want, err)
	}
	h.t.Logf("address list: %v, %d KiB at most", time.Since(begun), peak)
	return peak
}
