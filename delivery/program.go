package delivery

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"mailserver/delivery/command"
	"mailserver/delivery/pipe"
	"mailserver/delivery/queue"
	"mailserver/internal/setting"
	"mailserver/schema"
)

func pipeSpec(row *schema.Pipe) *pipe.Spec {
	return &pipe.Spec{Name: row.Name, Argv: row.Argv, User: row.User, Flags: row.Flags, Directory: row.Directory,
		EOL: row.EOL, NullSender: row.NullSender, Size: row.Size}
}

// throughPipe makes one attempt at a program of the operator.
func (s *Service) throughPipe(ctx context.Context, t *target, m *queue.Message, rcpts []*queue.Recipient) []queue.Result {
	begun := s.now()
	out := s.runPipe(ctx, t, m, rcpts)
	res := queue.Result{Status: statusOf(out.Enhanced), Enhanced: out.Enhanced, Text: out.Text, Tag: t.tag, Relay: t.pipe.Name, Talk: s.now().Sub(begun)}
	results := make([]queue.Result, len(rcpts))
	for i := range results {
		results[i] = res
	}
	return results
}

func (s *Service) runPipe(ctx context.Context, t *target, m *queue.Message, rcpts []*queue.Recipient) command.Outcome {
	failed := func(doing string, err error) command.Outcome {
		s.complain(doing, m.ID, err)
		return command.Outcome{Enhanced: "4.3.5", Text: "mail system configuration error"}
	}
	c, err := s.d.Config(ctx)
	if err != nil {
		return failed("read settings", err)
	}
	spec := pipeSpec(t.pipe)
	spec.Delimiter = c.Delimiter
	if spec.Limit, err = pipeTime(t.pipe, c.CommandTime); err != nil {
		return failed("read pipe "+spec.Name, err)
	}
	if err := spec.Validate(); err != nil {
		return failed("read pipe "+spec.Name, err)
	}
	_, hop, _ := strings.Cut(t.name, ":")
	name, addr := client(m)
	msg := &pipe.Message{ID: m.ID, Sender: m.Sender, Nexthop: hop, EnvID: m.EnvID, Size: m.Size + int64(len(m.Prepend)),
		Client: name, Address: addr, Helo: m.Helo, Proto: m.Proto, Login: m.User, Now: s.now(),
		Open: func() (io.ReadCloser, error) { return s.queue.Text(m) }}
	if spec.Single() {
		text, head, err := s.opened(m)
		if err != nil {
			return command.Outcome{Enhanced: "4.3.0", Text: "queue file read error"}
		}
		text.Close()
		msg.DeliveredTo = head.DeliveredTo
	}
	var to []pipe.Recipient
	for _, r := range rcpts {
		to = append(to, pipe.Recipient{Address: r.Address, Original: r.Original})
	}
	call, refusal := spec.Call(msg, to)
	if refusal != nil {
		if refusal.Enhanced == "4.3.5" {
			return failed("run pipe "+spec.Name, errors.New(refusal.Text))
		}
		return command.Outcome{Enhanced: refusal.Enhanced, Text: refusal.Text}
	}
	defer call.Stdin.Close()
	out := command.Run(ctx, &command.Program{Args: call.Args, ID: call.ID, Env: call.Env, Dir: call.Dir, Stdin: call.Stdin, Limit: call.Limit})
	if out.Enhanced[0] == '2' {
		out.Text = spec.Done(out.Output)
	}
	return out
}

// pipeTime is postconf(5) transport_time_limit.
func pipeTime(row *schema.Pipe, most time.Duration) (time.Duration, error) {
	if row.TimeLimit == "" {
		return most, nil
	}
	return setting.Duration(row.TimeLimit)
}
