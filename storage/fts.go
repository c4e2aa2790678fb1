package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"mailserver/schema"
)

// fulltext keeps the text indexes of accounts. What it does not have is read from
// the messages: that an index is there or lost, whole or behind, changes no
// answer.
//
// A message is a document by its EMAILID, so that one that is moved or copied is
// known already.
type fulltext struct {
	s   *Store
	dir string // empty: there are none

	mu      sync.Mutex // guards what follows
	open    map[int64]*textFile
	waiting map[textJob]bool // mailboxes to be looked at; true: somebody searches
	running bool
	off     bool          // Config said so when it was last asked
	asked   bool          // it should be asked again
	hurry   chan struct{} // while running: something came that hurries
}

// textJob is a mailbox by its name: holding it would keep it in memory.
type textJob struct {
	key  treeKey
	name string
}

// textFile is an open index.
type textFile struct {
	*schema.TextIndex
	refs int
	used time.Time
	bad  bool
}

const (
	// textPause is how long the index waits for more messages.
	textPause = 5 * time.Second
	// maxTextFiles bounds the indexes that are open while nobody uses them.
	maxTextFiles = 8
	// maxTextJobs bounds the mailboxes that wait; others wait for a search.
	maxTextJobs = 10000
)

func newFulltext(s *Store) *fulltext {
	return &fulltext{s: s, dir: s.d.TextDir, open: make(map[int64]*textFile), waiting: make(map[textJob]bool), hurry: make(chan struct{}, 1)}
}

func (x *fulltext) path(account int64) string {
	return filepath.Join(x.dir, strconv.FormatInt(account, 10)+".sqlite")
}

// use returns the index of an account. Ending it with what the use of it has come
// to gives it back.
func (x *fulltext) use(ctx context.Context, account int64, user string) (*textFile, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.open[account]
	if f == nil {
		idx, err := schema.OpenTextIndex(ctx, x.path(account), user)
		if err != nil {
			return nil, fmt.Errorf("text index of %s: %w", user, err)
		}
		f = &textFile{TextIndex: idx}
		x.open[account] = f
	}
	f.refs++
	return f, nil
}

func (x *fulltext) end(account int64, f *textFile, outcome error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f.refs--
	f.used = x.s.d.Now()
	if schema.IsDamaged(outcome) && !f.bad {
		f.bad = true
		delete(x.open, account)
		if err := schema.RemoveTextIndex(x.path(account)); err != nil {
			x.s.d.Log.Error("cannot remove a damaged text index", slog.Any("err", err))
		}
	}
	if f.bad && f.refs == 0 {
		f.Close()
	}
	for len(x.open) > maxTextFiles && x.closeOne() {
	}
}

// closeOne closes the index that was not used for the longest. x.mu is held.
func (x *fulltext) closeOne() bool {
	oldest := int64(-1)
	for account, f := range x.open {
		if f.refs == 0 && (oldest < 0 || f.used.Before(x.open[oldest].used)) {
			oldest = account
		}
	}
	if oldest < 0 {
		return false
	}
	x.open[oldest].Close()
	delete(x.open, oldest)
	return true
}

// close ends all; nothing runs any more.
func (x *fulltext) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for account, f := range x.open {
		f.Close()
		delete(x.open, account)
	}
}

// forget removes the index of an account.
func (x *fulltext) forget(account int64) error {
	if x.dir == "" || account == 0 {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if f := x.open[account]; f != nil {
		f.bad = true
		delete(x.open, account)
		if f.refs == 0 {
			f.Close()
		}
	}
	return schema.RemoveTextIndex(x.path(account))
}

// note says that messages have come to a mailbox, or gone from it; with now, that
// somebody searches them.
func (x *fulltext) note(b *box, now bool) {
	if x.dir == "" {
		return
	}
	x.noteJob(textJob{b.t.key, b.name()}, now)
}

func (x *fulltext) noteJob(job textJob, now bool) {
	x.mu.Lock()
	if now || !x.off && len(x.waiting) < maxTextJobs {
		x.waiting[job] = x.waiting[job] || now
	}
	x.asked = !x.running
	start := !x.running
	x.running = true
	x.mu.Unlock()
	if now {
		select {
		case x.hurry <- struct{}{}:
		default:
		}
	}
	if start {
		if !x.s.background(x.work) {
			x.mu.Lock()
			x.running = false
			x.mu.Unlock()
		}
	}
}

// work indexes what waits, and ends when nothing does.
func (x *fulltext) work() {
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	defer ended.Wait()
	defer cancel()
	ended.Go(func() {
		select {
		case <-x.s.stop:
		case <-ctx.Done():
		}
		cancel()
	})
	for {
		pause := time.NewTimer(textPause)
		select {
		case <-pause.C:
		case <-x.hurry:
		case <-ctx.Done():
		}
		pause.Stop()
		jobs := x.take(ctx)
		if jobs == nil {
			return
		}
		x.run(ctx, jobs)
	}
}

// take returns what waits; nil: nothing, and the work has ended.
func (x *fulltext) take(ctx context.Context) map[textJob]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if ctx.Err() != nil {
		clear(x.waiting)
	}
	if len(x.waiting) == 0 && !x.asked {
		x.running = false
		return nil
	}
	x.asked = false
	jobs := x.waiting
	x.waiting = make(map[textJob]bool)
	return jobs
}

// run brings mailboxes into the index, those that are searched first, and then
// looks for what is not needed any more: only then is known where a message went
// that was moved.
func (x *fulltext) run(ctx context.Context, jobs map[textJob]bool) {
	cfg, err := x.s.d.Config(ctx)
	x.mu.Lock()
	x.off = err != nil || !cfg.FTS
	x.mu.Unlock()
	if err != nil || !cfg.FTS {
		return
	}
	accounts := make(map[int64]treeKey)
	for _, now := range []bool{true, false} {
		for job, searched := range jobs {
			if searched != now || ctx.Err() != nil || !searched && !cfg.FTSAutoindex {
				continue
			}
			account, err := x.index(ctx, cfg, job, true)
			x.report(err, job.key.user, job.name)
			if account != 0 {
				accounts[account] = job.key
			}
		}
	}
	for account, key := range accounts {
		if ctx.Err() == nil {
			x.report(x.clean(ctx, account, key), key.user, "")
		}
	}
}

func (x *fulltext) report(err error, user, mailbox string) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrNoMailbox) || errors.Is(err, ErrClosed) {
		return
	}
	x.s.d.Log.Warn("cannot write text index", "user", user, "mailbox", mailbox, slog.Any("err", err))
}
