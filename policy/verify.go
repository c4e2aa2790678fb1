package policy

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"mailserver/internal/address"
	"mailserver/internal/maillog"
	"mailserver/schema"
)

// Probed is what the next hop of an address says of it.
type Probed struct {
	Status schema.VerifyStatus
	Text   string
}

// Probe asks the next hop of an address whether it would take mail for it,
// without sending any. It may take minutes; it ends with its context.
type Probe func(ctx context.Context, a address.Address) Probed

// Bounds of probes.
const (
	probeTime  = 1000 * time.Second // of one
	probesMost = 20                 // at a time
)

// inProgress is what verify(8) says of an address without an answer yet.
const inProgress = "Address verification in progress"

// probes are those under way. Each has a goroutine, which Close waits for.
type probes struct {
	ctx   context.Context
	stop  context.CancelFunc
	wg    sync.WaitGroup
	turn  chan struct{}
	later chan struct{} // of what else runs beside

	mu      sync.Mutex
	flights map[string]*probeFlight
	closed  bool
	swept   time.Time
}

type probeFlight struct {
	done   chan struct{}
	result Probed // once done is closed
}

func newProbes() *probes {
	p := &probes{turn: make(chan struct{}, probesMost), later: make(chan struct{}, 64), flights: make(map[string]*probeFlight)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

// Close ends the probes under way.
func (e *Engine) Close() {
	e.probes.mu.Lock()
	e.probes.closed = true
	e.probes.mu.Unlock()
	e.probes.stop()
	e.probes.wg.Wait()
}

func verifyRules() []rule {
	return []rule{
		{name: "reject_unverified_sender", needs: sender, run: withSender(func(x *query) outcome {
			return x.unverified(x.s.sender.Address, x.sender(), ClassSender)
		})},
		{name: "reject_unverified_recipient", needs: recipient, run: withRecipient(func(x *query, _ *item) outcome {
			return x.unverified(x.rcpt.Address, x.recipient(), ClassRecipient)
		})},
	}
}

// unverified refuses an address that its next hop does not take;
// ADDRESS_VERIFICATION_README.
func (x *query) unverified(a address.Address, subject, class string) outcome {
	e := x.s.e
	if e.d.State == nil || e.d.Probe == nil {
		return x.misconfigured("address verification in %s: there is nobody to ask", x.list)
	}
	action, reject, deferred, reason := x.cfg.SenderTempFail, x.cfg.UnverifiedSenderCode, x.cfg.UnverifiedSenderDefer, x.cfg.UnverifiedSenderReason
	if class == ClassRecipient {
		action, reject, deferred, reason = x.cfg.RecipientTempFail, x.cfg.UnverifiedRcptCode, x.cfg.UnverifiedRcptDefer, x.cfg.UnverifiedRcptReason
	}
	got, err := x.verified(strings.ToLower(a.Plain()), a)
	if err != nil {
		maillog.Event(e.d.Log, slog.LevelWarn, maillog.SMTPD, "warning: address verification: "+err.Error(), "address verification failed",
			slog.Any(maillog.Err, err))
		v := x.verdict(450, VerifyProblem, subject, class, "")
		return x.tempFail(action, v)
	}
	x.traceLookup("verify", a.Plain(), got.Status.String()+": "+got.Text)
	code := deferred
	switch got.Status {
	case schema.VerifyOK:
		return dunno
	case schema.VerifyBounce:
		code = reject
	}
	why := got.Text
	if reason != "" {
		why = reason
	}
	why = why[:min(len(why), 250)]
	if code < 500 {
		return x.tempFail(action, x.verdict(code, Unverified, subject, class, why))
	}
	return x.refuse(code, UndeliverableTo, subject, class, why)
}

// verified returns what is known of an address, and asks when that is nothing
// or old. It waits for the answer as long as smtpd(8) polls verify(8).
func (x *query) verified(key string, a address.Address) (Probed, error) {
	row, err := x.s.e.d.State.VerifyLook(x.ctx, key)
	if err != nil {
		return Probed{}, err
	}
	known, stale := x.known(row)
	if !stale || x.s.Dry {
		return known, nil
	}
	f := x.s.e.probe(key, a, x.cfg)
	if f == nil || known.Status != schema.VerifyUnknown {
		return known, nil
	}
	wait := time.NewTimer(time.Duration(x.cfg.VerifyPolls-1) * x.cfg.VerifyDelay)
	defer wait.Stop()
	select {
	case <-f.done:
		if f.result.Status != schema.VerifyUnknown {
			known = f.result
		}
	case <-wait.C:
	case <-x.ctx.Done():
	}
	return known, nil
}

// known reads a row; stale says that the address is to be asked about.
func (x *query) known(row *schema.Verified) (p Probed, stale bool) {
	nothing := Probed{Text: inProgress}
	if row == nil {
		return nothing, true
	}
	expire, refresh := x.cfg.NegativeExpire, x.cfg.NegativeRefresh
	if row.Status == schema.VerifyOK {
		expire, refresh = x.cfg.PositiveExpire, x.cfg.PositiveRefresh
	} else if !x.cfg.NegativeCache {
		return nothing, true
	}
	age := x.s.e.d.Now().Sub(row.Updated)
	if age > expire {
		return nothing, true
	}
	return Probed{row.Status, row.Text}, age > refresh
}

// probe begins a probe, or joins the one under way; nil if there are too many.
func (e *Engine) probe(key string, a address.Address, cfg *Config) *probeFlight {
	p := e.probes
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.flights[key]; f != nil {
		return f
	}
	if p.closed || len(p.flights) >= cfg.VerifyPending {
		if !p.closed {
			e.d.Log.Warn("too many address probes are under way", slog.Int("limit", cfg.VerifyPending))
		}
		return nil
	}
	f := &probeFlight{done: make(chan struct{})}
	p.flights[key] = f
	sweep := e.d.Now().Sub(p.swept) > cfg.VerifyCleanup
	if sweep {
		p.swept = e.d.Now()
	}
	p.wg.Go(func() { e.fly(key, a, cfg, f, sweep) })
	return f
}

// fly makes one probe and records its answer.
func (e *Engine) fly(key string, a address.Address, cfg *Config, f *probeFlight, sweep bool) {
	p := e.probes
	defer func() {
		p.mu.Lock()
		delete(p.flights, key)
		p.mu.Unlock()
		close(f.done)
	}()
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-p.ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, probeTime)
	defer cancel()
	got := e.d.Probe(ctx, a)
	if p.ctx.Err() != nil || got.Status == schema.VerifyUnknown {
		return
	}
	f.result = got
	if got.Status != schema.VerifyOK && !cfg.NegativeCache {
		return
	}
	now := e.d.Now()
	err := e.d.State.Write(p.ctx, func(t *schema.Tx) error {
		if sweep {
			if err := t.VerifyForget(now.Add(-max(cfg.PositiveExpire, cfg.NegativeExpire))); err != nil {
				return err
			}
		}
		return t.VerifyResult(key, got.Status, got.Text, now, now.Add(-cfg.PositiveExpire))
	})
	if err != nil {
		e.d.Log.Error("an address probe could not be recorded", slog.Any(maillog.Err, err))
	}
}
