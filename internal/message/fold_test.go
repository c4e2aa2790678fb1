package message

import (
	"strings"
	"testing"
)

func TestFoldedAndSqueezed(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", " ", "a", " a  b\t\r\n c ", "Grüße\r\n  ß", "a\rb", "\x00a\x7f", "é é", "\xff a", "한 글", "\ta"} {
		want := string(appendFolded([]byte("x"), []byte(squeeze(s))))
		if got := string(appendFoldedSqueezed([]byte("x"), []byte(s))); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	if got := string(appendFolded(nil, []byte("a\r\nb\x00\r\rZz"+strings.Repeat("é", 3)))); got != "A\nB\x00ZZE\u0301E\u0301E\u0301" {
		t.Errorf("%q", got)
	}
}
