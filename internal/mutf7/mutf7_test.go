package mutf7

import (
	"errors"
	"testing"
	"unicode/utf8"
)

func TestBothWays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ utf8, utf7 string }{
		{"", ""},
		{"INBOX", "INBOX"},
		{"a&b", "a&-b"},
		{"&", "&-"},
		{"&&", "&-&-"},
		{"~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
		{"Entwürfe", "Entw&APw-rfe"},
		{"ü&ü", "&APw-&-&APw-"},
		{"😀", "&2D3eAA-"},
		{"\uffff", "&,,8-"},
		{"\ufffd", "&,,0-"},
		{"a\tb", "a&AAk-b"},
		{"\x7f", "&AH8-"},
	} {
		if got, err := Encode(c.utf8); got != c.utf7 || err != nil {
			t.Errorf("Encode(%q) = %q, %v; want %q", c.utf8, got, err, c.utf7)
		}
		if got, err := Decode(c.utf7); got != c.utf8 || err != nil {
			t.Errorf("Decode(%q) = %q, %v; want %q", c.utf7, got, err, c.utf8)
		}
	}
}

func TestDecodeRefusesOtherSpellings(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]string{
		"open shift":          "a&",
		"open run":            "&APw",
		"printable in base64": "&AGE-",
		"ampersand in base64": "&ACY-",
		"runs side by side":   "&APw-&APw-",
		"padding bits":        "&APx-",
		"odd bytes":           "&AP-",
		"lone high surrogate": "&2D0-",
		"lone low surrogate":  "&3gA-",
		"swapped surrogates":  "&3gDYPQ-",
		"slash alphabet":      "&U/BTFw-",
		"padding sign":        "&APw=-",
		"8-bit":               "ü",
		"control":             "a\nb",
		"newline in base64":   "&AP\nw-",
	} {
		if got, err := Decode(s); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: Decode(%q) = %q, %v", name, s, got, err)
		}
	}
}

func TestEncodeRefusesBrokenUTF8(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"\xff", "a\xc3", "\xed\xa0\x80"} {
		if _, err := Encode(s); !errors.Is(err, ErrUTF8) {
			t.Errorf("Encode(%q): %v", s, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"INBOX", "&-", "&APw-", "&2D3eAA-", "&U,BTFw-/&ZeVnLIqe-", "&AGE-", "&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := Decode(s)
		if err != nil {
			return
		}
		if !utf8.ValidString(u) {
			t.Fatalf("Decode(%q) = %q, not UTF-8", s, u)
		}
		if back, err := Encode(u); back != s || err != nil {
			t.Fatalf("%q -> %q -> %q, %v", s, u, back, err)
		}
	})
}

func FuzzEncode(f *testing.F) {
	for _, s := range []string{"", "Entwürfe", "a&b", "😀", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := Encode(s)
		if err != nil {
			return
		}
		if back, err := Decode(e); back != s || err != nil {
			t.Fatalf("%q -> %q -> %q, %v", s, e, back, err)
		}
	})
}
