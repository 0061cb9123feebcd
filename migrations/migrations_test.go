package migrations_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

const firstFile = "00001_create_events.sql"

// Versions of the schema: one that has nothing but events, and one with projections.
const (
	onlyEvents       = 1
	withProjections  = 2
	withReservations = 3
)

func TestUpDownAndUpAgainMakeTheSameTables(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	for range 2 {
		checkApplied(t, db, false)
		up(t, db)
		checkApplied(t, db, true)
		first := catalog(t, db)
		if !strings.Contains(first, "table events\n") || !strings.Contains(first, "function events_horizon") {
			t.Fatalf("Up made:\n%s", first)
		}
		up(t, db)
		if diff := cmp.Diff(first, catalog(t, db)); diff != "" {
			t.Errorf("a second Up changed something:\n%s", diff)
		}

		downTo(t, db, 0)
		checkApplied(t, db, false)
		if left := catalog(t, db); strings.Contains(strings.ReplaceAll(left, "events_schema_version", ""), "events") {
			t.Errorf("Down left behind:\n%s", left)
		}
	}
}

func TestStatusAndDownChangeNothingInAnEmptyDatabase(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	for _, opts := range [][]migrations.Option{nil, {migrations.WithSchema("no_such_schema")}, {nil, migrations.WithTable("Order")}} {
		checkApplied(t, db, false, opts...)
		down(t, db, opts...)
		down(t, db, opts...)
	}
	if left := catalog(t, db); left != "" {
		t.Errorf("they made:\n%s", left)
	}
	up(t, db)
	downTo(t, db, 0)
	down(t, db) // nothing is left to take back
}

func TestStatusTellsTheTimeInEveryTimeZone(t *testing.T) {
	for _, zone := range []string{"UTC", "Asia/Tokyo", "America/New_York"} {
		db := open(t, withParam(t, testenv.Postgres(t), "timezone", zone))
		up(t, db)
		got, err := migrations.Status(t.Context(), db)
		if err != nil || len(got) != len(migrationFiles(t)) {
			t.Errorf("Status in %s = %+v, %v", zone, got, err)
		}
		for _, m := range got {
			if time.Since(m.AppliedAt).Abs() > time.Minute {
				t.Errorf("Status in %s = %+v", zone, m)
			}
		}
	}
}

func TestUpKeepsTheEventsThatAreThere(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 3)
	up(t, db)
	if n := count(t, db, "events"); n != 3 {
		t.Errorf("%d events are left of 3", n)
	}
}

func TestDownRefusesToDropEventsUnlessAskedTo(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	insert(t, db, "events", 1)
	downTo(t, db, onlyEvents)

	err := migrations.Down(t.Context(), db)
	if code(err) != "23001" || !strings.Contains(err.Error(), "WithDropEvents") || !strings.Contains(err.Error(), "eventsource.drop_events") {
		t.Errorf("Down = %v, which does not say how to drop events", err)
	}
	if n := count(t, db, "events"); n != 1 {
		t.Errorf("%d events are left of 1", n)
	}
	checkAppliedTo(t, db, onlyEvents)

	down(t, db, migrations.WithDropEvents())
	checkApplied(t, db, false)
	up(t, db)
	if n := count(t, db, "events"); n != 0 {
		t.Errorf("the new table has %d events", n)
	}
}

func TestDownRefusesToDropPositionsAndParkedEventsUnlessAskedTo(t *testing.T) {
	for table, row := range map[string]string{
		"events_projections": `INSERT INTO events_projections VALUES ('accounts', 0, 0, 1, 0, '', '', 0, '', '', 0, NULL)`,
		"events_parked":      `INSERT INTO events_parked VALUES ('accounts', 1, '1', 'a', 1, 'Opened', 'parked', '', '', 1, now())`,
	} {
		t.Run(table, func(t *testing.T) {
			db := open(t, testenv.Postgres(t))
			up(t, db)
			insert(t, db, "events", 1)
			execute(t, db, row)
			downTo(t, db, withProjections)

			err := migrations.Down(t.Context(), db)
			if code(err) != "23001" || !strings.Contains(err.Error(), "WithDropEvents") || !strings.Contains(err.Error(), "eventsource.drop_events") {
				t.Errorf("Down = %v, which does not say how to drop them", err)
			}
			checkAppliedTo(t, db, withProjections)
			if n := count(t, db, table); n != 1 {
				t.Errorf("%d rows are left of 1", n)
			}

			down(t, db, migrations.WithDropEvents())
			checkAppliedTo(t, db, onlyEvents)
			up(t, db)
			if n := count(t, db, table); n != 0 {
				t.Errorf("the new table has %d rows", n)
			}
			if n := count(t, db, "events"); n != 1 {
				t.Errorf("%d events are left of 1", n)
			}
		})
	}
}

