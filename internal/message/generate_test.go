package message

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes messages that are MIME more or less.
type generator struct {
	*rand.Rand
	b      strings.Builder
	bounds []string
}

func (g *generator) pick(s ...string) string { return s[g.IntN(len(s))] }

func (g *generator) nl() {
	if g.IntN(60) == 0 {
		g.b.WriteString(g.pick("\r\n", "\r", "\n\n", "", "\r\r\n"))
	}
	g.b.WriteString("\n")
}

func (g *generator) line(format string, args ...any) {
	fmt.Fprintf(&g.b, format, args...)
	g.nl()
}

// generate gives a message of its own for each seed.
func generate(seed uint64) []byte {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	for range g.IntN(5) {
		g.line("%s: %s", g.pick("From", "To", "Subject", "X-A", "Cc", "received"), g.pick("a@b", "N <c@d>", "x", "", "y\n z"))
	}
	g.part(0)
	s := g.b.String()
	switch g.IntN(4) {
	case 0:
		s = strings.ReplaceAll(s, "\n", "\r\n")
	case 1:
		s = s[:len(s)-g.IntN(min(len(s), 40)+1)]
	}
	return []byte(s)
}

func (g *generator) part(depth int) {
	kind := g.IntN(7)
	if depth > 4 {
		kind = 0
	}
	b := ""
	switch kind {
	case 1, 2, 3:
		b = g.pick("b", "bb", "b-", "b--", "c", "bc", fmt.Sprint("x", depth))
		g.line("Content-Type: multipart/%s; boundary=%q", g.pick("mixed", "alternative", "digest"), b)
	case 4, 5:
		g.line("Content-Type: message/rfc822")
	case 6:
		g.line("Content-Type: %s", g.pick("text/html", "text/plain; charset=x", "a/b", "multipart/mixed", "bad"))
	}
	if g.IntN(3) == 0 {
		g.line("Content-Transfer-Encoding: %s", g.pick("7bit", "8bit", "base64", "quoted-printable", "binary", "x-odd"))
	}
	if g.IntN(8) == 0 {
		g.line("%s", g.pick("no colon", " lead", "X-Y : z", "X-Z:\n folded"))
	}
	if g.IntN(12) != 0 {
		g.nl()
	}
	switch kind {
	case 1, 2, 3:
		g.multipart(b, depth)
	case 4, 5:
		if g.IntN(2) == 0 {
			g.line("Subject: inner")
		}
		g.part(depth + 1)
	default:
		g.text()
	}
}

func (g *generator) multipart(b string, depth int) {
	g.bounds = append(g.bounds, b)
	if g.IntN(2) == 0 {
		g.text()
	}
	for range g.IntN(4) {
		g.line("--%s%s", b, g.pick("", "", "", "", " ", "x", "-"))
		g.part(depth + 1)
	}
	if g.IntN(5) != 0 {
		g.line("--%s--%s", b, g.pick("", "", "", " ", "x"))
	}
	if g.IntN(3) == 0 {
		g.text()
	}
	if g.IntN(6) != 0 {
		g.bounds = g.bounds[:len(g.bounds)-1]
	}
}

func (g *generator) text() {
	for range g.IntN(4) {
		switch g.IntN(12) {
		case 0:
			g.line("--%s", g.pick("", "-", "b", "x1", "zz"))
		case 1:
			if len(g.bounds) > 0 {
				g.line("%s--%s", g.pick("", "", "x", " "), g.bounds[g.IntN(len(g.bounds))])
			}
		case 2:
			g.line("")
		case 3:
			g.line("aGVs\nbG8=")
		case 4:
			g.line("q=3D=\nr=C3=A4=zz")
		default:
			g.line("text %d", g.IntN(100))
		}
	}
}
