package projection_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// countingStore counts what it is asked.
type countingStore struct {
	*memstore.Store
	follows, horizons, counts, counted atomic.Int64
	polled                             chan struct{} // receives a value for each Follow, if there is room
}

func newCountingStore() *countingStore {
	return &countingStore{Store: memstore.New(), polled: make(chan struct{}, 1)}
}

func (s *countingStore) Follow(ctx context.Context, query eventsource.Query, reached func(string)) iter.Seq2[eventsource.Record, error] {
	s.follows.Add(1)
	select {
	case s.polled <- struct{}{}:
	default:
	}
	return s.Store.Follow(ctx, query, reached)
}

func (s *countingStore) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	s.horizons.Add(1)
	return s.Store.Horizon(ctx)
}

func (s *countingStore) Count(ctx context.Context, query eventsource.Query) (int64, error) {
	s.counts.Add(1)
	n, err := s.Store.Count(ctx, query)
	s.counted.Add(n)
	return n, err
}

// gate holds the handler back before an event, until it is opened.
type gate struct {
	before int
	opened chan struct{}
	open   func()
}

func newGate(before int) *gate {
	g := &gate{before: before, opened: make(chan struct{})}
	g.open = sync.OnceFunc(func() { close(g.opened) })
	return g
}

func (g *gate) Handler() projection.Handler {
	return projection.Batch(func(ctx context.Context, events []eventsource.Event) error {
		if events[0].(*watched).N < g.before {
			return nil
		}
		select {
		case <-g.opened:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

func status(t testing.TB, p *projection.Projection) projection.Status {
	t.Helper()
	s, err := p.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheStatusOfAProjectionThatHasNeverRunIsUnknown(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 3)
	p := projection.New("orders", repository, newGate(0).Handler(), projection.WithVersion(4))
	s, err := p.Status(t.Context())
	if !errors.Is(err, projection.ErrUnknown) || s.Name != "orders" || s.Version != 4 || s.Running {
		t.Errorf("Status = %+v, %v", s, err)
	}
	m := projection.NewManager(repository, projection.NewMemory())
	if s, err := m.Status(t.Context(), "orders"); !errors.Is(err, projection.ErrUnknown) || s != nil {
		t.Errorf("Manager.Status = %+v, %v", s, err)
	}
}

func TestTheStatusTellsWhereAProjectionIsAndWhoWorksOnIt(t *testing.T) {
	clock := time.UnixMilli(1_700_000_000_000)
	store := memstore.New(memstore.WithClock(func() time.Time { return clock }))
	repository := watchedRepository(t, store, 30)
	clock = clock.Add(time.Hour)
	head := saveWatched(t, repository, 10)
	checkpoints, g := projection.NewMemory(), newGate(10)
	options := []projection.Option{projection.WithCheckpoints(checkpoints), projection.WithBatchSize(10), quiet}
	p := projection.New("orders", repository, g.Handler(), options...)
	stop := runIt(t, p)
	eventually(t, "a batch is handled", func() bool { return p.Progress().Done == 10 })

	waiting := projection.New("orders", repository, g.Handler(), options...)
	stopWaiting := runIt(t, waiting)
	eventually(t, "the other runs", func() bool { return waiting.Progress().Running })
	s, other := status(t, p), status(t, waiting)
	if !s.Running || !other.Running || !s.Active || s.Handled != 10 || s.LagEvents != 30 || s.Lag != time.Hour || s.Head != head ||
		s.Position == "" || s.Position >= head || s.Rate <= 0 || s.LastError != nil || len(s.Partitions) != 1 {
		t.Errorf("status is %+v", s)
	}
	if other.Position != s.Position || other.LagEvents != 30 || other.Lag != time.Hour || other.Handled != 10 || other.Rate != 0 {
		t.Errorf("status of the one that waits is %+v", other)
	}
	mine, theirs := s.Partitions[0], other.Partitions[0]
	if !mine.Here || theirs.Here || mine.Owner == "" || mine.Owner != theirs.Owner || mine.Position != s.Position || mine.LastEvent != s.Position || mine.Handled != 10 {
		t.Errorf("partition is %+v, as the other tells %+v", mine, theirs)
	}
	g.open()
	eventually(t, "level", level(p))
	eventually(t, "level, as the other tells", level(waiting))
	s = status(t, p)
	if s.Lag != 0 || s.LagEvents != 0 || s.Position < head || s.Handled != 40 {
		t.Errorf("when level the status is %+v", s)
	}
	if err := errors.Join(stopWaiting(), stop()); err != nil {
		t.Fatal(err)
	}
	if s := status(t, p); s.Running || s.Partitions[0].Owner != "" || s.Partitions[0].Here || s.Lag != 0 {
		t.Errorf("after Run the status is %+v", s)
	}
}

func TestTheStatusTellsOfFailures(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 100)
	broken := errors.New("broken")
	for _, test := range []struct {
		policy          projection.FailurePolicy
		parked, skipped int
	}{{projection.Park, 10, 0}, {projection.Skip, 0, 1}} {
		p := projection.New("orders", repository, projection.Each(func(_ context.Context, e eventsource.Event) error {
			if e.(*watched).N == 5 {
				return broken
			}
			return nil
		}), projection.WithFailurePolicy(test.policy), projection.WithRetry(4, time.Millisecond, time.Millisecond), quiet)
		began := time.Now()
		runIt(t, p)
		eventually(t, "level", level(p))
		s := status(t, p)
		if s.Parked != test.parked || s.Skipped != test.skipped || s.Retries != 3 || !errors.Is(s.LastError, broken) ||
			s.LastErrorTime.Before(began) || s.Handled != int64(100-test.parked-test.skipped) || s.LagEvents != 0 {
			t.Errorf("status is %+v", s)
		}
	}
}

func TestEventsAreCountedOnce(t *testing.T) {
	store := newCountingStore()
	repository := watchedRepository(t, store, 1000)
	checkpoints, g := projection.NewMemory(), newGate(100)
	p := projection.New("orders", repository, g.Handler(), projection.WithCheckpoints(checkpoints), projection.WithBatchSize(50), quiet)
	runIt(t, p)
	m := projection.NewManager(repository, checkpoints)
	managed := func() projection.Status {
		all, err := m.Status(t.Context(), "orders")
		if err != nil || len(all) != 1 {
			t.Fatalf("Status = %+v, %v", all, err)
		}
		return all[0]
	}
	eventually(t, "the gate is reached", func() bool { return p.Progress().Done == 100 })
	for i := range 100 {
		saveWatched(t, repository, 2)
		for name, s := range map[string]projection.Status{"projection": status(t, p), "manager": managed()} {
			if want := int64(900 + 2*(i+1)); s.LagEvents != want {
				t.Fatalf("%s: %d events are left, want %d", name, s.LagEvents, want)
			}
		}
	}
	// Each has counted the 900 that were left when it began, and 200 that came.
	if n := store.counted.Load(); n > 2*1200 {
		t.Errorf("%d events were counted", n)
	}
	g.open()
	eventually(t, "all is handled", func() bool { return managed().Handled == 1200 })
	eventually(t, "level", level(p))
	if s := managed(); s.LagEvents != 0 {
		t.Errorf("when level the status is %+v", s)
	}
}

func TestEventsOfOtherTypesAreNotCounted(t *testing.T) {
	store := memstore.New()
	repository := eventsource.NewRepository(store, json.NewSerializer(&watched{}, &opened{}))
	saveWatched(t, repository, 10)
	for range 5 {
		if err := repository.Save(t.Context(), &opened{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}); err != nil {
			t.Fatal(err)
		}
	}
	p := projection.New("orders", repository, projection.On(func(ctx context.Context, _ *opened) error {
		<-ctx.Done()
		return ctx.Err()
	}), quiet)
	runIt(t, p)
	eventually(t, "registered", func() bool { _, err := p.Status(t.Context()); return err == nil })
	if s := status(t, p); s.LagEvents != 5 {
		t.Errorf("%d events are left, want 5", s.LagEvents)
	}
}

func TestWhatAStoreCannotTellIsNotKnown(t *testing.T) {
	repository := watchedRepository(t, struct{ eventsource.Store }{memstore.New()}, 10)
	p := projection.New("orders", repository, newGate(100).Handler(), quiet)
	runIt(t, p)
	eventually(t, "level", level(p))
	if s := status(t, p); s.Head != "" || s.Lag != -1 || s.LagEvents != -1 || s.Handled != 10 {
		t.Errorf("status is %+v", s)
	}
	type querier struct {
		eventsource.Store
		eventsource.Querier
	}
	store := memstore.New()
	repository = watchedRepository(t, querier{store, store}, 10)
	p = projection.New("orders", repository, newGate(100).Handler(), quiet)
	runIt(t, p)
	eventually(t, "level", level(p))
	if s := status(t, p); s.Head == "" || s.Lag != 0 {
		t.Errorf("status is %+v", s)
	}
}

func TestManagersTellOfAllVersions(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 40)
	checkpoints, g := projection.NewMemory(), newGate(20)
	first := projection.New("orders", repository, newGate(100).Handler(), projection.WithCheckpoints(checkpoints), quiet)
	runIt(t, first)
	eventually(t, "level", level(first))
	second := projection.New("orders", repository, g.Handler(), projection.WithCheckpoints(checkpoints), projection.WithVersion(2), projection.WithBatchSize(10), quiet)
	runIt(t, second)
	eventually(t, "the gate is reached", func() bool { return second.Progress().Done == 20 })
	all, err := projection.NewManager(repository, checkpoints).Status(t.Context(), "orders")
	if err != nil || len(all) != 2 {
		t.Fatalf("Status = %+v, %v", all, err)
	}
	if one, two := all[0], all[1]; one.Version != 1 || !one.Active || one.LagEvents != 0 || two.Version != 2 || two.Active || two.LagEvents != 20 {
		t.Errorf("status is %+v", all)
	}
	g.open()
	eventually(t, "taken over", func() bool { return status(t, second).Active })
}

func TestAProjectionThatKeepsUpIsNotAskedHowFarItIs(t *testing.T) {
	store := newCountingStore()
	repository := watchedRepository(t, store, 10)
	p := projection.New("orders", repository, newGate(1000).Handler(), projection.WithPollInterval(500*time.Millisecond), quiet)
	runIt(t, p)
	eventually(t, "level", level(p))
	horizons, counts := store.horizons.Load(), store.counts.Load()
	for range 8 { // four times as long as one that is behind gets
		select {
		case <-store.polled:
		case <-time.After(patience):
			t.Fatal("it does not poll")
		}
	}
	if h, c := store.horizons.Load()-horizons, store.counts.Load()-counts; h != 0 || c != 0 {
		t.Errorf("it was asked %d times for its end, and to count %d times", h, c)
	}
}

func TestProgressGoesFromNothingToTheEnd(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 1000)
	g := newGate(300)
	p := projection.New("orders", repository, g.Handler(), projection.WithBatchSize(100), projection.WithPartitions(1), quiet)
	if progress := p.Progress(); progress != (projection.Progress{Total: -1, Left: -1}) {
		t.Errorf("before Run: %+v", progress)
	}
	stop := runIt(t, p)
	var progress projection.Progress
	eventually(t, "the total is known", func() bool {
		progress = p.Progress()
		return progress.Done == 300 && progress.Total > 0 && progress.Rate > 0
	})
	if progress.Total != 1000 || progress.Level || !progress.Running || progress.Left <= 0 {
		t.Errorf("on the way: %+v", progress)
	}
	g.open()
	eventually(t, "level", level(p))
	if progress = p.Progress(); progress.Done != 1000 || progress.Total != 1000 || progress.Left != 0 {
		t.Errorf("at the end: %+v", progress)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if progress = p.Progress(); progress.Running || progress.Level || progress.Done != 1000 {
		t.Errorf("after Run: %+v", progress)
	}
}

func TestPartitionsInTwoProcessesAreLevelTogether(t *testing.T) {
	repository := watchedRepository(t, memstore.New(), 0)
	checkpoints := projection.NewMemory()
	g := newGate(0)
	options := []projection.Option{projection.WithCheckpoints(checkpoints), projection.WithPartitions(4), projection.WithLease(300 * time.Millisecond), quiet}
	one := projection.New("orders", repository, g.Handler(), options...)
	two := projection.New("orders", repository, newGate(1000).Handler(), options...)
	runIt(t, one)
	runIt(t, two)
	here := func(p *projection.Projection) (n int) {
		s, err := p.Status(t.Context())
		if err != nil && !errors.Is(err, projection.ErrUnknown) {
			t.Fatal(err)
		}
		for _, part := range s.Partitions {
			if part.Here {
				n++
			}
		}
		return n
	}
	eventually(t, "both work", func() bool { return here(one) == 2 && here(two) == 2 })
	saveWatched(t, repository, 200) // only now: while a handler is at work its partition goes to nobody
	eventually(t, "the second has handled its own events", func() bool {
		for _, part := range status(t, two).Partitions {
			if part.Here && part.Position == "" {
				return false
			}
		}
		return true
	})
	eventually(t, "it has asked how far the other is", func() bool { return two.Progress().Total > two.Progress().Done })
	if two.Progress().Level {
		t.Errorf("one of two is level, and its progress is %+v", two.Progress())
	}
	g.open()
	eventually(t, "level", level(one))
	eventually(t, "level", level(two))
	if s := status(t, two); s.Lag != 0 || s.LagEvents != 0 {
		t.Errorf("status is %+v", s)
	}
}

func ExampleProjection_Status() {
	ctx, stop := context.WithCancel(context.Background())
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}, &Withdrawn{}))
	var events []eventsource.Event
	for range 1000 {
		events = append(events, &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "alice"}, Amount: 1})
	}
	if err := repository.Save(ctx, events...); err != nil {
		fmt.Println(err)
	}
	balances := &Balances{byAccount: make(map[string]int)}
	checkpoints := projection.NewMemory()
	balancing := projection.New("balances", repository, balances.Handler(), projection.WithCheckpoints(checkpoints))
	var running sync.WaitGroup
	running.Go(func() {
		if err := balancing.Run(ctx); err != nil {
			fmt.Println(err)
		}
	})
	last := events[999].(*Deposited).SequenceID
	if err := projection.NewManager(repository, checkpoints).WaitFor(ctx, "balances", last); err != nil {
		fmt.Println(err)
	}

	status, err := balancing.Status(ctx)
	if err != nil {
		fmt.Println(err)
	}
	fmt.Println("version", status.Version, "active:", status.Active, "running:", status.Running)
	fmt.Println(status.Handled, "events handled,", status.LagEvents, "left, behind by", status.Lag)
	fmt.Println("partition 0 is worked on here:", status.Partitions[0].Here, strings.HasSuffix(status.Position, last))

	stop()
	running.Wait()
	// Output:
	// version 1 active: true running: true
	// 1000 events handled, 0 left, behind by 0s
	// partition 0 is worked on here: true true
}
