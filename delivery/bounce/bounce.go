// Package bounce writes delivery status notifications: RFC 3461, RFC 3464,
// and RFC 6533 for messages with SMTPUTF8.
package bounce

import (
	"bufio"
	"bytes"
	"cmp"
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
	Verify // what would become of mail: sendmail -bv
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
	// TLSNotRequired is what the message says of its own way, RFC 8689.
	TLSNotRequired bool
	// HeadersOnly returns the header section instead of the whole message.
	HeadersOnly bool
	// Template replaces our words; its Text is filled. nil: ours.
	Template   *Template
	Recipients []Recipient
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
var words = map[Kind]struct{ subject, copy, action, description, text string }{
	Failure: {"Undelivered Mail Returned to Sender", "Postmaster Copy: Undelivered Mail", "failed", "Undelivered Message", `
Your message could not be delivered to the recipients named below, and
no further attempt will be made. The reason is given with each of them.
The message, or its beginning, follows at the end of this report.
`},
	Delay: {"Delayed Mail (still being retried)", "Postmaster Warning: Delayed Mail", "delayed", "Undelivered Message", `
This is only a warning: nothing needs to be sent again.

Your message has not reached the recipients named below yet. It is kept
here and will be tried again %s.
`},
	Success: {"Successful Mail Delivery Report", "", "delivered", "Message", `
Your message was delivered to the recipients named below, as you asked
to be told.
`},
	Verify: {"Mail Delivery Status Report", "", "deliverable", "Message", `
Here is what would become of mail for the recipients named below. No
mail was sent to them.
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
	subject, from := n.subject(), "Mail Delivery System <MAILER-DAEMON@"+n.Host+">"
	if t := n.Template; t != nil && t.From != "" {
		from = t.sender(n.Host)
	}
	date := n.Now.Format("Mon, 2 Jan 2006 15:04:05 -0700 (MST)")
	fmt.Fprintf(w, "Received: by %s (%s)\r\n\tid %s; %s\r\n", n.Host, n.MailName, n.NoticeID, date)
	fmt.Fprintf(w, "Date: %s\r\n", date)
	fmt.Fprintf(w, "From: %s\r\n", from)
	fmt.Fprintf(w, "Subject: %s\r\nTo: %s\r\n", subject, n.To)
	auto := "auto-replied"
	if n.Copy {
		auto = "auto-generated"
	}
	if n.TLSNotRequired {
		fmt.Fprint(w, "TLS-Required: No\r\n")
	}
	fmt.Fprintf(w, "Auto-Submitted: %s\r\nMIME-Version: 1.0\r\n", auto)
	fmt.Fprintf(w, "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n", boundary)
	fmt.Fprintf(w, "Content-Transfer-Encoding: 8bit\r\nMessage-Id: <%s.%s@%s>\r\n\r\n", n.Now.UTC().Format("20060102150405"), n.NoticeID, n.Host)
}

// people is the part for a reader.
func (n *Notice) people(w io.Writer) {
	charset := "utf-8"
	if n.Template != nil && !n.Copy && !strings.EqualFold(n.Template.Charset, "us-ascii") {
		charset = n.Template.Charset
	}
	fmt.Fprintf(w, "Content-Description: Notification\r\nContent-Type: text/plain; charset=%s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", charset)
	io.WriteString(w, strings.ReplaceAll(n.words(), "\n", "\r\n"))
	for _, r := range n.Recipients {
		who := "<" + r.Address + ">"
		if r.Original != "" && !strings.EqualFold(r.Original, r.Address) {
			who += " (expanded from <" + r.Original + ">)"
		}
		io.WriteString(w, "\r\n"+wrap(n.clean(who+": "+r.Text), 79, "    ")+"\r\n")
	}
}

// subject is that of the template, or ours.
func (n *Notice) subject() string {
	own, theirs := words[n.Kind].subject, ""
	if n.Template != nil {
		theirs = n.Template.Subject
	}
	if n.Copy {
		if own = words[n.Kind].copy; n.Template != nil {
			theirs = n.Template.PostmasterSubject
		}
	}
	return cmp.Or(theirs, own)
}

// sender is the From header of a template: an address without a domain gets
// ours.
func (t *Template) sender(host string) string {
	addr, name, ok := strings.Cut(t.From, " (")
	if name, closed := strings.CutSuffix(name, ")"); ok && closed && !strings.Contains(addr, "@") {
		return name + " <" + addr + "@" + host + ">"
	}
	return t.From
}

// sender is that of the message; a postmaster reads a name for the null one.
func (n *Notice) sender() string {
	if n.Sender == "" && n.Copy {
		return "MAILER-DAEMON@" + n.Host
	}
	return n.Sender
}

// words are those for a reader, before the recipients. bounce(5): a postmaster
// gets none.
func (n *Notice) words() string {
	switch {
	case n.Copy:
		return ""
	case n.Template != nil:
		return n.Template.Text
	}
	text := words[n.Kind].text
	if n.Kind == Delay {
		text = fmt.Sprintf(text, "until "+n.Until.Format("Mon, 2 Jan 2006 15:04 MST"))
	}
	return "This is the mail system at host " + n.Host + ".\n" + text +
		"\nFor help, write to postmaster and include this report.\n"
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
	if sender := n.sender(); sender != "" {
		fmt.Fprintf(w, "X-Postfix-Sender: %s\r\n", n.typed(sender))
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
	fmt.Fprintf(w, "Return-Path: <%s>\r\n", n.sender())
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
