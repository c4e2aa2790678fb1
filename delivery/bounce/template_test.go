package bounce

import (
	"strings"
	"testing"
)

const templateFile = `# words of ours

failure_template = <<EOF
Charset: iso-8859-1
From: MAILER-DAEMON (Die Post)
Subject: Unzustellbar
Postmaster-Subject: Kopie

Host $myhostname, ${mydomain}: $$5
EOF
delay_template = <<END
Subject: Spaet

after $(delay_warning_time_hours) hours
END
`

func TestTemplates(t *testing.T) {
	list, err := Templates(templateFile)
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	want := Template{"iso-8859-1", "MAILER-DAEMON (Die Post)", "Unzustellbar", "Kopie", "Host $myhostname, ${mydomain}: $$5\n"}
	if *list[Failure] != want {
		t.Errorf("%+v", list[Failure])
	}
	value := func(name string) (string, bool) { return strings.ToUpper(name), name != "bad" }
	if got, err := Fill(list[Failure].Text, value); err != nil || got != "Host MYHOSTNAME, MYDOMAIN: $5\n" {
		t.Error(got, err)
	}
	if got, err := Fill(list[Delay].Text, value); err != nil || got != "after DELAY_WARNING_TIME_HOURS hours\n" {
		t.Error(got, err)
	}
	if got := list[Failure].sender("mx.test"); got != "Die Post <MAILER-DAEMON@mx.test>" {
		t.Error(got)
	}
	for _, bad := range []string{"x", "failure_template = EOF\n", "failure_template = <<EOF\n\nno end\n", "other_template = <<EOF\nEOF\n", "failure_template = <<EOF\nTo: x\n\nEOF\n"} {
		if _, err := Templates(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"$bad", "${x", "$"} {
		if got, err := Fill(bad, func(name string) (string, bool) { return "", name != "bad" && name != "" }); err == nil {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func FuzzTemplates(f *testing.F) {
	f.Add(templateFile)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := Templates(text)
		if err != nil {
			return
		}
		for _, tm := range list {
			Fill(tm.Text, func(string) (string, bool) { return "x", true })
		}
	})
}
