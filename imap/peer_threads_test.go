package imap_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// TestPeerThreads compares SORT and THREAD on messages whose references,
// subjects and dates are made at random, with gaps.
func TestPeerThreads(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		// Who answers whom; one in six is not in the mailbox.
		parents := make([]int, 70)
		var mail []txtar.File
		for i := range parents {
			parents[i] = r.IntN(i+1) - 1
			if r.IntN(6) > 0 {
				mail = append(mail, txtar.File{Name: "INBOX:S", Data: threadMail(r, i, parents)})
			}
		}
		r.Shuffle(len(mail), func(i, j int) { mail[i], mail[j] = mail[j], mail[i] })
		script := []string{"SELECT INBOX",
			"THREAD REFERENCES UTF-8 ALL", "UID THREAD REFS UTF-8 ALL", "THREAD ORDEREDSUBJECT UTF-8 ALL",
			"THREAD REFERENCES UTF-8 10:40", "THREAD REFS UTF-8 20:60", "SORT (SUBJECT DATE) UTF-8 ALL",
			"SORT (DISPLAYFROM REVERSE SIZE) UTF-8 ALL", "UID SORT (REVERSE FROM TO) UTF-8 ALL", "SORT (CC DATE) UTF-8 ALL"}
		comparePeers(t, mail, strings.Join(script, "\n"), "")
	}
}

// threadMail is message i. References may be cut short, or be In-Reply-To alone.
func threadMail(r *rand.Rand, i int, parents []int) []byte {
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	id := func(i int) string { return fmt.Sprintf("<%d@x.example>", i) }
	var b strings.Builder
	fmt.Fprintf(&b, "Message-ID: %s\n", id(i))
	var above []string
	for up := parents[i]; up >= 0; up = parents[up] {
		above = append([]string{id(up)}, above...)
	}
	switch n := len(above); {
	case n == 0:
	case r.IntN(4) == 0:
		fmt.Fprintf(&b, "In-Reply-To: %s\n", above[n-1])
	default:
		fmt.Fprintf(&b, "References: %s\n", strings.Join(above[r.IntN(n):], "\n "))
	}
	fmt.Fprintf(&b, "Subject: %s%s\n", pick("", "Re: ", "RE: re[2]: ", "[l] ", "Fwd: "), pick("one", "two", "three", "", "One (fwd)"))
	if r.IntN(8) > 0 {
		fmt.Fprintf(&b, "Date: %d Feb 2024 %02d:00:00 %s\n", 1+r.IntN(28), r.IntN(24), pick("+0000", "-0800", "+0530"))
	}
	fmt.Fprintf(&b, "From: %s\n", pick("a@x.example", "Z z <b@x.example>", "=?utf-8?Q?=C3=A4?= <C@y.example>", "g: m@x.example;", "", `"q, r" <d@x.example>`))
	fmt.Fprintf(&b, "To: %s\n", pick("a@x.example", "b@x.example, c@x.example", "undisclosed:;"))
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "Cc: %s\n", pick("x@x.example", "Y@x.example"))
	}
	return append([]byte(b.String()), "\ntext\n"...)
}
