package spf

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"mailserver/internal/dns"
)

type suite struct {
	Description string
	Tests       []struct {
		Name, Helo, Host, From, Skip string
		Want                         []string
	}
	Zone map[string][]record
}

type record struct {
	Type, Text string
	Pref       uint16
}

var types = map[dns.Type]string{dns.A: "A", dns.AAAA: "AAAA", dns.MX: "MX", dns.TXT: "TXT", dns.PTR: "PTR"}

// lookup answers from the zone of a suite.
func (s *suite) lookup(name string, t dns.Type) (*dns.Answer, error) {
	zone := make(map[string][]record)
	for n, list := range s.Zone {
		zone[strings.ToLower(n)] = list
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for range 16 {
		list, ok := zone[name]
		if !ok {
			return nil, &dns.Error{Name: name, Type: t, Status: dns.NoName}
		}
		a, next := &dns.Answer{}, ""
		for _, r := range list {
			switch {
			case r.Type == "TIMEOUT" || r.Type == "SERVFAIL":
				return nil, &dns.Error{Name: name, Type: t, Status: dns.Temporary}
			case r.Type == "CNAME":
				next = strings.ToLower(r.Text)
			case r.Type != types[t]:
			case t == dns.A || t == dns.AAAA:
				a.Records = append(a.Records, dns.Record{Addr: netip.MustParseAddr(r.Text)})
			case t == dns.TXT:
				a.Records = append(a.Records, dns.Record{Text: r.Text})
			default:
				a.Records = append(a.Records, dns.Record{Text: strings.TrimSuffix(r.Text, "."), Pref: r.Pref})
			}
		}
		if len(a.Records) > 0 {
			return a, nil
		}
		if next == "" {
			return nil, &dns.Error{Name: name, Type: t, Status: dns.NoData}
		}
		name = next
	}
	return nil, &dns.Error{Name: name, Type: t, Status: dns.NoData}
}

// TestSuite is the suite of RFC 7208 in release 2014.04.
func TestSuite(t *testing.T) {
	data, err := os.ReadFile("testdata/rfc7208-tests.json")
	if err != nil {
		t.Fatal(err)
	}
	var suites []suite
	if err := json.Unmarshal(data, &suites); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range suites {
		for _, tt := range s.Tests {
			t.Run(s.Description+"/"+tt.Name, func(t *testing.T) {
				got := Check(context.Background(), s.lookup, netip.MustParseAddr(tt.Host), tt.Helo, tt.From)
				good := slices.Contains(tt.Want, got.Result)
				switch {
				case tt.Skip != "" && good:
					t.Errorf("is said to differ, but does not: %s", tt.Skip)
				case tt.Skip != "":
					t.Skipf("%+v, want %v: %s", got, tt.Want, tt.Skip)
				case !good:
					t.Errorf("%+v, want %v", got, tt.Want)
				}
			})
			n++
		}
	}
	if n < 200 {
		t.Errorf("only %d cases", n)
	}
}

func TestReceived(t *testing.T) {
	r := Result{Result: Pass, Domain: "a(b.test", Why: "matched ip"}
	got := r.Received("mx.test", netip.MustParseAddr("192.0.2.1"), `h"elo`, "a@a(b.test")
	want := "Received-SPF: Pass (mx.test: domain of a?b.test: matched ip)\r\n\tclient-ip=192.0.2.1; envelope-from=\"a@a(b.test\"; helo=\"h?elo\";\r\n\treceiver=mx.test; identity=mailfrom"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
	null := Check(context.Background(), func(name string, _ dns.Type) (*dns.Answer, error) {
		return nil, &dns.Error{Name: name, Status: dns.NoName}
	}, netip.MustParseAddr("192.0.2.1"), "", "")
	if null.Result != None {
		t.Errorf("%+v", null)
	}
}
