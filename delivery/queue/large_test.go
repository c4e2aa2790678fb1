package queue

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailserver/schema"
)

// BenchmarkLargeQueue: 100,000 messages that are due, for 1,000 hosts that are
// down, and then new mail for 10 hosts that are up. It tells how long the new
// mail takes, and how much memory the queue has at most.
func BenchmarkLargeQueue(b *testing.B) {
	for b.Loop() {
		f := &fake{slow: func(r *Recipient) {
			if strings.HasPrefix(domain(r.Address), "dead") {
				time.Sleep(50 * time.Millisecond) // a connection that times out
			}
		}, send: func(_ *Message, r *Recipient) Result {
			if strings.HasPrefix(domain(r.Address), "dead") {
				return Result{Status: Deferred, Enhanced: "4.4.1", Text: "connect: timed out", Unreachable: true}
			}
			return Result{Status: Sent, Enhanced: "2.0.0"}
		}}
		bb := newBench(b, f)
		fillQueue(b, bb, 100_000, 1000)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		stop := bb.run()
		ready := time.Since(start)
		time.Sleep(200 * time.Millisecond)
		live := time.Now()
		for i := range 100 {
			bb.add("s@x", fmt.Sprintf("u%d@live%d", i, i%10))
		}
		b.ReportMetric(time.Since(live).Seconds(), "s-to-add")
		for n := 0; n < 100; {
			time.Sleep(5 * time.Millisecond)
			n = 0
			sent, _ := f.snapshot()
			for _, s := range sent {
				if strings.Contains(s, "@live") {
					n++
				}
			}
		}
		took := time.Since(live)
		runtime.GC()
		runtime.ReadMemStats(&after)
		stop()
		bb.state.Close()
		b.ReportMetric(ready.Seconds(), "s-to-start")
		b.ReportMetric(took.Seconds(), "s-for-100-live")
		b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1e6, "MB")
	}
}

func fillQueue(b *testing.B, bb *bench, messages, hosts int) {
	b.Helper()
	now := time.Now()
	for at := 0; at < messages; at += 1000 {
		err := bb.state.Write(context.Background(), func(t *schema.Tx) error {
			for i := at; i < at+1000; i++ {
				id, err := bb.q.ids.next(now)
				if err != nil {
					return err
				}
				m := &Message{ID: id, Sender: "s@x", Arrived: now}
				r := Recipient{Address: fmt.Sprintf("u%d@dead%d", i, i%hosts), Site: fmt.Sprintf("smtp:dead%d", i%hosts), Due: now, Attempts: 1}
				if err := t.QueueAdd(m, []Recipient{r}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
