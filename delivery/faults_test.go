package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"mailserver/policy"
	"mailserver/schema"
)

// TestEveryStepFails: an exchange refuses for now, refuses for good, says 421
// and drops the connection at every step in turn, once. Mail arrives once, or
// goes back once; never both, never neither.
func TestEveryStepFails(t *testing.T) {
	for _, step := range []string{"EHLO", "MAIL FROM", "RCPT TO", "DATA", "."} {
		for _, answer := range []string{"421 4.3.2 closing", "450 4.2.0 later", "552 5.2.2 never", "drop"} {
			t.Run(step+" "+answer, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				var failed atomic.Bool
				f.sink.Answer = func(line string) string {
					if !strings.HasPrefix(line, step) || len(step) == 1 && line != step {
						return ""
					}
					if failed.Swap(true) {
						return ""
					}
					return answer
				}
				f.run()
				f.ok("a@box.test", "x@out.test")
				final := strings.HasPrefix(answer, "552") && step != "EHLO" // then HELO is tried
				f.until("an outcome", func() bool {
					if !final {
						f.retry()
					}
					return len(f.sink.Messages())+len(f.box("a@box.test")) > 0 && len(f.queued()) == 0
				})
				if sent, back := len(f.sink.Messages()), len(f.box("a@box.test")); sent+back != 1 || final != (back == 1) {
					t.Errorf("%d sent, %d came back; log:\n%s", sent, back, f.log)
				}
			})
		}
	}
}

// retry makes all that waits due.
func (f *fixture) retry() {
	f.must(f.d.State.Write(context.Background(), func(t *schema.Tx) error {
		_, err := t.QueueRetry("")
		return err
	}))
}

// TestBytesOnTheWire: what is signed, or strange, leaves as it came; only lines
// above smtp_line_length_limit are broken.
func TestBytesOnTheWire(t *testing.T) {
	f := newFixture(t)
	f.run()
	for i, body := range []string{
		"..\r\n.\r\nx", "\r\n\r\n", "trailing \t \r\n\r\n\r\n", strings.Repeat("long ", 99) + "\r\n", "8 bit \xff\xfe\x80\r\n", "NUL \x00 and \x0b\r\n",
	} {
		text := fmt.Sprintf("Subject:  %d \r\n\tfolded\r\nX:y\r\n\r\n%s", i, body)
		env := envelope("a@box.test", "x@out.test")
		env.Options.Body = "8BITMIME"
		if _, out := f.send(env, text, policy.Effects{}); !out[0].OK() {
			t.Fatalf("%+v", out)
		}
		f.until("it has left", func() bool { return len(f.sink.Messages()) == i+1 })
		if !strings.HasSuffix(text, "\r\n") {
			text += "\r\n"
		}
		if got := f.sink.Messages()[i].Data; got != text {
			t.Errorf("sent %q\nas %q", text, got)
		}
	}
}
