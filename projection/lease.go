package projection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// contender takes leases in the name of one owner.
//
// No clock is ever compared with another one. An owner shows that it lives by
// raising the Revision of its row; who has watched the same Revision for the TTL
// of the row, by its own monotonic clock, may take over. The owner gives up by
// its own clock, earlier than that; and should it not, for instance because it was frozen, the
// Token of its writes is no longer that of the row.
type contender struct {
	checkpoints Checkpoints
	owner       string
	ttl         time.Duration
	seen        map[rowKey]sighting
}

// sighting is a row's Revision, and since when it has been seen.
type sighting struct {
	revision int64
	since    time.Time
}

func newContender(checkpoints Checkpoints, owner string, ttl time.Duration) *contender {
	return &contender{checkpoints: checkpoints, owner: owner, ttl: ttl, seen: make(map[rowKey]sighting)}
}

// freeIn is in how long the lease may be taken, as far as is known; 0 for now.
func (c *contender) freeIn(row *Row) time.Duration {
	if row.Owner == "" || row.Owner == c.owner {
		return 0
	}
	now := time.Now()
	seen, ok := c.seen[row.key()]
	if !ok || seen.revision != row.Revision {
		seen = sighting{row.Revision, now}
		c.seen[row.key()] = seen
	}
	return max(0, seen.since.Add(row.TTL).Sub(now))
}

// acquire takes the leases of rows, and gives those that are as they were loaded, and so
// are taken now.
func (c *contender) acquire(ctx context.Context, rows []Row) ([]Row, error) {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Owner, rows[i].Wanted, rows[i].TTL = c.owner, "", c.ttl
		rows[i].Token++
	}
	return c.update(ctx, rows)
}

// want asks the owners of rows for the leases. It may fail for a row that changes all the
// time; whoever wants it tries again.
func (c *contender) want(ctx context.Context, rows []Row) error {
	wanted := make([]Row, 0, len(rows))
	for _, row := range rows {
		if row.Wanted != c.owner {
			row.Wanted = c.owner
			wanted = append(wanted, row)
		}
	}
	_, err := c.update(ctx, wanted)
	return err
}

// update writes rows, all at once if it can, and gives those that had not changed.
func (c *contender) update(ctx context.Context, rows []Row) (written []Row, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	err = c.checkpoints.Update(ctx, rows, nil)
	switch {
	case err == nil:
		written = slices.Clone(rows)
		for i := range written {
			written[i].Revision++
		}
		return written, nil
	case !errors.Is(err, ErrStale):
		return nil, err
	case len(rows) == 1:
		return nil, nil
	}
	for i := range rows {
		one, err := c.update(ctx, rows[i:i+1])
		if err != nil {
			return written, err
		}
		written = append(written, one...)
	}
	return written, nil
}

// release gives up the lease under a token, to who wants it.
func (c *contender) release(ctx context.Context, key rowKey, token int64) error {
	for {
		rows, err := c.checkpoints.Load(ctx, key.name)
		if err != nil {
			return err
		}
		row, ok := find(rows, key)
		if !ok || row.Owner != c.owner || row.Token != token {
			return nil // it is somebody else's
		}
		row.Owner, row.Wanted = row.Wanted, ""
		row.Token++
		if err := c.checkpoints.Update(ctx, []Row{row}, nil); !errors.Is(err, ErrStale) {
			return err
		}
	}
}

func find(rows []Row, key rowKey) (Row, bool) {
	for _, row := range rows {
		if row.key() == key {
			return row, true
		}
	}
	return Row{}, false
}

// hold is all leases of one version in one hand: its positions stay where they are.
type hold struct {
	*contender
	name    string
	version int
	renewed time.Time
}

// takeAll takes all leases of a version. It asks those who have them, and takes them
// from those who do not answer.
func (c *contender) takeAll(ctx context.Context, name string, number int) (*hold, *state, error) {
	h := &hold{contender: c, name: name, version: number, renewed: time.Now()}
	for {
		s, err := loadState(ctx, c.checkpoints, name)
		if err != nil {
			return nil, nil, err
		}
		v := s.versions[number]
		if v == nil {
			return nil, nil, fmt.Errorf("%w: version %d of projection %q", ErrUnknown, number, name)
		}
		missing, err := h.take(ctx, v)
		if err != nil {
			return nil, nil, err
		}
		if missing == 0 {
			return h, s, nil
		}
		if err := h.renew(ctx, s); err != nil && !errors.Is(err, ErrFenced) { // who lost one takes it again
			return nil, nil, err
		}
		if err := sleep(ctx, c.ttl/50+rand.N(c.ttl/50)); err != nil { //nolint:gosec // jitter
			return nil, nil, err
		}
	}
}

// take takes those leases that are free, and says how many others there are. The
// first one is that of the version itself, so that of two who want all leases none
// waits for the other.
func (h *hold) take(ctx context.Context, v *version) (missing int, err error) {
	if v.row.Owner != h.owner {
		if h.freeIn(&v.row) == 0 {
			_, err = h.acquire(ctx, []Row{v.row})
		}
		return 1, err // also if it was taken: the state is loaded again
	}
	var free, others []Row
	for i := range v.partitions {
		switch row := v.partitions[i].row; {
		case row.Owner == h.owner:
		case h.freeIn(&row) == 0:
			free = append(free, row)
		default:
			others = append(others, row)
		}
	}
	if _, err := h.acquire(ctx, free); err != nil {
		return 0, err
	}
	return len(free) + len(others), h.want(ctx, others)
}

// renew says that the owner lives, if it is time for that.
func (h *hold) renew(ctx context.Context, s *state) error {
	if time.Since(h.renewed) < h.ttl/4 {
		return nil
	}
	v := s.versions[h.version]
	if v == nil {
		return ErrFenced
	}
	if v.row.Owner != h.owner {
		return nil // somebody else is to have all: what is held here ends by itself
	}
	for _, row := range v.rows() {
		if row.Owner != h.owner {
			continue
		}
		move := Move{Name: row.Name, Version: row.Version, Partition: row.Partition, Token: row.Token}
		if _, err := h.checkpoints.Advance(ctx, move); err != nil {
			return err
		}
	}
	h.renewed = time.Now()
	return nil
}

// owns reports whether all leases of the version are held.
func (h *hold) owns(s *state) bool {
	v := s.versions[h.version]
	if v == nil {
		return false
	}
	return !slices.ContainsFunc(v.rows(), func(row Row) bool { return row.Owner != h.owner })
}

// releaseAll gives the leases back, as far as that is possible.
func (h *hold) releaseAll(ctx context.Context) {
	ctx, cancel := detached(ctx, releaseTimeout)
	defer cancel()
	s, err := loadState(ctx, h.checkpoints, h.name)
	if err != nil {
		return // they end by themselves
	}
	if v := s.versions[h.version]; v != nil {
		var mine []Row
		for _, row := range v.rows() {
			if row.Owner == h.owner {
				row.Owner, row.Wanted = row.Wanted, ""
				row.Token++
				mine = append(mine, row)
			}
		}
		_, _ = h.update(ctx, mine)
	}
}

// releaseTimeout is how long a process that ends tries to give back its leases.
const releaseTimeout = 2 * time.Second

// detached is for what has to be done whatever becomes of the context.
func detached(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), timeout)
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
