package address

import "testing"

func TestParse(t *testing.T) {
	tests := []struct {
		in    string
		want  Address
		str   string
		fails bool
	}{
		{in: "", str: ""},
		{in: "a@b", want: Address{"a", "b"}, str: "a@b"},
		{in: "postmaster", want: Address{Local: "postmaster"}, str: "postmaster"},
		{in: `"a b"@c`, want: Address{"a b", "c"}, str: `"a b"@c`},
		{in: `"a\"@b"@c`, want: Address{`a"@b`, "c"}, str: `"a\"@b"@c`},
		{in: `"ab"@c`, want: Address{"ab", "c"}, str: "ab@c"},
		{in: `a@b@c`, want: Address{"a@b", "c"}, str: `"a@b"@c`},
		{in: `"a`, fails: true},
		{in: `"a"b@c`, fails: true},
		{in: `@c`, fails: true},
		{in: `a@`, fails: true},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in)
		if (err != nil) != tt.fails || got != tt.want || got.String() != tt.str {
			t.Errorf("Parse(%q) = %+v, %v, %q; want %+v, %q", tt.in, got, err, got.String(), tt.want, tt.str)
		}
	}
}

func TestSplitExtension(t *testing.T) {
	tests := []struct{ local, delim, user, ext string }{
		{"joe+list", "+", "joe", "list"},
		{"joe+a+b", "+", "joe", "a+b"},
		{"joe", "+", "joe", ""},
		{"+joe", "+", "+joe", ""},
		{"joe+x", "", "joe+x", ""},
		{"owner-list", "-", "owner-list", ""},
		{"list-request", "-", "list-request", ""},
		{"joe-x", "+-", "joe", "x"},
		{"mailer-daemon", "-", "mailer-daemon", ""},
	}
	for _, tt := range tests {
		user, ext, _ := SplitExtension(tt.local, tt.delim)
		if user != tt.user || ext != tt.ext {
			t.Errorf("SplitExtension(%q, %q) = %q, %q; want %q, %q", tt.local, tt.delim, user, ext, tt.user, tt.ext)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@b", `"a\"b"@c`, "@", `"`, "a@b@c", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(a.String()); err != nil || again != a {
			t.Fatalf("%q gives %+v, written %q, read %+v %v", s, a, a.String(), again, err)
		}
	})
}
