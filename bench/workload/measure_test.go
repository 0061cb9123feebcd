package workload

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/bench/system"
)

func TestPercentileIsTheSmallestThatIsNotBelowThatPart(t *testing.T) {
	hundred := make([]time.Duration, 100)
	for i := range hundred {
		hundred[i] = time.Duration(i + 1)
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 0.5, 0}, {hundred[:1], 0.5, 1}, {hundred[:1], 0.99, 1}, {hundred[:2], 0.5, 1}, {hundred[:3], 0.5, 2},
		{hundred[:2], 0.99, 2}, {hundred, 0.5, 50}, {hundred, 0.99, 99}, {hundred, 1, 100}, {hundred, 0, 1},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d values is %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestRepeatCountsWhatWasBegun(t *testing.T) {
	r := newRun(t, newFake())
	const clients = 3
	var begun [clients]int
	sample, err := r.repeat(t.Context(), clients, time.Millisecond, func(_ context.Context, client int) (int, error) {
		begun[client]++
		return 7, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	operations := begun[0] + begun[1] + begun[2]
	if sample.Operations != operations || sample.Events != 7*operations || operations == 0 {
		t.Errorf("got %d operations and %d events, want %d and %d", sample.Operations, sample.Events, operations, 7*operations)
	}
	if sample.Seconds < 0.001 || sample.P50 > sample.P99 {
		t.Errorf("got %v seconds, p50 %v and p99 %v", sample.Seconds, sample.P50, sample.P99)
	}
}

func TestRepeatEndsForAllWithTheErrorOfOne(t *testing.T) {
	r := newRun(t, newFake())
	want := errors.New("broken")
	_, err := r.repeat(t.Context(), 4, time.Hour, func(ctx context.Context, client int) (int, error) {
		if client == 2 {
			return 0, want
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestRepeatEndsWithItsContext(t *testing.T) {
	r := newRun(t, newFake())
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.repeat(ctx, 2, time.Hour, func(context.Context, int) (int, error) {
		cancel()
		return 1, nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestRepeatCountsAllocationsOfAnOperation(t *testing.T) {
	r := newRun(t, newFake())
	var kept *[1]int
	sample, err := r.repeat(t.Context(), 1, 20*time.Millisecond, func(context.Context, int) (int, error) {
		for range 1000 {
			kept = new([1]int)
		}
		return 1, nil
	})
	if err != nil || kept == nil {
		t.Fatal(err)
	}
	if sample.Allocs < 1000 || sample.Allocs > 1100 {
		t.Errorf("got %v allocations an operation, want about 1000", sample.Allocs)
	}
}

func TestSavesGoToNewAggregates(t *testing.T) {
	session := newFake()
	s := newSaver(session, gitEvents(t), 3, 2, false)
	for i := range 4 {
		if n, err := s.save(t.Context(), i%2); n != 3 || err != nil {
			t.Fatalf("save of 3 events returned %d, %v", n, err)
		}
	}
	for i, id := range session.saved {
		if id.Version != i%3+1 || id.Aggregate != session.saved[i-i%3].Aggregate {
			t.Errorf("event %d went to %v, want version %d of a new aggregate", i, id, i%3+1)
		}
	}
	if len(session.saved) != 12 {
		t.Errorf("%d events were saved, want 12", len(session.saved))
	}
}

// versioned is a session that knows the versions of its aggregates.
func versioned() (*fake, map[string]int) {
	var mu sync.Mutex
	versions := map[string]int{}
	session := newFake()
	session.save = func(_ context.Context, batch system.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if batch.Version != versions[batch.Aggregate] {
			return system.ErrConflict
		}
		versions[batch.Aggregate] += len(batch.Events)
		return nil
	}
	return session, versions
}

func TestHotSavesShareAFewAggregates(t *testing.T) {
	session, versions := versioned()
	const clients, saves, size = 8, 50, 10
	s := newSaver(session, gitEvents(t), size, clients, true)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() {
			for range saves {
				if _, err := s.save(t.Context(), client); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for i := range s.hot {
		version := versions[s.hot[i].id]
		if got := s.hot[i].version.Load(); got != int64(version) {
			t.Errorf("the clients know version %d of an aggregate, which is at %d", got, version)
		}
		total += version
	}
	if total != clients*saves*size || len(versions) != hotAggregates {
		t.Errorf("%d events of %d aggregates were saved, want %d of %d", total, len(versions), clients*saves*size, hotAggregates)
	}
}

func TestHotSaveIsTriedAgainAfterAConflict(t *testing.T) {
	session := newFake()
	var s *saver
	var tried []int
	session.save = func(_ context.Context, batch system.Batch) error {
		tried = append(tried, batch.Version)
		if len(tried) < 3 {
			for i := range s.hot {
				s.hot[i].version.Store(int64(10 * len(tried))) // another was first
			}
			return errors.Join(errors.New("its own error"), system.ErrConflict)
		}
		return nil
	}
	s = newSaver(session, gitEvents(t), 2, 1, true)
	if n, err := s.save(t.Context(), 0); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2", n, err)
	}
	if want := []int{0, 10, 20}; !slices.Equal(tried, want) {
		t.Errorf("it was tried at the versions %v, want %v", tried, want)
	}
	if got := s.conflicts.Load(); got != 2 {
		t.Errorf("%d conflicts were counted, want 2", got)
	}
}

func TestHotSaveIsNotTriedAgainAfterAnotherErrorOrTheEnd(t *testing.T) {
	broken := errors.New("broken")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		ctx context.Context
		err error
	}{{t.Context(), broken}, {ended, system.ErrConflict}} {
		session := newFake()
		var tried atomic.Int32
		session.save = func(context.Context, system.Batch) error {
			tried.Add(1)
			return c.err
		}
		s := newSaver(session, gitEvents(t), 1, 1, true)
		if _, err := s.save(c.ctx, 0); !errors.Is(err, c.err) || tried.Load() != 1 {
			t.Errorf("got %v after %d tries, want %v after 1", err, tried.Load(), c.err)
		}
	}
}

func TestLoadFailsIfAnAggregateIsNotWhole(t *testing.T) {
	session := newFake()
	session.load = func(context.Context, string) (int, error) { return 9, nil }
	_, err := load(10)(t.Context(), newRun(t, session))
	if err == nil || !strings.Contains(err.Error(), "has 9 events, not 10") {
		t.Errorf("got %v, want an error that says 9 and 10", err)
	}
	if _, err := load(bigSize)(t.Context(), newRun(t, session)); err == nil || !strings.Contains(err.Error(), "10000") {
		t.Errorf("got %v, want an error that says 10000", err)
	}
}

func TestPagesBeginAnewAtTheEnd(t *testing.T) {
	session := newFake()
	var places []string
	session.page = func(_ context.Context, after string, limit int) (int, string, error) {
		places = append(places, after)
		if after == "first" {
			return limit - 1, "second", nil
		}
		return limit, "first", nil
	}
	sample, err := pages(t.Context(), newRun(t, session))
	if err != nil {
		t.Fatal(err)
	}
	for i, place := range places {
		if want := []string{"", "first"}[i%2]; place != want {
			t.Fatalf("page %d begins at %q, want %q", i, place, want)
		}
	}
	if sample.Events < pageSize-1 || sample.Operations == 0 {
		t.Errorf("got %+v, want events", sample)
	}
}

func TestPagesBeginAnewAtOnceWhereTheLastOneIsFull(t *testing.T) {
	session := newFake()
	session.page = func(_ context.Context, after string, limit int) (int, string, error) {
		if after == "" {
			return limit, "end", nil
		}
		return 0, "", nil
	}
	sample, err := pages(t.Context(), newRun(t, session))
	if err != nil {
		t.Fatal(err)
	}
	if want := sample.Operations * pageSize; sample.Events != want || want == 0 {
		t.Errorf("got %d events in %d operations, want %d", sample.Events, sample.Operations, want)
	}
}

func TestStreamForStreamsAgainUntilTheTimeIsOver(t *testing.T) {
	session := newFake()
	streams := 0
	// It cannot tell where the end is: it has no end.
	session.stream = func(_ context.Context, deliver func(system.ID) bool) error {
		streams++
		n := 1
		for deliver(system.ID{Version: n}) {
			n++
		}
		if n > 1000 {
			t.Errorf("stream %d delivered %d events, want no more than are stored", streams, n)
		}
		return nil
	}
	r := newRun(t, session)
	sample, err := r.streamFor(t.Context(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if sample.Events <= 1000 || streams < 2 || sample.Seconds < 0.02 {
		t.Errorf("got %d events of %d streams in %v s, want more than one stream in 20 ms", sample.Events, streams, sample.Seconds)
	}
}

func TestStreamForEndsAStreamThatBlocks(t *testing.T) {
	for _, delivered := range []int{0, 5} {
		session := newFake()
		session.stream = func(ctx context.Context, deliver func(system.ID) bool) error {
			for range delivered {
				deliver(system.ID{})
			}
			<-ctx.Done()
			return ctx.Err()
		}
		sample, err := newRun(t, session).streamFor(t.Context(), time.Millisecond)
		if delivered == 0 && !errors.Is(err, errNothing) {
			t.Errorf("got %+v, %v of a stream without events, want %v", sample, err, errNothing)
		}
		if delivered > 0 && (err != nil || sample.Events != delivered) {
			t.Errorf("got %+v, %v, want %d events", sample, err, delivered)
		}
	}
}

func TestStreamForReturnsTheErrorOfTheStream(t *testing.T) {
	session := newFake()
	broken := errors.New("broken")
	session.stream = func(_ context.Context, deliver func(system.ID) bool) error {
		deliver(system.ID{})
		return broken
	}
	if _, err := newRun(t, session).streamFor(t.Context(), time.Hour); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

func TestCatchUpBesideWritersFailsWithEither(t *testing.T) {
	broken := errors.New("broken")
	page := func(_ context.Context, _ string, limit int) (int, string, error) { return limit, "place", nil }

	session := newFake()
	session.page = page
	sample, err := catchUpBesideWriters(t.Context(), newRun(t, session))
	if err != nil || sample.Events == 0 || sample.WriterRate == 0 {
		t.Errorf("got %+v, %v, want events and a rate of the writers", sample, err)
	}

	session = newFake()
	session.page, session.save = page, func(context.Context, system.Batch) error { return broken }
	if _, err := catchUpBesideWriters(t.Context(), newRun(t, session)); !errors.Is(err, broken) {
		t.Errorf("got %v of a run whose writers fail, want %v", err, broken)
	}

	session = newFake()
	session.page = func(context.Context, string, int) (int, string, error) { return 0, "", broken }
	if _, err := catchUpBesideWriters(t.Context(), newRun(t, session)); !errors.Is(err, broken) {
		t.Errorf("got %v of a run whose reader fails, want %v", err, broken)
	}
}

func TestStreamDeliversAsManyEventsAsAskedFor(t *testing.T) {
	session := newFake()
	session.stream = func(_ context.Context, deliver func(system.ID) bool) error {
		for n := 1; n <= 10 && deliver(system.ID{Version: n}); n++ {
		}
		return nil
	}
	s := system.System{Name: "fake", Open: func(context.Context, string, int) (system.Session, error) { return session, nil }}
	if done, err := Stream(t.Context(), s, "", 7); err != nil || done.Events != 7 {
		t.Errorf("got %+v, %v, want 7 events", done, err)
	}
	if _, err := Stream(t.Context(), s, "", 11); err == nil || !strings.Contains(err.Error(), "10 events were delivered, not 11") {
		t.Errorf("got %v, want an error that says 10 and 11", err)
	}
	s.Open = func(context.Context, string, int) (system.Session, error) {
		return struct{ system.Session }{session}, nil
	}
	if _, err := Stream(t.Context(), s, "", 7); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v of a session without streams, want %v", err, errors.ErrUnsupported)
	}
}
