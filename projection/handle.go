package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/eventsource-go/eventsource"
)

// handle handles events and moves the checkpoint to the position. What is handled at
// once is either all silent or all not.
func (w *worker) handle(ctx context.Context, items []item, position string) error {
	for len(items) > 0 {
		n := 1
		silent := w.isSilent(&items[0].record)
		for n < len(items) && w.isSilent(&items[n].record) == silent {
			n++
		}
		reached := items[n-1].record.SequenceID
		if n == len(items) {
			reached = max(reached, position)
		}
		handling := ctx
		if silent {
			handling = withSilence(ctx)
		}
		if err := w.handleAlike(handling, items[:n], reached); err != nil {
			return err
		}
		items = items[n:]
	}
	w.position = max(w.position, position) // stored when there is time
	return nil
}

// handleAlike handles events that are silent or not, however often it takes. What
// fails for good is parked or skipped, or ends the projection.
func (w *worker) handleAlike(ctx context.Context, items []item, position string) error {
	var (
		between = newPauses(w.config.minBackoff, w.config.maxBackoff)
		tries   int
		most    = len(items) // to handle at once
		alone   bool         // each event is
	)
	for len(items) > 0 {
		n, reached := w.portion(items, most), position
		if n < len(items) {
			reached = items[n-1].record.SequenceID
		}
		done, err := w.attempt(ctx, items[:n], reached)
		items = items[done:]
		if done > 0 {
			tries = 0
			between.Reset()
		}
		if err == nil {
			if !alone {
				most = len(items)
			}
			continue
		}
		var failed *failedError
		if ctx.Err() != nil || !errors.As(err, &failed) {
			return err
		}
		if w.leaseLeft() <= 0 { // the process was frozen, and what it then found broken is no fault of the event
			return errLeaseLost
		}
		if failed.index > 0 { // those before it first, alone
			most = failed.index
			continue
		}
		tries++
		if tries < w.config.tries && !failed.permanent() {
			w.stats.retried(failed.err)
			pause := between.NextBackOff()
			w.config.logger.WarnContext(ctx, "projection: event failed, will try again", slog.Any("error", failed.err),
				slog.String("sequence_id", items[0].record.SequenceID), slog.String("aggregate_id", items[0].record.AggregateID),
				slog.String("type", items[0].record.Type), slog.Int("tries", tries), slog.Duration("in", pause))
			if err := w.wait(ctx, pause, nil); err != nil {
				return err
			}
			continue
		}
		if w.config.onFailure != Stop && failed.index < 0 && n > 1 { // find out which it is
			most, alone, tries = 1, true, 0
			between.Reset()
			continue
		}
		first := max(0, slices.IndexFunc(items, func(it item) bool { return it.park == nil && !it.isNothing() })) // the handler got no other before
		if err := w.giveUp(ctx, &items[first], tries, failed.err); err != nil {
			return err
		}
		tries = 0
		between.Reset()
	}
	return nil
}

// maxParked is the most events that are parked at once: a transaction of DynamoDB has 100
// items.
const maxParked = 50

// portion is how many of the events to handle at once: at most those before one that
// cannot be decoded, or that one alone.
func (w *worker) portion(items []item, most int) int {
	parked := 0
	for i := range min(most, len(items)) {
		it := &items[i]
		behind := w.parked[it.record.AggregateID] && !it.isNothing()
		if it.park != nil || behind {
			if parked++; parked > maxParked {
				return i
			}
		}
		if it.park == nil && behind {
			it.park = w.record(it, StateParked, 0, "")
		}
		if it.err != nil && it.park == nil {
			return max(i, 1)
		}
	}
	return min(most, len(items))
}

// failedError is what a handler, or the decoding, returned.
type failedError struct {
	// index is which of the events that were attempted failed, -1 if that is not known.
	index int
	err   error
}

func (e *failedError) Error() string { return e.err.Error() }
func (e *failedError) Unwrap() error { return e.err }

func (e *failedError) permanent() bool {
	var permanent *permanentError
	return errors.As(e.err, &permanent)
}

// attempt handles events once and moves the checkpoint. It returns how many of the
// events are done with: all of them, if there is no error.
func (w *worker) attempt(ctx context.Context, items []item, position string) (done int, err error) {
	if items[0].err != nil && items[0].park == nil {
		return 0, &failedError{index: 0, err: Permanent(items[0].err)}
	}
	move := Move{Position: position, LastEvent: items[len(items)-1].record.SequenceID}
	events := make([]eventsource.Event, 0, len(items))
	at := make([]int, 0, len(items)) // the item of each event
	for i := range items {
		if park := items[i].park; park != nil {
			move.Park = append(move.Park, *park)
			continue
		}
		move.Handled++
		for _, event := range items[i].events {
			events, at = append(events, event), append(at, i)
		}
	}
	finish := w.stats.handling(&ctx, w, items, len(events))
	err = w.handleAndMove(ctx, events, move)
	var failed *failedError
	if errors.As(err, &failed) && failed.index >= 0 {
		failed.index = at[failed.index]
	}
	finish(err)
	if err == nil {
		w.row.LastEvent = move.LastEvent
		w.countAll(items)
		w.moved(position)
		return len(items), nil
	}
	if failed == nil || failed.index <= 0 || isTransactional(w.handler) {
		return 0, err
	}
	// Those before it need not be handled again.
	n := failed.index
	part := Move{Position: items[n-1].record.SequenceID, LastEvent: items[n-1].record.SequenceID}
	for i := range items[:n] {
		if items[i].park != nil {
			part.Park = append(part.Park, *items[i].park)
		} else {
			part.Handled++
		}
	}
	ctx, cancel := detached(ctx, w.config.lease) // also if the projection is to end
	defer cancel()
	if err := w.move(ctx, part); err != nil {
		return 0, err
	}
	w.row.LastEvent = part.LastEvent
	w.countAll(items[:n])
	w.stats.done(items[:n])
	failed.index = 0
	return n, failed
}

