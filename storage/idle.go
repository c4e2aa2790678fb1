package storage

import (
	"slices"
	"sync"
	"time"
)

const (
	// maxIdleMessages bounds the messages of mailboxes that stay in memory
	// after their last view, together: at most 3.6 MB.
	maxIdleMessages = 128 << 10
	// maxIdle is how long they stay, maxIdleLarge how long those do that have more
	// than largeIdle messages.
	maxIdle      = 10 * time.Minute
	maxIdleLarge = time.Minute
	largeIdle    = 32 << 10
)

// idleBoxes are mailboxes that are still in memory though no view is open: a
// client that comes back soon finds them there.
type idleBoxes struct {
	mu       sync.Mutex
	list     []idleBox // the one that was closed last stands last
	messages int
}

type idleBox struct {
	b        *box
	messages int
	since    time.Time
}

// put takes a mailbox without views, and drops others for it. b.mu is held for
// writing. It answers false for one that is too large.
func (l *idleBoxes) put(b *box, now time.Time) bool {
	n := len(b.msgs.uid)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(func(i idleBox) bool { return i.b == b })
	if n > maxIdleMessages {
		return false
	}
	l.list = append(l.list, idleBox{b, n, now})
	l.messages += n
	excess := l.messages - maxIdleMessages
	l.drop(func(i idleBox) bool {
		if excess <= 0 || i.b == b || !i.b.forget() {
			return false
		}
		excess -= i.messages
		return true
	})
	return true
}

// expire drops those that nobody came back to.
func (l *idleBoxes) expire(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(func(i idleBox) bool { return now.Sub(i.since) > i.stays() && i.b.forget() })
}

func (i idleBox) stays() time.Duration {
	if i.messages > largeIdle {
		return maxIdleLarge
	}
	return maxIdle
}

func (l *idleBoxes) drop(when func(idleBox) bool) {
	l.list = slices.DeleteFunc(l.list, func(i idleBox) bool {
		if !when(i) {
			return false
		}
		l.messages -= i.messages
		return true
	})
}

// forget gives the memory back, if no view has come since. It answers false
// when the mailbox is in use at this moment.
func (b *box) forget() bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	if b.views == 0 {
		b.msgs = nil
	}
	return true
}
