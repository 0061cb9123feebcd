package system

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rnovatorov/go-eventsource/pkg/eventstore"
	"github.com/rnovatorov/go-eventsource/pkg/eventstore/eventstorepostgres"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/eventsource-go/eventsource/bench/payload"
)

// rnovatorovOthers is how many connections a store uses besides those for saving:
// one numbers events, one is taken out of the pool to listen, and one reads.
const rnovatorovOthers = 3

// Rnovatorov is an event store that numbers events after they are stored.
func Rnovatorov() System {
	return System{
		Name:     "rnovatorov",
		Module:   "github.com/rnovatorov/go-eventsource v0.1.0",
		Kind:     EventStore,
		Database: "rnovatorov",
		Notes: []string{
			"A save is a transaction of 4 round trips, one more for a new aggregate and one more an event: BEGIN, the aggregate's row, its version, the INSERTs one by one, NOTIFY, COMMIT.",
			"It notifies in the transaction of the save. PostgreSQL lets such transactions commit only one after the other.",
			"A goroutine numbers events after their commit, in a transaction of its own, one after each notification: each event's row is written twice.",
			"Events are protobuf messages as JSON. Here they are StringValues that hold the JSON; a load decodes the message, not the JSON in it.",
			"A reader is woken when events are numbered. First it writes a row for each event that waits for it; then it reads, locks, delivers and deletes one event in a transaction of 4 round trips.",
			"The query for the one event looks at all that wait, so the time for all of them grows with the square of their number. A reader gets the events of an aggregate in their order, but not those of all aggregates.",
		},
		Create: createRnovatorov,
		Fill:   fillRnovatorov,
		Open:   openRnovatorov,
	}
}

// The module's migration, which it does not export.
const rnovatorovSchema = `
	CREATE TABLE es_aggregates (
		id TEXT PRIMARY KEY,
		version INT NOT NULL
	);
	CREATE TABLE es_events (
		id TEXT PRIMARY KEY,
		sequence_number BIGINT UNIQUE,
		aggregate_id TEXT NOT NULL REFERENCES es_aggregates (id),
		aggregate_version INT NOT NULL,
		timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
		metadata JSONB NOT NULL,
		data JSONB NOT NULL,
		UNIQUE (aggregate_id, aggregate_version)
	);
	CREATE INDEX ON es_events (aggregate_version) INCLUDE (id) WHERE sequence_number IS NULL;
	CREATE TABLE es_subscriptions (
		id TEXT PRIMARY KEY,
		position BIGINT NOT NULL DEFAULT 0
	);
	CREATE TABLE es_subscription_backlogs (
		subscription_id TEXT NOT NULL,
		event_id TEXT NOT NULL REFERENCES es_events (id),
		PRIMARY KEY (subscription_id, event_id)
	);`

func createRnovatorov(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, rnovatorovSchema)
	return err
}

