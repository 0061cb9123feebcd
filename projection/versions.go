package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"
)

// register makes the rows of the projection and of its version if they are not there,
// and sees that what is there fits.
func (r *runner) register(ctx context.Context) (*state, error) {
	p := r.Projection
	for {
		s, err := loadState(ctx, p.config.checkpoints, p.name)
		if err != nil {
			return nil, err
		}
		v := s.versions[p.config.version]
		switch {
		case v == nil && (r.registered || p.config.version < s.head.Active):
			return nil, fmt.Errorf("%w: version %d of %q was dropped, or never run; active is version %d", ErrSuperseded, p.config.version, p.name, s.head.Active)
		case v != nil && !slices.Equal(v.data.Types, p.definition):
			return nil, &DefinitionError{Projection: p.name, Version: p.config.version, Started: v.data.Types, Now: p.definition}
		case v != nil:
			r.registered = true
			return s, nil
		}
		err = p.step(ctx, s.head.Active == 0, func(ctx context.Context) error {
			return p.config.checkpoints.Update(ctx, p.firstRows(s), nil)
		})
		if err != nil && !errors.Is(err, ErrStale) {
			return nil, fmt.Errorf("register %q: %w", p.name, err)
		}
	}
}

// callTakeover calls the application's function in the step that makes this version the
// active one.
func (p *Projection) callTakeover(ctx context.Context) error {
	if p.config.takeover == nil {
		return nil
	}
	if err := recovered(func() error { return p.config.takeover(ctx) }); err != nil {
		return fmt.Errorf("eventsource/projection: takeover of %q by version %d: %w", p.name, p.config.version, err)
	}
	return nil
}

// firstRows are the rows of a version that is new. Their tokens start anywhere, so
// that no owner of rows of the same name, which somebody dropped, is taken for theirs.
func (p *Projection) firstRows(s *state) []Row {
	number, n := p.config.version, p.config.partitions
	rows := []Row{{Name: p.name, Version: number, Partition: -1, Data: encode(versionData{Types: p.definition, Partitions: n})}}
	for _, part := range layout(p.name, number, n, []span{{0, slots, p.config.startAfter}}, rand.Int64N(1<<40)) { //nolint:gosec // not a secret
		rows = append(rows, part.row)
	}
	if s.head.Active == 0 {
		head := s.row
		head.Data = encode(headData{Active: number})
		rows = append(rows, head)
	}
	return rows
}

// repartition gives the version as many partitions as this process was started with,
// and every slot the position that it has.
func (p *Projection) repartition(ctx context.Context, c *contender) error {
	n, number := p.config.partitions, p.config.version
	h, s, err := c.takeAll(ctx, p.name, number)
	if err != nil {
		return err
	}
	defer h.releaseAll(ctx)
	v := s.versions[number]
	if v.data.Partitions == n {
		return nil // another process was faster
	}
	p.config.logger.InfoContext(ctx, "projection: number of partitions changes",
		slog.Int("from", v.data.Partitions), slog.Int("to", n))
	put, remove := relayout(v, n, v.spans())
	return p.config.checkpoints.Update(ctx, put, remove) // if that is ErrStale, all is looked at again
}

// relayout are the rows of a version with n partitions whose slots have the given positions.
func relayout(v *version, n int, spans []span) (put, remove []Row) {
	token, handled, lastEvent := int64(0), int64(0), ""
	for i := range v.partitions {
		row := &v.partitions[i].row
		token, handled, lastEvent = max(token, row.Token), handled+row.Handled, max(lastEvent, row.LastEvent)
	}
	data := v.data
	data.Partitions = n
	row := v.row
	row.Data = encode(data)
	put = append(put, row)
	for i, part := range layout(row.Name, row.Version, n, spans, token) {
		if i < len(v.partitions) {
			part.row.Revision = v.partitions[i].row.Revision
		}
		if i == 0 {
			part.row.Handled, part.row.LastEvent = handled, lastEvent
		}
		put = append(put, part.row)
	}
	for i := n; i < len(v.partitions); i++ {
		remove = append(remove, v.partitions[i].row)
	}
	return put, remove
}

// Bounds of a takeover.
const (
	// takeoverGap is how far behind the active version another one may be, in time
	// between events, when it begins to take over.
	takeoverGap = 2 * time.Second
	// takeoverTimeout is how long a takeover may take.
	takeoverTimeout = 10 * time.Second
	// takeoverPatience is for how long the active version is held while the other one
	// gets no further.
	takeoverPatience = time.Second
)

