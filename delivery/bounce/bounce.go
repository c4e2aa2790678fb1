// Package bounce writes delivery status notifications: RFC 3461, RFC 3464,
// and RFC 6533 for messages with SMTPUTF8.
package bounce

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Kind is what a notification tells.
type Kind int

// Kinds of notifications.
const (
	Failure Kind = iota
	Delay
	Success
)

// Notice is one notification.
type Notice struct {
	Kind     Kind
	NoticeID string // queue ID of the notification
	Host     string // ours
	MailName string // of this server, in Received; postconf(5) mail_name
	To       string
	Copy     bool // for the postmaster, not the sender

	ID      string // queue ID of the message that it is about
	Sender  string
	EnvID   string
	Arrived time.Time
	Now     time.Time
	Until   time.Time // Delay: when we give up
	UTF8    bool
	// HeadersOnly returns the header section instead of the whole message.
	HeadersOnly bool
	Recipients  []Recipient
}

// Recipient is one of the message's recipients and what became of it.
type Recipient struct {
	Address  string
	Original string // what RCPT said
	ORCPT    string // type;address
	Status   string // enhanced code
	Text     string
	Reply    string // the remote's own words; '' they are ours
	MTA      string // name of the remote
	Action   string // Success: delivered, relayed, expanded
}

// words are what differs between the kinds.
var words = map[Kind]struct{ subject, action, description, text string }{
	Failure: {"Undelivered Mail Returned to Sender", "failed", "Undelivered Message", `
Your message could not be delivered to the recipients named below, and
no further attempt will be made. The reason is given with each of them.
The message, or its beginning, follows at the end of this report.
`},
	Delay: {"Delayed Mail (still being retried)", "delayed", "Delayed Message", `
This is only a warning: nothing needs to be sent again.

Your message has not reached the recipients named below yet. It is kept
here and will be tried again %s.
`},
	Success: {"Successful Mail Delivery Report", "delivered", "Message", `
Your message was delivered to the recipients named below, as you asked
to be told.
`},
}

// Write writes the notification, with CRLF line ends, its Received and Date
// headers among it. original is the text of the message, from its first header.
func Write(w io.Writer, n *Notice, original io.Reader) error {
	b := bufio.NewWriter(w)
	boundary := n.boundary()
	n.header(b, boundary)
	fmt.Fprintf(b, "This is a MIME-encapsulated message.\r\n\r\n--%s\r\n", boundary)
	n.people(b)
	fmt.Fprintf(b, "\r\n--%s\r\n", boundary)
	n.machine(b)
	fmt.Fprintf(b, "\r\n--%s\r\n", boundary)
	if err := n.returned(b, original); err != nil {
		return err
	}
	fmt.Fprintf(b, "\r\n--%s--\r\n", boundary)
	return b.Flush()
}

// boundary holds the queue ID of this report, which nobody knew when the
// message was written.
func (n *Notice) boundary() string {
	return fmt.Sprintf("%s.%d/%s", n.NoticeID, n.Now.Unix(), n.Host)
}

