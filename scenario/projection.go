package scenario

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Projection is a test of a projection: what happened, and what it is to make of it. It
// is not safe for concurrent use.
type Projection struct {
	base
	repository eventsource.Repository
	projection *projection.Projection
	given      string // the sequence ID of the last event
}

// NewProjection begins a scenario of a projection's handler. The events are saved in a
// [memstore.Store], and handled by a [projection.Projection] with a name of its own. The
// handler gets the types of events that it asks for, from another goroutine, while a Then
// waits for it.
//
// Handlers that work in the transaction of their checkpoint get it by
// WithProjection(projection.WithCheckpoints(checkpoints)). A handler that never returns
// is waited for, unless there is WithProjection(projection.WithHandlerTimeout(timeout)).
func NewProjection(t T, handler projection.Handler, opts ...Option) *Projection {
	t.Helper()
	p := &Projection{base: newBase(t, opts)}
	t.Cleanup(p.atEnd)
	serializer := p.serializer
	if serializer == nil {
		serializer = new(keeper)
	}
	p.repository = eventsource.NewRepository(memstore.New(), serializer)
	p.projection = projection.New("scenario/"+ulid.Make().String(), p.repository, handler, append([]projection.Option{
		projection.WithRetry(1, time.Millisecond, time.Millisecond),
		projection.WithLogger(slog.New(slog.DiscardHandler)),
	}, p.config.projection...)...)
	if err := errors.Join(p.err, p.projection.Err()); err != nil {
		p.fail("%v", err)
	}
	return p
}

// Given adds events to the store, of one aggregate or of several. They get their sequence
// IDs, versions and timestamps there, and where their aggregate ID is empty it is
// [DefaultAggregateID]. What cannot be saved fails the test.
func (p *Projection) Given(events ...eventsource.Event) *Projection {
	p.t.Helper()
	if p.failed {
		return p
	}
	saved := make([]eventsource.Event, len(events))
	for i, event := range events {
		if isNil(event) {
			p.fail("Given: event %d of %d is nil", i+1, len(events))
			return p
		}
		event = clone(event)
		if e, ok := event.(aggregateIDSetter); ok && event.GetAggregateID() == "" {
			e.SetAggregateID(DefaultAggregateID)
		}
		if _, err := p.roundTrip(event); err != nil {
			p.fail("Given: %v", err)
			return p
		}
		saved[i] = event
	}
	if err := p.repository.Save(p.ctx, saved...); err != nil {
		p.fail("Given: %v", err)
		return p
	}
	p.open = true
	if len(saved) > 0 {
		p.given = saved[len(saved)-1].GetSequenceID()
	}
	return p
}

// Then calls a function to look at what the projection has made of the events, after it
// has handled all of them. A handler that fails, or panics, fails the test.
func (p *Projection) Then(check func()) *Projection {
	p.t.Helper()
	if check == nil {
		p.fail("the function of Then is nil")
	}
	if p.handled("Then") {
		check()
	}
	return p
}

// ThenState compares what the projection has made of the events with what is wanted,
// after it has handled all of them. The state is what the function returns then; it has
// the type of want. A handler that fails, or panics, fails the test.
func (p *Projection) ThenState(want any, state func() any) *Projection {
	p.t.Helper()
	if state == nil {
		p.fail("the function of ThenState is nil")
	}
	if !p.handled("ThenState") {
		return p
	}
	diff, err := p.diff(want, state())
	if err != nil {
		p.fail("ThenState: %v", err)
	}
	if diff != "" {
		p.fail("the state is not as it should be (-want +got):\n%s", diff)
	}
	return p
}

// ThenError says that the handler is to fail with an error that is the target, as
// [errors.Is] sees it.
func (p *Projection) ThenError(target error) *Projection {
	p.t.Helper()
	if target == nil {
		p.fail("ThenError has no error; where all events are handled there is Then")
	}
	return p.thenError("ThenError", fmt.Sprintf("%q", fmt.Sprint(target)), func(err error) bool { return errors.Is(err, target) })
}

// ThenErrorContains says that the handler is to fail with an error whose text contains
// this one, not empty: for errors that have no name.
func (p *Projection) ThenErrorContains(text string) *Projection {
	p.t.Helper()
	if text == "" {
		p.fail("ThenErrorContains has no text")
	}
	return p.thenError("ThenErrorContains", fmt.Sprintf("an error that contains %q", text),
		func(err error) bool { return strings.Contains(err.Error(), text) })
}

func (p *Projection) thenError(step, want string, is func(error) bool) *Projection {
	p.t.Helper()
	if !p.then(step) {
		return p
	}
	err := p.run()
	if err == nil {
		p.fail("the handler was to fail with %s, and has handled all events", want)
		return p
	}
	if failed, ok := errors.AsType[*projection.EventError](err); !ok || !is(failed.Err) {
		p.fail("the handler was to fail with %s, and %s", want, whatFailed(err))
	}
	return p
}

// handled runs the projection for a Then, and reports whether that went well.
func (p *Projection) handled(step string) bool {
	p.t.Helper()
	if !p.then(step) {
		return false
	}
	if err := p.run(); err != nil {
		p.fail("%s", whatFailed(err))
	}
	return !p.failed
}

// then reports whether there is something that a Then can be about.
func (p *Projection) then(step string) bool {
	p.t.Helper()
	if p.given == "" {
		p.fail("%s without an event in Given", step)
	}
	p.open = false
	return !p.failed
}

// run has the projection handle all events. It has ended when run returns, so that
// nothing happens while a test looks at its work.
func (p *Projection) run() error {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		defer cancel()
		ended <- p.projection.Run(ctx)
	}()
	level := p.waitUntilLevel(ctx)
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	return level
}

// waitUntilLevel returns when all events are handled, or the context ends.
func (p *Projection) waitUntilLevel(ctx context.Context) error {
	const first, longest = time.Millisecond, 20 * time.Millisecond
	for pause := first; ; pause = min(2*pause, longest) {
		status, err := p.projection.Status(ctx)
		if err != nil && !errors.Is(err, projection.ErrUnknown) { // not begun yet
			return err
		}
		if err == nil && status.Position >= p.given {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// whatFailed says at which event the handler failed, if it was the handler.
func whatFailed(err error) string {
	if failed, ok := errors.AsType[*projection.EventError](err); ok {
		return fmt.Sprintf("the handler failed at %s, version %d of aggregate %q: %v", failed.Type, failed.AggregateVersion, failed.AggregateID, failed.Err)
	}
	return fmt.Sprintf("the projection failed: %v", err)
}

// keeper is a serializer that keeps the events as they are, and writes down which one it
// is.
type keeper struct {
	mu     sync.Mutex
	events []eventsource.Event
}

func (k *keeper) Marshal(event eventsource.Event) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.events = append(k.events, clone(event))
	return strconv.AppendInt(nil, int64(len(k.events)-1), 10), nil
}

func (k *keeper) Unmarshal(data []byte, _ string) (eventsource.Event, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, err := strconv.Atoi(string(data))
	if err != nil || i >= len(k.events) {
		return nil, fmt.Errorf("scenario: there is no event %q", data)
	}
	return clone(k.events[i]), nil
}
