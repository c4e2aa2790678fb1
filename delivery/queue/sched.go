package queue

import (
	"container/list"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// look is how long a change by another program may go unseen.
const look = time.Second

// takeMost bounds the recipients taken from the file in one transaction.
const takeMost = 500

// scheduler is what of the queue is in memory: recipients being tried, by
// site. It is bounded by Config.ActiveLimit; what is over waits in the file.
type scheduler struct {
	q    *Queue
	bell chan struct{}
	look time.Duration

	mu      sync.Mutex // guards what follows
	on      bool       // Run is at work
	begun   time.Time  // when Run began
	limit   int        // of count, as last read from the settings
	count   int        // recipients in memory
	old     int        // of them, those read from the file
	items   map[int64]*item
	msgs    map[string]*active
	sites   map[string]*site
	ready   [2]list.List // of *site
	running [2]int
	turn    bool // it is a retry's turn
	fresh   []*item
	idle    []*active // without recipients to try, with something to report
	stale   bool      // the file must be looked at now

	work sync.WaitGroup // deliveries and reports
}

// active is a message with recipients in memory.
type active struct {
	*Message
	left   int  // recipients
	report bool // an outcome must be told to the sender
	late   bool // a delay must be told
	ending bool // a goroutine is in end
	gone   bool // it has no rows any more
}

// rules are the settings of one round, and when the queue began to run.
type rules struct {
	*Config
	start time.Time
}

// item is a recipient in memory.
type item struct {
	Recipient
	msg  *active
	in   time.Time // when it became active
	old  bool
	must bool // asked for by the operator: try even a dead site

	expired, late bool // its outcome
}

func newScheduler(q *Queue) *scheduler {
	return &scheduler{
		q:     q,
		look:  look,
		bell:  make(chan struct{}, 1),
		items: make(map[int64]*item),
		msgs:  make(map[string]*active),
		sites: make(map[string]*site),
	}
}

func (s *scheduler) ring() {
	select {
	case s.bell <- struct{}{}:
	default:
	}
}

// wake has the file looked at, because rows have changed.
func (s *scheduler) wake() {
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
	s.ring()
}

// admit finds room for those recipients that are to be tried at once; what
// finds none waits in the file, due now.
func (s *scheduler) admit(rcpts []Recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rcpts {
		if rcpts[i].State != schema.QueueActive {
			continue
		}
		if !s.on || s.count >= s.limit {
			rcpts[i].State = schema.QueueWaiting
			continue
		}
		s.count++
	}
}

// dismiss takes back what admit did.
func (s *scheduler) dismiss(rcpts []Recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rcpts {
		if rcpts[i].State == schema.QueueActive {
			s.count--
		}
	}
}

// start hands admitted recipients, now in the file, to the loop.
func (s *scheduler) start(m *Message, rcpts []Recipient) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.q.d.Now()
	report, n := false, 0
	for i := range rcpts {
		switch rcpts[i].State {
		case schema.QueueActive:
			s.fresh = append(s.fresh, s.enter(m, rcpts[i], now))
			n++
		case schema.QueueFailed, schema.QueueDelivered:
			report = true
		case schema.QueueWaiting:
			s.stale = true
		}
	}
	if report {
		s.owe(m)
	}
	if n > 0 {
		s.q.logActive(m, n)
	}
	s.ring()
}

// owe notes that the sender of a message must be told something. The caller
// holds s.mu.
func (s *scheduler) owe(m *Message) {
	a := s.message(m)
	a.report = true
	if a.left == 0 && !a.ending {
		s.idle = append(s.idle, a)
	}
}

// enter makes an item of a recipient that admit has counted.
func (s *scheduler) enter(m *Message, r Recipient, now time.Time) *item {
	it := &item{Recipient: r, msg: s.message(m), in: now}
	it.msg.left++
	s.items[r.Num] = it
	return it
}

func (s *scheduler) message(m *Message) *active {
	a, ok := s.msgs[m.ID]
	if !ok {
		a = &active{Message: m}
		s.msgs[m.ID] = a
	}
	return a
}

// grace is how long deliveries under way may go on when the server stops.
const grace = 5 * time.Second

