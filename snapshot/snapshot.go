// Package snapshot keeps snapshots of aggregates, so that a load reads the events
// after the snapshot instead of all of them:
//
//	snapshots := snapshot.New(snapshot.NewMemory(), snapshot.Every(100))
//	repository := eventsource.NewRepository(store, serializer, eventsource.WithSnapshots(snapshots))
//
// An aggregate opts in with a method:
//
//	func (*Account) SnapshotVersion() int { return 1 }
//
// The events stay what counts. A snapshot is a copy of the state of an aggregate at one
// of its events: it can be deleted at any time, and is used only while the store has that
// event. An aggregate that is loaded through a snapshot equals one that is loaded
// without: a state that does not survive being written and read back is not kept, see
// [Check]. Whatever goes wrong with snapshots is logged and counted, and the aggregate is
// loaded from its events.
//
// The packages sqlsnapshot, dynamosnapshot and redissnapshot keep snapshots in databases,
// and snapshottest shows whether a store written elsewhere keeps its promises.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/eventsource-go/eventsource"
)

// Aggregate is implemented by aggregates that may be loaded from snapshots. Others are
// loaded from their events.
type Aggregate interface {
	eventsource.Aggregate
	// SnapshotVersion is the version of the meaning of the state, from 1, the same for
	// all aggregates of the type. Raise it when the same events lead to another state:
	// when the meaning of On, or that of a field, changes. Snapshots of other versions
	// are left alone, so that two releases run side by side, each with its own.
	SnapshotVersion() int
}

// Named is implemented by aggregates whose snapshots are not to be found by the name of
// their Go type. It has to be the same for all aggregates of the type.
type Named interface {
	// SnapshotType returns the name, up to 200 bytes of text.
	SnapshotType() string
}

// maxNameLength leaves room for what is added to names.
const maxNameLength = 200

// Key says which snapshot is meant.
type Key struct {
	// AggregateID names the aggregate.
	AggregateID string
	// Type is the name of the aggregate's type and, after a #, a hash of its fields.
	Type string
	// SchemaVersion is what SnapshotVersion returned, from 1.
	SchemaVersion int
}

// Store keeps one snapshot for each [Key], the newest. It is safe for concurrent use.
// An error of a context that ends is returned, and nothing is left behind.
type Store interface {
	// Load returns the snapshot of a key, nil if there is none. It is the caller's.
	Load(ctx context.Context, key Key) (*eventsource.Snapshot, error)
	// Save keeps a snapshot in the place of the one with the same key, unless the
	// sequence ID of that one is greater: then it does nothing. The snapshot's state
	// is neither changed nor kept. One that is too large is [eventsource.ErrTooLarge].
	Save(ctx context.Context, snapshot eventsource.Snapshot) error
	// Delete removes all snapshots of an aggregate. None are no error.
	Delete(ctx context.Context, aggregateID string) error
}

// KeyOf returns the key of a snapshot.
func KeyOf(s *eventsource.Snapshot) Key { return Key{s.AggregateID, s.Type, s.SchemaVersion} }

// Snapshots takes and restores snapshots for a repository. It is safe for concurrent use,
// and is made by [New].
type Snapshots struct {
	config
	store Store
	types types
	queue queue
	stats counters
	err   error
}

var _ eventsource.Snapshotter = (*Snapshots)(nil)

// New returns snapshots that are kept in a store. Arguments that cannot be, and a
// store that was made with such, are [eventsource.ErrMisconfigured]: [Snapshots.Err]
// returns it, and every method of a repository that was made with these snapshots.
func New(store Store, opts ...Option) *Snapshots {
	s := &Snapshots{store: store, config: newConfig(opts)}
	s.err = s.check()
	if isNil(store) {
		s.err = errors.Join(s.err, misconfigured("store is nil"))
	} else if made, ok := store.(interface{ Err() error }); ok {
		s.err = errors.Join(s.err, made.Err())
	}
	s.queue.size = s.background
	return s
}

// Err returns what was wrong with the arguments of [New], nil if nothing was.
func (s *Snapshots) Err() error { return s.err }

