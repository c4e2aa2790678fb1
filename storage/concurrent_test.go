package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
)

// TestManySessions runs sessions, deliveries and another program at once. Each
// message is there once at the end.
func TestManySessions(t *testing.T) {
	w := newWorld(t)
	ctx, stop := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer stop()
	bg := context.Background()
	for _, name := range []string{"b", "c"} {
		if _, err := w.acc.Create(bg, name, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.deliver("INBOX", mail)
	var added atomic.Int64
	added.Add(1)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for ctx.Err() == nil {
				if err := deliver(w.acc, "INBOX", mail); err != nil {
					t.Error(err)
					return
				}
				added.Add(1)
			}
		})
	}
	all.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			w.put("new", fmt.Sprintf("%d.foreign", i), "x\n")
			added.Add(1)
			time.Sleep(5 * time.Millisecond)
		}
	})
	for n := range 4 {
		all.Go(func() { session(ctx, t, w, n, &added) })
	}
	all.Wait()
	total := int64(0)
	for _, name := range []string{"INBOX", "b"} {
		v := w.sel(name)
		total += int64(v.Len())
		v.Close()
	}
	if total != added.Load() {
		t.Errorf("%d messages are there, %d were added", total, added.Load())
	}
	if err := empty(w, "c"); err != nil {
		t.Error(err)
	}
	if v := w.sel("c"); v.Len() != 0 {
		t.Errorf("%d messages were not expunged", v.Len())
	}
}

// empty expunges all of a mailbox.
func empty(w *world, name string) error {
	ctx := context.Background()
	v, err := w.acc.Select(ctx, name, false)
	if err != nil {
		return err
	}
	defer v.Close()
	all := imap.SeqSet{{Start: 1, Stop: 0}}
	if _, err := v.Store(ctx, all, imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		return err
	}
	return v.Expunge(ctx, nil)
}

// session stores, moves, copies and reads at random.
func session(ctx context.Context, t *testing.T, w *world, n int, added *atomic.Int64) {
	r := rand.New(rand.NewPCG(uint64(n), 7))
	bg := context.Background()
	names := []string{"INBOX", "b"}
	for ctx.Err() == nil {
		from, to := names[n%2], names[(n+1)%2]
		v, err := w.acc.Select(bg, from, false)
		if err != nil {
			t.Error(err)
			return
		}
		for range 10 {
			var set imap.UIDSet
			for _, m := range v.Messages(imap.SeqSet{{Start: 1, Stop: 20}}) {
				if int(m.UID)%4/2 == n/2 {
					set.AddNum(m.UID)
				}
			}
			if len(set) == 0 {
				set = imap.UIDSetNum(1)
			}
			switch r.IntN(5) {
			case 0:
				_, err = v.Store(bg, set, imap.StoreFlagsAdd, []imap.Flag{"k", imap.FlagSeen}, nil)
			case 1:
				_, err = v.Move(bg, set, to)
			case 2:
				var c Copied
				c, err = v.Copy(bg, set, to)
				added.Add(int64(count(c.Dest)))
			case 3:
				if _, err = v.Copy(bg, set, "c"); err == nil {
					err = empty(w, "c")
				}
			case 4:
				for uid := range v.Messages(imap.SeqSet{{Start: 1, Stop: 5}}) {
					if b, err := v.Open(bg, v.UID(uid)); err == nil {
						io.Copy(io.Discard, b)
						b.Close()
					} else if !errors.Is(err, ErrExpunged) {
						t.Error(err)
					}
				}
			}
			if err != nil && !errors.Is(err, ErrExpunged) {
				t.Error(err)
				return
			}
			if _, err := v.Poll(bg, true); err != nil {
				t.Error(err)
				return
			}
		}
		v.Close()
	}
}

func count(set imap.UIDSet) (n int) {
	for _, r := range set {
		n += int(r.Stop-r.Start) + 1
	}
	return n
}

func TestCloseWaitsForTheIndex(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.deliver("INBOX", mail)
	}
	w.Close()
	if _, err := w.acc.NewDraft(context.Background(), "INBOX", 0); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	w.state.Close()
	w.open(filepath.Join(filepath.Dir(filepath.Dir(w.spec.Dir)), "state.sqlite"))
	w.check()
	if st, err := w.acc.Status(context.Background(), "INBOX"); err != nil || st.UIDNext != 21 {
		t.Error(st, err)
	}
}

