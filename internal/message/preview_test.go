package message

import (
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestPreview(t *testing.T) {
	long := strings.Repeat("wörd ", 100)
	tests := []struct{ name, text, want string }{
		{"plain", "Subject: x\n\nHello,\r\n  this is\ta text.\n\n-- \nme\n", "Hello, this is a text. -- me"},
		{"no body", "Subject: x\n\n", ""},
		{"quotes", "\n> you said\n> this\nI say that\n", "I say that"},
		{"only quotes", "\n> you said\n> this\n", "you said this"},
		{"long", "\n" + long, strings.TrimSpace(strings.Repeat("wörd ", 40))},
		{"charset", "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe aus K=\n=F6ln", "Grüße aus Köln"},
		{"base64", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nR3LDvMOfZQ==\n", "Grüße"},
		{"html", "Content-Type: text/html\n\n<html><head><title>No</title><style>p { color: red }</style></head><body><p>Fish &amp; chips</p><p>a<b>b</b>c&nbsp;d &lt; e</p>" +
			"<blockquote>old</blockquote><script>x<1</script>end</body>", "Fish & chips abc d < e end"},
		{"alternative", "Content-Type: multipart/alternative; boundary=b\n\nignored\n--b\n\nthe plain one\n--b\nContent-Type: text/html\n\n<p>the other\n--b--\n", "the plain one"},
		{"empty alternative", "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\nContent-Type: text/html\n\n<p>the other\n--b--\n", "the other"},
		{"attachment", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nno\n--b\nContent-Type: text/html; charset=utf-8\n\nyes\n--b--\n", "yes"},
		{"nothing to read", "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAAA\n", ""},
		{"unseen characters", "\na\u200bb\x07c\u00a0d\n", "abc d"},
		{"a message within", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\ninner\n--b--\n", "inner"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []string{"whole", "bytes"} {
				in := strings.NewReader(tt.text)
				got, err := Preview(in)
				if r == "bytes" {
					got, err = Preview(iotest.OneByteReader(strings.NewReader(tt.text)))
				}
				if err != nil || got != tt.want {
					t.Errorf("%s: %q, %v; want %q", r, got, err, tt.want)
				}
			}
		})
	}
}

func FuzzPreview(f *testing.F) {
	f.Add([]byte("Content-Type: text/html\n\n<p>a &amp; b<!-- c --><style>x"))
	f.Add([]byte("\n> a\n\xff\xfeb\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-16\n\n\x00a\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Preview(strings.NewReader(string(in)))
		if err != nil {
			t.Fatal(err)
		}
		if n := utf8.RuneCountInString(got); n > maxPreview || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00") {
			t.Fatalf("%d characters: %q", n, got)
		}
	})
}
