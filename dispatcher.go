package eventsource

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Defaults of the options of [NewDispatcher].
const (
	// DefaultTries is how often a command is decided when others are faster.
	DefaultTries = 20
	// DefaultMinBackoff is the first pause between two tries.
	DefaultMinBackoff = time.Millisecond
	// DefaultMaxBackoff is the longest pause between two tries.
	DefaultMaxBackoff = 100 * time.Millisecond
)

// CommandAggregate is an aggregate that handles commands.
type CommandAggregate interface {
	Aggregate
	CommandHandler
}

// Dispatcher brings commands to aggregates of type A: it loads the aggregate, has it
// decide, and saves the events at the version that was loaded. It is safe for
// concurrent use.
type Dispatcher[A CommandAggregate] struct {
	repository Repository
	feed       Feed
	create     func() A
	config     dispatcherConfig
	err        error
}

type dispatcherConfig struct {
	tries                  int
	minBackoff, maxBackoff time.Duration
	remember               time.Duration
}

// DispatcherOption is an option of [NewDispatcher].
type DispatcherOption func(*dispatcherConfig)

// WithTries sets how often a command is decided, from 1, before [ErrConflict] is
// returned because others were faster each time. Defaults to [DefaultTries].
func WithTries(n int) DispatcherOption {
	return func(c *dispatcherConfig) { c.tries = n }
}

// WithBackoff sets the first and the longest pause between two tries. Each is about
// twice as long as the one before, and random. Defaults to [DefaultMinBackoff] and
// [DefaultMaxBackoff].
func WithBackoff(first, longest time.Duration) DispatcherOption {
	return func(c *dispatcherConfig) { c.minBackoff, c.maxBackoff = first, longest }
}

// WithCommandMemory sets for how long a command with an ID is remembered, by the
// store's clock: sent again after that, it is applied again. Defaults to 0, for good.
func WithCommandMemory(d time.Duration) DispatcherOption {
	return func(c *dispatcherConfig) { c.remember = d }
}

// NewDispatcher returns a dispatcher. Its aggregates are made by create, which returns
// a new one each time, and is called from several goroutines at once. The repository
// is one that [NewRepository] made, or passes its [Feed] on; aggregates are loaded
// through the feed, and events saved through the repository. Arguments that cannot be
// make every method return [ErrMisconfigured].
func NewDispatcher[A CommandAggregate](repository Repository, create func() A, opts ...DispatcherOption) *Dispatcher[A] {
	d := &Dispatcher[A]{repository: repository, create: create, config: dispatcherConfig{
		tries: DefaultTries, minBackoff: DefaultMinBackoff, maxBackoff: DefaultMaxBackoff,
	}}
	for _, opt := range opts {
		if opt != nil {
			opt(&d.config)
		}
	}
	d.err = d.config.check()
	if create == nil {
		d.err = errors.Join(d.err, fmt.Errorf("%w: the function that makes aggregates is nil", ErrMisconfigured))
	}
	feeder, ok := repository.(Feeder)
	switch {
	case isNil(repository):
		d.err = errors.Join(d.err, fmt.Errorf("%w: repository is nil", ErrMisconfigured))
	case !ok:
		d.err = errors.Join(d.err, fmt.Errorf("%w: repository, a %T, has no method Feed; a repository that wraps another one passes on that of the other", ErrMisconfigured, repository))
	default:
		d.feed = feeder.Feed()
		d.err = errors.Join(d.err, d.feed.Err())
	}
	return d
}

func (c *dispatcherConfig) check() error {
	switch {
	case c.tries < 1:
		return fmt.Errorf("%w: %d tries are below 1", ErrMisconfigured, c.tries)
	case c.minBackoff <= 0 || c.maxBackoff < c.minBackoff:
		return fmt.Errorf("%w: pauses from %v to %v between tries cannot be", ErrMisconfigured, c.minBackoff, c.maxBackoff)
	case c.remember < 0:
		return fmt.Errorf("%w: commands cannot be remembered for %v", ErrMisconfigured, c.remember)
	}
	return nil
}

