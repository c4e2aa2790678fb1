package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// spread gives the scheduler two processors for each real one: a delivery waits
// in fsync, and with a spare one the runtime does not take the processor away
// from each thread that does, and give it back, by waking others.
func spread() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}

// unmapProgram gives back what the start has used of the program itself: much
// of its code and tables runs once. What is needed again comes back from the
// kernel's cache. Without /proc nothing happens.
func unmapProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for sc := bufio.NewScanner(maps); sc.Scan(); {
		var from, to uintptr
		var rights string
		if !strings.HasSuffix(sc.Text(), " "+exe) {
			continue
		}
		// proc_pid_maps(5): address perms offset dev inode pathname. What can be
		// written holds variables, and stays.
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x %s", &from, &to, &rights); err == nil && rights[1] != 'w' {
			syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}
