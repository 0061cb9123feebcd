package projection

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/eventsource-go/eventsource"
)

const (
	// maxBatchBytes is the most data that a batch has, but for its last event.
	maxBatchBytes = 4 << 20
	// idleMove is how often a position is stored that no event was handled for.
	idleMove = 100 * time.Millisecond
	// firstQuiet is when to look again after there was something: a transaction that
	// was open then may have held back events, and wakes nobody when it is rolled back. The next
	// look takes three times as long, and so on.
	firstQuiet = 20 * time.Millisecond
	// candidatePoll is how often a version that is not active looks how far the active
	// one is.
	candidatePoll = 250 * time.Millisecond
)

var errLeaseLost error = &hiddenError{ErrFenced, "eventsource/projection: lease could not be renewed in time"}

// worker works on a partition under one lease.
type worker struct {
	*runner
	row    Row
	data   partitionData
	silent []span // up to where events are handled silently
	active bool   // this version is the active one
	bound  string // how far a version that is not active may go

	wake     chan struct{}
	position string // up to here all is handled
	stored   string // the position of the checkpoint
	advanced time.Time
	quiet    time.Duration   // until the next look after a wake-up
	parked   map[string]bool // aggregates
	waiting  int64           // parked events
	recorded bool            // events are parked or skipped
	looked   time.Time       // when for requests

	mu      sync.Mutex
	renewed time.Time
	wanted  bool          // by somebody else
	asked   chan struct{} // closed then

	fine bool  // it has made a pass, or handled something
	err  error // what it ended with
}

func newWorker(r *runner, s *state, v *version, part partition) *worker {
	return &worker{
		runner: r, row: part.row, data: part.data, silent: v.data.Silent, active: s.head.Active == r.config.version,
		wake: make(chan struct{}, 1), asked: make(chan struct{}), position: part.row.Position, stored: part.row.Position,
		parked: make(map[string]bool), renewed: time.Now(),
	}
}

// run handles events until the context ends, the lease is lost or wanted, or
// something fails.
func (w *worker) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { w.renew(ctx, cancel) })
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, ErrFenced) {
			err = cause
		} else if errors.Is(err, errHandOver) {
			err = nil
		}
		cancel(nil)
		renewing.Wait()
		w.giveBack(ctx, err)
	}()
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := w.loadParked(ctx); err != nil {
		return err
	}
	for {
		from := w.position
		if err := w.pass(ctx); err != nil {
			return err
		}
		if w.position > from {
			w.quiet = firstQuiet
		}
		if err := w.obey(ctx); err != nil {
			return err
		}
		wait, err := w.storeIdleMove(ctx)
		if err != nil {
			return err
		}
		w.fine = true
		if err := w.wait(ctx, wait, w.wake); err != nil {
			return err
		}
	}
}

// giveBack releases the lease, if it is still there and the worker is not to go on.
func (w *worker) giveBack(ctx context.Context, err error) {
	if errors.Is(err, ErrFenced) && !errors.Is(err, ErrEventFailed) {
		return
	}
	ctx, cancel := detached(ctx, releaseTimeout)
	defer cancel()
	_ = w.contender.release(ctx, w.row.key(), w.row.Token) // otherwise it ends by itself
}

// renew says that the owner lives until the context ends, and ends it with the lease.
func (w *worker) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	interval := w.config.lease * 2 / 5
	for {
		left := w.leaseLeft()
		if left <= 0 {
			cancel(errLeaseLost)
			return
		}
		if next := left - w.config.lease + interval; next > 0 {
			if sleep(ctx, next) != nil {
				return
			}
			continue
		}
		attempt, done := context.WithTimeout(ctx, left)
		_, err := w.advance(attempt, Move{})
		done()
		switch {
		case errors.Is(err, ErrFenced):
			cancel(err)
			return
		case err != nil && sleep(ctx, min(left, interval/4)) != nil:
			return
		}
	}
}

// leaseLeft is for how long the lease is certain, if it is not renewed.
func (w *worker) leaseLeft() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Until(w.renewed.Add(w.config.lease))
}

