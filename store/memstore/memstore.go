// Package memstore keeps events in memory. It is for tests and examples, and the
// model that all other stores are compared with.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sort"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/sequence"
)

// DefaultMaxDataSize is the most bytes of data an event may have unless
// [WithMaxDataSize] says otherwise.
const DefaultMaxDataSize = 64 << 20

// Store keeps events in memory for as long as it is referred to. It is safe for
// concurrent use.
type Store struct {
	events  *events
	clock   func() time.Time
	maxData int
	maxSave int // events, 0 if there is no limit
}

var (
	_ eventsource.Store           = (*Store)(nil)
	_ eventsource.Appender        = (*Store)(nil)
	_ eventsource.VersionLoader   = (*Store)(nil)
	_ eventsource.Querier         = (*Store)(nil)
	_ eventsource.Follower        = (*Store)(nil)
	_ eventsource.Counter         = (*Store)(nil)
	_ eventsource.Watcher         = (*Store)(nil)
	_ eventsource.HorizonReporter = (*Store)(nil)
	_ eventsource.Reserver        = (*Store)(nil)
)

// Option is an option of [New].
type Option func(*Store)

// WithClock sets the clock for timestamps, sequence IDs and the ends of reservations. It
// must be safe for concurrent use; it may be wrong, jump and run backwards. Defaults to
// [time.Now].
func WithClock(clock func() time.Time) Option {
	return func(s *Store) {
		if clock != nil {
			s.clock = clock
		}
	}
}

// WithMaxDataSize sets the most bytes of data an event may have. Defaults to
// [DefaultMaxDataSize].
func WithMaxDataSize(bytes int) Option {
	return func(s *Store) { s.maxData = bytes }
}

// WithMaxSaveEvents sets the most events that one save or transaction can have,
// like that of a database with such a limit: more are refused with an
// [eventsource.SaveTooLargeError]. A value that is reserved or released counts as an
// event. Defaults to 0, no limit.
func WithMaxSaveEvents(n int) Option {
	return func(s *Store) { s.maxSave = n }
}

// WithEventsOf makes the store another handle on the events of other, like a
// second process on one database. Defaults to events of its own.
func WithEventsOf(other *Store) Option {
	return func(s *Store) {
		if other != nil {
			s.events = other.events
		}
	}
}

// New returns an empty store.
func New(opts ...Option) *Store {
	s := &Store{
		events: &events{
			byAggregate: make(map[string][]int),
			byType:      make(map[string][]int),
			reserved:    make(map[reservedKey]eventsource.Holder),
			watchers:    make(map[chan struct{}]struct{}),
		},
		clock:   time.Now,
		maxData: DefaultMaxDataSize,
	}
	for _, opt := range opts {
		if opt != nil {
			opt(s)
		}
	}
	return s
}

// events is what the handles on one memory share.
type events struct {
	mu sync.RWMutex
	// records are in sequence order; the indexes hold positions in it. A record is
	// never changed once it is here.
	records     []eventsource.Record
	byAggregate map[string][]int
	byType      map[string][]int
	reserved    map[reservedKey]eventsource.Holder
	last        ulid.ULID
	watchers    map[chan struct{}]struct{}
}

// Append stores the records at once.
func (s *Store) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	changes, err := s.check(ctx, records)
	if err != nil {
		return nil, err
	}
	return s.append(eventsource.CloneRecords(records), changes)
}

// NewTransaction returns a transaction that stores the records at Commit. A
// conflict that is there already, and a value that is taken, are returned here.
func (s *Store) NewTransaction(ctx context.Context, records ...eventsource.Record) (eventsource.StoreTransaction, error) {
	changes, err := s.check(ctx, records)
	if err != nil {
		return nil, err
	}
	now := s.clock()
	s.events.mu.RLock()
	_, err = s.events.versions(records)
	if err == nil {
		err = s.events.taken(changes, now)
	}
	s.events.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	return &transaction{ctx: ctx, store: s, records: eventsource.CloneRecords(records), changes: changes}, nil
}

// check is everything that can be said without looking at what is stored, and what
// becomes of the reservations.
func (s *Store) check(ctx context.Context, records []eventsource.Record) ([]eventsource.ReservationChange, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := eventsource.CheckRecords(records, s.maxData); err != nil {
		return nil, err
	}
	changes, err := eventsource.ReservationChanges(records)
	if err != nil {
		return nil, err
	}
	if n := len(records) + len(changes); s.maxSave > 0 && n > s.maxSave {
		return nil, &eventsource.SaveTooLargeError{Events: n, MaxEvents: s.maxSave}
	}
	return changes, nil
}

