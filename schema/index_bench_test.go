package schema

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkLoadMessages is what opening a mailbox of 100,000 messages reads.
func BenchmarkLoadMessages(b *testing.B) {
	ctx := context.Background()
	s, err := OpenState(ctx, filepath.Join(b.TempDir(), "state.sqlite"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const n, mailbox = 100_000, 7
	list := make([]IndexMessage, n)
	for i := range list {
		list[i] = IndexMessage{UID: uint32(i + 1), ModSeq: uint64(i), Flags: uint64(i % 7), Size: int64(5000 + i%999),
			Date: int64(1700000000 + i), Saved: 1800000000, Name: fmt.Sprintf("17%08d.M123456P4711Q%d.mail.example.org,S=%d,W=%d", i, i, 5000+i%999, 5100+i%999)}
	}
	if err := s.Write(ctx, func(tx *Tx) error { return tx.AddMessages(mailbox, list) }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		count := 0
		err := s.LoadMessages(ctx, mailbox, 0, 1<<32-1, func(*IndexMessage) error {
			count++
			return nil
		})
		if err != nil || count != n {
			b.Fatal(count, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n*1000, "ns/message")
}

// BenchmarkAddMessages is what taking a mailbox of 10,000 messages in writes.
func BenchmarkAddMessages(b *testing.B) {
	ctx := context.Background()
	s, err := OpenState(ctx, filepath.Join(b.TempDir(), "state.sqlite"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const n = 10_000
	list := make([]IndexMessage, n)
	for i := range list {
		list[i] = IndexMessage{UID: uint32(i + 1), ModSeq: 2, Flags: uint64(i % 7), Size: int64(5000 + i%999),
			Date: int64(1700000000 + i), Saved: 1800000000, Name: fmt.Sprintf("17%08d.M123456P4711Q%d.mail.example.org,S=%d,W=%d", i, i, 5000+i%999, 5100+i%999)}
	}
	b.ReportAllocs()
	mailbox := int64(0)
	for b.Loop() {
		mailbox++
		if err := s.Write(ctx, func(tx *Tx) error { return tx.AddMessages(mailbox, list) }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n*1000, "ns/message")
}