func TestCache(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for range 300 {
		w.append("INBOX", mail)
	}
	v := w.sel("INBOX")
	big := make([]byte, 5000)
	for seq := range v.Messages(imap.SeqSet{{Start: 1, Stop: 0}}) {
		if seq%3 != 0 {
			v.PutCache(v.UID(seq), Columns{0: append(slices.Clone(big), fmt.Sprint(seq)...), 2: []byte{1}})
		}
	}
	v.Close()
	w.Close()
	w.state.Close()
	w.open(filepath.Join(filepath.Dir(filepath.Dir(w.spec.Dir)), "state.sqlite"))
	v = w.sel("INBOX")
	for column := range len(Columns{}) {
		next, hits := uint32(1), 0
		err := v.Cached(ctx, 1<<column, imap.SeqSet{{Start: 1, Stop: 0}}, func(seq uint32, m Msg, all *Columns) error {
			if seq != next || m.UID != v.UID(seq) {
				t.Fatalf("message %d, want %d", seq, next)
			}
			next++
			for i, data := range all {
				if data != nil && i != column {
					t.Fatalf("column %d was not asked for", i)
				}
			}
			if data := all[column]; data != nil {
				hits++
				if column == 0 {
					want(t, "data", string(data[len(big):]), fmt.Sprint(seq))
				}
			}
			return nil
		})
		if err != nil || next != 301 {
			t.Fatal(next, err)
		}
		if written := column%2 == 0; written && hits < 90 || !written && hits != 0 {
			t.Errorf("column %d: %d hits", column, hits)
		}
	}
	v.Store(ctx, uids(2), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil)
	v.Expunge(ctx, nil)
	w.check() // no stray rows
}

func TestBodySeeks(t *testing.T) {
	lf := "a\nbb\r\n\n\r\rc\n" + string(make([]byte, 40000)) + "\nend"
	crlf := "a\r\nbb\r\n\r\n\r\rc\r\n" + string(make([]byte, 40000)) + "\r\nend"
	w := newWorld(t)
	w.deliver("INBOX", mail)
	w.put("cur", "1.lf:2,", lf)
	v := w.sel("INBOX")
	for _, uid := range []imap.UID{1, 2} {
		text := mail
		if uid == 2 {
			text = crlf
		}
		want(t, "whole", w.body(v, uid), text)
		b, err := v.Open(context.Background(), uid)
		if err != nil {
			t.Fatal(err)
		}
		if b.Size() != int64(len(text)) {
			t.Errorf("size %d, want %d", b.Size(), len(text))
		}
		r := rand.New(rand.NewPCG(1, 2))
		type mark struct{ offset, file int64 }
		marks := []mark{{0, 0}}
		for range 300 {
			at := int64(r.IntN(len(text) + 3))
			if r.IntN(3) == 0 {
				m := marks[r.IntN(len(marks))]
				b.SeekFile(m.offset, m.file)
				at = m.offset
			} else if _, err := b.Seek(at, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, r.IntN(20)+1)
			n, _ := io.ReadFull(b, p)
			rest := ""
			if at < int64(len(text)) {
				rest = text[at:min(int(at)+len(p), len(text))]
			}
			if string(p[:n]) != rest {
				t.Fatalf("at %d: got %q, want %q", at, p[:n], rest)
			}
			o, f := b.Pos()
			marks = append(marks, mark{o, f})
		}
		b.Close()
	}
}

func TestDraftKeepsBytes(t *testing.T) {
	for _, c := range []struct{ name, in, file, out string }{
		{"CRLF", "a\r\nb\r\n", "a\nb\n", "a\r\nb\r\n"},
		{"no end", "a\r\nb", "a\nb", "a\r\nb"},
		{"CR at the end", "a\r", "a\r", "a\r"},
		{"bare LF", "a\nb\r\n", "a\nb\n", "a\r\nb\r\n"},
		{"bare CR", "a\rb\r\n", "a\rb\n", "a\rb\r\n"},
		{"CR CRLF", "a\r\r\nb\r\n", "a\r\r\nb\n", "a\r\r\nb\r\n"},
		{"empty lines", "\r\n\r\n", "\n\n", "\r\n\r\n"},
		{"NUL", "\x00\r\n\xff\r\n", "\x00\n\xff\n", "\x00\r\n\xff\r\n"},
		{"nothing", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 100} {
				w := newWorld(t)
				ctx := context.Background()
				d, err := w.acc.NewDraft(ctx, "INBOX", 0)
				if err != nil {
					t.Fatal(err)
				}
				for in := c.in; in != ""; {
					n := min(step, len(in))
					io.WriteString(d, in[:n])
					in = in[n:]
				}
				if err := d.Deliver(ctx); err != nil {
					t.Fatal(err)
				}
				file, _ := os.ReadFile(w.one("new", "*"))
				want(t, "file", string(file), c.file)
				v := w.sel("INBOX")
				want(t, "body", w.body(v, 1), c.out)
				if m, _ := v.Msg(1); m.Size != int64(len(c.out)) {
					t.Errorf("size %d, want %d", m.Size, len(c.out))
				}
			}
		})
	}
}
