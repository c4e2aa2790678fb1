package dns

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzRead: whatever a server sends, an answer has records and an error has
// none.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"a.example. 5 IN A 192.0.2.1", "a.example. IN CNAME b.example.", `a.example. IN TXT "x\007\"" "y"`, "a.example. IN MX 0 ."} {
		m := new(dns.Msg)
		m.SetQuestion("a.example.", dns.TypeA)
		m.Response = true
		rr, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = []dns.RR{rr}
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw, uint16(dns.TypeA))
		f.Add(raw, rr.Header().Rrtype)
	}
	r := New(Config{})
	f.Fuzz(func(t *testing.T, raw []byte, typ uint16) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil {
			return
		}
		a, _, err := r.read(m, "a.example", typ, true)
		if (a == nil) == (err == nil) || a != nil && (len(a.Records) == 0 || len(a.Records) > maxRecords) {
			t.Errorf("%+v, %v", a, err)
		}
	})
}
