package test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTimerSlack: the server has started itself anew, once, with more slack for
// its timers.
func TestTimerSlack(t *testing.T) {
	if own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0); err != nil || own > 100_000 {
		t.Skip("the kernel has no slack of timers, or others have set it:", own, err)
	}
	h := sampleHost(t, "")
	h.start()
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", h.cmd.Process.Pid))
	if errors.Is(err, fs.ErrPermission) {
		t.Skip("the environment of another user's process:", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(env, []byte("MAILSERVER_TIMER_SLACK=")) {
		t.Errorf("the environment of the server says nothing of timer slack: %q", env)
	}
	h.stop()
}
