package imap_test

import (
	"bufio"
	"compress/flate"
	"io"
	"runtime"
	"strings"
	"testing"

	"mailserver/imap"
	"mailserver/internal/memtest"
)

// deflated is a client's side of a compressed connection.
type deflated struct {
	c *client
	w *flate.Writer
}

func (d *deflated) send(s string) {
	io.WriteString(d.w, s+"\r\n")
	d.w.Flush()
}

func compressed(t *testing.T, h *house) *deflated {
	t.Helper()
	c := h.login()
	if got := c.do("COMPRESS DEFLATE"); !strings.HasPrefix(got[len(got)-1], "x OK") {
		t.Fatal(got)
	}
	w, err := flate.NewWriter(c.Conn, 6)
	if err != nil {
		t.Fatal(err)
	}
	c.R = bufio.NewReader(flate.NewReader(c.R))
	return &deflated{c, w}
}

// TestCompress: RFC 4978, with a literal, IDLE and a change by another session
// in it.
func TestCompress(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, nil)
	plain := h.login()
	fill(plain, 30)
	if got := plain.do("COMPRESS LZW"); got[0] != "x NO Unknown compression mechanism." {
		t.Error(got)
	}
	d := compressed(t, h)
	d.send("a SELECT INBOX")
	d.c.Until("^a OK")
	d.send("b COMPRESS DEFLATE")
	d.c.Until(`^b NO \[COMPRESSIONACTIVE\]`)
	d.send("c UID FETCH 1:* (FLAGS BODY.PEEK[])")
	d.c.Until("^c OK")
	text := "Subject: x\r\n\r\n" + strings.Repeat("a line of text\r\n", 20000)
	d.send("d APPEND INBOX {320014+}\r\n" + text)
	d.c.Until("^d OK")
	d.send("e IDLE")
	d.c.Until(`^\+ idling`)
	plain.do("SELECT INBOX")
	plain.do(`STORE 1 +FLAGS (\Flagged)`)
	d.c.Until(`^\* 1 FETCH \(FLAGS`)
	d.send("DONE")
	d.c.Until("^e OK")
	d.send("f LOGOUT")
	d.c.Until("^f OK")
}

// TestCompressedIdleHoldsLittle: 40 KB of compress/flate for each would be most
// of what a session costs.
func TestCompressedIdleHoldsLittle(t *testing.T) {
	h := open(t, imap.ListenerOptions{}, map[string]string{"mail_max_userip_connections": "0"})
	const n = 100
	list := make([]*client, n)
	for i := range list {
		c := h.login()
		c.do("COMPRESS DEFLATE")
		list[i] = c
	}
	before := memtest.Heap()
	for _, c := range list { // not flate, whose memory would count
		c.Conn.Write([]byte{0x00, 17, 0, 0xee, 0xff})
		io.WriteString(c.Conn, "a SELECT INBOX\r\n\r")
		c.Conn.Write([]byte{0x00, 9, 0, 0xf6, 0xff})
		io.WriteString(c.Conn, "\na IDLE\r\n")
		var buf [2048]byte
		for got := 0; got < 200; {
			k, err := c.Conn.Read(buf[:])
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
	}
	memtest.Settles(t, "bytes more for a compressed session in IDLE", 6<<10, func() int64 { return (memtest.Heap() - before) / n })
	runtime.KeepAlive(list)
}
