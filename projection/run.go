package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/eventsource-go/eventsource"
)

// Run handles events until the context ends, and then returns nil. It first catches up
// with what there is, and then follows what is saved. Any number of processes may run
// a projection of the same name and version; each of its partitions is worked on by one
// of them, and another one takes over when that one ends, dies, freezes or is cut off.
//
// The handler's context ends with that of Run, and when another process has taken over.
//
// Errors that end it: [EventError], [DivergedError], [DefinitionError], [ErrSuperseded],
// [eventsource.ErrMisconfigured]. When the store or the checkpoints cannot be
// reached Run tries again for as long as it takes, and logs that. A Projection can be run
// once at a time.
func (p *Projection) Run(ctx context.Context) (err error) {
	if p.err != nil {
		return p.err
	}
	if !p.running.CompareAndSwap(false, true) {
		return misconfigured("%q is running already; make another one with New", p.name)
	}
	defer p.running.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &runner{
		Projection: p,
		contender:  newContender(p.config.checkpoints, newOwner(), p.config.lease),
		workers:    make(map[int]*worker),
		ended:      make(chan *worker),
		pauses:     newPauses(100*time.Millisecond, 5*time.Second),
	}
	r.takeover = newContender(p.config.checkpoints, r.contender.owner+"/takeover", p.config.lease)
	p.stats.begin(r.contender.owner)
	defer func() { p.stats.end(err) }()
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel()
	background.Go(func() { r.watch(ctx) })
	background.Go(func() { p.stats.sample(ctx) })
	err = r.run(ctx)
	r.stop(cancel)
	return err
}

// runner is a projection that runs.
type runner struct {
	*Projection
	contender *contender
	takeover  *contender // for the leases of the active version, when this one takes over
	pauses    *backoff.ExponentialBackOff

	mu      sync.Mutex      // guards workers against watch
	workers map[int]*worker // by partition
	ended   chan *worker

	registered    bool // the version has rows, or somebody has dropped them
	repartitioned bool // the number of partitions is the one that is wanted, or was made so
	due           time.Duration
	stuckAt       string // where the version was when it did not get level with the active one, "" if it did
}

// run looks after the leases until the context ends or the projection has to stop.
func (r *runner) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case w := <-r.ended:
			r.remove(w)
			if err := r.afterWorker(ctx, w); err != nil {
				return err
			}
			timer.Reset(r.due)
		case <-timer.C:
			if err := r.look(ctx); err != nil {
				return err
			}
			timer.Reset(r.due)
		}
	}
}

// afterWorker says what the end of a worker means: an error ends the projection.
func (r *runner) afterWorker(ctx context.Context, w *worker) error {
	r.due = 0
	switch {
	case ctx.Err() != nil || w.err == nil:
		return nil
	case errors.Is(w.err, ErrEventFailed): // whatever else the handler's error is
		return w.err
	case errors.Is(w.err, ErrFenced):
		r.config.logger.WarnContext(ctx, "projection: lease was lost", slog.Any("error", w.err), slog.Int("partition", w.row.Partition))
		return nil
	case endsRun(w.err):
		return w.err
	}
	if w.fine {
		r.pauses.Reset()
	}
	r.stats.failed(w.err)
	r.due = r.pauses.NextBackOff()
	r.config.logger.WarnContext(ctx, "projection: interrupted, will go on",
		slog.Any("error", w.err), slog.Int("partition", w.row.Partition), slog.Duration("in", r.due))
	return nil
}

// endsRun reports whether an error will not go away by itself.
func endsRun(err error) bool {
	for _, final := range []error{ErrEventFailed, ErrDiverged, ErrDefinitionChanged, ErrSuperseded, eventsource.ErrMisconfigured} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}

// look sees to it that all partitions are worked on, here or elsewhere, and sets when
// to look again.
func (r *runner) look(ctx context.Context) error {
	err := r.tryLook(ctx)
	switch {
	case err == nil || ctx.Err() != nil:
		return nil
	case endsRun(err):
		return err
	case errors.Is(err, ErrStale), errors.Is(err, ErrFenced):
		r.due = r.config.lease / 100
		return nil
	}
	r.stats.failed(err)
	r.due = r.pauses.NextBackOff()
	r.config.logger.WarnContext(ctx, "projection: checkpoints failed, will try again",
		slog.Any("error", err), slog.Duration("in", r.due))
	return nil
}

func (r *runner) tryLook(ctx context.Context) error {
	s, err := r.register(ctx)
	if err != nil {
		return err
	}
	v := s.versions[r.config.version]
	r.stats.split(len(v.partitions))
	if !r.repartitioned && v.data.Partitions != r.config.partitions {
		if err := r.repartition(ctx, r.contender); err != nil {
			return err
		}
		r.due = 0
		r.repartitioned = true
		return nil
	}
	r.repartitioned = true
	r.due = r.config.lease / 3
	if err := r.acquire(ctx, v); err != nil {
		return err
	}
	r.tryTakeOver(ctx, s, v)
	if len(r.workers) == len(v.partitions) && s.head.Active == r.config.version {
		r.due = time.Hour // whatever happens, a worker will notice it
	}
	return nil
}

