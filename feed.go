package eventsource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Feed reads the events of a repository as records, and decodes those that it is
// asked to. Types in its queries are those that events are stored under. It is for readers that must get past an event that cannot be decoded, or
// that drop most events unseen, such as those of package projection. Everybody else
// has [Repository.Events]. It is safe for concurrent use.
type Feed struct{ repository *repository }

// Feeder is implemented by repositories that give their [Feed], as those that
// [NewRepository] makes do. A Repository that wraps another one passes it on.
type Feeder interface {
	Feed() Feed
}

// Feed returns the repository's feed.
func (r *repository) Feed() Feed { return Feed{r} }

// Err returns what was wrong with the arguments of [NewRepository], nil if nothing
// was. A Feed that no repository gave is [ErrMisconfigured].
func (f Feed) Err() error {
	if f.repository == nil {
		return fmt.Errorf("%w: feed of no repository", ErrMisconfigured)
	}
	return f.repository.err
}

// Store returns the repository's store, to see which optional interfaces it has.
func (f Feed) Store() Store {
	if f.repository == nil {
		return nil
	}
	return f.repository.store
}

// Records is [Repository.Events] without decoding.
func (f Feed) Records(ctx context.Context, query Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := f.Err(); err != nil {
			yield(Record{}, err)
			return
		}
		query, err := query.Normalize()
		if err != nil {
			yield(Record{}, err)
			return
		}
		f.repository.query(ctx, query)(yield)
	}
}

// Follow is [Feed.Records] for a query in ascending order. It calls reached as
// [Follower] says; never, if the store is none.
func (f Feed) Follow(ctx context.Context, query Query, reached func(sequenceID string)) iter.Seq2[Record, error] {
	follower, ok := f.Store().(Follower)
	if f.Err() != nil || !ok {
		return f.Records(ctx, query)
	}
	return follower.Follow(ctx, query, reached)
}

// Count is [Counter.Count]. It is [errors.ErrUnsupported] if the store is none.
func (f Feed) Count(ctx context.Context, query Query) (int64, error) {
	if err := f.Err(); err != nil {
		return 0, err
	}
	counter, ok := f.Store().(Counter)
	if !ok {
		return 0, fmt.Errorf("%w: %T does not count", errors.ErrUnsupported, unwrapped(f.Store()))
	}
	return counter.Count(ctx, query)
}

// StoredTypes gives the names under which the store may have events of the types,
// sorted, each once; none for none. A reader that wants some types asks the store for
// these, and [Feed.Events] for the types. See [TypeResolver].
func (f Feed) StoredTypes(types ...string) []string {
	if f.Err() != nil {
		return nil
	}
	stored := slices.Clone(f.repository.storedTypes(types))
	slices.Sort(stored)
	return slices.Compact(stored)
}

// Events decodes a record. It gives those of its events that are of the types, all if
// there are none. The error names the record.
func (f Feed) Events(record *Record, types ...string) ([]Event, error) {
	if err := f.Err(); err != nil {
		return nil, err
	}
	return f.repository.decode(record, types)
}