// countAll counts those events that were parked.
func (w *worker) countAll(items []item) {
	for i := range items {
		if park := items[i].park; park != nil {
			w.countParked(park.State, 1)
		}
	}
}

// handleAndMove calls the handler and moves the checkpoint, both in one transaction
// if the handler wants that.
func (w *worker) handleAndMove(ctx context.Context, events []eventsource.Event, move Move) error {
	var failed *failedError
	late := false // the handler
	handle := func(ctx context.Context) error {
		if len(events) == 0 {
			return nil
		}
		if w.config.handlerTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, w.config.handlerTimeout, errHandlerTooSlow)
			defer cancel()
		}
		err := call(ctx, w.handler, events)
		late = errors.Is(context.Cause(ctx), errHandlerTooSlow)
		if err != nil {
			failed = &failedError{index: -1, err: err}
			var partial *partialError
			switch {
			case errors.As(err, &partial) && partial.n >= 0 && partial.n < len(events):
				failed.index = partial.n
				if err == error(partial) { //nolint:errorlint // what is around it stays
					failed.err = partial.err
				}
			case len(events) == 1:
				failed.index = 0
			}
			return failed
		}
		return nil
	}
	if !isTransactional(w.handler) {
		if err := handle(ctx); err != nil {
			return err
		}
		// What is handled is handled, also if the projection is to end.
		ctx, cancel := detached(ctx, w.config.lease)
		defer cancel()
		if _, err := w.advance(ctx, move); err != nil {
			return fmt.Errorf("move the checkpoint: %w", err)
		}
		return nil
	}
	l := newLimit(ctx, w.config.timeout)
	defer l.stop()
	began := time.Now()
	var ack Ack
	err := w.config.transactor.Transact(l.ctx, func(ctx context.Context) (err error) {
		l.pause()
		err = handle(ctx)
		l.resume()
		if err != nil {
			return err
		}
		began = time.Now()
		ack, err = w.config.checkpoints.Advance(ctx, w.complete(move))
		return err
	})
	switch err = l.explain(err); {
	case err == nil:
		w.acknowledged(began, ack)
		return nil
	case failed != nil && (late || err == error(failed)): //nolint:errorlint // as it was returned, whatever it wraps; one that is late breaks its connection
		return failed
	case errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFenced):
		return fmt.Errorf("handle events: %w", hide(err))
	case failed != nil:
		return failed
	default: // as with a constraint that is only checked when the transaction commits
		return &failedError{index: -1, err: err}
	}
}

// errHandlerTooSlow is why a handler's context ended that took longer than it may.
var errHandlerTooSlow = errors.New("eventsource/projection: handler took too long")

// hide keeps a handler's error from being taken for one: it says nothing about the event.
func hide(err error) error {
	if errors.Is(err, ErrFenced) {
		return &hiddenError{ErrFenced, err.Error()}
	}
	return &hiddenError{ErrUnavailable, err.Error()}
}

// hiddenError is one of two errors, whatever its text says.
type hiddenError struct {
	is   error
	text string
}

func (e *hiddenError) Error() string { return e.text }
func (e *hiddenError) Unwrap() error { return e.is }

// giveUp does with an event what is to be done with one that was tried often enough.
func (w *worker) giveUp(ctx context.Context, it *item, tries int, cause error) error {
	err := &EventError{
		Projection: w.name, Version: w.row.Version, SequenceID: it.record.SequenceID, AggregateID: it.record.AggregateID,
		AggregateVersion: it.record.Version, Type: it.record.Type, Tries: tries, Err: cause,
	}
	switch w.config.onFailure {
	case Skip:
		it.park = w.record(it, StateSkipped, tries, textOf(cause))
	case Park:
		it.park = w.record(it, StateParked, tries, textOf(cause))
		w.parked[it.record.AggregateID] = true
	default:
		return err
	}
	w.recorded = true
	w.stats.failed(err)
	w.config.logger.ErrorContext(ctx, "projection: event is "+string(it.park.State), slog.Any("error", cause),
		slog.String("sequence_id", it.record.SequenceID), slog.String("aggregate_id", it.record.AggregateID),
		slog.String("type", it.record.Type), slog.Int("tries", tries))
	return nil
}

// maxErrorText is the most bytes of an error that are kept.
const maxErrorText = 4 << 10

func (w *worker) record(it *item, state ParkedState, tries int, cause string) *Parked {
	return &Parked{
		Name: w.name, Version: w.row.Version,
		SequenceID: it.record.SequenceID, AggregateID: it.record.AggregateID, AggregateVersion: it.record.Version, Type: it.record.Type,
		State: state, Error: cause, Tries: tries, Time: time.Now(),
	}
}
