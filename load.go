package eventsource

import (
	"context"
	"fmt"
	"time"
)

// AsOf says at which point of its history an aggregate is to be loaded; see
// [AtVersion], [AtSequenceID] and [AtTime]. The zero value stands for the latest.
type AsOf struct {
	version    int
	sequenceID string
	time       time.Time
	err        error
}

// AtVersion is after the event of a version, from 1. If the aggregate has not got that
// far, that is [ErrInvalidQuery].
func AtVersion(version int) AsOf {
	a := AsOf{version: version}
	if version < 1 {
		a.err = fmt.Errorf("%w: no aggregate has version %d", ErrInvalidQuery, version)
	}
	return a
}

// AtSequenceID is after all events of the aggregate at or below a sequence ID, stored
// or not.
func AtSequenceID(sequenceID string) AsOf {
	a := AsOf{}
	if a.sequenceID, a.err = ParseSequenceID(sequenceID); a.err == nil && a.sequenceID == "" {
		a.err = fmt.Errorf("%w: sequence ID to load an aggregate at is empty", ErrInvalidQuery)
	}
	return a
}

// AtTime is before the first event with a timestamp after t. Timestamps come from
// clocks and callers: where they go back, later events with an earlier one are left
// out too, so that it is a state that the aggregate has had.
func AtTime(t time.Time) AsOf {
	a := AsOf{time: t}
	if t.IsZero() {
		a.err = fmt.Errorf("%w: time to load an aggregate at is the zero time", ErrInvalidQuery)
	}
	return a
}

// excludes reports whether a record and all after it are later.
func (a *AsOf) excludes(r *Record) bool {
	return a.version > 0 && r.Version > a.version ||
		a.sequenceID != "" && r.SequenceID > a.sequenceID ||
		!a.time.IsZero() && r.Timestamp > a.time.UnixNano()
}

// latest reports whether it is the latest state that is asked for.
func (a *AsOf) latest() bool { return a.version == 0 && a.sequenceID == "" && a.time.IsZero() }

// Snapshot is the state that an aggregate had at a version.
type Snapshot struct {
	// AggregateID names the aggregate.
	AggregateID string
	// Type is the name of the aggregate's type.
	Type string
	// SchemaVersion is the version of the layout of the state, from 1.
	SchemaVersion int
	// Version is that of the last event that the state has, and SequenceID its place in
	// the order of all events.
	Version    int
	SequenceID string
	// State is the state as it was written.
	State []byte
}

// Snapshotter takes and restores snapshots for a repository; package snapshot has one.
// None of its methods fails: what goes wrong it reports elsewhere, and the aggregate is
// rebuilt from its events. It is safe for concurrent use.
type Snapshotter interface {
	// Find returns the snapshot that an aggregate is to be rebuilt from, nil if there
	// is none that can be used. With atMost above 0 its version is at most that.
	Find(ctx context.Context, aggregateID string, aggr Aggregate, atMost int) *Snapshot
	// Restore sets the aggregate to the state of the snapshot, or returns false and has
	// not changed it.
	Restore(ctx context.Context, aggr Aggregate, snapshot *Snapshot) bool
	// Loaded is called when an aggregate was loaded at its latest version, and before
	// anything else changes it. Snapshot says which version that is; its Type,
	// SchemaVersion and State are empty. Read is how many events were read. If a snapshot
	// is due, it keeps the state and returns a function that stores it, which is called
	// later, and not at all if that is not worth while any more; otherwise nil.
	Loaded(ctx context.Context, aggr Aggregate, snapshot Snapshot, read int) (store func(ctx context.Context))
}

// WithSnapshots has aggregates loaded from snapshots, and only the events after them
// read. A snapshot is believed only if the store still has its last event. Defaults
// to none.
func WithSnapshots(snapshots Snapshotter) RepositoryOption {
	return func(r *repository) {
		if !isNil(snapshots) {
			r.snapshots = snapshots
		}
	}
}

// loaded is what a load has found.
type loaded struct {
	deleted    bool
	version    int // of the last event that was looked at, 0 if the aggregate has none
	sequenceID string
	// snapshot stores a snapshot, nil if none is due.
	snapshot func(ctx context.Context)
}

// takeSnapshot stores the snapshot that is due.
func (l *loaded) takeSnapshot(ctx context.Context) {
	if l.snapshot != nil {
		l.snapshot(ctx)
	}
}

// LoadAt is [Repository.Load] for an earlier state. The aggregate has no history if
// its first event is later.
func (r *repository) LoadAt(ctx context.Context, id string, aggr Aggregate, at AsOf) (deleted bool, err error) {
	l, err := r.load(ctx, id, aggr, at)
	if err != nil {
		return false, err
	}
	if l.version == 0 {
		return false, fmt.Errorf("%w: %q", ErrNoHistory, id)
	}
	l.takeSnapshot(ctx)
	return l.deleted, nil
}

