package pipe

import (
	"io"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	s := &Spec{Name: "x", Flags: "hu", Delimiter: "+", NullSender: "MAILER-DAEMON",
		Argv: `prog -f ${sender} { two  words $nexthop } $(recipient)/${user}/$extension $$x`}
	m := &Message{Sender: "", Nexthop: "Hop.X", Size: 5}
	got, err := s.arguments(m, []Recipient{{"A+b@C.d", "o"}, {`"q p"@E`, "o"}})
	want := []string{"prog", "-f", "MAILER-DAEMON", "two  words hop.x", "a+b@c.d/a/b", "q p@e/q p/", "$x"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v", got, err)
	}
}

func TestValidate(t *testing.T) {
	good := Spec{Name: "x", Argv: "prog ${recipient}", Flags: "DRhu.>", EOL: `\r\n`}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		change func(*Spec)
		want   string
	}{
		{func(s *Spec) { s.Flags = "DZ" }, `flag "Z"`},
		{func(s *Spec) { s.Argv = " " }, "no command"},
		{func(s *Spec) { s.Argv = "a {b" }, "brace"},
		{func(s *Spec) { s.Argv = "a ${no_such}" }, `unknown macro name: "no_such"`},
		{func(s *Spec) { s.Argv = "a ${x" }, "not closed"},
		{func(s *Spec) { s.EOL = `\q` }, `\q`},
		{func(s *Spec) { s.Directory = "rel" }, "absolute"},
	} {
		s := good
		tt.change(&s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	for _, name := range []string{"root", "no-such-user-here"} {
		s := good
		s.User = name
		if _, refusal := s.Call(&Message{}, []Recipient{{"a@b", ""}}); refusal == nil || refusal.Enhanced != "4.3.5" {
			t.Errorf("user %s: %+v", name, refusal)
		}
	}
}

func TestForm(t *testing.T) {
	s := &Spec{Flags: "FROD.>B"}
	m := &Message{Sender: "s@x", Now: time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC)}
	long := strings.Repeat("x", 20000)
	in := "Subject: x\r\n\r\n.dot\r\nFrom me\r\n>From\r\nbare\nlone\rcr\r\n" + long + "\r"
	f := s.form(m, Recipient{"R@x", "o@x"}, "\n")
	got, err := io.ReadAll(f.reader(strings.NewReader(in)))
	want := "From s@x  Mon Nov  2 03:04:05 2026\nReturn-Path: <s@x>\nX-Original-To: o@x\nDelivered-To: R@x\n" +
		"Subject: x\n\n..dot\n>From me\n>From\nbare\nlone\rcr\n" + long + "\r\n\n"
	if err != nil || string(got) != want {
		t.Errorf("%.400q %v", got, err)
	}
}

func TestLoop(t *testing.T) {
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("no user nobody")
	}
	s := &Spec{Name: "x", Argv: "prog", User: u.Username, Flags: "D"}
	_, refusal := s.Call(&Message{DeliveredTo: []string{"a@B.c"}}, []Recipient{{"A@b.c", ""}})
	if refusal == nil || refusal.Enhanced != "5.4.6" || refusal.Text != "mail forwarding loop for A@b.c" {
		t.Errorf("%+v", refusal)
	}
}

func FuzzArguments(f *testing.F) {
	f.Add("prog ${recipient} { a $user } $$", "a+b@c")
	f.Fuzz(func(t *testing.T, argv, rcpt string) {
		s := &Spec{Argv: argv, Delimiter: "+", EOL: argv}
		if s.Validate() != nil {
			return
		}
		if _, err := s.arguments(&Message{}, []Recipient{{rcpt, rcpt}}); err != nil {
			t.Errorf("%q is valid, and yet: %v", argv, err)
		}
	})
}
