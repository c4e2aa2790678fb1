package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Every server has these mailboxes, all with the same password.
const (
	users    = 100
	domain   = "bench.test"
	password = "secret"
	// sinkDomain is relayed to the port sinkPort of this host.
	sinkDomain = "sink.test"
)

func user(i int) string { return fmt.Sprintf("u%03d@%s", i%users, domain) }

// subject is a server that is measured.
type subject struct {
	name string // peer, before, after

	smtp, imap, imaps, pop3 string // addresses; plaintext log-in is allowed

	mail     string // below it the home of each user: u000 …
	maildir  string // in the home; "" if it is the home
	uid, gid int    // who owns the mail
	sink     int    // port that mail for sinkDomain goes to
	group    *group
	owner    int          // of the mailbox that fill has made last
	cold     func() error // forgets what the server has computed about mailboxes
	texts    *textIndex   // nil: it has none
	stop     func()
	used     bool // every mailbox has had mail
}

// inbox is the Maildir of user i.
func (s *subject) inbox(i int) string {
	return filepath.Join(s.mail, fmt.Sprintf("u%03d", i%users), s.maildir)
}

// group is a control group that holds all processes of one server, so that
// processor time counts those that have ended.
type group struct {
	procs []string // files that take a process
	usage string   // file of processor time
	v2    bool
}

// newGroup makes an empty group, which no other run of bench uses. It needs
// root.
func newGroup(name string) (*group, error) {
	const root = "/sys/fs/cgroup"
	name = fmt.Sprintf("mailbench-%d-%s", os.Getpid(), name)
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		dir := filepath.Join(root, name)
		return &group{[]string{dir + "/cgroup.procs"}, dir + "/cpu.stat", true}, mkdir(dir)
	}
	for _, sub := range []string{"cpuacct", "cpu,cpuacct"} {
		if _, err := os.Stat(filepath.Join(root, sub, "cpuacct.usage")); err == nil {
			dir := filepath.Join(root, sub, name)
			return &group{[]string{dir + "/cgroup.procs"}, dir + "/cpuacct.usage", false}, mkdir(dir)
		}
	}
	return nil, fmt.Errorf("no control groups for processor time below %s", root)
}

func mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return fmt.Errorf("control group (as root only): %w", err)
	}
	return nil
}

// command is a command that runs in the group, and so do its children.
func (g *group) command(name string, args ...string) *exec.Cmd {
	var join strings.Builder
	for _, file := range g.procs {
		fmt.Fprintf(&join, "echo $$ > %s && ", file)
	}
	return exec.Command("sh", append([]string{"-c", join.String() + `exec "$0" "$@"`, name}, args...)...)
}

// cpu is the processor time that the group has used.
func (g *group) cpu() time.Duration {
	text, _ := os.ReadFile(g.usage)
	f := strings.Fields(string(text))
	if len(f) == 0 {
		return 0
	}
	if g.v2 { // "usage_usec 123"
		n, _ := strconv.ParseInt(f[1], 10, 64)
		return time.Duration(n) * time.Microsecond
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return time.Duration(n)
}

// remove removes the group, when its processes have ended.
func (g *group) remove() {
	g.empty(5 * time.Second)
	for _, file := range g.procs {
		os.Remove(filepath.Dir(file))
	}
}

// pids are the processes of the group.
func (g *group) pids() []string {
	text, _ := os.ReadFile(g.procs[0])
	return strings.Fields(string(text))
}

// memory is what all processes of the group hold, in KiB: their proportional
// share, and what of it is anonymous.
func (g *group) memory() (pss, anon int) {
	for _, pid := range g.pids() {
		text, _ := os.ReadFile("/proc/" + pid + "/smaps_rollup")
		for line := range bytes.Lines(text) {
			f := strings.Fields(string(line))
			if len(f) < 2 {
				continue
			}
			n, _ := strconv.Atoi(f[1])
			switch f[0] {
			case "Pss:":
				pss += n
			case "Pss_Anon:":
				anon += n
			}
		}
	}
	return pss, anon
}

// empty waits until all processes of the group have ended.
func (g *group) empty(wait time.Duration) bool {
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if len(g.pids()) == 0 {
			return true
		}
	}
	return false
}

// cost watches a group from its call until end is called.
type cost struct {
	g       *group
	cpu     time.Duration
	begun   time.Time
	peak    int
	stopped chan struct{}
	done    chan struct{}
}

func (g *group) watch() *cost {
	c := &cost{g: g, cpu: g.cpu(), begun: time.Now(), stopped: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			pss, _ := g.memory()
			c.peak = max(c.peak, pss)
			select {
			case <-tick.C:
			case <-c.stopped:
				return
			}
		}
	}()
	return c
}

// end gives the processor time, the time, and the most memory in KiB.
func (c *cost) end() (cpu, took time.Duration, peak int) {
	cpu, took = c.g.cpu()-c.cpu, time.Since(c.begun)
	close(c.stopped)
	<-c.done
	return cpu, took, c.peak
}

// answering waits until something listens on every address.
func answering(addresses ...string) error {
	for _, a := range addresses {
		end := time.Now().Add(20 * time.Second)
		for {
			c, err := net.DialTimeout("tcp", a, time.Second)
			if err == nil {
				c.Close()
				break
			}
			if time.Now().After(end) {
				return fmt.Errorf("no server: %w", err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

// freePorts finds ports that nothing listens on.
func freePorts(n int) ([]int, error) {
	var list []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		list = append(list, l.Addr().(*net.TCPAddr).Port)
	}
	return list, nil
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
