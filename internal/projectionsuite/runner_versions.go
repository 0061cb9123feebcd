package projectionsuite

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// text is something that can be compared, and shown.
func text(v any) string { return fmt.Sprintf("%v", v) }

func wantText(t testing.TB, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error is %v, and does not name %q", err, part)
		}
	}
}

// loud gives the entries that were not silent.
func loud(entries []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Silent })
}

// withEffects is a handler that writes down all events by the name, and those whose
// side effects happen by the name with an exclamation mark.
func (j *journal) withEffects(by string) projection.Handler {
	return projection.ByType(j.handler(by), projection.SideEffect(j.handler(by+"!")))
}

// effects gives the side effects of all handlers.
func (j *journal) effects() []Entry {
	return slices.DeleteFunc(j.all(""), func(e Entry) bool { return !strings.HasSuffix(e.By, "!") })
}

func version(n int) projection.Option { return projection.WithVersion(n) }

func testVersions(t *testing.T, open opener) {
	open.run(t, "a later version handles everything beside the active one, and takes over", func(w *world) {
		var j journal
		one := w.start(j.withEffects("v1"))
		w.waitFor(w.open(40, many(5)...))
		two := w.start(j.withEffects("v2"), version(2))
		w.untilActive(2)
		w.waitFor(w.open(20, many(5)...))
		w.wantEach(j.all("v2"), true)
		w.wantEach(j.effects(), true)
		w.untilLevel(1, w.open(5, "a0")) // it goes on, silently
		w.wantEach(j.all("v1"), true)
		w.waitFor(w.open(1, "a0"))
		w.wantEach(j.effects(), true)
		w.stop(one, two)
	})

	open.run(t, "under constant load each side effect happens once over a takeover, with partitions and instances", func(w *world) {
		var j journal
		stopLoad := w.backgroundLoad(time.Millisecond, many(20)...)
		w.start(j.withEffects("v1"), projection.WithPartitions(2))
		w.until("the first version works", func() bool { return j.count() > 100 })
		for v := 2; v <= 4; v++ {
			for range 2 {
				w.start(j.withEffects(fmt.Sprint("v", v)), version(v), projection.WithPartitions(v+1))
			}
			w.untilActive(v)
			n := len(j.all(fmt.Sprintf("v%d!", v)))
			w.until("its side effects are seen", func() bool { return len(j.all(fmt.Sprintf("v%d!", v))) > n+20 })
		}
		w.waitFor(stopLoad())
		w.wantEach(j.all("v4"), false)
		w.wantEach(j.effects(), true)
		for _, e := range j.all("v2!") {
			if e.Silent {
				w.Errorf("a side effect was silent: %v", e)
			}
		}
	})

	open.run(t, "a later version takes over from one that is not running", func(w *world) {
		var j journal
		one := w.start(j.withEffects("v1"))
		w.waitFor(w.open(30, many(5)...))
		w.stop(one)
		w.open(30, many(5)...)
		w.start(j.withEffects("v2"), version(2))
		w.untilActive(2)
		w.waitFor(w.open(5, many(5)...))
		w.wantEach(j.all("v2"), true)
		w.wantEach(j.effects(), true)
	})

	for _, policy := range []string{"tries for long", "has stopped"} {
		open.run(t, "a later version takes over from one that is stuck at an event and "+policy, func(w *world) {
			var j journal
			var tries atomic.Int32
			w.open(20, many(4)...)
			poison := poisoned("a2", 3, &tries)
			retry := projection.WithRetry(1_000_000, 10*time.Millisecond, 50*time.Millisecond)
			if policy == "has stopped" {
				retry = projection.WithRetry(2, time.Millisecond, time.Millisecond)
			}
			one := w.start(projection.ByType(j.handler("v1", poison), projection.SideEffect(j.handler("v1!"))), retry)
			w.until("it is stuck", func() bool { return tries.Load() > 1 })
			if policy == "has stopped" {
				wantError(w.T, "Run", w.end(one), errPoison)
			}
			w.start(j.withEffects("v2"), version(2))
			w.untilActive(2)
			w.waitFor(w.open(5, many(4)...))
			w.wantEach(j.all("v2"), true)
			w.wantEach(j.effects(), true)
		})
	}

	open.run(t, "the first version that is ever run is active at once, whatever its number", func(w *world) {
		var j journal
		last := w.open(10, many(2)...)
		w.start(j.withEffects("v7"), version(7))
		w.untilActive(7)
		w.waitFor(last)
		w.wantEach(j.effects(), true)
		err := projection.New(name, w.repository, j.handler("v6"), w.options(version(6))...).Run(w.ctx())
		wantError(w.T, "Run of an earlier version", err, projection.ErrSuperseded)
	})

	open.run(t, "a manual takeover waits to be promoted, and can be taken back", func(w *world) {
		var j journal
		w.start(j.withEffects("v1"))
		w.waitFor(w.open(20, many(3)...))
		w.start(j.withEffects("v2"), version(2), projection.WithManualTakeover())
		last := w.open(20, many(3)...)
		w.waitFor(last)
		w.untilLevel(2, last)
		time.Sleep(w.Lease) // it must not take over; a test that looks too early only shows less
		if v := w.active(); v != 1 {
			w.Fatalf("version %d is active", v)
		}
		if n := len(j.all("v2!")); n != 0 {
			w.Errorf("%d side effects of a version that is not active", n)
		}
		for _, v := range []int{2, 1, 2} {
			if err := w.manager.Promote(w.ctx(), name, v); err != nil {
				w.Fatal(err)
			}
			w.untilActive(v)
			w.waitFor(w.open(10, many(3)...))
		}
		w.wantEach(j.effects(), true)
		if err := w.manager.Promote(w.ctx(), name, 2); err != nil {
			w.Errorf("to promote the active version: %v", err)
		}
		wantError(w.T, "Promote", w.manager.Promote(w.ctx(), name, 3), projection.ErrUnknown)
		w.waitFor(w.open(10, many(3)...))
		w.wantEach(j.all("v2"), true)
		w.wantEach(j.effects(), true)
	})

	open.run(t, "a promotion that has not happened yet can be taken back", func(w *world) {
		var j journal
		one := w.start(j.handler("v1"))
		w.waitFor(w.open(1, "a"))
		two := w.start(j.handler("v2"), version(2), projection.WithManualTakeover())
		last := w.open(1, "a")
		w.waitFor(last)
		w.untilLevel(2, last)
		w.stop(two)
		for _, v := range []int{2, 1} {
			if err := w.manager.Promote(w.ctx(), name, v); err != nil {
				w.Fatal(err)
			}
		}
		w.start(j.handler("v2"), version(2), projection.WithManualTakeover())
		w.untilLevel(2, w.open(1, "a"))
		time.Sleep(w.Lease) // it must not take over; a test that looks too early only shows less
		if v := w.active(); v != 1 {
			w.Errorf("version %d is active", v)
		}
		w.stop(one)
	})

	open.run(t, "a version that drops the old one leaves nothing of it", func(w *world) {
		var j journal
		d := newWard("a1", 2)
		one := w.start(d.handler("v1"), projection.WithFailurePolicy(projection.Park), projection.WithPartitions(3))
		w.waitFor(w.open(12, many(3)...))
		w.start(j.handler("v2"), version(2), projection.WithDropOld())
		wantError(w.T, "Run", w.end(one), projection.ErrSuperseded)
		w.untilActive(2)
		if rows := w.rows(1); len(rows) != 0 {
			w.Errorf("rows of version 1: %+v", rows)
		}
		if found := allParked(w.T, w.checkpoints, name, 1); len(found) != 0 {
			w.Errorf("parked events of version 1: %+v", found)
		}
		again := projection.New(name, w.repository, d.handler("v1"), w.options()...)
		wantError(w.T, "Run", again.Run(w.ctx()), projection.ErrSuperseded)
		w.waitFor(w.open(3, many(3)...))
		w.wantEach(j.all("v2"), true)
	})

	open.run(t, "a takeover calls its hook, and waits while that fails", func(w *world) {
		var j journal
		w.start(j.withEffects("v1"))
		w.waitFor(w.open(10, many(3)...))
		var calls, panics atomic.Int32
		w.start(j.withEffects("v2"), version(2), projection.WithTakeover(func(ctx context.Context) error {
			if v := w.active(); v != 1 {
				w.Errorf("version %d is active already", v)
			}
			switch calls.Add(1) {
			case 1:
				return errors.New("not yet")
			case 2:
				panics.Add(1)
				panic("not yet either")
			default:
				return nil
			}
		}))
		w.until("the hook is called", func() bool { return calls.Load() > 0 })
		w.waitFor(w.open(5, many(3)...)) // work goes on
		w.untilActive(2)
		w.waitFor(w.open(5, many(3)...))
		w.wantEach(j.all("v2"), true)
		w.wantEach(j.effects(), true)
		if n := calls.Load(); n < 3 {
			w.Errorf("the hook was called %d times", n)
		}
	})

	open.run(t, "the hook of a takeover is called when the first version becomes active, and an error puts that off", func(w *world) {
		var j journal
		var calls atomic.Int64
		last := w.open(3, "a")
		w.start(j.handler("v3"), version(3), projection.WithTakeover(func(context.Context) error {
			if calls.Add(1) == 1 {
				return errors.New("not yet")
			}
			return nil
		}))
		w.waitFor(last)
		if n := calls.Load(); n != 2 {
			w.Errorf("the hook was called %d times, want 2", n)
		}
	})

	open.run(t, "a version that is dropped ends, and is forgotten", func(w *world) {
		var j journal
		one := w.start(j.handler("v1"))
		w.waitFor(w.open(3, "a"))
		err := w.manager.Drop(w.ctx(), name, 3)
		wantError(w.T, "Drop", err, projection.ErrUnknown)
		two := w.start(j.handler("v2"), version(2), projection.WithManualTakeover())
		w.until("the second one is known", func() bool { return len(w.rows(2)) > 0 })
		err = w.manager.Drop(w.ctx(), name, 1)
		wantError(w.T, "Drop of the active version", err, eventsource.ErrMisconfigured)
		wantText(w.T, err, "version 1", name)
		if err := w.manager.Drop(w.ctx(), name, 2); err != nil {
			w.Fatal(err)
		}
		wantError(w.T, "Run", w.end(two), projection.ErrSuperseded)
		w.waitFor(w.open(3, "a"))
		if err := w.manager.Drop(w.ctx(), name, 1); err != nil {
			w.Fatal(err)
		}
		wantError(w.T, "Run", w.end(one), projection.ErrSuperseded)
		if rows := load(w.T, w.checkpoints, name); len(rows) != 0 {
			w.Errorf("rows: %+v", rows)
		}
		names, err := w.manager.Names(w.ctx())
		if err != nil || len(names) != 0 {
			w.Errorf("names: %v, error %v", names, err)
		}
		// It can start anew.
		w.start(j.handler("again"))
		w.until("it is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(w.sequenceID("a", 6))
		w.wantEach(j.all("again"), true)
	})

	open.run(t, "side effects of events that were parked happen when they are retried, by the version that is active", func(w *world) {
		d := newWard("b", 2)
		w.start(projection.ByType(d.handler("v1"), projection.SideEffect(d.journal.handler("v1!"))), projection.WithFailurePolicy(projection.Park))
		w.waitFor(w.open(6, "a", "b"))
		d.heal("b", 2)
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, ""); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.wantEach(d.effects(), true)
	})

	open.run(t, "in a transaction, takeover, side effects and handling are one", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		handler := func(by string) projection.Handler {
			return w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) { return entryOf(ctx, by, e), nil })
		}
		stopLoad := w.backgroundLoad(2*time.Millisecond, many(10)...)
		for v := 1; v <= 4; v++ {
			w.start(handler(fmt.Sprint("v", v)), version(v), projection.WithPartitions(v))
			w.untilActive(v)
		}
		w.waitFor(stopLoad())
		entries := w.Ledger.Entries(w)
		w.wantEach(loud(entries), true)
		by := make(map[string][]Entry)
		for _, e := range entries {
			by[e.By] = append(by[e.By], e)
		}
		for _, v := range slices.Sorted(maps.Keys(by)) {
			if v == "v4" {
				w.wantEach(by[v], true)
			}
		}
	})
}
