package projectionsuite

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// ward is a handler that fails at some events for as long as they are ill.
type ward struct {
	journal
	mu  sync.Mutex
	ill map[string]map[int]bool // versions by aggregate
}

func newWard(aggregateID string, versions ...int) *ward {
	d := &ward{ill: make(map[string]map[int]bool)}
	d.infect(aggregateID, versions...)
	return d
}

func (d *ward) infect(aggregateID string, versions ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ill[aggregateID] == nil {
		d.ill[aggregateID] = make(map[int]bool)
	}
	for _, v := range versions {
		d.ill[aggregateID][v] = true
	}
}

func (d *ward) heal(aggregateID string, versions ...int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, v := range versions {
		delete(d.ill[aggregateID], v)
	}
}

func (d *ward) handler(by string) projection.Handler {
	return d.journal.handler(by, func(_ context.Context, e *opened) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.ill[e.AggregateID][e.Version] {
			return errPoison
		}
		return nil
	})
}

// untilParked waits until exactly these events are parked or skipped, none of them with
// a request.
func (w *world) untilParked(want map[string][]int) {
	w.Helper()
	w.until("these events are parked: "+text(want), func() bool {
		found, err := w.manager.Parked(w.ctx(), name, 1, "", 0)
		if err != nil {
			w.Fatal(err)
		}
		got := make(map[string][]int)
		for _, p := range found {
			if p.Request != projection.RequestNone {
				return false
			}
			got[p.AggregateID] = append(got[p.AggregateID], p.AggregateVersion)
		}
		return text(got) == text(want)
	})
}

