package test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestFirstMailsOfAMailboxAtOnce: the directories of a mailbox are made by its
// first mail; when several come first, none of them is told to wait.
func TestFirstMailsOfAMailboxAtOnce(t *testing.T) {
	h := sampleHost(t, "")
	h.start()
	const domains, senders = 30, 5
	var sql strings.Builder
	for i := range domains {
		fmt.Fprintf(&sql, "INSERT INTO Domain (domName, domClass) VALUES ('d%d.example', 842);"+
			"INSERT INTO Address (addLocalpart, addDomNum) VALUES ('u', last_insert_rowid());"+
			"INSERT INTO VMailbox (vmNum) VALUES (last_insert_rowid());", i)
	}
	h.sql(sql.String())
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			s, err := dialSender(h.addr(25))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.c.Close()
			for i := range domains {
				if err := s.send(fmt.Sprintf("u@d%d.example", i), message(fmt.Sprintf("%d-%d", n, i), "first", "x")); err != nil {
					t.Errorf("sender %d to domain %d: %v", n, i, err)
				}
			}
		})
	}
	wg.Wait()
	for i := range domains {
		if got := len(messages(t, filepath.Join(h.dir, "mail", fmt.Sprintf("d%d.example", i), "u", "Mail"))); got != senders {
			t.Errorf("domain %d has %d messages", i, got)
		}
	}
	h.check()
}
