package eventsource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math"
	"runtime/debug"
	"slices"
)

// Repository saves and loads events. It is safe for concurrent use; events and
// aggregates that are passed to it are not, while a call runs.
type Repository interface {
	// Save stores the events in the order given, all or none. They may belong to
	// several aggregates. Afterwards they carry their sequence ID, version,
	// timestamp, and the metadata that the context added. No events are no error.
	//
	// Errors: [ErrConflict], [ErrInvalidEvent], [ErrUnknownType], [ErrTooLarge],
	// [ErrOutcomeUnknown], the context's, and those of the store. After any of
	// them but ErrOutcomeUnknown nothing is stored, and after any of them the
	// events are unchanged.
	Save(ctx context.Context, events ...Event) error

	// SaveTransaction is Save, but the caller decides when to commit. Until then
	// the events are invisible to others, and on PostgreSQL hold readers back, so
	// be quick. Always call Commit or Rollback; when ctx ends first, the
	// transaction is rolled back. The events carry their sequence ID, version and
	// timestamp after Commit. Its errors are those of Save; a conflict may show
	// here or at Commit.
	SaveTransaction(ctx context.Context, events ...Event) (StoreTransaction, error)

	// Load sets the aggregate's ID and applies all events of the aggregate to it in
	// order; an aggregate that is [Versioned] gets the version of each. It returns deleted
	// == true as soon as On returns [ErrDeleted]; [ErrNoHistory] if there are no events;
	// any other error of On; a [PanicError] if On panics. The aggregate is to be a new
	// one. After an error it is of no use.
	Load(ctx context.Context, id string, aggr Aggregate) (deleted bool, err error)

	// LoadAt is Load for an earlier state of the aggregate: at a version, a sequence ID or
	// a time. [ErrNoHistory] if its first event is later. The zero AsOf is the latest.
	LoadAt(ctx context.Context, id string, aggr Aggregate, at AsOf) (deleted bool, err error)

	// GetEventsBySequenceID returns the events strictly after the sequence ID, in
	// sequence order, at most limit. "" means from the beginning, a limit of 0 all.
	// A reader that passes the last ID it handled misses no event and sees none
	// twice: if a record stands for several events ([MultiUnmarshaler]), they are never
	// cut apart, so there may be more than limit by that. Less than limit means that
	// no more can be read yet. Errors: [ErrInvalidSequenceID], [ErrInvalidQuery], [ErrUnknownType].
	GetEventsBySequenceID(ctx context.Context, sequenceID string, limit int) (events []Event, err error)

	// GetEventsBySequenceIDAndType is GetEventsBySequenceID for the events of one
	// type, that of eventType, whose value does not matter.
	GetEventsBySequenceIDAndType(ctx context.Context, sequenceID string, eventType Event, limit int) (events []Event, err error)

	// GetEventsByTimestamp returns the events whose timestamp, in Unix nanoseconds,
	// is strictly greater, in sequence order, at most limit, as in GetEventsBySequenceID;
	// a limit of 0 means all. Timestamps come from clocks and callers: follow events by
	// sequence ID.
	GetEventsByTimestamp(ctx context.Context, timestamp int64, limit int) (events []Event, err error)

	// Events iterates over the events that match the query, and ends where the
	// store's last readable event was when the iteration began. Memory is bounded however
	// many there are, and breaking out frees everything; nothing is held while the
	// loop's body runs. An error is the last pair. A store that cannot answer the
	// query refuses with [errors.ErrUnsupported].
	//
	// A store that is no [Querier] is read page by page up to the first page that
	// is not full, an aggregate in one go, and does not answer Descending.
	Events(ctx context.Context, query Query) iter.Seq2[Event, error]
}

// RepositoryOption is an option of [NewRepository].
type RepositoryOption func(*repository)

// WithObserver adds a function that is called after every committed save with
// the events that were saved, in the goroutine that saved them. Several are
// called in the order they were added. An error or a panic of an observer is
// logged; it neither undoes nor hides the save. Defaults to none.
func WithObserver(observe func(ctx context.Context, events []Event) error) RepositoryOption {
	return func(r *repository) {
		if observe != nil {
			r.observers = append(r.observers, observe)
		}
	}
}

// WithLogger sets where failures of observers are reported. Defaults to
// [slog.Default].
func WithLogger(logger *slog.Logger) RepositoryOption {
	return func(r *repository) {
		if logger != nil {
			r.logger = logger
		}
	}
}

