package projectionsuite

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

var errPoison = errors.New("no such account")

// poisoned returns what a handler calls first, to fail at one event.
func poisoned(aggregateID string, version int, tries *atomic.Int32) func(context.Context, *opened) error {
	return func(_ context.Context, e *opened) error {
		if e.AggregateID == aggregateID && e.Version == version {
			tries.Add(1)
			return errPoison
		}
		return nil
	}
}

func testFailures(t *testing.T, open opener) {
	open.run(t, "an event that fails is tried again, and those before it are not", func(w *world) {
		var tries atomic.Int32
		var j journal
		last := w.open(10, "a", "b")
		w.start(j.handler("a", func(_ context.Context, e *opened) error {
			if e.Version == 4 && e.AggregateID == "b" && tries.Add(1) < 3 {
				return errPoison
			}
			return nil
		}))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), true)
		if tries.Load() != 3 {
			w.Errorf("the event was tried %d times", tries.Load())
		}
	})

	open.run(t, "a pause between tries grows up to the longest", func(w *world) {
		w.open(1, "a")
		var times []time.Time
		i := w.start(projection.On(func(context.Context, *opened) error {
			times = append(times, time.Now())
			return errPoison
		}), projection.WithRetry(6, 40*time.Millisecond, 100*time.Millisecond))
		wantError(w.T, "Run", w.end(i), projection.ErrEventFailed)
		if len(times) != 6 {
			w.Fatalf("tried %d times", len(times))
		}
		// Each pause may be shorter or longer by half.
		if all := times[5].Sub(times[0]); all < (20+40+50+50+50)*time.Millisecond {
			w.Errorf("all tries took %v", all)
		}
		if first := times[1].Sub(times[0]); first < 20*time.Millisecond {
			w.Errorf("the first pause was %v", first)
		}
	})

	open.run(t, "by default the projection stops at an event that keeps failing, and goes on with it after a restart", func(w *world) {
		var tries atomic.Int32
		var j journal
		w.open(10, "a", "b")
		i := w.start(j.handler("a", poisoned("b", 3, &tries)))
		err := w.end(i)
		var failed *projection.EventError
		if !errors.As(err, &failed) || !errors.Is(err, projection.ErrEventFailed) || !errors.Is(err, errPoison) {
			w.Fatalf("Run: %v", err)
		}
		id := w.sequenceID("b", 3)
		want := projection.EventError{
			Projection: name, Version: 1, SequenceID: id, AggregateID: "b", AggregateVersion: 3, Type: "opened", Tries: 3, Err: errPoison,
		}
		if got := *failed; got != want {
			w.Errorf("error is %+v, want %+v", got, want)
		}
		for _, part := range []string{name, id, `"b"`, "opened", errPoison.Error(), "3 times"} {
			if !strings.Contains(err.Error(), part) {
				w.Errorf("error %q does not name %s", err, part)
			}
		}
		if tries.Load() != 3 {
			w.Errorf("the event was tried %d times", tries.Load())
		}
		w.wantParked(nil)
		if p := w.rows(1)[0].Position; p >= id {
			w.Errorf("the checkpoint is at %s, and %s has failed", p, id)
		}
		w.start(j.handler("b"))
		w.waitFor(w.open(1, "a"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "an instance that stops lets others try", func(w *world) {
		last := w.open(5, "a")
		var tries atomic.Int32
		var j journal
		one := w.start(j.handler("one", poisoned("a", 2, &tries)), projection.WithLease(30*time.Second))
		wantError(w.T, "Run", w.end(one), errPoison)
		began := time.Now()
		w.start(j.handler("two"), projection.WithLease(30*time.Second))
		w.waitFor(last)
		if took := time.Since(began); took > 15*time.Second {
			w.Errorf("it took %v until another instance went on", took)
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "an event that keeps failing can be skipped, with a record of it", func(w *world) {
		var tries atomic.Int32
		var j journal
		last := w.open(10, "a", "b")
		began := time.Now()
		w.start(j.handler("a", poisoned("b", 3, &tries)), projection.WithFailurePolicy(projection.Skip))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		if got := j.of("b"); !slices.Equal(got, []int{1, 2, 4, 5}) {
			w.Errorf("handled of b: %v", got)
		}
		if got := j.of("a"); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
			w.Errorf("handled of a: %v", got)
		}
		found, err := w.manager.Parked(w.ctx(), name, 1, "", 0)
		if err != nil || len(found) != 1 {
			w.Fatalf("recorded: %+v, error %v", found, err)
		}
		at := found[0].Time
		found[0].Time = time.Time{}
		equal(w, "record", projection.Parked{
			Name: name, Version: 1, SequenceID: w.sequenceID("b", 3), AggregateID: "b", AggregateVersion: 3, Type: "opened",
			State: projection.StateSkipped, Error: errPoison.Error(), Tries: 3,
		}, found[0])
		if at.Before(began.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			w.Errorf("it was recorded at %v", at)
		}
	})

	open.run(t, "an event that keeps failing can be parked, with all later ones of its aggregate", func(w *world) {
		var tries atomic.Int32
		var j journal
		w.start(j.handler("a", poisoned("b", 3, &tries)), projection.WithFailurePolicy(projection.Park), projection.WithBatchSize(4))
		w.waitFor(w.open(10, "a", "b"))
		w.waitFor(w.open(4, "a", "b"))
		if got := j.of("b"); !slices.Equal(got, []int{1, 2}) {
			w.Errorf("handled of b: %v", got)
		}
		if got := j.of("a"); !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7}) {
			w.Errorf("handled of a: %v", got)
		}
		w.wantParked(map[string][]int{"b": {3, 4, 5, 6, 7}})
		found, err := w.manager.Parked(w.ctx(), name, 1, "", 0)
		if err != nil {
			w.Fatal(err)
		}
		for i, p := range found {
			wantTries, wantError := 0, ""
			if i == 0 {
				wantTries, wantError = 3, errPoison.Error()
			}
			if p.State != projection.StateParked || p.Tries != wantTries || p.Error != wantError || p.Type != "opened" || p.SequenceID != w.sequenceID("b", 3+i) {
				w.Errorf("parked: %+v", p)
			}
		}
		if tries.Load() != 3 {
			w.Errorf("the event was tried %d times", tries.Load())
		}
	})

	open.run(t, "more events are parked than one checkpoint can take", func(w *world) {
		var tries atomic.Int32
		var j journal
		last := w.open(500, "a", "b", "b", "b")
		w.start(j.handler("a", poisoned("b", 1, &tries)), projection.WithFailurePolicy(projection.Park))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		if n := len(w.parked()["b"]); n != 375 || len(j.of("a")) != 125 || len(j.of("b")) != 0 {
			w.Errorf("%d events are parked, handled were %d and %d", n, len(j.of("a")), len(j.of("b")))
		}
	})

	for _, policy := range []projection.FailurePolicy{projection.Skip, projection.Park} {
		open.run(t, "a handler of batches that does not say which event failed gets each alone, policy "+policyName(policy), func(w *world) {
			var j journal
			last := w.open(20, "a", "b")
			var whole atomic.Int32
			w.start(projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
				if len(events) > 1 {
					whole.Add(1)
				}
				for _, e := range events {
					if v := e.(*opened).Version; e.GetAggregateID() == "b" && v == 3 {
						return errPoison
					}
				}
				for _, e := range events {
					j.add(entryOf(ctx, "a", e))
				}
				return nil
			}, &opened{}), projection.WithFailurePolicy(policy))
			w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
			w.waitFor(last)
			want := []int{1, 2, 4, 5, 6, 7, 8, 9, 10}
			if policy == projection.Park {
				want = want[:2]
			}
			if got := j.of("b"); !slices.Equal(got, want) {
				w.Errorf("handled of b: %v", got)
			}
			if got := j.of("a"); len(got) != 10 {
				w.Errorf("handled of a: %v", got)
			}
			if n := whole.Load(); n != 3 {
				w.Errorf("the batch was tried %d times", n)
			}
		})
	}

	open.run(t, "a handler of batches that says which event failed gets the others once", func(w *world) {
		var j journal
		last := w.open(20, "a", "b")
		var tries atomic.Int32
		w.start(projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
			for i, e := range events {
				if v := e.(*opened).Version; e.GetAggregateID() == "b" && v == 3 {
					tries.Add(1)
					return projection.Handled(i, errPoison)
				}
				j.add(entryOf(ctx, "a", e))
			}
			return nil
		}, &opened{}), projection.WithFailurePolicy(projection.Park))
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		if got := j.of("b"); !slices.Equal(got, []int{1, 2}) {
			w.Errorf("handled of b: %v", got)
		}
		if got := j.of("a"); len(got) != 10 {
			w.Errorf("handled of a: %v", got)
		}
		if tries.Load() != 3 {
			w.Errorf("the event was tried %d times", tries.Load())
		}
	})

	open.run(t, "what a handler says of how many events it has handled may be nonsense", func(w *world) {
		for _, n := range []int{-1, 1000, 1 << 62} {
			w.open(3, "a")
			i := w.start(projection.Batch(func(context.Context, []eventsource.Event) error { return projection.Handled(n, errPoison) }, &opened{}))
			err := w.end(i)
			var failed *projection.EventError
			if !errors.As(err, &failed) || failed.AggregateVersion != 1 || !errors.Is(err, errPoison) {
				w.Errorf("Handled(%d): Run: %v", n, err)
			}
		}
	})

	open.run(t, "an error that is permanent is not tried again", func(w *world) {
		w.open(1, "a")
		tries := 0
		i := w.start(projection.On(func(context.Context, *opened) error {
			tries++
			return projection.Permanent(errPoison)
		}), projection.WithRetry(10, time.Hour, time.Hour))
		err := w.end(i)
		var failed *projection.EventError
		if !errors.As(err, &failed) || failed.Tries != 1 || !errors.Is(err, errPoison) || tries != 1 {
			w.Errorf("tried %d times, Run: %v", tries, err)
		}
	})

	open.run(t, "a panic is an error with its stack", func(w *world) {
		for _, value := range []any{errPoison, "no such account", nil} {
			w.open(1, "a")
			i := w.start(projection.On(func(context.Context, *opened) error { panic(value) }))
			err := w.end(i)
			var panicked *projection.PanicError
			var failed *projection.EventError
			if !errors.As(err, &panicked) || !errors.As(err, &failed) {
				w.Fatalf("Run: %v", err)
			}
			if !strings.Contains(string(panicked.Stack), "runner_failures.go") {
				w.Errorf("stack:\n%s", panicked.Stack)
			}
			if cause, ok := value.(error); ok && !errors.Is(err, cause) {
				w.Errorf("the error is not the one that the handler panicked with: %v", err)
			}
		}
	})

	for _, panics := range []bool{false, true} {
		what := "an event that cannot be decoded "
		if panics {
			what = "an event at which the decoder panics "
		}
		handler := func(j *journal) projection.Handler {
			return projection.Each(func(ctx context.Context, e eventsource.Event) error {
				j.add(entryOf(ctx, "a", e))
				return nil
			})
		}
		poison := func(aggregateID string) eventsource.Event {
			return &broken{BaseEvent: eventsource.BaseEvent{AggregateID: aggregateID}, Panics: panics}
		}
		open.run(t, what+"stops the projection", func(w *world) {
			var j journal
			last := w.save(changedOf("a"), changedOf("b"), poison("b"), changedOf("b"), changedOf("a"))
			i := w.start(handler(&j), projection.WithRetry(10, time.Hour, time.Hour))
			err := w.end(i)
			var failed *projection.EventError
			if !errors.As(err, &failed) || !errors.Is(err, errBroken) || failed.Type != "broken" || failed.AggregateID != "b" || failed.AggregateVersion != 2 {
				w.Errorf("Run: %v", err)
			}
			if j.count() != 2 {
				w.Errorf("handled: %v", j.all(""))
			}
			if p := w.rows(1)[0].Position; p >= last {
				w.Errorf("the checkpoint is at %s", p)
			}
		})
		for _, policy := range []projection.FailurePolicy{projection.Skip, projection.Park} {
			open.run(t, what+"is left out, policy "+policyName(policy), func(w *world) {
				var j journal
				w.start(handler(&j), projection.WithFailurePolicy(policy), projection.WithRetry(10, time.Hour, time.Hour))
				w.waitFor(w.save(poison("c"), changedOf("a"), changedOf("b"), poison("b"), changedOf("b"), changedOf("a"), poison("b"), changedOf("a")))
				want, parked := []int{1, 3}, map[string][]int{"b": {2, 4}, "c": {1}}
				if policy == projection.Park {
					want, parked = []int{1}, map[string][]int{"b": {2, 3, 4}, "c": {1}}
				}
				if got := j.of("b"); !slices.Equal(got, want) {
					w.Errorf("handled of b: %v", got)
				}
				if got := j.of("a"); !slices.Equal(got, []int{1, 2, 3}) {
					w.Errorf("handled of a: %v", got)
				}
				w.wantParked(parked)
			})
		}
	}

	open.run(t, "a type that the serializer does not know stops the projection", func(w *world) {
		w.save(notedOf("a"))
		record := eventsource.Record{AggregateID: "a", Type: "stranger", Data: []byte("{}")}
		if _, err := w.full().Append(w.ctx(), record); err != nil {
			w.Fatal(err)
		}
		i := w.start(projection.Each(func(context.Context, eventsource.Event) error { return nil }))
		err := w.end(i)
		wantError(w.T, "Run", err, eventsource.ErrUnknownType)
		wantError(w.T, "Run", err, projection.ErrEventFailed)
	})

	open.run(t, "in a transaction, a failed event leaves nothing behind, under each policy", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		handler := func(by string, aggregateID string) projection.Handler {
			return w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) {
				entry := entryOf(ctx, by, e)
				if entry.AggregateID == aggregateID && entry.Version == 2 {
					return entry, errPoison
				}
				return entry, nil
			})
		}
		last := w.open(12, "a", "b", "c")
		stopped := w.start(handler("one", "a"))
		wantError(w.T, "Run", w.end(stopped), errPoison)
		skipping := w.start(handler("two", "a"), projection.WithFailurePolicy(projection.Skip))
		w.waitFor(last)
		w.stop(skipping)
		equal(w, "handled after skipping", map[string][]int{"a": {1, 3, 4}, "b": {1, 2, 3, 4}, "c": {1, 2, 3, 4}}, versionsOf(w.Ledger.Entries(w)))
		w.start(handler("three", "e"), projection.WithFailurePolicy(projection.Park))
		w.waitFor(w.open(6, "d", "e"))
		equal(w, "handled after parking", map[string][]int{
			"a": {1, 3, 4}, "b": {1, 2, 3, 4}, "c": {1, 2, 3, 4}, "d": {1, 2, 3}, "e": {1},
		}, versionsOf(w.Ledger.Entries(w)))
		w.wantParked(map[string][]int{"a": {2}, "e": {2, 3}})
	})
}

func policyName(p projection.FailurePolicy) string {
	return [...]string{"Stop", "Skip", "Park"}[p]
}

// sequenceID looks up an event.
func (w *world) sequenceID(aggregateID string, version int) string {
	w.Helper()
	records, err := w.store.LoadByAggregate(w.ctx(), aggregateID)
	if err != nil || len(records) < version {
		w.Fatalf("aggregate %q has %d events, error %v", aggregateID, len(records), err)
	}
	return records[version-1].SequenceID
}
