package message

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// nested makes multiparts or messages within each other.
func nested(depth int, multipart bool) []byte {
	var b strings.Builder
	for i := range depth {
		if multipart {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d.\n\n--b%d.\n", i, i)
		} else {
			b.WriteString("Content-Type: message/rfc822\n\n")
		}
	}
	b.WriteString("Subject: innermost\n\ntext\n")
	for i := depth - 1; multipart && i >= 0; i-- {
		fmt.Fprintf(&b, "--b%d.--\n", i)
	}
	return []byte(b.String())
}

func manyParts(n int) []byte {
	return []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", n) + "--b--\n")
}

func TestLimitsAreThoseOfDovecot(t *testing.T) {
	t.Parallel()
	var messages [][]byte
	for _, n := range []int{50, 97, 98, 99, 100, 101, 102, 103, 200} {
		messages = append(messages, nested(n, true), nested(n, false))
	}
	for _, n := range []int{9997, 9998, 9999, 10000, 10001, 10002, 12000} {
		messages = append(messages, manyParts(n))
	}
	d := startDovecot(t, messages)
	for i, m := range messages {
		s, err := Parse(bytes.NewReader(m))
		must(t, err)
		for item, got := range map[string]string{"BODYSTRUCTURE": string(s.BodyStructure()), "BODY": string(Body(s.BodyStructure()))} {
			if want := d.ask(i+1, item); got != want {
				n := 0
				for n < min(len(got), len(want)) && got[n] == want[n] {
					n++
				}
				t.Errorf("message %d %s from %d\n got %.200q\nwant %.200q", i, item, n, got[n:], want[n:])
			}
		}
	}
}
