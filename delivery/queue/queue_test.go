package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/schema"
)

// fake is a Sender whose answers the test gives.
type fake struct {
	send   func(m *Message, r *Recipient) Result // nil: sent
	route  func(r *Recipient) *Result
	block  chan struct{}      // if set, sending waits for it
	slow   func(r *Recipient) // takes the time of an attempt
	report error
	notice time.Duration // what a report takes

	mu      sync.Mutex
	sent    []string // "ID address" in order
	times   map[string][]time.Time
	reports []string
	busy    map[string]int
	most    map[string]int
	jobs    int
}

type hop string

func (h hop) Site() string      { return string(h) }
func (hop) RecipientLimit() int { return 0 }
func (hop) Distant() bool       { return true }

func domain(a string) string { return a[strings.LastIndexByte(a, '@')+1:] }

func (f *fake) Route(_ context.Context, _ *Message, r *Recipient) (Target, *Result) {
	if f.route != nil {
		if res := f.route(r); res != nil {
			return nil, res
		}
	}
	return hop("smtp:" + domain(r.Address)), nil
}

func (f *fake) Send(ctx context.Context, to Target, m *Message, rcpts []*Recipient) []Result {
	f.mu.Lock()
	if f.times == nil {
		f.times, f.busy, f.most = map[string][]time.Time{}, map[string]int{}, map[string]int{}
	}
	f.jobs++
	f.busy[to.Site()]++
	f.most[to.Site()] = max(f.most[to.Site()], f.busy[to.Site()])
	f.mu.Unlock()
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
		}
	}
	if f.slow != nil {
		f.slow(rcpts[0])
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy[to.Site()]--
	results := make([]Result, len(rcpts))
	for i, r := range rcpts {
		f.sent = append(f.sent, m.ID+" "+r.Address)
		f.times[r.Address] = append(f.times[r.Address], time.Now())
		results[i] = Result{Status: Sent, Enhanced: "2.0.0", Text: "250 ok", Relay: "x"}
		if f.send != nil {
			results[i] = f.send(m, r)
		}
	}
	return results
}

func (f *fake) Report(_ context.Context, m *Message, rcpts []Recipient) error {
	time.Sleep(f.notice)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.report != nil {
		return f.report
	}
	var names []string
	for _, r := range rcpts {
		names = append(names, r.Address)
	}
	f.reports = append(f.reports, fmt.Sprintf("%d %s", rcpts[0].State, strings.Join(names, " ")))
	return nil
}

// peak is how many deliveries to a site were under way at once.
func (f *fake) peak(site string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most[site]
}

func (f *fake) attempts(address string) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.times[address])
}

func (f *fake) snapshot() (sent, reports []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent), slices.Clone(f.reports)
}

type bench struct {
	mu    sync.Mutex // guards cfg
	t     testing.TB
	q     *Queue
	state *schema.State
	dir   string
	f     *fake
	cfg   Config
	look  time.Duration // 0: as in the server
}

func newBench(t testing.TB, f *fake) *bench {
	t.Helper()
	b := &bench{t: t, f: f, dir: t.TempDir(), cfg: Defaults()}
	b.open()
	return b
}

// set changes settings while the queue runs.
func (b *bench) set(change func(*Config)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.cfg)
}

