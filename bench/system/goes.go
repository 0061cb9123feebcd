package system

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/modernice/goes/backend/postgres"
	"github.com/modernice/goes/codec"
	"github.com/modernice/goes/event"
	"github.com/modernice/goes/event/query"
	qtime "github.com/modernice/goes/event/query/time"
	"github.com/modernice/goes/event/query/version"
	"github.com/modernice/goes/helper/streams"

	"github.com/eventsource-go/eventsource/bench/payload"
)

// Goes is the PostgreSQL event store of github.com/modernice/goes.
func Goes() System {
	return System{
		Name:     "goes",
		Module:   "github.com/modernice/goes v0.9.0",
		Kind:     EventStore,
		Database: "goes",
		Notes: []string{
			"BEGIN, one INSERT an event, COMMIT. The caller has to know the versions: a unique index refuses those that exist, gaps go unnoticed.",
			"JSON, stored as jsonb: marshalled in a save, unmarshalled to structs by every reader.",
			"All events are read in one query, sorted by the time of the writer's clock and the ID; the index has the time alone.",
			"Its continuous projections are fed by an event bus, which the store is not. The reader here repeats what they do at startup, every 2 ms when nothing is new: a query of the events from the time of the last one on.",
			"That time is the writer's clock before the save, so an event that is committed after one of a later time was read is missed.",
		},
		Create: createGoes,
		Fill:   fillGoes,
		Open:   openGoes,
	}
}

func newGoesStore(pool *pgxpool.Pool) *postgres.EventStore {
	registry := codec.New()
	codec.Register[payload.FileAdded](registry, "FileAdded")
	codec.Register[payload.FileModified](registry, "FileModified")
	codec.Register[payload.FileDeleted](registry, "FileDeleted")
	codec.Register[payload.CommitImported](registry, "CommitImported")
	codec.Register[payload.Document](registry, "Document")
	return postgres.NewEventStore(registry, postgres.Pool(pool))
}

// createGoes lets the store make its table, which it does when it connects.
func createGoes(ctx context.Context, pool *pgxpool.Pool) error {
	return newGoesStore(pool).Connect(ctx)
}

func fillGoes(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	columns := []string{"id", "name", "time", "aggregate_id", "aggregate_name", "aggregate_version", "data"}
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"events"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, ok := next()
		if !ok {
			return nil, nil
		}
		id, err := goesID(row.Time)
		if err != nil {
			return nil, err
		}
		aggregate, err := uuid.Parse(row.Aggregate)
		if err != nil {
			return nil, err
		}
		return []any{id, row.Event.Type, row.Time.UnixNano(), aggregate, aggregateName, row.Version, row.Event.Data}, nil
	}))
	return err
}

// goesID returns a UUID of version 7, as the library's, but of the given time.
func goesID(at time.Time) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return id, err
	}
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], uint64(at.UnixMilli()))
	copy(id[:6], milliseconds[2:])
	return id, nil
}

type goesSession struct {
	pool  *pgxpool.Pool
	store *postgres.EventStore
}

func openGoes(ctx context.Context, url string, conns int) (Session, error) {
	pool, err := openPool(ctx, url, conns)
	if err != nil {
		return nil, err
	}
	s := &goesSession{pool: pool, store: newGoesStore(pool)}
	if err := s.store.Connect(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

func (s *goesSession) Close() error {
	s.pool.Close()
	return nil
}

func (s *goesSession) Save(ctx context.Context, batch Batch) error {
	aggregate, err := uuid.Parse(batch.Aggregate)
	if err != nil {
		return err
	}
	events := make([]event.Event, len(batch.Events))
	for i, e := range batch.Events {
		events[i] = event.New(e.Type, e.Value, event.Aggregate(aggregate, aggregateName, batch.Version+i+1))
	}
	err = s.store.Insert(ctx, events...)
	var pgError *pgconn.PgError
	if errors.As(err, &pgError) && pgError.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

// Load makes the query of the library's repository.
func (s *goesSession) Load(ctx context.Context, aggregate string) (int, error) {
	id, err := uuid.Parse(aggregate)
	if err != nil {
		return 0, err
	}
	n := 0
	err = s.walk(ctx, query.New(
		query.AggregateName(aggregateName),
		query.AggregateID(id),
		query.SortBy(event.SortAggregateVersion, event.SortAsc),
		query.AggregateVersion(version.Min(1)),
	), func(event.Event) error {
		n++
		return nil
	})
	return n, err
}

// Stream makes the query of the library's projections.
func (s *goesSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	enough := errors.New("enough")
	err := s.walk(ctx, query.New(query.SortByTime()), func(e event.Event) error {
		if !deliver(goesEventID(e)) {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		return nil
	}
	return err
}

// walk calls visit with the events of a query. The query is over when it returns.
func (s *goesSession) walk(ctx context.Context, q event.Query, visit func(event.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, errs, err := s.store.Query(ctx, q)
	if err != nil {
		return err
	}
	err = streams.Walk(ctx, visit, events, errs)
	if err == nil {
		// The store keeps errors to itself once the context has ended.
		err = ctx.Err()
	}
	cancel()
	for range events { // closed last, after the rows
	}
	return err
}

// Follow catches up again and again.
func (s *goesSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	progress, err := s.progress(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ready()
	return poll(ctx, func() (int, error) { return s.catchUp(ctx, &progress, deliver) })
}

// goesProgress is the library's projection.Progressor: the time of the last events
// that were applied, and their IDs. It is here, as what goes with it, because that
// package imports far more than the store does.
type goesProgress struct {
	time time.Time
	ids  []uuid.UUID
}

// progress is that of a projection that has seen all that is stored.
func (s *goesSession) progress(ctx context.Context) (goesProgress, error) {
	var p goesProgress
	rows, err := s.pool.Query(ctx, `SELECT time, id FROM events WHERE time = (SELECT max(time) FROM events)`)
	if err != nil {
		return p, err
	}
	var last int64
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&last, &id}, func() error {
		p.time = time.Unix(0, last)
		p.ids = append(p.ids, id)
		return nil
	})
	return p, err
}

// catchUp does what the library's Job.Apply does with a projection that keeps its
// progress: it queries the events from the time of the last ones on, and leaves
// out those that it had. As there, the IDs of earlier runs are forgotten even if
// the time stays the same.
func (s *goesSession) catchUp(ctx context.Context, progress *goesProgress, deliver func(ID)) (n int, err error) {
	opts := []query.Option{query.SortByTime()}
	if !progress.time.IsZero() {
		opts = append(opts, query.Time(qtime.Min(progress.time)))
	}
	var last goesProgress
	err = s.walk(ctx, query.New(opts...), func(e event.Event) error {
		if e.Time().Equal(progress.time) && slices.Contains(progress.ids, e.ID()) {
			return nil
		}
		n++
		deliver(goesEventID(e))
		if !e.Time().Equal(last.time) {
			last = goesProgress{time: e.Time()}
		}
		last.ids = append(last.ids, e.ID())
		return nil
	})
	if n > 0 {
		*progress = last
	}
	return n, err
}

func goesEventID(e event.Event) ID {
	aggregate, _, version := e.Aggregate()
	return ID{Aggregate: aggregate.String(), Version: version}
}
