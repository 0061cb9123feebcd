package sqlprojection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/projectionsuite"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// The connection of the read model is cut again and again, before and after a request
// has arrived. The events are elsewhere.
func TestEachEventCountsOnceWhereverTheEventsAreAndWhateverBreaks(t *testing.T) {
	b := newBench(t) // its table refuses an event that comes twice
	store := sqlstore.New(migrated(t, testenv.Postgres(t)))
	repo := eventsource.NewRepository(store, json.NewSerializer(&Opened{}))
	const count = 300
	var events []eventsource.Event
	for n := range count {
		events = append(events, &Opened{BaseEvent: eventsource.BaseEvent{AggregateID: fmt.Sprint(n % 7)}})
	}
	if err := repo.Save(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	insert := sqlprojection.On(func(ctx context.Context, tx pgx.Tx, event *Opened) error {
		_, err := tx.Exec(ctx, `INSERT INTO model VALUES ($1)`, event.SequenceID)
		return err
	})
	sent := 0
	b.wires.watch(func([]byte) cut {
		sent++
		switch {
		case sent > 300: // which is well before the end
			return no
		case sent%98 == 0:
			return before
		case sent%49 == 0:
			return after
		}
		return no
	})
	p := projection.New("opened", repo, insert, projection.WithCheckpoints(b), projection.WithBatchSize(5),
		projection.WithRetry(3, time.Millisecond, 10*time.Millisecond))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	waitFor(t, "all events to be handled", func() bool {
		var handled int
		if err := b.direct.QueryRow(t.Context(), `SELECT count(*) FROM model`).Scan(&handled); err != nil {
			t.Fatal(err)
		}
		return handled >= count
	})
	cancel()
	running.Wait()
	var names []string
	rows, err := b.direct.Query(t.Context(), `SELECT id FROM model ORDER BY id COLLATE "C"`)
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil || len(names) != count {
		t.Fatalf("%d events of %d are in the read model, %v", len(names), count, err)
	}
	for i, event := range events {
		if names[i] != event.GetSequenceID() {
			t.Fatalf("event %d is %s in the read model, and %s in the store", i, names[i], event.GetSequenceID())
		}
	}
}

func TestCheckpointsThroughPgBouncer(t *testing.T) {
	t.Parallel()
	server := testenv.NewCluster(t)
	direct := testenv.Pool(t, server.URL())
	for mode, test := range map[string]struct {
		settings []string
		mode     pgx.QueryExecMode
	}{
		"prepared": {[]string{"max_prepared_statements=200"}, pgx.QueryExecModeCacheStatement},
		"simple":   {[]string{"max_prepared_statements=0"}, pgx.QueryExecModeSimpleProtocol},
	} {
		t.Run(mode, func(t *testing.T) {
			// Few sessions for many connections, so that each statement may get another one.
			url, err := server.PgBouncer(t.Context(), append(test.settings, "default_pool_size=3")...)
			if err != nil {
				t.Fatal(err)
			}
			schemas := 0
			projectionsuite.Run(t, func(t *testing.T) projection.Checkpoints {
				schemas++
				schema := fmt.Sprintf("%s-%d", mode, schemas)
				db := stdlib.OpenDBFromPool(direct)
				defer func() { _ = db.Close() }()
				if err := migrations.Up(t.Context(), db, migrations.WithSchema(schema), migrations.WithTable("Order")); err != nil {
					t.Fatal(err)
				}
				pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = test.mode })
				return sqlprojection.NewCheckpoints(pool, sqlprojection.WithSchema(schema), sqlprojection.WithTable("Order"))
			})
		})
	}
}