// fillRnovatorov stores the aggregates after their events, for only then their
// versions are known, and does without the foreign key meanwhile.
func fillRnovatorov(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `ALTER TABLE es_events DROP CONSTRAINT es_events_aggregate_id_fkey`); err != nil {
			return err
		}
		var last int64
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(sequence_number), 0) FROM es_events`).Scan(&last); err != nil {
			return err
		}
		number := last
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"es_events"},
			[]string{"id", "sequence_number", "aggregate_id", "aggregate_version", "timestamp", "metadata", "data"},
			pgx.CopyFromFunc(func() ([]any, error) {
				row, ok := next()
				if !ok {
					return nil, nil
				}
				data, err := rnovatorovData(row.Event)
				if err != nil {
					return nil, err
				}
				text, err := protojson.Marshal(data)
				if err != nil {
					return nil, err
				}
				number++
				// It stores no metadata as null in JSON.
				return []any{uuid.NewString(), number, row.Aggregate, row.Version, row.Time, []byte("null"), text}, nil
			}))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO es_aggregates (id, version)
			SELECT aggregate_id, max(aggregate_version) FROM es_events WHERE sequence_number > $1 GROUP BY aggregate_id
			ON CONFLICT (id) DO UPDATE SET version = excluded.version`, last)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			ALTER TABLE es_events
			ADD CONSTRAINT es_events_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES es_aggregates (id)`)
		return err
	})
}

func rnovatorovData(event payload.Event) (*anypb.Any, error) {
	return anypb.New(wrapperspb.String(string(event.Data)))
}

type rnovatorovSession struct {
	pool *pgxpool.Pool
	// store saves and loads, which needs nothing that runs.
	store *eventstorepostgres.Store
	// running numbers events and has the subscriptions.
	running *eventstorepostgres.Store
	// saving keeps saves from the connections that are not meant for them.
	saving chan struct{}
}

func openRnovatorov(ctx context.Context, url string, conns int) (Session, error) {
	pool, err := openPool(ctx, url, conns+rnovatorovOthers)
	if err != nil {
		return nil, err
	}
	store := eventstorepostgres.Start(pool) // logs nothing unless told to
	return &rnovatorovSession{pool: pool, store: store, running: store, saving: make(chan struct{}, conns)}, nil
}

func (s *rnovatorovSession) Close() error {
	s.running.Stop()
	s.pool.Close()
	return nil
}

func (s *rnovatorovSession) Save(ctx context.Context, batch Batch) error {
	events := make(eventstore.Events, len(batch.Events))
	for i, event := range batch.Events {
		data, err := rnovatorovData(event)
		if err != nil {
			return err
		}
		events[i] = &eventstore.Event{
			ID:               uuid.NewString(),
			AggregateID:      batch.Aggregate,
			AggregateVersion: batch.Version + i + 1,
			Timestamp:        time.Now(),
			Data:             data,
		}
	}
	select {
	case s.saving <- struct{}{}:
		defer func() { <-s.saving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := s.store.SaveEvents(ctx, batch.Aggregate, batch.Version, events)
	var pgError *pgconn.PgError
	if errors.Is(err, eventstore.ErrConcurrentUpdate) ||
		errors.As(err, &pgError) && pgError.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func (s *rnovatorovSession) Load(ctx context.Context, aggregate string) (int, error) {
	events, err := s.store.ListEvents(ctx, aggregate)
	return len(events), err
}

// Stream cannot tell the end.
func (s *rnovatorovSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	return s.read(ctx, uuid.NewString(), func() {}, deliver)
}

func (s *rnovatorovSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	subscription := uuid.NewString()
	err := s.startAtEnd(ctx, subscription)
	if err == nil {
		err = s.read(ctx, subscription, ready, func(id ID) bool {
			deliver(id)
			return true
		})
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// startAtEnd stores the place of a new subscription once all events that are
// stored now have numbers. Those stored later get higher ones than the place, or
// are numbered, and skipped, before Follow is ready.
func (s *rnovatorovSession) startAtEnd(ctx context.Context, subscription string) error {
	var waiting []string
	err := s.pool.QueryRow(ctx, `
		SELECT coalesce(array_agg(id), '{}') FROM es_events WHERE sequence_number IS NULL`).Scan(&waiting)
	for left := len(waiting); err == nil && left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		err = s.pool.QueryRow(ctx, `
			SELECT count(*) FROM es_events WHERE id = ANY($1) AND sequence_number IS NULL`, waiting).Scan(&left)
	}
	if err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `
		INSERT INTO es_subscriptions (id, position) SELECT $1, coalesce(max(sequence_number), 0) FROM es_events`, subscription)
	return err
}

// errRead ends a subscription.
var errRead = errors.New("nothing more is wanted")

// read subscribes. A subscription ends only with its store, so the store that runs
// is replaced by a new one.
func (s *rnovatorovSession) read(ctx context.Context, subscription string, ready func(), deliver func(ID) bool) error {
	enough := make(chan struct{})
	done := false
	err := s.running.Subscribe(ctx, subscription, func(_ context.Context, event *eventstore.Event) error {
		if done || ctx.Err() != nil {
			return errRead
		}
		if !deliver(ID{Aggregate: event.AggregateID, Version: event.AggregateVersion}) {
			done = true
			close(enough)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer func() {
		s.running.Stop()
		s.running = eventstorepostgres.Start(s.pool)
	}()
	// A subscription looks for events when it starts, and again when its store has
	// begun to listen. So it is ready even if that is still to come.
	ready()
	select {
	case <-enough:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
