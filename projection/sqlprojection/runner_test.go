package sqlprojection_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

func TestRunner(t *testing.T) { projectionsuite.RunRunner(t, backend) }

func TestRunnerWhereATransactionHoldsReadersBack(t *testing.T) {
	projectionsuite.RunHorizon(t, backend)
}

// backend has the events, the checkpoints and the read model in one database.
func backend(t *testing.T) projectionsuite.Backend {
	url := testenv.Postgres(t)
	pool := migrated(t, url)
	if _, err := pool.Exec(t.Context(), `CREATE TABLE ledger (
		n bigint GENERATED ALWAYS AS IDENTITY, by text, aggregate_id text, version int, sequence_id text, silent bool
	)`); err != nil {
		t.Fatal(err)
	}
	return projectionsuite.Backend{
		Store: func(clock func() time.Time) eventsource.Store {
			return sqlstore.New(testenv.Pool(t, url), sqlstore.WithClock(clock))
		},
		Checkpoints: func() projection.Checkpoints { return sqlprojection.NewCheckpoints(testenv.Pool(t, url)) },
		Lease:       2 * time.Second,
		Pause:       5 * time.Millisecond,
		Partitions:  16,
		Ledger:      ledger{pool},
	}
}

// ledger is a table.
type ledger struct{ pool *pgxpool.Pool }

func (l ledger) Handler(entry func(ctx context.Context, event eventsource.Event) (projectionsuite.Entry, error), types ...eventsource.Event) projection.Handler {
	return sqlprojection.Each(func(ctx context.Context, tx pgx.Tx, event eventsource.Event) error {
		e, failed := entry(ctx, event)
		if _, err := tx.Exec(ctx, `INSERT INTO ledger (by, aggregate_id, version, sequence_id, silent) VALUES ($1, $2, $3, $4, $5)`,
			e.By, e.AggregateID, e.Version, e.SequenceID, e.Silent); err != nil {
			return err
		}
		return failed
	}, types...)
}

func (l ledger) Entries(t testing.TB) []projectionsuite.Entry {
	t.Helper()
	rows, err := l.pool.Query(context.Background(), `SELECT by, aggregate_id, version, sequence_id, silent FROM ledger ORDER BY n`)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByPos[projectionsuite.Entry])
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