// Err returns what was wrong with the arguments of [NewDispatcher], nil if nothing was.
func (d *Dispatcher[A]) Err() error { return d.err }

// Result is what came of a command.
type Result struct {
	// Version is the aggregate's version after the command.
	Version int
	// SequenceID is that of the command's last event, for instance to wait until a
	// projection has handled it; if it changed nothing, that of the aggregate's last event.
	SequenceID string
	// Repeated is true if the command had been applied before, under its ID. Version
	// and SequenceID are then those of that time.
	Repeated bool
}

// Dispatch has the aggregate handle a command, and saves what it decides, at the
// version that it had when it decided. An aggregate without events is a new one; that
// it could not be loaded never makes it one. When another save was faster, it is
// loaded again and decides again, after a pause, until the context ends or the tries
// are used up ([WithTries]).
//
// Before they are saved, the events are applied to the aggregate as they will be read,
// so that none is stored that it cannot be rebuilt from. They get the versions after the loaded one,
// and those without an aggregate ID get the command's.
//
// A command with an ID ([IdentifiedCommand]) is applied once to its aggregate: when it
// was before, by whichever process, nothing is decided, and the result of then is
// returned. So a caller that got no answer, or [ErrOutcomeUnknown], sends it again. For
// that the store has to be a [Reserver]. Commands that were refused, or changed
// nothing, are not remembered.
//
// Errors: [ErrInvalidCommand]; [ErrDeleted], if the aggregate is deleted; that of Handle,
// as it is; [ErrInvalidEvent], with a reason, for what Handle returned; those of
// [Repository.Load] and [Repository.Save]; a panic of the aggregate as a [PanicError];
// the context's. After any of them but ErrOutcomeUnknown nothing is stored.
func (d *Dispatcher[A]) Dispatch(ctx context.Context, command Command) (Result, error) {
	if d.err != nil {
		return Result{}, d.err
	}
	c, err := identify(command)
	if err != nil {
		return Result{}, err
	}
	if _, ok := d.feed.Store().(Reserver); c.id != "" && !ok {
		return Result{}, fmt.Errorf("%w: %T remembers no commands, so %T cannot have the ID %q", errors.ErrUnsupported, unwrapped(d.feed.Store()), command, c.id)
	}
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval, pauses.MaxInterval, pauses.Multiplier = d.config.minBackoff, d.config.maxBackoff, 2
	pauses.Reset()
	for try := 1; ; try++ {
		result, beaten, err := d.try(ctx, &c)
		if !beaten {
			return result, err
		}
		if try == d.config.tries {
			return Result{}, fmt.Errorf("eventsource: %T, tried %d times: %w", command, try, err)
		}
		if err := sleep(ctx, pauses.NextBackOff()); err != nil {
			return Result{}, fmt.Errorf("eventsource: %T: %w", command, err)
		}
	}
}

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

// commandScope is the scope of the reservations by which commands are remembered.
const commandScope = "eventsource.command"

// identified is a command with what is known of it.
type identified struct {
	Command
	aggregateID, id string
	key             string // of its reservation
}

func identify(command Command) (identified, error) {
	c := identified{Command: command}
	if isNil(command) {
		return c, fmt.Errorf("%w: it is a nil %T", ErrInvalidCommand, command)
	}
	if c.aggregateID = command.GetAggregateID(); c.aggregateID == "" {
		return c, fmt.Errorf("%w: %T has an empty aggregate ID", ErrInvalidCommand, command)
	}
	if with, ok := command.(IdentifiedCommand); ok {
		c.id = with.GetCommandID()
	}
	if err := errors.Join(checkText("aggregate ID", c.aggregateID, MaxAggregateIDLength), checkText("command ID", c.id, 0)); err != nil {
		return c, fmt.Errorf("%w: %T: %w", ErrInvalidCommand, command, err)
	}
	sum := sha256.Sum256([]byte(c.aggregateID + "\x00" + c.id))
	c.key = hex.EncodeToString(sum[:])
	return c, nil
}

