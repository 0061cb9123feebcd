package sqlstore_test

import (
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
	"github.com/eventsource-go/eventsource/storetest"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T) storetest.Storage { return open(t) }})
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmark(b, func(b *testing.B) storetest.Storage { return open(b) })
}

// open makes a migrated database whose stores have pools of their own.
func open(t testing.TB) storetest.Storage {
	url := migrated(t)
	return func(clock func() time.Time) eventsource.Store {
		return sqlstore.New(testenv.Pool(t, url), sqlstore.WithClock(clock))
	}
}

// migrated returns the URL of a database with the table of events.
func migrated(t testing.TB, opts ...migrations.Option) string {
	t.Helper()
	url := testenv.Postgres(t)
	migrate(t, testenv.Pool(t, url), opts...)
	return url
}

func migrate(t testing.TB, pool *pgxpool.Pool, opts ...migrations.Option) {
	t.Helper()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db, opts...); err != nil {
		t.Fatal(err)
	}
}
