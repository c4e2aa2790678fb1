package test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// work is what a server has done since it began.
type work struct {
	reads, writes float64 // system calls
	read, written float64 // bytes
	cpu           float64 // ms
	seconds       float64
}

// worked reads it from the kernel, which counts it whatever else the machine does.
func (h *host) worked() (w work) {
	h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", h.cmd.Process.Pid))
	if err != nil {
		h.t.Skip("the kernel does not count what a process reads and writes: ", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "syscr":
			w.reads = n
		case "syscw":
			w.writes = n
		case "rchar":
			w.read = n
		case "wchar":
			w.written = n
		}
	}
	w.cpu = h.cpu().Seconds() * 1000
	return w
}

// TestIntakeBesideDeferredMail: a message that comes in and goes on costs the
// same beside a large queue, none of which is due, as beside an empty one. Two
// servers do the same in turns. What is read and written is counted while
// messages come one after the other: else commits that messages share by chance
// are the larger part of the difference.
func TestIntakeBesideDeferredMail(t *testing.T) {
	deferred, each, rounds := 3000, 24, 3
	if long() {
		deferred, each, rounds = 100_000, 500, 9
	}
	const page, depth = 4096, 4
	busy := 1.0 // ms that tell nothing, when few messages share the processor with other tests
	if long() {
		busy = 0
	}
	servers := make([]*deadHosts, 2)
	for i := range servers {
		d := &deadHosts{t: t, messages: i * deferred, dead: 50, later: 24 * time.Hour, arrived: make(map[string]time.Time)}
		d.setUp()
		d.mustRun("config", "set", "trace_lines=0") // written once a second, whatever a message costs
		d.fill()
		d.start()
		d.intake("warm", 100)
		servers[i] = d
	}
	var cost [2][]work
	for n := range rounds {
		for i, d := range servers {
			begun, at := d.worked(), time.Now()
			d.oneByOne(fmt.Sprintf("single%d-", n), each/4)
			single, took := d.worked(), time.Since(at).Seconds()
			d.intake(fmt.Sprintf("round%d-", n), each)
			many := d.worked()
			per := float64(each / 4)
			cost[i] = append(cost[i], work{(single.reads - begun.reads) / per, (single.writes - begun.writes) / per,
				(single.read - begun.read) / per, (single.written - begun.written) / per,
				(many.cpu - single.cpu) / float64(each), took / per})
		}
	}
	for _, m := range []struct {
		name  string
		of    func(work) float64
		slack float64 // what does not matter beyond a tenth
		look  float64 // what the server reads once a second to see what is due: a way through a tree
	}{
		{"reading calls", func(w work) float64 { return w.reads }, 1, depth},
		{"bytes read", func(w work) float64 { return w.read }, page / 2, depth * page},
		{"writing calls", func(w work) float64 { return w.writes }, 1, 0},
		{"bytes written", func(w work) float64 { return w.written }, page / 2, 0},
		{"ms CPU", func(w work) float64 { return w.cpu }, busy, 0},
	} {
		seconds := slices.MaxFunc(cost[1], func(a, b work) int { return cmp.Compare(a.seconds, b.seconds) }).seconds
		var least [2]float64 // what else the server does now and then only adds
		for i := range servers {
			least[i] = m.of(slices.MinFunc(cost[i], func(a, b work) int { return cmp.Compare(m.of(a), m.of(b)) }))
		}
		t.Logf("a message: %.2f %s beside an empty queue, %.2f beside %d deferred: %.2f times", least[0], m.name, least[1], deferred, least[1]/least[0])
		if least[1] > least[0]*1.1+m.slack+m.look*seconds {
			t.Errorf("%s: more than 1.1 times", m.name)
		}
	}
}

// intake sends messages to live hosts over several connections, and gives the
// milliseconds that one took, of time and of the server's processor.
func (d *deadHosts) intake(prefix string, total int) (took, cpu float64) {
	begun, used := time.Now(), d.cpu()
	d.sendMany(total, func(s *sender, i int) error {
		return s.send(fmt.Sprintf("%s%d@live%d.example", prefix, i, i%liveHosts), message(fmt.Sprint(prefix, i), "x", "x"))
	})
	waitFor(d.t, "mail has gone on", func() bool { return d.count(prefix) == total })
	each := 1000 / float64(total)
	return time.Since(begun).Seconds() * each, (d.cpu() - used).Seconds() * each
}

// oneByOne sends messages each of which waits for the one before to have gone on.
func (d *deadHosts) oneByOne(prefix string, total int) {
	s, err := dialSender(d.addr(25))
	if err != nil {
		d.t.Fatal(err)
	}
	defer s.c.Close()
	for i := range total {
		to := fmt.Sprintf("%s%d@live%d.example", prefix, i, i%liveHosts)
		if err := s.send(to, message(fmt.Sprint(prefix, i), "x", "x")); err != nil {
			d.t.Fatal(err)
		}
		waitFor(d.t, "a message has gone on", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return !d.arrived[to].IsZero()
		})
	}
}