// beaten reports whether the error says that another save was faster.
func (c *identified) beaten(err error) bool {
	var conflict *ConflictError
	var taken *TakenError
	switch {
	case errors.Is(err, ErrOutcomeUnknown):
		return false
	case errors.As(err, &conflict):
		return conflict.AggregateID == c.aggregateID
	case errors.As(err, &taken):
		return taken.Scope == commandScope && taken.Value == c.key
	}
	return false
}

// try decides a command once. It is beaten if another save was faster.
func (d *Dispatcher[A]) try(ctx context.Context, c *identified) (result Result, beaten bool, err error) {
	aggr, l, err := d.load(ctx, c.aggregateID)
	if err != nil {
		return Result{}, false, err
	}
	// Only now: what is applied from here on moves the aggregate's version.
	if c.id != "" {
		before, err := d.feed.Store().(Reserver).Holder(ctx, commandScope, c.key)
		if err != nil {
			return Result{}, false, err
		}
		if before.AggregateID != "" {
			return Result{Version: before.Version, SequenceID: before.SequenceID, Repeated: true}, false, nil
		}
	}
	if l.deleted {
		return Result{}, false, fmt.Errorf("%w: %q, so it takes no %T", ErrDeleted, c.aggregateID, c.Command)
	}
	events, err := handle(ctx, aggr, c.Command)
	if says(err, ErrUnchanged) {
		l.takeSnapshot(ctx)
		return Result{Version: l.version, SequenceID: l.sequenceID}, false, nil
	}
	if err == nil {
		err = c.complete(aggr, events, l.version)
	}
	if err == nil {
		err = d.rehearse(ctx, c, aggr, events)
	}
	if err != nil {
		return Result{}, false, err
	}
	if c.id != "" {
		ctx = d.remembering(ctx, c)
	}
	if err := d.repository.Save(ctx, events...); err != nil {
		return Result{}, c.beaten(err), err
	}
	l.takeSnapshot(ctx)
	return Result{Version: l.version + len(events), SequenceID: events[len(events)-1].GetSequenceID()}, false, nil
}

// load returns a new aggregate with its events applied, if there are any.
func (d *Dispatcher[A]) load(ctx context.Context, id string) (aggr A, l loaded, err error) {
	if aggr = d.create(); isNil(aggr) {
		return aggr, l, fmt.Errorf("%w: the function that makes aggregates returned nil", ErrMisconfigured)
	}
	l, err = d.feed.repository.load(ctx, id, aggr, AsOf{})
	if err == nil && l.version == 0 {
		aggr.SetAggregateID(id)
	}
	return aggr, l, err
}

func handle(ctx context.Context, handler CommandHandler, command Command) (events []Event, err error) {
	defer recoverTo(&err)
	return handler.Handle(ctx, command)
}

// Decide has an aggregate at a version decide a command as [Dispatcher.Dispatch] does,
// and without a store, for instance in tests. The aggregate has its ID, and has its
// events applied, 0 for a new one; that it is not deleted is the caller's to know. The
// events that are returned have their aggregate ID and their version, and are applied to
// the aggregate; deleted says that they delete it.
//
// Errors: [ErrInvalidCommand]; that of Handle, as it is, also [ErrUnchanged];
// [ErrInvalidEvent], with a reason, for what Handle returned and for a nil aggregate; that
// of [Apply]; a panic of the aggregate as a [PanicError]. After an error the aggregate
// is of no use.
func Decide(ctx context.Context, aggr CommandAggregate, version int, command Command) (events []Event, deleted bool, err error) {
	c, err := identify(command)
	if err != nil {
		return nil, false, err
	}
	if isNil(aggr) {
		return nil, false, fmt.Errorf("%w: the aggregate that is to decide %T is nil", ErrInvalidEvent, command)
	}
	if events, err = handle(ctx, aggr, command); err == nil {
		err = c.complete(aggr, events, version)
	}
	if err == nil {
		deleted, err = c.applyAll(events, func(i int) (bool, error) { return applyOne(ctx, aggr, events[i]) })
	}
	if err != nil {
		return nil, false, err
	}
	return events, deleted, nil
}

