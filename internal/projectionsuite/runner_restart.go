package projectionsuite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

var errCut = errors.New("the connection was cut")

func testRestarts(t *testing.T, open opener) {
	open.run(t, "a restart goes on where it was", func(w *world) {
		var j journal
		for range 4 {
			i := w.start(j.handler("a"))
			w.waitFor(w.open(30, many(5)...))
			w.stop(i)
			w.open(10, many(5)...) // while nobody works
		}
		w.start(j.handler("a"))
		w.waitFor(w.open(1, "a0"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "what was handled when the context ends is not handled again", func(w *world) {
		var j journal
		last := w.open(10, many(2)...)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		handler := projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
			for _, e := range events {
				j.add(entryOf(ctx, "a", e))
			}
			cancel()
			return nil
		}, &opened{})
		if err := projection.New(name, w.repository, handler, w.options()...).Run(ctx); err != nil {
			w.Errorf("Run: %v", err)
		}
		w.start(j.handler("b"))
		w.waitFor(last)
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a handler that is interrupted gets its events again", func(w *world) {
		var j journal
		last := w.open(10, many(2)...)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		handler := j.handler("a", func(ctx context.Context, e *opened) error {
			if e.Version == 3 {
				cancel()
				return ctx.Err()
			}
			return nil
		})
		if err := projection.New(name, w.repository, handler, w.options(projection.WithFailurePolicy(projection.Park))...).Run(ctx); err != nil {
			w.Errorf("Run: %v", err)
		}
		w.start(j.handler("b"))
		w.waitFor(last)
		w.wantEach(j.all(""), false)
		w.wantParked(nil)
		if n := len(j.all("b")); n < 6 {
			w.Errorf("%d events were handled after the restart", n)
		}
	})

	open.run(t, "events whose checkpoint was not stored come again, in order", func(w *world) {
		for _, lost := range []string{"before the call", "after it"} {
			for at := 1; at <= 3; at++ {
				var moves atomic.Int32
				flaky := intercept(w.checkpoints, func(ctx context.Context, c call, next func(context.Context) error) error {
					if c.method != "Advance" || c.move.Handled == 0 || moves.Add(1) != int32(at) {
						return next(ctx)
					}
					if lost == "after it" {
						if err := next(ctx); err != nil {
							return err
						}
					}
					return errCut
				})
				var j journal
				last := w.open(40, many(3)...)
				i := w.start(j.handler("a"), projection.WithCheckpoints(flaky), projection.WithBatchSize(10), projection.WithFailurePolicy(projection.Skip))
				w.waitFor(last)
				w.stop(i)
				// The journal begins where the last round ended.
				w.wantRound(&j, 40, lost == "after it")
				if moves.Load() < int32(at) {
					w.Error("no checkpoint was lost")
				}
			}
		}
		w.wantParked(nil)
	})

	open.run(t, "reads that fail are repeated for ever, and nothing is parked", func(w *world) {
		var fails atomic.Int32
		fails.Store(8)
		spy := &spyStore{fullStore: w.full(), follow: func(eventsource.Query) error {
			if fails.Add(-1) >= 0 {
				return errCut
			}
			return nil
		}}
		var j journal
		last := w.open(20, many(3)...)
		w.startOn(repositoryOn(spy), j.handler("a"), projection.WithRetry(1, time.Millisecond, time.Millisecond), projection.WithFailurePolicy(projection.Park))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), true)
		w.wantParked(nil)
		if fails.Load() > 0 {
			w.Errorf("%d reads did not fail", fails.Load())
		}
	})

	open.run(t, "a horizon that cannot be read is read again", func(w *world) {
		var fails atomic.Int32
		fails.Store(3)
		spy := &spyStore{fullStore: w.full(), broken: func() error {
			if fails.Add(-1) >= 0 {
				return errCut
			}
			return nil
		}}
		var j journal
		last := w.open(2, "a")
		w.startOn(repositoryOn(spy), j.handler("a"))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), true)
	})

	open.run(t, "checkpoints that fail, any call of them, are tried again for ever, and nothing is parked", func(w *world) {
		var mu sync.Mutex
		failed := make(map[string]int)
		flaky := intercept(w.checkpoints, func(ctx context.Context, c call, next func(context.Context) error) error {
			mu.Lock()
			failed[c.method]++
			fail := failed[c.method] <= 3
			mu.Unlock()
			if fail {
				return errCut
			}
			return next(ctx)
		})
		var j journal
		last := w.open(20, many(3)...)
		w.start(j.handler("a"), projection.WithCheckpoints(flaky), projection.WithRetry(1, time.Millisecond, time.Millisecond),
			projection.WithFailurePolicy(projection.Park))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), false)
		w.wantParked(nil)
		mu.Lock()
		defer mu.Unlock()
		for _, method := range []string{"Load", "Update", "Advance", "Parked"} {
			if failed[method] <= 3 {
				w.Errorf("%s was called %d times", method, failed[method])
			}
		}
	})

	open.run(t, "a wait between tries ends with the context", func(w *world) {
		w.open(1, "a")
		tried := make(chan struct{}, 10)
		i := w.start(projection.On(func(context.Context, *opened) error {
			tried <- struct{}{}
			return errors.New("no")
		}), projection.WithRetry(10, time.Hour, time.Hour))
		receive(w, "the event is tried", tried)
		began := time.Now()
		w.stop(i)
		if took := time.Since(began); took > 10*time.Second {
			w.Errorf("Run returned after %v", took)
		}
	})

	open.run(t, "in a transaction, each event is handled exactly once, whatever breaks when", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		var calls atomic.Int32
		flaky := intercept(w.checkpoints, func(ctx context.Context, c call, next func(context.Context) error) error {
			switch n := calls.Add(1); {
			case c.method == "Advance" && n%7 == 3:
				return errors.Join(projection.ErrUnavailable, errCut)
			case c.method == "Transact" && n%5 == 1:
				if err := next(ctx); err != nil { // the answer is lost
					return err
				}
				return errors.Join(projection.ErrUnavailable, errCut)
			default:
				return next(ctx)
			}
		})
		var failures atomic.Int32
		handler := w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) {
			if failures.Add(1)%11 == 0 {
				return Entry{}, errors.New("a bad moment")
			}
			return entryOf(ctx, "a", e), nil
		})
		var last string
		for range 4 {
			last = w.open(50, many(7)...)
			i := w.start(handler, projection.WithCheckpoints(flaky), projection.WithBatchSize(5), projection.WithRetry(20, time.Millisecond, time.Millisecond))
			w.until("some are handled", func() bool { return len(w.rows(1)) > 0 && w.rows(1)[0].Position > "" })
			time.Sleep(20 * time.Millisecond) // end it anywhere
			w.stop(i)
		}
		w.start(handler)
		w.waitFor(last)
		w.wantEach(w.Ledger.Entries(w), true)
	})
}