func (n *Notice) header(w io.Writer, boundary string) {
	subject := words[n.Kind].subject
	if n.Copy {
		subject = "Postmaster Copy: Undelivered Mail"
	}
	date := n.Now.Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)")
	fmt.Fprintf(w, "Received: by %s (%s)\r\n\tid %s; %s\r\n", n.Host, n.MailName, n.NoticeID, date)
	fmt.Fprintf(w, "Date: %s\r\n", date)
	fmt.Fprintf(w, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\n", n.Host)
	fmt.Fprintf(w, "Subject: %s\r\nTo: %s\r\n", subject, n.To)
	fmt.Fprintf(w, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n")
	fmt.Fprintf(w, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n", boundary)
	fmt.Fprintf(w, "Content-Transfer-Encoding: 8bit\r\nMessage-Id: <%s.%s@%s>\r\n\r\n", n.Now.UTC().Format("20060102150405"), n.NoticeID, n.Host)
}

// people is the part for a reader.
func (n *Notice) people(w io.Writer) {
	fmt.Fprintf(w, "Content-Description: Notification\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	text := words[n.Kind].text
	if n.Kind == Delay {
		text = fmt.Sprintf(text, "until "+n.Until.Format("Mon, 2 Jan 2006 15:04 MST"))
	}
	text = "This is the mail system at host " + n.Host + ".\n" + text +
		"\nFor help, write to postmaster and include this report.\n"
	io.WriteString(w, strings.ReplaceAll(text, "\n", "\r\n"))
	for _, r := range n.Recipients {
		who := "<" + r.Address + ">"
		if r.Original != "" && !strings.EqualFold(r.Original, r.Address) {
			who += " (expanded from <" + r.Original + ">)"
		}
		io.WriteString(w, "\r\n"+wrap(n.clean(who+": "+r.Text), 79, "    ")+"\r\n")
	}
}

// machine is the part for programs.
func (n *Notice) machine(w io.Writer) {
	io.WriteString(w, "Content-Description: Delivery report\r\n")
	if n.UTF8 { // RFC 6533 §3
		io.WriteString(w, "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	} else {
		io.WriteString(w, "Content-Type: message/delivery-status\r\n\r\n")
	}
	fmt.Fprintf(w, "Reporting-MTA: dns; %s\r\n", n.Host)
	if n.EnvID != "" {
		fmt.Fprintf(w, "Original-Envelope-Id: %s\r\n", n.clean(n.EnvID))
	}
	fmt.Fprintf(w, "X-Postfix-Queue-ID: %s\r\n", n.ID)
	if n.Sender != "" {
		fmt.Fprintf(w, "X-Postfix-Sender: %s\r\n", n.typed(n.Sender))
	}
	fmt.Fprintf(w, "Arrival-Date: %s\r\n", n.Arrived.Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)"))
	for _, r := range n.Recipients {
		n.recipient(w, r)
	}
}

func (n *Notice) recipient(w io.Writer, r Recipient) {
	fmt.Fprintf(w, "\r\nFinal-Recipient: %s\r\n", n.typed(r.Address))
	switch {
	case r.ORCPT != "":
		fmt.Fprintf(w, "Original-Recipient: %s\r\n", n.clean(r.ORCPT))
	case r.Original != "":
		fmt.Fprintf(w, "Original-Recipient: %s\r\n", strings.Replace(n.typed(r.Original), "; ", ";", 1))
	}
	action := words[n.Kind].action
	if r.Action != "" {
		action = r.Action
	}
	fmt.Fprintf(w, "Action: %s\r\nStatus: %s\r\n", action, r.Status)
	if r.MTA != "" {
		fmt.Fprintf(w, "Remote-MTA: dns; %s\r\n", n.clean(r.MTA))
	}
	diagnostic := "X-Postfix; " + r.Text
	if r.Reply != "" {
		diagnostic = "smtp; " + r.Reply
	}
	io.WriteString(w, wrap("Diagnostic-Code: "+n.clean(diagnostic), 79, "    ")+"\r\n")
	if n.Kind == Delay {
		fmt.Fprintf(w, "Will-Retry-Until: %s\r\n", n.Until.Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)"))
	}
}

// typed is an address with its type, RFC 6533 §3.
func (n *Notice) typed(a string) string {
	if n.UTF8 && !ascii(a) {
		return "utf-8; " + n.clean(a)
	}
	return "rfc822; " + n.clean(a)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// clean keeps the words of a remote from being header lines of ours, and a
// report without SMTPUTF8 from holding anything but ASCII.
func (n *Notice) clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case r >= 0x80 && !n.UTF8:
			return '?'
		}
		return r
	}, s)
}

// wrap breaks text at spaces into lines of up to width bytes. A line that
// begins with a space goes on from the one before. Spaces stay, but where a line
// ends.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	for line := text; ; {
		end := len(line)
		if end > width {
			if end = strings.LastIndexByte(line[:width+1], ' '); strings.TrimLeft(line[:max(end, 0)], " ") == "" {
				if end = strings.IndexByte(line[width:], ' ') + width; end < width {
					end = len(line)
				}
			}
		}
		b.WriteString(strings.TrimRight(line[:end], " "))
		rest := strings.TrimLeft(line[end:], " ")
		if rest == "" {
			return b.String()
		}
		b.WriteString("\r\n")
		line = indent + rest
	}
}

// returned is the message, or its header section.
func (n *Notice) returned(w *bufio.Writer, original io.Reader) error {
	description, kind := words[n.Kind].description, "message/rfc822"
	if n.UTF8 {
		kind = "message/global"
	}
	if n.HeadersOnly {
		description += " Headers"
		kind = "text/rfc822-headers"
		if n.UTF8 {
			kind = "message/global-headers"
		}
	}
	fmt.Fprintf(w, "Content-Description: %s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", description, kind)
	if n.Sender != "" {
		fmt.Fprintf(w, "Return-Path: <%s>\r\n", n.Sender)
	} else {
		io.WriteString(w, "Return-Path: <>\r\n")
	}
	if !n.HeadersOnly {
		_, err := io.Copy(w, original)
		return err
	}
	return copyHeader(w, original)
}

// headerMost bounds the header section that goes back.
const headerMost = 100 << 10

// copyHeader copies up to the first empty line.
func copyHeader(w io.Writer, original io.Reader) error {
	r := bufio.NewReader(io.LimitReader(original, headerMost))
	atStart := true
	for {
		line, readErr := r.ReadSlice('\n')
		if atStart && len(bytes.TrimRight(line, "\r\n")) == 0 {
			return nil
		}
		atStart = bytes.HasSuffix(line, []byte("\n"))
		if _, err := w.Write(line); err != nil {
			return err
		}
		switch readErr {
		case nil, bufio.ErrBufferFull:
		case io.EOF:
			return nil
		default:
			return readErr
		}
	}
}
