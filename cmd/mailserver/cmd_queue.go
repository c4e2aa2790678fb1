package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"mailserver/delivery/queue"
	"mailserver/internal/maillog"
	"mailserver/internal/server"
	"mailserver/schema"
)

func queueCommands() []command {
	return []command{
		{name: "queue list", about: "mail that waits, as mailq; --json as postqueue -j", setup: queueList},
		{name: "queue show", args: "ID", min: 1, max: 1, about: "a message and what became of it so far, as postcat -q", setup: queueShow},
		{name: "queue retry", args: "ID...|ALL", min: 1, max: -1, about: "try now, as postqueue -i or -f", setup: queueEach("retry", (*queue.Queue).Retry)},
		{name: "queue flush", args: "SITE...", min: 1, max: -1, about: "try now what is for a domain or next hop, as postqueue -s", setup: queueEach("flush", (*queue.Queue).RetrySite)},
		{name: "queue hold", args: "ID...|ALL", min: 1, max: -1, about: "do not try until release, as postsuper -h", setup: queueEach("hold", (*queue.Queue).Hold)},
		{name: "queue release", args: "ID...|ALL", min: 1, max: -1, about: "end a hold, as postsuper -H", setup: queueEach("release", (*queue.Queue).Release)},
		{name: "queue expire", args: "ID...|ALL", min: 1, max: -1, about: "try once more, then return to the sender, as postsuper -e; with --release as -f", setup: queueExpire},
		{name: "queue recover", about: "queue again what was set aside because state.sqlite was lost", setup: queueRecover},
		{name: "queue delete", args: "ID...|ALL", min: 1, max: -1, about: "delete without a word to the sender, as postsuper -d", setup: queueDelete},
	}
}

func (a *app) withQueue(ctx context.Context, do func(*queue.Queue) error) error {
	return a.withParts(ctx, func(p *server.Parts) error { return do(p.Delivery.Queue()) })
}

// withLog opens the log for a command that changes what the log tells. It is
// that of the server if it has a file, which is not made here: it would belong
// to whoever runs the command. Else it is standard error.
func (a *app) withLog(ctx context.Context, do func(*slog.Logger) error) error {
	proc, err := server.Process(ctx, a.dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(proc.LogFile); proc.LogFile != "" && err == nil {
		log, _, f, err := server.Logger(proc)
		if err != nil {
			return err
		}
		defer f.Close()
		return do(log)
	}
	h, err := maillog.New(a.err, maillog.Format(proc.LogFormat), slog.LevelInfo, proc.Hostname)
	if err != nil {
		return fmt.Errorf("%w: %w", server.ErrConfig, err)
	}
	return do(slog.New(h))
}

// jsonMessage is a message in the form of postqueue -j.
type jsonMessage struct {
	Queue      string          `json:"queue_name"`
	ID         string          `json:"queue_id"`
	Arrival    int64           `json:"arrival_time"`
	Size       int64           `json:"message_size"`
	Sender     string          `json:"sender"`
	Recipients []jsonRecipient `json:"recipients"`
}

type jsonRecipient struct {
	Address  string `json:"address"`
	Reason   string `json:"delay_reason,omitempty"`
	State    string `json:"state"`
	Due      int64  `json:"next_try"`
	Attempts int    `json:"attempts"`
}

var stateNames = map[schema.QueueState]string{schema.QueueWaiting: "deferred", schema.QueueActive: "active", schema.QueueHeld: "hold",
	schema.QueueFailed: "failed", schema.QueueDelivered: "delivered"}

// queueName is the queue of Postfix that the message would be in.
func queueName(e queue.Entry) string {
	name := "deferred"
	for _, r := range e.Recipients {
		switch {
		case r.State == schema.QueueActive:
			return "active"
		case r.State == schema.QueueHeld:
			name = "hold"
		case r.State == schema.QueueWaiting && r.Attempts == 0 && name == "deferred":
			name = "incoming"
		}
	}
	return name
}

// Columns as postqueue(1) prints long queue IDs, since scripts parse them.
const (
	queueLine   = "%-17s %8d %19.19s %s\n"
	queueHeader = "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
)

func queueList(fs *flag.FlagSet) action {
	asJSON := fs.Bool("json", false, "one JSON object a line, as postqueue -j")
	return func(ctx context.Context, a *app, _ []string) error {
		return a.withQueue(ctx, func(q *queue.Queue) error {
			var messages, bytes int64
			err := q.List(ctx, func(e queue.Entry) error {
				messages++
				bytes += e.Size
				if *asJSON {
					return a.object(true, toJSON(e))
				}
				if messages == 1 {
					io.WriteString(a.out, queueHeader)
				}
				a.printQueued(e)
				return nil
			})
			switch {
			case err != nil || *asJSON:
				return err
			case messages == 0:
				fmt.Fprintln(a.out, "Mail queue is empty")
			default:
				plural := "s"
				if messages == 1 {
					plural = ""
				}
				fmt.Fprintf(a.out, "-- %d Kbytes in %d Request%s.\n", (bytes+1023)/1024, messages, plural)
			}
			return nil
		})
	}
}

func toJSON(e queue.Entry) jsonMessage {
	m := jsonMessage{Queue: queueName(e), ID: e.ID, Arrival: e.Arrived.Unix(), Size: e.Size, Sender: senderName(e)}
	for _, r := range e.Recipients {
		m.Recipients = append(m.Recipients, jsonRecipient{r.Address, r.Reply, stateNames[r.State], r.Due.Unix(), r.Attempts})
	}
	return m
}

func senderName(e queue.Entry) string {
	if e.Sender == "" {
		return "MAILER-DAEMON"
	}
	return e.Sender
}

func (a *app) printQueued(e queue.Entry) {
	mark := map[string]string{"active": "*", "hold": "!"}[queueName(e)]
	fmt.Fprintf(a.out, queueLine, e.ID+mark, e.Size, e.Arrived.Local().Format("Mon Jan _2 15:04:05"), senderName(e))
	last := ""
	for _, r := range e.Recipients {
		if r.Reply != last && r.Reply != "" {
			fmt.Fprintf(a.out, "%*s\n", 78, "("+r.Reply+")")
		}
		last = r.Reply
		fmt.Fprintf(a.out, "%46s %s\n", "", r.Address)
	}
	fmt.Fprintln(a.out)
}

func queueShow(fs *flag.FlagSet) action {
	headers := fs.Bool("headers", false, "only the header of the message")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withQueue(ctx, func(q *queue.Queue) error {
			e, text, err := q.Show(ctx, args[0])
			if err != nil {
				return queueError(err)
			}
			defer text.Close()
			a.object(false, nil, "id", e.ID, "arrived", e.Arrived.Local().Format(time.RFC3339), "size", e.Size, "sender", senderName(e),
				"log-in", e.User, "client", e.Client)
			for _, r := range e.Recipients {
				fmt.Fprintf(a.out, "%s: %s, tried %d times, next %s\n  %s %s\n", r.Address, stateNames[r.State], r.Attempts,
					r.Due.Local().Format(time.RFC3339), r.Status, r.Reply)
			}
			fmt.Fprintln(a.out)
			return a.copyMessage(text, *headers)
		})
	}
}

