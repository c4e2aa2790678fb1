package test

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailserver/internal/testenv"
	"mailserver/schema"
)

// TestDMARCReportIsSent: what strangers sent yesterday in the name of a domain
// is told to whom its record names, once.
func TestDMARCReportIsSent(t *testing.T) {
	var clock atomic.Pointer[time.Time]
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock.Store(&now)
	e := testenv.Start(t, testenv.Options{
		SQL: everybodyMayWrite + setting("smtpd_end_of_data_restrictions", "reject_dmarc") + setting("dmarc_report_send", "yes"),
		Zone: "_dmarc.far.example. TXT \"v=DMARC1; p=none; rua=mailto:joe@vmail.example,mailto:ann@vmail.example.\"\n" +
			"far.example._report._dmarc.vmail.example. TXT \"v=DMARC1\"\n" +
			"_dmarc.shy.example. TXT \"v=DMARC1; p=reject; rua=mailto:open@vmail.example\"\n",
		Now: func() time.Time { return *clock.Load() },
	})
	for _, from := range []string{"a@far.example", "b@far.example", "c@shy.example"} {
		k := dialog(t, e, testenv.SMTP, from)
		k.want("250", "RCPT TO:<open@vmail.example>")
		k.want("354", "DATA")
		k.say("From: <%s>\r\nSubject: x\r\n\r\ntext\r\n.", from)
	}
	waitFor(t, "the counts", func() bool {
		list, err := e.State.DmarcDomains(context.Background(), schema.Day(now))
		return err == nil && len(list) == 2 && list[0].Messages == 2
	})
	next := now.Add(24 * time.Hour)
	clock.Store(&next)
	for range 2 {
		if err := e.Server.DMARCReports(context.Background(), schema.Day(next)-1); err != nil {
			t.Fatal(err)
		}
	}
	if n := inbox(t, e, "joe@vmail.example"); n != 1 {
		t.Fatalf("%d reports, want 1\n%s", n, e.Log())
	}
	if n := inbox(t, e, "open@vmail.example"); n != 2 {
		t.Errorf("%d messages: a report was sent to who has not agreed", n)
	}
	files, _ := filepath.Glob(filepath.Join(e.Folder("joe@vmail.example", "INBOX"), "new", "*"))
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(strings.ReplaceAll(string(text), "\r\n", "\n"), "filename=\"mx.example!far.example!1795132800!1795219199!far.example.20777.xml.gz\"\n\n")
	if !strings.Contains(head, "Subject: Report Domain: far.example Submitter: mx.example Report-ID: <far.example.20777>") {
		t.Errorf("header:\n%s", head)
	}
	part, _, _ := strings.Cut(body, "\n--")
	gz, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(part)))
	if err != nil {
		t.Fatal(err)
	}
	report, err := io.ReadAll(gz)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<domain>far.example</domain>", "<count>2</count>", "<source_ip>127.0.0.1</source_ip>", "<header_from>far.example</header_from>", "<p>none</p>", "<dkim>fail</dkim>"} {
		if !strings.Contains(string(report), want) {
			t.Errorf("the report lacks %s:\n%s", want, report)
		}
	}
}
