package smtp

import "testing"

func TestMissingFieldsAreAddedAtTheEndOfTheHeader(t *testing.T) {
	const id, date, from = "Message-Id: <1@x>\r\n", "Date: today\r\n", "From: a@b\r\n"
	for _, tt := range []struct{ name, in, want string }{
		{"all there", "MESSAGE-ID: <2>\r\ndate : x\r\nFrom:\r\n y\r\n\r\ntext\r\n", "MESSAGE-ID: <2>\r\ndate : x\r\nFrom:\r\n y\r\n\r\ntext\r\n"},
		{"none there", "Subject: x\r\n\r\nDate: in the body\r\n", "Subject: x\r\n" + id + date + from + "\r\nDate: in the body\r\n"},
		{"no header", "\r\ntext\r\n", id + date + from + "\r\ntext\r\n"},
		{"no empty line", "just text\r\nmore: text\r\n", id + date + from + "\r\njust text\r\nmore: text\r\n"},
		{"header only", "Date: x\r\n", "Date: x\r\n" + id + from},
		{"nothing", "", id + date + from},
		{"resent", "Resent-From: x\r\n\r\n", "Resent-From: x\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for n := 1; n <= len(tt.in)+1; n++ {
				m := missing{fields: []field{{"message-id", id}, {"date", date}, {"from", from}}}
				got := ""
				out := func(p []byte) { got += string(p) }
				for rest := tt.in; rest != ""; {
					piece := rest[:min(n, len(rest))]
					rest = rest[len(piece):]
					m.feed([]byte(piece), out)
				}
				m.close(out)
				if got != tt.want {
					t.Fatalf("in pieces of %d:\n%q, want\n%q", n, got, tt.want)
				}
			}
		})
	}
}

func TestAlwaysAddMissingHeaders(t *testing.T) {
	in(t, ListenerOptions{}, []string{"always_add_missing_headers=yes"}, func(t *testing.T, w *world) {
		c := w.dial()
		c.begin()
		c.do("DATA", goOn)
		c.do("Subject: x\r\n\r\ntext\r\n.", sentOK)
		want := "Subject: x\r\nMessage-Id: <20261121075525.4F3A21@mx.example.net>\r\n" +
			"Date: Sat, 21 Nov 2026 07:55:25 +0000 (UTC)\r\nFrom: a@example.org\r\n\r\ntext\r\n"
		if got := w.messages()[0].text; len(got) < len(want) || got[len(got)-len(want):] != want {
			t.Errorf("%q", got)
		}
	})
}
