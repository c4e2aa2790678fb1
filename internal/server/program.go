package server

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// area is a range of addresses.
type area struct{ start, end uintptr }

// programPages are where the program's own file is mapped and no page differs
// from the file: code and constants. They are read from smaps, proc(5).
func programPages(smaps io.Reader, program string) (list []area) {
	var a area
	candidate := false
	for sc := bufio.NewScanner(smaps); sc.Scan(); {
		field := strings.Fields(sc.Text())
		switch {
		case len(field) >= 6 && strings.Contains(field[0], "-"):
			_, err := fmt.Sscanf(field[0], "%x-%x", &a.start, &a.end)
			candidate = err == nil && !strings.Contains(field[1], "w") && field[5] == program
		case len(field) == 3 && field[0] == "Anonymous:" && candidate:
			if field[1] == "0" {
				list = append(list, a)
			}
			candidate = false
		}
	}
	return list
}

// leaveProgram lets go of the pages of the program's own file that the work
// before has touched: the kernel has them in its cache, and maps those again
// that are needed still, sixteen at a time. The start runs much of the program
// once, and so do the first clients. Without /proc nothing happens.
func leaveProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, a := range programPages(f, program) {
		// An error leaves the pages where they are.
		syscall.Syscall(syscall.SYS_MADVISE, a.start, a.end-a.start, syscall.MADV_DONTNEED)
	}
}
