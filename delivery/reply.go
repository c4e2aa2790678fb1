package delivery

import (
	"fmt"

	"mailserver/delivery/queue"
	"mailserver/internal/maillog"
)

// answer makes the replies.
func (t *transit) answer() []Outcome {
	if t.lost != nil && len(t.stops) == 0 {
		return t.all(*t.lost)
	}
	if !t.env.LocalOnly {
		for i := range t.recipients() {
			if o, ok := t.failed[i]; ok {
				return []Outcome{o}
			}
		}
		return []Outcome{t.reply(t.stops)}
	}
	list := make([]Outcome, len(t.env.To))
	for i, group := range t.groups() {
		o, ok := t.failed[i]
		if !ok {
			o = t.reply(group)
			if o.OK() {
				o.Text = fmt.Sprintf("<%s> %s Saved", t.env.To[i].Address, t.ID())
			}
		}
		o.Recipient = t.env.To[i].Address
		list[i] = o
	}
	return list
}

// reply answers for stops that share a reply: refused only if every one is,
// and for good only if every one is for good.
func (t *transit) reply(group []*stop) Outcome {
	var worst *stop
	for _, st := range group {
		if st.queued && t.lost != nil {
			return *t.lost
		}
		if worst == nil || !st.refused || worst.refused && st.res.Status == queue.Deferred {
			worst = st
		}
	}
	switch {
	case worst == nil: // an address that leads nowhere must not swallow mail
		return Outcome{Code: 451, Enhanced: "4.3.0", Text: "Error: recipient has no destination"}
	case worst.refused:
		return outcome(worst)
	}
	return t.taken()
}

// outcome is how a refusal is said at the door.
func outcome(st *stop) Outcome {
	o := Outcome{Enhanced: st.res.Enhanced, Text: fmt.Sprintf("<%s>: %s", st.Original, doorText(st.res))}
	switch {
	case st.res.Enhanced == "5.2.2":
		o.Code = 552
	case st.res.Enhanced == "4.3.1":
		o.Code = 452
	case st.res.Status == queue.Deferred:
		o.Code = 451
	case st.res.Enhanced == "5.4.6":
		o.Code = 554
	default:
		o.Code = 550
	}
	return o
}

// doorText leaves out of an answer what only the log should know: paths and
// words of the system.
func doorText(res *queue.Result) string {
	switch {
	case res.Enhanced == "4.3.1":
		return "Insufficient system storage"
	case res.Status == queue.Deferred && res.Tag != maillog.ErrorMail:
		return "mailbox cannot take mail now, try again later"
	}
	return res.Text
}