func (b *bench) open() {
	b.t.Helper()
	state, err := schema.OpenState(context.Background(), filepath.Join(b.dir, "state.sqlite"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.state = state
	b.q, err = Open(Deps{Dir: b.dir, State: state, Sender: b.f,
		Config: func(context.Context) (*Config, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			c := b.cfg
			return &c, nil
		}})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.look != 0 {
		b.q.sched.look = b.look
	}
}

func (b *bench) add(from string, to ...string) string {
	b.t.Helper()
	text, err := b.q.Begin()
	if err != nil {
		b.t.Fatal(err)
	}
	defer text.Drop()
	io.WriteString(text, "Subject: x\r\n\r\nbody\r\n")
	var rcpts []Recipient
	for _, a := range to {
		rcpts = append(rcpts, Recipient{Address: a, Original: a, Site: "smtp:" + domain(a), State: schema.QueueActive, Due: time.Now()})
	}
	if err := b.q.Add(context.Background(), text, &Message{Sender: from, Arrived: time.Now()}, rcpts); err != nil {
		b.t.Fatal(err)
	}
	return text.ID()
}

// entries is the queue as List gives it: "ID address state".
func (b *bench) entries() (list []string) {
	b.t.Helper()
	err := b.q.List(context.Background(), func(e Entry) error {
		for _, r := range e.Recipients {
			list = append(list, fmt.Sprintf("%s %s %d", e.ID, r.Address, r.State))
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) files() (names []string) {
	list, err := os.ReadDir(filepath.Join(b.dir, "spool", "queue"))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// run starts the queue; the function it returns stops it.
func (b *bench) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.q.Run(ctx) }()
	for {
		b.q.sched.mu.Lock()
		on := b.q.sched.on
		b.q.sched.mu.Unlock()
		if on {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	}
}

// bubble runs fn in a bubble of synctest, with a queue at work.
func bubble(t *testing.T, f *fake, fn func(*testing.T, *bench)) {
	bubbleLook(t, f, 0, fn)
}

func bubbleLook(t *testing.T, f *fake, look time.Duration, fn func(*testing.T, *bench)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		if look != 0 {
			b.q.sched.look = look
		}
		defer func() { b.state.Close() }()
		stop := b.run()
		defer func() { stop() }()
		fn(t, b)
	})
}

func TestSendsAtOnceAndLeavesNothing(t *testing.T) {
	f := &fake{}
	bubble(t, f, func(t *testing.T, b *bench) {
		id := b.add("s@x", "a@one", "b@one", "c@two")
		time.Sleep(time.Second)
		sent, _ := f.snapshot()
		slices.Sort(sent)
		if want := []string{id + " a@one", id + " b@one", id + " c@two"}; !slices.Equal(sent, want) {
			t.Errorf("sent %q", sent)
		}
		f.mu.Lock()
		if f.jobs != 2 {
			t.Errorf("%d deliveries for two sites", f.jobs)
		}
		f.mu.Unlock()
		if e, n := b.entries(), b.files(); len(e)+len(n) != 0 {
			t.Errorf("left %q %q", e, n)
		}
		b.q.sched.mu.Lock()
		defer b.q.sched.mu.Unlock()
		s := b.q.sched
		if len(s.items)+len(s.msgs)+s.count != 0 {
			t.Errorf("memory holds %d %d %d", len(s.items), len(s.msgs), s.count)
		}
		for name, st := range s.sites {
			if !st.idle() || st.items != 0 || !st.known {
				t.Errorf("site %s: %+v", name, st)
			}
		}
	})
}

// TestTimetable holds the attempts of five days to qmgr(8): the wait is the
// age of the message between the two bounds, rounded up to the next run.
func TestTimetable(t *testing.T) {
	f := &fake{send: func(*Message, *Recipient) Result { return Result{Status: Deferred, Enhanced: "4.2.0", Text: "later"} }}
	bubbleLook(t, f, 10*time.Second, func(t *testing.T, b *bench) {
		start := time.Now()
		time.Sleep(10 * time.Second)
		b.add("s@x", "a@one")
		time.Sleep(6 * 24 * time.Hour)
		var got []time.Duration
		for _, at := range f.attempts("a@one") {
			got = append(got, at.Sub(start))
		}
		want := []time.Duration{10 * time.Second, 600 * time.Second, 1200 * time.Second, 2400 * time.Second, 4800 * time.Second, 9000 * time.Second, 13200 * time.Second}
		for i, w := range want {
			if i >= len(got) || got[i].Round(15*time.Second) != w.Round(15*time.Second) {
				t.Fatalf("attempts at %v, want %v first", got[:min(len(got), 8)], want)
			}
		}
		last := got[len(got)-1]
		if last < 5*24*time.Hour || last > 5*24*time.Hour+4200*time.Second {
			t.Errorf("last attempt at %v", last)
		}
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 a@one"}) {
			t.Errorf("reports %q", reports)
		}
		if e, n := b.entries(), b.files(); len(e)+len(n) != 0 {
			t.Errorf("left %q %q", e, n)
		}
	})
}

func TestBouncesOnceForAllRecipients(t *testing.T) {
	f := &fake{send: func(_ *Message, r *Recipient) Result {
		if strings.HasPrefix(r.Address, "ok") {
			return Result{Status: Sent, Enhanced: "2.0.0"}
		}
		return Result{Status: Bounced, Enhanced: "5.1.1", Text: "no"}
	}}
	bubble(t, f, func(t *testing.T, b *bench) {
		b.add("s@x", "no1@one", "no2@two", "ok@three")
		time.Sleep(time.Minute)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"3 no1@one no2@two"}) {
			t.Errorf("reports %q", reports)
		}
		if e := b.entries(); len(e) != 0 {
			t.Errorf("left %q", e)
		}
	})
}

