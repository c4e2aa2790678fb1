package forward

import (
	"slices"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"addresses", "a@x.example, b\nc@y.example\n", "a@x.example;b;c@y.example"},
		{"comment and empty lines", "# all\n\n  # more\nann\n", "ann"},
		{"continued line", "a,\n  b,\n\tc\nd", "a;b;c;d"},
		{"quoted command", `"|/usr/bin/vacation -a \"x, y\" sam"`, `|/usr/bin/vacation -a "x, y" sam`},
		{"bar before quote", `|"exec /bin/cat, x || exit 75"`, "|exec /bin/cat, x || exit 75"},
		{"bare command", "|/usr/bin/vacation sam, pat", "|/usr/bin/vacation;sam;pat"},
		{"white space", "a b\tc", "a;b;c"},
		{"name", "A B <a@x.example>, c", "a@x.example;c"},
		{"user itself", `\sam, "\sam"`, `\sam;\sam`},
		{"files", `/var/log/mail, "/home/sam/My Mail/"`, "/var/log/mail;/home/sam/My Mail/"},
		{"include", ":include:/etc/list, :INCLUDE:/x", ":include:/etc/list;:include:/x"},
		{"angle", "<a@x.example>", "a@x.example"},
		{"CRLF", "a\r\nb\r\n", "a;b"},
		{"nothing", "\n#\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := Read(strings.NewReader(tt.text))
			var got []string
			for _, x := range list {
				got = append(got, x.String())
			}
			if s := strings.Join(got, ";"); err != nil || s != tt.want {
				t.Errorf("%q, %v; want %q", s, err, tt.want)
			}
		})
	}
	for _, bad := range []string{":include:list", "|", "a@", `"|`, "x\x00y", strings.Repeat("a,", MaxTargets+1), strings.Repeat("#", MaxSize+1)} {
		if list, err := Read(strings.NewReader(bad)); err == nil && bad != `"|` {
			t.Errorf("%.20q gives %d targets", bad, len(list))
		}
	}
}

func TestRow(t *testing.T) {
	if got := Row("|/bin/cat a, b"); !slices.Equal(got, []string{"|/bin/cat a, b"}) {
		t.Errorf("a command keeps its commas: %q", got)
	}
	if got := Row("a, b"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("addresses: %q", got)
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"a, b", `"|x \"y\""`, ":include:/x", "\\u\n c", "#", `"/`, `\`, "<>", `|"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := Read(strings.NewReader(s))
		if err != nil {
			return
		}
		for _, x := range list {
			switch {
			case x.Kind == File && !strings.HasPrefix(x.Text, "/"), x.Kind == Command && x.Text == "":
				t.Errorf("%q gives %+v", s, x)
			case x.Kind == Address && x.Address.IsNull():
				t.Errorf("%q gives the null address", s)
			}
		}
	})
}
