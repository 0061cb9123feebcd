package testsuite

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

func testAbilities(t *testing.T, h Harness) {
	h.run(t, "the store has the optional interfaces that it does not declare to lack", func(t *testing.T, open Storage) {
		store := open(anyTime)
		check := func(a Ability, has bool) {
			t.Helper()
			if has == h.lacks(a) {
				t.Errorf("ability %s: declared to be lacking: %v, but there: %v", a, h.lacks(a), has)
			}
		}
		_, ok := store.(eventsource.Appender)
		check(Append, ok)
		_, ok = store.(eventsource.VersionLoader)
		check(LoadVersions, ok)
		_, ok = store.(eventsource.Querier)
		check(Query, ok)
		_, ok = store.(eventsource.Follower)
		check(Follow, ok)
		_, ok = store.(eventsource.Watcher)
		check(Watch, ok)
		_, ok = store.(eventsource.HorizonReporter)
		check(Horizon, ok)
		_, ok = store.(eventsource.Reserver)
		check(Reserve, ok)
	})

	if !h.lacks(Watch) {
		testWatch(t, h)
	}
	if !h.lacks(Horizon) {
		testHorizon(t, h)
	}
	if !h.lacks(Follow) {
		testFollow(t, h)
	}
	testCount(t, h)
}

func testFollow(t *testing.T, h Harness) {
	// follow gives what there is, at most some of it, and how far the store has looked.
	follow := func(t *testing.T, store eventsource.Store, query eventsource.Query, most int) (records []eventsource.Record, reached []string) {
		t.Helper()
		report := func(sequenceID string) { reached = append(reached, sequenceID) }
		for r, err := range store.(eventsource.Follower).Follow(t.Context(), query, report) {
			if err != nil {
				t.Fatal(err)
			}
			if records = append(records, r); len(records) == most {
				break
			}
		}
		return records, reached
	}
	rare := func(aggregateID string) eventsource.Record {
		r := record(aggregateID)
		r.Type = "Rare"
		return r
	}

	h.run(t, "a query says that it has looked beyond events that do not match", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"))
		wanted := save(t, store, rare("a"))[0]
		last := save(t, store, record("a"), record("b"))[1]
		query := eventsource.Query{Types: []string{"Rare"}}
		records, reached := follow(t, store, query, 0)
		if len(records) != 1 || records[0].SequenceID != wanted.SequenceID {
			t.Fatalf("got %v, want %v", records, wanted)
		}
		if len(reached) != 1 || reached[0] < last.SequenceID {
			t.Fatalf("it has looked up to %v, and the last event is %s", reached, last.SequenceID)
		}
		query.After = reached[0]
		next := save(t, store, rare("b"))[0]
		if records, _ := follow(t, store, query, 0); len(records) != 1 || records[0].SequenceID != next.SequenceID {
			t.Errorf("after what was looked at there is %v, want %v", records, next)
		}
	})

	h.run(t, "a query that was not read to its end says nothing of how far it has looked", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"), record("a"), record("b"))
		if _, reached := follow(t, store, eventsource.Query{}, 2); len(reached) > 0 {
			t.Errorf("broken off, it has looked up to %v", reached)
		}
		if _, reached := follow(t, store, eventsource.Query{Limit: 2}, 0); len(reached) > 0 {
			t.Errorf("at its limit, it has looked up to %v", reached)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		report := func(sequenceID string) { t.Errorf("with an error, it has looked up to %s", sequenceID) }
		for _, err := range store.(eventsource.Follower).Follow(ctx, eventsource.Query{}, report) {
			if err == nil {
				t.Error("there was an event after the context had ended")
			}
		}
	})

	h.run(t, "over several pages a query says how far it has looked", func(t *testing.T, open Storage) {
		store := open(anyTime)
		const events = 400
		for i := range events / 10 {
			batch := make([]eventsource.Record, 0, 10)
			for j := range 10 {
				batch = append(batch, record(fmt.Sprintf("a%d-%d", i, j)))
			}
			save(t, store, batch...)
		}
		// What is reached only with the next pass is not wrong, but it must be reached.
		after := ""
		for passes, given := 0, 0; ; passes++ {
			records, reached := follow(t, store, eventsource.Query{After: after}, 0)
			given += len(records)
			if len(records) > 0 {
				after = records[len(records)-1].SequenceID
			}
			if len(reached) == 1 && reached[0] >= after {
				if given != events {
					t.Errorf("%d events were given, want %d", given, events)
				}
				return
			}
			if passes > 2 {
				t.Fatalf("after %d events it has looked up to %v", given, reached)
			}
		}
	})
}

