package auth

import (
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
				release, err := s.take(t.Context(), 0, lim, false)
				if err == nil {
					time.Sleep(time.Second)
					release()
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
		a, err := s.take(t.Context(), 0, lim, true)
		if err != nil || time.Since(start) != 0 {
			t.Errorf("a known user waits %v, %v", time.Since(start), err)
		}
		go func() { time.Sleep(time.Second / 2); a() }()
		b, err := s.take(t.Context(), 0, lim, true)
		if err != nil || time.Since(start) != time.Second/2 {
			t.Errorf("the next one waits %v, %v", time.Since(start), err)
		}
		b()
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running != 0 || s.strangers != 0 || len(s.waiting) != 0 {
			t.Errorf("left over: %+v", &s)
		}
	})
}
