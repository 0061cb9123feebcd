package system

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// Records is this module's store: records in, records out.
func Records() System {
	return System{
		Name:     "ours",
		Kind:     Ours,
		Database: ownDatabase,
		Notes: []string{
			"Store of records: nothing is encoded or decoded, as with raw.",
			"Concurrent saves share transactions; versions are checked; a save to the end of an aggregate needs no version.",
			"A reader is woken by the store and reads up to the horizon.",
		},
		Create: createEvents,
		Fill:   fillEvents,
		Open:   openRecords,
	}
}

// Events is this module's repository on the same store: Go events in and out, as JSON.
func Events() System {
	return System{
		Name:     "ours, JSON",
		Kind:     Ours,
		Database: ownDatabase,
		Notes: []string{
			"The same store through a Repository: Go structs are marshalled and unmarshalled with encoding/json.",
			"A projection has default options, and so batches of up to 500 events; the upserts of one are sent together, in the transaction in which the checkpoint moves.",
		},
		Create: createEvents,
		Fill:   fillEvents,
		Open: func(ctx context.Context, url string, conns int) (Session, error) {
			s, err := openRecords(ctx, url, conns)
			if err != nil {
				return nil, err
			}
			return eventsSession{records: s.(*recordsSession), repository: eventsource.NewRepository(s.(*recordsSession).store, json.NewSerializer(
				(*FileAdded)(nil), (*FileModified)(nil), (*FileDeleted)(nil), (*CommitImported)(nil), (*Document)(nil)))}, nil
		},
	}
}

// ownDatabase is that of the systems which use this module's table.
const ownDatabase = "eventsource"

func createEvents(ctx context.Context, pool *pgxpool.Pool) error {
	db := stdlib.OpenDBFromPool(pool)
	err := migrations.Up(ctx, db)
	return errors.Join(err, db.Close())
}

var eventColumns = []string{"sequence_id", "aggregate_id", "version", "type", "timestamp", "user_id", "data", "metadata"}

const userID = "bench"

func fillEvents(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	number := uint64(0)
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"events"}, eventColumns, pgx.CopyFromFunc(func() ([]any, error) {
		row, ok := next()
		if !ok {
			return nil, nil
		}
		number++
		var id ulid.ULID
		if err := id.SetTime(ulid.Timestamp(row.Time)); err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint64(id[8:], number)
		return []any{
			id.String(), row.Aggregate, row.Version, row.Event.Type, row.Time.UnixNano(), userID, row.Event.Data, []byte("{}"),
		}, nil
	}))
	return err
}

type recordsSession struct {
	pool  *pgxpool.Pool
	store *sqlstore.Store
}

func openRecords(ctx context.Context, url string, conns int) (Session, error) {
	pool, err := openPool(ctx, url, conns)
	if err != nil {
		return nil, err
	}
	return &recordsSession{pool: pool, store: sqlstore.New(pool)}, nil
}

func (s *recordsSession) Close() error {
	s.pool.Close()
	return nil
}

func (s *recordsSession) Save(ctx context.Context, batch Batch) error {
	_, err := s.store.Append(ctx, records(batch.Aggregate, batch.Events)...)
	return conflict(err)
}

// records leaves the versions to the store.
func records(aggregate string, events []payload.Event) []eventsource.Record {
	records := make([]eventsource.Record, len(events))
	for i, event := range events {
		records[i] = eventsource.Record{AggregateID: aggregate, Type: event.Type, UserID: userID, Data: event.Data}
	}
	return records
}

func conflict(err error) error {
	if errors.Is(err, eventsource.ErrConflict) {
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func (s *recordsSession) Load(ctx context.Context, aggregate string) (int, error) {
	records, err := s.store.LoadByAggregate(ctx, aggregate)
	return len(records), err
}

func (s *recordsSession) Page(ctx context.Context, after string, limit int) (int, string, error) {
	records, err := s.store.LoadBySequenceID(ctx, after, limit)
	if err != nil || len(records) == 0 {
		return 0, after, err
	}
	return len(records), records[len(records)-1].SequenceID, nil
}

func (s *recordsSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	for record, err := range s.store.Query(ctx, eventsource.Query{}) {
		if err != nil {
			return err
		}
		if !deliver(ID{Aggregate: record.AggregateID, Version: record.Version}) {
			return nil
		}
	}
	return nil
}

func (s *recordsSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	return follow(ctx, s.store, ready, func(ctx context.Context, after string) (string, error) {
		records, err := s.store.LoadBySequenceID(ctx, after, followPage)
		for _, record := range records {
			deliver(ID{Aggregate: record.AggregateID, Version: record.Version})
			after = record.SequenceID
		}
		return after, err
	})
}

const (
	followPage = 1000
	// pollInterval is for when a wake-up is lost.
	pollInterval = time.Second
)

// follow calls read whenever there may be something after the last place it returned.
func follow(ctx context.Context, store *sqlstore.Store, ready func(), read func(ctx context.Context, after string) (string, error)) error {
	wakeUps, err := store.Watch(ctx)
	if err != nil {
		return err
	}
	place := ""
	for last, err := range store.Query(ctx, eventsource.Query{Descending: true, Limit: 1}) {
		if err != nil {
			return err
		}
		place = last.SequenceID
	}
	ready()
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		next, err := read(ctx, place)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case next != place:
			place = next
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wakeUps:
		case <-poll.C:
		}
	}
}

