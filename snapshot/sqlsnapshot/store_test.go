package sqlsnapshot_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jackc/puddle/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/snapshottest"
	"github.com/eventsource-go/eventsource/snapshot/sqlsnapshot"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestStore(t *testing.T) {
	snapshottest.Run(t, func(t *testing.T) snapshot.Store { return sqlsnapshot.New(migrated(t)) })
}

// migrated returns a pool of a schema with the tables.
func migrated(t testing.TB, opts ...migrations.Option) *pgxpool.Pool {
	t.Helper()
	pool := testenv.Pool(t, testenv.Postgres(t))
	db := stdlib.OpenDBFromPool(pool)
	if err := errors.Join(migrations.Up(t.Context(), db, opts...), db.Close()); err != nil {
		t.Fatal(err)
	}
	return pool
}

var (
	key  = snapshot.Key{AggregateID: "a", Type: "Account", SchemaVersion: 1}
	snap = eventsource.Snapshot{
		AggregateID: "a", Type: "Account", SchemaVersion: 1, Version: 7, SequenceID: "01K00000000000000000000000", State: []byte(`{}`),
	}
)

// all calls every method.
func all(t testing.TB, s *sqlsnapshot.Store) map[string]error {
	t.Helper()
	_, err := s.Load(t.Context(), key)
	return map[string]error{"Load": err, "Save": s.Save(t.Context(), snap), "Delete": s.Delete(t.Context(), "a")}
}

func want(t testing.TB, what string, err, want error, mentions ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
		return
	}
	for _, mention := range mentions {
		if !strings.Contains(err.Error(), mention) {
			t.Errorf("%s: error is %v, without %s", what, err, mention)
		}
	}
}

func TestWhatCannotBeIsRefusedByEveryMethod(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	for mention, s := range map[string]*sqlsnapshot.Store{
		"pool is nil":   sqlsnapshot.New(nil),
		`schema name`:   sqlsnapshot.New(pool, sqlsnapshot.WithSchema(`a"b`)),
		`table name ""`: sqlsnapshot.New(pool, sqlsnapshot.WithTable("")),
	} {
		want(t, "Err", s.Err(), eventsource.ErrMisconfigured, mention)
		for what, err := range all(t, s) {
			want(t, what, err, eventsource.ErrMisconfigured, mention)
		}
	}
}

func TestADatabaseWithoutTheTableIsSaidNotToBeMigrated(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	for mention, s := range map[string]*sqlsnapshot.Store{
		`table "events_snapshots": run migrations.Up(ctx, db)`:                                            sqlsnapshot.New(pool, nil),
		`"orders_snapshots": run migrations.Up(ctx, db, migrations.WithTable("orders"))`:                  sqlsnapshot.New(pool, sqlsnapshot.WithTable("orders")),
		`"no"."events_snapshots": run migrations.Up(ctx, db, migrations.WithSchema("no"))`:                sqlsnapshot.New(pool, sqlsnapshot.WithSchema("no")),
		`run migrations.Up(ctx, db, migrations.WithSchema("no"), migrations.WithTable("orders.Archive"))`: sqlsnapshot.New(pool, sqlsnapshot.WithSchema("no"), sqlsnapshot.WithTable("orders.Archive")),
	} {
		for what, err := range all(t, s) {
			want(t, what, err, sqlsnapshot.ErrNotMigrated, mention)
		}
	}
}

func TestTablesOfAnyNameAreApart(t *testing.T) {
	pool := migrated(t)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	var schema string
	if err := pool.QueryRow(t.Context(), `SELECT current_schema()`).Scan(&schema); err != nil {
		t.Fatal(err)
	}
	other := schema + ".own"
	t.Cleanup(func() {
		if _, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP SCHEMA IF EXISTS "`+other+`" CASCADE`); err != nil {
			t.Error(err)
		}
	})
	for _, opts := range [][]migrations.Option{{migrations.WithTable("Order")}, {migrations.WithSchema(other)}} {
		if err := migrations.Up(t.Context(), db, opts...); err != nil {
			t.Fatal(err)
		}
	}
	stores := []*sqlsnapshot.Store{
		sqlsnapshot.New(pool), sqlsnapshot.New(pool, sqlsnapshot.WithTable("Order")), sqlsnapshot.New(pool, sqlsnapshot.WithSchema(other)),
	}
	for i, s := range stores {
		if found, err := s.Load(t.Context(), key); err != nil || found != nil {
			t.Errorf("store %d has %+v, %v", i, found, err)
		}
		if err := s.Save(t.Context(), snap); err != nil {
			t.Error(err)
		}
	}
	if err := stores[0].Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if found, err := stores[2].Load(t.Context(), key); err != nil || found == nil {
		t.Errorf("the other schema has %+v, %v", found, err)
	}
}

func TestAClosedPoolIsSaidToBe(t *testing.T) {
	pool := migrated(t)
	pool.Close()
	for what, err := range all(t, sqlsnapshot.New(pool)) {
		want(t, what, err, puddle.ErrClosedPool, "pool is closed", `"a"`)
	}
}

func TestAServerThatTakesNoWritesIsSaidTo(t *testing.T) {
	pool := migrated(t)
	if err := sqlsnapshot.New(pool).Save(t.Context(), snap); err != nil {
		t.Fatal(err)
	}
	standby := testenv.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	})
	s := sqlsnapshot.New(standby)
	want(t, "Save", s.Save(t.Context(), snap), sqlsnapshot.ErrStandby, `"a"`)
	want(t, "Delete", s.Delete(t.Context(), "a"), sqlsnapshot.ErrStandby, `"a"`)
	if found, err := s.Load(t.Context(), key); err != nil || found == nil {
		t.Errorf("Load = %+v, %v", found, err)
	}
}

func TestAConnectionThatWasCutIsAnErrorAndTheNextOneWorks(t *testing.T) {
	pool := migrated(t)
	one := testenv.Pool(t, pool.Config().ConnString(), func(c *pgxpool.Config) { c.MaxConns = 1 })
	s := sqlsnapshot.New(one)
	cut := func() {
		t.Helper()
		var pid uint32
		if err := one.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
			t.Fatal(err)
		}
		var gone bool
		if err := pool.QueryRow(t.Context(), `SELECT pg_terminate_backend($1, 10000)`, pid).Scan(&gone); err != nil || !gone {
			t.Fatalf("terminated: %v, %v", gone, err)
		}
	}
	for what, call := range map[string]func() error{
		"Load":   func() error { _, err := s.Load(t.Context(), key); return err },
		"Save":   func() error { return s.Save(t.Context(), snap) },
		"Delete": func() error { return s.Delete(t.Context(), "a") },
	} {
		cut()
		if err := call(); err == nil || !strings.Contains(err.Error(), "eventsource/sqlsnapshot: ") {
			t.Errorf("%s: %v", what, err)
		}
		if err := call(); err != nil {
			t.Errorf("%s again: %v", what, err)
		}
	}
}

// What no aggregate ID may be, PostgreSQL does not take either.
func TestErrorsOfTheServerKeepTheirCode(t *testing.T) {
	s := sqlsnapshot.New(migrated(t))
	bad := snap
	bad.AggregateID = "a\x00b"
	var pgErr *pgconn.PgError
	if err := s.Save(t.Context(), bad); !errors.As(err, &pgErr) || pgErr.Code != "22021" {
		t.Errorf("Save = %v", err)
	}
}
