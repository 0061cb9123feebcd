package system

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource/bench/payload"
)

// Names of the systems that ratios are given to.
const (
	NameRaw          = "raw"
	NameRawStatement = "raw, 1 statement"
)

// Raw is the limit: one multi-row INSERT in a transaction into this module's
// table, and paged SELECTs of it.
func Raw() System {
	return System{
		Name:     NameRaw,
		Kind:     Limit,
		Database: ownDatabase,
		Notes: []string{
			"BEGIN, one INSERT for all events of a save, COMMIT: three round trips. The caller has to know the versions.",
			"Sequence IDs are made before the commit, so no reader of them can be sure to miss nothing. Nothing is encoded or decoded.",
			"Its projection is a plain loop: a page of 500 events, and then their upserts as one batch, which is a transaction. Its place is kept nowhere.",
		},
		Create: createEvents,
		Fill:   fillEvents,
		Open: func(ctx context.Context, url string, conns int) (Session, error) {
			s, err := openRaw(ctx, url, conns, saveInTransaction)
			if err != nil {
				return nil, err
			}
			return loopSession{s}, nil
		},
	}
}

// RawStatement is the limit of the limit: the same INSERT as a statement on its
// own, which is a transaction too, but one without a say in when it commits.
func RawStatement() System {
	return System{
		Name:     NameRawStatement,
		Kind:     Limit,
		Database: ownDatabase,
		Notes:    []string{"The same INSERT as a statement on its own: one round trip. Nothing else can be part of such a transaction."},
		Create:   createEvents,
		Fill:     fillEvents,
		Open: func(ctx context.Context, url string, conns int) (Session, error) {
			return openRaw(ctx, url, conns, saveInStatement)
		},
	}
}

// NaiveStore saves as many stores do: one INSERT an event, with IDs made before
// the commit, and a reader that goes on from the highest ID it has seen.
func NaiveStore() System {
	return System{
		Name:     "naive",
		Kind:     Naive,
		Database: ownDatabase,
		Notes: []string{
			"BEGIN, one INSERT an event, COMMIT, into the table of ours.",
			"Its reader polls, every 2 ms, for IDs above the highest it has seen.",
		},
		Create: createEvents,
		Fill:   fillEvents,
		Open: func(ctx context.Context, url string, conns int) (Session, error) {
			s, err := openRaw(ctx, url, conns, saveOneByOne)
			return naiveSession{s}, err
		},
	}
}

// querier is a pool or a transaction.
type querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

type rawSession struct {
	pool    *pgxpool.Pool
	save    func(ctx context.Context, s *rawSession, batch Batch) error
	inserts map[int]string // by number of rows, for the usual numbers
}

func openRaw(ctx context.Context, url string, conns int, save func(context.Context, *rawSession, Batch) error) (*rawSession, error) {
	pool, err := openPool(ctx, url, conns)
	if err != nil {
		return nil, err
	}
	s := &rawSession{pool: pool, save: save, inserts: map[int]string{}}
	for rows := range 101 {
		s.inserts[rows] = insertSQL(rows)
	}
	return s, nil
}

// insertSQL is an INSERT of so many rows.
func insertSQL(rows int) string {
	var sql strings.Builder
	fmt.Fprintf(&sql, "INSERT INTO events (%s) VALUES ", strings.Join(eventColumns, ", "))
	for row := range rows {
		if row > 0 {
			sql.WriteString(", ")
		}
		p := row * 7
		fmt.Fprintf(&sql, "($%d, $%d, $%d, $%d, $%d, $%d, $%d, '{}')", p+1, p+2, p+3, p+4, p+5, p+6, p+7)
	}
	return sql.String()
}

func (s *rawSession) Close() error {
	s.pool.Close()
	return nil
}

func (s *rawSession) Save(ctx context.Context, batch Batch) error {
	err := s.save(ctx, s, batch)
	var pgError *pgconn.PgError
	if errors.As(err, &pgError) && pgError.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: %w", ErrConflict, err)
	}
	return err
}

func saveInTransaction(ctx context.Context, s *rawSession, batch Batch) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return s.insert(ctx, tx, batch) })
}

func saveInStatement(ctx context.Context, s *rawSession, batch Batch) error {
	return s.insert(ctx, s.pool, batch)
}

