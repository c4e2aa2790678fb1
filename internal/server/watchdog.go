package server

import (
	"context"
	"os"
	"strconv"
	"time"
)

// watchdogInterval is half of what systemd allows between two signs of life,
// sd_watchdog_enabled(3); 0 when it wants none.
func watchdogInterval() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// watchdog says that the server lives as long as both files can be asked. An
// answer that is an error is an answer: a lock in the sqlite3 shell is no
// reason to be killed.
func (s *Server) watchdog(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.Mail.View(ctx)
		s.State.Bans(ctx, time.Now())
		notify("WATCHDOG=1")
	}
}
