package system

import (
	"context"
	stdsql "database/sql"
	"fmt"
	"log/slog"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// Projector is a session that keeps a read model, the table that [CreateModel]
// makes, with one upsert for each event.
type Projector interface {
	// Project applies all events from the first on, and then those that are saved,
	// until ctx ends, and then returns nil. With a name that was used before it goes on
	// where that one was, if the system keeps a place. It calls applied after each commit with
	// the events that it made part of the read model, from one goroutine at a time.
	Project(ctx context.Context, name string, applied func([]ID)) error
}

// projectBatch is the most events of a transaction. It is the default of package projection.
const projectBatch = projection.DefaultBatchSize

const (
	createModel = `CREATE TABLE IF NOT EXISTS bench_model (
		aggregate text PRIMARY KEY, events bigint NOT NULL, version bigint NOT NULL, type text NOT NULL)`
	emptyModel = `TRUNCATE bench_model`
	// upsertModel is the same for all systems.
	upsertModel = `INSERT INTO bench_model AS m (aggregate, events, version, type) VALUES ($1, 1, $2, $3)
		ON CONFLICT (aggregate) DO UPDATE SET events = m.events + 1, version = excluded.version, type = excluded.type`
	checkModel  = `SELECT count(*), coalesce(sum(events), 0)::bigint, count(*) FILTER (WHERE version <> events) FROM bench_model`
	findInModel = `SELECT EXISTS (SELECT FROM bench_model WHERE aggregate = $1)`
)

// CreateModel makes an empty read model.
func CreateModel(ctx context.Context, pool *pgxpool.Pool) error {
	for _, statement := range []string{createModel, emptyModel} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("make the read model: %w", err)
		}
	}
	return nil
}

// CheckModel counts what the read model has. It is an error if an event of an
// aggregate was left out, applied twice, or applied before an earlier one.
func CheckModel(ctx context.Context, pool *pgxpool.Pool) (aggregates, events int, err error) {
	wrong := 0
	if err := pool.QueryRow(ctx, checkModel).Scan(&aggregates, &events, &wrong); err != nil {
		return 0, 0, fmt.Errorf("check the read model: %w", err)
	}
	if wrong > 0 {
		err = fmt.Errorf("the read model has %d aggregates, of which %d do not have each event once, in order", aggregates, wrong)
	}
	return aggregates, events, err
}

// InModel reports whether the read model has an aggregate.
func InModel(ctx context.Context, pool *pgxpool.Pool, aggregate string) (found bool, err error) {
	err = pool.QueryRow(ctx, findInModel, aggregate).Scan(&found)
	return found, err
}

// upserts are sent in one go.
type upserts struct {
	batch pgx.Batch
	ids   []ID
}

func (u *upserts) add(aggregate string, version int, eventType string) {
	u.batch.Queue(upsertModel, aggregate, version, eventType)
	u.ids = append(u.ids, ID{Aggregate: aggregate, Version: version})
}

// loopSession is raw with a plain loop: it reads a page, applies it, and keeps its
// place in memory only.
type loopSession struct{ *rawSession }

func (s loopSession) Project(ctx context.Context, _ string, applied func([]ID)) error {
	place := ""
	return poll(ctx, func() (int, error) {
		records, err := s.page(ctx, place, projectBatch)
		if err != nil || len(records) == 0 {
			return 0, err
		}
		var u upserts
		for _, record := range records {
			u.add(record.aggregateID, record.version, record.eventType)
			place = record.sequenceID
		}
		// A batch is one implicit transaction.
		if err := s.pool.SendBatch(ctx, &u.batch).Close(); err != nil {
			return 0, err
		}
		applied(u.ids)
		return len(records), nil
	})
}

// Project runs a projection with default options, whose read model and checkpoint
// move in one transaction.
func (s eventsSession) Project(ctx context.Context, name string, applied func([]ID)) error {
	checkpoints := &committing{Checkpoints: sqlprojection.NewCheckpoints(s.records.pool), applied: applied}
	handler := sqlprojection.Batch(func(ctx context.Context, tx pgx.Tx, events []eventsource.Event) error {
		var u upserts
		for _, event := range events {
			id := eventID(event)
			u.add(id.Aggregate, id.Version, eventsource.EventType(event))
		}
		checkpoints.ids = u.ids
		return tx.SendBatch(ctx, &u.batch).Close()
	})
	return projection.New(name, s.repository, handler,
		projection.WithCheckpoints(checkpoints), projection.WithLogger(slog.New(slog.DiscardHandler))).Run(ctx)
}

// committing are checkpoints that say what was committed.
type committing struct {
	*sqlprojection.Checkpoints
	applied func([]ID)
	ids     []ID // of the transaction that is open
}

func (c *committing) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	c.ids = nil
	err := c.Checkpoints.Transact(ctx, fn)
	if err == nil && len(c.ids) > 0 {
		c.applied(c.ids)
	}
	return err
}

// Project applies each message in the transaction in which the subscriber stores its
// place. The next message only comes when one is acknowledged, so there is a round
// trip for each.
func (s *watermillSession) Project(ctx context.Context, name string, applied func([]ID)) error {
	telling := &tellingBeginner{Beginner: sql.BeginnerFromPgx(s.readers), applied: applied}
	subscriber, err := sql.NewSubscriber(telling, watermillConfig(name, projectBatch), watermill.NopLogger{})
	if err != nil {
		return err
	}
	err = receive(ctx, subscriber, func() {}, func(ctx context.Context, id ID, eventType string) error {
		tx, ok := sql.TxFromContext(ctx)
		if !ok {
			return fmt.Errorf("message %v came without its transaction", id)
		}
		if _, err := tx.ExecContext(ctx, upsertModel, id.Aggregate, id.Version, eventType); err != nil {
			return err
		}
		telling.ids = append(telling.ids, id)
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// tellingBeginner says what was applied in each transaction that was committed. There is one at a time.
type tellingBeginner struct {
	sql.Beginner
	applied func([]ID)
	ids     []ID // of the transaction that is open
}

func (b *tellingBeginner) BeginTx(ctx context.Context, options *stdsql.TxOptions) (sql.Tx, error) {
	b.ids = nil
	tx, err := b.Beginner.BeginTx(ctx, options)
	return tellingTx{tx, b}, err
}

type tellingTx struct {
	sql.Tx
	beginner *tellingBeginner
}

func (t tellingTx) Commit() error {
	err := t.Tx.Commit()
	if err == nil && len(t.beginner.ids) > 0 {
		t.beginner.applied(t.beginner.ids)
	}
	return err
}
