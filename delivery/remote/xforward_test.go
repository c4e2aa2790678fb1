package remote

import (
	"slices"
	"strings"
	"testing"

	"mailserver/delivery/remote/remotetest"
)

func TestXForward(t *testing.T) {
	all := []string{"XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT"}
	six := Origin{"spike.test", "2001:db8::7", "ESMTP", "a b"}
	for _, tt := range []struct {
		name   string
		exts   []string
		on     bool
		origin Origin
		want   []string
	}{
		{"all", all, true, six, []string{"XFORWARD NAME=spike.test ADDR=IPV6:2001:db8::7", "XFORWARD PROTO=ESMTP HELO=a+20b IDENT=" + mail("x\r\n").ID}},
		{"some are taken", []string{"XFORWARD ADDR"}, true, Origin{"n", "192.0.2.9", "SMTP", ""}, []string{"XFORWARD ADDR=192.0.2.9"}},
		{"not announced", nil, true, six, nil},
		{"not wanted", all, false, six, nil},
		{"of this host", all, true, Origin{}, nil},
	} {
		s := start(t, &remotetest.Sink{Exts: tt.exts})
		cfg := settings()
		cfg.XForward = tt.on
		m := mail("x\r\n", "u@x.test")
		m.Origin = tt.origin
		c := client(cfg, single, map[string]*remotetest.Sink{"192.0.2.1": s})
		r := c.Deliver(t.Context(), &Hop{Host: "mx.test"}, m)[0]
		got := slices.DeleteFunc(s.Lines(), func(l string) bool { return !strings.HasPrefix(l, "XFORWARD") })
		if r.Status != Sent || !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, %q", tt.name, r, got)
		}
	}
}
