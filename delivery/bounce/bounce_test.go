package bounce

import (
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "write the golden files anew")

const original = "Received: from a by b\r\nFrom: s@x.test\r\nSubject: hello\r\n\r\nbody\r\n.\r\n--not the end\r\n"

func notices() map[string]*Notice {
	at := time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)
	base := Notice{NoticeID: "4jWlBOUNCEz0000", Host: "me.test", MailName: "mail program", To: "s@x.test", ID: "4jWlORIGINz0000", Sender: "s@x.test",
		EnvID: "E 1", Arrived: at, Now: at.Add(time.Hour), Until: at.Add(120 * time.Hour)}
	remote := Recipient{Address: "u@far.test", Original: "alias@me.test", Status: "5.1.1", MTA: "mx.far.test",
		Reply: "550-5.1.1 The account that you tried to reach does not exist. 550 5.1.1 Look for typing errors.",
		Text:  "host mx.far.test[192.0.2.1] said: 550-5.1.1 The account that you tried to reach does not exist. 550 5.1.1 Look for typing errors. (in reply to RCPT TO command)"}
	ours := Recipient{Address: "full@me.test", Original: "full@me.test", ORCPT: "rfc822;list@y.test", Status: "5.2.2", Text: "Quota exceeded (mailbox for user is full)"}

	failure := base
	failure.Recipients = []Recipient{remote, ours}
	headers := base
	headers.HeadersOnly, headers.Recipients = true, []Recipient{ours}
	delay := base
	delay.Kind, delay.HeadersOnly = Delay, true
	delay.Recipients = []Recipient{{Address: "u@far.test", Original: "u@far.test", Status: "4.4.1", Text: "connect to far.test[192.0.2.1]:25: Connection timed out"}}
	success := base
	success.Kind, success.HeadersOnly = Success, true
	success.Recipients = []Recipient{{Address: "a@me.test", Original: "a@me.test", Status: "2.0.0", Text: "delivered to maildir"},
		{Address: "u@far.test", Original: "u@far.test", Status: "2.0.0", MTA: "mx.far.test", Reply: "250 2.0.0 Ok", Text: "250 2.0.0 Ok"}}
	global := base
	global.UTF8, global.Sender, global.To = true, "\xc3\xbc@x.test", "\xc3\xbc@x.test"
	global.Recipients = []Recipient{{Address: "j\xc3\xb6rg@far.test", Status: "5.6.7", Text: "SMTPUTF8 is required, but was not offered by host mx.far.test[192.0.2.1]"}}
	postmaster := failure
	postmaster.Copy, postmaster.To, postmaster.Sender = true, "postmaster@me.test", ""
	return map[string]*Notice{"failure": &failure, "headers": &headers, "delay": &delay, "success": &success, "utf8": &global, "postmaster": &postmaster}
}

// TestGolden compares whole notifications, and reads each as a mail program does.
func TestGolden(t *testing.T) {
	for name, n := range notices() {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := Write(&b, n, strings.NewReader(original)); err != nil {
				t.Fatal(err)
			}
			if bare := strings.ReplaceAll(b.String(), "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
				t.Error("a bare CR or LF")
			}
			file := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, b.Bytes()) {
				t.Errorf("differs from %s:\n%s", file, b.String())
			}
			checkParts(t, n, b.String())
		})
	}
}

func checkParts(t *testing.T, n *Notice, text string) {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	submitted := "auto-replied" // RFC 3834 §5; a copy for the postmaster answers nobody
	if strings.HasPrefix(m.Header.Get("Subject"), "Postmaster Copy") {
		submitted = "auto-generated"
	}
	if err != nil || kind != "multipart/report" || m.Header.Get("Auto-Submitted") != submitted {
		t.Fatalf("%s %v %v", kind, m.Header, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	var parts []string
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, string(body))
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	if groups := strings.Split(strings.TrimSuffix(parts[1], "\r\n"), "\r\n\r\n"); len(groups) != 1+len(n.Recipients) {
		t.Errorf("%d groups of fields for %d recipients:\n%s", len(groups), len(n.Recipients), parts[1])
	}
	_, returned, _ := strings.Cut(parts[2], "\r\n")
	want := original
	if n.HeadersOnly {
		want, _, _ = strings.Cut(original, "\r\n\r\n")
		want += "\r\n"
	}
	if returned != want {
		t.Errorf("returned %q, want %q", returned, want)
	}
}

// TestHostileWords: what a remote says stays inside its field.
func TestHostileWords(t *testing.T) {
	n := notices()["failure"]
	n.EnvID = "x\r\nBcc: a@b"
	n.Recipients = []Recipient{{Address: "a@b\r\nX: y", Original: "o\n\nbody", ORCPT: "rfc822;x\r\n\r\n", Status: "5.0.0", MTA: "m\r\nX: y",
		Reply: "550 a\r\n--boundary\r\n\x00\xff", Text: "said: \r\n\r\nfoo " + strings.Repeat("y", 3000)}}
	var b bytes.Buffer
	if err := Write(&b, n, strings.NewReader(original)); err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(b.String(), "\r\n") {
		if strings.HasPrefix(line, "X: y") || strings.HasPrefix(line, "Bcc:") || strings.HasPrefix(line, "--boundary") || strings.ContainsAny(line, "\r\n\x00") || !utf8.ValidString(line) {
			t.Errorf("line %q", line)
		}
	}
	checkParts(t, n, b.String())
}

func FuzzNotice(f *testing.F) {
	f.Add("a@b", "rfc822;a", "550 no", "host said", "Subject: x\r\n\r\nbody")
	f.Add("", "\r\n", "\x00", strings.Repeat("x ", 100), "\r\n")
	f.Add("\xff", ";", " ", "\t", "X:"+strings.Repeat("y", 5000))
	f.Fuzz(func(t *testing.T, address, orcpt, reply, text, message string) {
		for _, only := range []bool{false, true} {
			n := notices()["failure"]
			n.HeadersOnly = only
			n.Recipients = []Recipient{{Address: address, Original: orcpt, ORCPT: orcpt, Status: "5.0.0", Reply: reply, Text: text, MTA: reply}}
			var b bytes.Buffer
			if err := Write(&b, n, strings.NewReader(message)); err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(b.String(), "Content-Type: message/rfc822")
			head, _, _ = strings.Cut(head, "Content-Type: text/rfc822-headers")
			if strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") {
				t.Fatalf("bare line end in %q", head)
			}
			m, err := mail.ReadMessage(strings.NewReader(b.String()))
			if err != nil {
				t.Fatal(err)
			}
			_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
			if err != nil {
				t.Fatal(err)
			}
			r := multipart.NewReader(m.Body, params["boundary"])
			for range 3 {
				if _, err := r.NextRawPart(); err != nil {
					t.Fatalf("%v in %q", err, b.String())
				}
			}
		}
	})
}
