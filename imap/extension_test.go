package imap

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mailserver/internal/imapwire"
)

func TestHiddenCapabilities(t *testing.T) {
	rows := []string{"outlook*/16.?=QRESYNC,condstore", "*phone*/*=NOTHING,MOVE", "noise", "=IDLE"}
	for client, want := range map[string]string{
		"Outlook for x/16.1": "CONDSTORE QRESYNC", "Outlook/17": "", "iPhone Mail/12": "MOVE", "/": "", strings.Repeat("a", 10000): "",
	} {
		hidden := hiddenFrom(rows, client)
		var got []string
		for _, c := range capabilityRows {
			if hidden[c.name] {
				got = append(got, c.name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%.30s: %q, want %q", client, got, want)
		}
	}
	if glob(strings.Repeat("*a", 100)+"b", strings.Repeat("a", maxClient)) {
		t.Error("matched")
	}
}

func TestProgress(t *testing.T) {
	now := time.Unix(1e9, 0)
	var out bytes.Buffer
	s := &session{srv: &Server{d: Deps{Now: func() time.Time { return now }}}, tag: "a1", enc: imapwire.NewEncoder(&out)}
	p := s.progress(5)
	for range 5 {
		if err := p.step(); err != nil {
			t.Fatal(err)
		}
		now = now.Add(6 * time.Second)
	}
	q := s.progress(0)
	now = now.Add(time.Minute)
	q.step()
	want := `* OK [INPROGRESS ("a1" 3 5)] Still at work.` + "\r\n" + `* OK [INPROGRESS ("a1" 5 5)] Still at work.` + "\r\n" +
		`* OK [INPROGRESS ("a1" 1 NIL)] Still at work.` + "\r\n"
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestMessageURL(t *testing.T) {
	s := &session{user: "joe@vmail.example", cfg: &Config{Hostname: "mx.example"}}
	tests := []struct {
		url  string
		want string // mailbox validity uid section; "" if it is refused
	}{
		{"/INBOX/;UID=20", "INBOX 0 20 BODY[]"},
		{"/inbox;UIDVALIDITY=3/;uid=20/;section=1.2.MIME", "INBOX 3 20 BODY[1.2.MIME]"},
		{"/a%20b%2Fc/;UID=1/;SECTION=HEADER.FIELDS%20(To%20Cc)/;PARTIAL=5.7", "a b/c 0 1 BODY[HEADER.FIELDS (TO CC)]<5>"},
		{"imap://joe%40vmail.example;AUTH=*@mx.example:143/x/;UID=1/;PARTIAL=3", "x 0 1 BODY[]<3>"},
		{"imap://MX.example/x/;UID=1", "x 0 1 BODY[]"},
		{"imap://ann%40vmail.example@mx.example/x/;UID=1", ""}, {"imap://other.example/x/;UID=1", ""},
		{"x/;UID=1", ""}, {"//;UID=1", ""}, {"/x", ""}, {"/x/;UID=0", ""}, {"/x/;UID=1/;UID=2", ""}, {"/x/;UID=1/;SECTION=9Z", ""},
		{"/x/;UID=1/;SECTION=1%5D%0D%0Aa", ""}, {"/x/;UID=1/;PARTIAL=-1", ""}, {"/x/;UID=1/;PARTIAL=1.0", ""}, {"/x/;UID=99999999999", ""},
		{"/x/;UID=1;EXPIRE=2026-01-01T00:00:00Z;URLAUTH=anonymous:internal:ab", ""}, {"/%zz/;UID=1", ""}, {"imap://mx.example", ""}, {"", ""},
		{"/\x92\x92\xbf\x8a/;UID=1", ""}, {"/ü/;UID=1", ""},
		{"/x/;UID=1/;PARTIAL=1/;SECTION=1", ""},
	}
	for _, tt := range tests {
		u, ok := s.parseURL(tt.url)
		got := ""
		if ok {
			got = strings.Join([]string{u.mailbox, uitoa(uint64(u.validity)), uitoa(uint64(u.uid)),
				sectionName("BODY", u.section.Part, u.section, u.section.Partial)}, " ")
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.url, got, tt.want)
		}
	}
}

func FuzzMessageURL(f *testing.F) {
	for _, seed := range []string{"/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1.2/;PARTIAL=1.2", "imap://joe@mx.example/x/;UID=1", "/%41/;UID=1/;SECTION=HEADER.FIELDS%20(A)"} {
		f.Add(seed)
	}
	s := &session{user: "joe", cfg: &Config{Hostname: "mx.example"}}
	f.Fuzz(func(t *testing.T, text string) {
		if u, ok := s.parseURL(text); ok && (u.uid == 0 || u.mailbox == "" || u.section == nil) {
			t.Fatalf("%+v", u)
		}
		if q := quotedURL(text); strings.ContainsAny(q, "\r\n]\x00") {
			t.Fatal(q)
		}
	})
}
