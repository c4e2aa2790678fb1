package auth

import (
	"testing"

	"golang.org/x/sys/unix"
)

// niceness is the priority of the thread that asks; the system call answers 20
// minus nice(1).
func niceness(t *testing.T) int {
	n, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		t.Error(err)
	}
	return 20 - n
}

func TestGuessesHaveLowPriority(t *testing.T) {
	own := niceness(t)
	for l, want := range map[lane]int{known: own, met: own, stranger: max(own, strangerNice), suspect: max(own, strangerNice)} {
		if !atEase(l, func() bool {
			if got := niceness(t); got != want {
				t.Errorf("lane %d: nice %d, want %d", l, got, want)
			}
			return true
		}) {
			t.Error("the answer is lost")
		}
		if got := niceness(t); got != own {
			t.Fatalf("lane %d: its priority stays: %d", l, got)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a panic is lost")
		}
	}()
	atEase(stranger, func() bool { panic("x") })
}
