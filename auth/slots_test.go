package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestKnownUsersDoNotWaitForStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slots
		lim := limits{running: 2, memory: 64}
		for range 50 { // guessers, a second each
			go func() {
				release, err := s.take(t.Context(), 0, lim, stranger, "")
				if err == nil {
					time.Sleep(time.Second)
					release(true)
				}
			}()
		}
		synctest.Wait()
		s.mu.Lock()
		if s.running != 1 {
			t.Errorf("%d strangers at once", s.running)
		}
		s.mu.Unlock()
		start := time.Now()
		a, err := s.take(t.Context(), 0, lim, known, "")
		if err != nil || time.Since(start) != 0 {
			t.Errorf("a known user waits %v, %v", time.Since(start), err)
		}
		go func() { time.Sleep(time.Second / 2); a(false) }()
		b, err := s.take(t.Context(), 0, lim, known, "")
		if err != nil || time.Since(start) != time.Second/2 {
			t.Errorf("the next one waits %v, %v", time.Since(start), err)
		}
		b(false)
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running != 0 || s.strangers != 0 || len(s.waiting) != 0 {
			t.Errorf("left over: %+v", &s)
		}
	})
}

// crowd waits for turns of 100 ms each, wrong or right, and returns the order
// of those who had theirs in the time.
func crowd(t *testing.T, s *slots, lim limits, length time.Duration, wrong bool, who ...turn) []string {
	var mu sync.Mutex
	var order []string
	end := time.Now().Add(length)
	for _, w := range who {
		go func() {
			release, err := s.take(t.Context(), 0, lim, w.lane, w.net)
			if err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
			if time.Now().Before(end) {
				mu.Lock()
				order = append(order, w.net)
				mu.Unlock()
			}
			release(wrong)
		}()
		synctest.Wait() // in this order
	}
	time.Sleep(length)
	mu.Lock()
	defer mu.Unlock()
	return order
}

func TestNetworksTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slots
		got := crowd(t, &s, limits{running: 1, memory: 1}, time.Minute, true,
			turn{lane: suspect, net: "s"}, turn{lane: suspect, net: "s"}, turn{lane: stranger, net: "a"}, turn{lane: stranger, net: "a"},
			turn{lane: stranger, net: "a"}, turn{lane: stranger, net: "b"}, turn{lane: stranger, net: "b"}, turn{lane: stranger, net: "c"}, turn{lane: met, net: "m"}, turn{lane: known, net: "k"})
		if order := strings.Join(got, ""); order != "skmabcabas" {
			t.Error(order)
		}
	})
}

func TestGuessesHaveAShareOfTheProcessor(t *testing.T) {
	many := make([]turn, 150)
	for i := range many {
		many[i] = turn{lane: stranger, net: fmt.Sprint(i)}
	}
	for _, tt := range []struct {
		percent  int
		wrong    bool
		from, to int // turns in ten seconds
	}{{25, true, 28, 32}, {50, true, 58, 62}, {0, true, 99, 100}, {25, false, 99, 100}} {
		synctest.Test(t, func(t *testing.T) {
			var s slots
			got := crowd(t, &s, limits{running: 2, memory: 1, guesses: tt.percent}, 10*time.Second, tt.wrong, many...)
			if len(got) < tt.from || len(got) > tt.to {
				t.Errorf("%+v: %d turns", tt, len(got))
			}
			start := time.Now()
			if release, err := s.take(t.Context(), 0, limits{running: 2, memory: 1, guesses: tt.percent}, known, ""); err != nil || time.Since(start) != 0 {
				t.Errorf("%+v: a known user waits %v: %v", tt, time.Since(start), err)
			} else {
				release(false)
			}
			time.Sleep(slotWait + time.Minute)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.running != 0 || s.timer != nil || len(s.waiting) != 0 {
				t.Errorf("left over: %+v", &s)
			}
		})
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slots
		lim := limits{running: 1, memory: 1}
		hold, _ := s.take(t.Context(), 0, lim, known, "")
		var mu sync.Mutex
		busy := make(map[lane]int)
		for _, l := range []lane{suspect, stranger, known} {
			for range 4 * maxWaiting {
				go func() {
					release, err := s.take(t.Context(), 0, lim, l, "")
					if err == nil {
						release(false)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if errors.Is(err, errBusy) {
						busy[l]++
					}
				}()
			}
			synctest.Wait()
		}
		mu.Lock()
		if busy[suspect] != 700 || busy[stranger] != 700 || busy[known] != 400 {
			t.Errorf("turned away: %v", busy)
		}
		mu.Unlock()
		hold(false)
		synctest.Wait()
	})
}

func TestSlotsBoundRunningAndMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slots
		lim := limits{running: 2, memory: 64}
		a, err1 := s.take(t.Context(), 40, lim, known, "")
		b, err2 := s.take(t.Context(), 0, lim, known, "")
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		var wg sync.WaitGroup
		order := make(chan int64, 3)
		for i, need := range []int64{1000, 30, 1} {
			wg.Go(func() {
				time.Sleep(time.Duration(i))
				release, err := s.take(t.Context(), need, lim, known, "")
				if err != nil {
					t.Error(err)
					return
				}
				order <- need
				time.Sleep(time.Second)
				release(false)
			})
		}
		synctest.Wait()
		time.Sleep(time.Second)
		b(false)
		synctest.Wait()
		if len(order) != 0 {
			t.Error("a turn though the memory is taken")
		}
		a(false)
		synctest.Wait()
		if len(order) != 1 || <-order != 1000 {
			t.Error("who needs more than all does not run alone, in its turn")
		}
		wg.Wait()
		if s.running != 0 || s.memory != 0 || len(s.waiting) != 0 {
			t.Errorf("left over: %+v", &s)
		}
	})
}

func TestSlotsGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s slots
		lim := limits{running: 1, memory: 1}
		release, _ := s.take(t.Context(), 0, lim, stranger, "")
		start := time.Now()
		if _, err := s.take(t.Context(), 0, lim, stranger, ""); !errors.Is(err, errBusy) || time.Since(start) != slotWait {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.take(ctx, 0, lim, stranger, ""); !errors.Is(err, context.Canceled) {
			t.Errorf("gone client: %v", err)
		}
		var wg sync.WaitGroup
		for range maxWaiting {
			wg.Go(func() { s.take(t.Context(), 0, lim, stranger, "") })
		}
		synctest.Wait()
		if _, err := s.take(t.Context(), 0, lim, stranger, ""); !errors.Is(err, errBusy) {
			t.Errorf("one more than may wait: %v", err)
		}
		wg.Wait()
		release(false)
		if s.running != 0 || len(s.waiting) != 0 {
			t.Errorf("left over: %+v", &s)
		}
	})
}
