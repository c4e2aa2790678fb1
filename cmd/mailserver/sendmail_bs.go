package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"mailserver/internal/address"
	"mailserver/internal/pickup"
)

// dialog is "sendmail -bs": SMTP on standard input and output, for a user of
// this host. Each message is handed over as any other of sendmail, so recipients
// that do not exist are refused at its end.
type dialog struct {
	a    *app
	r    *bufio.Reader
	w    *bufio.Writer
	host string
	call sendmailCall
	open bool // MAIL was said
}

// longestCommand bounds a command line, RFC 5321 §4.5.3.1.4, with parameters.
const longestCommand = 2048

// standAlone runs the dialog until QUIT or the end of the input.
func standAlone(ctx context.Context, a *app) error {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	d := &dialog{a: a, r: bufio.NewReaderSize(a.in, 64<<10), w: bufio.NewWriter(a.out), host: host}
	d.say("220 %s ESMTP", host)
	for {
		line, err := d.line()
		if err != nil {
			return nil // the other program has gone
		}
		verb, rest, _ := strings.Cut(line, " ")
		if strings.EqualFold(verb, "QUIT") {
			d.say("221 2.0.0 Bye")
			return nil
		}
		d.command(ctx, strings.ToUpper(verb), strings.TrimSpace(rest))
	}
}

func (d *dialog) say(format string, args ...any) {
	fmt.Fprintf(d.w, format+"\r\n", args...)
	d.w.Flush()
}

// line reads a command; one that is too long is answered and passed over.
func (d *dialog) line() (string, error) {
	for {
		line, err := d.r.ReadSlice('\n')
		long := len(line) > longestCommand
		for err == bufio.ErrBufferFull {
			_, err = d.r.ReadSlice('\n')
		}
		if err != nil && (err != io.EOF || len(line) == 0) {
			return "", err
		}
		if !long {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		d.say("500 5.5.2 %s Error: command too long", d.host)
	}
}

func (d *dialog) command(ctx context.Context, verb, rest string) {
	switch verb {
	case "EHLO":
		d.reset()
		d.say("250-%s\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250 DSN", d.host)
	case "HELO":
		d.reset()
		d.say("250 %s", d.host)
	case "MAIL":
		d.mail(rest)
	case "RCPT":
		d.rcpt(rest)
	case "DATA":
		d.data(ctx)
	case "RSET":
		d.reset()
		d.say("250 2.0.0 Ok")
	case "NOOP":
		d.say("250 2.0.0 Ok")
	case "VRFY":
		d.say("252 2.0.0 %.500s", rest)
	default:
		d.say("500 5.5.2 Error: command not recognized")
	}
}

func (d *dialog) reset() { d.call, d.open = sendmailCall{}, false }

// path reads FROM:<address> PARAMETERS.
func path(rest, word string) (addr string, params []string, ok bool) {
	if len(rest) < len(word) || !strings.EqualFold(rest[:len(word)], word) {
		return "", nil, false
	}
	rest = strings.TrimSpace(rest[len(word):])
	if strings.HasPrefix(rest, "<") {
		end := strings.LastIndexByte(rest, '>')
		if end < 0 {
			return "", nil, false
		}
		return rest[1:end], strings.Fields(rest[end+1:]), true
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return "", nil, false
	}
	return fields[0], fields[1:], true
}

func (d *dialog) mail(rest string) {
	if d.open {
		d.say("503 5.5.1 Error: nested MAIL command")
		return
	}
	from, params, ok := path(rest, "FROM:")
	if !ok {
		d.say("501 5.5.4 Syntax: MAIL FROM:<address>")
		return
	}
	if _, err := address.Parse(from); err != nil && from != "" {
		d.say("501 5.1.7 Bad sender address syntax")
		return
	}
	d.reset()
	d.call.req.From = &from
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		var err error
		switch strings.ToUpper(name) {
		case "BODY":
			err = d.call.option('B', value)
		case "RET":
			err = d.call.option('R', value)
		case "ENVID":
			err = d.call.option('V', value)
		case "SIZE":
		default:
			err = errors.New("unknown")
		}
		if err != nil {
			d.reset()
			d.say("555 5.5.4 Unsupported option: %.100s", p)
			return
		}
	}
	d.open = true
	d.say("250 2.1.0 Ok")
}

func (d *dialog) rcpt(rest string) {
	to, params, ok := path(rest, "TO:")
	switch {
	case !d.open:
		d.say("503 5.5.1 Error: need MAIL command")
		return
	case !ok:
		d.say("501 5.5.4 Syntax: RCPT TO:<address>")
		return
	case len(d.call.req.To) >= maxScanned:
		d.say("452 4.5.3 Error: too many recipients")
		return
	}
	if _, err := address.Parse(to); err != nil || to == "" {
		d.say("501 5.1.3 Bad recipient address syntax")
		return
	}
	for _, p := range params {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(name, "NOTIFY") || d.call.option('N', value) != nil {
			d.say("555 5.5.4 Unsupported option: %.100s", p)
			return
		}
	}
	d.call.req.To = append(d.call.req.To, to)
	d.say("250 2.1.5 Ok")
}

func (d *dialog) data(ctx context.Context) {
	switch {
	case !d.open:
		d.say("503 5.5.1 Error: need MAIL command")
		return
	case len(d.call.req.To) == 0:
		d.say("554 5.5.1 Error: no valid recipients")
		return
	}
	d.say("354 End data with <CR><LF>.<CR><LF>")
	text, err := spoolStdin(&undotted{r: d.r, start: true}, true)
	if err != nil {
		d.say("451 4.3.0 Error: queue file write error")
		return
	}
	defer text.Close()
	reply, err := d.a.give(ctx, &d.call.req, text)
	if err != nil {
		reply = &pickup.Reply{Code: 451, Enhanced: "4.3.0", Text: "Error: queue file write error"}
	}
	d.reset()
	d.say("%d %s %s", reply.Code, reply.Enhanced, reply.Text)
}

// undotted reads a message up to the dot that ends it, RFC 5321 §4.5.2.
type undotted struct {
	r     *bufio.Reader
	out   []byte
	start bool
	done  bool
}

// Read is io.Reader.
func (u *undotted) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		if u.done {
			return 0, io.EOF
		}
		line, err := u.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return 0, io.ErrUnexpectedEOF
		}
		text := strings.TrimRight(string(line), "\r\n")
		if u.start && text == "." && err == nil {
			u.done = true
			continue
		}
		if u.start && len(line) > 1 && line[0] == '.' {
			line = line[1:]
		}
		u.start, u.out = err == nil, line
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	return n, nil
}
