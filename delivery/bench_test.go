package delivery

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"mailserver/policy"
)

// BenchmarkMailboxes: 20 sessions deliver messages of 4 KB into 100 mailboxes.
func BenchmarkMailboxes(b *testing.B) {
	rows := "INSERT INTO Address (addNum, addLocalpart, addDomNum) VALUES (1000, 'u0', 1)"
	boxes := "INSERT INTO VMailbox (vmNum) VALUES (1000)"
	for i := 1; i < 100; i++ {
		rows += fmt.Sprintf(", (%d, 'u%d', 1)", 1000+i, i)
		boxes += fmt.Sprintf(", (%d)", 1000+i)
	}
	f := newFixture(b, rows+";", boxes+";")
	body := text + strings.Repeat(strings.Repeat("x", 78)+"\r\n", 50)
	var n atomic.Int64
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, out := f.send(envelope("s@x.test", fmt.Sprintf("u%d@box.test", n.Add(1)%100)), body, policy.Effects{})
			if !out[0].OK() {
				b.Error(out)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkQueue: the same to a next hop, until it has all of it.
func BenchmarkQueue(b *testing.B) {
	f := newFixture(b)
	f.run()
	var n atomic.Int64
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, out := f.send(envelope("s@x.test", fmt.Sprintf("u%d@out.test", n.Add(1))), text, policy.Effects{})
			if !out[0].OK() {
				b.Error(out)
			}
		}
	})
	f.until("relayed", func() bool { return f.spool() == 0 })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
