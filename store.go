package eventsource

import (
	"context"
	"iter"
	"time"
)

// Store keeps records. It is small on purpose; what only some backends can do
// is an optional interface, found by type assertion: [Appender], [VersionLoader],
// [Querier], [Follower], [Counter], [Watcher], [HorizonReporter] and [Reserver].
//
// A store assigns sequence IDs, and promises that a load by sequence ID, type or
// timestamp never gives an event as long as one with a lower sequence ID may
// still appear. Package storetest shows whether an implementation keeps that
// promise and all others.
//
// All methods are safe for concurrent use. The slices that are returned, and the
// data and metadata in them, belong to the caller; those that are passed in are
// neither changed nor kept. A context that ends makes a call return its error,
// and nothing is left behind.
type Store interface {
	// NewTransaction starts a transaction that holds the records. It is atomic and
	// invisible to others until Commit. A version that is not the next one is
	// [ErrConflict], here or at Commit. When ctx ends before Commit, the
	// transaction is rolled back. Without records it is valid, and stores nothing.
	NewTransaction(ctx context.Context, records ...Record) (StoreTransaction, error)
	// LoadByAggregate gives all records of an aggregate in the order of their
	// versions, none if it has none. It sees every save that has returned.
	LoadByAggregate(ctx context.Context, aggregateID string) (records []Record, err error)
	// LoadBySequenceID gives the records strictly after the sequence ID in
	// sequence order, at most limit; a limit of 0 means all.
	LoadBySequenceID(ctx context.Context, sequenceID string, limit int) (records []Record, err error)
	// LoadBySequenceIDAndType is LoadBySequenceID for one event type.
	LoadBySequenceIDAndType(ctx context.Context, sequenceID string, eventType string, limit int) (records []Record, err error)
	// LoadByTimestamp gives the records whose timestamp, in Unix nanoseconds, is
	// strictly greater, in sequence order, at most limit; a limit of 0 means all.
	LoadByTimestamp(ctx context.Context, timestamp int64, limit int) (records []Record, err error)
}

// StoreTransaction holds records that are to be stored together. It is not safe
// for concurrent use, except that its context may end at any time.
type StoreTransaction interface {
	// Commit stores the records, all or none. A second call, and one after
	// Rollback, is [ErrTransactionDone]. When the transaction's context has ended,
	// nothing is stored and the error is the context's.
	Commit() error
	// Rollback forgets the records. After Commit or Rollback it is
	// [ErrTransactionDone] and does nothing, so it may be deferred.
	Rollback() error
	// Records returns a copy of the records in the order they were given.
	// Sequence IDs, versions and timestamps are final once Commit has returned nil;
	// before, a store may not have assigned them yet.
	Records() []Record
}

// Appender is implemented by stores that can save records in one step, without
// a transaction for the caller to hold, and for instance let concurrent saves
// share a transaction. [Repository.Save] uses it where it is there.
type Appender interface {
	// Append stores the records, all or none, and returns them as they were
	// stored, in the order they were given. Without records it does nothing.
	Append(ctx context.Context, records ...Record) ([]Record, error)
}

// VersionLoader is implemented by stores that can load a part of an aggregate.
type VersionLoader interface {
	// LoadByAggregateVersions is LoadByAggregate for the records whose versions are
	// above after and, unless it is 0, at most last. Negative ones are [ErrInvalidQuery].
	LoadByAggregateVersions(ctx context.Context, aggregateID string, after, last int) (records []Record, err error)
}

// Querier is implemented by stores that evaluate a [Query] themselves, in
// bounded memory. [Repository.Events] uses it where it is there.
type Querier interface {
	// Query gives the records that match, and ends where the store's last
	// readable event was when the iteration began. An error is the last pair.
	// While the loop's body runs no lock is held, and a connection for no longer
	// than it takes to read some records ahead.
	Query(ctx context.Context, query Query) iter.Seq2[Record, error]
}

// Follower is implemented by stores that can say how far a query has looked. A
// reader that wants some types only goes on from there, instead of looking again
// through what does not concern it.
type Follower interface {
	// Follow is Query, in ascending order. After the last record it calls reached, once,
	// with a sequence ID: all events at or below it that match have been given, and
	// no other one will ever appear. It is not called after an error, when the loop breaks
	// off, when the limit is reached, and when the store cannot tell.
	Follow(ctx context.Context, query Query, reached func(sequenceID string)) iter.Seq2[Record, error]
}

// Counter is implemented by stores that can count events without handing them out.
type Counter interface {
	// Count says how many events a [Querier] would give for the query. It may take as
	// long as it takes to look at all of them once.
	Count(ctx context.Context, query Query) (int64, error)
}

// Watcher is implemented by stores that can wake readers.
type Watcher interface {
	// Watch returns a channel that receives a value when there may be new events.
	// Wake-ups are merged, carry no data and may get lost, so a reader polls as
	// well, only less often. The channel is closed when ctx ends.
	Watch(ctx context.Context) (<-chan struct{}, error)
}

// HorizonReporter is implemented by stores that know how far readers may read.
type HorizonReporter interface {
	// Horizon reports where the store's end is and how far readers may read.
	Horizon(ctx context.Context) (Horizon, error)
}

// Horizon is how far readers may read at one moment, and why no further.
type Horizon struct {
	// Head is the highest sequence ID that is stored, "" in an empty store.
	Head string
	// SafeEnd is the highest sequence ID that readers are handed, "" if there is
	// none. A reader that starts after it sees every event from now on.
	SafeEnd string
	// Lag is for how long the oldest open transaction has been holding readers
	// back, 0 if none does.
	Lag time.Duration
	// HolderPID is the process ID, in the database server, of the session whose
	// open transaction holds readers back, 0 if none does, or if it is a prepared
	// transaction, which has no session.
	HolderPID int
}
