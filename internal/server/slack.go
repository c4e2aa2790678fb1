package server

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// slack is by how many ns the kernel may be late to wake a thread that sleeps.
// The thread by which the runtime watches for long system calls sleeps 20 µs at
// a time while deliveries wait in fsync; with the usual slack of 50 µs it costs
// a tenth of the processor time of a delivery. The runtime starts it before any
// code of ours, and slack is of a thread and those that it makes: prctl(2)
// PR_SET_TIMERSLACK. execve keeps it.
const slack = 300_000

// relaxed is the variable that says that the program was started anew with it.
const relaxed = "MAILSERVER_TIMER_SLACK"

// relax gives slack to this thread, which is locked and about to call execve.
func relax() {
	os.Setenv(relaxed, strconv.Itoa(slack))
	unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
}

// relaxAnew starts the program anew with slack, unless that was done or there is
// more. It is no reason not to serve that this cannot be done.
func relaxAnew() {
	done := os.Getenv(relaxed) != ""
	os.Unsetenv(relaxed)
	now, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if done || err != nil || now >= slack {
		return
	}
	exe, err := ownProgram()
	if err != nil {
		return
	}
	runtime.LockOSThread()
	confinedExec(exe, nil) // returns on error only
	os.Unsetenv(relaxed)
	runtime.UnlockOSThread()
}
