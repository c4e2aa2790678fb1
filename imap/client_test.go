package imap_test

import (
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailserver/imap"
	"mailserver/internal/login"
)

const letter = "From: Ann <ann@vmail.example>\r\nTo: joe@vmail.example\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: application/octet-stream\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n"

// TestWithClientLibrary lets another implementation read what we say.
func TestWithClientLibrary(t *testing.T) {
	h := open(t, imap.ListenerOptions{TLS: login.TLSMay}, nil)
	exists := make(chan uint32, 100)
	c, err := imapclient.DialInsecure(h.addr, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				exists <- *d.NumMessages
			}
		},
	}})
	must(t, err)
	defer c.Close()
	must(t, c.Login("joe@vmail.example", "joes-secret").Wait())
	must(t, c.Create("Entwürfe", nil).Wait())
	appendLetter(t, c, "INBOX")

	sel, err := c.Select("INBOX", &goimap.SelectOptions{CondStore: true}).Wait()
	must(t, err)
	if sel.NumMessages != 1 || sel.UIDNext != 2 || sel.HighestModSeq == 0 {
		t.Errorf("select: %+v", sel)
	}
	section := &goimap.FetchItemBodySection{Part: []int{1}}
	binary := &goimap.FetchItemBinarySection{Part: []int{2}, Peek: true}
	msgs, err := c.Fetch(goimap.SeqSetNum(1), &goimap.FetchOptions{Envelope: true, BodyStructure: &goimap.FetchItemBodyStructure{Extended: true},
		Flags: true, UID: true, RFC822Size: true, InternalDate: true, ModSeq: true,
		BodySection: []*goimap.FetchItemBodySection{section}, BinarySection: []*goimap.FetchItemBinarySection{binary}}).Collect()
	must(t, err)
	m := msgs[0]
	if m.Envelope.Subject != "grüße" || m.Envelope.From[0].Addr() != "ann@vmail.example" || m.RFC822Size != int64(len(letter)) || m.UID != 1 || m.ModSeq == 0 {
		t.Errorf("fetch: %+v %+v", m, m.Envelope)
	}
	if got := string(m.FindBodySection(section)); got != "hello" {
		t.Errorf("BODY[1]: %q", got)
	}
	if got := string(m.FindBinarySection(binary)); got != "\x00\x01\x02" {
		t.Errorf("BINARY[2]: %q", got)
	}
	if mp, ok := m.BodyStructure.(*goimap.BodyStructureMultiPart); !ok || len(mp.Children) != 2 {
		t.Errorf("body structure: %#v", m.BodyStructure)
	}

	found, err := c.UIDSearch(&goimap.SearchCriteria{Body: []string{"HELLO"}, Flag: []goimap.Flag{goimap.FlagSeen}}, &goimap.SearchOptions{ReturnAll: true, ReturnCount: true}).Wait()
	must(t, err)
	if found.Count != 1 || found.All.String() != "1" {
		t.Errorf("search: %+v", found)
	}
	idle(t, h, c, exists)
	moved, err := c.Move(goimap.UIDSetNum(1), "Entwürfe").Wait()
	must(t, err)
	if moved.DestUIDs.String() != "1" {
		t.Errorf("move: %+v", moved)
	}
	list, err := c.List("", "*", &goimap.ListOptions{ReturnStatus: &goimap.StatusOptions{NumMessages: true}}).Collect()
	must(t, err)
	if len(list) != 2 || list[1].Mailbox != "Entwürfe" || *list[1].Status.NumMessages != 1 {
		t.Errorf("list: %+v", list)
	}
	must(t, c.Logout().Wait())
}

// idle: another session's APPEND is told at once.
func idle(t *testing.T, h *house, c *imapclient.Client, exists chan uint32) {
	for len(exists) > 0 {
		<-exists
	}
	cmd, err := c.Idle()
	must(t, err)
	other, err := imapclient.DialInsecure(h.addr, nil)
	must(t, err)
	defer other.Close()
	must(t, other.Login("joe@vmail.example", "joes-secret").Wait())
	appendLetter(t, other, "INBOX")
	select {
	case n := <-exists:
		if n != 2 {
			t.Errorf("EXISTS %d", n)
		}
	case <-time.After(2 * time.Minute):
		t.Error("IDLE told nothing")
	}
	must(t, cmd.Close())
	must(t, cmd.Wait())
}

func appendLetter(t testing.TB, c *imapclient.Client, mailbox string) {
	t.Helper()
	a := c.Append(mailbox, int64(len(letter)), nil)
	if _, err := strings.NewReader(letter).WriteTo(a); err != nil {
		t.Fatal(err)
	}
	must(t, a.Close())
	_, err := a.Wait()
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