// append assigns and stores, and returns copies. It takes ownership of records.
func (s *Store) append(records []eventsource.Record, changes []eventsource.ReservationChange) ([]eventsource.Record, error) {
	if len(records) == 0 {
		return nil, nil
	}
	now := s.clock()
	e := s.events
	e.mu.Lock()
	defer e.mu.Unlock()
	versions, err := e.versions(records)
	if err != nil {
		return nil, err
	}
	if err := e.taken(changes, now); err != nil {
		return nil, err
	}
	last := e.last
	for i := range records {
		r := &records[i]
		if last, err = sequence.Next(last, uint64(max(now.UnixMilli(), 0))); err != nil {
			return nil, err
		}
		r.SequenceID, r.Version, r.Reservations = last.String(), versions[i], nil
		if r.Timestamp == 0 {
			r.Timestamp = now.UnixNano()
		}
	}
	e.last = last
	for _, r := range records {
		e.byAggregate[r.AggregateID] = append(e.byAggregate[r.AggregateID], len(e.records))
		e.byType[r.Type] = append(e.byType[r.Type], len(e.records))
		e.records = append(e.records, r)
	}
	e.reserve(changes, records)
	for watcher := range e.watchers {
		select {
		case watcher <- struct{}{}:
		default: // it has a wake-up waiting
		}
	}
	return eventsource.CloneRecords(records), nil
}

// versions gives the version of each record, or the first conflict. The caller
// holds the lock.
func (e *events) versions(records []eventsource.Record) ([]int, error) {
	added := make(map[string]int)
	versions := make([]int, len(records))
	for i := range records {
		r := &records[i]
		actual := len(e.byAggregate[r.AggregateID]) + added[r.AggregateID]
		if r.Version != 0 && r.Version != actual+1 {
			return nil, &eventsource.ConflictError{AggregateID: r.AggregateID, Expected: r.Version, Actual: actual}
		}
		versions[i] = actual + 1
		added[r.AggregateID]++
	}
	return versions, nil
}

// transaction keeps its records until Commit.
type transaction struct {
	ctx     context.Context
	store   *Store
	mu      sync.Mutex
	done    bool
	records []eventsource.Record
	changes []eventsource.ReservationChange
}

func (t *transaction) Commit() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	if err := t.ctx.Err(); err != nil {
		return err
	}
	stored, err := t.store.append(eventsource.CloneRecords(t.records), t.changes)
	if err != nil {
		return err
	}
	t.records = stored
	return nil
}

func (t *transaction) Rollback() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done {
		return eventsource.ErrTransactionDone
	}
	t.done = true
	return nil
}

func (t *transaction) Records() []eventsource.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	return eventsource.CloneRecords(t.records)
}

// LoadByAggregate gives all records of an aggregate in version order.
func (s *Store) LoadByAggregate(ctx context.Context, aggregateID string) ([]eventsource.Record, error) {
	if aggregateID == "" {
		return nil, fmt.Errorf("%w: aggregate ID is empty", eventsource.ErrInvalidQuery)
	}
	return s.load(ctx, eventsource.Query{AggregateID: aggregateID})
}

// LoadByAggregateVersions gives the records of an aggregate from one version to another.
func (s *Store) LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) ([]eventsource.Record, error) {
	if aggregateID == "" {
		return nil, fmt.Errorf("%w: aggregate ID is empty", eventsource.ErrInvalidQuery)
	}
	if _, err := (eventsource.Query{AggregateID: aggregateID}).Normalize(); err != nil {
		return nil, err
	}
	if err := errors.Join(eventsource.CheckVersions(after, last), ctx.Err()); err != nil {
		return nil, err
	}
	s.events.mu.RLock()
	defer s.events.mu.RUnlock()
	places := s.events.byAggregate[aggregateID] // by version, from 1
	if last > 0 {
		places = places[:min(last, len(places))]
	}
	var records []eventsource.Record
	for _, place := range places[min(after, len(places)):] {
		records = append(records, s.events.records[place].Clone())
	}
	return records, nil
}

// LoadBySequenceID gives the records after the sequence ID.
func (s *Store) LoadBySequenceID(ctx context.Context, sequenceID string, limit int) ([]eventsource.Record, error) {
	return s.load(ctx, eventsource.Query{After: sequenceID, Limit: limit})
}

