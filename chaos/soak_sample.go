package chaos

import (
	"math"
	"math/bits"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Sample is what there is to see in a worker of a soak.
type Sample struct {
	// Saves, Stored and Read are saves, events in them, and events read, since the
	// sample before.
	Saves, Stored, Read int64
	// Latency counts saves since the sample before by how long they took, see
	// latencies.
	Latency []int64
	// Lag is how old the last event is that the slowest reader has read, 0 if it has
	// read them all.
	Lag time.Duration
	// Heap is what is in use after a collection, RSS the process's memory, 0 where the
	// system does not tell, and Backend the memory of a session of the server's, 0 if
	// there is none. All are bytes.
	Heap, RSS, Backend int64
	Goroutines         int
	// Failure is what was wrong, "" if nothing was.
	Failure string
}

// sample takes one.
func (w *soaker) sample() Sample {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	saves, stored, read := w.saves.Load(), w.stored.Load(), w.read.Load()
	s := Sample{
		Saves: saves - w.sampled.Saves, Stored: stored - w.sampled.Stored, Read: read - w.sampled.Read,
		Latency: w.latency.reset(), Heap: int64(memory.HeapAlloc), RSS: residentSize(), Goroutines: runtime.NumGoroutine(),
	}
	w.sampled.Saves, w.sampled.Stored, w.sampled.Read = saves, stored, read
	for _, r := range w.readers {
		s.Lag = max(s.Lag, time.Duration(r.lag.Load()))
	}
	var err error
	if s.Backend, err = w.backend(); err != nil {
		w.fail("memory of a session: %w", err)
	}
	if err := w.failure(); err != nil {
		s.Failure = err.Error()
	}
	return s
}

// backend returns the memory of a session of the pool.
func (w *soaker) backend() (size int64, err error) {
	if w.pool == nil {
		return 0, nil
	}
	ctx, cancel := w.call()
	defer cancel()
	err = w.pool.QueryRow(ctx, "SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts").Scan(&size)
	return size, err
}

// residentSize returns how much memory the process has.
func residentSize() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// latencies counts durations in microseconds, in four steps for each power of two.
// It is safe for concurrent use.
type latencies [4 * 32]atomic.Int64

func (l *latencies) add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 4))
	power := bits.Len64(us) - 1
	step := us >> (power - 2) & 3
	l[min(uint64(4*power)+step, uint64(len(l)-1))].Add(1)
}

// reset returns the counts and begins anew.
func (l *latencies) reset() []int64 {
	counts := make([]int64, len(l))
	for i := range l {
		counts[i] = l[i].Swap(0)
	}
	return counts
}

// percentile returns the upper end of the step in which the percentile lies, in
// milliseconds.
func percentile(counts []int64, share float64) float64 {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	left := int64(math.Ceil(float64(total) * share))
	for i, n := range counts {
		if left -= n; left <= 0 && total > 0 {
			return math.Ldexp(float64(4+i%4+1), i/4-2) / 1000
		}
	}
	return 0
}
