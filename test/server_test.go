// Package test runs the built program as its users do: another process, other
// people's clients, kill -9, a full disk.
package test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/internal/memtest"
	"mailserver/internal/testenv"
	"mailserver/internal/testport"
)

// program is the path of the built program.
var program string

func TestMain(m *testing.M) {
	if program = os.Getenv(programVar); program != "" { // in a network of its own
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "mailserver-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "mailserver")
	build := exec.Command("go", "build", "-o", program, "mailserver/cmd/mailserver")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // static, as it is installed
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		os.Exit(1)
	}
	// Tests that are parallel wait, for programs and for time to pass, far more than they work.
	flag.Parse()
	flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// host is one data directory and the server that runs on it, if one does.
type host struct {
	t    *testing.T
	dir  string
	base int
	cmd  *exec.Cmd
	// command is how the server is started next, other than by "serve".
	command *exec.Cmd
	log     *syncBuffer
	done    chan struct{} // closed when the process has ended
}

// sampleHost makes a data directory with the sample rows in dir, or in a new
// one when dir is empty.
func sampleHost(t *testing.T, dir string) *host {
	t.Helper()
	if memtest.Race && testing.Short() {
		t.Skip("short: the program under test is a process of its own, which the race detector does not see")
	}
	if dir == "" {
		dir = filepath.Join(testenv.Dir(t), "data")
	}
	h := &host{t: t, dir: dir, base: freeBase(t), log: new(syncBuffer)}
	h.mustRun("init", "--hostname", "mx.example", "--port-base", strconv.Itoa(h.base), "--sample", "--own-mail", "--postmaster", "joe@vmail.example")
	h.mustRun("config", "set", "smtpd_error_sleep_time=0", "auth_failure_delay=0", "smtpd_client_connection_count_limit=0",
		"local_header_rewrite_clients=") // messages of tests stay as they are, though they come from here
	t.Cleanup(h.stop)
	return h
}

// freeBase finds a port base whose ports are all free, and no other test's.
func freeBase(t *testing.T) int {
	t.Helper()
	return testport.Base(t, 24, 25, 110, 143, 465, 587, 993, 995)
}

func (h *host) addr(port int) string { return "127.0.0.1:" + strconv.Itoa(h.base+port) }

// run runs a command of the program on the data directory.
func (h *host) run(stdin string, args ...string) (string, error) {
	cmd := exec.Command(program, append(args, "--data", h.dir)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (h *host) mustRun(args ...string) string {
	h.t.Helper()
	out, err := h.run("", args...)
	if err != nil {
		h.t.Fatalf("mailserver %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// start runs the server and waits until it is ready.
func (h *host) start(env ...string) {
	h.t.Helper()
	h.cmd = exec.Command(program, "serve", "--data", h.dir)
	if h.command != nil {
		h.cmd, h.command = h.command, nil
	}
	h.cmd.Env = append(os.Environ(), env...)
	stderr, err := h.cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	ready := make(chan struct{})
	h.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		h.readLog(stderr, ready)
		cmd.Wait()
	}(h.cmd, h.done)
	select {
	case <-ready:
	case <-h.done:
		h.t.Fatalf("the server ended:\n%s", h.log.tail(30))
	case <-time.After(patience):
		h.t.Fatalf("the server is not ready:\n%s", h.log.tail(30))
	}
}

func (h *host) readLog(r io.Reader, ready chan struct{}) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	said := false
	for sc.Scan() {
		if !said && sc.Text() == "ready" {
			said = true
			close(ready)
		}
		h.log.add(sc.Text())
	}
}

// kill ends the server as kill -9 does.
func (h *host) kill() {
	h.cmd.Process.Kill()
	<-h.done
	h.cmd = nil
}

// stop ends the server as systemd does, and fails the test when it does not
// end well.
func (h *host) stop() {
	if h.cmd == nil {
		return
	}
	cmd := h.cmd
	h.cmd = nil
	cmd.Process.Signal(os.Interrupt)
	select {
	case <-h.done:
	case <-time.After(patience):
		cmd.Process.Kill()
		<-h.done
		h.t.Errorf("the server did not stop:\n%s", h.log.tail(30))
		return
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		h.t.Errorf("exit code %d:\n%s", code, h.log.tail(30))
	}
}

// check runs "mailserver check": index and trees must agree.
func (h *host) check() {
	h.t.Helper()
	if out, err := h.run("", "check"); err != nil {
		h.t.Errorf("check: %v\n%s", err, out)
	}
}

// folder is the Maildir of a user of vmail.example.
func (h *host) folder(user string) string {
	return filepath.Join(h.dir, "mail", "vmail.example", user, "Mail")
}

// messages returns the files of a Maildir.
func messages(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	for _, sub := range []string{"new", "cur"} {
		files, err := filepath.Glob(filepath.Join(dir, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, files...)
	}
	return list
}

// syncBuffer keeps lines of a log.
type syncBuffer struct {
	mu    sync.Mutex // guards lines
	lines []string
}

func (b *syncBuffer) add(line string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line)
}

// from gives the lines behind the first n; len is how many there are.
func (b *syncBuffer) from(n int) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.lines[n:]...)
}

func (b *syncBuffer) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.lines)
}

func (b *syncBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.lines[max(0, len(b.lines)-n):], "\n")
}

// message makes a message that can be found again by its id.
func message(id, subject, body string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: a@elsewhere.example\r\nTo: b@vmail.example\r\nSubject: %s\r\nMessage-ID: <%s@elsewhere.example>\r\nX-Test-ID: %s\r\n\r\n%s\r\n",
		subject, id, id, body)
	return b.Bytes()
}

// spooled is the text of a message in the queue, without the line behind it
// that holds its envelope.
func (h *host) spooled(id string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(h.dir, "spool", "queue", id))
	if i := bytes.LastIndex(text, []byte("\n{\"mailserver_queue\"")); i >= 0 {
		text = text[:i]
	}
	return text, err
}
