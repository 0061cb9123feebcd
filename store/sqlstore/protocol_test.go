package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/internal/testsuite"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
	"github.com/eventsource-go/eventsource/storetest"
)

// The test of the order test: a reader that takes what is there, as most stores
// do, must be found out.
func TestTheOrderTestCatchesAReaderThatIgnoresTheHorizon(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	naive := func(ctx context.Context, _ eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
		rows, err := pool.Query(ctx, `SELECT sequence_id, aggregate_id FROM events WHERE sequence_id > $1 ORDER BY sequence_id LIMIT $2`, after, limit)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r eventsource.Record, err error) {
			return r, row.Scan(&r.SequenceID, &r.AggregateID)
		})
	}
	report := testsuite.LoadOrder(t, func(clock func() time.Time) eventsource.Store {
		return sqlstoreAt(t, url, sqlstore.WithClock(clock))
	}, naive)
	if report.OK() || report.Missed == 0 {
		t.Errorf("the order test let a reader pass that ignores the horizon: %d stored, %d missed", report.Stored, report.Missed)
	}
	t.Logf("%d stored, %d missed", report.Stored, report.Missed)
}

// The whole suite once more where names need quotes, and where the database's
// default isolation level is not the one that the protocol needs.
func TestStoreWithOtherNamesAndIsolationLevel(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T) storetest.Storage {
		url := testenv.Postgres(t)
		schema := "Sélect-" + time.Now().Format("150405.000000000")
		serializable := func(c *pgxpool.Config) {
			c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable"
		}
		admin := testenv.Pool(t, url)
		migrate(t, admin, migrations.WithSchema(schema), migrations.WithTable("Order"))
		t.Cleanup(func() {
			_, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+pgx.Identifier{schema}.Sanitize()+" CASCADE")
			if err != nil {
				t.Error(err)
			}
		})
		return func(clock func() time.Time) eventsource.Store {
			return sqlstore.New(testenv.Pool(t, url, serializable),
				sqlstore.WithSchema(schema), sqlstore.WithTable("Order"), sqlstore.WithClock(clock))
		}
	}})
}

