package smtpwire

import (
	"errors"
	"strings"
	"testing"

	"mailserver/internal/address"
)

func TestParsePath(t *testing.T) {
	for _, tt := range []struct {
		in     string
		want   string // as address.String; '' is the null path
		params string
		err    error
	}{
		{"FROM:<>", "", "", nil},
		{"FROM:<> SIZE=1", "", "SIZE=1", nil},
		{"FROM:<a@example.org>", "a@example.org", "", nil},
		{"from: <a@example.org>", "a@example.org", "", nil},
		{"FROM:a@example.org body=8BITMIME SMTPUTF8", "a@example.org", "BODY=8BITMIME SMTPUTF8", nil},
		{"FROM:<@one.example,@two.example:a@example.org>", "a@example.org", "", nil},
		{"FROM:<postmaster>", "postmaster", "", nil},
		{`FROM:<"a b"@example.org>`, `"a b"@example.org`, "", nil},
		{`FROM:<"a\"b\\"@example.org>`, `"a\"b\\"@example.org`, "", nil},
		{`FROM:<"ab"@example.org>`, "ab@example.org", "", nil},
		{`FROM:<"a>b"@example.org> SIZE=2`, `"a>b"@example.org`, "SIZE=2", nil},
		{`FROM:<"a@b"@example.org>`, `"a@b"@example.org`, "", nil},
		{"FROM:<a..b.@example.org>", `"a..b."@example.org`, "", nil},
		{"FROM:<user+ext%x!y@example.org>", "user+ext%x!y@example.org", "", nil},
		{"FROM:<a@example.org.>", "a@example.org", "", nil},
		{"FROM:<a@[192.0.2.1]>", "a@[192.0.2.1]", "", nil},
		{"FROM:<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "", nil},
		{"FROM:<dömäin@exämple.org>", "dömäin@exämple.org", "", nil},
		{"FROM:<a_b@under_score.example>", "a_b@under_score.example", "", nil},

		{"", "", "", ErrSyntax},
		{"FROM", "", "", ErrSyntax},
		{"FROM:", "", "", ErrSyntax},
		{"FROM <a@example.org>", "", "", ErrSyntax},
		{"FROM : <a@example.org>", "", "", ErrSyntax},
		{"TO:<a@example.org>", "", "", ErrSyntax},

		{"FROM:<a@example.org", "", "", ErrPath},
		{"FROM:a@example.org>", "", "", ErrPath},
		{"FROM:<a@example.org>x", "", "", ErrPath},
		{"FROM:<>x", "", "", ErrPath},
		{"FROM:<<a@example.org>>", "", "", ErrPath},
		{"FROM:<a b@example.org>", "", "", ErrPath},
		{"FROM:<a@b@example.org>", "", "", ErrPath},
		{"FROM:<a@>", "", "", ErrPath},
		{"FROM:<@example.org>", "", "", ErrPath},
		{"FROM:<@example.org:>", "", "", ErrPath},
		{"FROM:<@one.example,two.example:a@example.org>", "", "", ErrPath},
		{`FROM:<"a@example.org>`, "", "", ErrPath},
		{`FROM:<""@example.org>`, "", "", ErrPath},
		{"FROM:<\"a\x00b\"@example.org>", "", "", ErrPath},
		{"FROM:<\"a\\\rb\"@example.org>", "", "", ErrPath},
		{"FROM:<a@ex..ample.org>", "", "", ErrPath},
		{"FROM:<a@.example.org>", "", "", ErrPath},
		{"FROM:<a@" + strings.Repeat("x", 64) + ".org>", "", "", ErrPath},
		{"FROM:<a@" + strings.Repeat("x.", 150) + "org>", "", "", ErrPath},
		{"FROM:<a@[300.0.2.1]>", "", "", ErrPath},
		{"FROM:<a@[2001:db8::1]>", "", "", ErrPath},
		{"FROM:<a@[192.0.2.1>", "", "", ErrPath},
		{"FROM:<a,b@example.org>", "", "", ErrPath},
		{"FROM:<\xff@example.org>", "", "", ErrPath},

		{"FROM:<a@example.org> =x", "", "", ErrParam},
		{"FROM:<a@example.org>" + strings.Repeat(" X=1", maxParams+1), "", "", ErrParam},
	} {
		addr, params, err := ParsePath(tt.in, "FROM")
		if !errors.Is(err, tt.err) || err == nil && addr.String() != tt.want {
			t.Errorf("%.60q: %q, %v; want %q, %v", tt.in, addr, err, tt.want, tt.err)
			continue
		}
		words := make([]string, len(params))
		for i, p := range params {
			words[i] = p.String()
		}
		if got := strings.Join(words, " "); err == nil && got != tt.params {
			t.Errorf("%q: parameters %q, want %q", tt.in, got, tt.params)
		}
	}
}

func TestDecodeXtext(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"QQ314159", "QQ314159", true},
		{"a+2Bb+3Dc", "a+b=c", true},
		{"a+2bb", "a+b", true},
		{"", "", true},
		{"a+", "", false}, {"a+2", "", false}, {"a+ZZ", "", false},
		{"a+0D+0AX", "", false}, // would add a header line to a DSN
		{"a+FF", "", false},
	} {
		if got, ok := DecodeXtext(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %q, %v", tt.in, got, ok)
		}
	}
}

func TestDecodeUTF8Address(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{`a\x{E4}@example.org`, "aä@example.org", true},
		{"aä@example.org", "aä@example.org", true},
		{`a\x{D}b`, "", false}, {`a\x{110000}`, "", false}, {`a\x{E4`, "", false}, {`a\x{}`, "", false},
	} {
		if got, ok := DecodeUTF8Address(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%q: %q, %v", tt.in, got, ok)
		}
	}
}

// FuzzPath: what is accepted holds no control characters, and its written form
// reads back as the same address.
func TestPathWord(t *testing.T) {
	for args, want := range map[string]string{
		"FROM:<a@b.example> SIZE=5": "<a@b.example>", "FROM: a@b.example SIZE=5": "a@b.example", `TO:<"a> b"@c.example> NOTIFY=NEVER`: `<"a> b"@c.example>`,
		`TO:<"a\">"@c.example> X`: `<"a\">"@c.example>`, "TO:<a b": "<a b", "TO:": "", `TO:<\`: `<\`,
	} {
		if got := PathWord(args); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{
		"FROM:<a@example.org> SIZE=1", `FROM:<"a\"b"@[192.0.2.1]>`, "FROM:<@a,@b:c@d>", "FROM:<>", "FROM:ä@ö",
		"FROM:<a@[IPv6:::1]> ENVID=a+2B", "FROM:<\"\x00\"@x>", "FROM:<a@b\r\nRCPT TO:<c@d>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		addr, _, err := ParsePath(in, "FROM")
		if err != nil {
			return
		}
		if text := addr.Local + addr.Domain; strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("control character in %q", text)
		}
		if addr.IsNull() {
			return
		}
		again, _, err := ParsePath("FROM:<"+addr.String()+">", "FROM")
		if err != nil || again != addr {
			t.Fatalf("%q: read back %#v, %v; want %#v", in, again, err, addr)
		}
		if other, err := address.Parse(addr.String()); err != nil || other != addr {
			t.Fatalf("%q: address.Parse gives %#v, %v; want %#v", in, other, err, addr)
		}
	})
}
