package testsuite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

func testContexts(t *testing.T, h Harness) {
	h.run(t, "an ended context fails every call, and leaves nothing", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := save(t, store, record("a"))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		check := func(what string, err error) {
			t.Helper()
			wantError(t, what, err, context.Canceled)
		}
		_, err := trySave(ended, store, record("a"))
		check("save", err)
		_, err = store.NewTransaction(ended, record("a"))
		check("NewTransaction", err)
		_, err = store.LoadByAggregate(ended, "a")
		check("LoadByAggregate", err)
		_, err = store.LoadBySequenceID(ended, "", all)
		check("LoadBySequenceID", err)
		_, err = store.LoadBySequenceIDAndType(ended, "", "Happened", all)
		check("LoadBySequenceIDAndType", err)
		_, err = store.LoadByTimestamp(ended, 0, all)
		check("LoadByTimestamp", err)
		if querier, ok := store.(eventsource.Querier); ok {
			err = nil
			for _, err = range querier.Query(ended, eventsource.Query{}) {
			}
			check("Query", err)
		}
		if watcher, ok := store.(eventsource.Watcher); ok {
			_, err = watcher.Watch(ended)
			check("Watch", err)
		}
		if reporter, ok := store.(eventsource.HorizonReporter); ok {
			_, err = reporter.Horizon(ended)
			check("Horizon", err)
		}
		everyRead(t, store, stored)
	})

	h.run(t, "a transaction is rolled back when its context ends", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for range 20 { // more often than any pool has connections
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := store.NewTransaction(ctx, recordAt("a", 1))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			// Others can go on without anyone touching the transaction.
			held, err := store.NewTransaction(t.Context(), recordAt("a", 1))
			if err != nil {
				t.Fatal(err)
			}
			if err := held.Rollback(); err != nil {
				t.Fatal(err)
			}
			wantError(t, "Commit", tx.Commit(), context.Canceled)
			wantError(t, "second Commit", tx.Commit(), eventsource.ErrTransactionDone)
			wantError(t, "Rollback after Commit", tx.Rollback(), eventsource.ErrTransactionDone)
			everyRead(t, store, nil)
		}
	})

	h.run(t, "a context that ends after Commit changes nothing", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ctx, cancel := context.WithCancel(t.Context())
		tx, err := store.NewTransaction(ctx, record("a"))
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		stored, err := trySave(ctx, store, record("b"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		wantError(t, "Commit", tx.Commit(), eventsource.ErrTransactionDone)
		everyRead(t, store, append(tx.Records(), stored...))
	})

	h.run(t, "a context that ends in the middle of a query is its last pair", func(t *testing.T, open Storage) {
		if h.lacks(Query) {
			return
		}
		store := open(anyTime)
		for range 4 {
			save(t, store, record("a"), record("a"), record("a"), record("a"), record("a"))
		}
		for range 20 {
			h.saveAll(t, store, manyRecords("b", 100)...)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		given, failed := 0, error(nil)
		for _, err := range store.(eventsource.Querier).Query(ctx, eventsource.Query{}) {
			if failed != nil {
				t.Fatal("a pair came after the error")
			}
			if failed = err; err == nil {
				given++
			}
			if given == 10 {
				cancel()
			}
		}
		if !errors.Is(failed, context.Canceled) || given >= 2020 {
			t.Errorf("%d of 2020 records came, and then %v", given, failed)
		}
	})

	for name, saveIn := range savers() {
		h.run(t, "a context that ends during "+name+" leaves all or nothing, as it says", func(t *testing.T, open Storage) {
			const savers, each = 8, 25
			store := open(anyTime)
			// How long a save takes here, roughly, to end contexts at any point of it.
			began := time.Now()
			for range 10 {
				if _, err := saveIn(t.Context(), store, record("warm up")); err != nil {
					t.Fatal(err)
				}
			}
			usual := time.Since(began)/10 + time.Microsecond
			var (
				wg      sync.WaitGroup
				mu      sync.Mutex
				outcome = map[string]error{}
			)
			for s := range savers {
				wg.Go(func() {
					for i := range each {
						id := fmt.Sprintf("%d/%d", s, i)
						ctx, cancel := context.WithTimeout(t.Context(), rand.N(2*usual)) //nolint:gosec // test data
						_, err := saveIn(ctx, store, record(id), record(id))
						cancel()
						mu.Lock()
						outcome[id] = err
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			stored := 0
			for id, err := range outcome {
				switch {
				case err == nil:
					stored++
					checkVersions(t, store, id, 2)
				case errors.Is(err, eventsource.ErrOutcomeUnknown):
					t.Errorf("the store was there all the time, but its outcome is unknown: %v", err)
				case !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("error is %v, want that of the context", err)
				default:
					checkVersions(t, store, id, 0)
				}
			}
			t.Logf("%d of %d saves were stored", stored, len(outcome))
			if _, err := saveIn(t.Context(), store, record("after")); err != nil {
				t.Error(err)
			}
		})
	}
}

func manyRecords(aggregateID string, count int) []eventsource.Record {
	records := make([]eventsource.Record, count)
	for i := range records {
		records[i] = record(aggregateID)
	}
	return records
}
