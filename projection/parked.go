package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource"
)

// textOf is what an error says, even if that panics, as with a nil pointer.
func textOf(cause error) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("%T whose text cannot be had: %v", cause, p)
		}
	}()
	return text(cause.Error())
}

// text is a text that can be stored everywhere, and is not too long.
func text(s string) string {
	if len(s) > maxErrorText {
		s = s[:maxErrorText] + "..."
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
}

// parkedPage is how many parked events are read at once.
const parkedPage = 1000

// loadParked finds out which aggregates of the partition have parked events. The
// owner of the partition alone changes that, until the lease ends.
func (w *worker) loadParked(ctx context.Context) error {
	query := ParkedQuery{Name: w.name, Version: w.row.Version, Limit: parkedPage}
	for {
		page, err := w.config.checkpoints.Parked(ctx, query)
		if err != nil {
			return fmt.Errorf("load parked events: %w", err)
		}
		for i := range page {
			if !w.has(page[i].AggregateID) {
				continue
			}
			w.recorded = true
			if page[i].State == StateParked {
				w.parked[page[i].AggregateID] = true
				w.countParked(StateParked, 1)
			}
		}
		if len(page) < parkedPage {
			return nil
		}
		query.After = page[len(page)-1].SequenceID
	}
}

// countParked counts the parked events of the partition.
func (w *worker) countParked(state ParkedState, more int64) {
	if state == StateParked {
		w.waiting += more
		w.stats.waits(w.row.Partition, w.waiting)
	}
}

// has reports whether the aggregate belongs to the partition.
func (w *worker) has(aggregateID string) bool {
	slot := slotOf(aggregateID)
	return w.data.From <= slot && slot < w.data.To
}

// obey does what was asked for with parked events.
func (w *worker) obey(ctx context.Context) error {
	if !w.recorded || time.Since(w.looked) < w.config.lease/3 {
		return nil
	}
	w.looked = time.Now()
	requested, err := w.config.checkpoints.Parked(ctx, ParkedQuery{Name: w.name, Version: w.row.Version, Requested: true, Limit: parkedPage})
	if err != nil {
		return fmt.Errorf("look for requests: %w", err)
	}
	if len(requested) == 0 {
		return nil
	}
	retried := make(map[string]bool)
	for i := range requested {
		p := &requested[i]
		switch {
		case !w.has(p.AggregateID):
		case p.Request == RequestDrop:
			if err := w.unpark(ctx, p); err != nil {
				return err
			}
		case !retried[p.AggregateID]:
			retried[p.AggregateID] = true
			if err := w.retry(ctx, p.AggregateID); err != nil {
				return err
			}
		}
	}
	left, err := w.config.checkpoints.Parked(ctx, ParkedQuery{Name: w.name, Version: w.row.Version, Limit: 1})
	if err != nil {
		return fmt.Errorf("load parked events: %w", err)
	}
	w.recorded = len(left) > 0
	return nil
}

// unpark forgets an event, and the aggregate if it was its last one.
func (w *worker) unpark(ctx context.Context, p *Parked) error {
	if err := w.move(ctx, Move{Unpark: []string{p.SequenceID}}); err != nil {
		return err
	}
	w.countParked(p.State, -1)
	return w.unparked(ctx, p.AggregateID)
}

// unparked sees whether the aggregate has parked events left.
func (w *worker) unparked(ctx context.Context, aggregateID string) error {
	const few = 100
	query := ParkedQuery{Name: w.name, Version: w.row.Version, AggregateID: aggregateID, Limit: few}
	for {
		page, err := w.config.checkpoints.Parked(ctx, query)
		if err != nil {
			return fmt.Errorf("load parked events: %w", err)
		}
		if slices.ContainsFunc(page, func(p Parked) bool { return p.State == StateParked }) {
			return nil
		}
		if len(page) < few {
			delete(w.parked, aggregateID)
			return nil
		}
		query.After = page[len(page)-1].SequenceID
	}
}

// retry handles the recorded events of an aggregate in order, up to the first one that
// fails again.
func (w *worker) retry(ctx context.Context, aggregateID string) error {
	all, err := w.config.checkpoints.Parked(ctx, ParkedQuery{Name: w.name, Version: w.row.Version, AggregateID: aggregateID})
	if err != nil {
		return fmt.Errorf("load parked events: %w", err)
	}
	for i := range all {
		if all[i].State == StateSkipped && all[i].Request != RequestRetry {
			continue
		}
		err := w.retryOne(ctx, &all[i])
		var failed *failedError
		if errors.As(err, &failed) && ctx.Err() == nil {
			return w.failedAgain(ctx, all[i:], failed)
		}
		if err != nil {
			return err
		}
	}
	return w.unparked(ctx, aggregateID)
}

// retryOne handles one parked event and forgets it.
func (w *worker) retryOne(ctx context.Context, p *Parked) error {
	record, err := within(ctx, w.config.timeout, func(ctx context.Context) (*eventsource.Record, error) { return w.find(ctx, p) })
	if err != nil {
		return err
	}
	events, err := w.decode(record)
	if err != nil {
		return &failedError{err: err}
	}
	if w.isSilent(record) {
		ctx = withSilence(ctx)
	}
	items := []item{{record: *record, events: events}}
	finish := w.stats.handling(&ctx, w, items, len(events))
	err = w.handleAndMove(ctx, events, Move{Handled: 1, Unpark: []string{p.SequenceID}})
	finish(err)
	if err == nil {
		w.countParked(p.State, -1)
	}
	return err
}

// find loads the event that was parked.
func (w *worker) find(ctx context.Context, p *Parked) (*eventsource.Record, error) {
	query := eventsource.Query{AggregateID: p.AggregateID, After: before(p.SequenceID), Limit: 1}
	for record, err := range w.feed.Records(ctx, query) {
		if err != nil {
			return nil, fmt.Errorf("read a parked event: %w", err)
		}
		if record.SequenceID == p.SequenceID {
			return &record, nil
		}
	}
	return nil, &failedError{err: fmt.Errorf("%w: event %s of aggregate %q", ErrUnknown, p.SequenceID, p.AggregateID)}
}

// failedAgain records the failure and forgets the requests for what comes after it.
func (w *worker) failedAgain(ctx context.Context, rest []Parked, failed *failedError) error {
	first := &rest[0]
	first.Request, first.Error, first.Tries = RequestNone, textOf(failed.err), first.Tries+1
	w.config.logger.WarnContext(ctx, "projection: parked event failed again", slog.Any("error", failed.err),
		slog.String("sequence_id", first.SequenceID), slog.String("aggregate_id", first.AggregateID))
	if err := w.move(ctx, Move{Park: rest[:1]}); err != nil {
		return err
	}
	sequenceIDs := make([]string, 0, len(rest)-1)
	for i := range rest[1:] {
		if rest[1+i].Request == RequestRetry {
			sequenceIDs = append(sequenceIDs, rest[1+i].SequenceID)
		}
	}
	if len(sequenceIDs) == 0 {
		return nil
	}
	if err := w.config.checkpoints.RequestParked(ctx, w.name, w.row.Version, RequestNone, sequenceIDs...); err != nil {
		return fmt.Errorf("forget requests: %w", err)
	}
	return nil
}
