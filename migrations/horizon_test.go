package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// What a reader in any language needs.
const (
	safeEndSQL = `SELECT safe_end FROM events_horizon()`
	pageSQL    = `SELECT sequence_id FROM events WHERE sequence_id > $1 AND sequence_id <= $2 ORDER BY sequence_id LIMIT 50`
	lockSQL    = `SELECT pg_advisory_xact_lock_shared((to_regclass('"events"')::oid::bigint & 65535) << 48 | $1::bigint)`
)

func TestAReaderInPlainSQLMissesNothing(t *testing.T) {
	url := testenv.Postgres(t)
	db := open(t, url)
	up(t, db)

	var writers sync.WaitGroup
	for i, skew := range []time.Duration{0, -800 * time.Millisecond, 500 * time.Millisecond, -50 * time.Millisecond} {
		store := sqlstore.New(testenv.Pool(t, url), sqlstore.WithClock(func() time.Time { return time.Now().Add(skew) }))
		for w := range 2 {
			writers.Go(func() { write(t, store, fmt.Sprint("aggregate ", i, " ", w)) })
		}
	}
	written := make(chan struct{})
	go func() {
		writers.Wait()
		close(written)
	}()

	var got []string
	cursor := ""
	for done := false; !done; {
		select {
		case <-written:
			done = true // and once more to the end
		default:
		}
		for {
			page, safeEnd := readPage(t, db, cursor)
			if safeEnd != "" {
				if _, err := ulid.ParseStrict(safeEnd); err != nil {
					t.Fatalf("safe_end %q is no ULID: %v", safeEnd, err)
				}
			}
			if len(page) == 0 {
				break
			}
			got, cursor = append(got, page...), page[len(page)-1]
		}
	}
	if !slices.IsSorted(got) {
		t.Error("events were read out of order")
	}
	all := one[string](t, db, `SELECT string_agg(sequence_id, ' ' ORDER BY sequence_id) FROM events`)
	want := strings.Fields(all)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d events were read of %d:\n%.2000s", len(got), len(want), diff)
	}
	if len(want) < 50 {
		t.Errorf("only %d events were written", len(want))
	}
}

// write saves for a while, and holds some transactions open before they end.
func write(t *testing.T, store *sqlstore.Store, aggregate string) {
	ctx := t.Context()
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end) && !t.Failed(); {
		record := eventsource.Record{AggregateID: aggregate, Type: "Tested", Data: []byte(`{}`)}
		if rand.N(3) > 0 {
			if _, err := store.Append(ctx, record); err != nil {
				t.Error(err)
			}
			continue
		}
		tx, err := store.NewTransaction(ctx, record, record)
		if err != nil {
			t.Error(err)
			return
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		finish := tx.Commit
		if rand.N(4) == 0 {
			finish = tx.Rollback
		}
		if err := finish(); err != nil {
			t.Error(err)
		}
	}
}

func readPage(t *testing.T, db *sql.DB, cursor string) (page []string, safeEnd string) {
	t.Helper()
	safeEnd = one[string](t, db, safeEndSQL)
	rows, err := db.QueryContext(t.Context(), pageSQL, cursor, safeEnd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			t.Fatal(err)
		}
		page = append(page, id)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return page, safeEnd
}