// NewRepository returns a repository on a store. A nil store or serializer, or
// one that was itself made with arguments that it cannot work with, as snapshots may
// be too, makes every method return [ErrMisconfigured].
func NewRepository(store Store, serializer Serializer, opts ...RepositoryOption) Repository {
	r := &repository{store: store, serializer: serializer, logger: slog.Default()}
	for _, opt := range opts {
		if opt != nil {
			opt(r)
		}
	}
	switch {
	case isNil(store):
		r.err = fmt.Errorf("%w: store is nil", ErrMisconfigured)
	case isNil(serializer):
		r.err = fmt.Errorf("%w: serializer is nil", ErrMisconfigured)
	default:
		r.err = errors.Join(madeWithError(store), madeWithError(serializer), madeWithError(r.snapshots))
	}
	r.several, _ = serializer.(MultiUnmarshaler)
	r.resolver, _ = serializer.(TypeResolver)
	return r
}

// madeWithError asks a store, serializer or snapshotter what was wrong when it was made.
func madeWithError(v any) error {
	if v, ok := v.(interface{ Err() error }); ok {
		return v.Err()
	}
	return nil
}

type repository struct {
	store      Store
	serializer Serializer
	several    MultiUnmarshaler // the serializer, nil if a record is always one event
	resolver   TypeResolver     // the serializer, nil if events are stored under their type
	observers  []func(context.Context, []Event) error
	snapshots  Snapshotter // nil if there are none
	logger     *slog.Logger
	err        error
}

func (r *repository) Save(ctx context.Context, events ...Event) error {
	records, err := r.records(ctx, events)
	if err != nil || len(records) == 0 {
		return err
	}
	ctx = withoutReservation(ctx)
	stored, err := r.append(ctx, records)
	if err != nil {
		return err
	}
	r.saved(ctx, events, stored)
	return nil
}

func (r *repository) append(ctx context.Context, records []Record) ([]Record, error) {
	if appender, ok := r.store.(Appender); ok {
		return appender.Append(ctx, records...)
	}
	tx, err := r.store.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		_ = tx.Rollback() // Commit's error says what happened
		return nil, err
	}
	return tx.Records(), nil
}

func (r *repository) SaveTransaction(ctx context.Context, events ...Event) (StoreTransaction, error) {
	records, err := r.records(ctx, events)
	if err != nil {
		return nil, err
	}
	ctx = withoutReservation(ctx)
	tx, err := r.store.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	return &repositoryTransaction{StoreTransaction: tx, repository: r, ctx: ctx, events: append([]Event(nil), events...)}, nil
}

// repositoryTransaction writes what the store assigned back to the events.
type repositoryTransaction struct {
	StoreTransaction
	repository *repository
	ctx        context.Context
	events     []Event
}

func (t *repositoryTransaction) Commit() error {
	if err := t.StoreTransaction.Commit(); err != nil {
		return err
	}
	t.repository.saved(t.ctx, t.events, t.Records())
	return nil
}

// Unwrap returns the store's own transaction, for stores that offer more than
// [StoreTransaction].
func (t *repositoryTransaction) Unwrap() StoreTransaction { return t.StoreTransaction }

