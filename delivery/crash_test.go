package delivery

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailserver/delivery/queue"
	"mailserver/policy"
)

// crashDir and crashPort tell the test binary that it is the server that will
// be killed.
const (
	crashDir  = "DELIVERY_CRASH_DIR"
	crashPort = "DELIVERY_CRASH_PORT"
)

// crashDests are where messages of the crash test go: one mailbox, two with one
// file, a relay, a relay and a mailbox, a host that is down.
var crashDests = []string{"a@box.test", "both@box.test", "x@out.test", "mixed@box.test", "later@down.test"}

// TestCrashServer is the server of TestNothingAcknowledgedIsLost: it takes
// messages without end and writes "name destination" for each that it took.
func TestCrashServer(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs only as the child of TestNothingAcknowledgedIsLost")
	}
	port, _ := strconv.Atoi(os.Getenv(crashPort))
	f := &fixture{t: t, dir: dir, port: port, log: &logBuffer{}}
	f.open()
	f.run()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := worker; ; n++ {
				dest := crashDests[n%len(crashDests)]
				name := fmt.Sprintf("%d-%d-%d", os.Getpid(), worker, n)
				size := rand.N(2000)
				if n%10 == 0 {
					size = 600_000 // more than stays in memory
				}
				m, err := f.s.Begin(context.Background(), envelope("s@x.test", dest))
				if err != nil {
					continue
				}
				fmt.Fprintf(m, "X-Name: %s\r\n\r\n%s\r\nend %s\r\n", name, strings.Repeat("x", size), name)
				if out := m.Commit(context.Background(), policy.Effects{}); out[0].OK() {
					mu.Lock()
					fmt.Printf("took %s %s\n", name, dest)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
}

// TestNothingAcknowledgedIsLost kills the server at random moments. What it
// had answered 250 for is in its mailbox, at the next hop or in the queue,
// whole; and a new start leaves nothing behind in tmp.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	f := newFixture(t, "UPDATE VMailbox SET vmQuota = NULL")
	f.shut()
	took := make(map[string]string)
	for n := 0; n < rounds || len(took) < 50 && n < 40; n++ { // a slow machine takes fewer in each
		for name, dest := range f.killed(time.Duration(100+rand.N(400)) * time.Millisecond) {
			took[name] = dest
		}
	}
	f.open()
	if len(took) < 50 {
		t.Fatalf("only %d messages were taken", len(took))
	}
	places := f.everywhere()
	for name, dest := range took {
		for _, end := range map[string][]string{"a@box.test": {"a"}, "both@box.test": {"a", "b"}, "x@out.test": {"x@out.test"},
			"mixed@box.test": {"a", "x@out.test"}, "later@down.test": {"later@down.test"}}[dest] {
			if !places[end+" "+name] {
				t.Errorf("%s, taken for %s, is not at %s", name, dest, end)
			}
		}
	}
	f.run()
	f.until("relay of what waits", func() bool {
		for _, q := range f.queued() {
			if strings.HasPrefix(q, "x@out.test") {
				return false
			}
		}
		return true
	})
	if list, _ := os.ReadDir(filepath.Join(f.dir, "spool", "tmp")); len(list) != 0 {
		t.Errorf("%d files in tmp", len(list))
	}
	// The file of a message goes after its rows.
	f.until("a message for each file in the queue", func() bool { return f.spool() == f.messages() })
	t.Logf("%d messages taken, %d copies at the next hop", len(took), len(f.sink.Messages()))
}

