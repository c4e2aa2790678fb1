package delivery

import (
	"strconv"
	"strings"
	"testing"

	"mailserver/policy"
)

func TestGenericMailIsSignedAsItLeaves(t *testing.T) {
	txt := make(map[string]string)
	f := newFixture(t, keyRows(t, "isp.test", txt), `INSERT INTO Canonical (cnMap, cnAddress, cnTarget) VALUES ('generic', '@box.test', 'known@isp.test');
		INSERT INTO ContentCheck (ckMap, ckPattern, ckAction) VALUES ('smtp_header', '/^X-Inner:/', 'IGNORE'), ('smtp_header', '/^X-Note: (.*)/', 'REPLACE X-Said: $1');`)
	f.run()
	env := envelope("a@box.test", "x@out.test", "b@box.test")
	env.User = "a@box.test"
	f.send(env, "X-Inner: host\r\nX-Note: n\r\nFrom: A <a@box.test>\r\nTo: x@out.test\r\n\r\nFrom: a@box.test\r\n", policy.Effects{})
	f.until("sent", func() bool { return len(f.sink.Messages()) == 1 })
	got := f.sink.Messages()[0]
	if !strings.HasPrefix(got.From, "<known@isp.test>") {
		t.Errorf("from %s", got.From)
	}
	_, size, _ := strings.Cut(got.From, "SIZE=")
	if n := signatures(t, got.Data, txt); n != 2 || !strings.HasSuffix(got.Data, "X-Said: n\r\nFrom: A <known@isp.test>\r\nTo: x@out.test\r\n\r\nFrom: a@box.test\r\n") {
		t.Errorf("%d signatures in\n%s", n, got.Data)
	}
	if want := len(got.Data); size != strconv.Itoa(want) {
		t.Errorf("SIZE=%s of %d bytes", size, want)
	}
}
