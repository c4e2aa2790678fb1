package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"mailserver/internal/message"
	"mailserver/internal/pickup"
)

// persona is a program that this one can be.
type persona func(ctx context.Context, a *app, args []string) error

// personas are the programs whose names this one answers to, as cron, PHP and
// scripts call them.
func personas() map[string]persona {
	return map[string]persona{
		"sendmail":   sendmail,
		"mailq":      func(ctx context.Context, a *app, _ []string) error { return a.again(ctx, "queue", "list") },
		"newaliases": func(ctx context.Context, a *app, _ []string) error { return nil }, // rows act at once
		"postqueue":  postqueue,
		"postsuper":  postsuper,
		"postcat":    postcat,
		"postmap":    postmap,
	}
}

// again runs a command of our own on the same data directory.
func (a *app) again(ctx context.Context, args ...string) error {
	return a.run(ctx, append(args[:len(args):len(args)], "--data", a.dir))
}

// asPersona runs the program that a name stands for; ok is false if none.
func (a *app) asPersona(ctx context.Context, args []string) (ok bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	do, ok := personas()[args[0]]
	if !ok {
		return false, nil
	}
	if a.dir = os.Getenv("MAILSERVER_DATA"); a.dir == "" {
		a.dir = defaultData()
	}
	return true, do(ctx, a, args[1:])
}

// sendmailCall is what the options of sendmail(1) have asked for.
type sendmailCall struct {
	req     pickup.Request
	scan    bool // -t
	dots    bool // -i: a line with a dot alone is text
	mode    byte // -b
	queue   string
	flush   bool
	operand []string
}

// withValue are the options whose value may be the next argument.
const withValue = "AbBCFfhLNOopRrVX"

// parseSendmail reads options as sendmail(1) does: letters in one word, a value
// in the same word or the next. Unknown -o options are passed over.
func parseSendmail(args []string) (*sendmailCall, error) {
	c := &sendmailCall{mode: 'm'}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" {
			c.operand = append(c.operand, args[1:]...)
			break
		}
		if args = args[1:]; len(arg) < 2 || arg[0] != '-' {
			c.operand = append(c.operand, arg)
			continue
		}
		for i := 1; i < len(arg); i++ {
			letter, value := arg[i], arg[i+1:]
			if letter == 'q' {
				if err := c.queueOption(value); err != nil {
					return nil, err
				}
				break
			}
			if strings.IndexByte(withValue, letter) < 0 {
				if err := c.flag(letter); err != nil {
					return nil, err
				}
				continue
			}
			if value == "" {
				if len(args) == 0 {
					return nil, usage("sendmail: option -%c needs a value", letter)
				}
				value, args = args[0], args[1:]
			}
			if err := c.option(letter, value); err != nil {
				return nil, err
			}
			break
		}
	}
	return c, nil
}

func (c *sendmailCall) flag(letter byte) error {
	switch letter {
	case 't':
		c.scan = true
	case 'i':
		c.dots = true
	case 'I':
		c.mode = 'i'
	case 'v', 'n', 'm', 's', 'G', 'U', 'x', 'e': // no meaning here
	default:
		return usage("sendmail: option -%c is not known", letter)
	}
	return nil
}

func (c *sendmailCall) option(letter byte, value string) error {
	switch letter {
	case 'f', 'r':
		from := strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
		c.req.From = &from
	case 'F':
		c.req.FullName = value
	case 'B':
		c.req.Body = strings.ToUpper(value)
		if c.req.Body != "7BIT" && c.req.Body != "8BITMIME" {
			return usage("sendmail: -B %q is neither 7BIT nor 8BITMIME", value)
		}
	case 'N':
		if !strings.EqualFold(value, "never") {
			for w := range strings.SplitSeq(strings.ToUpper(value), ",") {
				if w != "SUCCESS" && w != "FAILURE" && w != "DELAY" {
					return usage("sendmail: -N %q: want never, or of success, failure, delay", value)
				}
			}
		}
		c.req.Notify = strings.ToUpper(value)
	case 'R':
		if c.req.Ret = strings.ToUpper(value); c.req.Ret != "FULL" && c.req.Ret != "HDRS" {
			return usage("sendmail: -R %q is neither full nor hdrs", value)
		}
	case 'V':
		c.req.EnvID = value
	case 'o':
		if strings.HasPrefix(value, "i") {
			c.dots = true
		}
	case 'b':
		switch {
		case value == "" || !strings.Contains("mpisvhH", value[:1]):
			return usage("sendmail: -b%s is not supported", value)
		case value[0] != 'h' && value[0] != 'H': // no meaning here
			c.mode = value[0]
		}
	}
	return nil
}

