package spf

import (
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
		Name, Helo, Host, From string
		Explanation            string
		Want                   []string
	}
	Zone map[string][]zoneRecord
}

type zoneRecord struct {
	Type, Text string
	Pref       uint16
}

var types = map[dns.Type]string{dns.A: "A", dns.AAAA: "AAAA", dns.MX: "MX", dns.TXT: "TXT", dns.PTR: "PTR"}

// lookup answers from the zone of a suite.
func (s *suite) lookup(name string, t dns.Type) (*dns.Answer, error) {
	zone := make(map[string][]zoneRecord)
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
			case r.Type == "TIMEOUT" && len(a.Records) == 0:
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
				got := Check(s.lookup, Client{Addr: netip.MustParseAddr(tt.Host), Helo: tt.Helo}, tt.From)
				if !slices.Contains(tt.Want, got.Result) {
					t.Errorf("%+v, want %v", got, tt.Want)
				}
				want := strings.TrimPrefix(tt.Explanation, "DEFAULT")
				if tt.Explanation != "" && got.Explanation != want {
					t.Errorf("explanation %q, want %q", got.Explanation, want)
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
	null := Check(func(name string, _ dns.Type) (*dns.Answer, error) {
		return nil, &dns.Error{Name: name, Status: dns.NoName}
	}, Client{Addr: netip.MustParseAddr("192.0.2.1")}, "")
	if null.Result != None {
		t.Errorf("%+v", null)
	}
}