// records checks all events before it turns the first into a record.
func (r *repository) records(ctx context.Context, events []Event) ([]Record, error) {
	if r.err != nil {
		return nil, r.err
	}
	for i, event := range events {
		if err := checkEvent(event); err != nil {
			return nil, fmt.Errorf("%w (event %d of %d)", err, i+1, len(events))
		}
	}
	fromContext := contextMetadata(ctx)
	records := make([]Record, len(events))
	for i, event := range events {
		data, err := r.serializer.Marshal(event)
		if err != nil {
			return nil, err
		}
		record := Record{
			AggregateID: event.GetAggregateID(),
			Type:        EventType(event),
			Timestamp:   event.GetTimestamp(),
			UserID:      event.GetUserID(),
			Data:        data,
			Metadata:    fromContext,
		}
		if versioned, ok := event.(Versioned); ok {
			record.Version = versioned.GetVersion()
		}
		if carrier, ok := event.(MetadataCarrier); ok {
			record.Metadata = mergeMetadata(fromContext, carrier.GetMetadata())
		}
		records[i] = record
	}
	if err := r.reserve(ctx, events, records); err != nil {
		return nil, err
	}
	for i := range records {
		if err := records[i].Validate(); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// saved tells the events what the store assigned, and then the observers.
func (r *repository) saved(ctx context.Context, events []Event, stored []Record) {
	for i := range min(len(events), len(stored)) { // a store that returns fewer has committed all the same
		setEnvelope(events[i], &stored[i])
	}
	for _, observe := range r.observers {
		if err := r.observe(ctx, observe, events); err != nil {
			r.logger.ErrorContext(ctx, "eventsource: observer failed after a committed save",
				slog.Any("error", err), slog.Int("events", len(events)))
		}
	}
}

func (r *repository) observe(ctx context.Context, observe func(context.Context, []Event) error, events []Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return observe(ctx, events)
}

func (r *repository) GetEventsBySequenceID(ctx context.Context, sequenceID string, limit int) ([]Event, error) {
	return r.page(sequenceID, limit, nil, func(after string, limit int) ([]Record, error) {
		return r.store.LoadBySequenceID(ctx, after, limit)
	})
}

func (r *repository) GetEventsBySequenceIDAndType(ctx context.Context, sequenceID string, eventType Event, limit int) ([]Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	name := typeName(eventType)
	if name == "" {
		return nil, fmt.Errorf("%w: event type to look for is nil or has no name", ErrInvalidQuery)
	}
	types := []string{name}
	stored := r.storedTypes(types)
	return r.page(sequenceID, limit, types, func(after string, limit int) ([]Record, error) {
		if len(stored) == 1 {
			return r.store.LoadBySequenceIDAndType(ctx, after, stored[0], limit)
		}
		return r.collect(ctx, Query{After: after, Types: stored, Limit: limit})
	})
}

func (r *repository) GetEventsByTimestamp(ctx context.Context, timestamp int64, limit int) ([]Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	// Events are not in the order of their timestamps, so what follows a page cannot be
	// asked for: where some of it is left out, a larger one is.
	for size := limit; ; size *= 2 {
		if size > math.MaxInt/2 {
			size = 0
		}
		records, err := r.store.LoadByTimestamp(ctx, timestamp, size)
		if err != nil {
			return nil, err
		}
		events, err := r.events(records, nil, limit)
		if err != nil || size == 0 || len(events) >= limit || len(records) < size {
			return events, err
		}
	}
}

// pageSize is how many records are read at once where nothing else says.
const pageSize = 256

// page gives at least limit events of the types, unless there are no more. Load gives
// records after a sequence ID.
func (r *repository) page(after string, limit int, types []string, load func(after string, limit int) ([]Record, error)) ([]Event, error) {
	if r.err != nil {
		return nil, r.err
	}
	var page []Event
	for size := limit; ; size = max(limit, pageSize) {
		records, err := load(after, size)
		if err != nil {
			return nil, err
		}
		events, err := r.events(records, types, limit-len(page))
		if err != nil {
			return nil, err
		}
		if page == nil {
			page = events
		} else {
			page = append(page, events...)
		}
		if limit == 0 || len(page) >= limit || len(records) < size {
			return page, nil
		}
		after = records[len(records)-1].SequenceID
	}
}

// storedTypes gives the names under which the store has events of the types, none for
// all of them.
func (r *repository) storedTypes(types []string) []string {
	if r.resolver == nil {
		return types
	}
	var stored []string
	for _, name := range types {
		stored = append(stored, r.resolver.StoredTypes(name)...)
	}
	slices.Sort(stored)
	return slices.Compact(stored)
}

func (r *repository) Events(ctx context.Context, query Query) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if r.err != nil {
			yield(nil, r.err)
			return
		}
		query, err := query.Normalize()
		if err != nil {
			yield(nil, err)
			return
		}
		types, limit := query.Types, query.Limit
		query.Types = r.storedTypes(types)
		if !r.isPlain() {
			query.Limit = 0 // how many records that takes shows later
		}
		given := 0
		var events []Event // of one record
		for record, err := range r.query(ctx, query) {
			if err == nil {
				events, err = r.decode(events[:0], &record, types)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if query.Descending {
				slices.Reverse(events)
			}
			for _, event := range events {
				if !yield(event, nil) {
					return
				}
			}
			if given += len(events); limit > 0 && given >= limit {
				return
			}
		}
	}
}

// collect gives the records of a query at once.
func (r *repository) collect(ctx context.Context, query Query) ([]Record, error) {
	query, err := query.Normalize()
	if err != nil {
		return nil, err
	}
	var records []Record
	for record, err := range r.query(ctx, query) {
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func (r *repository) query(ctx context.Context, query Query) iter.Seq2[Record, error] {
	if querier, ok := r.store.(Querier); ok {
		return querier.Query(ctx, query)
	}
	return queryByPages(ctx, r.store, query)
}

// queryByPages answers a query with nothing but the methods of [Store].
func queryByPages(ctx context.Context, store Store, query Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if query.Descending {
			yield(Record{}, fmt.Errorf("%w: %T does not query in descending order", errors.ErrUnsupported, unwrapped(store)))
			return
		}
		page := func(after string) (records []Record, last bool, err error) {
			switch {
			case query.AggregateID != "":
				records, err = store.LoadByAggregate(ctx, query.AggregateID)
				return records, true, err
			case len(query.Types) == 1:
				records, err = store.LoadBySequenceIDAndType(ctx, after, query.Types[0], pageSize)
			default:
				records, err = store.LoadBySequenceID(ctx, after, pageSize)
			}
			return records, len(records) < pageSize, err
		}
		given := 0
		for after := query.After; ; {
			records, last, err := page(after)
			if err != nil {
				yield(Record{}, err)
				return
			}
			for i := range records {
				after = records[i].SequenceID
				if query.Before != "" && after >= query.Before {
					return
				}
				if !query.Matches(&records[i]) {
					continue
				}
				if !yield(records[i], nil) {
					return
				}
				if given++; given == query.Limit {
					return
				}
			}
			if last {
				return
			}
		}
	}
}

// events gives the events of the types that records stand for, up to the record with
// which there are limit of them; a limit of 0 means all.
func (r *repository) events(records []Record, types []string, limit int) ([]Event, error) {
	events := make([]Event, len(records))
	if r.isPlain() {
		err := inParts(len(records), func(from, to int) (err error) {
			for i := from; i < to && err == nil; i++ {
				events[i], err = r.event(&records[i])
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return events, nil
	}
	of := make([][]Event, len(records))
	err := inParts(len(records), func(from, to int) (err error) {
		for i := from; i < to && err == nil; i++ {
			of[i], err = r.decode(nil, &records[i], types)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	events = events[:0]
	for i := 0; i < len(of) && (limit <= 0 || len(events) < limit); i++ {
		events = append(events, of[i]...)
	}
	return events, nil
}

// isPlain reports whether each record is one event, of the type that it is stored under.
func (r *repository) isPlain() bool { return r.several == nil && r.resolver == nil }

// decode appends those of a record's events that are of the types, all if there are none.
func (r *repository) decode(events []Event, record *Record, types []string) ([]Event, error) {
	if r.several == nil {
		event, err := r.event(record)
		if err != nil || r.resolver != nil && !isOf(types, event) { // of a plain serializer's the store has made sure
			return events, err
		}
		return append(events, event), nil
	}
	all, err := r.several.UnmarshalAll(record.Data, record.Type)
	if err != nil {
		return nil, undecoded(record, err)
	}
	for i, event := range all {
		if err := complete(event, record); err != nil {
			return nil, err
		}
		if carrier, ok := event.(MetadataCarrier); ok && i > 0 {
			carrier.SetMetadata(maps.Clone(record.Metadata)) // each its own
		}
		if isOf(types, event) {
			events = append(events, event)
		}
	}
	return events, nil
}

// isOf reports whether an event is of one of the types, or there are none.
func isOf(types []string, event Event) bool {
	return len(types) == 0 || slices.Contains(types, EventType(event))
}

// event decodes a record that is one event.
func (r *repository) event(record *Record) (Event, error) {
	event, err := r.serializer.Unmarshal(record.Data, record.Type)
	if err != nil {
		return nil, undecoded(record, err)
	}
	return event, complete(event, record)
}

// undecoded says which record the serializer's error is about.
func undecoded(record *Record, err error) error {
	return fmt.Errorf("%w (version %d of aggregate %q, sequence ID %s)",
		err, record.Version, record.AggregateID, record.SequenceID)
}

// complete tells an event what is kept beside its data.
func complete(event Event, record *Record) error {
	if isNil(event) {
		return fmt.Errorf("%w: serializer returned nil for %q (sequence ID %s)", ErrInvalidEvent, record.Type, record.SequenceID)
	}
	if envelope, ok := event.(envelopeSetter); ok {
		envelope.SetAggregateID(record.AggregateID)
		envelope.SetUserID(record.UserID)
	}
	setEnvelope(event, record)
	return nil
}

// setEnvelope tells the event what the store assigned.
func setEnvelope(event Event, record *Record) {
	event.SetSequenceID(record.SequenceID)
	event.SetTimestamp(record.Timestamp)
	if versioned, ok := event.(Versioned); ok {
		versioned.SetVersion(record.Version)
	}
	if carrier, ok := event.(MetadataCarrier); ok {
		carrier.SetMetadata(record.Metadata)
	}
}
