package schema

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
)

func newState(t testing.TB) *State {
	t.Helper()
	ctx := context.Background()
	s, err := OpenState(ctx, filepath.Join(t.TempDir(), "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestWritesOfAGroupFailAlone(t *testing.T) {
	ctx := context.Background()
	s := newState(t)
	if err := s.Write(ctx, func(tx *Tx) error { return tx.exec(`CREATE TABLE g (x INTEGER PRIMARY KEY)`) }); err != nil {
		t.Fatal(err)
	}
	ours := errors.New("ours")
	var wg sync.WaitGroup
	for i := range 300 {
		wg.Go(func() {
			err := s.Write(ctx, func(tx *Tx) error {
				if err := tx.exec(`INSERT INTO g VALUES (?)`, i); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return ours
				case 2:
					panic("in the middle")
				}
				return nil
			})
			if (err == nil) != (i%3 == 0) || (i%3 == 1 && !errors.Is(err, ours)) {
				t.Errorf("write %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	row, err := s.queryRow(ctx, `SELECT count(*), sum(x % 3) FROM g`)
	if err != nil {
		t.Fatal(err)
	}
	var n, rest int
	if err := row.Scan(&n, &rest); err != nil || n != 100 || rest != 0 {
		t.Fatalf("%d rows, remainders %d, %v", n, rest, err)
	}
}

func TestWriteAfterClose(t *testing.T) {
	s, err := OpenState(context.Background(), filepath.Join(t.TempDir(), "state.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func BenchmarkGroupCommit(b *testing.B) {
	ctx := context.Background()
	s := newState(b)
	if err := s.Write(ctx, func(tx *Tx) error { return tx.exec(`CREATE TABLE g (x INTEGER PRIMARY KEY, y TEXT)`) }); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Write(ctx, func(tx *Tx) error { return tx.exec(`INSERT INTO g (y) VALUES ('something')`) }); err != nil {
				b.Error(err)
			}
		}
	})
}