// advance moves the checkpoint. That also renews the lease.
func (w *worker) advance(ctx context.Context, move Move) (Ack, error) {
	began := time.Now()
	ack, err := w.config.checkpoints.Advance(ctx, w.complete(move))
	if err == nil {
		w.acknowledged(began, ack)
	}
	return ack, err
}

// complete says whose move it is.
func (w *worker) complete(move Move) Move {
	move.Name, move.Version, move.Partition, move.Token = w.row.Name, w.row.Version, w.row.Partition, w.row.Token
	return move
}

// acknowledged notes that a move which began at some time was made.
func (w *worker) acknowledged(began time.Time, ack Ack) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.renewed = began
	if !w.wanted && ack.Wanted != "" {
		w.wanted = true
		close(w.asked)
	}
}

func (w *worker) isWanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}

// check sees that the store has what was handled.
func (w *worker) check(ctx context.Context) error {
	l := newLimit(ctx, w.config.timeout)
	defer l.stop()
	return l.explain(w.compare(l.ctx))
}

// compare compares the row with the store's events.
func (w *worker) compare(ctx context.Context) error {
	var head string
	if reporter, ok := w.feed.Store().(eventsource.HorizonReporter); ok {
		horizon, err := reporter.Horizon(ctx)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("read the horizon: %w", err)
		}
		head = horizon.Head
		if err == nil && head < max(w.position, w.row.LastEvent) {
			return w.diverged(head)
		}
	}
	if w.row.LastEvent == "" {
		return nil
	}
	// If there is nothing to read, an open transaction may hold back what was read before.
	query := eventsource.Query{After: before(w.row.LastEvent), Limit: 1}
	for record, err := range w.feed.Records(ctx, query) {
		if err != nil {
			return fmt.Errorf("look for the last event that was handled: %w", err)
		}
		if record.SequenceID != w.row.LastEvent {
			return w.diverged(head)
		}
	}
	return nil
}

func (w *worker) diverged(head string) error {
	return &DivergedError{Projection: w.name, Version: w.row.Version, Position: w.position, LastEvent: w.row.LastEvent, Head: head}
}

// pass handles the events that there are.
func (w *worker) pass(ctx context.Context) error {
	if !w.active {
		if err := w.follow(ctx); err != nil {
			return err
		}
		if !w.active && w.bound <= w.position {
			w.stats.level(w.row.Partition, w.position, true)
			return nil
		}
	}
	end := ""
	query := eventsource.Query{After: w.position, Types: w.definition}
	if _, ok := w.feed.Store().(eventsource.Follower); !ok {
		query.Types = nil // what is left out here is known to have been passed
	}
	b := batch{}
	beyond := false
	l := newLimit(ctx, w.config.timeout)
	defer l.stop()
	for record, err := range w.feed.Follow(l.ctx, query, func(sequenceID string) { end = sequenceID }) {
		if err != nil {
			return fmt.Errorf("read events: %w", l.explain(err))
		}
		l.resume()
		if beyond = !w.active && record.SequenceID > w.bound; beyond {
			break
		}
		b.add(w, record)
		if !b.full(w.config.batchSize) {
			continue
		}
		l.pause()
		if err := w.handle(ctx, b.items, b.reached); err != nil {
			return err
		}
		if w.isWanted() {
			return nil
		}
		l.resume()
		b = batch{}
	}
	l.pause()
	if end != "" && end < w.position { // a writer whose clock is behind does that, and so does a restore
		if err := w.check(ctx); err != nil {
			return err
		}
	}
	if beyond {
		end = w.bound // all events up to there were read
	} else if !w.active {
		end = min(end, w.bound)
	}
	if err := w.handle(ctx, b.items, max(b.reached, end)); err != nil {
		return err
	}
	w.stats.level(w.row.Partition, w.position, !beyond)
	return nil
}

