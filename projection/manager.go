package projection

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Manager looks after projections that run here or elsewhere: waits for them, tells
// how they are, resets them, and decides on events that they have put aside. It is safe for
// concurrent use.
type Manager struct {
	checkpoints Checkpoints
	feed        eventsource.Feed
	err         error
	tallies     sync.Map // *tally of each version
}

// NewManager returns a manager of the projections of a repository whose checkpoints
// are kept there. Arguments that cannot be make every method return
// [eventsource.ErrMisconfigured].
func NewManager(repository eventsource.Repository, checkpoints Checkpoints) *Manager {
	m := &Manager{checkpoints: checkpoints}
	var feedErr error
	m.feed, feedErr = feedOf(repository)
	m.err = errors.Join(feedErr, checkCheckpoints(checkpoints))
	return m
}

// Err returns what was wrong with the arguments of [NewManager], nil if nothing was.
func (m *Manager) Err() error { return m.err }

// Names gives the names of all projections, sorted.
func (m *Manager) Names(ctx context.Context) ([]string, error) {
	if m.err != nil {
		return nil, m.err
	}
	return m.checkpoints.Names(ctx)
}

// Bounds of how often WaitFor looks.
const (
	firstWait   = time.Millisecond
	longestWait = 50 * time.Millisecond
)

// WaitFor returns when the active version of the projection has handled the event with
// this sequence ID, or has left it out, and all events before it; so that its read model
// shows what was saved. It looks at the checkpoint after a millisecond first, and then
// less often, down to 20 times a second. An event that is parked counts as handled. ""
// is there at once. A projection that has never run, that has stopped or that nobody runs
// is waited for too: give it a context with a deadline.
//
// Errors: [eventsource.ErrInvalidSequenceID]; the context's, with how far the projection is.
func (m *Manager) WaitFor(ctx context.Context, name, sequenceID string) error {
	sequenceID, err := eventsource.ParseSequenceID(sequenceID)
	if err = errors.Join(m.err, err); err != nil || sequenceID == "" {
		return err
	}
	at := "was not looked up"
	err = m.poll(ctx, name, func(s *state) bool {
		active := s.active()
		if active == nil {
			at = "has never run"
			return false
		}
		if at = "is at " + active.position(); active.position() == "" {
			at = "has handled nothing yet"
		}
		return active.position() >= sequenceID
	})
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("eventsource/projection: waiting for %s: projection %q %s: %w", sequenceID, name, at, err)
	}
	return err
}

// poll loads a projection until it is as it should be.
func (m *Manager) poll(ctx context.Context, name string, done func(*state) bool) error {
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		s, err := loadState(ctx, m.checkpoints, name)
		if err != nil || done(s) {
			return err
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// WaitUntilActive returns when this version of the projection is the active one. One that
// has never run is waited for too. Errors: the context's.
func (m *Manager) WaitUntilActive(ctx context.Context, name string, version int) error {
	if m.err != nil {
		return m.err
	}
	err := m.poll(ctx, name, func(s *state) bool { return s.head.Active == version })
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("eventsource/projection: waiting for version %d of %q to become active: %w", version, name, err)
	}
	return err
}

// Parked gives the events that a version has parked or skipped, in sequence order,
// at most limit of those after a sequence ID; "" and 0 give all.
func (m *Manager) Parked(ctx context.Context, name string, version int, after string, limit int) ([]Parked, error) {
	after, err := eventsource.ParseSequenceID(after)
	if limit < 0 {
		err = errors.Join(err, fmt.Errorf("%w: limit %d is negative", eventsource.ErrInvalidQuery, limit))
	}
	if err = errors.Join(m.err, err); err != nil {
		return nil, err
	}
	if _, err := m.find(ctx, name, version); err != nil {
		return nil, err
	}
	return m.checkpoints.Parked(ctx, ParkedQuery{Name: name, Version: version, After: after, Limit: limit})
}

// RetryParked has the events of an aggregate that were parked or skipped handled
// again, in order, up to the first one that fails again; with "", those of all
// aggregates. Each is tried once. The projection does so within about a second, when it
// is level, or when it is run next; [Manager.Parked] shows what became of it. It returns
// how many events there are.
func (m *Manager) RetryParked(ctx context.Context, name string, version int, aggregateID string) (int, error) {
	return m.request(ctx, name, version, RequestRetry, func(p *Parked) bool {
		return aggregateID == "" || p.AggregateID == aggregateID
	})
}

// DropParked has events that were parked or skipped forgotten, without their having
// been handled. Later events of an aggregate that are parked too stay parked until
// they are retried. The projection does so within about a second, or when it is run
// next. [ErrUnknown] names those that are not there.
func (m *Manager) DropParked(ctx context.Context, name string, version int, sequenceIDs ...string) error {
	missing := slices.Clone(sequenceIDs)
	_, err := m.request(ctx, name, version, RequestDrop, func(p *Parked) bool {
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == p.SequenceID })
		return slices.Contains(sequenceIDs, p.SequenceID)
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%w: parked events %v of version %d of projection %q", ErrUnknown, missing, version, name)
	}
	return err
}