// Run works the queue until ctx ends, then waits a little for deliveries under
// way.
func (q *Queue) Run(ctx context.Context) error {
	s := q.sched
	start := q.d.Now()
	if err := q.waitAgain(ctx, start); err != nil {
		return err
	}
	if err := q.clean(ctx); err != nil && ctx.Err() == nil {
		q.complain("clean spool", err)
	}
	s.mu.Lock()
	s.on, s.stale, s.begun = true, true, start
	s.mu.Unlock()

	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	r := &run{s: s, start: start}
	for ctx.Err() == nil {
		s.pause(ctx, r.once(work))
	}
	s.mu.Lock()
	s.on = false
	s.mu.Unlock()
	s.work.Wait()
	return q.waitAgain(context.WithoutCancel(ctx), start)
}

func (q *Queue) waitAgain(ctx context.Context, now time.Time) error {
	return q.d.State.Write(ctx, func(t *schema.Tx) error { return t.QueueWaitAgain(now) })
}

// pause waits for d, or for something to do.
func (s *scheduler) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-s.bell:
	case <-timer.C:
	}
}

// run is the state of one Run: all of it used by its goroutine only.
type run struct {
	s       *scheduler
	start   time.Time
	looked  time.Time // when the file was looked at last
	reports time.Time // when outcomes left unreported were looked for last
}

// once does everything that can be done now and says how long to wait.
func (r *run) once(ctx context.Context) time.Duration {
	s := r.s
	config, err := s.q.config(ctx)
	if err != nil {
		s.q.complain("read settings", err)
		return s.look
	}
	c := &rules{config, r.start}
	s.mu.Lock()
	s.limit = c.ActiveLimit
	fresh := s.fresh
	s.fresh = nil
	s.mu.Unlock()
	s.route(ctx, c, fresh)
	more := false
	if r.mustLook() {
		more = r.take(ctx, c)
	}
	s.unreported(ctx, r, c)
	s.dispatch(ctx, c)
	s.settle(ctx)
	if more {
		return 0
	}
	return s.look
}

func (r *run) mustLook() bool {
	now := r.s.q.d.Now()
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if !r.s.stale && now.Sub(r.looked) < r.s.look {
		return false
	}
	r.s.stale = false
	r.looked = now
	for _, st := range r.s.sites {
		r.s.forget(st, now)
	}
	return true
}

// take reads what is due into memory, as far as there is room, and reports
// whether more is due. Half of the room is kept for new mail.
func (r *run) take(ctx context.Context, c *rules) (more bool) {
	s := r.s
	now := s.q.d.Now()
	due, ok, err := s.q.d.State.QueueNext(ctx)
	if err != nil {
		s.q.complain("look for due mail", err)
		return false
	}
	s.mu.Lock()
	room := min(c.ActiveLimit-s.count, max(c.ActiveLimit/2, 1)-s.old, takeMost)
	s.mu.Unlock()
	if !ok || due.After(now) || room <= 0 {
		return false
	}
	var rows []Recipient
	err = s.q.d.State.Write(ctx, func(t *schema.Tx) (err error) {
		rows, err = t.QueueTake(now, room)
		return err
	})
	if err != nil {
		s.q.complain("take due mail", err)
		return false
	}
	items, err := s.load(ctx, rows, now)
	if err != nil {
		s.q.complain("read due mail", err)
		return false
	}
	s.route(ctx, c, items)
	return len(rows) == room
}

// load makes items of rows, reading each message once.
func (s *scheduler) load(ctx context.Context, rows []Recipient, now time.Time) ([]*item, error) {
	byMessage := make(map[string][]Recipient)
	var order []string
	for _, row := range rows {
		if byMessage[row.Message] == nil {
			order = append(order, row.Message)
		}
		byMessage[row.Message] = append(byMessage[row.Message], row)
	}
	var items []*item
	for _, id := range order {
		m, err := s.q.d.State.QueueMessage(ctx, id)
		if err != nil {
			return items, err
		}
		if m == nil {
			continue // deleted meanwhile
		}
		s.q.logActive(m, len(byMessage[id]))
		items = append(items, s.reenter(m, byMessage[id], now)...)
	}
	return items, nil
}

// reenter makes items of rows; those in memory already stay as they are.
func (s *scheduler) reenter(m *Message, rows []Recipient, now time.Time) (items []*item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, row := range rows {
		if _, ok := s.items[row.Num]; ok {
			continue
		}
		s.count++
		s.old++
		it := s.enter(m, row, now)
		it.old, it.must = true, row.Due.Unix() == 0
		items = append(items, it)
	}
	return items
}

