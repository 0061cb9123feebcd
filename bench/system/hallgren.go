package system

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/hallgren/eventsourcing/core"
	hallgren "github.com/hallgren/eventsourcing/eventstore/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/lib/pq"
)

// Hallgren is the PostgreSQL event store of github.com/hallgren/eventsourcing.
func Hallgren() System {
	return System{
		Name:     "hallgren",
		Module:   "github.com/hallgren/eventsourcing/eventstore/sql v0.7.0",
		Kind:     EventStore,
		Database: "hallgren",
		Notes: []string{
			"BEGIN, a SELECT of the version, one INSERT an event, COMMIT. Versions are checked.",
			"With lib/pq, as it documents, which prepares every statement with parameters anew: two round trips each.",
			"The store takes and gives bytes: nothing of an event is encoded or decoded, besides its time.",
			"Saving and reading all events take no context. A reader that stops early still receives the rest of its query.",
			"Its reader polls, every 2 ms when nothing is new, for numbers of a sequence above the last it has seen, so what a transaction that commits later adds below is missed.",
		},
		Create: createHallgren,
		Fill:   fillHallgren,
		Open:   openHallgren,
	}
}

// aggregateName is the type of all aggregates, where a system has types of them.
const aggregateName = "file"

// createHallgren lets the store make its table, which it does when it is made.
func createHallgren(_ context.Context, pool *pgxpool.Pool) error {
	db := stdlib.OpenDBFromPool(pool)
	_, err := hallgren.NewPostgres(db)
	return errors.Join(err, db.Close())
}

// fillHallgren leaves the numbers to the sequence, as the store does.
func fillHallgren(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[Row]) error {
	next, stop := iter.Pull(rows)
	defer stop()
	columns := []string{"id", "version", "reason", "type", "timestamp", "data", "metadata"}
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"events"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, ok := next()
		if !ok {
			return nil, nil
		}
		at := row.Time.UTC().Format(time.RFC3339)
		return []any{row.Aggregate, row.Version, row.Event.Type, aggregateName, at, row.Event.Data, []byte("{}")}, nil
	}))
	return err
}

type hallgrenSession struct {
	db    *sql.DB
	store *hallgren.Postgres
}

func openHallgren(ctx context.Context, url string, conns int) (Session, error) {
	db, err := openPQ(ctx, url, conns)
	if err != nil {
		return nil, err
	}
	store, err := hallgren.NewPostgres(db)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &hallgrenSession{db: db, store: store}, nil
}

// openPQ is openPool for a system that uses lib/pq.
func openPQ(ctx context.Context, url string, conns int) (*sql.DB, error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	held := make([]*sql.Conn, 0, conns)
	for range conns {
		conn, err := db.Conn(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("connect: %w", err), closeAll(held), db.Close())
		}
		held = append(held, conn)
	}
	if err := closeAll(held); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// closeAll gives connections back to their pool.
func closeAll(conns []*sql.Conn) error {
	var errs []error
	for _, conn := range conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}

// Close closes what the store's Close does, whose error it drops.
func (s *hallgrenSession) Close() error {
	return s.db.Close()
}

func (s *hallgrenSession) Save(_ context.Context, batch Batch) error {
	now := time.Now().UTC()
	events := make([]core.Event, len(batch.Events))
	for i, event := range batch.Events {
		events[i] = core.Event{
			AggregateID:   batch.Aggregate,
			Version:       core.Version(batch.Version + i + 1),
			AggregateType: aggregateName,
			Timestamp:     now,
			Reason:        event.Type,
			Data:          event.Data,
			Metadata:      []byte("{}"),
		}
	}
	err := s.store.Save(events)
	var pqError *pq.Error
	if errors.Is(err, core.ErrConcurrency) || errors.As(err, &pqError) && pqError.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func (s *hallgrenSession) Load(ctx context.Context, aggregate string) (int, error) {
	events, err := s.store.Get(ctx, aggregate, aggregateName, 0)
	if err != nil {
		return 0, err
	}
	n := 0
	err = walkHallgren(ctx, events, func(core.Event) bool {
		n++
		return true
	})
	return n, err
}

// Stream fetches until nothing more comes, as the library's projections do.
func (s *hallgrenSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	fetch := s.store.All(0)
	for {
		n, enough := 0, false
		err := s.fetch(ctx, fetch, func(id ID) bool {
			n++
			enough = !deliver(id)
			return !enough
		})
		if err != nil || n == 0 || enough {
			return err
		}
	}
}

func (s *hallgrenSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	var last core.Version
	if err := s.db.QueryRowContext(ctx, `SELECT coalesce(max(seq), 0) FROM events`).Scan(&last); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	fetch := s.store.All(last + 1)
	ready()
	return poll(ctx, func() (n int, err error) {
		err = s.fetch(ctx, fetch, func(id ID) bool {
			n++
			deliver(id)
			return true
		})
		return n, err
	})
}

// fetch delivers what one more fetch brings.
func (s *hallgrenSession) fetch(ctx context.Context, fetch core.Fetcher, deliver func(ID) bool) error {
	events, err := fetch()
	if err != nil {
		return err
	}
	return walkHallgren(ctx, events, func(event core.Event) bool {
		return deliver(ID{Aggregate: event.AggregateID, Version: int(event.Version)})
	})
}

// walkHallgren calls visit with the events until it returns false or ctx ends, and
// closes them, for which lib/pq receives the rest.
func walkHallgren(ctx context.Context, events core.Iterator, visit func(core.Event) bool) error {
	defer events.Close()
	for events.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		event, err := events.Value()
		if err != nil {
			return err
		}
		if !visit(event) {
			return nil
		}
	}
	// The store's iterator keeps to itself why there are no more.
	if events, ok := events.(*hallgren.Iterator); ok {
		return events.Rows.Err()
	}
	return nil
}
