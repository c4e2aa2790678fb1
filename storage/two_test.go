package storage

import (
	"context"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailserver/schema"
)

// TestTwoProcesses opens the same index and tree twice, as a command on the
// side does.
func TestTwoProcesses(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.deliver("INBOX", mail)
	v := w.sel("INBOX")
	state, err := schema.OpenState(ctx, w.statePath())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	other, err := Open(Deps{State: state})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	acc := other.Account(w.spec)
	for range 3 {
		if err := deliver(acc, "INBOX", mail); err != nil {
			t.Fatal(err)
		}
	}
	x, err := acc.Select(ctx, "INBOX", false)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if _, err := x.Store(ctx, uids(1), imap.StoreFlagsAdd, []imap.Flag{imap.FlagDeleted}, nil); err != nil {
		t.Fatal(err)
	}
	if err := x.Expunge(ctx, nil); err != nil {
		t.Fatal(err)
	}
	w.poll(v)
	want(t, "the first process", show(v), "2() 3() 4()")
	if _, err := v.Store(ctx, uids(3), imap.StoreFlagsAdd, []imap.Flag{imap.FlagSeen}, nil); err != nil {
		t.Fatal(err)
	}
	w.deliver("INBOX", mail)
	w.poll(v)
	w.poll(x)
	want(t, "the second process", show(x), `2()R 3(\Seen)R 4()R 5()`)
	want(t, "the first process", show(v), `2() 3(\Seen) 4() 5()R`)
}
