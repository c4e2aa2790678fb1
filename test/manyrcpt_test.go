package test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestThousandRecipientsShareOneFile: one message for 1,000 mailboxes of one
// owner is one file with 1,000 names, costs a twentieth of a copy for each, and
// index and quota of all are right.
func TestThousandRecipientsShareOneFile(t *testing.T) {
	n, copies := 200, 20
	if long() {
		n, copies = 1000, 50
	}
	h := sampleHost(t, "")
	users := h.manyUsers(n + copies)
	address := func(list []string) (all []string) {
		for _, user := range list {
			all = append(all, user+"@vmail.example")
		}
		return all
	}
	h.start()
	s := h.sender()
	text := message("shared", "shared", strings.Repeat(strings.Repeat("s", 70)+"\r\n", 1400))
	// The first message to a mailbox makes it.
	for _, list := range [][]string{users[:n], users[n:]} {
		if err := s.sendTo(address(list), message("first", "first", "x")); err != nil {
			t.Fatal(err)
		}
	}

	begun, before := time.Now(), h.worked()
	if err := s.sendTo(address(users[:n]), text); err != nil {
		t.Fatal(err)
	}
	shared, after := time.Since(begun), h.worked()
	for _, user := range users[n:] {
		if err := s.send(user+"@vmail.example", text); err != nil {
			t.Fatal(err)
		}
	}
	each, last := time.Since(begun)-shared, h.worked()
	perCopy := (last.written - after.written) / float64(copies)
	perShare := (after.written - before.written) / float64(n)
	t.Logf("a recipient: %v, %.2f ms CPU, %.0f bytes written; with a message of its own %v, %.2f ms CPU, %.0f bytes",
		(shared / time.Duration(n)).Round(time.Microsecond), (after.cpu-before.cpu)/float64(n), perShare, (each / time.Duration(copies)).Round(time.Microsecond), (last.cpu-after.cpu)/float64(copies), perCopy)
	if perShare*20 > perCopy {
		t.Errorf("a recipient more has %.0f bytes written, a copy %.0f", perShare, perCopy)
	}

	inodes := make(map[uint64]uint64)
	for _, user := range users[:n] {
		for _, file := range messages(t, h.folder(user)) {
			st, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if st.Size() > int64(len(text))/2 {
				sys := st.Sys().(*syscall.Stat_t)
				inodes[sys.Ino] = uint64(sys.Nlink)
			}
		}
	}
	for ino, links := range inodes {
		if len(inodes) != 1 || links != uint64(n) {
			t.Errorf("inode %d has %d names, not %d; there are %d inodes", ino, links, n, len(inodes))
		}
	}
	// A user who removes it takes it from nobody else.
	mine := messages(t, h.folder(users[0]))
	for _, file := range mine {
		os.Remove(file)
	}
	theirs := ""
	for _, file := range messages(t, h.folder(users[1])) {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(body, []byte("sssss")) {
			theirs = file
			if got := fmt.Sprint("S=", len(body)); !strings.Contains(filepath.Base(file), got) {
				t.Errorf("%s does not say %s", file, got)
			}
		}
	}
	if theirs == "" {
		t.Error("the message has gone from another mailbox")
	}
	h.openMailboxes(users[0], users[1], users[n-1], users[n])
	h.check()
}
