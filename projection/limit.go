package projection

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errTooSlow is why a context ended that a limit has ended.
var errTooSlow = errors.New("eventsource/projection: no answer in time")

// limit ends a context when something takes too long: a connection that is dead but
// open would have its caller wait for good, while another one renews the lease.
type limit struct {
	ctx    context.Context
	after  time.Duration
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func newLimit(ctx context.Context, after time.Duration) *limit {
	l := &limit{after: after}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.timer = time.AfterFunc(after, func() { l.cancel(errTooSlow) })
	return l
}

// pause is for as long as the application works.
func (l *limit) pause() { l.timer.Stop() }

// resume starts anew.
func (l *limit) resume() { l.timer.Reset(l.after) }

func (l *limit) stop() {
	l.timer.Stop()
	l.cancel(nil)
}

// explain says so if an error is due to the limit. It is not one of those that the
// call returned: an ended context is not the caller's here.
func (l *limit) explain(err error) error {
	if err != nil && errors.Is(context.Cause(l.ctx), errTooSlow) {
		return &hiddenError{ErrUnavailable, fmt.Sprintf("eventsource/projection: no answer within %v: %v", l.after, err)}
	}
	return err
}

// limited are checkpoints each of whose calls that the runner makes has a limit.
type limited struct {
	Checkpoints
	after time.Duration
}

func within[T any](ctx context.Context, after time.Duration, call func(ctx context.Context) (T, error)) (T, error) {
	l := newLimit(ctx, after)
	defer l.stop()
	result, err := call(l.ctx)
	return result, l.explain(err)
}

func (c limited) Load(ctx context.Context, name string) ([]Row, error) {
	return within(ctx, c.after, func(ctx context.Context) ([]Row, error) { return c.Checkpoints.Load(ctx, name) })
}

func (c limited) Update(ctx context.Context, put, remove []Row) error {
	_, err := within(ctx, c.after, func(ctx context.Context) (none, error) { return none{}, c.Checkpoints.Update(ctx, put, remove) })
	return err
}

func (c limited) Advance(ctx context.Context, move Move) (Ack, error) {
	return within(ctx, c.after, func(ctx context.Context) (Ack, error) { return c.Checkpoints.Advance(ctx, move) })
}

func (c limited) Parked(ctx context.Context, query ParkedQuery) ([]Parked, error) {
	return within(ctx, c.after, func(ctx context.Context) ([]Parked, error) { return c.Checkpoints.Parked(ctx, query) })
}

func (c limited) RequestParked(ctx context.Context, name string, version int, request Request, sequenceIDs ...string) error {
	_, err := within(ctx, c.after, func(ctx context.Context) (none, error) {
		return none{}, c.Checkpoints.RequestParked(ctx, name, version, request, sequenceIDs...)
	})
	return err
}

func (c limited) DeleteParked(ctx context.Context, name string, version int) error {
	_, err := within(ctx, c.after, func(ctx context.Context) (none, error) { return none{}, c.Checkpoints.DeleteParked(ctx, name, version) })
	return err
}

// none is no result.
type none struct{}
