package policy_test

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mailserver/internal/arc"
	"mailserver/internal/dmarc"
	"mailserver/policy"
	"mailserver/schema"
)

// TestTrustedSealers: mail that fails DMARC is taken if somebody we trust has
// seen it pass, and sealed that.
func TestTrustedSealers(t *testing.T) {
	v := newEnv(t)
	v.withState()
	_, key := v.withAuth()
	v.exec(`INSERT INTO RClass VALUES (71, 'strict')`)
	v.class("RC71-strict", "reject_dmarc")
	sealed := func(results string) string {
		text := "From: <b@good.test>\r\nSubject: [list] x\r\n\r\ntext\r\n"
		s := &arc.Sealer{Key: key, AuthservID: "mx.p.test"}
		full := "Authentication-Results: mx.p.test; " + results + "\r\n" + text
		set, err := s.Seal(strings.NewReader(full), &arc.Chain{Result: arc.None})
		if err != nil {
			t.Fatal(err)
		}
		return set + text
	}
	saw := sealed("spf=pass smtp.mailfrom=good.test; dmarc=pass header.from=good.test")
	const asks = "550 5.7.26 <END-OF-MESSAGE>: End-of-data rejected: DMARC check: good.test is not authenticated and asks for p=reject"
	tests := []struct {
		name, trust, text, want, arc string
	}{
		{"nobody is trusted", "", saw, asks, ""},
		{"another is trusted", "other.test", saw, asks, ""},
		{"trusted", "other.test, P.test", saw, "ok", "arc=pass (i=1 d=p.test) smtp.remote-ip=192.0.2.10"},
		{"trusted, but it failed there too", "p.test", sealed("dmarc=fail header.from=good.test"), asks, ""},
		{"trusted, another author", "p.test", sealed("dmarc=pass header.from=p.test"), asks, ""},
		{"trusted, and changed since", "p.test", strings.Replace(saw, "text\r\n", "spam\r\n", 1), asks, ""},
		{"no chain", "p.test", "From: <b@good.test>\r\n\r\ntext\r\n", asks, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v.set("arc_trusted_sealers", tt.trust)
			s := v.open(stranger, "mx.example.net", "list@evil.test")
			s.Rcpt(ctx, here("u@here.example", 71))
			got := s.EndOfData(ctx, policy.Content{ID: "4F", Size: 9, Open: func() io.Reader { return strings.NewReader(tt.text) }})
			check(t, "end of data", reply(got), tt.want)
			if fields := strings.Join(got.Effects.Prepend, "\n"); !strings.Contains(fields, tt.arc) || tt.arc != "" && !strings.Contains(fields, "dmarc=fail") {
				t.Errorf("fields %q", fields)
			}
		})
	}
	v.e.Close()
	found := make(map[string]int)
	err := v.state.EachDmarc(ctx, schema.Day(time.Now()), "good.test", func(l schema.DmarcLine) error {
		var f dmarc.Facts
		if err := json.Unmarshal([]byte(l.Facts), &f); err != nil {
			return err
		}
		found[fmt.Sprintf("%s %s %s %s %s %s", l.Addr, f.From, f.Envelope, f.Disposition, f.Reason, f.Comment)] += l.Count
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{
		"192.0.2.10 good.test evil.test reject  ":                                  6,
		"192.0.2.10 good.test evil.test none local_policy arc=pass as[1].d=p.test": 1,
	}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("kept %v\nwant %v", found, want)
	}
}
