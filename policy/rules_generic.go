package policy

import (
	"strconv"
	"time"
)

var genericRules = []rule{
	{name: "warn_if_reject", prefix: true},
	{name: "permit", run: func(*query, *item) outcome { return permit }},
	{name: "reject", run: func(x *query, _ *item) outcome {
		return x.refuse(x.cfg.RejectCode, AccessDenied, x.subject, x.class, "")
	}},
	{name: "defer", run: func(x *query, _ *item) outcome {
		return x.refuse(x.cfg.DeferCode, TryAgain, x.subject, x.class, "")
	}},
	{name: "defer_if_permit", run: func(x *query, _ *item) outcome {
		return x.deferIfPermit(x.verdict(450, DeferIfPermit, x.subject, x.class, ""))
	}},
	{name: "defer_if_reject", run: func(x *query, _ *item) outcome {
		return x.deferIfReject(x.verdict(450, DeferIfReject, x.subject, x.class, ""))
	}},
	{name: "sleep", arg: numberArg, run: runSleep},
	{name: "reject_unauth_pipelining", run: func(x *query, _ *item) outcome {
		if !x.s.pipeline {
			return dunno
		}
		return x.refuse(503, Pipelining, x.subject, x.class, "")
	}},
	{name: "reject_plaintext_session", run: func(x *query, _ *item) outcome {
		if x.s.tls != nil {
			return dunno
		}
		return x.refuse(x.cfg.PlaintextCode, NeedEncryption, x.subject, x.class, "")
	}},
	{name: "reject_multi_recipient_bounce", needs: sender, run: runMultiBounce},
}

// maxSleep bounds the restriction sleep: the client would have gone.
const maxSleep = 300

func runSleep(x *query, it *item) outcome {
	n, _ := strconv.Atoi(it.arg)
	t := time.NewTimer(time.Duration(min(n, maxSleep)) * time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.ctx.Done():
	}
	return dunno
}

// runMultiBounce refuses a bounce with more than one recipient. At RCPT those
// accepted before count, later all.
func runMultiBounce(x *query, _ *item) outcome {
	limit := 1
	if x.where == "RCPT" {
		limit = 0
	}
	if x.s.sender == nil || !x.s.sender.Original.IsNull() || x.s.accepted <= limit {
		return dunno
	}
	return x.refuse(x.cfg.MultiBounceCode, BounceToMany, x.subject, x.class, "")
}
