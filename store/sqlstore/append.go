package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// batchSender is what an append needs of a connection or a transaction.
type batchSender interface {
	SendBatch(ctx context.Context, batch *pgx.Batch) pgx.BatchResults
}

// reservation is what a transaction knows after steps 1 and 2: its lock is held,
// and any sequence ID above head whose time is at or above bound may be used.
type reservation struct {
	bound    uint64 // Unix milliseconds, the key of the lock
	now      time.Time
	head     ulid.ULID
	versions map[string]int // last versions of the aggregates asked for
	pid      int            // of the server's process
}

// reserve does steps 1 and 2 of an append of the entries in one round trip,
// together with the statements that are in the batch already. After an error the
// transaction has to be rolled back.
func (s *Store) reserve(ctx context.Context, db batchSender, batch *pgx.Batch, entries ...*entry) (*reservation, error) {
	r := &reservation{now: s.clock(), versions: make(map[string]int, 1)}
	r.bound = max(uint64(max(r.now.UnixMilli(), 0)), s.seen.Load())
	if r.bound > ulid.MaxTime() {
		return nil, &ClockAheadError{Ahead: time.Until(r.now), Bound: s.maxClockAhead}
	}
	for _, e := range entries {
		for i := range e.records {
			r.versions[e.records[i].AggregateID] = 0
		}
	}
	aggregates := make([]string, 0, len(r.versions))
	for id := range r.versions {
		aggregates = append(aggregates, id)
	}

	queuedBefore := batch.Len()
	batch.Queue(s.sql.appendLock, s.sql.table, int64(r.bound))
	batch.Queue(s.sql.appendState, aggregates)

	results := db.SendBatch(ctx, batch)
	for range queuedBefore + 1 {
		if _, err := results.Exec(); err != nil {
			_ = results.Close()
			return nil, err
		}
	}
	var (
		head, isolation string
		versions        []int
		serverMillis    int64
		standby         bool
	)
	err := results.QueryRow().Scan(&head, &versions, &serverMillis, &r.pid, &isolation, &standby)
	if closeErr := results.Close(); err == nil {
		err = closeErr
	}
	switch {
	case err != nil:
		return nil, err
	case standby:
		return nil, ErrStandby
	case isolation != "read committed" && isolation != "read uncommitted": // the latter is the former in PostgreSQL
		return nil, &IsolationLevelError{Level: isolation}
	}
	if ahead := r.now.Sub(time.UnixMilli(serverMillis)); ahead > s.maxClockAhead {
		return nil, &ClockAheadError{Ahead: ahead, Bound: s.maxClockAhead}
	}
	if head != "" {
		if r.head, err = ulid.ParseStrict(head); err != nil {
			return nil, fmt.Errorf("highest sequence ID in the table is %q: %w: %w", head, eventsource.ErrInvalidSequenceID, err)
		}
		s.see(r.head)
	}
	for i, id := range aggregates {
		r.versions[id] = versions[i]
	}
	return r, nil
}

// see remembers the time of a sequence ID.
func (s *Store) see(id ulid.ULID) {
	for {
		seen := s.seen.Load()
		if id.Time() <= seen || s.seen.CompareAndSwap(seen, id.Time()) {
			return
		}
	}
}

// entry is what is stored together or not at all, apart from others in the same
// transaction.
type entry struct {
	records []eventsource.Record
	// wanted are the versions that were asked for, 0 for the next one.
	wanted []int
}

// newEntry copies the records: they are changed, and an append may outlive the
// call that started it.
func newEntry(records []eventsource.Record) entry {
	e := entry{records: make([]eventsource.Record, len(records)), wanted: make([]int, len(records))}
	for i := range records {
		e.records[i] = records[i].Clone()
		e.wanted[i] = records[i].Version
	}
	return e
}

// place gives each record its version, or says which one conflicts, in which
// case it leaves the reservation as it was.
func (r *reservation) place(e *entry) error {
	for i, want := range e.wanted {
		id := e.records[i].AggregateID
		actual := r.versions[id]
		if want != 0 && want != actual+1 {
			for _, placed := range e.records[:i] {
				r.versions[placed.AggregateID]--
			}
			return &eventsource.ConflictError{AggregateID: id, Expected: want, Actual: actual}
		}
		r.versions[id] = actual + 1
		e.records[i].Version = actual + 1
	}
	return nil
}

// assign is step 3: it gives each record its sequence ID, and a timestamp where
// it has none.
func (s *Store) assign(r *reservation, records []eventsource.Record) error {
	for i := range records {
		id, err := sequence.Next(r.head, r.bound)
		if err != nil {
			return err
		}
		r.head = id
		records[i].SequenceID = id.String()
		if records[i].Timestamp == 0 {
			records[i].Timestamp = r.now.UnixNano()
		}
	}
	s.see(r.head)
	return nil
}

// maxInsertSize is the most bytes of data in one INSERT, beyond the first event.
// It keeps statements far below what PostgreSQL takes as one message.
const maxInsertSize = 16 << 20

// queueInserts is step 4: it adds INSERTs for the records to a batch.
func (s *Store) queueInserts(batch *pgx.Batch, records []eventsource.Record) error {
	rows, size := &columns{}, 0
	for i := range records {
		r := &records[i]
		if size > 0 && size+len(r.Data) > maxInsertSize {
			batch.Queue(s.sql.appendInsert, rows.arguments()...)
			rows, size = &columns{}, 0
		}
		if err := rows.add(r); err != nil {
			return err
		}
		size += len(r.Data) + 1
	}
	batch.Queue(s.sql.appendInsert, rows.arguments()...)
	return nil
}

// columns are the arguments of an INSERT of many rows.
type columns struct {
	sequenceIDs, aggregateIDs, types, userIDs, metadata []string
	versions, timestamps                                []int64
	data                                                [][]byte
}

func (c *columns) add(r *eventsource.Record) error {
	metadata := "{}"
	if len(r.Metadata) > 0 {
		encoded, err := json.Marshal(r.Metadata)
		if err != nil {
			return fmt.Errorf("%w: metadata of %s of aggregate %q: %w", eventsource.ErrInvalidEvent, r.Type, r.AggregateID, err)
		}
		metadata = string(encoded)
	}
	data := r.Data
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	c.sequenceIDs = append(c.sequenceIDs, r.SequenceID)
	c.aggregateIDs = append(c.aggregateIDs, r.AggregateID)
	c.versions = append(c.versions, int64(r.Version))
	c.types = append(c.types, r.Type)
	c.timestamps = append(c.timestamps, r.Timestamp)
	c.userIDs = append(c.userIDs, r.UserID)
	c.data = append(c.data, data)
	c.metadata = append(c.metadata, metadata)
	return nil
}

func (c *columns) arguments() []any {
	return []any{c.sequenceIDs, c.aggregateIDs, c.versions, c.types, c.timestamps, c.userIDs, c.data, c.metadata}
}

// lostRace reports whether an INSERT met a row that another transaction had
// inserted after this one read versions and head. Trying again from step 1
// shows whether it is a conflict.
func lostRace(err error) bool { return sqlState(err) == codeUniqueViolation }

// shouldStandAside reports whether an append met another transaction that is
// not about to end, or that waits for this one in turn.
func shouldStandAside(err error) bool {
	code := sqlState(err)
	return code == codeLockNotAvailable || code == codeDeadlockDetected
}
