// Package samplemail makes messages for tests and measurements, whose words are
// as frequent as those of a language.
package samplemail

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Needle is a word in one message of 450.
const Needle = "zyxneedle"

// Letters makes messages of 1 to 7 KB; the same ones each time.
type Letters struct {
	r    *rand.Rand
	zipf *rand.Zipf
	n    int
}

// New begins.
func New() *Letters {
	r := rand.New(rand.NewPCG(1, 2))
	return &Letters{r: r, zipf: rand.NewZipf(r, 1.1, 4, 60_000)}
}

// Next is another message, with lines that end in LF.
func (l *Letters) Next() string {
	var s strings.Builder
	l.header(&s)
	for size := 1000 + l.r.IntN(6000); s.Len() < size; {
		s.WriteString(Word(l.zipf.Uint64()))
		s.WriteString([]string{" ", " ", " ", " ", ", ", ".\n"}[l.r.IntN(6)])
	}
	if l.n%450 == 7 {
		s.WriteString(Needle + "\n")
	}
	l.n++
	return s.String()
}

func (l *Letters) header(s *strings.Builder) {
	r := l.r
	fmt.Fprintf(s, "Received: from mx%d.example (mx%d.example [192.0.2.%d])\n\tby mail.example with ESMTPS id %016X\n", r.IntN(50), r.IntN(50), r.IntN(256), r.Uint64())
	fmt.Fprintf(s, "From: User %d <u%d@example.org>\nTo: joe@vmail.example\nSubject: %s %s\nMessage-ID: <%016x@example.org>\nX-Odd: odd%d\n",
		l.n%97, l.n%97, Word(l.zipf.Uint64()), Word(l.zipf.Uint64()), r.Uint64(), l.n%1000)
	s.WriteString("DKIM-Signature: v=1; a=rsa-sha256; b=")
	for range 12 {
		fmt.Fprintf(s, "%016x\n\t", r.Uint64())
	}
	s.WriteString("x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n")
}

// Word is a word of two to four syllables, the more frequent the smaller n is.
func Word(n uint64) (s string) {
	n = n * 7_654_321 % 1_000_003
	for n > 0 || len(s) < 4 {
		s += string("bcdfghklmnprstvwxzjq"[n%20]) + string("aeiou"[n/20%5])
		n /= 100
	}
	return s
}
