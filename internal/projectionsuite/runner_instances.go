package projectionsuite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// gate stops all calls of one instance's checkpoints while it is closed.
type gate struct {
	mu     sync.Mutex
	open   chan struct{} // closed when the gate is open
	frozen bool
}

func newGate() *gate {
	g := &gate{open: make(chan struct{})}
	close(g.open)
	return g
}

// shut holds all calls that begin now. If frozen, not even the end of their context
// gets them back, as in a process that stands still.
func (g *gate) shut(frozen bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open, g.frozen = make(chan struct{}), frozen
}

func (g *gate) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

// wait waits while the gate is shut.
func (g *gate) wait(ctx context.Context) error {
	g.mu.Lock()
	open, frozen := g.open, g.frozen
	g.mu.Unlock()
	if frozen {
		<-open
		return nil
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) around(ctx context.Context, _ call, next func(context.Context) error) error {
	if err := g.wait(ctx); err != nil {
		return err
	}
	return next(ctx)
}

// owners gives the owner of each partition of version 1, "" where there is none.
func (w *world) owners() []string {
	var owners []string
	for _, r := range w.rows(1) {
		owners = append(owners, r.Owner)
	}
	return owners
}

func testInstances(t *testing.T, open opener) {
	open.run(t, "of many instances one works at a time", func(w *world) {
		var j journal
		var working atomic.Int32
		handler := func(by string) projection.Handler {
			return j.handler(by, func(context.Context, *opened) error {
				if n := working.Add(1); n > 1 {
					w.Errorf("%d work at once", n)
				}
				time.Sleep(time.Millisecond) // time for others to interfere
				working.Add(-1)
				return nil
			})
		}
		for i := range 5 {
			w.start(handler(fmt.Sprint(i)))
		}
		for range 5 {
			w.waitFor(w.open(20, many(5)...))
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "who ends hands over at once", func(w *world) {
		const lease = 30 * time.Second
		var j journal
		one := w.start(j.handler("one"), projection.WithLease(lease))
		w.waitFor(w.open(5, "a"))
		w.start(j.handler("two"), projection.WithLease(lease))
		w.stop(one)
		began := time.Now()
		w.waitFor(w.open(5, "a"))
		if took := time.Since(began); took > lease/2 {
			w.Errorf("takeover took %v, with a lease of %v", took, lease)
		}
		w.wantEach(j.all(""), true)
	})

	for _, failure := range []struct {
		what string
		stop func(g *gate)
	}{
		{"is cut off from the checkpoints", func(g *gate) { g.shut(false) }},
		{"freezes", func(g *gate) { g.shut(true) }},
	} {
		open.run(t, "another instance takes over from one that "+failure.what, func(w *world) {
			var j journal
			g := newGate()
			w.start(j.handler("one"), projection.WithCheckpoints(intercept(w.checkpoints, g.around)))
			w.waitFor(w.open(5, many(2)...))
			owner := w.owners()[0]
			w.start(j.handler("two"))
			failure.stop(g)
			w.waitFor(w.open(5, many(2)...))
			if now := w.owners()[0]; now == owner || now == "" {
				w.Errorf("the lease is %q's", now)
			}
			w.wantEach(j.all(""), false)
			g.reopen()
			w.waitFor(w.open(5, many(2)...))
			w.wantEach(j.all(""), false)
		})
	}

	open.run(t, "an instance that froze while it handled an event moves nothing, and waits for the lease again", func(w *world) {
		var j journal
		g := newGate()
		handling := make(chan struct{})
		var once sync.Once
		one := w.start(j.handler("one", func(_ context.Context, e *opened) error {
			if e.Version == 3 {
				once.Do(func() {
					g.shut(true)
					close(handling)
				})
				return g.wait(context.Background())
			}
			return nil
		}), projection.WithCheckpoints(intercept(w.checkpoints, g.around)), projection.WithBatchSize(1))
		w.open(5, "a")
		receive(w, "the third event is being handled", handling)
		two := w.start(j.handler("two"))
		w.waitFor(w.open(5, "a"))
		before := w.rows(1)[0]
		g.reopen()
		w.until("the first one has come back", func() bool { return len(j.all("one")) == 3 })
		w.waitFor(w.open(5, "a"))
		if now := w.rows(1)[0]; now.Token != before.Token || now.Owner != before.Owner {
			w.Errorf("the lease was %q's with token %d and is %q's with %d", before.Owner, before.Token, now.Owner, now.Token)
		}
		if n := len(j.all("one")); n != 3 {
			w.Errorf("the one that froze has handled %d events", n)
		}
		if got := w.rows(1)[0].Handled; got != 15 {
			w.Errorf("%d events count as handled, want 15", got)
		}
		w.wantEach(j.all(""), false)
		w.stop(two)
		w.waitFor(w.open(5, "a"))
		w.wantEach(j.all(""), false)
		if len(j.all("one")) == 3 {
			w.Error("the one that froze has not worked again")
		}
		w.stop(one)
	})

	open.run(t, "a handler's context ends when another instance has taken over", func(w *world) {
		g := newGate()
		handling, ended := make(chan struct{}), make(chan error, 1)
		var once sync.Once
		w.start(projection.On(func(ctx context.Context, _ *opened) error {
			first := false
			once.Do(func() { first = true })
			if !first {
				return nil
			}
			g.shut(false)
			close(handling)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return ctx.Err()
		}), projection.WithCheckpoints(intercept(w.checkpoints, g.around)))
		last := w.open(1, "a")
		receive(w, "the event is being handled", handling)
		var j journal
		w.start(j.handler("two"))
		w.waitFor(last)
		wantError(w.T, "cause", receive(w, "the context of the handler ends", ended), projection.ErrFenced)
		g.reopen()
		w.waitFor(w.open(1, "a"))
	})

	open.run(t, "a handler that takes longer than the lease keeps it", func(w *world) {
		var j journal
		w.start(j.handler("one", func(ctx context.Context, _ *opened) error {
			select {
			case <-time.After(4 * w.Lease):
				return nil
			case <-ctx.Done():
				w.Errorf("the context ended: %v", context.Cause(ctx))
				return ctx.Err()
			}
		}))
		last := w.open(1, "a")
		w.until("it is worked on", func() bool { return len(w.rows(1)) > 0 && w.rows(1)[0].Owner != "" })
		w.start(j.handler("two"))
		w.waitFor(last)
		if entries := j.all(""); len(entries) != 1 || entries[0].By != "one" {
			w.Errorf("handled: %v", entries)
		}
	})

	open.run(t, "in a transaction, a frozen instance that wakes up leaves nothing behind", func(w *world) {
		if w.Ledger == nil {
			w.refusesTransactions()
			return
		}
		g := newGate()
		handling := make(chan struct{})
		var once sync.Once
		// It stands still after the handler, before it commits.
		freezing := intercept(w.checkpoints, func(ctx context.Context, c call, next func(context.Context) error) error {
			if c.method == "Advance" && c.move.Handled > 0 {
				once.Do(func() {
					g.shut(true)
					close(handling)
				})
			}
			if c.method == "Transact" {
				return next(ctx)
			}
			return g.around(ctx, c, next)
		})
		handler := func(by string) projection.Handler {
			return w.ledger(func(ctx context.Context, e eventsource.Event) (Entry, error) { return entryOf(ctx, by, e), nil })
		}
		one := w.start(handler("one"), projection.WithCheckpoints(freezing))
		last := w.open(5, many(2)...)
		receive(w, "the first one has handled something", handling)
		w.start(handler("two"))
		w.waitFor(last)
		g.reopen()
		w.waitFor(w.open(5, many(2)...))
		w.stop(one)
		entries := w.Ledger.Entries(w)
		w.wantEach(entries, true)
		if slices.ContainsFunc(entries, func(e Entry) bool { return e.By != "two" }) {
			w.Errorf("handled: %v", entries)
		}
	})

	open.run(t, "instances that come and go hand the work around, and lose nothing", func(w *world) {
		var j journal
		stopLoad := w.backgroundLoad(2*time.Millisecond, many(10)...)
		current := w.start(j.handler("0"))
		for i := 1; i <= 8; i++ {
			next := w.start(j.handler(fmt.Sprint(i)))
			seen := j.count()
			w.until("one of them works", func() bool { return j.count() > seen })
			w.stop(current)
			current = next
		}
		w.waitFor(stopLoad())
		w.wantEach(j.all(""), true)
	})

	open.run(t, "an instance that cannot reach the checkpoints waits, and does not end", func(w *world) {
		g := newGate()
		g.shut(false)
		dead := intercept(w.checkpoints, func(ctx context.Context, c call, next func(context.Context) error) error {
			select {
			case <-g.opened():
				return next(ctx)
			default:
				return errors.New("nobody answers")
			}
		})
		var j journal
		i := w.start(j.handler("a"), projection.WithCheckpoints(dead))
		last := w.open(3, "a")
		select {
		case <-i.done:
			w.Fatalf("Run: %v", i.err)
		case <-time.After(300 * time.Millisecond): // it must not end; a test that looks too early only shows less
		}
		g.reopen()
		w.until("the projection is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.wantEach(j.all(""), true)
	})
}

func (g *gate) opened() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}
