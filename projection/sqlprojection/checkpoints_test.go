package sqlprojection_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

func TestMain(m *testing.M) {
	projectionsuite.SideBySide(8)
	os.Exit(testenv.Main(m))
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	projectionsuite.Run(t, func(t *testing.T) projection.Checkpoints {
		return sqlprojection.NewCheckpoints(migrated(t, testenv.Postgres(t)))
	})
}

// migrated returns a pool on a server's database with all tables.
func migrated(t testing.TB, url string, configure ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	pool := testenv.Pool(t, url, configure...)
	migrate(t, pool)
	return pool
}

func migrate(t testing.TB, pool *pgxpool.Pool, opts ...migrations.Option) {
	t.Helper()
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	if err := migrations.Up(t.Context(), db, opts...); err != nil {
		t.Fatal(err)
	}
}
