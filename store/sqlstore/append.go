package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// entry is what is stored together or not at all, apart from others in the same
// transaction.
type entry struct {
	records []eventsource.Record
	// wanted are the versions that were asked for, 0 for the next one. The records
	// get the versions of each try.
	wanted []int
	size   int // bytes of data
	// changes are what becomes of reservations, and earlier the records that their places
	// begin with: those of calls before this one.
	changes []eventsource.ReservationChange
	earlier []eventsource.Record
}

// newEntry copies the records: they are changed, and an append may outlive the
// call that started it.
func newEntry(records []eventsource.Record) (entry, error) {
	e := entry{records: eventsource.CloneRecords(records), wanted: make([]int, len(records))}
	for i := range records {
		e.wanted[i] = records[i].Version
		e.size += len(records[i].Data)
		e.records[i].Reservations = nil
	}
	var err error
	e.changes, err = eventsource.ReservationChanges(records)
	return e, err
}

// rowQuerier is a connection or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// conflict says which record cannot be stored, given the versions of aggregates, or
// nil if all can. Aggregates that are not given are not looked at.
func (e *entry) conflict(versions map[string]int) *eventsource.ConflictError {
	own := make(map[string]int)
	for i := range e.records {
		id, want := e.records[i].AggregateID, e.wanted[i]
		version, given := versions[id]
		version += own[id]
		if given && want != 0 && want != version+1 {
			return &eventsource.ConflictError{AggregateID: id, Expected: want, Actual: version}
		}
		own[id]++
	}
	return nil
}

// refusals are the entries of an append that cannot be stored, and why: a conflict, or a
// value that is taken. The reason is nil if it is only that of others before them, which
// are not stored yet.
type refusals map[*entry]error

// appendEntries stores the entries in one call of the server's function, which
// takes the lock, reads head and versions, chooses IDs and inserts, all in one
// round trip. If some of them are refused, nothing is stored and they are returned.
// A patience of 0 waits for other transactions without limit. No two entries reserve or
// release the same value.
//
// Sequence IDs, versions and timestamps of the records are set when it returns
// no error and no refusal.
func (s *Store) appendEntries(ctx context.Context, db rowQuerier, patience time.Duration, entries []*entry) (refusals, error) {
	call, err := s.newCall(entries)
	if err != nil {
		return nil, err
	}
	var (
		outcome    string
		stem       *string
		versions   []int
		clockAhead int64
		taken      []int
		holders    []string
	)
	sql, results := s.sql.append, []any{&outcome, &stem, &versions, &clockAhead}
	args := []any{
		call.bound, call.clock, s.maxClockAhead.Milliseconds(), patience.Milliseconds(),
		call.stem, call.tails, call.aggregates, call.aggregateOf, call.steps, call.wanted,
		call.types, call.timestamps, call.userIDs, call.data, call.metadata,
	}
	if len(call.changes) > 0 {
		sql, results = s.sql.appendReserving, append(results, &taken, &holders)
		args = append(args, call.reservationArgs()...)
	}
	err = db.QueryRow(ctx, sql, args...).Scan(results...)
	switch {
	case err != nil:
		return nil, err
	case outcome == "taken":
		return call.taken(taken, holders)
	case outcome == "clock":
		return nil, &ClockAheadError{Ahead: time.Duration(clockAhead) * time.Millisecond, Bound: s.maxClockAhead}
	case outcome == "conflict":
		return call.conflicts(entries, versions), nil
	}
	call.finish(entries, *stem, versions)
	s.see(entries[len(entries)-1].records[0].SequenceID)
	return nil, nil
}

// call is the arguments of the server's function.
type call struct {
	bound, clock int64 // Unix milliseconds
	stem         string
	tails        []string
	aggregates   []string
	aggregateOf  []int32 // places in aggregates, from 1
	steps        []int32
	wanted       []int64 // nil if no version was asked for

	types, userIDs, metadata []string
	timestamps               []int64
	data                     [][]byte

	changes []change // in order of scope and value
}