func TestDownRefusesToDropReservationsThatHaveNotEndedUnlessAskedTo(t *testing.T) {
	insertReservation := func(db *sql.DB, until time.Time) {
		t.Helper()
		ends := int64(0)
		if !until.IsZero() {
			ends = until.UnixNano()
		}
		execute(t, db, `INSERT INTO events_reservations VALUES ('email', 'a@example.com', 'a', '1', 1, $1)`, ends)
	}
	for name, until := range map[string]time.Time{"without an end": {}, "with an end": time.Now().Add(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			db := open(t, testenv.Postgres(t))
			up(t, db)
			insertReservation(db, until)
			downTo(t, db, withReservations)

			err := migrations.Down(t.Context(), db)
			if code(err) != "23001" || !strings.Contains(err.Error(), "WithDropEvents") || !strings.Contains(err.Error(), "eventsource.drop_events") {
				t.Errorf("Down = %v, which does not say how to drop them", err)
			}
			checkAppliedTo(t, db, withReservations)
			if n := count(t, db, "events_reservations"); n != 1 {
				t.Errorf("%d rows are left of 1", n)
			}

			down(t, db, migrations.WithDropEvents())
			checkAppliedTo(t, db, withProjections)
			up(t, db)
			if n := count(t, db, "events_reservations"); n != 0 {
				t.Errorf("the new table has %d rows", n)
			}
		})
	}
	t.Run("that has ended", func(t *testing.T) {
		db := open(t, testenv.Postgres(t))
		up(t, db)
		insertReservation(db, time.Now().Add(-time.Hour))
		downTo(t, db, withReservations)
		down(t, db)
		checkAppliedTo(t, db, withProjections)
	})
}

func TestAStepOfAProjectionTouchesNoIndex(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	execute(t, db, `INSERT INTO events_projections SELECT 'accounts', 1, n, 1, 0, '', '', 0, '', '', 0, '{}' FROM generate_series(0, 9) n`)
	execute(t, db, `UPDATE events_projections SET revision = revision + 1, position = 'x', last_event = 'x', handled = handled + 1, updated_at = now()`)
	waitFor(t, "the updates to be counted as heap-only ones", func() bool { // sessions report them now and then
		return one[int](t, db, `SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'events_projections'::regclass`) == 10
	})
}

