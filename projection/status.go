package projection

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Status is where a version of a projection is.
type Status struct {
	// Name and Version are the projection's.
	Name    string
	Version int
	// Active says that this is the version whose read model is to be used.
	Active bool
	// Position is a sequence ID: all events at or below it have been handled, or put
	// aside, in all partitions. "" is the beginning. It may be above the last event.
	Position string
	// Head is the sequence ID of the last event that is stored, of whatever type; "" if
	// there is none or the store cannot tell.
	Head string
	// LagEvents is how many events are to be handled, of the types that the version
	// asks for; -1 if that is not known: the store is no [eventsource.Counter], or takes too
	// long. It is an estimate, and with several partitions too high rather than too low.
	LagEvents int64
	// Lag is the time between Position and Head, by their sequence IDs, and so by the
	// clocks of those who saved; 0 if and only if they are level, -1 if the store cannot
	// tell. On a store where little is saved it may be long for a moment, until one new
	// event is handled; of events that were saved at once it is short, however many
	// they are. If LagEvents is 0 and Lag is not for more than a moment, an open
	// transaction holds back what comes next (see [eventsource.Horizon]).
	Lag time.Duration
	// Handled is how many events the version has handled, in all processes and since it was
	// first run, those that came again included. One that is stored counts once, whether
	// the serializer makes several of it or none.
	Handled int64
	// Parked and Skipped are how many events are recorded as such now, of the first 10,000.
	Parked, Skipped int
	// Partitions are the version's, in order.
	Partitions []PartitionStatus

	// What follows is known of this process only, since Run began, and zero in what a
	// [Manager] gives.

	// Running says that Run runs here; it may be waiting for others to leave it work.
	Running bool
	// Rate is how many events a second were handled in the last ten seconds.
	Rate float64
	// Retries is how often a handler failed and was called again.
	Retries int64
	// LastError is what went wrong last, nil if nothing has; LastErrorTime is when.
	LastError     error
	LastErrorTime time.Time
}

// PartitionStatus is where one partition is.
type PartitionStatus struct {
	// Partition is its number, from 0.
	Partition int
	// Owner names the process that works on it: its host, its process ID and a ULID, with
	// slashes in between; "" if there is none. One that has died stays for as long as its lease.
	Owner string
	// Here says that the owner is this [Projection].
	Here bool
	// Position is as in Status.
	Position string
	// LastEvent is the sequence ID of the last event that was handled, "" if there is none.
	LastEvent string
	// Handled is how many events were handled.
	Handled int64
}

// Status tells where this version of the projection is, also if others work on it.
// It loads the checkpoint, asks the store for its end, and counts the events that are left:
// all of them the first time, then only those that were saved since, and anew after some
// minutes at the earliest.
//
// Errors: [ErrUnknown] if the version has never run, [eventsource.ErrMisconfigured],
// those of the store and of the checkpoints. With an error comes what is known without
// asking: Name, Version, and all that is of this process only.
func (p *Projection) Status(ctx context.Context) (Status, error) {
	status := Status{Name: p.name, Version: p.config.version, LagEvents: -1, Lag: -1}
	if p.err != nil {
		return status, p.err
	}
	owner := p.stats.addTo(&status)
	s, err := loadState(ctx, p.config.checkpoints, p.name)
	if err != nil {
		return status, err
	}
	v := s.versions[p.config.version]
	if v == nil {
		return status, fmt.Errorf("%w: version %d of projection %q", ErrUnknown, p.config.version, p.name)
	}
	status.addVersion(s, v, owner)
	end, err := endOf(ctx, p.feed)
	if err != nil {
		return status, fmt.Errorf("find the end of the store: %w", err)
	}
	err = status.addLag(ctx, p.config.checkpoints, p.feed, &p.stats.tally, v, end)
	return status, err
}

// Status tells where all versions of a projection are, in ascending order, as
// [Projection.Status] does, but for what only the process that runs it knows. It is
// [ErrUnknown] if the projection has never run.
func (m *Manager) Status(ctx context.Context, name string) ([]Status, error) {
	if m.err != nil {
		return nil, m.err
	}
	s, err := loadState(ctx, m.checkpoints, name)
	if err != nil {
		return nil, err
	}
	if len(s.versions) == 0 {
		return nil, fmt.Errorf("%w: projection %q", ErrUnknown, name)
	}
	end, err := endOf(ctx, m.feed)
	if err != nil {
		return nil, fmt.Errorf("find the end of the store: %w", err)
	}
	all := make([]Status, 0, len(s.versions))
	for _, number := range slices.Sorted(maps.Keys(s.versions)) {
		status := Status{Name: name, Version: number, LagEvents: -1, Lag: -1}
		v := s.versions[number]
		status.addVersion(s, v, "")
		kept, _ := m.tallies.LoadOrStore(rowKey{name, number, -1}, new(tally))
		if err := status.addLag(ctx, m.checkpoints, m.feed, kept.(*tally), v, end); err != nil {
			return nil, err
		}
		all = append(all, status)
	}
	return all, nil
}

// addTo adds what is known of this process, and returns the owner that it is.
func (s *stats) addTo(status *Status) (owner string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status.Running, status.Rate, status.Retries = s.phase == running, s.rate(time.Now()), s.counts.retries
	status.LastError, status.LastErrorTime = s.last, s.lastAt
	return s.owner
}

// addVersion adds what the checkpoint says.
func (status *Status) addVersion(s *state, v *version, owner string) {
	status.Active = s.head.Active == status.Version
	status.Position, status.Handled = v.position(), v.handled()
	for i := range v.partitions {
		row := &v.partitions[i].row
		status.Partitions = append(status.Partitions, PartitionStatus{
			Partition: row.Partition, Owner: row.Owner, Here: owner != "" && row.Owner == owner,
			Position: row.Position, LastEvent: row.LastEvent, Handled: row.Handled,
		})
	}
}

// addLag adds what there is to handle, and what was put aside.
func (status *Status) addLag(ctx context.Context, checkpoints Checkpoints, feed eventsource.Feed, t *tally, v *version, end storeEnd) (err error) {
	if end.known {
		status.Head = end.head
		if status.Lag, err = timeLag(ctx, feed, status.Position, end.head); err != nil {
			return fmt.Errorf("read the first event: %w", err)
		}
		status.LagEvents = t.ofVersion(ctx, feed, v, end)
	}
	return status.addParked(ctx, checkpoints)
}

// maxCounted is the most parked and skipped events that are counted.
const maxCounted = 10_000

func (status *Status) addParked(ctx context.Context, checkpoints Checkpoints) error {
	query := ParkedQuery{Name: status.Name, Version: status.Version, Limit: parkedPage}
	for {
		page, err := checkpoints.Parked(ctx, query)
		if err != nil {
			return fmt.Errorf("load parked events: %w", err)
		}
		for i := range page {
			if page[i].State == StateParked {
				status.Parked++
			} else {
				status.Skipped++
			}
		}
		if len(page) < parkedPage || status.Parked+status.Skipped >= maxCounted {
			return nil
		}
		query.After = page[len(page)-1].SequenceID
	}
}