func TestReportIsTriedAgain(t *testing.T) {
	f := &fake{report: errors.New("not now"), send: func(*Message, *Recipient) Result { return Result{Status: Bounced, Enhanced: "5.1.1"} }}
	bubble(t, f, func(t *testing.T, b *bench) {
		b.add("s@x", "a@one")
		time.Sleep(time.Minute)
		if e := b.entries(); len(e) != 1 || !strings.HasSuffix(e[0], " 3") {
			t.Fatalf("queue %q", e)
		}
		f.mu.Lock()
		f.report = nil
		f.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if _, reports := f.snapshot(); len(reports) != 1 || len(b.entries()) != 0 {
			t.Errorf("reports %q, queue %q", reports, b.entries())
		}
	})
}

// delayed runs a queue that warns after two hours, and whose mail never leaves.
func delayed(t *testing.T, f *fake, fn func(*testing.T, *bench)) {
	f.send = func(*Message, *Recipient) Result { return Result{Status: Deferred, Enhanced: "4.2.0", Text: "later"} }
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		b.set(func(c *Config) { c.DelayWarning = 2 * time.Hour })
		defer b.state.Close()
		stop := b.run()
		defer stop()
		fn(t, b)
	})
}

func TestDelayWarningOnce(t *testing.T) {
	f := new(fake)
	delayed(t, f, func(t *testing.T, b *bench) {
		b.add("s@x", "a@one")
		time.Sleep(90 * time.Minute)
		if _, reports := f.snapshot(); len(reports) != 0 {
			t.Errorf("too early: %q", reports)
		}
		time.Sleep(4 * time.Hour)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"0 a@one"}) {
			t.Errorf("reports %q", reports)
		}
	})
}

// TestDelayWarningOnceThoughSlow: recipients are tried again while the warning
// is being made.
func TestDelayWarningOnceThoughSlow(t *testing.T) {
	f := &fake{notice: 3 * time.Hour}
	delayed(t, f, func(t *testing.T, b *bench) {
		b.add("s@x", "a@one", "b@two")
		time.Sleep(24 * time.Hour)
		if _, reports := f.snapshot(); !slices.Equal(reports, []string{"0 a@one b@two"}) {
			t.Errorf("reports %q", reports)
		}
	})
}