// follow loads how far the active version is, or that it is this one now.
func (w *worker) follow(ctx context.Context) error {
	s, err := loadState(ctx, w.config.checkpoints, w.name)
	if err != nil {
		return err
	}
	active, mine := s.active(), s.versions[w.row.Version]
	switch {
	case mine == nil:
		return fmt.Errorf("%w: the version was dropped", ErrFenced)
	case s.head.Active == w.row.Version:
		w.active, w.silent = true, mine.data.Silent
	case active == nil: // it was dropped, and this one takes over without it
		w.bound = w.position
	default:
		w.bound = active.position()
	}
	return nil
}

// batch gathers events to be handled at once.
type batch struct {
	items   []item
	events  int
	bytes   int
	read    int
	reached string
}

// item is a record to be handled. Mostly that is one event.
type item struct {
	record eventsource.Record
	events []eventsource.Event // those that the handler wants
	err    error               // why it cannot be decoded
	park   *Parked
}

// isNothing reports whether the handler has nothing to do with the record.
func (it *item) isNothing() bool { return it.err == nil && len(it.events) == 0 }

// add takes an event if it belongs to the partition and is wanted.
func (b *batch) add(w *worker, record eventsource.Record) {
	b.read++
	b.reached = record.SequenceID
	slot := slotOf(record.AggregateID)
	if slot < w.data.From || slot >= w.data.To || record.SequenceID <= positionIn(w.data.Ahead, slot) {
		return
	}
	if len(w.definition) > 0 {
		if _, wanted := slices.BinarySearch(w.definition, record.Type); !wanted {
			return
		}
	}
	it := item{record: record}
	it.events, it.err = w.decode(&record)
	b.events += max(1, len(it.events))
	b.bytes += len(record.Data)
	it.record.Data = nil
	b.items = append(b.items, it)
}

// decode decodes a record. A serializer may panic, as a handler may.
func (w *worker) decode(record *eventsource.Record) (events []eventsource.Event, err error) {
	err = recovered(func() (err error) {
		events, err = w.feed.Events(record, w.types...)
		return err
	})
	return events, err
}

// full reports whether the batch is to be handled. One that has read much for nothing
// is, so that its position is not lost.
func (b *batch) full(size int) bool {
	return b.events >= size || b.bytes >= maxBatchBytes || b.read/20 >= size
}

// isSilent reports whether an event is to be handled silently.
func (w *worker) isSilent(record *eventsource.Record) bool {
	return w.config.silent || !w.active || record.SequenceID <= positionIn(w.silent, slotOf(record.AggregateID))
}

// storeIdleMove stores a position that moved without any event handled, and says how
// long to wait until the next pass.
func (w *worker) storeIdleMove(ctx context.Context) (time.Duration, error) {
	wait := w.config.pollInterval
	if !w.stats.watching.Load() {
		wait /= 2
	}
	if !w.active {
		wait = min(wait, candidatePoll)
	}
	if w.quiet > 0 && w.quiet < wait {
		wait = w.quiet
		w.quiet *= 3
	}
	if w.recorded {
		wait = min(wait, w.config.lease/3) // someone may ask for a retry
	}
	if w.position <= w.stored {
		return wait, nil
	}
	if since := time.Since(w.advanced); since < idleMove {
		return min(wait, idleMove-since), nil
	}
	return wait, w.move(ctx, Move{Position: w.position})
}

// move advances and keeps what was stored.
func (w *worker) move(ctx context.Context, move Move) error {
	if _, err := w.advance(ctx, move); err != nil {
		return fmt.Errorf("move the checkpoint: %w", err)
	}
	w.moved(move.Position)
	return nil
}

// moved keeps what was stored.
func (w *worker) moved(position string) {
	w.fine = true
	w.stored, w.position = max(w.stored, position), max(w.position, position)
	w.advanced = time.Now()
	w.stats.moved(w.row.Partition, w.position)
}

// errHandOver ends a worker whose lease somebody else wants.
var errHandOver = errors.New("eventsource/projection: lease is handed over")

// wait waits, or until a wake-up comes, or until somebody else wants the lease.
func (w *worker) wait(ctx context.Context, d time.Duration, wake <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-w.asked:
		return errHandOver
	case <-wake:
		w.quiet = firstQuiet
	case <-timer.C:
	}
	return nil
}
