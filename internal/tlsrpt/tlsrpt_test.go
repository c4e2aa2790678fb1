package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	var c Counter
	good := Result{Day: "2026-11-21", Domain: "x.example", Policy: "sts", Text: "version: STSv1\nmode: enforce", MXHosts: "*.x.example"}
	bad := good
	bad.Failure, bad.Host, bad.Address = "certificate-expired", "mx.x.example", "192.0.2.1"
	none := Result{Day: "2026-11-21", Domain: "x.example", Policy: "no-policy-found"}
	for _, r := range []Result{good, good, bad, none} {
		c.Add(r)
	}
	rows := c.Take()
	if len(rows) != 3 || len(c.Take()) != 0 {
		t.Fatal(rows)
	}
	r, err := New("Us", "postmaster@us.example", "mx.us.example", rows)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Policies) != 2 || r.Policies[0].Policy.Type != "no-policy-found" || r.Policies[1].Summary.Good != 2 || r.Policies[1].Summary.Bad != 1 || r.Policies[1].Failures[0].Type != "certificate-expired" {
		t.Errorf("%+v", r)
	}
	text, err := r.Mail("postmaster@us.example", "tls@x.example", "mx.us.example", time.Unix(1e9, 0))
	if err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil || m.Header.Get("TLS-Report-Domain") != "x.example" {
		t.Fatal(err, m)
	}
	body, _ := io.ReadAll(m.Body)
	_, after, _ := strings.Cut(string(body), ".json.gz\"\r\n\r\n")
	encoded, _, _ := strings.Cut(after, "\r\n--")
	packed, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(encoded, "\r\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.NewDecoder(z).Decode(&got); err != nil || got["organization-name"] != "Us" {
		t.Error(got, err)
	}
	dates := got["date-range"].(map[string]any)
	if dates["start-datetime"] != "2026-11-21T00:00:00Z" || dates["end-datetime"] != "2026-11-21T23:59:59Z" {
		t.Error(dates)
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct{ txt, want []string }{
		{[]string{"v=TLSRPTv1; rua=mailto:a@x, https://x/y"}, []string{"mailto:a@x", "https://x/y"}},
		{[]string{"v=spf1", "v=TLSRPTv1;rua=mailto:a@x;"}, []string{"mailto:a@x"}},
		{[]string{"v=TLSRPTv1; rua=mailto:a@x", "v=TLSRPTv1; rua=mailto:b@x"}, nil},
		{nil, nil},
	} {
		if got := Addresses(tt.txt); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q", tt.txt, got)
		}
	}
}
