package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

const scope = "email"

func take(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value}
}

func takeUntil(value string, until time.Time) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value, Until: until.UnixNano()}
}

func giveBack(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value, Release: true}
}

func reserving(aggregateID string, reservations ...eventsource.Reservation) eventsource.Record {
	r := plain(aggregateID)
	r.Reservations = reservations
	return r
}

func mustAppend(t *testing.T, store *sqlstore.Store, records ...eventsource.Record) []eventsource.Record {
	t.Helper()
	stored, err := store.Append(t.Context(), records...)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func wantHolder(t *testing.T, store eventsource.Reserver, value, aggregateID string) {
	t.Helper()
	if holder, err := store.Holder(t.Context(), scope, value); err != nil || holder.AggregateID != aggregateID {
		t.Errorf("%q is held by %+v, %v, want %q", value, holder, err, aggregateID)
	}
}

func wantTaken(t *testing.T, what string, err error, value, aggregateID, holder string) {
	t.Helper()
	var taken *eventsource.TakenError
	want := eventsource.TakenError{Scope: scope, Value: value, AggregateID: aggregateID, Holder: holder}
	if !errors.Is(err, eventsource.ErrTaken) || !errors.As(err, &taken) || *taken != want {
		t.Errorf("%s: error is %v, want %v", what, err, &want)
	}
}

// hold opens a transaction that has reserved a value.
func hold(t *testing.T, store *sqlstore.Store, aggregateID, value string) eventsource.StoreTransaction {
	t.Helper()
	held, err := store.NewTransaction(t.Context(), reserving(aggregateID, take(value)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Rollback() })
	return held
}

// lockWaiters waits until so many sessions wait for a lock in the test's schema.
func lockWaiters(t *testing.T, pool *pgxpool.Pool, count int) {
	t.Helper()
	waitUntil(t, fmt.Sprint(count, " sessions to wait"), func() bool {
		var waiting int
		err := pool.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks w WHERE NOT w.granted AND EXISTS (
			SELECT FROM pg_locks h WHERE h.pid = w.pid AND h.relation = 'events_reservations'::regclass)`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		return waiting == count
	})
}

func TestASaveWaitsForATransactionThatHasReservedItsValue(t *testing.T) {
	for _, way := range []string{"Append", "NewTransaction"} {
		for _, ends := range []string{"commits", "rolls back"} {
			t.Run(way+", the other "+ends, func(t *testing.T) {
				url := migrated(t)
				pool := testenv.Pool(t, url)
				store := sqlstoreAt(t, url)
				held := hold(t, store, "first", "x")
				second := make(chan error, 1)
				go func() {
					_, err := storing(t, store, pool)[way](t.Context(), reserving("second", take("x")))
					second <- err
				}()
				lockWaiters(t, pool, 1)
				if ends == "commits" {
					if err := held.Commit(); err != nil {
						t.Fatal(err)
					}
					wantTaken(t, way, within(t, "the second save", second), "x", "second", "first")
					wantHolder(t, store, "x", "first")
					wantVersions(t, store, "second", 0)
					return
				}
				if err := held.Rollback(); err != nil {
					t.Fatal(err)
				}
				if err := within(t, "the second save", second); err != nil {
					t.Error(err)
				}
				wantHolder(t, store, "x", "second")
				wantVersions(t, store, "first", 0)
			})
		}
	}
}

func TestASaveWhoseContextEndsWhileItWaitsForAValueStoresNothing(t *testing.T) {
	for _, way := range []string{"Append", "NewTransaction"} {
		t.Run(way, func(t *testing.T) {
			url := migrated(t)
			pool := testenv.Pool(t, url)
			store := sqlstoreAt(t, url)
			held := hold(t, store, "first", "x")
			ctx, cancel := context.WithCancel(t.Context())
			second := make(chan error, 1)
			go func() {
				_, err := storing(t, store, pool)[way](ctx, reserving("second", take("free"), take("x")))
				second <- err
			}()
			lockWaiters(t, pool, 1)
			cancel()
			if err := within(t, "the second save", second); !errors.Is(err, context.Canceled) || errors.Is(err, eventsource.ErrOutcomeUnknown) {
				t.Errorf("error is %v", err)
			}
			wantVersions(t, store, "second", 0)
			mustAppend(t, store, reserving("third", take("free"))) // nobody holds it up
			if err := held.Commit(); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, store, "x", "first")
		})
	}
}

func TestSavesThatWaitForAValueDoNotHoldUpOthers(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	store := sqlstore.New(testenv.Pool(t, url, poolOf(4))) // of which saves that wait take two
	held := hold(t, store, "first", "x")
	var waiting sync.WaitGroup
	var won atomic.Int64
	for i := range 6 {
		waiting.Go(func() {
			id := fmt.Sprint("waiting ", i)
			_, err := store.Append(t.Context(), reserving(id, take("x")))
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, eventsource.ErrTaken) {
				t.Errorf("%s: %v", id, err)
			}
		})
	}
	lockWaiters(t, pool, 1) // the others wait for it without a connection
	// These finish while the transaction is open, or the test does not.
	for i := range 20 {
		mustAppend(t, store, plain(fmt.Sprint("free ", i%5)))
		mustAppend(t, store, reserving(fmt.Sprint("free ", i%5), take(fmt.Sprint("value ", i))))
	}
	if err := held.Rollback(); err != nil {
		t.Fatal(err)
	}
	finish(t, "the saves that wait", &waiting)
	if won.Load() != 1 {
		t.Errorf("%d saves got the value", won.Load())
	}
	if state := store.GroupState(); state != (sqlstore.GroupState{}) {
		t.Errorf("afterwards there is left %+v", state)
	}
}

func TestASaveWithReservationsIsOneStatement(t *testing.T) {
	url := migrated(t)
	sent := &statementCounter{}
	store := sqlstore.New(testenv.Pool(t, url, poolOf(1), func(c *pgxpool.Config) { c.ConnConfig.Tracer = sent }))
	mustAppend(t, store, reserving("a", take("x"), take("y")))
	waitUntil(t, "the wake-up to have been sent", func() bool { return store.GroupState() == (sqlstore.GroupState{}) && sent.wakeUps.Load() > 0 })
	for _, reservations := range [][]eventsource.Reservation{
		{take("x")}, {giveBack("y")}, {giveBack("x"), take("z"), take("y")}, {takeUntil("z", time.Now().Add(time.Hour))},
	} {
		sent.saves.Store(0)
		mustAppend(t, store, plain("b"), reserving("a", reservations...))
		if n := sent.saves.Load(); n != 1 {
			t.Errorf("%+v: %d statements were sent", reservations, n)
		}
	}
	sent.saves.Store(0)
	_, err := store.Append(t.Context(), reserving("b", take("y")))
	wantTaken(t, "Append", err, "y", "b", "a")
	if n := sent.saves.Load(); n != 1 {
		t.Errorf("what was taken took %d statements", n)
	}
}

func TestSavesWithReservationsShareATransaction(t *testing.T) {
	h := holdFirstBatch(t, 1) // of which only one batch is on its way
	mustAppend(t, h.direct, reserving("other", take("taken")))
	const saves = 10
	for i := range saves {
		h.queue(reserving(fmt.Sprint("user ", i), take(fmt.Sprint("value ", i))))
		h.queue(plain(fmt.Sprint("plain ", i)))
	}
	refused := make(chan error, 2)
	h.save(t.Context(), func(_ []eventsource.Record, err error) { refused <- err }, reserving("late", take("taken")))
	h.waitFor("the save that is to be refused", func(s sqlstore.GroupState) bool { return s.Queued == 2*saves+1 })
	h.save(t.Context(), func(_ []eventsource.Record, err error) { refused <- err }, reserving("second", take("value 3")))
	h.waitFor("the save that wants the same", func(s sqlstore.GroupState) bool { return s.Queued == 2*saves+2 })
	h.release()
	finish(t, "the saves", &h.saving)
	close(refused)
	got := map[string]int{}
	for err := range refused {
		var taken *eventsource.TakenError
		if !errors.As(err, &taken) {
			t.Fatalf("error is %v, want that a value is taken", err)
		}
		got[taken.Value+" of "+taken.Holder]++
	}
	if want := map[string]int{"taken of other": 1, "value 3 of user 3": 1}; !maps.Equal(got, want) {
		t.Errorf("refused was %v, want %v", got, want)
	}
	var transactions, events int
	err := testenv.Pool(t, h.url).QueryRow(t.Context(), `SELECT count(DISTINCT xmin::text), count(*) FROM events
		WHERE aggregate_id LIKE 'user%' OR aggregate_id LIKE 'plain%'`).Scan(&transactions, &events)
	if err != nil || transactions != 1 || events != 2*saves {
		t.Errorf("%d events came in %d transactions, %v, want %d in one", events, transactions, err, 2*saves)
	}
	for i := range saves {
		wantHolder(t, h.direct, fmt.Sprint("value ", i), fmt.Sprint("user ", i))
	}
}

// statementCounter counts what is sent, and wake-ups apart.
type statementCounter struct{ saves, wakeUps atomic.Int64 }

func (c *statementCounter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	c.saves.Add(1)
	return ctx
}

func (c *statementCounter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (c *statementCounter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.wakeUps.Add(1)
	return ctx
}

func (c *statementCounter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *statementCounter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func TestASaveWithReservationsWhoseAnswerIsLostIsStoredOnce(t *testing.T) {
	p, store, direct := behindProxy(t, sqlstore.WithOutcomeTimeout(time.Minute))
	for i := range 5 {
		value := fmt.Sprint("value ", i)
		r := marked(fmt.Sprint("order ", i))
		r.Reservations = []eventsource.Reservation{take(value)}
		cutAtCommit(p, true)
		stored := mustAppend(t, store, r)
		want := eventsource.Holder{AggregateID: r.AggregateID, SequenceID: stored[0].SequenceID, Version: 1}
		if holder, err := direct.Holder(t.Context(), scope, value); err != nil || holder != want {
			t.Errorf("holder is %+v, %v, want %+v", holder, err, want)
		}
		wantVersions(t, direct, r.AggregateID, 1)

		lost := marked("lost")
		lost.Reservations = []eventsource.Reservation{take("lost " + value)}
		cutAtCommit(p, false)
		if _, err := store.Append(t.Context(), lost); err == nil || errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Fatalf("error is %v, want that of the connection", err)
		}
		wantHolder(t, direct, "lost "+value, "")
		wantVersions(t, direct, "lost", 0)
	}
}

func TestAHolderWhoseAnswerIsCutIsAnError(t *testing.T) {
	p, store, _ := behindProxy(t)
	mustAppend(t, store, reserving("a", take("x")))
	wantHolder(t, store, "x", "a")
	p.set(func(p *proxy) { p.fromServer = func(int, []byte) bool { return false } })
	if holder, err := store.Holder(t.Context(), scope, "x"); err == nil || holder != (eventsource.Holder{}) {
		t.Errorf("Holder = %+v, %v", holder, err)
	}
	if _, err := store.PurgeReservations(t.Context()); err == nil {
		t.Error("PurgeReservations gave no error")
	}
}

func TestTheEndOfAReservationIsToldByTheServersClock(t *testing.T) {
	for _, off := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			store := sqlstoreAt(t, migrated(t), clockOff(off), sqlstore.WithMaxClockAhead(48*time.Hour))
			hour := time.Now().Add(time.Hour)
			mustAppend(t, store, reserving("a", takeUntil("held", hour), takeUntil("ended", hour.Add(-2*time.Hour))))
			wantHolder(t, store, "held", "a")
			wantHolder(t, store, "ended", "")
			_, err := store.Append(t.Context(), reserving("b", take("held")))
			wantTaken(t, "Append", err, "held", "b", "a")
			mustAppend(t, store, reserving("b", take("ended")))
			if n, err := store.PurgeReservations(t.Context()); n != 0 || err != nil {
				t.Errorf("PurgeReservations = %d, %v", n, err)
			}
		})
	}
}

func TestPurgingDeletesWhatHasEndedAndNothingElse(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	store := sqlstoreAt(t, url)
	past := time.Now().Add(-time.Minute)
	var ended []eventsource.Reservation
	for i := range 2500 { // in three batches
		ended = append(ended, takeUntil(fmt.Sprint("ended ", i), past))
	}
	mustAppend(t, store, reserving("a", append(ended, take("kept"), takeUntil("later", time.Now().Add(time.Hour)))...))
	// What a transaction is reserving again is left alone, and not waited for.
	held := hold(t, store, "b", "ended 7")
	n, err := store.PurgeReservations(t.Context())
	if err != nil || n != 2499 {
		t.Errorf("PurgeReservations = %d, %v", n, err)
	}
	if err := held.Commit(); err != nil {
		t.Fatal(err)
	}
	if n, err := store.PurgeReservations(t.Context()); err != nil || n != 0 {
		t.Errorf("a second PurgeReservations = %d, %v", n, err)
	}
	wantHolder(t, store, "ended 7", "b")
	wantHolder(t, store, "kept", "a")
	wantHolder(t, store, "later", "a")
	var left int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM events_reservations`).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d rows are left, %v", left, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := store.PurgeReservations(over); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("PurgeReservations with an ended context = %d, %v", n, err)
	}
}

func TestPurgingWhileSavesReserveBreaksNothing(t *testing.T) {
	url := migrated(t)
	store, other := sqlstoreAt(t, url), sqlstoreAt(t, url)
	var saving, purging sync.WaitGroup
	stop := make(chan struct{})
	purging.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := other.PurgeReservations(t.Context()); err != nil {
					t.Errorf("PurgeReservations: %v", err)
					return
				}
			}
		}
	})
	for s := range 4 {
		saving.Go(func() {
			for i := range 25 {
				id := fmt.Sprintf("%d/%d", s, i)
				// The row of an ended reservation may go at any moment of this.
				if _, err := store.Append(t.Context(), reserving(id, takeUntil(id, time.Unix(1, 0)))); err != nil {
					t.Error(err)
				}
				if _, err := other.Append(t.Context(), reserving("taker "+id, take(id))); err != nil {
					t.Error(err)
				}
				wantHolder(t, store, id, "taker "+id)
			}
		})
	}
	saving.Wait()
	close(stop)
	purging.Wait()
}

