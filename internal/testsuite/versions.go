package testsuite

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
)

func testVersions(t *testing.T, h Harness) {
	h.run(t, "the events of each aggregate are numbered from 1", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"), record("b"), record("a"))
		save(t, store, record("a"))
		save(t, store, recordAt("a", 4), recordAt("b", 2), record("a"), recordAt("a", 6))
		checkVersions(t, store, "a", 6)
		checkVersions(t, store, "b", 2)
	})

	for name, saveIn := range savers() {
		h.run(t, "a version that is not the next one is a conflict, and nothing is stored, in "+name, func(t *testing.T, open Storage) {
			store := open(anyTime)
			save(t, store, record("a"), record("a"))
			before := loadAll(t, store)
			for _, test := range []struct {
				aggregate        string
				expected, actual int
				records          []eventsource.Record
			}{
				{"a", 1, 2, []eventsource.Record{recordAt("a", 1)}},
				{"a", 2, 2, []eventsource.Record{recordAt("a", 2)}},
				{"a", 4, 2, []eventsource.Record{recordAt("a", 4)}},
				{"new", 2, 0, []eventsource.Record{recordAt("new", 2)}},
				{"a", 3, 3, []eventsource.Record{recordAt("a", 3), recordAt("a", 3)}},
				{"a", 5, 3, []eventsource.Record{record("b"), recordAt("a", 3), recordAt("a", 5), record("c")}},
			} {
				_, err := saveIn(t.Context(), store, test.records...)
				var conflict *eventsource.ConflictError
				if !errors.Is(err, eventsource.ErrConflict) || !errors.As(err, &conflict) {
					t.Fatalf("version %d of %q: error is %v, want a conflict", test.expected, test.aggregate, err)
				}
				want := eventsource.ConflictError{AggregateID: test.aggregate, Expected: test.expected, Actual: test.actual}
				if *conflict != want {
					t.Errorf("conflict is %+v, want %+v", *conflict, want)
				}
			}
			equal(t, "after conflicts", before, loadAll(t, store))
			checkVersions(t, store, "b", 0)
		})

		h.run(t, "of many writers of one version one wins, in "+name, func(t *testing.T, open Storage) {
			const writers, rounds = 16, 5
			stores := []eventsource.Store{open(anyTime), open(anyTime), open(anyTime)}
			for round := 1; round <= rounds; round++ {
				errs := make([]error, writers)
				var wg sync.WaitGroup
				for w := range writers {
					wg.Go(func() {
						_, errs[w] = saveIn(t.Context(), stores[w%len(stores)],
							record("own "+fmt.Sprint(w)), recordAt("contested", round), record("own "+fmt.Sprint(w)))
					})
				}
				wg.Wait()
				winners := 0
				for w, err := range errs {
					var conflict *eventsource.ConflictError
					switch {
					case err == nil:
						winners++
					case !errors.As(err, &conflict) || !errors.Is(err, eventsource.ErrConflict):
						t.Errorf("writer %d lost with %v, not a conflict", w, err)
					case conflict.AggregateID != "contested" || conflict.Expected != round || conflict.Actual != round:
						t.Errorf("writer %d lost with %+v, in round %d", w, *conflict, round)
					}
				}
				if winners != 1 {
					t.Errorf("round %d has %d winners", round, winners)
				}
				checkVersions(t, stores[0], "contested", round)
				if got := len(loadAll(t, stores[0])); got != 3*round {
					t.Errorf("after round %d there are %d events, want %d: losers left something behind", round, got, 3*round)
				}
			}
		})

		h.run(t, "of many writers that ask for no version all win, in "+name, func(t *testing.T, open Storage) {
			const writers, each = 12, 8
			stores := []eventsource.Store{open(anyTime), open(anyTime), open(anyTime)}
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for range each {
						// One shared aggregate: two in turns could be a deadlock, which a
						// transaction is free to report.
						if _, err := saveIn(t.Context(), stores[w%len(stores)], record("hot"), record("own "+fmt.Sprint(w))); err != nil {
							t.Errorf("writer %d: %v", w, err)
						}
					}
				})
			}
			wg.Wait()
			checkVersions(t, stores[0], "hot", writers*each)
			for w := range writers {
				checkVersions(t, stores[0], "own "+fmt.Sprint(w), each)
			}
		})
	}

	h.run(t, "saves that meet in one transaction fail alone", func(t *testing.T, open Storage) {
		const writers, each = 16, 10
		store := open(anyTime)
		save(t, store, record("a"))
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					if w%2 == 0 {
						if _, err := trySave(t.Context(), store, record("good "+fmt.Sprint(w))); err != nil {
							t.Errorf("a good save failed: %v", err)
						}
						continue
					}
					_, err := trySave(t.Context(), store, record("bad"), recordAt("a", 1+2*(i%2)))
					wantError(t, "a bad save", err, eventsource.ErrConflict)
				}
			})
		}
		wg.Wait()
		if got, want := len(loadAll(t, store)), 1+writers/2*each; got != want {
			t.Errorf("%d events are stored, want %d", got, want)
		}
	})
}

// savers are the ways to save.
func savers() map[string]saveFunc {
	return map[string]saveFunc{"a save": trySave, "a transaction": trySaveInTransaction}
}

// checkVersions checks that the aggregate has so many events, numbered without
// gaps and in sequence order.
func checkVersions(t testing.TB, store eventsource.Store, id string, count int) {
	t.Helper()
	records := loadAggregate(t, store, id)
	if len(records) != count {
		t.Errorf("aggregate %q has %d events, want %d", id, len(records), count)
	}
	last := ""
	for i, r := range records {
		if r.Version != i+1 {
			t.Errorf("event %d of aggregate %q has version %d", i+1, id, r.Version)
		}
		if r.SequenceID <= last {
			t.Errorf("version %d of aggregate %q has sequence ID %s, the one before has %s", r.Version, id, r.SequenceID, last)
		}
		last = r.SequenceID
	}
}