// refusesTransactions wants a handler refused that needs a transaction which the
// checkpoints do not have.
func (w *world) refusesTransactions() {
	handler := projection.InTransaction(projection.On(func(context.Context, *opened) error { return nil }))
	p := projection.New(name, w.repository, handler, w.options()...)
	wantError(w.T, "Err", p.Err(), eventsource.ErrMisconfigured)
	wantError(w.T, "Run", p.Run(w.ctx()), eventsource.ErrMisconfigured)
}

// wantRound wants the last n opened events handled at least once in order, and again
// only if that may be.
func (w *world) wantRound(j *journal, n int, exactly bool) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	before := make(map[string]int) // events of earlier rounds
	first := make(map[string]int)
	entries := j.all("")
	for _, e := range entries {
		if _, known := first[e.AggregateID]; !known {
			first[e.AggregateID] = e.Version
			before[e.AggregateID] = e.Version - 1
		}
	}
	saved, count := make(map[string]int), 0
	for aggregateID := range first {
		saved[aggregateID] = w.saved[aggregateID] - before[aggregateID]
		count += saved[aggregateID]
	}
	for i := range entries {
		entries[i].Version -= before[entries[i].AggregateID]
	}
	checkEach(w, saved, entries, exactly)
	if count != n {
		w.Errorf("%d events were handled, want %d", count, n)
	}
}

// wantParked wants these events of aggregates, by their versions, parked, and no others.
func (w *world) wantParked(want map[string][]int) {
	w.Helper()
	got := w.parked()
	if len(want) == 0 {
		want = map[string][]int{}
	}
	equal(w, "parked events", want, got)
}

// parked gives the versions of the events that are parked or skipped, by aggregate.
func (w *world) parked() map[string][]int {
	w.Helper()
	found, err := w.manager.Parked(w.ctx(), name, 1, "", 0)
	if err != nil {
		w.Fatalf("Parked: %v", err)
	}
	got := make(map[string][]int)
	for _, p := range found {
		got[p.AggregateID] = append(got[p.AggregateID], p.AggregateVersion)
	}
	return got
}
