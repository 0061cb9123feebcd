package testsuite

import (
	"context"
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
		_, ok = store.(eventsource.Querier)
		check(Query, ok)
		_, ok = store.(eventsource.Watcher)
		check(Watch, ok)
		_, ok = store.(eventsource.HorizonReporter)
		check(Horizon, ok)
	})

	if !h.lacks(Watch) {
		testWatch(t, h)
	}
	if !h.lacks(Horizon) {
		testHorizon(t, h)
	}
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