func misconfigured(format string, args ...any) error {
	return fmt.Errorf("%w: snapshot: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...)
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// Find implements [eventsource.Snapshotter].
func (s *Snapshots) Find(ctx context.Context, aggregateID string, aggr eventsource.Aggregate, atMost int) (found *eventsource.Snapshot) {
	subject := eventsource.Snapshot{AggregateID: aggregateID}
	defer s.survive(ctx, "look for a snapshot", &subject, func() { found = nil })
	t, version, ok := s.typeOf(ctx, aggr)
	if !ok || !utf8.ValidString(aggregateID) || strings.Contains(aggregateID, "\x00") { // no aggregate has such an ID
		return nil
	}
	subject.Type, subject.SchemaVersion = t.key, version
	trying, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	found, err := s.store.Load(trying, KeyOf(&subject))
	if err == nil && found != nil {
		subject.Version, subject.SequenceID = found.Version, found.SequenceID
		err = checkFound(found, KeyOf(&subject))
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // it was the caller who gave up
	case err != nil:
		s.failed(ctx, "look for a snapshot", &subject, err)
		return nil
	case found == nil || atMost > 0 && found.Version > atMost:
		return nil
	}
	return found
}

// checkFound refuses what cannot be the snapshot that was asked for.
func checkFound(found *eventsource.Snapshot, key Key) error {
	if got := KeyOf(found); got != key {
		return fmt.Errorf("eventsource/snapshot: store returned the snapshot %+v when asked for %+v", got, key)
	}
	if found.Version < 1 {
		return fmt.Errorf("eventsource/snapshot: snapshot has the version %d", found.Version)
	}
	if id, err := eventsource.ParseSequenceID(found.SequenceID); err != nil || id != found.SequenceID || id == "" {
		return fmt.Errorf("%w: %q, of a snapshot", eventsource.ErrInvalidSequenceID, found.SequenceID)
	}
	return nil
}

// Restore implements [eventsource.Snapshotter].
func (s *Snapshots) Restore(ctx context.Context, aggr eventsource.Aggregate, snapshot *eventsource.Snapshot) (restored bool) {
	if snapshot == nil {
		return false
	}
	defer s.survive(ctx, "restore a snapshot", snapshot, func() { restored = false })
	t, version, ok := s.typeOf(ctx, aggr)
	if !ok || snapshot.Type != t.key || snapshot.SchemaVersion != version {
		return false
	}
	if err := t.restore(s.codec, snapshot.State, aggr); err != nil {
		s.failed(ctx, "restore a snapshot", snapshot, err)
		return false
	}
	s.stats.restored.Add(1)
	return true
}

// Loaded implements [eventsource.Snapshotter].
func (s *Snapshots) Loaded(ctx context.Context, aggr eventsource.Aggregate, snapshot eventsource.Snapshot, read int) (store func(context.Context)) {
	defer s.survive(ctx, "take a snapshot", &snapshot, func() { store = nil })
	t, version, ok := s.typeOf(ctx, aggr)
	if !ok {
		return nil
	}
	snapshot.Type, snapshot.SchemaVersion = t.key, version
	if !s.due(Info{AggregateID: snapshot.AggregateID, Type: t.name, Version: snapshot.Version, Read: read}) {
		return nil
	}
	state, err := t.state(s.codec, aggr)
	if err != nil {
		s.refused(ctx, t, &snapshot, err)
		return nil
	}
	snapshot.State = state
	return func(ctx context.Context) { s.write(ctx, snapshot) }
}

// write stores a snapshot, now or soon.
func (s *Snapshots) write(ctx context.Context, snapshot eventsource.Snapshot) {
	if s.background == 0 {
		s.save(ctx, snapshot)
		return
	}
	// The caller's context may end with its request.
	waiting := pending{context.WithoutCancel(ctx), snapshot}
	if accepted, first := s.queue.add(waiting, s.save); !accepted {
		s.stats.dropped.Add(1)
		if first {
			s.logger.WarnContext(ctx, "eventsource/snapshot: too many snapshots wait to be stored, so this one and others are dropped",
				s.attributes(&snapshot, nil)...)
		}
	}
}

func (s *Snapshots) save(ctx context.Context, snapshot eventsource.Snapshot) {
	defer s.survive(ctx, "store a snapshot", &snapshot, func() {})
	trying, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.store.Save(trying, snapshot)
	switch {
	case err == nil:
		s.stats.stored.Add(1)
	case ctx.Err() == nil: // else it was the caller who gave up
		s.failed(ctx, "store a snapshot", &snapshot, err)
	}
}

// Delete removes all snapshots of an aggregate, also of other types and versions, for
// instance because there is something in them that has to be forgotten. Those that wait
// in the background are stored first. The next load may take one again. Unlike the
// other methods it returns the store's error.
func (s *Snapshots) Delete(ctx context.Context, aggregateID string) error {
	if err := s.Wait(ctx); err != nil {
		return err
	}
	return s.store.Delete(ctx, aggregateID)
}

// Wait waits until no snapshot waits in the background any more, or ctx ends. A program
// calls it before it ends, when nothing is loaded any more. What is not stored then is
// lost, which is no harm.
func (s *Snapshots) Wait(ctx context.Context) error {
	if s.err != nil {
		return s.err
	}
	return s.queue.wait(ctx)
}

// survive turns a panic into a failure. It is to be deferred.
func (s *Snapshots) survive(ctx context.Context, doing string, subject *eventsource.Snapshot, undo func()) {
	if p := recover(); p != nil {
		undo()
		s.failed(ctx, doing, subject, &eventsource.PanicError{Value: p, Stack: debug.Stack()})
	}
}

func (s *Snapshots) failed(ctx context.Context, doing string, subject *eventsource.Snapshot, err error) {
	s.stats.failed.Add(1)
	s.logger.ErrorContext(ctx, "eventsource/snapshot: could not "+doing, s.attributes(subject, err)...)
}

// refused reports, once for each type, that a state cannot be kept.
func (s *Snapshots) refused(ctx context.Context, t *aggregateType, subject *eventsource.Snapshot, err error) {
	s.stats.refused.Add(1)
	if !t.reported.Swap(true) {
		s.logger.ErrorContext(ctx, "eventsource/snapshot: a state would not survive in a snapshot, so there is none; others of this type are only counted",
			s.attributes(subject, err)...)
	}
}

func (s *Snapshots) attributes(subject *eventsource.Snapshot, err error) []any {
	attributes := []any{"aggregate_id", subject.AggregateID, "type", subject.Type, "schema_version", subject.SchemaVersion,
		"version", subject.Version, "store", fmt.Sprintf("%T", s.store)}
	if err != nil {
		attributes = append(attributes, "error", err)
	}
	return attributes
}
