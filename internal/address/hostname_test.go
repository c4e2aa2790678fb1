package address

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckNew(t *testing.T) {
	good := [][2]string{{"a", "b.example"}, {"", "b.example"}, {"a b", "localhost"}, {"ü", "bücher.example"}, {"a", "[192.0.2.1]"},
		{"a", "[IPv6:2001:db8::1]"}, {"x@y", "a_b.example"}, {strings.Repeat("a", 255), "b.example"}}
	for _, a := range good {
		if err := CheckNew(a[0], a[1]); err != nil {
			t.Errorf("%q@%q: %v", a[0], a[1], err)
		}
	}
	bad := [][2]string{{"a", ""}, {"a", "."}, {"a", ".b"}, {"a", "b."}, {"a", "b..c"}, {"a", "b c"}, {"a", "-b"}, {"a", "192.0.2.1"}, {"a", "[x]"},
		{"a", "[192.0.2.1"}, {"a", "[IPv6:192.0.2.1]"}, {"a", "b@c"}, {"a", strings.Repeat("a", 64) + ".example"}, {"a", strings.Repeat("a.", 130)},
		{"a\x00", "b"}, {"a\r\n", "b"}, {"\xff", "b"}, {`"a"`, "b"}, {strings.Repeat("a", 256), "b"}, {"a", "b\n"}, {"a", "ü b"}}
	for _, a := range bad {
		if err := CheckNew(a[0], a[1]); !errors.Is(err, ErrSyntax) {
			t.Errorf("%q@%q: %v, want %v", a[0], a[1], err, ErrSyntax)
		}
	}
}
