package queue

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"mailserver/internal/maillog"
	"mailserver/schema"
)

// look is how long a change by another program may go unseen.
const look = time.Second

// takeMost bounds the recipients taken from the file in one transaction.
const takeMost = 100

// scheduler is what of the queue is in memory: recipients being tried, by
// site. It is bounded by Config.ActiveLimit; what is over waits in the file.
type scheduler struct {
	q    *Queue
	bell chan struct{} // new mail, or a delivery has ended
	tell chan struct{} // rows have changed
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
	ready   [lanes]list.List // of *site
	running [lanes]int
	turn    lane          // whose turn it is
	distant map[*job]bool // deliveries to other hosts
	slow    int           // of them, those that do not count in running
	epoch   int           // counts flushes
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
	start              time.Time
	positive, negative feedback
}

func (q *Queue) rules(ctx context.Context, start time.Time) (*rules, error) {
	config, err := q.config(ctx)
	if err != nil {
		return nil, err
	}
	c := &rules{Config: config, start: start}
	if c.positive, err = parseFeedback(config.PositiveFeedback); err == nil {
		c.negative, err = parseFeedback(config.NegativeFeedback)
	}
	return c, err
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
		q:       q,
		look:    look,
		bell:    make(chan struct{}, 1),
		tell:    make(chan struct{}, 1),
		items:   make(map[int64]*item),
		msgs:    make(map[string]*active),
		sites:   make(map[string]*site),
		distant: make(map[*job]bool),
	}
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// wake has the file looked at, because rows have changed.
func (s *scheduler) wake() {
	s.mu.Lock()
	s.stale = true
	s.mu.Unlock()
	ring(s.tell)
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
	ring(s.bell)
	if s.stale {
		ring(s.tell)
	}
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

func (q *Queue) complain(doing string, err error) {
	if q.d.Log != nil {
		q.d.Log.Error("queue", slog.String("doing", doing), slog.String(maillog.Err, err.Error()))
	}
}