func testParkedEvents(t *testing.T, open opener) {
	park := projection.WithFailurePolicy(projection.Park)

	open.run(t, "parked events are handled again in order, and later ones follow", func(w *world) {
		d := newWard("b", 2)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(10, "a", "b"))
		w.wantParked(map[string][]int{"b": {2, 3, 4, 5}})
		d.heal("b", 2)
		n, err := w.manager.RetryParked(w.ctx(), name, 1, "b")
		if err != nil || n != 4 {
			w.Errorf("%d events are to be retried, error %v", n, err)
		}
		w.untilParked(map[string][]int{})
		w.waitFor(w.open(4, "a", "b"))
		w.wantEach(d.all(""), true)
		w.wantParked(nil)
	})

	open.run(t, "a retry that fails again leaves that event and all later ones parked", func(w *world) {
		d := newWard("b", 2, 4)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(10, "a", "b"))
		d.heal("b", 2)
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, "b"); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{"b": {4, 5}})
		found, err := w.manager.Parked(w.ctx(), name, 1, "", 0)
		if err != nil || len(found) != 2 || found[0].Error != errPoison.Error() || found[0].Tries != 1 || found[1].Tries != 0 {
			w.Errorf("parked: %+v, error %v", found, err)
		}
		w.waitFor(w.open(2, "b"))
		w.wantParked(map[string][]int{"b": {4, 5, 6, 7}})
		d.heal("b", 4)
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, ""); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.wantEach(d.all(""), true)
	})

	open.run(t, "a retry of one aggregate leaves others parked", func(w *world) {
		d := newWard("b", 1)
		d.infect("c", 1)
		w.start(d.handler("a"), park, projection.WithPartitions(2))
		w.waitFor(w.open(6, "a", "b", "c"))
		d.heal("b", 1)
		d.heal("c", 1)
		if n, err := w.manager.RetryParked(w.ctx(), name, 1, "c"); err != nil || n != 2 {
			w.Errorf("%d events are to be retried, error %v", n, err)
		}
		w.untilParked(map[string][]int{"b": {1, 2}})
		if got := d.of("b"); len(got) != 0 {
			w.Errorf("handled of b: %v", got)
		}
		if n, err := w.manager.RetryParked(w.ctx(), name, 1, "nobody"); err != nil || n != 0 {
			w.Errorf("%d events are to be retried, error %v", n, err)
		}
	})

	open.run(t, "a parked event that is dropped is not handled, and those after it can be", func(w *world) {
		d := newWard("b", 2)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(8, "a", "b"))
		if err := w.manager.DropParked(w.ctx(), name, 1, w.sequenceID("b", 2)); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{"b": {3, 4}})
		w.waitFor(w.open(1, "b"))
		w.wantParked(map[string][]int{"b": {3, 4, 5}})
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, "b"); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.waitFor(w.open(1, "b"))
		if got := d.of("b"); !slices.Equal(got, []int{1, 3, 4, 5, 6}) {
			w.Errorf("handled of b: %v", got)
		}
	})

	open.run(t, "an aggregate whose parked events were all dropped goes on", func(w *world) {
		d := newWard("b", 1)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(2, "b"))
		if err := w.manager.DropParked(w.ctx(), name, 1, w.sequenceID("b", 1), w.sequenceID("b", 2)); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.waitFor(w.open(2, "b"))
		if got := d.of("b"); !slices.Equal(got, []int{3, 4}) {
			w.Errorf("handled of b: %v", got)
		}
	})

	open.run(t, "a drop names the events that are not there, and drops the others", func(w *world) {
		d := newWard("b", 1)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(2, "a", "b"))
		a, b := w.sequenceID("a", 1), w.sequenceID("b", 1)
		err := w.manager.DropParked(w.ctx(), name, 1, a, b)
		wantError(w.T, "DropParked", err, projection.ErrUnknown)
		wantText(w.T, err, a)
		w.untilParked(map[string][]int{})
	})

	open.run(t, "a skipped event can be handled later, or forgotten", func(w *world) {
		d := newWard("b", 2, 3)
		w.start(d.handler("a"), projection.WithFailurePolicy(projection.Skip))
		w.waitFor(w.open(8, "a", "b"))
		d.heal("b", 2, 3)
		if err := w.manager.DropParked(w.ctx(), name, 1, w.sequenceID("b", 2)); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{"b": {3}})
		if n, err := w.manager.RetryParked(w.ctx(), name, 1, "b"); err != nil || n != 1 {
			w.Errorf("%d events are to be retried, error %v", n, err)
		}
		w.untilParked(map[string][]int{})
		if got := d.of("b"); !slices.Equal(got, []int{1, 4, 3}) {
			w.Errorf("handled of b: %v", got)
		}
	})

	open.run(t, "parked events survive a restart and another number of partitions", func(w *world) {
		d := newWard("b", 2)
		for _, n := range []int{1, 3, 2} {
			i := w.start(d.handler("a"), park, projection.WithPartitions(n))
			w.waitFor(w.open(6, "a", "b", "c"))
			w.stop(i)
		}
		w.wantParked(map[string][]int{"b": {2, 3, 4, 5, 6}})
		d.heal("b", 2)
		// Who asks does not have to wait for it to run.
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, "b"); err != nil {
			w.Fatal(err)
		}
		w.start(d.handler("a"), park, projection.WithPartitions(5))
		w.untilParked(map[string][]int{})
		w.waitFor(w.open(3, "a", "b", "c"))
		w.wantEach(d.all(""), true)
	})

	open.run(t, "a projection that no longer parks still keeps back the events of a parked aggregate", func(w *world) {
		d := newWard("b", 2)
		parking := w.start(d.handler("a"), park)
		w.waitFor(w.open(6, "a", "b"))
		w.stop(parking)
		w.start(d.handler("a"))
		w.waitFor(w.open(4, "a", "b"))
		w.wantParked(map[string][]int{"b": {2, 3, 4, 5}})
		d.heal("b", 2)
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, ""); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.wantEach(d.all(""), true)
	})

	open.run(t, "an event whose handler of batches stops behind a parked one is named", func(w *world) {
		d := newWard("b", 1)
		parking := w.start(d.handler("a"), park)
		w.waitFor(w.open(1, "b"))
		w.stop(parking)
		w.open(3, "b", "c", "d") // b is parked as well
		i := w.start(projection.Batch(func(context.Context, []eventsource.Event) error { return errPoison }, &opened{}))
		err := w.end(i)
		var failed *projection.EventError
		if !errors.As(err, &failed) || failed.AggregateID != "c" {
			w.Errorf("Run: %v", err)
		}
	})

	open.run(t, "parked events are listed page by page", func(w *world) {
		d := newWard("a", 1)
		w.start(d.handler("a"), park)
		w.waitFor(w.open(7, "a"))
		var got []int
		after := ""
		for {
			page, err := w.manager.Parked(w.ctx(), name, 1, after, 3)
			if err != nil || len(page) > 3 {
				w.Fatalf("%d events, error %v", len(page), err)
			}
			for _, p := range page {
				got = append(got, p.AggregateVersion)
				after = p.SequenceID
			}
			if len(page) < 3 {
				break
			}
		}
		if !slices.Equal(got, []int{1, 2, 3, 4, 5, 6, 7}) {
			w.Errorf("listed: %v", got)
		}
	})

	open.run(t, "in a transaction, a retry is handled together with its record", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		d := newWard("b", 2)
		handler := w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) {
			entry := entryOf(ctx, "a", e)
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.ill[entry.AggregateID][entry.Version] {
				return entry, errPoison
			}
			return entry, nil
		})
		w.start(handler, park)
		w.waitFor(w.open(10, "a", "b"))
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, ""); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{"b": {2, 3, 4, 5}})
		d.heal("b", 2)
		if _, err := w.manager.RetryParked(w.ctx(), name, 1, ""); err != nil {
			w.Fatal(err)
		}
		w.untilParked(map[string][]int{})
		w.wantEach(w.Ledger.Entries(w), true)
	})

	open.run(t, "requests for what is not there say so", func(w *world) {
		var j journal
		_, err := w.manager.Parked(w.ctx(), "nobody", 1, "", 0)
		wantError(w.T, "Parked of nobody", err, projection.ErrUnknown)
		w.start(j.handler("a"))
		w.waitFor(w.open(1, "a"))
		_, err = w.manager.Parked(w.ctx(), name, 2, "", 0)
		wantError(w.T, "Parked of another version", err, projection.ErrUnknown)
		_, err = w.manager.RetryParked(w.ctx(), name, 2, "")
		wantError(w.T, "RetryParked of another version", err, projection.ErrUnknown)
		wantError(w.T, "DropParked of another version", w.manager.DropParked(w.ctx(), name, 2, "x"), projection.ErrUnknown)
		_, err = w.manager.Parked(w.ctx(), name, 1, "x", 0)
		wantError(w.T, "Parked after x", err, eventsource.ErrInvalidSequenceID)
		_, err = w.manager.Parked(w.ctx(), name, 1, "", -1)
		wantError(w.T, "Parked, at most -1", err, eventsource.ErrInvalidQuery)
	})
}