// LoadBySequenceIDAndType gives the records of one type after the sequence ID.
func (s *Store) LoadBySequenceIDAndType(ctx context.Context, sequenceID, eventType string, limit int) ([]eventsource.Record, error) {
	return s.load(ctx, eventsource.Query{After: sequenceID, Types: []string{eventType}, Limit: limit})
}

// LoadByTimestamp gives the records with a greater timestamp.
func (s *Store) LoadByTimestamp(ctx context.Context, timestamp int64, limit int) ([]eventsource.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := eventsource.CheckLimit(limit); err != nil {
		return nil, err
	}
	s.events.mu.RLock()
	defer s.events.mu.RUnlock()
	var records []eventsource.Record
	for i := range s.events.records {
		if r := &s.events.records[i]; r.Timestamp > timestamp {
			records = append(records, r.Clone())
			if len(records) == limit {
				break
			}
		}
	}
	return records, nil
}

func (s *Store) load(ctx context.Context, query eventsource.Query) ([]eventsource.Record, error) {
	var records []eventsource.Record
	for record, err := range s.Query(ctx, query) {
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// Query gives the records that match, as they were when the iteration began.
func (s *Store) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	return s.Follow(ctx, query, func(string) {})
}

// Follow gives the records that match, and says that it has looked as far as the
// last event that there was when the iteration began.
func (s *Store) Follow(ctx context.Context, query eventsource.Query, reached func(sequenceID string)) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		query, err := query.Normalize()
		if err != nil {
			yield(eventsource.Record{}, err)
			return
		}
		head, given := s.head(), 0
		for record := range s.candidates(&query) {
			if err := ctx.Err(); err != nil {
				yield(eventsource.Record{}, err)
				return
			}
			if !query.Matches(record) {
				continue
			}
			if !yield(record.Clone(), nil) {
				return
			}
			if given++; given == query.Limit {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(eventsource.Record{}, err)
			return
		}
		reached(head)
	}
}

// Count says how many records match.
func (s *Store) Count(ctx context.Context, query eventsource.Query) (n int64, err error) {
	query, err = query.Normalize()
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	for record := range s.candidates(&query) {
		if n == int64(query.Limit) && n > 0 {
			break
		}
		if query.Matches(record) {
			n++
		}
	}
	return n, nil
}

// candidates gives the records within the query's sequence IDs, in its order,
// from the narrowest index. No lock is held while it runs: the slices that it
// reads are only ever appended to.
func (s *Store) candidates(query *eventsource.Query) iter.Seq[*eventsource.Record] {
	s.events.mu.RLock()
	records, indexed := s.events.records, true
	var index []int
	switch {
	case query.AggregateID != "":
		index = s.events.byAggregate[query.AggregateID]
	case len(query.Types) == 1:
		index = s.events.byType[query.Types[0]]
	default:
		indexed = false
	}
	s.events.mu.RUnlock()

	count := len(records)
	at := func(i int) *eventsource.Record { return &records[i] }
	if indexed {
		count = len(index)
		at = func(i int) *eventsource.Record { return &records[index[i]] }
	}
	first := sort.Search(count, func(i int) bool { return at(i).SequenceID > query.After })
	end := count
	if query.Before != "" {
		end = sort.Search(count, func(i int) bool { return at(i).SequenceID >= query.Before })
	}
	return func(yield func(*eventsource.Record) bool) {
		if query.Descending {
			for i := end - 1; i >= first; i-- {
				if !yield(at(i)) {
					return
				}
			}
			return
		}
		for i := first; i < end; i++ {
			if !yield(at(i)) {
				return
			}
		}
	}
}

// Horizon reports the last event as both head and safe end: in memory nothing
// holds readers back.
func (s *Store) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	if err := ctx.Err(); err != nil {
		return eventsource.Horizon{}, err
	}
	head := s.head()
	return eventsource.Horizon{Head: head, SafeEnd: head}, nil
}

// head is the last event's sequence ID, "" if there is none.
func (s *Store) head() string {
	s.events.mu.RLock()
	defer s.events.mu.RUnlock()
	if n := len(s.events.records); n > 0 {
		return s.events.records[n-1].SequenceID
	}
	return ""
}

// Watch returns a channel that receives a value after events were stored.
func (s *Store) Watch(ctx context.Context) (<-chan struct{}, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e, watcher := s.events, make(chan struct{}, 1)
	e.mu.Lock()
	e.watchers[watcher] = struct{}{}
	e.mu.Unlock()
	context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.watchers, watcher)
		close(watcher)
	})
	return watcher, nil
}