func TestReservationsInTheCallersTransactionEndWithIt(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	store := sqlstoreAt(t, url)
	mustAppend(t, store, reserving("other", take("taken")), reserving("a", take("old")))
	save := func(s eventsource.Store, records ...eventsource.Record) error {
		tx, err := s.NewTransaction(t.Context(), records...)
		if err != nil {
			return err
		}
		return tx.Commit()
	}
	for _, commit := range []bool{false, true} {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bound := store.WithTx(tx)
		if err := save(bound, reserving("a", giveBack("old"), take("new"))); err != nil {
			t.Fatal(err)
		}
		wantHolder(t, bound, "new", "a")
		wantHolder(t, bound, "old", "")
		wantHolder(t, store, "new", "")
		wantHolder(t, store, "old", "a")
		// What is taken or rolled back leaves the caller's transaction as it was.
		wantTaken(t, "what another one holds", save(bound, reserving("a", take("more"), take("taken"))), "taken", "a", "other")
		wantTaken(t, "what this transaction holds", save(bound, reserving("b", take("new"))), "new", "b", "a")
		undone, err := bound.NewTransaction(t.Context(), reserving("a", giveBack("new"), take("undone")))
		if err != nil {
			t.Fatal(err)
		}
		if err := undone.Rollback(); err != nil {
			t.Fatal(err)
		}
		for value, holder := range map[string]string{"new": "a", "more": "", "undone": "", "taken": "other"} {
			wantHolder(t, bound, value, holder)
		}
		if part, err := bound.LoadByAggregateVersions(t.Context(), "a", 1, 0); err != nil || len(part) != 1 || part[0].Version != 2 {
			t.Errorf("after version 1 the transaction sees %+v, %v", part, err)
		}
		if !commit {
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, store, "old", "a")
			wantHolder(t, store, "new", "")
			continue
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantHolder(t, store, "old", "")
		wantHolder(t, store, "new", "a")
	}

	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if err := save(store.WithTx(tx), reserving("b", take("taken"))); !errors.Is(err, sqlstore.ErrIsolationLevel) {
		t.Errorf("save in repeatable read: %v", err)
	}
}

