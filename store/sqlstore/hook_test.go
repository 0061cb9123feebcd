package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
	"github.com/eventsource-go/eventsource/storetest"
)

func TestAStoreThatCallsAFunctionInItsTransactionsKeepsAllPromises(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T) storetest.Storage {
		url := migrated(t)
		return func(clock func() time.Time) eventsource.Store {
			return sqlstore.New(testenv.Pool(t, url), sqlstore.WithClock(clock), sqlstore.WithInTransaction(
				func(context.Context, pgx.Tx, []eventsource.Record) error { return nil },
			))
		}
	}})
}

// seenTable is where countSeen keeps what it was called with.
const seenTable = `CREATE TABLE seen (sequence_id text PRIMARY KEY, aggregate_id text NOT NULL)`

// countSeen writes all records into the table seen.
func countSeen(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
	for i := range records {
		_, err := tx.Exec(ctx, `INSERT INTO seen VALUES ($1, $2)`, records[i].SequenceID, records[i].AggregateID)
		if err != nil {
			return err
		}
	}
	return nil
}

// withHook is a store that calls a function, and a database to look into.
func withHook(t *testing.T, hooks ...sqlstore.Hook) (*sqlstore.Store, *pgxpool.Pool) {
	t.Helper()
	url := migrated(t)
	pool := testenv.Pool(t, url)
	if _, err := pool.Exec(t.Context(), seenTable); err != nil {
		t.Fatal(err)
	}
	var opts []sqlstore.Option
	for _, hook := range hooks {
		opts = append(opts, sqlstore.WithInTransaction(hook))
	}
	return sqlstore.New(testenv.Pool(t, url), opts...), pool
}