// errNotLevel says that a version does not get level, such as one that keeps failing.
var errNotLevel = errors.New("eventsource/projection: version does not get level with the active one")

// mayTakeOver reports whether the version is to become the active one, and is near enough.
func (p *Projection) mayTakeOver(s *state) bool {
	number := p.config.version
	if number == s.head.Active || number != s.head.Promote && (p.config.manualTakeover || number <= max(s.head.Highest, s.head.Active)) {
		return false
	}
	mine, active := s.versions[number], s.active()
	return mine != nil && (active == nil || between(mine.position(), active.position()) <= takeoverGap)
}

// between is the time between two sequence IDs, 0 if the first is not the lower one.
func between(lower, higher string) time.Duration {
	if lower >= higher {
		return 0
	}
	return time.Duration(milliseconds(higher)-milliseconds(lower)) * time.Millisecond
}

// milliseconds is the time of a sequence ID, 0 for the beginning.
func milliseconds(sequenceID string) int64 {
	id, err := ulid.ParseStrict(sequenceID)
	if err != nil {
		return 0
	}
	return int64(id.Time())
}

// takeOver makes this version the active one. While it has all leases of the active
// version, that one stays where it is, so that this one, which never goes
// beyond, can get level with it. What the old version has handled, this one handles
// silently, and no event more.
func (p *Projection) takeOver(ctx context.Context, s *state, c *contender) error {
	ctx, cancel := context.WithTimeout(ctx, takeoverTimeout)
	defer cancel()
	if s.active() == nil {
		return p.activate(ctx, s)
	}
	h, s, err := c.takeAll(ctx, p.name, s.head.Active)
	if err != nil {
		return err
	}
	defer h.releaseAll(ctx)
	at, since := "", time.Now()
	for {
		if s.head.Active != h.version {
			return nil // another process was faster
		}
		mine, active := s.versions[p.config.version], s.active()
		if mine == nil || active == nil || !h.owns(s) {
			return fmt.Errorf("%w: version %d of %q, while version %d was to take over", ErrFenced, h.version, p.name, p.config.version)
		}
		if mine.position() >= active.position() {
			err := p.activate(ctx, s)
			if !errors.Is(err, ErrStale) {
				return err
			}
		}
		if position := mine.position(); position != at {
			at, since = position, time.Now()
		} else if time.Since(since) > takeoverPatience {
			return errNotLevel
		}
		if err := h.renew(ctx, s); err != nil {
			return err
		}
		if err := sleep(ctx, candidatePoll/10); err != nil {
			return err
		}
		if s, err = loadState(ctx, p.config.checkpoints, p.name); err != nil {
			return err
		}
	}
}

// activate makes this version the active one in one step.
func (p *Projection) activate(ctx context.Context, s *state) error {
	mine, old := s.versions[p.config.version], s.active()
	head := s.row
	next := headData{Active: p.config.version, Promote: s.head.Promote, Highest: max(s.head.Highest, s.head.Active, p.config.version)}
	if next.Promote == next.Active {
		next.Promote = 0
	}
	head.Data = encode(next)
	var remove []Row
	put := []Row{head}
	if old != nil {
		row := mine.row
		mine.data.Silent = merge(old.data.Silent, old.spans())
		row.Data = encode(mine.data)
		put = append(put, row)
		for _, row := range old.rows() {
			if p.config.dropOld {
				remove = append(remove, row)
			} else if row.Partition >= 0 {
				row.Owner, row.Wanted = "", ""
				row.Token++
				put = append(put, row)
			}
		}
	}
	if err := p.step(ctx, true, func(ctx context.Context) error {
		if err := p.config.checkpoints.Update(ctx, put, remove); err != nil || !p.config.dropOld || old == nil {
			return err
		}
		return p.config.checkpoints.DeleteParked(ctx, p.name, old.row.Version)
	}); err != nil {
		return err
	}
	p.config.logger.InfoContext(ctx, "projection: version has taken over", slog.Int("from", s.head.Active))
	return nil
}

// step writes in a transaction, where there are any, after the application's function if
// the version becomes the active one.
func (p *Projection) step(ctx context.Context, activates bool, write func(ctx context.Context) error) error {
	l := newLimit(ctx, p.config.timeout)
	defer l.stop()
	run := func(ctx context.Context) error {
		if activates {
			l.pause()
			err := p.callTakeover(ctx)
			l.resume()
			if err != nil {
				return err
			}
		}
		return write(ctx)
	}
	if p.config.transactor == nil {
		return l.explain(run(l.ctx))
	}
	return l.explain(p.config.transactor.Transact(l.ctx, run))
}