// route puts items in line at their sites. What has its outcome at once, or a
// site that is dead, is finished here.
func (s *scheduler) route(ctx context.Context, c *rules, items []*item) {
	now := s.q.d.Now()
	open := make(map[string]*job) // by message and site
	var done []*item
	var results []Result
	for _, it := range items {
		to, res := s.q.d.Sender.Route(ctx, it.msg.Message, &it.Recipient)
		if res == nil {
			it.Site = to.Site()
			res = s.enqueue(open, to, it, c, now)
		}
		if res != nil {
			done, results = append(done, it), append(results, *res)
		}
	}
	s.finish(ctx, c, done, results, now)
}

// enqueue adds an item to a job of its message and site; if the site is dead,
// it returns why.
func (s *scheduler) enqueue(open map[string]*job, to Target, it *item, c *rules, now time.Time) *Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.site(it.Site, c)
	if it.must {
		st.dead, st.failed = time.Time{}, 0
	}
	if st.dead.After(now) {
		res := suspended(st.why)
		return &res
	}
	limit := to.RecipientLimit()
	if limit <= 0 {
		limit = c.RecipientLimit
	}
	key := it.Message + " " + st.name
	if j := open[key]; j != nil && len(j.items) < limit {
		j.items = append(j.items, it)
		return nil
	}
	class := 0
	if it.Attempts > 0 && !it.must {
		class = 1
	}
	j := &job{msg: it.msg, to: to, site: st, items: []*item{it}, class: class}
	open[key] = j
	st.jobs[class].PushBack(j)
	s.line(st)
	return nil
}

// suspended is the outcome of a recipient whose destination is dead.
func suspended(why Result) Result {
	why.Text = "delivery temporarily suspended: " + why.Text
	why.Tag, why.Relay = maillog.ErrorMail, "none"
	why.Setup, why.Talk = 0, 0
	return why
}

// dispatch begins all deliveries that may begin.
func (s *scheduler) dispatch(ctx context.Context, c *rules) {
	for {
		s.mu.Lock()
		j := s.pick(c)
		s.mu.Unlock()
		if j == nil {
			return
		}
		s.work.Go(func() { s.deliver(ctx, c, j) })
	}
}

func (s *scheduler) deliver(ctx context.Context, c *rules, j *job) {
	begun := s.q.d.Now()
	rcpts := make([]*Recipient, len(j.items))
	for i, it := range j.items {
		rcpts[i] = &it.Recipient
	}
	results := s.send(ctx, j, rcpts)
	s.release(ctx, c, j, results[0])
	s.finish(ctx, c, j.items, results, begun)
	s.ring()
}

// send makes the attempt; a fault in it costs an attempt, not the server.
func (s *scheduler) send(ctx context.Context, j *job, rcpts []*Recipient) (results []Result) {
	defer func() {
		if p := recover(); p != nil {
			s.q.complain("deliver "+j.msg.ID, fmt.Errorf("panic: %v", p))
			results = make([]Result, len(rcpts))
			for i := range results {
				results[i] = Result{Status: Deferred, Enhanced: "4.3.0", Text: "internal software error", Relay: "none", Tag: maillog.ErrorMail}
			}
		}
	}()
	return s.q.d.Sender.Send(ctx, j.to, j.msg.Message, rcpts)
}

// release gives the place of a delivery back and judges the destination by
// how it went. When it is dead, what waits for it is deferred.
func (s *scheduler) release(ctx context.Context, c *rules, j *job, first Result) {
	now := s.q.d.Now()
	var drop []*item
	s.mu.Lock()
	st := j.site
	st.busy--
	st.last = now
	s.running[j.class]--
	switch {
	case !first.Unreachable:
		st.reached(c.ConcurrencyLimit)
	case st.unreached():
		st.dead, st.why = now.Add(c.MinBackoff), first
		drop = st.drain()
	}
	s.line(st)
	s.forget(st, now)
	s.mu.Unlock()
	results := make([]Result, len(drop))
	for i := range results {
		results[i] = suspended(first)
	}
	s.finish(ctx, c, drop, results, now)
}

// drain takes all that waits. The caller holds the lock of the scheduler.
func (s *site) drain() (all []*item) {
	for class := range s.jobs {
		for e := s.jobs[class].Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*job).items...)
		}
		s.jobs[class].Init()
	}
	return all
}

func (q *Queue) complain(doing string, err error) {
	if q.d.Log != nil {
		q.d.Log.Error("queue", slog.String("doing", doing), slog.String(maillog.Err, err.Error()))
	}
}