// soon is how long a test waits for what must happen before it gives up. It is
// long, since machines may be slow; a test that passes does not wait for it.
const soon = 30 * time.Second

func testWatch(t *testing.T, h Harness) {
	awake := func(t *testing.T, wakeUps <-chan struct{}) {
		t.Helper()
		select {
		case _, open := <-wakeUps:
			if !open {
				t.Fatal("the channel was closed")
			}
		case <-time.After(soon):
			t.Fatal("no wake-up came")
		}
	}
	closed := func(t *testing.T, wakeUps <-chan struct{}) {
		t.Helper()
		for {
			select {
			case _, open := <-wakeUps:
				if !open {
					return
				}
			case <-time.After(soon):
				t.Fatal("the channel was not closed")
			}
		}
	}

	h.run(t, "watchers of all handles are woken after every way of saving", func(t *testing.T, open Storage) {
		writer, reader := open(anyTime), open(anyTime)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var watchers []<-chan struct{}
		for _, store := range []eventsource.Store{writer, reader, reader} {
			wakeUps, err := store.(eventsource.Watcher).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			watchers = append(watchers, wakeUps)
		}
		for _, saveIn := range savers() {
			for range 3 {
				stored, err := saveIn(t.Context(), writer, record("a"))
				if err != nil {
					t.Fatal(err)
				}
				for _, wakeUps := range watchers {
					// An earlier wake-up may come late, so look until the event is there.
					for {
						awake(t, wakeUps)
						records := loadAll(t, reader)
						if len(records) > 0 && records[len(records)-1].SequenceID >= stored[0].SequenceID {
							break
						}
					}
				}
			}
		}
		cancel()
		for _, wakeUps := range watchers {
			closed(t, wakeUps)
		}
	})

	h.run(t, "wake-ups are merged, and never block a save", func(t *testing.T, open Storage) {
		store := open(anyTime)
		wakeUps, err := store.(eventsource.Watcher).Watch(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			save(t, store, record("a"))
		}
		awake(t, wakeUps)
		if n := len(wakeUps); n > 1 {
			t.Errorf("%d wake-ups are waiting", n)
		}
	})

	h.run(t, "one watcher may go while others stay", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for range 5 {
			ctx, cancel := context.WithCancel(t.Context())
			going, err := store.(eventsource.Watcher).Watch(ctx)
			if err != nil {
				t.Fatal(err)
			}
			staying, err := store.(eventsource.Watcher).Watch(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			closed(t, going)
			save(t, store, record("a"))
			awake(t, staying)
		}
	})
}

func testHorizon(t *testing.T, h Harness) {
	horizon := func(t *testing.T, store eventsource.Store) eventsource.Horizon {
		t.Helper()
		horizon, err := store.(eventsource.HorizonReporter).Horizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return horizon
	}

	h.run(t, "the horizon is the last event, when no transaction is open", func(t *testing.T, open Storage) {
		store := open(anyTime)
		if got := horizon(t, store); got != (eventsource.Horizon{}) {
			t.Errorf("horizon of an empty store is %+v", got)
		}
		for range 3 {
			last := save(t, store, record("a"), record("b"))[1].SequenceID
			if got, want := horizon(t, store), (eventsource.Horizon{Head: last, SafeEnd: last}); got != want {
				t.Errorf("horizon is %+v, want %+v", got, want)
			}
		}
	})

	h.run(t, "a reader that starts after the safe end misses nothing of an open transaction", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		save(t, store, record("before"))
		held := begin(t, store, record("held"))
		after := save(t, other, record("after"))
		got := horizon(t, other)
		if got.Head < after[0].SequenceID || got.SafeEnd > got.Head {
			t.Errorf("horizon is %+v, event %s is stored", got, after[0].SequenceID)
		}
		if got.Lag < 0 {
			t.Errorf("lag is %v", got.Lag)
		}
		if err := held.Commit(); err != nil {
			t.Fatal(err)
		}
		records, err := other.LoadBySequenceID(t.Context(), got.SafeEnd, all)
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, r := range records {
			found = found || r.AggregateID == "held"
		}
		if !found {
			t.Errorf("after %s the event of the open transaction is missing", got.SafeEnd)
		}
	})
}
