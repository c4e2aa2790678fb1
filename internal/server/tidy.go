package server

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The runtime collects garbage when there is as much of it as of what lives. A
// server that has become quiet would keep what its last busy moment has left,
// and the grown stacks of all sessions that wait, for two minutes; and the
// kernel would not get back much of it.
const (
	// tidyFirst is how long after the start its remains are given back.
	tidyFirst    = time.Second
	tidyInterval = 2 * time.Second
	// quiet is how much is allocated between two looks when little goes on.
	quiet = 256 << 10
	// untidy is how much must have been allocated since the last time.
	untidy = 1 << 20
)

// tidy gives memory back whenever the server has become quiet.
func (s *Server) tidy(ctx context.Context) {
	tick := time.NewTicker(tidyFirst)
	defer tick.Stop()
	var before, tidied uint64
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		tick.Reset(tidyInterval)
		now := allocated()
		if first || now-before < quiet && now-tidied > untidy {
			debug.FreeOSMemory()
			leaveProgram()
			now = allocated()
			tidied = now
		}
		before = now
	}
}

// allocated is how many bytes the process has allocated since its start.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
