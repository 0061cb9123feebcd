package system

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/terraskye/eventsourcing"
	eventbus "github.com/terraskye/eventsourcing/eventbus/postgres"
	eventstore "github.com/terraskye/eventsourcing/eventstore/postgres"

	"github.com/eventsource-go/eventsource/bench/payload"
)

const (
	// terraskyePoll is how long its bus waits for a notification. Its documentation
	// suggests a few seconds.
	terraskyePoll = 100 * time.Millisecond
	// terraskyeReaders is how many connections the readers of a session share.
	terraskyeReaders = 2
)

// Terraskye is an event store with a bus.
func Terraskye() System {
	return System{
		Name:     "terraskye",
		Module:   "github.com/terraskye/eventsourcing v0.1.7",
		Kind:     EventStore,
		Database: "terraskye",
		Notes: []string{
			"A save is a transaction of 4 round trips and one more an event: BEGIN, an advisory lock on the stream, its version, the INSERTs one by one, COMMIT.",
			"A trigger notifies in the transaction of the save. PostgreSQL lets such transactions commit only one after the other.",
			"Go structs are marshalled and unmarshalled with encoding/json, and the metadata, which is empty, as well.",
			"A load first asks whether the stream exists: two round trips. It has no call that reads a page.",
			"Its bus is woken by notifications and polls, every 100 ms here, where its documentation suggests a few seconds. A poll delivers at most 100 events, in a transaction of 5 round trips that locks the row of the subscription.",
			"Readers go by an ID from a sequence, and leave out what transactions wrote that are not older than all transactions which run. IDs do not come in the order of the transactions, so a reader can miss events.",
		},
		Create: createTerraskye,
		Fill:   fillTerraskye,
		Open:   openTerraskye,
	}
}

// The module's schema.sql of the store and that of the bus, which it does not export.
const terraskyeSchema = `
	CREATE TABLE events (
		id              BIGSERIAL   PRIMARY KEY,
		event_id        UUID        NOT NULL,
		stream_id       VARCHAR     NOT NULL,
		stream_position BIGINT      NOT NULL,
		event_type      VARCHAR     NOT NULL,
		payload         BYTEA       NOT NULL,
		metadata        BYTEA,
		occurred_at     TIMESTAMPTZ NOT NULL,
		UNIQUE (stream_id, stream_position)
	);
	CREATE INDEX idx_events_stream_id ON events (stream_id);

	CREATE TABLE event_subscriptions (
		name     VARCHAR PRIMARY KEY,
		position BIGINT  NOT NULL DEFAULT 0
	);
	CREATE FUNCTION eventsourcing_notify_events_inserted() RETURNS trigger AS $$
	BEGIN
		PERFORM pg_notify('eventsourcing_events_inserted', '');
		RETURN NULL;
	END;
	$$ LANGUAGE plpgsql;
	CREATE TRIGGER eventsourcing_events_notify
		AFTER INSERT ON events
		FOR EACH STATEMENT
		EXECUTE FUNCTION eventsourcing_notify_events_inserted();`

func createTerraskye(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, terraskyeSchema)
	return err
}

// fillTerraskye leaves the IDs to the sequence.
func fillTerraskye(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"events"},
		[]string{"event_id", "stream_id", "stream_position", "event_type", "payload", "metadata", "occurred_at"},
		pgx.CopyFromFunc(func() ([]any, error) {
			row, ok := next()
			if !ok {
				return nil, nil
			}
			return []any{
				[16]byte(uuid.New()), row.Aggregate, row.Version, row.Event.Type, row.Event.Data, []byte("{}"), row.Time,
			}, nil
		}))
	return err
}

// The events of package payload, as an application of Terraskye declares them. An
// event names its aggregate, but the store goes by the stream that it is saved to.
type (
	terraskyeFileAdded      payload.FileAdded
	terraskyeFileModified   payload.FileModified
	terraskyeFileDeleted    payload.FileDeleted
	terraskyeCommitImported payload.CommitImported
	terraskyeDocument       payload.Document
)

func (*terraskyeFileAdded) AggregateID() string      { return "" }
func (*terraskyeFileAdded) EventType() string        { return "FileAdded" }
func (*terraskyeFileModified) AggregateID() string   { return "" }
func (*terraskyeFileModified) EventType() string     { return "FileModified" }
func (*terraskyeFileDeleted) AggregateID() string    { return "" }
func (*terraskyeFileDeleted) EventType() string      { return "FileDeleted" }
func (*terraskyeCommitImported) AggregateID() string { return "" }
func (*terraskyeCommitImported) EventType() string   { return "CommitImported" }
func (*terraskyeDocument) AggregateID() string       { return "" }
func (*terraskyeDocument) EventType() string         { return "Document" }