// request asks for something to be done with events, a page at a time.
func (m *Manager) request(ctx context.Context, name string, version int, request Request, which func(*Parked) bool) (n int, err error) {
	for after := ""; ; {
		page, err := m.Parked(ctx, name, version, after, parkedPage)
		if err != nil {
			return n, err
		}
		var sequenceIDs []string
		for i := range page {
			if after = page[i].SequenceID; which(&page[i]) {
				sequenceIDs = append(sequenceIDs, page[i].SequenceID)
			}
		}
		n += len(sequenceIDs)
		if len(sequenceIDs) > 0 {
			if err := m.checkpoints.RequestParked(ctx, name, version, request, sequenceIDs...); err != nil {
				return n, err
			}
		}
		if len(page) < parkedPage {
			return n, nil
		}
	}
}

// find loads a projection that has this version.
func (m *Manager) find(ctx context.Context, name string, number int) (*state, error) {
	if m.err != nil {
		return nil, m.err
	}
	s, err := loadState(ctx, m.checkpoints, name)
	if err != nil {
		return nil, err
	}
	if s.versions[number] == nil {
		return nil, fmt.Errorf("%w: version %d of projection %q", ErrUnknown, number, name)
	}
	return s, nil
}

// Reset sets a version back, or on, to handle the events after a sequence ID; "" stands
// for all. Those that it has handled before it handles silently (see [SideEffect]).
// Parked and skipped events that come again are forgotten. A parked event counts as
// handled: retry it first, or its side effects are lost. Processes that run it stop for
// a moment and go on from there. What the handler has written is not undone: empty the
// tables of a read model first, or better make a new version. A sequence ID beyond the
// last event is [eventsource.ErrInvalidQuery].
func (m *Manager) Reset(ctx context.Context, name string, version int, sequenceID string) error {
	sequenceID, err := eventsource.ParseSequenceID(sequenceID)
	if err = errors.Join(m.err, err); err != nil {
		return err
	}
	if reporter, ok := m.feed.Store().(eventsource.HorizonReporter); ok {
		horizon, err := reporter.Horizon(ctx)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("read the horizon: %w", err)
		}
		if err == nil && sequenceID > horizon.Head {
			return fmt.Errorf("%w: %s is beyond the last event, %q", eventsource.ErrInvalidQuery, sequenceID, horizon.Head)
		}
	}
	c := newContender(m.checkpoints, newOwner(), DefaultLease)
	for {
		h, s, err := c.takeAll(ctx, name, version)
		if err != nil {
			return err
		}
		err = m.reset(ctx, h, s, version, sequenceID)
		h.releaseAll(ctx)
		if !errors.Is(err, ErrStale) && !errors.Is(err, ErrFenced) {
			return err
		}
	}
}

// reset is for who holds all leases of the version.
func (m *Manager) reset(ctx context.Context, h *hold, s *state, number int, sequenceID string) error {
	if err := m.forgetAfter(ctx, &s.versions[number].partitions[0].row, sequenceID); err != nil {
		return err
	}
	s, err := loadState(ctx, m.checkpoints, s.name)
	if err != nil {
		return err
	}
	if !h.owns(s) { // deleting many takes its time
		return ErrStale
	}
	v := s.versions[number]
	v.data.Silent = merge(v.data.Silent, v.spans())
	put, _ := relayout(v, v.data.Partitions, []span{{0, slots, sequenceID}})
	for i := range put {
		put[i].LastEvent = ""
	}
	return m.checkpoints.Update(ctx, put, nil)
}

