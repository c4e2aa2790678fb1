package storage

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailserver/internal/memtest"
)

var mail4k = "From: a@example.org\r\nSubject: bench\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 52)

// BenchmarkDeliver is 20 goroutines that deliver 4 KB to 100 accounts.
func BenchmarkDeliver(b *testing.B) {
	w := newWorld(b)
	accounts := make([]*Account, 100)
	for i := range accounts {
		spec := w.spec
		spec.User, spec.Dir = fmt.Sprint("u", i), filepath.Join(filepath.Dir(w.spec.Dir), fmt.Sprint("u", i))
		accounts[i] = w.Account(spec)
		if err := deliver(accounts[i], "INBOX", mail4k); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := deliver(accounts[i%100], "INBOX", mail4k); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkAppend is ten goroutines that append to one mailbox.
func BenchmarkAppend(b *testing.B) {
	w := newWorld(b)
	w.deliver("INBOX", mail4k)
	b.ResetTimer()
	var next atomic.Int64
	var all sync.WaitGroup
	ctx := context.Background()
	for range 10 {
		all.Go(func() {
			for next.Add(1) <= int64(b.N) {
				d, err := w.acc.NewDraft(ctx, "INBOX", 0)
				if err != nil {
					b.Error(err)
					return
				}
				io.WriteString(d, mail4k)
				if _, _, err := w.acc.Append(ctx, "INBOX", []*Draft{d}, []AppendMeta{{}}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// fill makes a mailbox of n messages, as another program leaves it.
func fill(b testing.TB, w *world, n int) {
	b.Helper()
	w.deliver("INBOX", mail)
	for i := 1; i < n; i++ {
		name := fmt.Sprintf("%d.M%06dP1Q%d.host,S=38,W=42:2,", 1700000000+i, i%1000000, i)
		if err := os.WriteFile(w.path("cur", name), []byte("From: a@example.org\nSubject: x\n\nhello\n"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFirstSelect opens a mailbox that nobody has ever listed: with
// nothing but the files of other programs.
func BenchmarkFirstSelect(b *testing.B) {
	w := newWorld(b)
	const n = 10000
	fill(b, w, n)
	ctx := context.Background()
	for b.Loop() {
		b.StopTimer()
		if err := w.Forget(ctx, w.spec.User); err != nil {
			b.Fatal(err)
		}
		os.Remove(w.path(uidListFile))
		b.StartTimer()
		v, err := w.acc.Select(ctx, "INBOX", false)
		if err != nil || int(v.Len()) != n {
			b.Fatal(v.Len(), err)
		}
		v.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/message")
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{10000, 100000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			fill(b, w, n)
			ctx := context.Background()
			v, err := w.acc.Select(ctx, "INBOX", false) // takes the tree in
			if err != nil {
				b.Fatal(err)
			}
			v.Close()
			b.Run("open elsewhere", func(b *testing.B) {
				v, _ := w.acc.Select(ctx, "INBOX", false)
				defer v.Close()
				for b.Loop() {
					v, _ := w.acc.Select(ctx, "INBOX", false)
					v.Close()
				}
			})
			for _, kept := range []bool{true, false} {
				b.Run(map[bool]string{true: "just left", false: "from the index"}[kept], func(b *testing.B) {
					for b.Loop() {
						v, err := w.acc.Select(ctx, "INBOX", false)
						if err != nil || int(v.Len()) != n {
							b.Fatal(v.Len(), err)
						}
						v.Close()
						if !kept {
							v.b.forget()
						}
					}
				})
			}
			b.Run("after a foreign change", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					os.WriteFile(w.path("cur", ".x"), nil, 0o600)
					os.Remove(w.path("cur", ".x"))
					v, _ := w.acc.Select(ctx, "INBOX", false)
					v.Close()
				}
			})
			b.Run("first time", func(b *testing.B) {
				for b.Loop() {
					w.Forget(ctx, w.spec.User)
					v, err := w.acc.Select(ctx, "INBOX", false)
					if err != nil || int(v.Len()) != n {
						b.Fatal(v.Len(), err)
					}
					v.Close()
				}
			})
		})
	}
}

func BenchmarkStore(b *testing.B) {
	w := newWorld(b)
	fill(b, w, 10000)
	ctx := context.Background()
	v, err := w.acc.Select(ctx, "INBOX", false)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	all := imap.SeqSet{{Start: 1, Stop: 0}}
	for i := 0; b.Loop(); i++ {
		op := imap.StoreFlagsAdd
		if i%2 == 1 {
			op = imap.StoreFlagsDel
		}
		res, err := v.Store(ctx, all, op, []imap.Flag{imap.FlagFlagged}, nil)
		if err != nil || count(res.Changed) != 10000 {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadBodies(b *testing.B) {
	w := newWorld(b)
	fill(b, w, 10000)
	ctx := context.Background()
	v, err := w.acc.Select(ctx, "INBOX", false)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	for b.Loop() {
		for seq := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
			body, err := v.Open(ctx, v.UID(seq))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, body)
			body.Close()
		}
		v.Poll(ctx, true)
	}
}

func BenchmarkMoveAndExpunge1000(b *testing.B) {
	w := newWorld(b)
	fill(b, w, 10000)
	ctx := context.Background()
	w.acc.Create(ctx, "b", nil)
	names := [2]string{"INBOX", "b"}
	for i := 0; b.Loop(); i++ {
		v, err := w.acc.Select(ctx, names[i%2], false)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Move(ctx, imap.SeqSet{{Start: 1, Stop: 1000}}, names[(i+1)%2]); err != nil {
			b.Fatal(err)
		}
		v.Close()
	}
}

func BenchmarkCached(b *testing.B) {
	w := newWorld(b)
	fill(b, w, 10000)
	ctx := context.Background()
	v, err := w.acc.Select(ctx, "INBOX", false)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	all := imap.SeqSet{{Start: 1, Stop: 0}}
	data := make([]byte, 400)
	for hits := 0; hits < 10000; {
		hits = 0
		v.Cached(ctx, 1, all, func(_ uint32, m Msg, have *Columns) error {
			if have[0] == nil {
				v.PutCache(m.UID, Columns{data})
			} else {
				hits++
			}
			return nil
		})
	}
	for b.Loop() {
		v.Cached(ctx, 1, all, func(uint32, Msg, *Columns) error { return nil })
	}
}

// BenchmarkPoll is a NOOP without news.
func BenchmarkPoll(b *testing.B) {
	w := newWorld(b)
	fill(b, w, 10000)
	ctx := context.Background()
	v, err := w.acc.Select(ctx, "INBOX", false)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	for b.Loop() {
		v.Poll(ctx, true)
	}
}

// TestMemoryOfAnOpenMailbox holds what an open mailbox costs to tens of bytes a
// message, and what a closed one costs to nothing.
func TestMemoryOfAnOpenMailbox(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 5,000 files")
	}
	const n = 5000
	w := newWorld(t)
	fill(t, w, n)
	w.sel("INBOX").Close()
	before := memtest.Heap()
	v := w.sel("INBOX")
	var open int64
	memtest.Settles(t, "bytes of an open mailbox", 48*n+n-1, func() int64 { open = memtest.Heap() - before; return open })
	other := w.sel("INBOX")
	memtest.Settles(t, "bytes of a second view", 8192, func() int64 { return memtest.Heap() - before - open })
	v.Close()
	other.Close()
	memtest.Settles(t, "bytes of a closed mailbox", 256<<10, func() int64 { return memtest.Heap() - before })
}