func saveOneByOne(ctx context.Context, s *rawSession, batch Batch) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		for i := range batch.Events {
			one := Batch{Aggregate: batch.Aggregate, Version: batch.Version + i, Events: batch.Events[i : i+1]}
			if err := s.insert(ctx, tx, one); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *rawSession) insert(ctx context.Context, db querier, batch Batch) error {
	sql, ok := s.inserts[len(batch.Events)]
	if !ok {
		sql = insertSQL(len(batch.Events))
	}
	now := time.Now().UnixNano()
	args := make([]any, 0, 7*len(batch.Events))
	for i, event := range batch.Events {
		args = append(args, ulid.Make().String(), batch.Aggregate, batch.Version+i+1, event.Type, now, userID, event.Data)
	}
	_, err := db.Exec(ctx, sql, args...)
	return err
}

// rawRecord is a row as it comes.
type rawRecord struct {
	sequenceID, aggregateID string
	version                 int
	eventType               string
	timestamp               int64
	userID                  string
	data, metadata          []byte
}

const rawSelect = `SELECT sequence_id, aggregate_id, version, type, timestamp, user_id, data, metadata FROM events `

func scanRaw(row pgx.CollectableRow) (r rawRecord, err error) {
	err = row.Scan(&r.sequenceID, &r.aggregateID, &r.version, &r.eventType, &r.timestamp, &r.userID, &r.data, &r.metadata)
	return r, err
}

func (s *rawSession) query(ctx context.Context, sql string, args ...any) ([]rawRecord, error) {
	rows, err := s.pool.Query(ctx, rawSelect+sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanRaw)
}

func (s *rawSession) Load(ctx context.Context, aggregate string) (int, error) {
	records, err := s.query(ctx, `WHERE aggregate_id = $1 ORDER BY version`, aggregate)
	return len(records), err
}

func (s *rawSession) page(ctx context.Context, after string, limit int) ([]rawRecord, error) {
	return s.query(ctx, `WHERE sequence_id > $1 ORDER BY sequence_id LIMIT $2`, after, limit)
}

func (s *rawSession) Page(ctx context.Context, after string, limit int) (int, string, error) {
	records, err := s.page(ctx, after, limit)
	if err != nil || len(records) == 0 {
		return 0, after, err
	}
	return len(records), records[len(records)-1].sequenceID, nil
}

func (s *rawSession) Stream(ctx context.Context, deliver func(ID) bool) error {
	// A query whose rows are not read to the end is ended by its context.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, rawSelect+`ORDER BY sequence_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		record, err := scanRaw(rows)
		if err != nil {
			return err
		}
		if !deliver(ID{Aggregate: record.aggregateID, Version: record.version}) {
			cancel()
			return nil
		}
	}
	return rows.Err()
}

// Hold opens a transaction as an application does.
func (s *rawSession) Hold(ctx context.Context, events []payload.Event, perAggregate int) (release func() error, err error) {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	release = func() error { return tx.Rollback(ctx) }
	for aggregate, part := range perAggregateParts(events, perAggregate) {
		if err := s.insert(ctx, tx, Batch{Aggregate: aggregate, Events: part}); err != nil {
			return nil, errors.Join(err, release())
		}
	}
	return release, nil
}

// perAggregateParts deals the events out to new aggregates.
func perAggregateParts(events []payload.Event, perAggregate int) iter.Seq2[string, []payload.Event] {
	return func(yield func(string, []payload.Event) bool) {
		for len(events) > 0 {
			n := min(perAggregate, len(events))
			if !yield(uuid.NewString(), events[:n]) {
				return
			}
			events = events[n:]
		}
	}
}

type naiveSession struct{ *rawSession }

func (s naiveSession) Follow(ctx context.Context, ready func(), deliver func(ID)) error {
	var place string
	if err := s.pool.QueryRow(ctx, `SELECT coalesce(max(sequence_id), '') FROM events`).Scan(&place); err != nil {
		return err
	}
	ready()
	return poll(ctx, func() (int, error) {
		records, err := s.page(ctx, place, followPage)
		for _, record := range records {
			deliver(ID{Aggregate: record.aggregateID, Version: record.version})
			place = record.sequenceID
		}
		return len(records), err
	})
}