func TestDownSeesTheEventsOfATransactionThatIsStillOpen(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db)
	downTo(t, db, onlyEvents)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	insert(t, tx, "events", 1)

	dropped := make(chan error, 1)
	go func() { dropped <- migrations.Down(context.WithoutCancel(t.Context()), db) }()
	waitFor(t, "Down to wait for the transaction", func() bool {
		return one[bool](t, db, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass('events') AND NOT granted)`)
	})
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-dropped; code(err) != "23001" {
		t.Errorf("Down = %v", err)
	}
	if n := count(t, db, "events"); n != 1 {
		t.Errorf("%d events are left of 1", n)
	}
}

func TestProcessesThatMigrateAtOnceAllSucceed(t *testing.T) {
	for name, opts := range map[string][]migrations.Option{
		"in a schema that is there": nil,
		"in a schema of their own":  {migrations.WithSchema(newSchema(t))},
	} {
		t.Run(name, func(t *testing.T) {
			url := testenv.Postgres(t)
			var dbs []*sql.DB
			for range 4 {
				db := open(t, url)
				db.SetMaxOpenConns(1) // goose must not need a second one
				dbs = append(dbs, db)
			}
			atOnce(t, dbs, func(db *sql.DB) error { return migrations.Up(t.Context(), db, opts...) })
			for _, db := range dbs {
				checkApplied(t, db, true, opts...)
			}
			atOnce(t, dbs, func(db *sql.DB) error { return migrations.Down(t.Context(), db, opts...) })
			checkApplied(t, dbs[0], false, opts...)
		})
	}
}

func TestUpMigratesTheFirstSchemaOfTheSearchPath(t *testing.T) {
	firstURL, second := testenv.Postgres(t), newSchema(t)
	db := open(t, firstURL)
	up(t, db, migrations.WithSchema(second))

	// The tables of the second schema can be seen, but are not those of the first.
	first := one[string](t, db, `SELECT current_schema()`)
	both := open(t, withParam(t, firstURL, "search_path", first+","+second))
	checkApplied(t, both, false)
	down(t, both)
	up(t, both)
	checkApplied(t, both, true)
	if !one[bool](t, db, `SELECT to_regclass($1 || '.events') IS NOT NULL`, first) {
		t.Error("Up made no table in the first schema")
	}
	downTo(t, both, 0)
	checkApplied(t, db, true, migrations.WithSchema(second))
}

func TestACancelledContextEndsUp(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	// Another process migrates, and takes long.
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(t.Context(), `SELECT pg_advisory_lock($1)`, int64(0x65766e746d677274)); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.ExecContext(context.Background(), `SELECT pg_advisory_unlock_all()`) }()

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := migrations.Up(ctx, db); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Up = %v", err)
	}
	checkApplied(t, db, false) // and Status does not wait either
}

func TestTheLoggerIsToldOfEachMigration(t *testing.T) {
	var log bytes.Buffer
	up(t, open(t, testenv.Postgres(t)), migrations.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	if !strings.Contains(log.String(), firstFile) {
		t.Errorf("log: %s", &log)
	}
}

func TestANilDatabaseIsMisconfigured(t *testing.T) {
	if err := migrations.Up(t.Context(), nil); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("Up = %v", err)
	}
}

func open(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func up(t testing.TB, db *sql.DB, opts ...migrations.Option) {
	t.Helper()
	if err := migrations.Up(t.Context(), db, opts...); err != nil {
		t.Fatal(err)
	}
}

func down(t testing.TB, db *sql.DB, opts ...migrations.Option) {
	t.Helper()
	if err := migrations.Down(t.Context(), db, opts...); err != nil {
		t.Fatal(err)
	}
}

// downTo takes back all migrations but the first n.
func downTo(t testing.TB, db *sql.DB, n int, opts ...migrations.Option) {
	t.Helper()
	for range len(migrationFiles(t)) - n {
		down(t, db, opts...)
	}
}

// checkApplied checks that all migrations are applied, or none.
func checkApplied(t testing.TB, db *sql.DB, want bool, opts ...migrations.Option) {
	t.Helper()
	n := 0
	if want {
		n = len(migrationFiles(t))
	}
	checkAppliedTo(t, db, n, opts...)
}

// checkAppliedTo checks that the first n migrations are applied, and no others.
func checkAppliedTo(t testing.TB, db *sql.DB, n int, opts ...migrations.Option) {
	t.Helper()
	got, err := migrations.Status(t.Context(), db, opts...)
	files := migrationFiles(t)
	if err != nil || len(got) != len(files) {
		t.Fatalf("Status = %+v, %v, want %q", got, err, files)
	}
	for i, m := range got {
		if want := i < n; m.Version != int64(i+1) || m.Name != files[i] || m.AppliedAt.IsZero() == want {
			t.Errorf("Status = %+v, applied should be %t", m, want)
		}
	}
}

// newSchema returns a name and drops the schema when the test ends, if there is one.
func newSchema(t testing.TB) string {
	t.Helper()
	db := open(t, testenv.Postgres(t))
	name := one[string](t, db, `SELECT current_schema() || '_own'`)
	t.Cleanup(func() { execute(t, db, `DROP SCHEMA IF EXISTS "`+name+`" CASCADE`) })
	return name
}

func atOnce(t testing.TB, dbs []*sql.DB, do func(*sql.DB) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, db := range dbs {
		all.Go(func() {
			if err := do(db); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// session is a database, a connection or a transaction.
type session interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func execute(t testing.TB, s session, query string, args ...any) {
	t.Helper()
	// Also when the test has ended.
	if _, err := s.ExecContext(context.WithoutCancel(t.Context()), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func one[T any](t testing.TB, s session, query string, args ...any) (value T) {
	t.Helper()
	if err := s.QueryRowContext(t.Context(), query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// insert adds n events by hand, whose IDs have increasing times from 1 on.
func insert(t testing.TB, s session, table string, n int) {
	t.Helper()
	execute(t, s, `INSERT INTO `+table+` (sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata)
		SELECT lpad(n::text, 10, '0') || repeat('0', 16), 'a' || n % 100, n / 100 + 1, 'type' || n % 10, n, '', '{}', '{}'
		FROM generate_series(1, $1::integer) n`, n)
}

func count(t testing.TB, s session, table string) int {
	t.Helper()
	return one[int](t, s, `SELECT count(*) FROM `+table)
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}

func withParam(t testing.TB, rawURL, name, value string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// catalog describes all that is in the current schema, from the system catalogs.
func catalog(t testing.TB, db *sql.DB) string {
	t.Helper()
	return one[string](t, db, `
		WITH here AS (SELECT current_schema()::regnamespace AS oid),
		lines (line) AS (
			SELECT concat_ws(' ', CASE c.relkind WHEN 'r' THEN 'table' ELSE c.relkind::text END, c.relname)
				FROM pg_class c, here WHERE c.relnamespace = here.oid
			UNION ALL
			SELECT concat_ws(' ', 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
				CASE WHEN a.attnotnull THEN 'not null' END, a.attidentity, l.collname, pg_get_expr(d.adbin, d.adrelid))
				FROM here JOIN pg_class c ON c.relnamespace = here.oid AND c.relkind = 'r'
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
				LEFT JOIN pg_collation l ON l.oid = a.attcollation
				LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
			UNION ALL
			SELECT 'index ' || pg_get_indexdef(i.indexrelid)
				FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, here WHERE c.relnamespace = here.oid
			UNION ALL
			SELECT concat_ws(' ', 'constraint', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid))
				FROM pg_constraint k, here WHERE k.connamespace = here.oid
			UNION ALL
			SELECT concat_ws(' ', 'trigger', g.tgenabled, pg_get_triggerdef(g.oid))
				FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid, here WHERE c.relnamespace = here.oid
			UNION ALL
			SELECT concat_ws(' ', 'function', p.proname, p.proacl, pg_get_functiondef(p.oid))
				FROM pg_proc p, here WHERE p.pronamespace = here.oid
		)
		SELECT coalesce(string_agg(replace(line, current_schema(), 'SCHEMA') || E'\n', '' ORDER BY line COLLATE "C"), '') FROM lines`)
}
