package queue

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailserver/schema"
)

// hanging makes a Sender to whom domains that begin with "dead" answer after
// a time, and then not at all.
func hanging(after time.Duration) *fake {
	dead := func(r *Recipient) bool { return strings.HasPrefix(domain(r.Address), "dead") }
	return &fake{
		slow: func(r *Recipient) {
			if dead(r) {
				time.Sleep(after)
			}
		},
		send: func(_ *Message, r *Recipient) Result {
			if dead(r) {
				return Result{Status: Deferred, Enhanced: "4.4.2", Text: "conversation with dead timed out", Unreachable: true}
			}
			return Result{Status: Sent, Enhanced: "2.0.0"}
		},
	}
}

// TestHangingHostsLeaveRoom: many more hosts hang than deliveries may be under
// way. Mail for a host that answers goes at once, for one not known yet soon,
// and nothing is tried twice meanwhile.
func TestHangingHostsLeaveRoom(t *testing.T) {
	f := hanging(300 * time.Second)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		b.set(func(c *Config) { c.ProcessLimit = 20 })
		defer b.state.Close()
		stop := b.run()
		defer func() { stop() }()
		b.add("s@x", "first@live")
		time.Sleep(time.Second)
		for i := range 150 {
			for range 3 {
				b.add("s@x", fmt.Sprintf("u%d@dead%d", i, i))
			}
		}
		time.Sleep(time.Second)
		begun := time.Now()
		b.add("s@x", "known@live")
		b.add("s@x", "unknown@live2")
		time.Sleep(40 * time.Second)
		if at := f.attempts("known@live"); len(at) != 1 || at[0].Sub(begun) > time.Millisecond {
			t.Errorf("mail for a host that answers was sent at %v", at)
		}
		if at := f.attempts("unknown@live2"); len(at) != 1 || at[0].Sub(begun) > 30*time.Second {
			t.Errorf("mail for a host not known was sent %v after %v", at, begun)
		}
		several := 0
		for i := range 150 {
			if f.peak(fmt.Sprintf("smtp:dead%d", i)) > 1 {
				several++
			}
		}
		if several > 20 { // only in the first moments, while there is room
			t.Errorf("at %d hosts more than one connection hangs", several)
		}
		b.q.sched.mu.Lock()
		if s := b.q.sched; s.slow > slowShare*b.cfg.ProcessLimit || s.slow == 0 {
			t.Errorf("%d deliveries hang", s.slow)
		}
		b.q.sched.mu.Unlock()
	})
}

// TestRetriesFindLiveHosts: deferred mail, all due, mostly for hosts that hang
// and more than memory holds. That for live hosts goes out within a minute,
// and what is put off tells when it is tried next.
func TestRetriesFindLiveHosts(t *testing.T) {
	f := hanging(time.Hour)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		b.set(func(c *Config) { c.ActiveLimit, c.ProcessLimit = 400, 20 })
		defer b.state.Close()
		now := time.Now()
		err := b.state.Write(t.Context(), func(tx *schema.Tx) error {
			for i := range 2000 {
				id, err := b.q.ids.next(now)
				if err != nil {
					return err
				}
				to := fmt.Sprintf("dead%d", i%100)
				if i%100 == 99 {
					to = fmt.Sprintf("live%d", i/100%5)
				}
				r := Recipient{Address: fmt.Sprintf("u%d@%s", i, to), Site: "smtp:" + to, Due: now, Attempts: 1}
				if err := tx.QueueAdd(&Message{ID: id, Sender: "s@x", Arrived: now}, []Recipient{r}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		stop := b.run()
		time.Sleep(time.Minute)
		sent, _ := f.snapshot()
		if len(sent) != 20 {
			t.Errorf("%d of 20 messages for live hosts were sent", len(sent))
		}
		if n := len(b.q.sched.items); n > 250 {
			t.Errorf("%d recipients in memory", n)
		}
		stop()
	})
}

// TestDeadSiteIsPutOffTogether: when a site is found dead, what waits for it in
// the file is put off as by an attempt each; what has expired goes back.
func TestDeadSiteIsPutOffTogether(t *testing.T) {
	f := hanging(0)
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, f)
		b.set(func(c *Config) { c.ActiveLimit = 100 })
		defer b.state.Close()
		now := time.Now()
		add := func(name, from string, age time.Duration) {
			err := b.state.Write(t.Context(), func(tx *schema.Tx) error {
				id, err := b.q.ids.next(now)
				if err != nil {
					return err
				}
				r := Recipient{Address: name + "@dead", Site: "smtp:dead", Due: now, Attempts: 1}
				return tx.QueueAdd(&Message{ID: id, Sender: from, Arrived: now.Add(-age)}, []Recipient{r})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			add(fmt.Sprint("young", i), "s@x", time.Minute)
		}
		for i := range 100 {
			add(fmt.Sprint("hour", i), "s@x", time.Hour)
		}
		add("old", "s@x", 6*24*time.Hour)
		stop := b.run()
		time.Sleep(parkTime + 5*time.Second) // what was parked before the site was found dead has looked again
		sent, reports := f.snapshot()
		if len(sent) > 10 {
			t.Errorf("%d attempts", len(sent))
		}
		if !slices.Equal(reports, []string{"3 old@dead"}) {
			t.Errorf("reports %q", reports)
		}
		dues := map[time.Duration]int{}
		err := b.q.List(t.Context(), func(e Entry) error {
			r := e.Recipients[0]
			dues[r.Due.Sub(now).Round(time.Minute)]++
			if !strings.HasSuffix(r.Reply, "conversation with dead timed out") || r.Status != "4.4.2" || r.State != schema.QueueWaiting {
				t.Errorf("%s: %d %s %q", r.Address, r.State, r.Status, r.Reply)
			}
			return nil
		})
		// Runs of the queue are five minutes apart.
		if err != nil || dues[5*time.Minute]+dues[10*time.Minute] != 100 || dues[time.Hour]+dues[time.Hour+5*time.Minute] != 100 {
			t.Errorf("next attempts %v %v", dues, err)
		}
		stop()
	})
}

func TestFeedback(t *testing.T) {
	tests := []struct {
		value string
		want  float64 // with a window of 4
		bad   bool
	}{
		{"1", 1, false},
		{"0.5", 0.5, false},
		{"1 / concurrency", 0.25, false},
		{"1/sqrt_concurrency", 0.5, false},
		{"2", 0, true},
		{"1/2", 0, true},
		{"", 0, true},
		{"1/", 0, true},
	}
	for _, tt := range tests {
		f, err := parseFeedback(tt.value)
		if (err != nil) != tt.bad || err == nil && f.of(4) != tt.want {
			t.Errorf("%q: %v %v", tt.value, f, err)
		}
	}
}