func (s *Store) newCall(entries []*entry) (*call, error) {
	now := s.clock()
	count := 0
	for _, e := range entries {
		count += len(e.records)
	}
	c := &call{
		clock:       now.UnixMilli(),
		aggregateOf: make([]int32, 0, count), steps: make([]int32, 0, count), wanted: make([]int64, 0, count),
		types: make([]string, 0, count), userIDs: make([]string, 0, count), metadata: make([]string, 0, count),
		timestamps: make([]int64, 0, count), data: make([][]byte, 0, count),
	}
	c.bound = max(c.clock, s.seen.Load(), 0)
	if uint64(c.bound) > ulid.MaxTime() {
		return nil, &ClockAheadError{Ahead: time.Until(now), Bound: s.maxClockAhead}
	}
	var err error
	if c.stem, c.tails, err = sequence.NewBlock(uint64(c.bound), count); err != nil {
		return nil, err
	}
	places, steps, asked := make(map[string]int32, count), make([]int32, 0, count), false
	for _, e := range entries {
		c.reserve(e)
		for i := range e.records {
			r := &e.records[i]
			place, ok := places[r.AggregateID]
			if !ok {
				c.aggregates, steps = append(c.aggregates, r.AggregateID), append(steps, 0)
				place = int32(len(c.aggregates))
				places[r.AggregateID] = place
			}
			steps[place-1]++
			asked = asked || e.wanted[i] != 0
			if err := c.add(r, now, place, steps[place-1], e.wanted[i]); err != nil {
				return nil, err
			}
		}
	}
	if !asked {
		c.wanted = nil
	}
	slices.SortFunc(c.changes, byValue)
	return c, nil
}

// add adds a record. Its sequence ID is what it will be unless the server has to
// choose a higher stem.
func (c *call) add(r *eventsource.Record, now time.Time, place, step int32, wanted int) error {
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
	if r.Timestamp == 0 {
		r.Timestamp = now.UnixNano()
	}
	r.SequenceID = c.stem + c.tails[len(c.types)]
	c.aggregateOf = append(c.aggregateOf, place)
	c.steps = append(c.steps, step)
	c.wanted = append(c.wanted, int64(wanted))
	c.types = append(c.types, r.Type)
	c.timestamps = append(c.timestamps, r.Timestamp)
	c.userIDs = append(c.userIDs, r.UserID)
	c.data = append(c.data, data)
	c.metadata = append(c.metadata, metadata)
	return nil
}

// finish writes what was stored into the records.
func (c *call) finish(entries []*entry, stem string, versions []int) {
	place := 0
	for _, e := range entries {
		for i := range e.records {
			e.records[i].SequenceID = stem + c.tails[place]
			e.records[i].Version = versions[c.aggregateOf[place]-1] + int(c.steps[place])
			place++
		}
	}
}

// conflicts says which entries cannot be stored after those before them, given
// the aggregates' versions.
func (c *call) conflicts(entries []*entry, versions []int) refusals {
	stored := make(map[string]int, len(c.aggregates))
	for i, id := range c.aggregates {
		stored[id] = versions[i]
	}
	current, found := maps.Clone(stored), refusals{}
	for _, e := range entries {
		if e.conflict(current) != nil {
			found[e] = nil
			if conflict := e.conflict(stored); conflict != nil {
				found[e] = conflict
			}
			continue
		}
		for i := range e.records {
			current[e.records[i].AggregateID]++
		}
	}
	return found
}

// see remembers the time of a sequence ID.
func (s *Store) see(sequenceID string) {
	id, err := ulid.ParseStrict(sequenceID)
	if err != nil {
		return // it is the server's, and was checked there
	}
	for ms := int64(id.Time()); ; {
		seen := s.seen.Load()
		if ms <= seen || s.seen.CompareAndSwap(seen, ms) {
			return
		}
	}
}

// maxCallSize is the most bytes of data in one call, beyond the first event. It
// keeps messages far below what PostgreSQL takes.
const maxCallSize = 16 << 20

// appendInCalls stores an entry in as many calls as its size needs. With more
// than one, db must be a transaction.
func (s *Store) appendInCalls(ctx context.Context, db rowQuerier, e *entry) error {
	for first := 0; first < len(e.records); {
		next, size := first, 0
		for next < len(e.records) && (next == first || size+len(e.records[next].Data) <= maxCallSize) {
			size += len(e.records[next].Data)
			next++
		}
		part := &entry{records: e.records[first:next], wanted: e.wanted[first:next], size: size}
		if next == len(e.records) { // reservations come after all events
			part.changes, part.earlier = e.changes, e.records[:first]
		}
		refused, err := s.appendEntries(ctx, db, 0, []*entry{part})
		if err != nil {
			return err
		}
		if reason := refused[part]; reason != nil {
			return reason
		}
		first = next
	}
	return nil
}

// lostRace reports whether an append met a row that another transaction had
// inserted after this one read versions and head. Trying again shows whether it
// is a conflict.
func lostRace(err error) bool { return sqlState(err) == codeUniqueViolation }

// shouldStandAside reports whether an append met another transaction that is
// not about to end, or that waits for this one in turn.
func shouldStandAside(err error) bool {
	code := sqlState(err)
	return code == codeLockNotAvailable || code == codeDeadlockDetected
}
