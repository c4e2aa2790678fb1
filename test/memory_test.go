package test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// bigMessage is a message of n bytes, two thirds of them in an attachment.
func bigMessage(n int) []byte {
	var b bytes.Buffer
	b.WriteString("From: a@elsewhere.example\r\nTo: ann@vmail.example\r\nSubject: big\r\nX-Test-ID: big\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	line := strings.Repeat("QUJD", 19) + "\r\n"
	for b.Len() < n {
		b.WriteString(line)
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

// growth is how much the memory of the server may grow for one big message.
const growth = 10 << 10 // KiB

// TestBigMessageNeedsLittleMemory: 50 MB in by SMTP and by APPEND, out by
// FETCH BODY[] and BODYSTRUCTURE; memory grows by less than 10 MB.
func TestBigMessageNeedsLittleMemory(t *testing.T) {
	h := sampleHost(t, "")
	h.mustRun("config", "set", "message_size_limit=100M")
	h.start()
	msg := bigMessage(50 << 20)
	c := h.login("ann")
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	s := h.sender()
	if err := s.send("ann@vmail.example", message("small", "x", "x")); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		name string
		do   func() error
	}{
		{"SMTP", func() error { return s.send("ann@vmail.example", msg) }},
		{"APPEND", func() error {
			cmd := c.Append("INBOX", int64(len(msg)), nil)
			if _, err := cmd.Write(msg); err != nil {
				return err
			}
			if err := cmd.Close(); err != nil {
				return err
			}
			_, err := cmd.Wait()
			return err
		}},
		{"FETCH BODYSTRUCTURE", func() error {
			list, err := c.Fetch(imap.SeqSetNum(2, 3), &imap.FetchOptions{BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, RFC822Size: true}).Collect()
			if err == nil && (len(list) != 2 || list[1].RFC822Size != int64(len(msg))) {
				err = fmt.Errorf("%d messages", len(list))
			}
			return err
		}},
		{"FETCH BODY[]", func() error { return fetchWhole(c.Fetch(imap.SeqSetNum(3), wholeBody), len(msg)) }},
	}
	for _, step := range steps {
		before := h.resident()
		h.forgetPeak()
		begun := time.Now()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v\n%s", step.name, err, h.log.tail(5))
		}
		grown := h.peak() - before
		t.Logf("%-20s %8v, resident %d KiB before, %+d KiB at most", step.name, time.Since(begun).Round(time.Millisecond), before, grown)
		if grown >= growth {
			t.Errorf("%s: memory grew by %d KiB", step.name, grown)
		}
	}
	h.check()
}

var wholeBody = &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}

// fetchWhole reads a message as it comes and counts its bytes.
func fetchWhole(cmd *imapclient.FetchCommand, want int) error {
	defer cmd.Close()
	msg := cmd.Next()
	if msg == nil {
		return fmt.Errorf("no message: %w", cmd.Close())
	}
	for item := msg.Next(); item != nil; item = msg.Next() {
		body, ok := item.(imapclient.FetchItemDataBodySection)
		if !ok {
			continue
		}
		n, err := io.Copy(io.Discard, body.Literal)
		if err != nil {
			return err
		}
		if int(n) < want {
			return fmt.Errorf("%d bytes, want %d", n, want)
		}
	}
	return cmd.Close()
}