func TestAPoolOfOneSurvivesAThousandFailedSaves(t *testing.T) {
	pool := testenv.Pool(t, migrated(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	store := sqlstore.New(pool, sqlstore.WithMaxDataSize(100))
	if _, err := store.Append(t.Context(), plain("a")); err != nil {
		t.Fatal(err)
	}
	large := plain("a")
	large.Data = make([]byte, 101)
	conflicting := plain("a")
	conflicting.Version = 7
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 200 {
		ending, cancel := context.WithTimeout(t.Context(), time.Duration(i)*10*time.Microsecond)
		for what, try := range map[string]func() error{
			"conflict": func() error { _, err := store.Append(t.Context(), plain("b"), conflicting); return err },
			"conflict in a transaction": func() error {
				_, err := store.NewTransaction(t.Context(), plain("b"), conflicting)
				return err
			},
			"too large": func() error { _, err := store.Append(t.Context(), plain("b"), large); return err },
			"invalid":   func() error { _, err := store.Append(t.Context(), plain("b"), plain("")); return err },
			"ended":     func() error { _, err := store.Append(ended, plain("b")); return err },
			"rolled back": func() error {
				tx, err := store.NewTransaction(t.Context(), plain("b"))
				if err == nil {
					err = errors.Join(tx.Rollback(), eventsource.ErrTransactionDone)
				}
				return err
			},
			"a statement of the caller": func() error {
				tx, err := store.NewTransaction(t.Context(), plain("b"))
				if err != nil {
					return err
				}
				inner, _ := sqlstore.Tx(tx)
				_, _ = inner.Exec(t.Context(), "SELECT 1/0")
				return tx.Commit()
			},
			"a query": func() error { _, err := store.LoadBySequenceID(t.Context(), "x", 0); return err },
		} {
			if err := try(); err == nil {
				t.Fatalf("%s did not fail", what)
			}
		}
		_, _ = store.NewTransaction(ending, plain("ending")) // left to its context
		cancel()
	}
	wantVersions(t, store, "a", 1)
	wantVersions(t, store, "b", 0)
	if stat := pool.Stat(); stat.AcquiredConns() > 1 {
		t.Errorf("%d connections are taken", stat.AcquiredConns())
	}
}

func TestASaveThatHasToWaitDoesNotHoldUpOthers(t *testing.T) {
	store := sqlstoreAt(t, migrated(t))
	held, err := store.NewTransaction(t.Context(), plain("held"))
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if _, err := store.Append(t.Context(), plain("held"), plain("with it")); err != nil {
				t.Errorf("a save that had to wait: %v", err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	givenUp := make(chan error)
	go func() {
		_, err := store.Append(ctx, plain("held"))
		givenUp <- err
	}()
	// These finish while the transaction is open, or the test does not.
	for i := range 50 {
		if _, err := store.Append(t.Context(), plain(fmt.Sprint("free ", i%5))); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-givenUp; !errors.Is(err, context.Canceled) {
		t.Errorf("a save that gave up: %v", err)
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	wantVersions(t, store, "held", 4)
	wantVersions(t, store, "with it", 3)
	wantVersions(t, store, "free 0", 10)
}

func TestSavesThatCrossInTwoProcessesAreAllStored(t *testing.T) {
	url := migrated(t)
	stores := []*sqlstore.Store{sqlstoreAt(t, url), sqlstoreAt(t, url)}
	const savers, each = 8, 20
	var wg sync.WaitGroup
	for s := range savers {
		wg.Go(func() {
			for range each {
				records := []eventsource.Record{plain("left"), plain("right")}
				if s%2 == 0 {
					records[0], records[1] = records[1], records[0]
				}
				if s < savers/2 {
					if _, err := stores[s%2].Append(t.Context(), records...); err != nil {
						t.Error(err)
					}
					continue
				}
				tx, err := stores[s%2].NewTransaction(t.Context(), records...)
				if err == nil {
					err = tx.Commit()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantVersions(t, stores[0], "left", savers*each)
	wantVersions(t, stores[0], "right", savers*each)
}

func TestALargeSaveIsStoredWhole(t *testing.T) {
	store := sqlstoreAt(t, migrated(t))
	for name, records := range map[string][]eventsource.Record{
		"few large events":  make([]eventsource.Record, 5),
		"many small events": make([]eventsource.Record, 20_000),
	} {
		for i := range records {
			records[i] = plain(name)
			if len(records) == 5 {
				records[i].Data = bytes.Repeat([]byte{byte(i)}, 9<<20)
			}
		}
		records[len(records)-1].Version = len(records)
		stored, err := store.Append(t.Context(), records...)
		if err != nil {
			t.Fatal(err)
		}
		wantVersions(t, store, name, len(records))
		for i, r := range stored {
			if r.Version != i+1 || i > 0 && r.SequenceID <= stored[i-1].SequenceID || !bytes.Equal(r.Data, records[i].Data) {
				t.Fatalf("%s: record %d came back as version %d, %s, %d bytes", name, i, r.Version, r.SequenceID, len(r.Data))
			}
		}
		_, err = store.Append(t.Context(), records...) // its last version is taken
		if !errors.Is(err, eventsource.ErrConflict) {
			t.Errorf("%s again: %v", name, err)
		}
		wantVersions(t, store, name, len(records))
	}
}

func TestALargeSaveThatLosesARaceAsksForNoVersionTheNextTime(t *testing.T) {
	url := migrated(t)
	admin := testenv.Pool(t, url)
	blocked := func(count int) { // waits until so many sessions wait for a transaction
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
			var waiting int
			err := admin.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks
				WHERE NOT granted AND locktype = 'transactionid'
				AND pid IN (SELECT pid FROM pg_locks WHERE relation = 'events'::regclass)`).Scan(&waiting)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%d sessions wait: %v", waiting, err)
			}
			if waiting == count {
				return
			}
		}
	}
	held, err := sqlstoreAt(t, url).NewTransaction(t.Context(), plain("second"))
	if err != nil {
		t.Fatal(err)
	}
	large := []eventsource.Record{plain("first"), plain("second")}
	for i := range large {
		large[i].Data = make([]byte, 9<<20) // two calls
	}
	var wg sync.WaitGroup
	for i, records := range [][]eventsource.Record{large, {plain("first")}} {
		store := sqlstoreAt(t, url)
		wg.Go(func() {
			if _, err := store.Append(t.Context(), records...); err != nil {
				t.Error(err)
			}
		})
		blocked(i + 1)
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	wantVersions(t, sqlstoreAt(t, url), "first", 2)
	wantVersions(t, sqlstoreAt(t, url), "second", 2)
}

func TestARollbackToASavepointIsNotBoundByTheOutcomeTimeout(t *testing.T) {
	pool := testenv.Pool(t, migrated(t))
	store := sqlstore.New(pool, sqlstore.WithOutcomeTimeout(0))
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	part, err := store.WithTx(tx).NewTransaction(t.Context(), plain("a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := part.Rollback(); err != nil {
		t.Error(err)
	}
	// A part whose transaction has failed is undone by Commit, and says so.
	part, err = store.WithTx(tx).NewTransaction(t.Context(), plain("a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT 1/0"); err == nil {
		t.Fatal("no error")
	}
	if err := part.Commit(); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("Commit after a failed statement: %v", err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, store, "a", 0)
}

func TestAClockThatIsAheadIsRefused(t *testing.T) {
	url := migrated(t)
	for _, test := range []struct {
		ahead   time.Duration
		refused bool
	}{
		{30 * time.Second, false}, {2 * time.Minute, true}, {24 * 365 * time.Hour, true}, {200_000 * time.Hour, true}, {-24 * 365 * time.Hour, false},
	} {
		store := sqlstoreAt(t, url, sqlstore.WithClock(func() time.Time { return time.Now().Add(test.ahead) }))
		_, err := store.Append(t.Context(), plain("a"))
		tx, txErr := store.NewTransaction(t.Context(), plain("a"))
		if txErr == nil {
			txErr = tx.Rollback()
		}
		for _, err := range []error{err, txErr} {
			var ahead *sqlstore.ClockAheadError
			switch {
			case !test.refused && err != nil:
				t.Errorf("ahead by %v: %v", test.ahead, err)
			case test.refused && (!errors.Is(err, sqlstore.ErrClockAhead) || !errors.As(err, &ahead)):
				t.Errorf("ahead by %v: error is %v", test.ahead, err)
			case test.refused && (ahead.Bound != time.Minute || ahead.Ahead < test.ahead-time.Minute || ahead.Ahead > test.ahead+time.Minute):
				t.Errorf("ahead by %v: error says %+v", test.ahead, ahead)
			}
		}
	}
	store := sqlstoreAt(t, url, sqlstore.WithClock(func() time.Time { return time.Now().AddDate(9000, 0, 0) }))
	if _, err := store.Append(t.Context(), plain("a")); !errors.Is(err, sqlstore.ErrClockAhead) {
		t.Errorf("in a year that no ULID can hold: %v", err)
	}
	// A bound of one's own.
	store = sqlstoreAt(t, url, sqlstore.WithMaxClockAhead(time.Hour), sqlstore.WithClock(func() time.Time { return time.Now().Add(2 * time.Minute) }))
	if _, err := store.Append(t.Context(), plain("a")); err != nil {
		t.Error(err)
	}
}

func TestTheHorizonNamesTheTransactionThatHoldsReadersBack(t *testing.T) {
	url := migrated(t)
	store, other := sqlstoreAt(t, url), sqlstoreAt(t, url)
	before, err := store.Append(t.Context(), plain("before"))
	if err != nil {
		t.Fatal(err)
	}

	// Transactions that append nothing here hold nobody back.
	unrelated, err := testenv.Pool(t, url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unrelated.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := unrelated.Exec(t.Context(), "CREATE TABLE unrelated (); SELECT pg_advisory_xact_lock_shared(1)"); err != nil {
		t.Fatal(err)
	}
	horizon, err := other.Horizon(t.Context())
	if want := (eventsource.Horizon{Head: before[0].SequenceID, SafeEnd: before[0].SequenceID}); err != nil || horizon != want {
		t.Fatalf("horizon is %+v, %v", horizon, err)
	}

	held, err := store.NewTransaction(t.Context(), plain("held"))
	if err != nil {
		t.Fatal(err)
	}
	inner, _ := sqlstore.Tx(held)
	var pid int
	if err := inner.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	after, err := other.Append(t.Context(), plain("after"))
	if err != nil {
		t.Fatal(err)
	}
	var lag time.Duration
	for lag < 5*time.Millisecond {
		horizon, err = other.Horizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if horizon.HolderPID != pid || horizon.Lag < lag {
			t.Fatalf("horizon is %+v, the holder's pid is %d, the lag was %v", horizon, pid, lag)
		}
		lag = horizon.Lag
	}
	if horizon.Head != after[0].SequenceID || horizon.SafeEnd >= held.Records()[0].SequenceID {
		t.Errorf("horizon is %+v, the head is %s, held back is %s", horizon, after[0].SequenceID, held.Records()[0].SequenceID)
	}
	records, err := other.LoadBySequenceID(t.Context(), before[0].SequenceID, 0)
	if err != nil || len(records) != 0 {
		t.Errorf("%d records were handed out past the horizon: %v", len(records), err)
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	horizon, err = other.Horizon(t.Context())
	if want := (eventsource.Horizon{Head: after[0].SequenceID, SafeEnd: after[0].SequenceID}); err != nil || horizon != want {
		t.Errorf("horizon is %+v, %v", horizon, err)
	}
}

func TestTablesOfTheCallerCommitWithTheEvents(t *testing.T) {
	pool := testenv.Pool(t, migrated(t))
	if _, err := pool.Exec(t.Context(), "CREATE TABLE orders (id text PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	store := sqlstore.New(pool)
	repository := eventsource.NewRepository(store, nopSerializer{})
	orders := func() (count int) {
		t.Helper()
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	begin := func() (eventsource.StoreTransaction, pgx.Tx) {
		t.Helper()
		tx, err := repository.SaveTransaction(t.Context(), &eventsource.BaseEvent{AggregateID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		inner, ok := sqlstore.Tx(tx) // through the repository's wrapper
		if !ok {
			t.Fatal("no database transaction was found")
		}
		if _, err := inner.Exec(t.Context(), "INSERT INTO orders VALUES ($1)", fmt.Sprint(orders())); err != nil {
			t.Fatal(err)
		}
		return tx, inner
	}

	tx, inner := begin()
	if err := inner.Commit(t.Context()); !errors.Is(err, sqlstore.ErrNotInControl) {
		t.Errorf("Commit of the inner transaction: %v", err)
	}
	if err := inner.Rollback(t.Context()); !errors.Is(err, sqlstore.ErrNotInControl) {
		t.Errorf("Rollback of the inner transaction: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := orders(); got != 0 {
		t.Errorf("%d orders after Rollback", got)
	}

	tx, _ = begin()
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := orders(); got != 1 {
		t.Errorf("%d orders after Commit", got)
	}
	wantVersions(t, store, "a", 1)

	// A statement of the caller that failed fails the commit, as PostgreSQL has it.
	tx, inner = begin()
	if _, err := inner.Exec(t.Context(), "INSERT INTO orders VALUES ('0')"); err == nil {
		t.Fatal("the same order twice")
	}
	if err := tx.Commit(); !errors.Is(err, pgx.ErrTxCommitRollback) {
		t.Errorf("Commit after a failed statement: %v", err)
	}
	wantVersions(t, store, "a", 1)

	if _, ok := sqlstore.Tx(nil); ok {
		t.Error("a transaction was found in nil")
	}
}

func TestACommitOfACallersTransactionIsLeftToTheCaller(t *testing.T) {
	pool := testenv.Pool(t, migrated(t), func(c *pgxpool.Config) { c.MaxConns = 10 })
	if _, err := pool.Exec(t.Context(), "CREATE TABLE orders (id int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	store := sqlstore.New(pool)
	inTx := func(level pgx.TxIsoLevel, do func(pgx.Tx, *sqlstore.TxStore)) pgx.Tx {
		t.Helper()
		tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: level})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
		do(tx, store.WithTx(tx))
		return tx
	}
	save := func(s eventsource.Store, records ...eventsource.Record) error {
		tx, err := s.NewTransaction(t.Context(), records...)
		if err != nil {
			return err
		}
		return tx.Commit()
	}

	tx := inTx(pgx.ReadCommitted, func(tx pgx.Tx, bound *sqlstore.TxStore) {
		if err := save(bound, plain("a"), plain("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "INSERT INTO orders VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		wantVersions(t, bound, "a", 2)
		wantVersions(t, store, "a", 0)
		// What conflicts or is rolled back leaves the caller's transaction as it was.
		again := plain("a")
		again.Version = 2
		if err := save(bound, plain("b"), again); !errors.Is(err, eventsource.ErrConflict) {
			t.Errorf("version 2 again: %v", err)
		}
		undone, err := bound.NewTransaction(t.Context(), plain("a"), plain("b"))
		if err != nil {
			t.Fatal(err)
		}
		if err := undone.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := undone.Commit(); !errors.Is(err, eventsource.ErrTransactionDone) {
			t.Errorf("Commit after Rollback: %v", err)
		}
		if err := save(bound, plain("a")); err != nil {
			t.Fatal(err)
		}
		// The feed does not show what may still be rolled back.
		if records, err := bound.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 0 {
			t.Errorf("the feed has %d events of an open transaction: %v", len(records), err)
		}
	})
	wantVersions(t, store, "a", 0)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Notify(t.Context()); err != nil {
		t.Error(err)
	}
	wantVersions(t, store, "a", 3)
	wantVersions(t, store, "b", 0)

	tx = inTx(pgx.ReadCommitted, func(_ pgx.Tx, bound *sqlstore.TxStore) {
		if err := save(bound, plain("a")); err != nil {
			t.Fatal(err)
		}
	})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, store, "a", 3)

	for _, level := range []pgx.TxIsoLevel{pgx.RepeatableRead, pgx.Serializable} {
		inTx(level, func(tx pgx.Tx, bound *sqlstore.TxStore) {
			saveErr := save(bound, plain("a"))
			var wrong *sqlstore.IsolationLevelError
			if !errors.Is(saveErr, sqlstore.ErrIsolationLevel) || !errors.As(saveErr, &wrong) || wrong.Level != string(level) {
				t.Errorf("save in %s: %v", level, saveErr)
			}
			wantVersions(t, bound, "a", 3) // still usable, for what needs no fresh snapshot
			_, loadErr := bound.LoadBySequenceID(t.Context(), "", 0)
			if !errors.Is(loadErr, sqlstore.ErrIsolationLevel) {
				t.Errorf("load in %s: %v", level, loadErr)
			}
		})
	}

	// A savepoint whose context ends is undone.
	inTx(pgx.ReadCommitted, func(_ pgx.Tx, bound *sqlstore.TxStore) {
		ctx, cancel := context.WithCancel(t.Context())
		part, err := bound.NewTransaction(ctx, plain("a"))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := part.Commit(); !errors.Is(err, context.Canceled) {
			t.Errorf("Commit: %v", err)
		}
		wantVersions(t, bound, "a", 3)
	})

	// Lost races are tried again inside the savepoint.
	blocking, err := store.NewTransaction(t.Context(), plain("a"))
	if err != nil {
		t.Fatal(err)
	}
	saved := make(chan error)
	tx = inTx(pgx.ReadCommitted, func(_ pgx.Tx, bound *sqlstore.TxStore) {
		go func() { saved <- save(bound, plain("a")) }()
	})
	if err := blocking.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-saved; err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantVersions(t, store, "a", 5)
}

func TestATransactionWhoseContextEndsDuringAStatementIsRolledBackAtOnce(t *testing.T) {
	url := migrated(t)
	store, other := sqlstoreAt(t, url), sqlstoreAt(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := store.NewTransaction(ctx, plain("a"))
	if err != nil {
		t.Fatal(err)
	}
	inner, _ := sqlstore.Tx(tx)
	failed := make(chan error)
	go func() {
		_, err := inner.Exec(context.WithoutCancel(ctx), "SELECT pg_sleep(3600)") // it ignores the context
		failed <- err
	}()
	cancel()
	// The version is free, and readers go on, long before the statement would end.
	first := plain("a")
	first.Version = 1
	if _, err := other.Append(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if records, err := other.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 1 {
		t.Errorf("%d records: %v", len(records), err)
	}
	if err := <-failed; err == nil {
		t.Error("the statement did not fail")
	}
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); !errors.Is(err, eventsource.ErrTransactionDone) {
		t.Errorf("Commit: %v", err)
	}
}

func TestWatchersAreWokenAgainAfterTheirConnectionWasCut(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.MaxConns = 1 })
	store, writer := sqlstore.New(pool), sqlstoreAt(t, url)
	wakeUps, err := store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		// A pool of one still serves, since the listener is not in it.
		if _, err := store.LoadByAggregate(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		var cut int
		err := testenv.Pool(t, url).QueryRow(t.Context(), `SELECT count(pg_terminate_backend(pid))
			FROM pg_stat_activity WHERE query LIKE 'LISTEN "eventsource_' || 'events'::regclass::oid || '"'`).Scan(&cut)
		if err != nil || cut != 1 {
			t.Fatalf("%d listeners were cut: %v", cut, err)
		}
		if _, err := writer.Append(t.Context(), plain("a")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-wakeUps: // because it listens again, or because of the save
		case <-time.After(30 * time.Second):
			t.Fatal("no wake-up came")
		}
		for len(wakeUps) > 0 {
			<-wakeUps
		}
		if _, err := writer.Append(t.Context(), plain("a")); err != nil {
			t.Fatal(err)
		}
		select {
		case <-wakeUps:
		case <-time.After(30 * time.Second):
			t.Fatal("no wake-up came after the listener was back")
		}
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	url := migrated(t)
	ignore := goleak.IgnoreCurrent()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	store := sqlstore.New(pool)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := store.Watch(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := store.Append(ctx, plain("a")); err != nil {
			t.Fatal(err)
		}
		if _, err := store.NewTransaction(ctx, plain(fmt.Sprint("left open ", i%3))); i < 3 && err != nil {
			t.Fatal(err)
		} else if i == 2 {
			break
		}
	}
	for _, err := range store.Query(ctx, eventsource.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	cancel()
	pool.Close()
	// What ends a transaction that was left open takes a moment.
	for deadline := time.Now().Add(20 * time.Second); ; {
		err := goleak.Find(ignore)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestDataOverTheLimitIsRefused(t *testing.T) {
	store := sqlstoreAt(t, migrated(t), sqlstore.WithMaxDataSize(10))
	fits, exceeds := plain("a"), plain("a")
	fits.Data, exceeds.Data = []byte(strings.Repeat("x", 10)), []byte(strings.Repeat("x", 11))
	_, err := store.Append(t.Context(), fits, exceeds)
	var tooLarge *eventsource.TooLargeError
	if !errors.As(err, &tooLarge) || *tooLarge != (eventsource.TooLargeError{AggregateID: "a", Type: "Plain", Size: 11, Limit: 10}) {
		t.Errorf("error is %v", err)
	}
	wantVersions(t, store, "a", 0)
	if _, err := store.Append(t.Context(), fits); err != nil {
		t.Error(err)
	}
}
