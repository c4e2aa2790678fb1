package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

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
		"postconf":   postconf,
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
