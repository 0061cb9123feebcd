package sqlprojection_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// What a handler does wrong with its transaction is its failure, and none of the
// database's that would be tried for ever.
func TestAHandlerThatMisusesItsTransactionHasFailed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle func(ctx context.Context, tx pgx.Tx) error
		is     error
	}{
		"it takes longer than it may": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
			return err
		}, context.DeadlineExceeded},
		"it hides an error of a statement": {func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, `SELECT 1 / 0`)
			return nil
		}, nil},
		"it commits with SQL": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `COMMIT`)
			return err
		}, sqlprojection.ErrNotInControl},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := migrated(t, testenv.Postgres(t))
			repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
			if err := repository.Save(t.Context(), &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}); err != nil {
				t.Fatal(err)
			}
			handler := sqlprojection.On(func(ctx context.Context, tx pgx.Tx, _ *Deposited) error { return c.handle(ctx, tx) })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := projection.New("p", repository, handler, projection.WithCheckpoints(sqlprojection.NewCheckpoints(pool)),
				projection.WithRetry(2, time.Millisecond, time.Millisecond), projection.WithHandlerTimeout(time.Second),
				projection.WithLogger(slog.New(slog.DiscardHandler))).Run(ctx)
			var failed *projection.EventError
			if !errors.As(err, &failed) || failed.Tries != 2 || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want an EventError after two tries, of %v", err, c.is)
			}
		})
	}
}

// Handlers that work longer than the lease hold all connections but the one that renews.
func TestThereIsAConnectionLeftToRenewTheLeases(t *testing.T) {
	t.Parallel()
	const partitions = 4
	url := testenv.Postgres(t)
	migrated(t, url)
	pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.MaxConns = partitions })
	repository := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Deposited{}))
	var last string
	for _, aggregate := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"} {
		deposited := &Deposited{BaseEvent: eventsource.BaseEvent{AggregateID: aggregate}}
		if err := repository.Save(t.Context(), deposited); err != nil {
			t.Fatal(err)
		}
		last = deposited.SequenceID
	}
	const lease = 2 * time.Second
	var calls atomic.Int64
	handler := sqlprojection.Batch(func(ctx context.Context, tx pgx.Tx, _ []eventsource.Event) error {
		calls.Add(1)
		_, err := tx.Exec(ctx, `SELECT pg_sleep($1)`, (2 * lease).Seconds())
		return err
	})
	checkpoints := sqlprojection.NewCheckpoints(pool)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	running := make(chan error, 1)
	go func() {
		running <- projection.New("p", repository, handler, projection.WithCheckpoints(checkpoints), projection.WithPartitions(partitions),
			projection.WithLease(lease), projection.WithLogger(slog.New(slog.DiscardHandler))).Run(ctx)
	}()
	if err := projection.NewManager(repository, checkpoints).WaitFor(ctx, "p", last); err != nil {
		t.Error(err)
	}
	if n := calls.Load(); n > 2*partitions {
		t.Errorf("the handler was called %d times for %d partitions", n, partitions)
	}
	cancel()
	if err := <-running; err != nil {
		t.Error(err)
	}
}
