package mtasts

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const good = "version: STSv1\r\nmode: enforce\r\nmx: mx.example.com\r\nmx: *.example.net\r\nmax_age: 86400\r\n"

func TestParse(t *testing.T) {
	now := time.Unix(1e9, 0)
	p, err := parse(good, now)
	if err != nil || p.Mode != Enforce || !slices.Equal(p.MX, []string{"mx.example.com", "*.example.net"}) || p.Expires != now.Add(24*time.Hour) {
		t.Errorf("%+v %v", p, err)
	}
	for host, want := range map[string]bool{"MX.example.com.": true, "a.example.net": true, "a.b.example.net": false, "example.net": false, "x.example.com": false} {
		if p.Allows(host) != want {
			t.Errorf("Allows(%s) = %v", host, !want)
		}
	}
	for _, bad := range []string{"", "version: STSv2\nmode: none\nmax_age: 1", "version: STSv1\nmode: may\nmax_age: 1", "version: STSv1\nmode: none",
		"version: STSv1\nmode: enforce\nmax_age: 10", "version: STSv1\nmode: none\nmax_age: -1"} {
		if _, err := parse(bad, now); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if p, _ := parse("version: STSv1\nmode: none\nmax_age: 99999999999", now); p.Expires.After(now.Add(maxAge * time.Second)) {
		t.Error("max_age without bound")
	}
}

func TestRecordID(t *testing.T) {
	for _, c := range []struct {
		txt  []string
		want string
	}{
		{[]string{"v=STSv1; id=2026a;"}, "2026a"}, {[]string{"other", "v=STSv1;id=1"}, "1"}, {nil, ""},
		{[]string{"v=STSv1; id=1", "v=STSv1; id=2"}, ""}, {[]string{"v=STSv1; id=a/b"}, ""}, {[]string{"v=STSv10; id=1"}, ""},
	} {
		if got := recordID(c.txt); got != c.want {
			t.Errorf("%q: %q", c.txt, got)
		}
	}
}

// world is a domain with its record and its web server.
type world struct {
	txt    []string
	txtErr error
	text   string
	asked  atomic.Int32
	now    time.Time
	srv    *httptest.Server
	dir    string
}

func (w *world) cache() *Cache {
	roots := x509.NewCertPool()
	roots.AddCert(w.srv.Certificate()) // for example.com and *.example.com
	return New(Deps{Dir: w.dir, Roots: roots, Now: func() time.Time { return w.now },
		TXT: func(context.Context, string) ([]string, error) { return w.txt, w.txtErr },
		Dial: func(ctx context.Context, n, _ string) (net.Conn, error) {
			return net.Dial(n, w.srv.Listener.Addr().String())
		}})
}

func newWorld(t *testing.T) *world {
	w := &world{txt: []string{"v=STSv1; id=1"}, text: good, now: time.Now(), dir: t.TempDir()}
	w.srv = httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if r.URL.Path != "/.well-known/mta-sts.txt" || r.Host != "mta-sts.example.com" {
			t.Errorf("asked for %s at %s", r.URL, r.Host)
		}
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write([]byte(w.text))
	}))
	t.Cleanup(w.srv.Close)
	return w
}

func TestCache(t *testing.T) {
	w := newWorld(t)
	c := w.cache()
	get := func(what string, mode string, asked int32) {
		t.Helper()
		p := c.Policy(t.Context(), "Example.com")
		got := ""
		if p != nil {
			got = p.Mode
		}
		if got != mode || w.asked.Load() != asked {
			t.Errorf("%s: mode %q, fetched %d times, want %q, %d", what, got, w.asked.Load(), mode, asked)
		}
	}
	get("first", Enforce, 1)
	get("again", Enforce, 1)
	w.txt = nil
	get("record gone: the policy holds", Enforce, 1)
	w.txtErr = errors.New("timeout")
	get("DNS gone", Enforce, 1)
	c = w.cache()
	get("after a restart", Enforce, 1)
	w.txt, w.txtErr, w.text = []string{"v=STSv1; id=2"}, nil, strings.Replace(good, "enforce", "testing", 1)
	get("changed", Testing, 2)
	w.txt, w.text = []string{"v=STSv1; id=3"}, "nonsense"
	get("cannot be read: the old one holds", Testing, 3)
	get("not asked again at once", Testing, 3)
	w.now = w.now.Add(25 * time.Hour)
	get("expired", "", 4)
}

func TestWrongCertificateIsNoPolicy(t *testing.T) {
	w := newWorld(t)
	c := w.cache()
	c.d.Roots = nil
	c = New(c.d)
	if p := c.Policy(t.Context(), "example.com"); p != nil {
		t.Errorf("policy %+v over a connection that is not trusted", p)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("version: STSv1\nmode: none\nmax_age: 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := parse(text, time.Unix(0, 0)); err == nil {
			p.Allows(text)
		}
		recordID([]string{text})
	})
}