// registerTerraskye registers the types in the module's only registry.
var registerTerraskye = sync.OnceFunc(func() {
	eventsourcing.RegisterEvent(&terraskyeFileAdded{})
	eventsourcing.RegisterEvent(&terraskyeFileModified{})
	eventsourcing.RegisterEvent(&terraskyeFileDeleted{})
	eventsourcing.RegisterEvent(&terraskyeCommitImported{})
	eventsourcing.RegisterEvent(&terraskyeDocument{})
})

func terraskyeEvent(event payload.Event) (eventsourcing.Event, error) {
	switch value := event.Value.(type) {
	case *payload.FileAdded:
		return (*terraskyeFileAdded)(value), nil
	case *payload.FileModified:
		return (*terraskyeFileModified)(value), nil
	case *payload.FileDeleted:
		return (*terraskyeFileDeleted)(value), nil
	case *payload.CommitImported:
		return (*terraskyeCommitImported)(value), nil
	case *payload.Document:
		return (*terraskyeDocument)(value), nil
	default:
		return nil, fmt.Errorf("%T is no payload", value)
	}
}

type terraskyeSession struct {
	store eventsourcing.EventStore
	// reading is a store with connections of its own.
	reading eventsourcing.EventStore
	readers *pgxpool.Pool // of reading
}

func openTerraskye(ctx context.Context, url string, conns int) (Session, error) {
	registerTerraskye()
	pool, err := openPool(ctx, url, conns)
	if err != nil {
		return nil, err
	}
	readers, err := openPool(ctx, url, terraskyeReaders)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &terraskyeSession{
		store:   eventstore.NewEventStore(pool),
		reading: eventstore.NewEventStore(readers),
		readers: readers,
	}, nil
}

// Close closes the pools as well, which belong to the stores.
func (s *terraskyeSession) Close() error {
	return errors.Join(s.store.Close(), s.reading.Close())
}

func (s *terraskyeSession) Save(ctx context.Context, batch Batch) error {
	envelopes := make([]eventsourcing.Envelope, len(batch.Events))
	for i, event := range batch.Events {
		value, err := terraskyeEvent(event)
		if err != nil {
			return err
		}
		envelopes[i] = eventsourcing.Envelope{
			EventID:    uuid.New(),
			StreamID:   batch.Aggregate,
			Event:      value,
			Version:    uint64(batch.Version + i + 1),
			OccurredAt: time.Now(),
		}
	}
	var revision eventsourcing.StreamState = eventsourcing.NoStream{}
	if batch.Version > 0 {
		revision = eventsourcing.Revision(batch.Version)
	}
	_, err := s.store.Save(ctx, envelopes, revision)
	var conflict *eventsourcing.StreamRevisionConflictError
	if errors.As(err, &conflict) || errors.Is(err, eventsourcing.ErrStreamExists) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func (s *terraskyeSession) Load(ctx context.Context, aggregate string) (int, error) {
	events, err := s.store.LoadStream(ctx, aggregate)
	if errors.Is(err, eventsourcing.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n := 0
	for events.Next(ctx) {
		n++
	}
	return n, events.Err()
}

func (s *terraskyeSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := s.reading.LoadFromAll(reading, eventsourcing.Any{})
	if err != nil {
		return err
	}
	for events.Next(reading) {
		envelope := events.Value()
		if deliver(ID{Aggregate: envelope.StreamID, Version: int(envelope.Version)}) {
			continue
		}
		// The iterator has no Close: the connection comes back at its end, which the
		// context brings about.
		cancel()
		for events.Next(reading) {
		}
		return nil
	}
	return events.Err()
}

func (s *terraskyeSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	bus := eventbus.NewEventBus(s.readers, terraskyePoll)
	err := s.follow(ctx, bus, ready, deliver)
	if closeErr := bus.Close(); err == nil {
		err = closeErr
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (s *terraskyeSession) follow(ctx context.Context, bus *eventbus.EventBus, ready func(), deliver func(ID)) error {
	select {
	case <-bus.Listening():
	case err := <-bus.Errors():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	end, err := s.end(ctx)
	if err != nil {
		return err
	}
	handler := eventsourcing.NewEventHandlerFunc(func(ctx context.Context, _ eventsourcing.Event) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		deliver(ID{Aggregate: eventsourcing.StreamIDFromContext(ctx), Version: int(eventsourcing.VersionFromContext(ctx))})
		return nil
	})
	if err := bus.Subscribe(ctx, uuid.NewString(), handler, eventbus.WithStartFrom(end)); err != nil {
		return err
	}
	ready()
	select {
	case err := <-bus.Errors():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end returns the highest ID. Writers have to wait meanwhile: a lower one may be
// stored later if anybody is writing.
func (s *terraskyeSession) end(ctx context.Context) (id int64, err error) {
	err = pgx.BeginFunc(ctx, s.readers, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE events IN SHARE MODE`); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM events`).Scan(&id)
	})
	return id, err
}
