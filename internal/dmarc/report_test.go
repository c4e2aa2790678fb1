package dmarc

import (
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	rec, ok := Parse("v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:A+x@Rep.Example!10m , mailto:b@example.com,https://x.example, mailto:bad<@x")
	if !ok {
		t.Fatal("record")
	}
	if got := fmt.Sprint(rec.Receivers()); got != "[A+x@Rep.Example b@example.com]" {
		t.Errorf("receivers %s", got)
	}
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	r := Report{Org: "mx.test", Email: "postmaster@mx.test", ID: "1", Begin: day, End: day.Add(24*time.Hour - time.Second), Domain: "example.com", Record: rec}
	lines := []Line{
		{"192.0.2.1", 3, `{"from":"example.com","env":"list.test","did":"none","why":"local_policy","say":"arc=pass <&>","sigs":[["list.test","s1","pass"],["example.com","k","fail"]],"spfd":"list.test","spfr":"pass"}`},
		{"2001:db8::1", 1, `{"from":"a.example.com","did":"pass","dkim":true,"spf":true,"spfd":"h.example.com","spfr":"pass","helo":true}`},
		{"192.0.2.9", 1, `broken`},
		{"192.0.2.2", 1, `{"from":"example.com","did":"reject"}`},
	}
	var b strings.Builder
	err := r.Write(&b, func(each func(Line) error) error {
		for _, l := range lines {
			if err := each(l); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		XMLName xml.Name `xml:"urn:ietf:params:xml:ns:dmarc-2.0 feedback"`
		Version string   `xml:"version"`
		ID      string   `xml:"report_metadata>report_id"`
		Begin   int64    `xml:"report_metadata>date_range>begin"`
		P       string   `xml:"policy_published>p"`
		NP      string   `xml:"policy_published>np"`
		ADKIM   string   `xml:"policy_published>adkim"`
		Records []row    `xml:"record"`
	}
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got.Version != "1.0" || got.ID != "1" || got.Begin != day.Unix() || got.P != "reject" || got.NP != "quarantine" || got.ADKIM != "s" || len(got.Records) != 3 {
		t.Errorf("%+v\n%s", got, b.String())
	}
	one := got.Records[0]
	if one.Count != 3 || one.DKIM != "fail" || one.Reason == nil || one.Reason.Comment != "arc=pass <&>" || len(one.Signatures) != 2 || one.Signatures[1].Selector != "k" || one.AuthSPF.Scope != "mfrom" {
		t.Errorf("%+v", one)
	}
	if two := got.Records[1]; two.AuthSPF.Scope != "helo" || two.DKIM != "pass" || two.Reason != nil {
		t.Errorf("%+v", two)
	}
	if name := r.FileName(); name != "mx.test!example.com!1795132800!1795219199!1.xml" {
		t.Error(name)
	}
}

func TestAgrees(t *testing.T) {
	ask := func(name string) ([]string, error) {
		switch name {
		case "example.com._report._dmarc.yes.test":
			return []string{"x", "v=DMARC1"}, nil
		case "example.com._report._dmarc.busy.test":
			return nil, errors.New("later")
		}
		return nil, nil
	}
	for to, want := range map[string]string{"a@example.com": "true <nil>", "a@rep.Example.com": "true <nil>", "a@yes.test": "true <nil>",
		"a@no.test": "false <nil>", "a@busy.test": "false later", "a@notexample.com": "false <nil>"} {
		ok, err := Agrees(ask, "example.com", to)
		if got := fmt.Sprint(ok, " ", err); got != want {
			t.Errorf("%s: %s, want %s", to, got, want)
		}
	}
}
