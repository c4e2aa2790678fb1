package storage

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatchSeesOtherPrograms: a session that waits is woken by a delivery of
// another program, a change of flags and a removal, without a look at the clock.
func TestWatchSeesOtherPrograms(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.deliver("INBOX", "Subject: x\n\ntext\n")
	v, err := w.acc.Select(ctx, "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	dir := w.acc.spec.Dir
	woken := make(chan struct{}, 100)
	steps := []struct {
		name string
		do   func() error
		want func(Changes) bool
	}{
		{"delivery", func() error {
			return os.WriteFile(filepath.Join(dir, "new", "1.foreign.host"), []byte("Subject: y\n\n"), 0o600)
		},
			func(c Changes) bool { return c.Exists == 2 && c.Grown }},
		{"removal", func() error {
			list, err := filepath.Glob(filepath.Join(dir, "cur", "1.foreign.host*"))
			if err != nil || len(list) != 1 {
				return err
			}
			return os.Remove(list[0])
		}, func(c Changes) bool { return c.Exists == 1 && len(c.Expunged) == 1 }},
	}
	for _, s := range steps {
		if _, err := v.Poll(ctx, true); err != nil {
			t.Fatal(err)
		}
		for len(woken) > 0 {
			<-woken
		}
		v.Watch(func() { woken <- struct{}{} })
		if err := s.do(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-woken:
		case <-time.After(2 * time.Minute):
			t.Fatalf("%s: not woken", s.name)
		}
		v.Unwatch()
		c, err := v.Poll(ctx, true)
		if err != nil || !s.want(c) {
			t.Errorf("%s: %+v %v", s.name, c, err)
		}
	}
}
