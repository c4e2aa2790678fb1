package main

import (
	"os"
	"runtime"
)

// spread gives the scheduler two processors for each real one: a delivery waits
// in fsync, and with a spare one the runtime does not take the processor away
// from each thread that does, and give it back, by waking others.
func spread() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