func TestSafeEndIsJustBelowWhatTheHolderMayUse(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	const maxK = 1<<48 - 1
	if got := readHorizon(t, db); got != (horizon{}) {
		t.Errorf("the horizon of an empty table is %+v", got)
	}
	check := func(head ulid.ULID, k uint64) {
		t.Helper()
		tx, pid := hold(t, db, lockSQL, int64(k))
		defer func() { _ = tx.Rollback() }()
		want := horizon{heldAt: sql.NullInt64{Int64: int64(k), Valid: true}, heldBy: sql.NullInt64{Int64: pid, Valid: true}}
		if !head.IsZero() {
			want.head = head.String()
			if k > 0 {
				below := ulid.ULID{6: 0xff, 7: 0xff, 8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xff}
				if err := below.SetTime(k - 1); err != nil {
					t.Fatal(err)
				}
				want.safeEnd = min(want.head, below.String())
			}
		}
		// Another session and the holder itself see the same.
		for _, s := range []session{db, tx} {
			if got := readHorizon(t, s); got != want {
				t.Errorf("with head %s and a holder at %d the horizon is %+v, want %+v", head, k, got, want)
			}
		}
	}
	check(ulid.ULID{}, 0)
	check(ulid.ULID{}, maxK)
	for _, ms := range []uint64{0, 1, 1_700_000_000_000, maxK} {
		var head ulid.ULID
		head[15] = 7
		if err := head.SetTime(ms); err != nil {
			t.Fatal(err)
		}
		execute(t, db, `INSERT INTO events VALUES ($1, $1, 1, 'Tested', 0, '', '', '{}')`, head.String())
		if got := readHorizon(t, db); got != (horizon{head: head.String(), safeEnd: head.String()}) {
			t.Errorf("without a holder the horizon is %+v", got)
		}
		for _, k := range []uint64{0, 1, 2, 31, 32, 33, 1 << 32, 1<<32 - 1, ms, ms - min(ms, 1), min(ms+1, maxK), maxK - 1, maxK} {
			check(head, k)
		}
		for range 20 {
			check(head, rand.Uint64N(1<<48))
		}
	}
}

func TestTheOldestOfSeveralHoldersIsReported(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 1)
	young, youngPID := hold(t, db, lockSQL, 1_000_000)
	old, oldPID := hold(t, db, lockSQL, 10)
	if got := readHorizon(t, db); got.heldAt.Int64 != 10 || got.heldBy.Int64 != oldPID {
		t.Errorf("the horizon is %+v, the oldest holder %d", got, oldPID)
	}
	_ = old.Rollback()
	if got := readHorizon(t, db); got.heldAt.Int64 != 1_000_000 || got.heldBy.Int64 != youngPID {
		t.Errorf("the horizon is %+v, the oldest holder %d", got, youngPID)
	}
	// A savepoint that is rolled back takes its lock along.
	execute(t, young, `SAVEPOINT s`)
	execute(t, young, lockSQL, 5)
	if got := readHorizon(t, db); got.heldAt.Int64 != 5 {
		t.Errorf("the horizon is %+v", got)
	}
	execute(t, young, `ROLLBACK TO SAVEPOINT s`)
	if got := readHorizon(t, db); got.heldAt.Int64 != 1_000_000 {
		t.Errorf("the horizon is %+v", got)
	}
	_ = young.Rollback()
	if got := readHorizon(t, db); got.heldAt.Valid || got.heldBy.Valid || got.safeEnd != got.head {
		t.Errorf("the horizon is %+v", got)
	}
}

