package projectionsuite

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

func testLeaks(t *testing.T, open opener) {
	t.Run("nothing is left running when Run has returned", func(t *testing.T) {
		w := newWorld(t, open(t))
		var j journal
		work := func() {
			one := w.start(j.handler("a"), projection.WithPartitions(3))
			two := w.start(j.handler("b"), projection.WithPartitions(3))
			w.waitFor(w.open(20, many(10)...))
			w.stop(one, two)
			failing := w.start(projection.On(func(context.Context, *opened) error { return errors.New("no") }), projection.WithVersion(2))
			wantError(t, "Run", w.end(failing), projection.ErrEventFailed)
		}
		work() // what the stores keep for good
		before := goleak.IgnoreCurrent()
		for range 5 {
			work()
		}
		// Connections that a client of HTTP keeps are not Run's.
		idle := []goleak.Option{
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		}
		if err := goleak.Find(append(idle, before)...); err != nil {
			t.Error(err)
		}
	})
}

func testFollowing(t *testing.T, open opener) {
	open.run(t, "a projection catches up and then follows", func(w *world) {
		var j journal
		w.open(120, many(7)...)
		w.start(j.handler("a"), projection.WithBatchSize(25), projection.WithPollInterval(time.Hour))
		for range 5 {
			w.waitFor(w.open(3, "a1", "a2"))
			w.wantEach(j.all(""), true)
		}
	})

	open.run(t, "events come in sequence order", func(w *world) {
		var j journal
		w.start(j.handler("a"), projection.WithBatchSize(7))
		w.waitFor(w.open(100, many(9)...))
		entries := j.all("")
		if !slices.IsSortedFunc(entries, func(a, b Entry) int { return strings.Compare(a.SequenceID, b.SequenceID) }) {
			w.Errorf("events came in this order: %v", entries)
		}
	})

	open.run(t, "a batch is no larger than it may be, and full where there is enough", func(w *world) {
		last := w.open(95, many(4)...)
		var mu sync.Mutex
		var sizes []int
		w.start(projection.Batch(func(_ context.Context, events []eventsource.Event) error {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, len(events))
			return nil
		}), projection.WithBatchSize(30))
		w.waitFor(last)
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(sizes, []int{30, 30, 30, 5}) {
			w.Errorf("batches had %v events", sizes)
		}
	})

	open.run(t, "only the types that the handler asks for are read", func(w *world) {
		var mu sync.Mutex
		var queries []eventsource.Query
		spy := &spyStore{fullStore: w.full(), follow: func(query eventsource.Query) error {
			mu.Lock()
			defer mu.Unlock()
			if query.Limit == 0 { // and not a look for one event
				queries = append(queries, query)
			}
			return nil
		}}
		var j journal
		handler := projection.ByType(j.handler("opened"), projection.Each(func(ctx context.Context, e eventsource.Event) error {
			j.add(entryOf(ctx, "changed", e))
			return nil
		}, &changed{}))
		w.startOn(repositoryOn(spy), handler)
		w.waitFor(w.save(openedOf("a"), changedOf("b"), notedOf("c"), &broken{BaseEvent: eventsource.BaseEvent{AggregateID: "d"}}))
		mu.Lock()
		defer mu.Unlock()
		for _, query := range queries {
			if !slices.Equal(query.Types, []string{"changed", "opened"}) {
				w.Errorf("a query asked for %v", query.Types)
			}
		}
		if len(queries) == 0 || len(j.all("opened")) != 1 || len(j.all("changed")) != 1 {
			w.Errorf("%d queries, handled: %v", len(queries), j.all(""))
		}
	})

	open.run(t, "a position passes events of other types, so that one can wait for them", func(w *world) {
		var j journal
		w.start(j.handler("a"))
		w.waitFor(w.save(notedOf("a")))
		w.waitFor(w.save(openedOf("a"), notedOf("a")))
		for range 3 {
			w.waitFor(w.save(notedOf("b")))
		}
		if j.count() != 1 {
			w.Errorf("handled: %v", j.all(""))
		}
	})

	open.run(t, "a store without any optional interface is followed as well", func(w *world) {
		var j journal
		w.open(600, many(20)...)
		w.save(notedOf("x"), &broken{BaseEvent: eventsource.BaseEvent{AggregateID: "d"}})
		repository := repositoryOn(bareStore{w.store})
		one := w.startOn(repository, j.handler("a"), projection.WithPollInterval(20*time.Millisecond), projection.WithPartitions(2))
		w.waitFor(w.open(5, "a1"))
		w.waitFor(w.save(notedOf("x")))
		w.stop(one)
		w.startOn(repository, j.handler("b"), projection.WithPollInterval(20*time.Millisecond), projection.WithPartitions(2))
		w.waitFor(w.open(5, "a1"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a store without wake-ups is asked now and then", func(w *world) {
		spy := &spyStore{fullStore: w.full(), watch: func(context.Context) (<-chan struct{}, error) { return nil, errors.ErrUnsupported }}
		var j journal
		w.startOn(repositoryOn(spy), j.handler("a"), projection.WithPollInterval(50*time.Millisecond))
		for range 4 {
			w.waitFor(w.open(2, "a"))
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a wake-up that gets lost is made up for", func(w *world) {
		spy := &spyStore{fullStore: w.full(), watch: deafWatch}
		var j journal
		w.startOn(repositoryOn(spy), j.handler("a"), projection.WithPollInterval(50*time.Millisecond))
		for range 4 {
			w.waitFor(w.open(2, "a"))
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a wake-up is enough, however long the polls are apart", func(w *world) {
		var mu sync.Mutex
		var looked time.Time
		spy := &spyStore{fullStore: w.full(), follow: func(eventsource.Query) error {
			mu.Lock()
			defer mu.Unlock()
			looked = time.Now()
			return nil
		}}
		var j journal
		w.startOn(repositoryOn(spy), j.handler("a"), projection.WithPollInterval(24*time.Hour))
		w.waitFor(w.open(2, "a"))
		// It looks again after 20 ms, and each time three times as long after that.
		w.until("the projection rests for long", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return time.Since(looked) > 5*time.Second
		})
		began := time.Now()
		w.waitFor(w.open(2, "a"))
		if took := time.Since(began); took > 7*time.Second {
			w.Errorf("events were handled after %v", took)
		}
	})

	open.run(t, "wake-ups come again after the watching broke off", func(w *world) {
		var mu sync.Mutex
		watches := 0
		spy := &spyStore{fullStore: w.full()}
		spy.watch = func(ctx context.Context) (<-chan struct{}, error) {
			mu.Lock()
			watches++
			n := watches
			mu.Unlock()
			switch n {
			case 1:
				return nil, errors.New("no connection")
			case 2:
				c := make(chan struct{})
				close(c)
				return c, nil
			default:
				return w.full().Watch(ctx)
			}
		}
		var j journal
		w.startOn(repositoryOn(spy), j.handler("a"), projection.WithPollInterval(24*time.Hour))
		w.until("it watches again", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return watches > 2
		})
		for range 3 {
			w.waitFor(w.open(2, "a"))
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "handlers of events, of batches and of types get what they ask for, together", func(w *world) {
		var j journal
		note := func(ctx context.Context, by string, events ...eventsource.Event) {
			for _, e := range events {
				j.add(entryOf(ctx, by, e))
			}
		}
		w.start(projection.ByType(
			projection.On(func(ctx context.Context, e *opened) error {
				note(ctx, "pointer", e)
				return nil
			}),
			projection.Each(func(ctx context.Context, e eventsource.Event) error {
				note(ctx, "each", e)
				return nil
			}, &opened{}, &changed{}),
			projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
				note(ctx, "batch", events...)
				return nil
			}),
		))
		w.waitFor(w.save(openedOf("a"), changedOf("a"), notedOf("a")))
		for by, want := range map[string]int{"pointer": 1, "each": 2, "batch": 3} {
			if got := len(j.all(by)); got != want {
				w.Errorf("%s handled %d events, want %d", by, got, want)
			}
		}
	})
}