// killed runs the server for a while, kills it, and returns what it took.
func (f *fixture) killed(after time.Duration) map[string]string {
	f.t.Helper()
	f.killedOnce = true
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashServer$")
	cmd.Env = append(os.Environ(), crashDir+"="+f.dir, crashPort+"="+strconv.Itoa(f.port))
	out, err := cmd.StdoutPipe()
	f.must(err)
	f.must(cmd.Start())
	took := make(map[string]string)
	read := make(chan struct{})
	first := make(chan struct{})
	go func() {
		defer close(read)
		sc := bufio.NewScanner(out)
		for sc.Scan() {
			words := strings.Fields(sc.Text())
			if len(words) == 3 && words[0] == "took" {
				if len(took) == 0 {
					close(first)
				}
				took[words[1]] = words[2]
			}
		}
	}()
	select {
	case <-first:
	case <-read:
	case <-time.After(2 * time.Minute):
	}
	time.Sleep(after) // the moment of the crash is what is being varied
	cmd.Process.Kill()
	<-read
	cmd.Wait()
	return took
}

// everywhere lists the whole messages that exist, as "place name".
func (f *fixture) everywhere() map[string]bool {
	f.t.Helper()
	places := make(map[string]bool)
	note := func(place, text string) {
		_, rest, _ := strings.Cut(text, "X-Name: ")
		name, _, _ := strings.Cut(rest, "\n")
		name = strings.TrimSpace(name)
		if strings.Contains(text, "\nend "+name) {
			places[place+" "+name] = true
		}
	}
	for _, user := range []string{"a", "b"} {
		dir := filepath.Join(f.dir, "mail/box.test", user, "Mail")
		for _, sub := range []string{"new", "cur"} {
			list, err := os.ReadDir(filepath.Join(dir, sub))
			f.must(err)
			for _, e := range list {
				b, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
				f.must(err)
				note(user, string(b))
			}
		}
	}
	for _, m := range f.sink.Messages() {
		note("x@out.test", m.Data)
	}
	f.must(f.s.Queue().List(context.Background(), func(e queue.Entry) error {
		_, text, err := f.s.Queue().Show(context.Background(), e.ID)
		f.must(err)
		defer text.Close()
		b, err := io.ReadAll(text)
		f.must(err)
		for _, r := range e.Recipients {
			note(r.Address, string(b))
		}
		return nil
	}))
	return places
}

func (f *fixture) messages() (n int) {
	after := ""
	for {
		page, err := f.d.State.QueuePage(context.Background(), after, 100)
		f.must(err)
		if len(page) == 0 {
			return n
		}
		n += len(page)
		after = page[len(page)-1].ID
	}
}

// TestKillDuringRelay kills a relaying server 20 times. Everything taken for
// the next hop arrives, and no more messages arrive twice than can have had
// their final dot on the way at a kill.
func TestKillDuringRelay(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	const kills = 20
	f := newFixture(t, "UPDATE VMailbox SET vmQuota = NULL")
	f.shut()
	took := make(map[string]bool)
	for range kills {
		for name, dest := range f.killed(time.Duration(150+rand.N(250)) * time.Millisecond) {
			if dest == "x@out.test" {
				took[name] = true
			}
		}
	}
	f.open()
	f.run()
	leaving := func() bool {
		return slices.ContainsFunc(f.queued(), func(q string) bool { return strings.HasPrefix(q, "x@out.test") })
	}
	for end := time.Now().Add(time.Minute); leaving(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the rest does not leave")
		}
	}
	copies := make(map[string]int)
	for _, m := range f.sink.Messages() {
		_, rest, _ := strings.Cut(m.Data, "X-Name: ")
		name, _, _ := strings.Cut(rest, "\r\n")
		if !strings.HasSuffix(m.Data, "end "+name+"\r\n") {
			t.Errorf("%s is not whole", name)
		}
		copies[name]++
	}
	twice := 0
	for name := range took {
		if copies[name] == 0 {
			t.Errorf("%s is lost", name)
		}
		twice += max(copies[name]-1, 0)
	}
	window := queue.Defaults().ConcurrencyLimit
	if t.Logf("%d taken, %d arrived twice", len(took), twice); len(took) < 20 || twice > kills*window {
		t.Errorf("more than %d at each kill", window)
	}
}
