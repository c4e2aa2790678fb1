package addrfield

import (
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	form := Form{Origin: "origin.example", Domain: "example.org", Bangpath: true, Percent: true}
	for _, c := range []struct{ name, text, want string }{
		{"all is well", " A <a@b.example>, (c) d@e.example", ""},
		{"plain", " joe", "joe@origin.example"},
		{"several", " joe, A B <jim@host>", "joe@origin.example,\nA B <jim@host.example.org>"},
		{"comment", " joe (Joe (the) User) , x@y.z", "joe@origin.example (Joe (the) User),\nx@y.z"},
		{"comment within", " jo(x)e@host", "jo@origin.example,\ne@host.example.org (x)"},
		{"quoted", ` "John Doe"@host, "x, y" <z>`, "\"John Doe\"@host.example.org,\n\"x, y\" <z@origin.example>"},
		{"group", " friends: joe, <jim@host>;, bob@b.c", "friends: joe@origin.example,\n<jim@host.example.org>;,\nbob@b.c"},
		{"empty group", " undisclosed-recipients:;, x", "undisclosed-recipients: ;,\nx@origin.example"},
		{"route", " <@a.b,@c.d:joe@host>", "<joe@host.example.org>"},
		{"bang", " host!joe", "joe@host.example.org"},
		{"percent", " joe%host", "joe@host.example.org"},
		{"literal", " joe@[192.0.2.1], x", "joe@[192.0.2.1],\nx@origin.example"},
		{"dot at the end", " joe@b.example.", "joe@b.example"},
		{"missing comma", " a@b.c d@e", "a@b.c,\nd@e.example.org"},
		{"missing comma after route", " A <a@b> c@d.e", "A <a@b.example.org>,\nc@d.e"},
		{"nothing", " ", ""},
		{"null", " <>", ""},
		{"encoded word", " =?utf-8?q?J=C3=BC?= <joe>", "=?utf-8?q?J=C3=BC?= <joe@origin.example>"},
		{"eight bits", " J\xfc <joe>", "J\xfc <joe@origin.example>"},
		{"dotted phrase", " John B. Good <joe>", "John B.Good <joe@origin.example>"},
		{"backslash", ` a\ b@host`, `"a b"@host.example.org`},
	} {
		got, changed, err := Rewrite(c.text, func(a string) (string, error) { return form.Complete(a), nil })
		if err != nil || changed != (c.want != "") || got != c.want {
			t.Errorf("%s: %q -> %q, want %q", c.name, c.text, got, c.want)
		}
	}
}

func TestFieldFillsLines(t *testing.T) {
	a := strings.Repeat("a", 30) + "@b.c,"
	got := Field("To", a+"\n"+a+"\n"+a+"\nx@y")
	want := "To: " + a + "\r\n\t" + a + "\r\n\t" + a + " x@y\r\n"
	if got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
}

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{" a, b <c>, \"d\"@e (f)", "x: a@b, <c>; d", "<@a:b@c>", "a!b%c", `\`, `"`, "(", "[", ";:<>,"} {
		f.Add(seed)
	}
	form := Form{Origin: "o.example", Domain: "d.example", Bangpath: true, Percent: true}
	f.Fuzz(func(t *testing.T, text string) {
		got, _, err := Rewrite(text, func(a string) (string, error) { return form.Complete(a), nil })
		if err != nil || strings.ContainsAny(Field("To", got), "\x00") && !strings.Contains(text, "\x00") {
			t.Errorf("%q: %v", got, err)
		}
		Addresses(got)
	})
}

// What is read the short way is read alike the long way.
func FuzzOnly(f *testing.F) {
	for _, s := range []string{"a@b.example", " <a@b.example>", `"A, B" <a.b+c@d.example>`, "A B <a@b.example>", "A <a@b>", "a@b.example.", "a..b@c.d", "x<a@b.c>, d@e.f", "<a@b@c.d>"} {
		f.Add(s)
	}
	form := Form{Origin: "o.example", Domain: "d.example", Bangpath: true, Percent: true}
	f.Fuzz(func(t *testing.T, s string) {
		addr, ok := only(s)
		if !ok {
			return
		}
		if list := Addresses(s); len(list) != 1 || list[0] != addr {
			t.Errorf("%q: %q, the long way %q", s, addr, list)
		}
		if got := quote(internal(scan(addr, 0))); got != addr || form.Complete(addr) != addr {
			t.Errorf("%q is completed to %q", addr, got)
		}
	})
}