// rehearse applies the events to the aggregate as they will be read, to see that it can
// be rebuilt from them. What it does to what it is given does not reach the store.
func (d *Dispatcher[A]) rehearse(ctx context.Context, c *identified, aggr Aggregate, events []Event) error {
	r := d.feed.repository
	records, err := r.records(ctx, events)
	if err != nil {
		return err
	}
	_, err = c.applyAll(events, func(i int) (bool, error) { return r.apply(ctx, aggr, &records[i]) })
	return err
}

// applyAll applies events one after the other. None may come after the end.
func (c *identified) applyAll(events []Event, apply func(i int) (deleted bool, err error)) (deleted bool, err error) {
	for i, event := range events {
		if deleted {
			return false, c.wrong("event %d of %d, %s, comes after the one that deletes the aggregate", i+1, len(events), EventType(event))
		}
		if deleted, err = apply(i); err != nil {
			return false, err
		}
	}
	return deleted, nil
}

// wrong says what is wrong with the events that were decided on.
func (c *identified) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %T of %q: "+format, append([]any{ErrInvalidEvent, c.Command, c.aggregateID}, args...)...)
}

// complete gives the events that an aggregate at a version has decided on what they lack.
func (c *identified) complete(aggr Aggregate, events []Event, version int) (err error) {
	defer recoverTo(&err) // an embedded pointer that is nil
	if len(events) == 0 {
		return c.wrong("%T returned no event and no error (to change nothing it returns ErrUnchanged)", aggr)
	}
	for i, event := range events {
		if isNil(event) {
			return c.wrong("event %d of %d is nil", i+1, len(events))
		}
		if envelope, ok := event.(envelopeSetter); ok && event.GetAggregateID() == "" {
			envelope.SetAggregateID(c.aggregateID)
		}
		if id := event.GetAggregateID(); id != c.aggregateID {
			return c.wrong("event %d of %d, %s, is of another aggregate, %q", i+1, len(events), EventType(event), id)
		}
		versioned, ok := event.(Versioned)
		if !ok {
			return c.wrong("event %d of %d, a %T, has no version (see Versioned)", i+1, len(events), event)
		}
		want := version + i + 1
		if versioned.SetVersion(want); versioned.GetVersion() != want {
			return c.wrong("event %d of %d, a %T, does not keep its version (is its BaseEvent nil?)", i+1, len(events), event)
		}
	}
	return nil
}

// remembering returns a context whose save remembers the command.
func (d *Dispatcher[A]) remembering(ctx context.Context, c *identified) context.Context {
	reservation := Reservation{Scope: commandScope, Value: c.key}
	if d.config.remember > 0 {
		reservation.Until = time.Now().Add(d.config.remember).UnixNano()
	}
	if _, ok := contextMetadata(ctx)[MetadataCausationID]; !ok {
		ctx = WithCausationID(ctx, c.id)
	}
	return withReservation(ctx, reservation)
}

// Read loads the aggregate at its latest version and calls a function with it. Nothing
// is saved. Errors: those of [Repository.Load]; [ErrDeleted]; that of the function, as
// it is.
func (d *Dispatcher[A]) Read(ctx context.Context, id string, read func(aggr A) error) error {
	if d.err != nil {
		return d.err
	}
	if read == nil {
		return fmt.Errorf("%w: the function to read %q with is nil", ErrInvalidQuery, id)
	}
	aggr, l, err := d.load(ctx, id)
	switch {
	case err != nil:
		return err
	case l.version == 0:
		return fmt.Errorf("%w: %q", ErrNoHistory, id)
	case l.deleted:
		return fmt.Errorf("%w: %q", ErrDeleted, id)
	}
	l.takeSnapshot(ctx)
	return read(aggr)
}