// wantLevel checks that the table seen has each event once, and how many there are.
func wantLevel(t *testing.T, pool *pgxpool.Pool, events int) {
	t.Helper()
	var stored, seen, both int
	err := pool.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM seen),
		(SELECT count(*) FROM events e JOIN seen s USING (sequence_id, aggregate_id))`).Scan(&stored, &seen, &both)
	if err != nil || stored != events || seen != events || both != events {
		t.Errorf("%d events are stored and %d seen, %d of them the same, %v; want %d", stored, seen, both, err, events)
	}
}

// storing are the ways to store records, each in a transaction of its own.
func storing(t *testing.T, store *sqlstore.Store, pool *pgxpool.Pool) map[string]func(context.Context, ...eventsource.Record) ([]eventsource.Record, error) {
	t.Helper()
	commit := func(tx eventsource.StoreTransaction, err error) ([]eventsource.Record, error) {
		if err != nil {
			return nil, err
		}
		err = tx.Commit()
		return tx.Records(), err
	}
	return map[string]func(context.Context, ...eventsource.Record) ([]eventsource.Record, error){
		"Append": store.Append,
		"NewTransaction": func(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
			return commit(store.NewTransaction(ctx, records...))
		},
		"WithTx": func(ctx context.Context, records ...eventsource.Record) (stored []eventsource.Record, err error) {
			err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				stored, err = commit(store.WithTx(tx).NewTransaction(ctx, records...))
				return err
			})
			return stored, err
		},
	}
}

func TestAFunctionInTheTransactionGetsTheRecordsAsTheyAreStored(t *testing.T) {
	var calls [][]eventsource.Record
	var look *pgxpool.Pool
	store, pool := withHook(t, countSeen, func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
		var here, outside int
		const count = `SELECT count(*) FROM events WHERE aggregate_id = $1 AND sequence_id >= $2`
		if err := tx.QueryRow(ctx, count, records[0].AggregateID, records[0].SequenceID).Scan(&here); err != nil {
			return err
		}
		if err := look.QueryRow(ctx, count, records[0].AggregateID, records[0].SequenceID).Scan(&outside); err != nil {
			return err
		}
		if here != len(records) || outside != 0 {
			t.Errorf("%d records are there in the transaction and %d outside of it, want %d and 0", here, outside, len(records))
		}
		if err := tx.Commit(ctx); !errors.Is(err, sqlstore.ErrNotInControl) {
			t.Errorf("Commit = %v", err)
		}
		if err := tx.Rollback(ctx); !errors.Is(err, sqlstore.ErrNotInControl) {
			t.Errorf("Rollback = %v", err)
		}
		calls = append(calls, eventsource.CloneRecords(records))
		records[0].Data[0], records[0].SequenceID = 'x', "of the function" // they are its own
		return nil
	})
	look = pool
	for name, save := range storing(t, store, pool) {
		t.Run(name, func(t *testing.T) {
			calls = nil
			if _, err := save(t.Context(), record(name)); err != nil {
				t.Fatal(err)
			}
			stored, err := save(t.Context(), record(name), record(name))
			if err != nil {
				t.Fatal(err)
			}
			if len(calls) != 2 || !slices.EqualFunc(calls[1], stored, sameRecord) {
				t.Fatalf("it was called with %+v, want last %+v", calls, stored)
			}
			if stored[1].Version != 3 || stored[1].Timestamp == 0 || stored[1].SequenceID == "" {
				t.Errorf("stored %+v", stored[1])
			}
			loaded, err := store.LoadByAggregate(t.Context(), name)
			if err != nil || !reflect.DeepEqual(loaded[1:], stored) {
				t.Errorf("loaded %+v, %v; want %+v", loaded, err, stored)
			}
			if _, err := save(t.Context()); err != nil || len(calls) != 2 {
				t.Errorf("without records: %v, called %d times", err, len(calls)-2)
			}
		})
	}
	wantLevel(t, pool, 3*3)
}

func TestAFunctionInTheTransactionThatFailsStoresNothing(t *testing.T) {
	errBroken := errors.New("broken")
	statement := func(sql string) sqlstore.Hook {
		return func(ctx context.Context, tx pgx.Tx, _ []eventsource.Record) error {
			_, err := tx.Exec(ctx, sql)
			return err
		}
	}
	isState := func(code string) func(error) bool {
		return func(err error) bool {
			var pgErr *pgconn.PgError
			return errors.As(err, &pgErr) && pgErr.Code == code
		}
	}
	isBroken := func(err error) bool { return errors.Is(err, errBroken) }
	for name, test := range map[string]struct {
		fail sqlstore.Hook
		is   func(error) bool
	}{
		"an error":            {func(context.Context, pgx.Tx, []eventsource.Record) error { return errBroken }, isBroken},
		"a panic":             {func(context.Context, pgx.Tx, []eventsource.Record) error { panic(errBroken) }, isBroken},
		"a panic of a string": {func(context.Context, pgx.Tx, []eventsource.Record) error { panic("oh no") }, func(err error) bool { return strings.Contains(err.Error(), "oh no") }},
		"a unique violation":  {statement(`INSERT INTO seen VALUES ('once', ''), ('once', '')`), isState("23505")},
		"a missing table":     {statement(`INSERT INTO nowhere VALUES (1)`), isState("42P01")},
		"a division by zero":  {statement(`SELECT 1/0`), isState("22012")},
		"an error kept silent": {func(ctx context.Context, tx pgx.Tx, _ []eventsource.Record) error {
			_, _ = tx.Exec(ctx, `SELECT 1/0`)
			return nil
		}, func(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) }},
	} {
		t.Run(name, func(t *testing.T) {
			failing := false
			store, pool := withHook(t, countSeen, func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
				if !failing {
					return nil
				}
				return test.fail(ctx, tx, records)
			})
			for way, save := range storing(t, store, pool) {
				failing = true
				_, err := save(t.Context(), record(way), record(way))
				if err == nil || !test.is(err) {
					t.Errorf("%s = %v", way, err)
				}
				for _, other := range []error{eventsource.ErrConflict, eventsource.ErrOutcomeUnknown, sqlstore.ErrNotMigrated} {
					if errors.Is(err, other) {
						t.Errorf("%s = %v, which is %v", way, err, other)
					}
				}
			}
			wantLevel(t, pool, 0)
			failing = false
			for way, save := range storing(t, store, pool) {
				if _, err := save(t.Context(), record(way)); err != nil {
					t.Errorf("%s afterwards = %v", way, err)
				}
			}
			wantLevel(t, pool, 3)
		})
	}
}

// Without hooks they would share a transaction.
func TestAFunctionInTheTransactionThatFailsFailsItsOwnSaveOnly(t *testing.T) {
	errBroken := errors.New("broken")
	store, pool := withHook(t, countSeen, func(_ context.Context, _ pgx.Tx, records []eventsource.Record) error {
		if strings.HasPrefix(records[0].AggregateID, "bad") {
			return errBroken
		}
		return nil
	})
	const savers, saves = 8, 20
	var saving sync.WaitGroup
	for i := range savers {
		saving.Go(func() {
			for n := range saves {
				kind, want := "good", error(nil)
				if (i+n)%3 == 0 {
					kind, want = "bad", errBroken
				}
				if _, err := store.Append(t.Context(), record(fmt.Sprint(kind, " ", i, " ", n))); !errors.Is(err, want) {
					t.Errorf("a %s save = %v, want %v", kind, err, want)
				}
			}
		})
	}
	finish(t, "the saves", &saving)
	good := 0
	for i := range savers {
		for n := range saves {
			if (i+n)%3 != 0 {
				good++
			}
		}
	}
	wantLevel(t, pool, good)
}

func TestALostRaceDoesNotDoubleWhatAFunctionInTheTransactionDoes(t *testing.T) {
	store, pool := withHook(t, countSeen, func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
		_, err := tx.Exec(ctx, `UPDATE total SET events = events + $1`, len(records))
		return err
	})
	if _, err := pool.Exec(t.Context(), `CREATE TABLE total AS SELECT 0::bigint AS events`); err != nil {
		t.Fatal(err)
	}
	const savers, saves = 4, 15
	var saving sync.WaitGroup
	for name, save := range storing(t, store, pool) {
		for range savers {
			saving.Go(func() {
				for range saves {
					if _, err := save(t.Context(), record("hot"), record("hot")); err != nil {
						t.Errorf("%s = %v", name, err)
					}
				}
			})
		}
	}
	finish(t, "the saves", &saving)
	const events = 3 * savers * saves * 2
	wantLevel(t, pool, events)
	var total int
	if err := pool.QueryRow(t.Context(), `SELECT events FROM total`).Scan(&total); err != nil || total != events {
		t.Errorf("counted %d, %v; want %d", total, err, events)
	}
}

func TestASaveWhoseFunctionInTheTransactionMetADeadlockTriesAgain(t *testing.T) {
	var together sync.WaitGroup
	together.Add(2)
	var mu sync.Mutex
	calls := map[string]int{}
	store, pool := withHook(t, countSeen, func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
		id := records[0].AggregateID
		mu.Lock()
		calls[id]++
		first := calls[id] == 1
		mu.Unlock()
		rows := []string{"a", "b"}
		if id == "b" {
			rows = []string{"b", "a"}
		}
		for i, row := range rows {
			if i == 1 && first { // both have locked one
				together.Done()
				together.Wait()
			}
			if _, err := tx.Exec(ctx, `UPDATE row SET count = count + 1 WHERE name = $1`, row); err != nil {
				return err
			}
		}
		return nil
	})
	if _, err := pool.Exec(t.Context(), `CREATE TABLE row AS SELECT * FROM (VALUES ('a', 0), ('b', 0)) r (name, count)`); err != nil {
		t.Fatal(err)
	}
	var saving sync.WaitGroup
	for _, id := range []string{"a", "b"} {
		saving.Go(func() {
			if _, err := store.Append(t.Context(), record(id)); err != nil {
				t.Error(err)
			}
		})
	}
	finish(t, "the saves", &saving)
	wantLevel(t, pool, 2)
	var counts []int
	err := pool.QueryRow(t.Context(), `SELECT array_agg(count) FROM row`).Scan(&counts)
	if err != nil || !slices.Equal(counts, []int{2, 2}) || calls["a"]+calls["b"] != 3 {
		t.Errorf("the rows are at %v, %v, after %v calls; want 2 each and one more call than saves", counts, err, calls)
	}
}

func TestAConnectionThatBreaksInAFunctionInTheTransactionStoresNothing(t *testing.T) {
	var kill *pgxpool.Pool
	store, pool := withHook(t, countSeen, func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
		if records[0].AggregateID != "broken" {
			return nil
		}
		if _, err := kill.Exec(ctx, `SELECT pg_terminate_backend($1, 20000)`, tx.Conn().PgConn().PID()); err != nil {
			t.Error(err)
		}
		return nil // it has not noticed
	})
	kill = pool
	for name, save := range storing(t, store, pool) {
		if stored, err := save(t.Context(), record("broken")); err == nil || errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Errorf("%s = %v, %v", name, stored, err)
		}
		if _, err := save(t.Context(), record("whole")); err != nil {
			t.Errorf("%s afterwards = %v", name, err)
		}
	}
	wantLevel(t, pool, 3)
}

func TestASaveWhoseContextEndsInAFunctionInTheTransactionStoresNothing(t *testing.T) {
	type cancelKey struct{}
	store, pool := withHook(t, countSeen, func(ctx context.Context, _ pgx.Tx, _ []eventsource.Record) error {
		ctx.Value(cancelKey{}).(context.CancelFunc)()
		return errors.New("something else")
	})
	for name, save := range storing(t, store, pool) {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := save(context.WithValue(ctx, cancelKey{}, cancel), record(name)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v", name, err)
		}
		cancel()
	}
	wantLevel(t, pool, 0)
}

func TestANilFunctionInTheTransactionIsRefused(t *testing.T) {
	store := sqlstore.New(testenv.Pool(t, migrated(t)), sqlstore.WithInTransaction(nil))
	if err := store.Err(); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("Err = %v", err)
	}
}
