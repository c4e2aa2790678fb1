// Package testport finds ports of loopback for the programs that tests start.
package testport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Programs get ports from here up. Below 32768 the system gives none to
// outgoing connections.
const firstPort, lastPort = 21000, 32767

// Base finds a number to which each of the offsets can be added to make a
// port of loopback where nothing listens, for programs that bind them later.
// No other test of this machine is given these ports before this one ends.
func Base(t testing.TB, offsets ...int) int {
	t.Helper()
	most := 0
	for _, o := range offsets {
		most = max(most, o)
	}
	for range 1000 {
		base := firstPort + rand.IntN(lastPort-firstPort-most)
		if held, ok := reserve(base, offsets); ok {
			t.Cleanup(func() { release(held) })
			return base
		}
	}
	t.Fatal("no ports are free")
	return 0
}

// reserve holds ports by abstract sockets that are named for them: they are
// the machine's, and go with the process.
func reserve(base int, offsets []int) (held []net.Listener, ok bool) {
	for _, o := range offsets {
		name, err := net.Listen("unix", fmt.Sprintf("@mailserver-test-port-%d", base+o))
		if err != nil {
			release(held)
			return nil, false
		}
		held = append(held, name)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+o))
		if err != nil {
			release(held)
			return nil, false
		}
		l.Close()
	}
	return held, true
}

// Addr is an address of loopback where nothing listens, held as by Base.
func Addr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", Base(t, 0))
}

func release(held []net.Listener) {
	for _, l := range held {
		l.Close()
	}
}
