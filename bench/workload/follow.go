package workload

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/system"
)

// follower runs a session's reader.
type follower struct {
	mu       sync.Mutex
	arrived  map[system.ID]time.Time // the first time
	twice    int
	progress atomic.Int64 // how often something was delivered

	stop  context.CancelFunc
	ended chan struct{}
	err   error // the reader's, once it has ended
}

// startFollower returns when the reader is ready.
func startFollower(ctx context.Context, session system.Session) (*follower, error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{arrived: map[system.ID]time.Time{}, stop: cancel, ended: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer close(f.ended)
		f.err = session.(system.Follower).Follow(ctx, func() { close(ready) }, f.deliver)
	}()
	select {
	case <-ready:
		return f, nil
	case <-f.ended:
		cancel()
		return nil, errors.Join(f.err, errors.New("the reader ended before it was ready"))
	}
}

func (f *follower) deliver(id system.ID) {
	now := time.Now()
	f.mu.Lock()
	if _, ok := f.arrived[id]; ok {
		f.twice++
	} else {
		f.arrived[id] = now
	}
	f.mu.Unlock()
	f.progress.Add(1)
}

func (f *follower) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.arrived)
}

// await waits until so many events have arrived, or none has for the time given,
// or the reader fails. It reports whether the reader is still on its way.
func (f *follower) await(ctx context.Context, want int, quiet, limit time.Duration) (undecided bool, err error) {
	deadline := time.After(limit)
	last, since := f.progress.Load(), time.Now()
	for f.count() < want {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-f.ended:
			return false, errors.Join(f.err, errors.New("the reader ended early"))
		case <-deadline:
			return true, nil
		case <-time.After(5 * time.Millisecond):
		}
		if now := f.progress.Load(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > quiet {
			return false, nil
		}
	}
	return false, nil
}

// end ends the reader and waits for it, so that it is not in the way of whatever
// comes next. It may be called again.
func (f *follower) end() error {
	f.stop()
	<-f.ended
	return f.err
}

const (
	latencyRate  = 1000 // events a second
	latencyLeast = 2 * time.Second
	// readerQuiet is how long a reader may deliver nothing before it is taken to be
	// done. The readers that are measured pause for 100 ms at most.
	readerQuiet = 3 * time.Second
	readerLimit = time.Minute
)

// latency saves at a steady rate. An event's latency begins when it is due, so
// that a system which cannot keep up is not excused.
func latency(ctx context.Context, r *run) (Sample, error) {
	const clients, apart = 16, time.Second / latencyRate
	warmUp := newSaver(r.session, r.stored.events, 1, clients, false)
	if _, err := r.repeat(ctx, clients, r.warmUp, warmUp.save); err != nil {
		return Sample{}, err
	}
	f, err := startFollower(ctx, r.session)
	if err != nil {
		return Sample{}, err
	}
	defer func() { _ = f.end() }()
	n := int(max(r.time, latencyLeast) / apart)
	ids := make([]string, n)
	for i := range ids {
		ids[i] = uuid.NewString()
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, clients)
	began := time.Now()
	for client := range clients {
		b := newBatches(r.stored.events, 1, client*31)
		wg.Go(func() {
			for errs[client] == nil {
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				time.Sleep(time.Until(began.Add(time.Duration(i) * apart)))
				errs[client] = r.session.Save(ctx, system.Batch{Aggregate: ids[i], Events: b.take(1)})
			}
		})
	}
	wg.Wait()
	undecided, err := f.await(ctx, n, readerQuiet, readerLimit)
	elapsed := time.Since(began)
	if err := errors.Join(append(errs, err)...); err != nil {
		return Sample{}, err
	}
	if err := f.end(); err != nil {
		return Sample{}, err
	}

	all := make([]time.Duration, 0, n)
	for i, id := range ids {
		if at, ok := f.arrived[system.ID{Aggregate: id, Version: 1}]; ok {
			all = append(all, at.Sub(began.Add(time.Duration(i)*apart)))
		}
	}
	slices.Sort(all)
	return Sample{
		Events: len(all), Seconds: readSeconds(elapsed, len(all) < n && !undecided),
		P50: milliseconds(percentile(all, 0.5)), P99: milliseconds(percentile(all, 0.99)),
		Saved: n, Missed: n - len(all), Twice: f.twice, Undecided: undecided,
	}, nil
}

const (
	missedSaves   = 1500
	missedLargest = 5
)

// missed lets the system's reader follow its writers. Saves differ in size, so
// that they commit in another order than they began in.
func missed(ctx context.Context, r *run) (Sample, error) {
	f, err := startFollower(ctx, r.session)
	if err != nil {
		return Sample{}, err
	}
	defer func() { _ = f.end() }()
	const clients = 16
	saved := make([][]system.ID, clients)
	errs := make([]error, clients)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for client := range clients {
		b := newBatches(r.stored.events, missedLargest, client*31)
		wg.Go(func() {
			for errs[client] == nil {
				i := int(next.Add(1) - 1)
				if i >= missedSaves {
					return
				}
				batch := system.Batch{Aggregate: uuid.NewString(), Events: b.take(1 + i%missedLargest)}
				if errs[client] = r.session.Save(ctx, batch); errs[client] != nil {
					return
				}
				for v := range batch.Events {
					saved[client] = append(saved[client], system.ID{Aggregate: batch.Aggregate, Version: v + 1})
				}
			}
		})
	}
	wg.Wait()
	all := slices.Concat(saved...)
	undecided, err := f.await(ctx, len(all), readerQuiet, readerLimit)
	elapsed := time.Since(began)
	if err := errors.Join(append(errs, err)...); err != nil {
		return Sample{}, err
	}
	if err := f.end(); err != nil {
		return Sample{}, err
	}
	sample := Sample{Events: len(f.arrived), Saved: len(all), Twice: f.twice, Undecided: undecided}
	for _, id := range all {
		if _, ok := f.arrived[id]; !ok {
			sample.Missed++
		}
	}
	sample.Seconds = readSeconds(elapsed, sample.Missed > 0 && !undecided)
	return sample, nil
}

// readSeconds is how long a reader took, without the time in which it was only waited for.
func readSeconds(elapsed time.Duration, waitedInVain bool) float64 {
	if waitedInVain {
		elapsed -= readerQuiet
	}
	return elapsed.Seconds()
}