func TestAFunctionInTheTransactionSeesTheReservations(t *testing.T) {
	var seen string
	look := func(ctx context.Context, tx pgx.Tx, records []eventsource.Record) error {
		if records[0].Reservations != nil {
			t.Errorf("it is told of the reservations %v", records[0].Reservations)
		}
		return tx.QueryRow(ctx, `SELECT aggregate_id || ' ' || version FROM events_reservations WHERE value = 'x'`).Scan(&seen)
	}
	store, pool := withHook(t, look)
	for name, save := range storing(t, store, pool) {
		if _, err := save(t.Context(), plain(name), reserving(name, take("x"))); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if seen != name+" 2" {
			t.Errorf("%s: it saw %q", name, seen)
		}
		if _, err := save(t.Context(), reserving(name, giveBack("x"))); err == nil {
			t.Errorf("%s: the function's error did not fail the save", name)
		}
		wantHolder(t, store, "x", name)
		if _, err := pool.Exec(t.Context(), `DELETE FROM events_reservations`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALargeSaveMakesItsReservationsOnce(t *testing.T) {
	store := sqlstoreAt(t, migrated(t))
	records := make([]eventsource.Record, 5)
	for i := range records {
		records[i] = reserving("large", take(fmt.Sprint("value ", i)), take("all"))
		records[i].Data = bytes.Repeat([]byte{byte(i)}, 9<<20) // in several calls
	}
	stored := mustAppend(t, store, records...)
	for i, r := range stored {
		want := eventsource.Holder{AggregateID: "large", SequenceID: r.SequenceID, Version: i + 1}
		if holder, err := store.Holder(t.Context(), scope, fmt.Sprint("value ", i)); err != nil || holder != want {
			t.Errorf("the holder of value %d is %+v, %v, want %+v", i, holder, err, want)
		}
	}
	if holder, err := store.Holder(t.Context(), scope, "all"); err != nil || holder.Version != 5 || holder.SequenceID != stored[4].SequenceID {
		t.Errorf("the holder of what all reserve is %+v, %v", holder, err)
	}
	for i := range records {
		records[i].AggregateID = "another"
	}
	_, err := store.Append(t.Context(), records...)
	wantTaken(t, "Append", err, "all", "another", "large")
	wantVersions(t, store, "another", 0)
}

func TestWithoutTheTableOfReservationsOtherSavesGoOn(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	status, err := migrations.Status(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	for range len(status) - 2 { // the first two are to be there
		if err := migrations.Down(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	store := sqlstoreAt(t, url)
	for name, save := range storing(t, store, pool) {
		if _, err := save(t.Context(), plain(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := save(t.Context(), plain(name), reserving(name, take("x"))); !errors.Is(err, sqlstore.ErrNotMigrated) {
			t.Errorf("%s with a reservation: %v", name, err)
		}
		wantVersions(t, store, name, 1)
		if part, err := store.LoadByAggregateVersions(t.Context(), name, 0, 1); err != nil || len(part) != 1 {
			t.Errorf("%s: a part has %d events, %v", name, len(part), err)
		}
	}
	if _, err := store.Holder(t.Context(), scope, "x"); !errors.Is(err, sqlstore.ErrNotMigrated) {
		t.Errorf("Holder: %v", err)
	}
	if _, err := store.PurgeReservations(t.Context()); !errors.Is(err, sqlstore.ErrNotMigrated) {
		t.Errorf("PurgeReservations: %v", err)
	}
	migrate(t, pool)
	mustAppend(t, store, reserving("a", take("x")))
}

func TestACallersTransactionsThatCrossInTheirValuesAreADeadlockAtWorst(t *testing.T) {
	url := migrated(t)
	pool := testenv.Pool(t, url)
	store := sqlstoreAt(t, url)
	var wg sync.WaitGroup
	var stored atomic.Int64
	for i := range 2 {
		wg.Go(func() {
			values := []string{"x", "y"}
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				for j := range values {
					part, err := store.WithTx(tx).NewTransaction(t.Context(), reserving(fmt.Sprint("aggregate ", i), take(values[(i+j)%2])))
					if err != nil {
						return err
					}
					if err := part.Commit(); err != nil {
						return err
					}
				}
				return nil
			})
			var deadlock *pgconn.PgError
			switch {
			case err == nil:
				stored.Add(1)
			case errors.Is(err, eventsource.ErrTaken):
			case errors.As(err, &deadlock) && deadlock.Code == "40P01":
			default:
				t.Errorf("aggregate %d: %v", i, err)
			}
		})
	}
	finish(t, "both", &wg)
	if stored.Load() != 1 {
		t.Errorf("%d of the two were stored", stored.Load())
	}
}