func (c *sendmailCall) queueOption(value string) error {
	switch {
	case value == "":
		c.flush = true
	case value[0] == 'I':
		c.queue = value[1:]
	case value[0] >= '0' && value[0] <= '9': // the interval of a daemon
		c.flush = true
	default:
		return usage("sendmail: -q%s is not supported", value)
	}
	return nil
}

// sendmail is sendmail(1).
func sendmail(ctx context.Context, a *app, args []string) error {
	c, err := parseSendmail(args)
	switch {
	case err != nil:
		return err
	case c.flush:
		return a.again(ctx, "queue", "retry", "ALL")
	case c.queue != "":
		return a.again(ctx, "queue", "retry", c.queue)
	case c.mode == 'p':
		return a.again(ctx, "queue", "list")
	case c.mode == 'i':
		return nil
	case c.mode == 's':
		return standAlone(ctx, a)
	case c.mode == 'v':
		return a.verify(ctx, c)
	}
	text, err := spoolStdin(a.in, c.dots)
	if err != nil {
		return &exitError{exitTempFail, fmt.Errorf("sendmail: read message: %w", err)}
	}
	defer text.Close()
	if c.req.To = c.operand; c.scan { // they are added to those of the command line
		list, err := recipients(text)
		if err != nil {
			return &exitError{exitTempFail, fmt.Errorf("sendmail: read message: %w", err)}
		}
		c.req.To = append(c.req.To, list...)
	}
	if len(c.req.To) == 0 {
		return usage("sendmail: no recipient is given")
	}
	return a.handOver(ctx, c, text)
}

// verify is "sendmail -bv": no message is made; a report of what would become
// of one is mailed to the sender.
func (a *app) verify(ctx context.Context, c *sendmailCall) error {
	if c.req.To = c.operand; len(c.req.To) == 0 {
		return usage("sendmail: no recipient is given")
	}
	c.req.Verify = true
	reply, err := pickup.Send(ctx, pickup.Socket(a.dir), &c.req, strings.NewReader(""))
	switch {
	case err != nil:
		return &exitError{exitTempFail, fmt.Errorf("sendmail: %w", err)}
	case reply.Code >= 300:
		return &exitError{replyExit(reply), fmt.Errorf("sendmail: %d %s %s", reply.Code, reply.Enhanced, reply.Text)}
	}
	fmt.Fprintf(a.out, "%s\n", reply.Text)
	return nil
}

// give hands a message over.
func (a *app) give(ctx context.Context, req *pickup.Request, text *os.File) (*pickup.Reply, error) {
	size, err := text.Seek(0, io.SeekEnd)
	if err == nil {
		req.Size = size
		_, err = text.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, err
	}
	return pickup.Send(ctx, pickup.Socket(a.dir), req, text)
}

func (a *app) handOver(ctx context.Context, c *sendmailCall, text *os.File) error {
	reply, err := a.give(ctx, &c.req, text)
	if err != nil {
		return &exitError{exitTempFail, fmt.Errorf("sendmail: message not taken: %w", err)}
	}
	if reply.Code < 300 {
		return nil
	}
	return &exitError{replyExit(reply), fmt.Errorf("sendmail: %d %s %s", reply.Code, reply.Enhanced, reply.Text)}
}

// replyExit is the exit code for a refusal.
func replyExit(r *pickup.Reply) int {
	switch {
	case r.Code < 500:
		return exitTempFail
	case strings.HasPrefix(r.Enhanced, "5.1.1"), strings.HasPrefix(r.Enhanced, "5.1.6"):
		return exitNoUser
	case strings.HasPrefix(r.Enhanced, "5.7"):
		return exitNoPerm
	case r.Code == 501:
		return exitUsage
	}
	return exitUnavailable
}

// spoolStdin copies a message into a file without name, with CRLF line ends.
// A line with a dot alone ends it, unless dots are text; a line "From " at its
// start is that of an mbox.
func spoolStdin(in io.Reader, dots bool) (*os.File, error) {
	f, err := os.CreateTemp("", "sendmail-")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	w := bufio.NewWriter(f)
	if err = toCRLF(w, bufio.NewReader(in), dots); err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func toCRLF(w *bufio.Writer, r *bufio.Reader, dots bool) error {
	start, first, skip, cr := true, true, false, false
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull && err != io.EOF {
			return err
		}
		if start && !dots && string(bytes.TrimRight(part, "\r\n")) == "." && err != bufio.ErrBufferFull {
			return nil
		}
		if start && first && bytes.HasPrefix(part, []byte("From ")) {
			skip = true
		}
		ended := bytes.HasSuffix(part, []byte("\n"))
		line := bytes.TrimSuffix(part, []byte("\n"))
		if ended && len(line) > 0 {
			line = bytes.TrimSuffix(line, []byte("\r"))
		}
		if cr && !(ended && len(line) == 0) {
			w.WriteByte('\r')
		}
		if cr = !ended && bytes.HasSuffix(line, []byte("\r")); cr {
			line = line[:len(line)-1]
		}
		if !skip {
			w.Write(line)
			if ended || err == io.EOF && (len(part) > 0 || !start) {
				w.WriteString("\r\n")
			}
		}
		if ended {
			skip = false
		}
		start, first = ended, false
		if err == io.EOF {
			return nil
		}
	}
}

