package auth

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Figures are what verifying passwords has cost so far.
type Figures struct {
	Known     uint64        // hashes for users at places where they have been before
	Strangers uint64        // hashes for all others
	Wrong     uint64        // of both, those that a password did not fit
	Guessing  time.Duration // time that wrong passwords of strangers had a turn
}

func (f *Figures) count(l lane, wrong bool, took time.Duration) {
	if l == known {
		f.Known++
	} else {
		f.Strangers++
	}
	if !wrong {
		return
	}
	f.Wrong++
	if l != known {
		f.Guessing += took
	}
}

// Figures returns the counts since the start.
func (s *Service) Figures() Figures {
	s.slots.mu.Lock()
	defer s.slots.mu.Unlock()
	return s.slots.figures
}

// strangerNice is the priority, nice(1), of hashes for who may be guessing: a
// known user's hash has ten times the processor of theirs where both want it.
const strangerNice = 10

// atEase runs check. For who may be guessing it has a thread of its own with
// low priority, which ends with it: no right is needed to give priority up, one
// is to get it back. Argon2 computes in threads of the runtime's choice, and
// stays as it is.
func atEase(l lane, check func() bool) bool {
	if l <= met {
		return check()
	}
	type outcome struct {
		ok    bool
		panic any
	}
	done := make(chan outcome, 1)
	go func() { // ends with check
		runtime.LockOSThread() // never unlocked
		var o outcome
		defer func() {
			o.panic = recover()
			done <- o
		}()
		// Refused by a sandbox, it is as before.
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, strangerNice)
		o.ok = check()
	}()
	o := <-done
	if o.panic != nil {
		panic(o.panic)
	}
	return o.ok
}
