package eventsource

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
)

// Aggregate is rebuilt from its events by [Repository.Load].
type Aggregate interface {
	// On applies an event to the aggregate's state. [ErrDeleted] says that the
	// event deletes the aggregate and ends the load; any other error fails it.
	On(ctx context.Context, event Event) error
	// SetAggregateID is called with the aggregate's ID before the first event.
	SetAggregateID(id string)
}

// AggregateBase keeps an aggregate's ID and version. Aggregates embed it by value:
//
//	type Account struct {
//		eventsource.AggregateBase
//		Balance int
//	}
//
// Both fields are left out of the aggregate's JSON. It is not safe for concurrent use.
type AggregateBase struct {
	// ID is the aggregate's ID.
	ID string `json:"-"`
	// Version is the version of the last event that was applied, 0 before the first.
	Version int `json:"-"`
}

// SetAggregateID sets the ID.
func (a *AggregateBase) SetAggregateID(id string) { a.ID = id }

// GetAggregateID returns the ID.
func (a *AggregateBase) GetAggregateID() string { return a.ID }

// SetVersion sets the Version.
func (a *AggregateBase) SetVersion(version int) { a.Version = version }

// GetVersion returns the Version.
func (a *AggregateBase) GetVersion() int { return a.Version }

// Apply applies events to an aggregate in order, as [Repository.Load] does, and without
// a store. After each one an aggregate that is [Versioned] has the event's version, if
// the event has one. It returns deleted == true as soon as On returns [ErrDeleted].
// Any other error of On, or its panic as a [PanicError], is returned with the event's
// type and the aggregate's ID; the events before it stay applied. A nil aggregate or
// event is [ErrInvalidEvent].
func Apply(ctx context.Context, aggr Aggregate, events ...Event) (deleted bool, err error) {
	if isNil(aggr) {
		return false, fmt.Errorf("%w: the aggregate to apply events to is nil", ErrInvalidEvent)
	}
	for i, event := range events {
		if isNil(event) {
			return false, fmt.Errorf("%w: event %d of %d to apply to %T is nil", ErrInvalidEvent, i+1, len(events), aggr)
		}
		deleted, err := applyOne(ctx, aggr, event)
		if deleted || err != nil {
			return deleted, err
		}
	}
	return false, nil
}

// applyOne applies an event that is not nil.
func applyOne(ctx context.Context, aggr Aggregate, event Event) (deleted bool, err error) {
	err = on(ctx, aggr, event)
	if deleted = says(err, ErrDeleted); err != nil && !deleted {
		version := 0
		if versioned, ok := event.(Versioned); ok {
			version = versioned.GetVersion()
		}
		return false, fmt.Errorf("eventsource: aggregate %q, a %T, refuses %s, version %d: %w",
			event.GetAggregateID(), aggr, EventType(event), version, err)
	}
	versioned, ok := aggr.(Versioned)
	if !ok {
		return deleted, nil
	}
	if e, ok := event.(Versioned); ok && e.GetVersion() != 0 {
		versioned.SetVersion(e.GetVersion())
	}
	return deleted, nil
}

// on calls On and turns a panic into an error.
func on(ctx context.Context, aggr Aggregate, event Event) (err error) {
	defer recoverTo(&err)
	return aggr.On(ctx, event)
}

// says reports whether an error is what the application says with it. What it panics with
// says nothing.
func says(err, what error) bool {
	if !errors.Is(err, what) {
		return false
	}
	var panicked *PanicError
	return !errors.As(err, &panicked)
}

// recoverTo turns a panic into an error. It is to be deferred.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{Value: p, Stack: debug.Stack()}
	}
}

// Applier applies the events of one type to aggregates of type A; see [When].
type Applier[A Aggregate] struct {
	event reflect.Type
	apply func(aggr A, event Event) error // nil if the function was nil
}

// When returns an applier of a function for the events of type E, as the serializer
// gives them: a struct or a pointer to one. A method does as well as a function:
//
//	eventsource.When((*Account).deposited) // func (a *Account) deposited(e *Deposited) error
//
// What the function returns is what [Aggregate.On] returns. A function of any other
// signature does not compile.
func When[A Aggregate, E Event](apply func(aggr A, event E) error) Applier[A] {
	a := Applier[A]{event: reflect.TypeFor[E]()}
	if apply != nil {
		a.apply = func(aggr A, event Event) error { return apply(aggr, event.(E)) }
	}
	return a
}

// Appliers apply each event of an aggregate with the function for its type. They do
// not change after they are made, and are safe for concurrent use.
//
//	var accountEvents = []eventsource.Event{&Opened{}, &Deposited{}}
//
//	var accountAppliers = eventsource.NewAppliers(accountEvents,
//		eventsource.When((*Account).opened),
//		eventsource.When((*Account).deposited),
//	)
//
//	func (a *Account) On(_ context.Context, event eventsource.Event) error {
//		return accountAppliers.Apply(a, event)
//	}
type Appliers[A Aggregate] struct {
	appliers map[reflect.Type]func(A, Event) error
	err      error
}

// NewAppliers returns appliers for the types of the given events, whose values do not
// matter: those that the aggregate has, the same that its serializer is made with.
// An event without an applier, an applier of an event that is not given, two for one
// event, and a nil function are [ErrMisconfigured]: [Appliers.Apply] returns it for
// every event, so that it shows when the aggregate is used for the first time, and
// [Appliers.Err] before that.
func NewAppliers[A Aggregate](events []Event, appliers ...Applier[A]) *Appliers[A] {
	a := &Appliers[A]{appliers: make(map[reflect.Type]func(A, Event) error, len(appliers))}
	of := reflect.TypeFor[A]()
	wrong := func(format string, args ...any) {
		a.err = errors.Join(a.err, fmt.Errorf("%w: "+format, append([]any{ErrMisconfigured}, args...)...))
	}
	var given []reflect.Type
	for i, event := range events {
		if event == nil {
			wrong("event %d of %d of %v is nil", i+1, len(events), of)
		} else if t := reflect.TypeOf(event); !slices.Contains(given, t) {
			given = append(given, t)
		}
	}
	for _, applier := range appliers {
		switch _, twice := a.appliers[applier.event]; {
		case applier.apply == nil && applier.event == nil:
			wrong("an applier of %v was not made by When", of)
		case applier.apply == nil:
			wrong("the function of %v for %v is nil", of, applier.event)
		case twice:
			wrong("%v has two functions for %v", of, applier.event)
		case !slices.Contains(given, applier.event):
			wrong("%v has a function for %v, which is none of its events", of, applier.event)
		}
		a.appliers[applier.event] = applier.apply
	}
	for _, event := range given {
		if _, ok := a.appliers[event]; !ok {
			wrong("%v has no function for its event %v", of, event)
		}
	}
	return a
}

// Err returns what was wrong with the arguments of [NewAppliers], nil if nothing was.
func (a *Appliers[A]) Err() error { return a.err }

// Apply calls the function for the event's type. It is what an aggregate's On does.
// An event of another aggregate is [ErrUnknownType].
func (a *Appliers[A]) Apply(aggr A, event Event) error {
	if a.err != nil {
		return a.err
	}
	apply, ok := a.appliers[reflect.TypeOf(event)]
	if !ok {
		return fmt.Errorf("%w: %T is no event of %T", ErrUnknownType, event, aggr)
	}
	return apply(aggr, event)
}
