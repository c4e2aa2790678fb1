package storage

import (
	"fmt"
	"path/filepath"
	"testing"
)

// BenchmarkShared is one message of 4 KB for 1,000 mailboxes that share its
// file, and, to compare, a file for each.
func BenchmarkShared(b *testing.B) {
	const mailboxes = 1000
	w := newWorld(b)
	accounts := make([]*Account, mailboxes)
	for i := range accounts {
		spec := w.spec
		spec.User, spec.Dir = fmt.Sprint("u", i), filepath.Join(filepath.Dir(w.spec.Dir), fmt.Sprint("u", i))
		accounts[i] = w.Account(spec)
		if err := deliver(accounts[i], "INBOX", mail4k); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("links", func(b *testing.B) {
		for range b.N {
			shareAmong(b, accounts)
		}
	})
	b.Run("copies", func(b *testing.B) {
		for range b.N {
			for _, a := range accounts {
				if err := deliver(a, "INBOX", mail4k); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func shareAmong(b *testing.B, accounts []*Account) {
	first, err := accounts[0].NewDraft(b.Context(), "INBOX", 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := first.Write([]byte(mail4k)); err != nil {
		b.Fatal(err)
	}
	var drafts []*Draft
	for _, a := range accounts[1:] {
		d, err := first.Link(b.Context(), a, "INBOX")
		if err != nil {
			b.Fatal(err)
		}
		drafts = append(drafts, d)
	}
	for _, err := range append(DeliverAll(drafts), first.Deliver(b.Context())) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