func TestHoldReleaseRetryDelete(t *testing.T) {
	f := &fake{send: func(*Message, *Recipient) Result { return Result{Status: Deferred, Enhanced: "4.2.0", Text: "later"} }}
	bubble(t, f, func(t *testing.T, b *bench) {
		ctx := t.Context()
		id := b.add("s@x", "a@one")
		time.Sleep(time.Second)
		// Another program on the same files.
		state, err := schema.OpenState(ctx, filepath.Join(b.dir, "state.sqlite"))
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close()
		other, err := Open(Deps{Dir: b.dir, State: state})
		if err != nil {
			t.Fatal(err)
		}
		attempts := func(want int, when string) {
			t.Helper()
			time.Sleep(2 * time.Second)
			if sent, _ := f.snapshot(); len(sent) != want {
				t.Errorf("%s: %d attempts, want %d", when, len(sent), want)
			}
		}
		attempts(1, "first")
		if _, err := other.Retry(ctx, id); err != nil {
			t.Fatal(err)
		}
		attempts(2, "retry")
		if _, err := other.Hold(ctx, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		attempts(2, "held")
		if n, err := other.Release(ctx, id); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		attempts(3, "released")
		e, text, err := other.Show(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(text)
		text.Close()
		if r := e.Recipients[0]; string(body) != "Subject: x\r\n\r\nbody\r\n" || r.Attempts != 3 || r.Reply != "later" || r.Status != "4.2.0" {
			t.Errorf("show %q %+v", body, r)
		}
		if err := other.Delete(ctx, id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		attempts(3, "deleted")
		if len(b.files()) != 0 {
			t.Errorf("files %q", b.files())
		}
		if _, err := other.Retry(ctx, id); !errors.Is(err, ErrNoMessage) {
			t.Errorf("retry of a deleted message: %v", err)
		}
	})
}

// TestDeadSiteHoldsUpNobody: a site that does not answer is left alone after
// one cohort, its mail deferred with the same words, while others go on.
func TestDeadSiteHoldsUpNobody(t *testing.T) {
	f := &fake{send: func(_ *Message, r *Recipient) Result {
		if domain(r.Address) == "dead" {
			return Result{Status: Deferred, Enhanced: "4.4.1", Text: "connect to dead: timed out", Unreachable: true}
		}
		return Result{Status: Sent, Enhanced: "2.0.0"}
	}}
	bubble(t, f, func(t *testing.T, b *bench) {
		for i := range 100 {
			b.add("s@x", fmt.Sprintf("u%d@dead", i))
			b.add("s@x", fmt.Sprintf("u%d@live", i))
		}
		time.Sleep(5 * time.Second)
		sent, _ := f.snapshot()
		dead := 0
		for _, s := range sent {
			if strings.HasSuffix(s, "@dead") {
				dead++
			}
		}
		if dead > 25 || len(sent)-dead != 100 {
			t.Errorf("%d attempts at the dead site, %d at the live one", dead, len(sent)-dead)
		}
		e := b.entries()
		if len(e) != 100 {
			t.Fatalf("%d in the queue", len(e))
		}
		rcpts, _ := b.state.QueueRecipients(t.Context(), strings.Fields(e[99])[0])
		if !strings.HasPrefix(rcpts[0].Reply, "delivery temporarily suspended: connect to dead") {
			t.Errorf("reply %q", rcpts[0].Reply)
		}
	})
}

func TestConcurrencyLimit(t *testing.T) {
	f := &fake{block: make(chan struct{})}
	synctest.Test(t, func(t *testing.T) {
		f.block = make(chan struct{})
		b := newBench(t, f)
		b.set(func(c *Config) { c.InitialConcurrency, c.ConcurrencyLimit, c.ProcessLimit = 2, 3, 10 })
		defer b.state.Close()
		stop := b.run()
		defer stop()
		for i := range 30 {
			b.add("s@x", fmt.Sprintf("u%d@one", i))
		}
		time.Sleep(time.Second)
		if f.peak("smtp:one") != 2 {
			t.Errorf("%d at once at the start", f.peak("smtp:one"))
		}
		close(f.block)
		time.Sleep(time.Minute)
		if sent, _ := f.snapshot(); len(sent) != 30 || f.peak("smtp:one") > 3 {
			t.Errorf("%d sent, %d at once", len(sent), f.peak("smtp:one"))
		}
	})
}

func TestLimitsOfATransport(t *testing.T) {
	f := &fake{}
	bubble(t, f, func(t *testing.T, b *bench) {
		b.set(func(c *Config) { c.SMTPConcurrency, c.SMTPRecipients, c.SMTPDelay = 3, 1, 10*time.Second })
		begun := time.Now()
		for i := range 5 {
			b.add("s@x", fmt.Sprintf("u%d@slow", i))
		}
		for n := 0; n < 5; time.Sleep(time.Second) {
			sent, _ := f.snapshot()
			if n = len(sent); n > 1+int(time.Since(begun)/(10*time.Second)) {
				t.Fatalf("%d after %v", n, time.Since(begun))
			}
		}
		if took := time.Since(begun); took < 40*time.Second || took > 50*time.Second || f.peak("smtp:slow") != 1 {
			t.Errorf("5 messages in %v, %d at once", took, f.peak("smtp:slow"))
		}
	})
	c := Defaults()
	if l := c.limits("lmtp:x"); l.concurrency != c.ConcurrencyLimit || l.recipients != c.RecipientLimit {
		t.Errorf("defaults: %+v", l)
	}
}

// TestActiveLimit: what does not fit into memory waits in the file and is sent
// all the same, once.
func TestActiveLimit(t *testing.T) {
	f := &fake{}
	synctest.Test(t, func(t *testing.T) {
		f.block = make(chan struct{})
		b := newBench(t, f)
		b.set(func(c *Config) { c.ActiveLimit = 10 })
		defer b.state.Close()
		stop := b.run()
		defer stop()
		time.Sleep(time.Second) // the limit is known now
		for i := range 100 {
			b.add("s@x", fmt.Sprintf("u%d@d%d", i, i))
		}
		time.Sleep(3 * time.Second)
		b.q.sched.mu.Lock()
		n := b.q.sched.count
		b.q.sched.mu.Unlock()
		if n > 15 {
			t.Errorf("%d in memory", n)
		}
		close(f.block)
		time.Sleep(5 * time.Minute)
		sent, _ := f.snapshot()
		slices.Sort(sent)
		if len(slices.Compact(sent)) != 100 || len(b.entries()) != 0 {
			t.Errorf("%d sent, %d left", len(sent), len(b.entries()))
		}
	})
}

// TestRestart: a server that dies leaves active rows, files without rows and
// files in tmp; the next one sends the first, sets aside the second and
// removes the third.
func TestRestart(t *testing.T) {
	f := &fake{}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		ctx := t.Context()
		id := b.add("s@x", "a@one")
		err := b.state.Write(ctx, func(tx *schema.Tx) error {
			_, err := tx.QueueTake(time.Now(), 10, 10)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		orphan, _ := b.q.ids.next(time.Now())
		half, _ := b.q.ids.next(time.Now())
		os.WriteFile(b.q.file(orphan), []byte("x"), 0o600)
		os.WriteFile(b.q.tmpFile(half), []byte("x"), 0o600)
		os.WriteFile(b.q.file("README"), []byte("not ours"), 0o600)
		b.state.Close()
		time.Sleep(time.Second)
		b.open()
		defer b.state.Close()
		stop := b.run()
		defer stop()
		time.Sleep(time.Second)
		if sent, _ := f.snapshot(); !slices.Equal(sent, []string{id + " a@one"}) {
			t.Errorf("sent %q", sent)
		}
		if got := b.files(); !slices.Equal(got, []string{"README"}) {
			t.Errorf("files %q", got)
		}
		if _, err := os.Stat(b.q.tmpFile(half)); err == nil {
			t.Error("tmp file is still there")
		}
		if text, err := os.ReadFile(b.q.orphan(orphan)); err != nil || string(text) != "x" {
			t.Errorf("set aside: %q, %v", text, err)
		}
	})
}

// TestLostState: the queue's mail is still there when state.sqlite is not, and
// the log names it; a row whose file is gone is found.
func TestLostState(t *testing.T) {
	f := &fake{}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		ids := []string{b.add("s@x", "a@one"), b.add("s@x", "b@two")}
		b.state.Close()
		for _, end := range []string{"", "-wal", "-shm"} {
			os.Remove(filepath.Join(b.dir, "state.sqlite"+end))
		}
		time.Sleep(time.Second)
		b.open()
		defer b.state.Close()
		stop := b.run()
		time.Sleep(time.Second) // it has looked at its files
		var found []string
		err := b.q.Orphans(func(path string) error {
			found = append(found, filepath.Base(path))
			return nil
		})
		slices.Sort(found)
		if err != nil || !slices.Equal(found, ids) || len(b.files()) != 0 {
			t.Errorf("set aside %q of %q, %v; left %q", found, ids, err, b.files())
		}
		stop()
		id := b.add("s@x", "c@three")
		os.Remove(b.q.file(id))
		var lost []string
		err = b.q.Lost(t.Context(), func(m *Message) error {
			lost = append(lost, m.ID)
			return nil
		})
		if err != nil || !slices.Equal(lost, []string{id}) {
			t.Errorf("lost %q, %v; want %s", lost, err, id)
		}
	})
}

// TestShutdownIsNoAttempt: a delivery cut off by the end of the server does
// not count, and is made at the next start.
func TestShutdownIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{block: make(chan struct{}), send: func(*Message, *Recipient) Result {
			return Result{Status: Deferred, Enhanced: "4.4.2", Text: "cut off"}
		}}
		b := newBench(t, f)
		defer func() { b.state.Close() }()
		stop := b.run()
		id := b.add("s@x", "a@one")
		time.Sleep(time.Second)
		stop()
		rcpts, err := b.state.QueueRecipients(t.Context(), id)
		if err != nil || len(rcpts) != 1 || rcpts[0].Attempts != 0 || rcpts[0].State != schema.QueueWaiting {
			t.Errorf("%+v %v", rcpts, err)
		}
	})
}