// copyMessage prints a message, with the line ends of a terminal.
func (a *app) copyMessage(text io.Reader, headers bool) error {
	r := bufio.NewReader(text)
	for {
		line, err := r.ReadString('\n')
		line = strings.TrimSuffix(line, "\r\n")
		line = strings.TrimSuffix(line, "\n")
		if err != nil && line == "" || headers && line == "" {
			break
		}
		if _, werr := fmt.Fprintln(a.out, line); werr != nil {
			return werr
		}
		if err != nil {
			break
		}
	}
	return nil
}

func queueError(err error) error {
	if errors.Is(err, queue.ErrNoMessage) {
		return fmt.Errorf("%w: %w", err, schema.ErrNotFound)
	}
	return err
}

// queueEach makes the command that does one thing to each named message, or to
// ALL of them: in capitals, as with postsuper, since it is never meant lightly.
func queueEach(verb string, do func(*queue.Queue, context.Context, string) (int64, error)) func(*flag.FlagSet) action {
	return func(*flag.FlagSet) action {
		return func(ctx context.Context, a *app, args []string) error {
			return a.withQueue(ctx, func(q *queue.Queue) error {
				for _, id := range args {
					if id == "ALL" {
						id = ""
					}
					n, err := do(q, ctx, id)
					if err != nil {
						return queueError(err)
					}
					fmt.Fprintf(a.out, "%s: %d recipients\n", verb, n)
				}
				return nil
			})
		}
	}
}

func queueDelete(fs *flag.FlagSet) action {
	yes := fs.Bool("yes", false, "do not ask")
	return func(ctx context.Context, a *app, args []string) error {
		return a.withLog(ctx, func(log *slog.Logger) error {
			return a.withPartsLog(ctx, log, func(p *server.Parts) error { return a.deleteQueued(ctx, p, args, *yes) })
		})
	}
}

func (a *app) deleteQueued(ctx context.Context, p *server.Parts, ids []string, yes bool) error {
	q := p.Delivery.Queue()
	if len(ids) == 1 && ids[0] == "ALL" {
		ids = nil
		if err := q.List(ctx, func(e queue.Entry) error { ids = append(ids, e.ID); return nil }); err != nil {
			return err
		}
		if err := a.confirm(yes, fmt.Sprintf("delete all %d messages in the queue", len(ids))); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := q.Delete(ctx, id); err != nil {
			return queueError(err)
		}
	}
	fmt.Fprintf(a.out, "deleted: %d messages\n", len(ids))
	return p.Mail.Write(ctx, func(t *schema.Tx) error {
		for _, id := range ids[:min(len(ids), auditMost)] {
			if err := t.AddAudit("delete from the queue", id); err != nil {
				return err
			}
		}
		return nil
	})
}
