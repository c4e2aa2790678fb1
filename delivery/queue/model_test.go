package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// world is what the queue should be: recipients by message, and how the sites
// of their addresses answer just now.
type world struct {
	rcpts map[string][]string // not settled yet, by message
	mode  map[string]string   // by site: ok, defer, bounce, dead
}

// TestRandomOperations does what operators and remotes do, in any order, with
// restarts between, and holds the queue to the model: at the end every
// recipient was sent or reported, once, or deleted; nothing else is left.
func TestRandomOperations(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { randomOperations(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func randomOperations(t *testing.T, rnd *rand.Rand) {
	w := &world{rcpts: map[string][]string{}, mode: map[string]string{}}
	sites := []string{"one", "two", "three", "four"}
	modes := []string{"ok", "defer", "bounce", "dead"}
	for _, s := range sites {
		w.mode[s] = "ok"
	}
	f := &fake{}
	var done []string // "ID address outcome", in order; guarded by f.mu
	f.send = func(m *Message, r *Recipient) Result {
		switch w.mode[domain(r.Address)] {
		case "defer":
			return Result{Status: Deferred, Enhanced: "4.2.0", Text: "later"}
		case "bounce":
			done = append(done, m.ID+" "+r.Address+" bounced")
			return Result{Status: Bounced, Enhanced: "5.1.1", Text: "no"}
		case "dead":
			return Result{Status: Deferred, Enhanced: "4.4.1", Text: "dead", Unreachable: true}
		}
		done = append(done, m.ID+" "+r.Address+" sent")
		return Result{Status: Sent, Enhanced: "2.0.0"}
	}
	b := newBench(t, f)
	b.look = 10 * time.Second
	b.q.sched.look = b.look
	stop := b.run()
	deleted := map[string]bool{}
	var ids []string
	added := 0
	for range 150 {
		synctest.Wait() // no attempt is under way: the model and the queue agree on what is settled
		id := ""
		if len(ids) > 0 {
			id = ids[rnd.IntN(len(ids))]
		}
		switch op := rnd.IntN(10); {
		case op < 4 || id == "":
			var to []string
			for i := range 1 + rnd.IntN(3) {
				to = append(to, fmt.Sprintf("u%d-%d@%s", added, i, sites[rnd.IntN(len(sites))]))
			}
			ids = append(ids, b.add("s@x", to...))
			w.rcpts[ids[len(ids)-1]] = to
			added += len(to)
		case op == 4:
			f.mu.Lock()
			w.mode[sites[rnd.IntN(len(sites))]] = modes[rnd.IntN(len(modes))]
			f.mu.Unlock()
		case op == 5:
			b.change(b.q.Hold, id)
		case op == 6:
			b.change(b.q.Release, id)
		case op == 7:
			b.change(b.q.Retry, []string{id, ""}[rnd.IntN(2)])
		case op == 8 && rnd.IntN(4) == 0:
			if err := b.q.Delete(t.Context(), id); err == nil {
				deleted[id] = true
			} else if !errors.Is(err, ErrNoMessage) {
				t.Fatal(err)
			}
		case op == 9 && rnd.IntN(4) == 0:
			stop()
			b.state.Close()
			b.open()
			stop = b.run()
		}
		time.Sleep(time.Duration(rnd.IntN(400)) * time.Second)
	}
	f.mu.Lock()
	for _, s := range sites {
		w.mode[s] = "ok"
	}
	f.mu.Unlock()
	b.change(b.q.Release, "")
	time.Sleep(3 * time.Hour)
	synctest.Wait()
	if e, n := b.entries(), b.files(); len(e)+len(n) != 0 {
		t.Errorf("left %q %q", e, n)
	}
	ends := map[string]int{}
	for _, d := range done {
		ends[strings.Join(strings.Fields(d)[:2], " ")]++
	}
	for id, to := range w.rcpts {
		for _, a := range to {
			if n := ends[id+" "+a]; n > 1 || n == 0 && !deleted[id] {
				t.Errorf("%s %s was settled %d times", id, a, n)
			}
			delete(ends, id+" "+a)
		}
	}
	if len(ends) != 0 {
		t.Errorf("strangers %q", slices.Collect(maps.Keys(ends)))
	}
	stop()
	if s := b.q.sched; len(s.items)+len(s.msgs)+s.count+s.old+s.slow+len(s.distant)+sum(s.running) != 0 {
		t.Errorf("memory holds %d items, %d messages, %d, %d, %v", len(s.items), len(s.msgs), s.count, s.old, s.running)
	}
	b.state.Close()
	reported := map[string]int{}
	_, reports := f.snapshot()
	for _, r := range reports {
		for _, a := range strings.Fields(r)[1:] {
			reported[a]++
		}
	}
	for _, d := range done {
		words := strings.Fields(d)
		if words[2] == "bounced" && reported[words[1]] != 1 && !deleted[words[0]] {
			t.Errorf("%s was reported %d times", d, reported[words[1]])
		}
	}
}

// change does one thing an operator may do; a message that is gone is no error.
func (b *bench) change(do func(context.Context, string) (int64, error), id string) {
	b.t.Helper()
	if _, err := do(b.t.Context(), id); err != nil && !errors.Is(err, ErrNoMessage) {
		b.t.Fatal(err)
	}
}

func sum(n [lanes]int) (total int) {
	for _, x := range n {
		total += x
	}
	return total
}
