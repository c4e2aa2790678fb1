package queue

import (
	"bytes"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// LogOutcome writes the line of one recipient, as every delivery agent of
// Postfix does. delays are before the queue, in the queue, connecting, sending.
func LogOutcome(log *slog.Logger, id string, r *Recipient, res Result, delays [4]time.Duration) {
	text := oneLine(res.Text)
	b := append(make([]byte, 0, 256), id...)
	b = append(append(append(b, ": to=<"...), r.Address...), ">,"...)
	if r.Original != "" && !strings.EqualFold(r.Original, r.Address) {
		b = append(append(append(b, " orig_to=<"...), r.Original...), ">,"...)
	}
	b = append(append(b, " relay="...), res.Relay...)
	if res.Uses > 1 {
		b = strconv.AppendInt(append(b, ", conn_use="...), int64(res.Uses), 10)
	}
	var sum time.Duration
	for _, d := range delays {
		sum += max(d, 0)
	}
	b = appendSeconds(append(b, ", delay="...), sum)
	for i, d := range delays {
		b = appendSeconds(append(b, [...]string{", delays=", "/", "/", "/"}[i]...), max(d, 0))
	}
	b = append(append(b, ", dsn="...), res.Enhanced...)
	b = append(append(b, ", status="...), res.Status.String()...)
	b = append(append(append(b, " ("...), text...), ')')
	maillog.Event(log, slog.LevelInfo, res.Tag, string(b), "delivery",
		slog.String(maillog.QueueID, id), slog.String(maillog.Rcpt, r.Address), slog.String("status", res.Status.String()),
		slog.String(maillog.Enhanced, res.Enhanced), slog.String(maillog.MX, res.Relay),
		slog.String(maillog.Reason, text), slog.Duration(maillog.Dur, sum))
}

func (q *Queue) logOutcome(it *item, res Result, begun, now time.Time) {
	arrived := it.msg.Arrived
	if at, ok := Arrival(it.Message); ok {
		arrived = at
	}
	LogOutcome(q.d.Log, it.Message, &it.Recipient, res,
		[4]time.Duration{it.in.Sub(arrived), begun.Sub(it.in), res.Setup, res.Talk})
	if it.expired {
		q.logExpired(it.msg.Message)
	}
}

func (q *Queue) logExpired(m *Message) {
	status := "expired"
	if m.Expire {
		status = "force-expired"
	}
	maillog.Event(q.d.Log, slog.LevelInfo, maillog.Qmgr,
		fmt.Sprintf("%s: from=<%s>, status=%s, returned to sender", m.ID, m.Sender, status),
		"expired", slog.String(maillog.QueueID, m.ID), slog.String(maillog.From, m.Sender))
}

func (q *Queue) logActive(m *schema.QueueMessage, n int) {
	LogActive(q.d.Log, m, n)
}

// LogActive writes the line of qmgr(8) for a message that is being delivered.
func LogActive(log *slog.Logger, m *Message, n int) {
	maillog.Event(log, slog.LevelInfo, maillog.Qmgr,
		m.ID+": from=<"+m.Sender+">, size="+strconv.FormatInt(m.Size, 10)+", nrcpt="+strconv.Itoa(n)+" (queue active)",
		"active", slog.String(maillog.QueueID, m.ID), slog.String(maillog.From, m.Sender), slog.Int64(maillog.Size, m.Size))
}

func (q *Queue) logRemoved(id string) { LogRemoved(q.d.Log, id) }

// LogRemoved writes the last line of a message.
func LogRemoved(log *slog.Logger, id string) {
	maillog.Event(log, slog.LevelInfo, maillog.Qmgr, id+": removed", "removed", slog.String(maillog.QueueID, id))
}

// logOrphan says it in the words of qmgr(8) about a queue file that it moves
// to the corrupt queue.
func (q *Queue) logOrphan(id string) {
	maillog.Event(q.d.Log, slog.LevelWarn, maillog.Qmgr,
		fmt.Sprintf("warning: %s: no row in state.sqlite, file moved to spool/orphan", id),
		"queue file without row", slog.String(maillog.QueueID, id))
}

func (q *Queue) logOrphans(n int) {
	maillog.Event(q.d.Log, slog.LevelWarn, maillog.Qmgr,
		fmt.Sprintf("warning: %d files without a row in state.sqlite moved to spool/orphan", n),
		"queue files without rows", slog.Int("files", n))
}

// logDeleted writes the line of postsuper(1) -d.
func (q *Queue) logDeleted(id string) {
	maillog.Event(q.d.Log, slog.LevelInfo, maillog.Postsuper, id+": removed", "deleted", slog.String(maillog.QueueID, id))
}

// logPutOff tells of recipients that were deferred without a line for each.
func (q *Queue) logPutOff(p *schema.QueuePutOff, n int64) {
	maillog.Event(q.d.Log, slog.LevelInfo, maillog.Qmgr, fmt.Sprintf("%s: %d more recipients deferred (%s)", p.Site, n, oneLine(p.Reply)),
		"destination suspended", slog.String("site", p.Site), slog.Int64("recipients", n), slog.String(maillog.Reason, oneLine(p.Reply)))
}

// appendSeconds writes a delay as Postfix does: two significant digits.
func appendSeconds(b []byte, d time.Duration) []byte {
	s, from := d.Seconds(), len(b)
	switch {
	case s >= 10:
		return strconv.AppendFloat(b, s, 'f', 0, 64)
	case s >= 1:
		b = strconv.AppendFloat(b, s, 'f', 1, 64)
	default:
		b = strconv.AppendFloat(b, s, 'f', 2, 64)
	}
	return append(b[:from], bytes.TrimSuffix(bytes.TrimRight(b[from:], "0"), []byte("."))...)
}

// oneLine keeps what a remote said from writing lines of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