// maxScanned bounds the recipients that -t finds.
const maxScanned = 10000

// recipients are those of To, Cc and Bcc; of a message that is sent again,
// those of the Resent- fields.
func recipients(f io.ReadSeeker) ([]string, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var plain, resent []string
	again := false
	err := message.ReadHeader(f, func(field message.Field) bool {
		name := strings.ToLower(field.Name)
		list := &plain
		if strings.HasPrefix(name, "resent-") {
			again, list, name = true, &resent, name[len("resent-"):]
		}
		switch name {
		case "to", "cc", "bcc":
			for _, m := range message.ParseAddressList(field.Value, maxScanned) {
				if m.Group || m.Local == "" {
					continue
				}
				to := m.Local
				if strings.ContainsAny(to, "@ \"\\,") {
					to = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(to) + `"`
				}
				if m.Domain != "" {
					to += "@" + m.Domain
				}
				*list = append(*list, to)
			}
		}
		return len(*list) < maxScanned
	})
	if again {
		return resent, err
	}
	return plain, err
}

// postqueue is postqueue(1): -p, -j, -f, -i ID, -s SITE.
func postqueue(ctx context.Context, a *app, args []string) error {
	switch {
	case len(args) == 1 && args[0] == "-p":
		return a.again(ctx, "queue", "list")
	case len(args) == 1 && args[0] == "-j":
		return a.again(ctx, "queue", "list", "--json")
	case len(args) == 1 && args[0] == "-f":
		return a.again(ctx, "queue", "retry", "ALL")
	case len(args) == 2 && args[0] == "-i":
		return a.again(ctx, "queue", "retry", args[1])
	case len(args) == 2 && args[0] == "-s":
		return a.again(ctx, "queue", "flush", args[1])
	}
	return usage("postqueue: use -p, -j, -f, -i ID or -s SITE; %q is not supported", strings.Join(args, " "))
}

// postsuper is postsuper(1): -d, -e, -f, -h, -H, -r ID; - reads IDs from standard input.
func postsuper(ctx context.Context, a *app, args []string) error {
	verbs := map[string][]string{"-d": {"queue", "delete", "--yes"}, "-h": {"queue", "hold"}, "-H": {"queue", "release"}, "-r": {"queue", "retry"},
		"-e": {"queue", "expire"}, "-f": {"queue", "expire", "--release"}}
	if len(args) == 0 || len(args)%2 != 0 {
		return usage("postsuper: use -d, -e, -f, -h, -H or -r with an ID, ALL or -")
	}
	for i := 0; i < len(args); i += 2 {
		verb, ok := verbs[args[i]]
		if !ok {
			return usage("postsuper: %s is not supported", args[i])
		}
		ids := args[i+1 : i+2]
		if ids[0] == "-" {
			text, err := io.ReadAll(io.LimitReader(a.in, 1<<20))
			if err != nil {
				return err
			}
			if ids = strings.Fields(string(text)); len(ids) == 0 {
				continue
			}
		}
		if err := a.again(ctx, append(verb[:len(verb):len(verb)], ids...)...); err != nil {
			return err
		}
	}
	return nil
}

// postcat is postcat(1): -q ID, with -h for the header alone.
func postcat(ctx context.Context, a *app, args []string) error {
	call := []string{"queue", "show"}
	for _, arg := range args {
		switch {
		case arg == "-q":
		case arg == "-h" || arg == "-hq" || arg == "-qh":
			call = append(call, "--headers")
		case strings.HasPrefix(arg, "-"):
			return usage("postcat: %s is not supported", arg)
		default:
			call = append(call, arg)
		}
	}
	return a.again(ctx, call...)
}

// postmap is postmap(1): -q KEY MAP. Tables need no making: rows act at once.
func postmap(ctx context.Context, a *app, args []string) error {
	if len(args) == 3 && args[0] == "-q" {
		return a.again(ctx, "lookup", args[2], args[1])
	}
	if len(args) == 1 && !strings.HasPrefix(args[0], "-") {
		return usage("postmap: %s: tables are rows of mail.sqlite here, and act at once", args[0])
	}
	return usage("postmap: use -q KEY MAP; %q is not supported", strings.Join(args, " "))
}
