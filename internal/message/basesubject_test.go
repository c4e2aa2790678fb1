package message

import (
	"fmt"
	"testing"
)

// TestBaseSubject: the examples are what RFC 5256 §2.1 and its errata mean.
func TestBaseSubject(t *testing.T) {
	t.Parallel()
	tests := []struct {
		subject, base string
		reply         bool
	}{
		{"", "", false},
		{"Hello", "HELLO", false},
		{"Re: Hello", "HELLO", true},
		{"re[4]: Hello", "HELLO", true},
		{"RE : Hello", "HELLO", true},
		{"Fwd: FW: re: Hello (fwd) (FWD) ", "HELLO", true},
		{"[list] Hello", "HELLO", false},
		{"[list] Re: [list]  Hello", "HELLO", true},
		{"[only]", "[ONLY]", false},
		{"Re: [only]", "[ONLY]", true},
		{"[a][b] x", "X", false},
		{"[fwd: Hello]", "HELLO", true},
		{"[Fwd: Re: Hello (fwd)]", "HELLO", true},
		{"Reply: Hello", "REPLY: HELLO", false},
		{"Re", "RE", false},
		{"Re:", "", true},
		{"[open Hello", "[OPEN HELLO", false},
		{"a  b\tc", "A B C", false},
		{"=?utf-8?Q?Re:_=C3=A4?=", "A\u0308", true},
	}
	for _, tt := range tests {
		base, reply := BaseSubject(tt.subject)
		if base != tt.base || reply != tt.reply {
			t.Errorf("%q: got %q %v, want %q %v", tt.subject, base, reply, tt.base, tt.reply)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                           "[]",
		"<a@b> <c@d>":                "[a@b c@d]",
		"text <a@b>more<c@d":         "[a@b]",
		"<no-at> <x@>":               "[]",
		`<"quo\"ted"@x>`:             `[quo"ted@x]`,
		"<1@x> <2@x> <3@x> <4@x>":    "[2@x 3@x 4@x]",
		"Your message <a@b> of then": "[a@b]",
	} {
		if got := fmt.Sprint(MessageIDs(in, 3)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	if got := FirstMessageID("<x> <1@x> <2@x>"); got != "1@x" {
		t.Errorf("the first is %q", got)
	}
}

func FuzzBaseSubject(f *testing.F) {
	for _, s := range []string{"Re: [a] x", "[fwd: [fwd: x]]", "[[", "re[: x", "=?utf-8?B?UmU6?= x (fwd)", "<a> <\"b\"@c> <d@e><"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		base, _ := BaseSubject(s)
		// ʱ decomposes to ɦ, which by itself has a titlecase: RFC 5051 §2 folds once.
		if again, _ := BaseSubject(base); len(again) > len(Fold(base)) {
			t.Errorf("%q: %q grew to %q", s, base, again)
		}
		first, ids := FirstMessageID(s), MessageIDs(s, 10)
		if len(ids) == 0 && first != "" || len(ids) > 0 && len(ids) < 10 && first != ids[0] {
			t.Errorf("%q: %q is not the first of %q", s, first, ids)
		}
	})
}