func (r *repository) Load(ctx context.Context, id string, aggr Aggregate) (deleted bool, err error) {
	return r.LoadAt(ctx, id, aggr, AsOf{})
}

// load applies the events of an aggregate to it. One without events is no error here.
func (r *repository) load(ctx context.Context, id string, aggr Aggregate, at AsOf) (loaded, error) {
	switch {
	case r.err != nil:
		return loaded{}, r.err
	case isNil(aggr):
		return loaded{}, fmt.Errorf("%w: aggregate to load %q into is nil", ErrInvalidQuery, id)
	case id == "":
		return loaded{}, fmt.Errorf("%w: aggregate ID is empty", ErrInvalidQuery)
	case at.err != nil:
		return loaded{}, at.err
	}
	records, l, err := r.restore(ctx, id, aggr, at)
	if err != nil {
		return loaded{}, err
	}
	read := 0
	for i := range records {
		if at.excludes(&records[i]) {
			break
		}
		if read == 0 && l.version == 0 {
			aggr.SetAggregateID(id)
		}
		read++
		if l.deleted, err = r.apply(ctx, aggr, &records[i]); err != nil {
			return loaded{}, err
		}
		l.version, l.sequenceID = records[i].Version, records[i].SequenceID
		if l.deleted {
			break
		}
	}
	if at.version > l.version && !l.deleted && l.version > 0 {
		return loaded{}, fmt.Errorf("%w: aggregate %q has no version %d, its last is %d", ErrInvalidQuery, id, at.version, l.version)
	}
	if r.snapshots != nil && at.latest() && l.version > 0 && !l.deleted {
		snapshot := Snapshot{AggregateID: id, Version: l.version, SequenceID: l.sequenceID}
		l.snapshot = r.snapshots.Loaded(ctx, aggr, snapshot, read)
	}
	return l, nil
}

// restore sets the aggregate to a snapshot, if there is one, and returns the records
// that come after it.
func (r *repository) restore(ctx context.Context, id string, aggr Aggregate, at AsOf) ([]Record, loaded, error) {
	var snapshot *Snapshot
	if r.snapshots != nil && (at.latest() || at.version > 0) {
		snapshot = r.snapshots.Find(ctx, id, aggr, at.version)
	}
	if snapshot == nil || snapshot.Version < 1 {
		records, err := r.loadVersions(ctx, id, 0, at.version)
		return records, loaded{}, err
	}
	// With the snapshot's own event, to see whether the store still has it.
	records, err := r.loadVersions(ctx, id, snapshot.Version-1, at.version)
	if err != nil {
		return nil, loaded{}, err
	}
	if len(records) == 0 || records[0].SequenceID != snapshot.SequenceID || records[0].Version != snapshot.Version {
		r.logger.WarnContext(ctx, "eventsource: snapshot is of events that the store does not have, and is not used",
			"aggregate_id", id, "version", snapshot.Version, "sequence_id", snapshot.SequenceID)
	} else if r.snapshots.Restore(ctx, aggr, snapshot) {
		aggr.SetAggregateID(id)
		if versioned, ok := aggr.(Versioned); ok {
			versioned.SetVersion(snapshot.Version)
		}
		return records[1:], loaded{version: snapshot.Version, sequenceID: snapshot.SequenceID}, nil
	}
	records, err = r.loadVersions(ctx, id, 0, at.version)
	return records, loaded{}, err
}

// loadVersions gives the records of an aggregate whose versions are above after and,
// unless it is 0, at most last.
func (r *repository) loadVersions(ctx context.Context, id string, after, last int) ([]Record, error) {
	if after == 0 && last == 0 {
		return r.store.LoadByAggregate(ctx, id)
	}
	if loader, ok := r.store.(VersionLoader); ok {
		return loader.LoadByAggregateVersions(ctx, id, after, last)
	}
	records, err := r.store.LoadByAggregate(ctx, id)
	if err != nil {
		return nil, err
	}
	if last > 0 {
		records = records[:min(last, len(records))]
	}
	return records[min(after, len(records)):], nil
}

// apply decodes a record and applies its events. The version of a record without any
// counts too.
func (r *repository) apply(ctx context.Context, aggr Aggregate, record *Record) (deleted bool, err error) {
	var one [1]Event // mostly it is
	events, err := r.decode(one[:0], record, nil)
	if err != nil {
		return false, err
	}
	for i := 0; i < len(events) && !deleted; i++ {
		if err := on(ctx, aggr, events[i]); says(err, ErrDeleted) {
			deleted = true
		} else if err != nil {
			return false, fmt.Errorf("eventsource: aggregate %q refuses %s, version %d: %w",
				record.AggregateID, EventType(events[i]), record.Version, err)
		}
	}
	if versioned, ok := aggr.(Versioned); ok {
		versioned.SetVersion(record.Version)
	}
	return deleted, nil
}