// forgetAfter forgets parked and skipped events that come again, under the lease of a row.
func (m *Manager) forgetAfter(ctx context.Context, row *Row, sequenceID string) error {
	for {
		again, err := m.checkpoints.Parked(ctx, ParkedQuery{Name: row.Name, Version: row.Version, After: sequenceID, Limit: maxParked})
		if err != nil || len(again) == 0 {
			return err
		}
		move := Move{Name: row.Name, Version: row.Version, Partition: row.Partition, Token: row.Token}
		for i := range again {
			move.Unpark = append(move.Unpark, again[i].SequenceID)
		}
		if _, err := m.checkpoints.Advance(ctx, move); err != nil {
			return err
		}
	}
}

// merge gives the higher position of each slot.
func merge(a, b []span) []span {
	var merged []span
	for slot := range slots {
		position := max(positionIn(a, slot), positionIn(b, slot))
		if last := len(merged) - 1; last >= 0 && merged[last].Position == position {
			merged[last].To++
			continue
		}
		merged = append(merged, span{slot, slot + 1, position})
	}
	return merged
}

// ResetToTime is [Manager.Reset] to before the first event, in sequence order, whose timestamp is
// not before t. [ErrUnknown] says that there is none.
func (m *Manager) ResetToTime(ctx context.Context, name string, version int, t time.Time) error {
	if m.err != nil {
		return m.err
	}
	first, last := time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64) // that a timestamp can be
	from := t.UnixNano()
	if t.Before(first) {
		from = math.MinInt64
	}
	for record, err := range m.feed.Records(ctx, eventsource.Query{From: from, Limit: 1}) {
		if err != nil {
			return err
		}
		if t.After(last) {
			break
		}
		return m.Reset(ctx, name, version, before(record.SequenceID))
	}
	return fmt.Errorf("%w: no event has a timestamp of %s or later", ErrUnknown, t.Format(time.RFC3339Nano))
}

// Promote has a version take over as soon as it is level with the active one, also one
// that is older. It has to be running, and does so within about a second. To promote
// the active version takes back a promotion that has not happened yet.
func (m *Manager) Promote(ctx context.Context, name string, version int) error {
	for {
		s, err := m.find(ctx, name, version)
		if err != nil {
			return err
		}
		s.head.Promote = version
		if s.head.Active == version {
			s.head.Promote = 0
		}
		s.row.Data = encode(s.head)
		if err := m.checkpoints.Update(ctx, []Row{s.row}, nil); !errors.Is(err, ErrStale) {
			return err
		}
	}
}

// Drop forgets a version with its checkpoint and its parked events; its Run then
// returns [ErrSuperseded]. The active version cannot be dropped: that is
// [eventsource.ErrMisconfigured], unless it is the only one, which drops the projection.
// Tables of the read model are the application's to drop.
func (m *Manager) Drop(ctx context.Context, name string, version int) error {
	c := newContender(m.checkpoints, newOwner(), DefaultLease)
	for {
		if s, err := m.find(ctx, name, version); err != nil {
			return err
		} else if s.head.Active == version && len(s.versions) > 1 {
			return misconfigured("version %d of %q is the active one and cannot be dropped", version, name)
		}
		h, s, err := c.takeAll(ctx, name, version)
		if err != nil {
			return err
		}
		err = m.drop(ctx, s, version)
		h.releaseAll(ctx)
		if !errors.Is(err, ErrStale) && !errors.Is(err, ErrFenced) {
			return err
		}
	}
}

// drop is for who holds all leases of the version. The rows go last, so that it can be
// repeated.
func (m *Manager) drop(ctx context.Context, s *state, number int) error {
	remove := s.versions[number].rows()
	if s.head.Active == number {
		if len(s.versions) > 1 {
			return ErrStale // it is looked at again
		}
		remove = append(remove, s.row)
	}
	if err := m.checkpoints.DeleteParked(ctx, s.name, number); err != nil {
		return err
	}
	return m.checkpoints.Update(ctx, nil, remove)
}
