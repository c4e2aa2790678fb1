package queue

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// LogOutcome writes the line of one recipient, as every delivery agent of
// Postfix does. delays are before the queue, in the queue, connecting, sending.
func LogOutcome(log *slog.Logger, id string, r *Recipient, res Result, delays [4]time.Duration) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: to=<%s>,", id, r.Address)
	if r.Original != "" && !strings.EqualFold(r.Original, r.Address) {
		fmt.Fprintf(&b, " orig_to=<%s>,", r.Original)
	}
	var sum time.Duration
	var parts [4]string
	for i, d := range delays {
		d = max(d, 0)
		sum += d
		parts[i] = seconds(d)
	}
	use := ""
	if res.Uses > 1 {
		use = fmt.Sprintf(", conn_use=%d", res.Uses)
	}
	fmt.Fprintf(&b, " relay=%s%s, delay=%s, delays=%s, dsn=%s, status=%s (%s)",
		res.Relay, use, seconds(sum), strings.Join(parts[:], "/"), res.Enhanced, res.Status, oneLine(res.Text))
	maillog.Event(log, slog.LevelInfo, res.Tag, b.String(), "delivery",
		slog.String(maillog.QueueID, id), slog.String(maillog.Rcpt, r.Address), slog.String("status", res.Status.String()),
		slog.String(maillog.Enhanced, res.Enhanced), slog.String(maillog.MX, res.Relay),
		slog.String(maillog.Reason, oneLine(res.Text)), slog.Duration(maillog.Dur, sum))
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
		fmt.Sprintf("%s: from=<%s>, size=%d, nrcpt=%d (queue active)", m.ID, m.Sender, m.Size, n),
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

// seconds writes a delay as Postfix does: two significant digits.
func seconds(d time.Duration) string {
	s := d.Seconds()
	switch {
	case s >= 10:
		return fmt.Sprintf("%.0f", s)
	case s >= 1:
		return trim(fmt.Sprintf("%.1f", s))
	default:
		return trim(fmt.Sprintf("%.2f", s))
	}
}

func trim(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// oneLine keeps what a remote said from writing lines of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
