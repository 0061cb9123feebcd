package workload

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/bench/system"
)

// run is one system at one workload, in one round.
type run struct {
	system  system.System
	session system.Session
	url     string
	stored  *stored
	time    time.Duration
	warmUp  time.Duration
	// admin is a connection to the same database that is not part of the measurement.
	admin *pgxpool.Pool
}

// batches cuts the payload into saves, without an allocation.
type batches struct {
	events []payload.Event // twice in a row, so that no batch needs to be joined
	whole  int
	next   int
}

func newBatches(events []payload.Event, size, start int) *batches {
	twice := slices.Clone(events)
	for len(twice) < len(events)+size {
		twice = append(twice, events...)
	}
	return &batches{events: twice, whole: len(events), next: start % len(events)}
}

func (b *batches) take(size int) []payload.Event {
	from := b.next
	b.next = (b.next + size) % b.whole
	return b.events[from : from+size : from+size]
}

// timings are the durations of operations.
type timings struct {
	all []time.Duration
}

func newTimings() *timings { return &timings{all: make([]time.Duration, 0, 1<<16)} }

func (t *timings) add(d time.Duration) { t.all = append(t.all, d) }

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// the smallest that is not below p of all
	return sorted[min(len(sorted)-1, max(0, int(math.Ceil(p*float64(len(sorted))))-1))]
}

// operation does one operation of a client and returns how many events it was about.
type operation func(ctx context.Context, client int) (events int, err error)

// measured runs an operation in so many clients, first to warm up, and then for
// the time of the run.
func (r *run) measured(ctx context.Context, clients int, do operation) (Sample, error) {
	if _, err := r.repeat(ctx, clients, r.warmUp, do); err != nil {
		return Sample{}, err
	}
	return r.repeat(ctx, clients, r.time, do)
}

// repeat runs an operation in so many clients until the time is over. What was
// begun is finished, and counted.
func (r *run) repeat(ctx context.Context, clients int, howLong time.Duration, do operation) (Sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	took := make([]*timings, clients)
	for i := range took {
		took[i] = newTimings()
	}
	var over atomic.Bool
	var events atomic.Int64
	var wg sync.WaitGroup

	allocations := startAllocations()
	began := time.Now()
	timer := time.AfterFunc(howLong, func() { over.Store(true) })
	defer timer.Stop()
	for client := range clients {
		wg.Go(func() {
			done := 0
			defer func() { events.Add(int64(done)) }()
			for !over.Load() && ctx.Err() == nil {
				start := time.Now()
				n, err := do(ctx, client)
				if err != nil {
					cancel(err)
					return
				}
				took[client].add(time.Since(start))
				done += n
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return Sample{}, err
	}

	var all []time.Duration
	for _, t := range took {
		all = append(all, t.all...)
	}
	slices.Sort(all)
	return Sample{
		Operations: len(all),
		Events:     int(events.Load()),
		Seconds:    elapsed.Seconds(),
		P50:        milliseconds(percentile(all, 0.5)),
		P99:        milliseconds(percentile(all, 0.99)),
		Allocs:     allocations.each(len(all)),
	}, nil
}

// allocations counts those of the whole process.
type allocations uint64

func startAllocations() allocations {
	runtime.GC()
	return allocations(mallocs())
}

func (a allocations) each(n int) float64 {
	return float64(mallocs()-uint64(a)) / float64(max(1, n))
}

func mallocs() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

// size is that of the database, in bytes.
func (r *run) size(ctx context.Context) (bytes int64, err error) {
	err = r.admin.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return bytes, err
}