func TestIDs(t *testing.T) {
	var g ids
	at := time.Date(2026, 11, 21, 7, 0, 0, 123456000, time.UTC)
	var last string
	seen := make(map[string]bool)
	for range 10000 {
		id, err := g.next(at)
		if err != nil || id <= last || seen[id[:10]] {
			t.Fatalf("%q after %q, %v", id, last, err)
		}
		last, seen[id[:10]] = id, true
	}
	got, ok := Arrival(last)
	if !ok || got.Sub(at) != 9999*time.Microsecond {
		t.Errorf("%s is from %v, %v", last, got, ok)
	}
	for _, bad := range []string{"", "README", "00000000000000", "../../etc/pass"} {
		if _, ok := Arrival(bad); ok {
			t.Errorf("%q is taken for an ID", bad)
		}
	}
}

func TestSpool(t *testing.T) {
	b := newBench(t, &fake{})
	defer b.state.Close()
	for _, size := range []int{0, 10, memoryLimit, memoryLimit + 1, memoryMost, memoryMost + 1, 3 * memoryMost} {
		text, err := b.q.Begin()
		if err != nil {
			t.Fatal(err)
		}
		want := strings.Repeat("0123456789abcde\n", size/16+1)[:size]
		for rest := want; rest != ""; {
			n := min(len(rest), 1000)
			if _, err := io.WriteString(text, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		one, two := text.Open(), text.Open()
		got, _ := io.ReadAll(one)
		again, _ := io.ReadAll(two)
		if string(got) != want || string(again) != want || text.Size() != int64(size) {
			t.Errorf("%d bytes come back as %d and %d", size, len(got), len(again))
		}
		if (text.file != nil) != (size > memoryMost) {
			t.Errorf("%d bytes: file %v", size, text.file != nil)
		}
		text.Drop()
		if list, _ := os.ReadDir(filepath.Join(b.dir, "spool", "tmp")); len(list) != 0 {
			t.Errorf("%d bytes leave a file", size)
		}
	}
}

// TestSpoolBoundsMemory: many large messages at once go to files.
func TestSpoolBoundsMemory(t *testing.T) {
	b := newBench(t, &fake{})
	defer b.state.Close()
	var all []*Text
	inMemory := 0
	for range 20 {
		text, err := b.q.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := text.Write(make([]byte, memoryMost)); err != nil {
			t.Fatal(err)
		}
		if text.file == nil {
			inMemory++
		}
		all = append(all, text)
	}
	if want := memoryRoom / (memoryMost - memoryLimit); inMemory != want {
		t.Errorf("%d of 20 are in memory, want %d", inMemory, want)
	}
	for _, text := range all {
		text.Drop()
	}
	if n := b.q.inMemory.Load(); n != 0 {
		t.Errorf("%d bytes are held after all", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	bb := newBench(b, &fake{})
	defer bb.state.Close()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			bb.add("s@x", "a@one")
		}
	})
}