func TestOtherLocksDoNotHoldReadersBack(t *testing.T) {
	url := testenv.Postgres(t)
	db := open(t, url)
	up(t, db)
	up(t, db, migrations.WithTable("siblings"))
	insert(t, db, "events", 1)
	const key = `((to_regclass('"events"')::oid::bigint & 65535) << 48 | $1::bigint)`
	for what, statement := range map[string]string{
		"of a table beside it":            `SELECT pg_advisory_xact_lock_shared((to_regclass('siblings')::oid::bigint & 65535) << 48 | $1::bigint)`,
		"of another namespace":            `SELECT pg_advisory_xact_lock_shared(((to_regclass('events')::oid::bigint + 1) & 65535) << 48 | $1::bigint)`,
		"exclusive":                       `SELECT pg_advisory_xact_lock` + key,
		"exclusive of the session":        `SELECT pg_advisory_lock` + key,
		"small, as applications use them": `SELECT pg_advisory_xact_lock_shared($1::bigint)`,
		"of two integers":                 `SELECT pg_advisory_xact_lock_shared(((to_regclass('events')::oid::bigint & 65535) << 16)::bit(32)::integer, $1::integer)`,
		"of the table":                    `LOCK TABLE events IN SHARE MODE -- $1`,
	} {
		t.Run(what, func(t *testing.T) {
			var args []any
			if !strings.HasSuffix(statement, "-- $1") {
				args = append(args, 1)
			}
			tx, _ := hold(t, db, statement, args...)
			defer func() { _ = tx.Rollback() }()
			if got := readHorizon(t, db); got.heldAt.Valid || got.safeEnd != got.head {
				t.Errorf("the horizon is %+v", got)
			}
			if strings.Contains(what, "session") {
				execute(t, tx, `SELECT pg_advisory_unlock_all()`)
			}
		})
	}
	t.Run("in another database", func(t *testing.T) {
		name := "es_test_" + one[string](t, db, `SELECT current_schema()`)
		execute(t, db, `CREATE DATABASE `+name)
		t.Cleanup(func() { execute(t, db, `DROP DATABASE `+name+` WITH (FORCE)`) })
		there := open(t, withParam(t, url, "database", name))
		if got := one[string](t, there, `SELECT current_database()`); got != name {
			t.Fatalf("connected to %s", got)
		}
		k := one[int64](t, db, `SELECT (to_regclass('"events"')::oid::bigint & 65535) << 48 | 1`)
		tx, _ := hold(t, there, `SELECT pg_advisory_xact_lock_shared($1)`, k)
		defer func() { _ = tx.Rollback() }()
		if got := readHorizon(t, db); got.heldAt.Valid {
			t.Errorf("the horizon is %+v", got)
		}
	})
}

// An application that takes shared advisory locks with keys of the table's
// namespace is taken for a writer: readers wait, but miss nothing.
func TestASharedLockOfTheSessionHoldsReadersBackUntilItIsReleased(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 1)
	tx, pid := hold(t, db, `SELECT pg_advisory_lock_shared((to_regclass('events')::oid::bigint & 65535) << 48 | 1)`)
	defer func() { _ = tx.Rollback() }()
	if got := readHorizon(t, db); got.heldBy.Int64 != pid || got.safeEnd >= got.head {
		t.Errorf("the horizon is %+v", got)
	}
	execute(t, tx, `SELECT pg_advisory_unlock_all()`)
	if got := readHorizon(t, db); got.heldAt.Valid {
		t.Errorf("the horizon is %+v", got)
	}
}

func TestTheHorizonIsRefusedWhereTheSnapshotIsTooOld(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelReadUncommitted: "", sql.LevelReadCommitted: "",
		sql.LevelRepeatableRead: "ES002", sql.LevelSerializable: "ES002",
	} {
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
		if err != nil {
			t.Fatal(err)
		}
		var safeEnd string
		err = tx.QueryRowContext(t.Context(), safeEndSQL).Scan(&safeEnd)
		if code(err) != want || want == "" && err != nil {
			t.Errorf("in %s: %v", level, err)
		}
		if err := tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
			t.Error(err)
		}
	}
}

func TestAReadOnlyTransactionMayReadTheHorizon(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	if got := readHorizon(t, tx); got != (horizon{}) {
		t.Errorf("the horizon is %+v", got)
	}
}

type horizon struct {
	head, safeEnd  string
	heldAt, heldBy sql.NullInt64
}

func readHorizon(t testing.TB, s session) (h horizon) {
	t.Helper()
	err := s.QueryRowContext(t.Context(), `SELECT head, safe_end, held_at, held_by FROM events_horizon()`).
		Scan(&h.head, &h.safeEnd, &h.heldAt, &h.heldBy)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// hold begins a transaction that takes a lock, and returns it and its process ID.
func hold(t testing.TB, db *sql.DB, statement string, args ...any) (*sql.Tx, int64) {
	t.Helper()
	tx, err := db.BeginTx(context.WithoutCancel(t.Context()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	execute(t, tx, statement, args...)
	return tx, one[int64](t, tx, `SELECT pg_backend_pid()`)
}