// Hold opens a transaction as an application does.
func (s *recordsSession) Hold(ctx context.Context, events []payload.Event, perAggregate int) (func() error, error) {
	var all []eventsource.Record
	for aggregate, part := range perAggregateParts(events, perAggregate) {
		all = append(all, records(aggregate, part)...)
	}
	tx, err := s.store.NewTransaction(ctx, all...)
	if err != nil {
		return nil, err
	}
	return tx.Rollback, nil
}

// The events of package payload, as an application of this module declares them.
type (
	// FileAdded is a payload as an event.
	FileAdded struct {
		eventsource.BaseEvent
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// FileModified is a payload as an event.
	FileModified struct {
		eventsource.BaseEvent
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// FileDeleted is a payload as an event.
	FileDeleted struct {
		eventsource.BaseEvent
		Path string `json:"path"`
		Mode string `json:"mode"`
		Blob string `json:"blob"`
	}
	// CommitImported is a payload as an event.
	CommitImported struct {
		eventsource.BaseEvent
		Hash   string `json:"hash"`
		Author string `json:"author"`
		Time   int64  `json:"time"`
	}
	// Document is a payload as an event.
	Document struct {
		eventsource.BaseEvent
		Title string `json:"title"`
		Body  string `json:"body"`
	}
)

func newEvent(aggregate string, event payload.Event) (eventsource.Event, error) {
	base := eventsource.BaseEvent{AggregateID: aggregate, UserID: userID}
	switch value := event.Value.(type) {
	case *payload.FileAdded:
		return &FileAdded{base, value.Path, value.Mode, value.Blob}, nil
	case *payload.FileModified:
		return &FileModified{base, value.Path, value.Mode, value.Blob}, nil
	case *payload.FileDeleted:
		return &FileDeleted{base, value.Path, value.Mode, value.Blob}, nil
	case *payload.CommitImported:
		return &CommitImported{base, value.Hash, value.Author, value.Time}, nil
	case *payload.Document:
		return &Document{base, value.Title, value.Body}, nil
	default:
		return nil, fmt.Errorf("%T is no payload", value)
	}
}

type eventsSession struct {
	records    *recordsSession
	repository eventsource.Repository
}

func (s eventsSession) Close() error { return s.records.Close() }

func (s eventsSession) Save(ctx context.Context, batch Batch) error {
	events := make([]eventsource.Event, len(batch.Events))
	for i, event := range batch.Events {
		var err error
		if events[i], err = newEvent(batch.Aggregate, event); err != nil {
			return err
		}
	}
	return conflict(s.repository.Save(ctx, events...))
}

// counter is an aggregate that counts its events.
type counter struct {
	id string
	n  int
}

func (c *counter) SetAggregateID(id string) { c.id = id }

func (c *counter) On(context.Context, eventsource.Event) error {
	c.n++
	return nil
}

func (s eventsSession) Load(ctx context.Context, aggregate string) (int, error) {
	c := new(counter)
	_, err := s.repository.Load(ctx, aggregate, c)
	return c.n, err
}

func (s eventsSession) Page(ctx context.Context, after string, limit int) (int, string, error) {
	events, err := s.repository.GetEventsBySequenceID(ctx, after, limit)
	if err != nil || len(events) == 0 {
		return 0, after, err
	}
	return len(events), events[len(events)-1].GetSequenceID(), nil
}

func (s eventsSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	for event, err := range s.repository.Events(ctx, eventsource.Query{}) {
		if err != nil {
			return err
		}
		if !deliver(eventID(event)) {
			return nil
		}
	}
	return nil
}

func (s eventsSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	return follow(ctx, s.records.store, ready, func(ctx context.Context, after string) (string, error) {
		events, err := s.repository.GetEventsBySequenceID(ctx, after, followPage)
		for _, event := range events {
			deliver(eventID(event))
			after = event.GetSequenceID()
		}
		return after, err
	})
}

func eventID(event eventsource.Event) ID {
	id := ID{Aggregate: event.GetAggregateID()}
	if versioned, ok := event.(eventsource.Versioned); ok {
		id.Version = versioned.GetVersion()
	}
	return id
}