// tryTakeOver takes over if that is due, in the process that works on the first partition.
func (r *runner) tryTakeOver(ctx context.Context, s *state, v *version) {
	_, first := r.workers[0]
	if !first || !r.mayTakeOver(s) || r.stuckAt != "" && r.stuckAt == v.position() {
		return
	}
	err := r.takeOver(ctx, s, r.takeover)
	if r.stuckAt = ""; errors.Is(err, errNotLevel) {
		r.stuckAt = v.position()
	}
	if err != nil && !errors.Is(err, ErrStale) && ctx.Err() == nil {
		r.config.logger.WarnContext(ctx, "projection: takeover failed, will try again", slog.Any("error", err))
	}
}

// acquire takes the leases that are free, and asks for one where others have more.
func (r *runner) acquire(ctx context.Context, v *version) error {
	var free []Row
	for i := range v.partitions {
		row := &v.partitions[i].row
		if _, mine := r.workers[row.Partition]; mine {
			continue
		}
		if wait := r.contender.freeIn(row); wait > 0 {
			r.due = min(r.due, wait)
			continue
		}
		free = append(free, *row)
	}
	taken, err := r.contender.acquire(ctx, free)
	if startErr := r.startAll(ctx, taken); err != nil || startErr != nil {
		return errors.Join(err, startErr)
	}
	if len(taken) < len(free) {
		r.due = min(r.due, r.config.lease/100)
	}
	return r.balance(ctx, v)
}

// startAll starts workers on partitions whose leases were taken. What goes with their rows is
// only certain from now on, for a Load is no snapshot.
func (r *runner) startAll(ctx context.Context, taken []Row) error {
	if len(taken) == 0 {
		return nil
	}
	s, err := loadState(ctx, r.config.checkpoints, r.name)
	if err != nil {
		return err // the leases are this owner's, who takes them again
	}
	v := s.versions[r.config.version]
	if v == nil {
		return nil
	}
	for i := range v.partitions {
		row := &v.partitions[i].row
		if slices.ContainsFunc(taken, func(t Row) bool { return t.key() == row.key() && t.Token == row.Token }) {
			r.start(ctx, s, v, v.partitions[i])
		}
	}
	return nil
}

// balance asks whoever has most partitions for one, if that is at least two more than
// there are here.
func (r *runner) balance(ctx context.Context, v *version) error {
	count := make(map[string]int)
	var most *Row
	for i := range v.partitions {
		row := &v.partitions[i].row
		if row.Wanted == r.contender.owner {
			return nil // one at a time
		}
		count[row.Owner]++
		if row.Owner != "" && row.Owner != r.contender.owner && row.Wanted == "" && (most == nil || count[row.Owner] > count[most.Owner]) {
			most = row
		}
	}
	if most == nil || count[most.Owner] < len(r.workers)+2 {
		return nil
	}
	return r.contender.want(ctx, []Row{*most})
}

// start starts a worker.
func (r *runner) start(ctx context.Context, s *state, v *version, part partition) {
	w := newWorker(r, s, v, part)
	r.mu.Lock()
	r.workers[part.row.Partition] = w
	r.mu.Unlock()
	r.stats.owns(part.row.Partition, part.row.Position)
	r.config.logger.InfoContext(ctx, "projection: partition is worked on here",
		slog.Int("partition", part.row.Partition), slog.String("position", part.row.Position))
	go func() {
		w.err = fmt.Errorf("%w: the handler ended its goroutine (runtime.Goexit), as FailNow of a test does", ErrEventFailed)
		defer func() { r.ended <- w }()
		w.err = w.run(ctx)
	}()
}

func (r *runner) remove(w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.workers, w.row.Partition)
	r.stats.lost(w.row.Partition)
}

// stop ends all workers and waits for them, so that nothing is left running.
func (r *runner) stop(cancel context.CancelFunc) {
	cancel()
	for len(r.workers) > 0 {
		r.remove(<-r.ended)
	}
}

// watch wakes the workers when there may be new events.
func (r *runner) watch(ctx context.Context) {
	watcher, ok := r.feed.Store().(eventsource.Watcher)
	if !ok {
		return
	}
	again := newPauses(100*time.Millisecond, 5*time.Second)
	for {
		wake, err := watcher.Watch(ctx)
		if err == nil {
			r.stats.watching.Store(true)
			r.wakeAll()      // for what was saved before it watched
			for range wake { // until ctx ends
				r.wakeAll()
			}
			r.stats.watching.Store(false)
		}
		if errors.Is(err, errors.ErrUnsupported) || ctx.Err() != nil {
			return
		}
		r.config.logger.WarnContext(ctx, "projection: store cannot wake, polling for now", slog.Any("error", err))
		if sleep(ctx, again.NextBackOff()) != nil {
			return
		}
	}
}

func (r *runner) wakeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		select {
		case w.wake <- struct{}{}:
		default: // it has a wake-up waiting
		}
	}
}

// newPauses gives pauses between tries, longer each time.
func newPauses(first, longest time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier = first, longest, 2
	b.Reset()
	return b
}
