package scenario

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/eventsource-go/eventsource"
)

// T is what a scenario needs of a test; *[testing.T] is one.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Context() context.Context
}

// DefaultAggregateID is the ID of an aggregate that neither an event nor a command names.
const DefaultAggregateID = "aggregate"

// base is what all scenarios have.
type base struct {
	config
	t      T
	open   bool // there was no Then yet, or something came after it
	failed bool
}

func newBase(t T, opts []Option) base {
	b := base{t: t, open: true, config: config{ctx: t.Context()}}
	for _, opt := range opts {
		if opt != nil {
			opt(&b.config)
		}
	}
	return b
}

// fail ends the test. A scenario does nothing more after that, should the test go on.
func (b *base) fail(format string, args ...any) {
	b.t.Helper()
	if !b.failed {
		b.failed = true
		b.t.Fatalf("scenario: "+format, args...)
	}
}

// atEnd is called when the test is over.
func (b *base) atEnd() {
	if b.open && !b.failed {
		b.t.Errorf("scenario: it ends without a Then, and so tests nothing")
	}
}

// Scenario is a test of an aggregate: what was, what is asked of it, and what it is to
// decide. It is not safe for concurrent use.
type Scenario[A eventsource.CommandAggregate] struct {
	base
	create func() A
	id     string              // of the aggregate, "" until something names it
	given  []eventsource.Event // those without their place yet
	events []eventsource.Event // all that the aggregate has

	// Since the last Then:
	commands []eventsource.Command
	decided  []eventsource.Event
	last     outcome // of the last command

	applied map[string]bool // commands that led to events, by ID
}

// outcome is what came of a command: one of these.
type outcome struct {
	events    []eventsource.Event
	unchanged string // why nothing has changed
	err       error
}

// New begins a scenario of an aggregate. It takes a pointer to a zero struct, and makes
// more of them: one for each command. If there is more to making one, use [NewFunc].
func New[A eventsource.CommandAggregate](t T, aggr A, opts ...Option) *Scenario[A] {
	t.Helper()
	s := newScenario[A](t, opts)
	v := reflect.ValueOf(aggr)
	if v.Kind() != reflect.Pointer || v.IsNil() || !v.Elem().IsZero() {
		s.fail("New takes a pointer to a zero struct, and not this %T; for others there is NewFunc", aggr)
		return s
	}
	s.create = func() A { return reflect.New(v.Type().Elem()).Interface().(A) }
	return s
}

// NewFunc is [New] for aggregates that are made by a function, which returns a new one
// each time.
func NewFunc[A eventsource.CommandAggregate](t T, create func() A, opts ...Option) *Scenario[A] {
	t.Helper()
	s := newScenario[A](t, opts)
	if s.create = create; create == nil {
		s.fail("the function that makes aggregates is nil")
	}
	return s
}

func newScenario[A eventsource.CommandAggregate](t T, opts []Option) *Scenario[A] {
	t.Helper()
	s := &Scenario[A]{base: newBase(t, opts), applied: make(map[string]bool)}
	t.Cleanup(s.atEnd)
	if s.err != nil {
		s.fail("%v", s.err)
	}
	return s
}

// Given adds events to those that the aggregate has, as if they had been saved: they get
// the next versions, and where their aggregate ID is empty that of the aggregate, which
// is the first one that an event or a command has, else [DefaultAggregateID]. They have no
// sequence ID, and the timestamp that they are given. An event that the aggregate
// refuses, or that could not be saved, fails the test.
func (s *Scenario[A]) Given(events ...eventsource.Event) *Scenario[A] {
	s.t.Helper()
	if !s.proceed() {
		return s
	}
	for i, event := range events {
		if isNil(event) {
			s.fail("Given: event %d of %d is nil", i+1, len(events))
			return s
		}
		event = clone(event)
		if s.id == "" {
			s.id = event.GetAggregateID()
		}
		s.given = append(s.given, event)
	}
	s.open = true
	return s
}

// When has the aggregate decide a command, as [eventsource.Dispatcher.Dispatch] does. An
// aggregate without events is a new one, and a deleted one refuses with
// [eventsource.ErrDeleted]. A command with an ID is applied once: again, it changes
// nothing. What the aggregate returns from Handle must be fit to be saved and to rebuild
// the aggregate from, else the command fails. The events that it decides are among those
// that it has from then on.
//
// Several may follow each other, with Given in between. All but the last before a Then
// have to succeed.
func (s *Scenario[A]) When(command eventsource.Command) *Scenario[A] {
	s.t.Helper()
	if !s.proceed() {
		return s
	}
	id := ""
	if !isNil(command) {
		id = command.GetAggregateID()
	}
	if s.id == "" {
		s.id = id
	}
	if id != "" && id != s.id {
		s.fail("When: %T is for aggregate %q, and the events are of %q", command, id, s.id)
		return s
	}
	aggr, deleted, ok := s.rebuild()
	if !ok {
		return s
	}
	s.open = true
	s.commands = append(s.commands, command)
	s.last = s.decide(aggr, deleted, command)
	return s
}

// proceed reports whether there can be another step.
func (s *Scenario[A]) proceed() bool {
	s.t.Helper()
	if s.open && s.last.err != nil {
		s.fail("%s failed, and there is no ThenError: %v", s.when(), s.last.err)
	}
	return !s.failed
}

// when names the commands since the last Then.
func (s *Scenario[A]) when() string {
	names := make([]string, len(s.commands))
	for i, command := range s.commands {
		names[i] = fmt.Sprintf("%T", command)
	}
	return strings.Join(names, ", ")
}

// rebuild returns a new aggregate with all events applied.
func (s *Scenario[A]) rebuild() (aggr A, deleted, ok bool) {
	s.t.Helper()
	if s.failed {
		return aggr, false, false
	}
	if s.id == "" {
		s.id = DefaultAggregateID
	}
	for _, event := range s.given {
		if err := s.place(event); err != nil {
			s.fail("Given: %v", err)
			return aggr, false, false
		}
	}
	s.given = nil
	aggr, deleted, err := s.load()
	if err != nil {
		s.fail("Given: %v", err)
	}
	return aggr, deleted, err == nil
}

// place adds a given event to those of the aggregate.
func (s *Scenario[A]) place(event eventsource.Event) error {
	version := len(s.events) + 1
	if e, ok := event.(aggregateIDSetter); ok && event.GetAggregateID() == "" {
		e.SetAggregateID(s.id)
	}
	if id := event.GetAggregateID(); id != s.id {
		return fmt.Errorf("%T, version %d, is of aggregate %q, and the scenario is of %q", event, version, id, s.id)
	}
	if e, ok := event.(eventsource.Versioned); ok {
		if has := e.GetVersion(); has != 0 && has != version {
			return fmt.Errorf("%T has version %d, and its place is %d", event, has, version)
		}
		e.SetVersion(version)
	}
	event, err := s.roundTrip(event)
	if err != nil {
		return err
	}
	s.events = append(s.events, event)
	return nil
}

// load is what a repository does.
func (s *Scenario[A]) load() (aggr A, deleted bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a new %T panics: %v", aggr, p)
		}
	}()
	if aggr = s.create(); isNil(aggr) {
		return aggr, false, errors.New("the function that makes aggregates returned nil")
	}
	aggr.SetAggregateID(s.id)
	deleted, err = eventsource.Apply(s.ctx, aggr, cloneAll(s.events)...)
	return aggr, deleted, err
}

// decide is what a dispatcher does.
func (s *Scenario[A]) decide(aggr A, deleted bool, command eventsource.Command) outcome {
	s.t.Helper()
	commandID := ""
	if c, ok := command.(eventsource.IdentifiedCommand); ok && !isNil(command) {
		commandID = c.GetCommandID()
	}
	if s.applied[commandID] {
		return outcome{unchanged: fmt.Sprintf("had been applied before, under its ID %q", commandID)}
	}
	if deleted {
		return outcome{err: fmt.Errorf("%w: %q, so it takes no %T", eventsource.ErrDeleted, s.id, command)}
	}
	events, _, err := eventsource.Decide(s.ctx, aggr, len(s.events), command)
	switch {
	case errors.Is(err, eventsource.ErrUnchanged):
		return outcome{unchanged: "changed nothing (ErrUnchanged)"}
	case err != nil:
		return outcome{err: err}
	}
	if commandID != "" {
		s.applied[commandID] = true
	}
	for i := range events {
		if events[i], err = s.roundTrip(events[i]); err != nil {
			s.fail("%T: %v", command, err)
			return outcome{}
		}
	}
	events = cloneAll(events) // the aggregate may have parts of them
	s.events, s.decided = append(s.events, events...), append(s.decided, events...)
	s.compareRebuilt(aggr, command)
	return outcome{events: events}
}

// compareRebuilt fails if an aggregate that has decided is not what its events make of it.
func (s *Scenario[A]) compareRebuilt(aggr A, command eventsource.Command) {
	s.t.Helper()
	rebuilt, _, err := s.load()
	if err != nil {
		s.fail("%T: the aggregate accepts its events after Handle, and not when it is loaded: %v", command, err)
		return
	}
	diff, err := s.diff(rebuilt, aggr)
	if err != nil {
		s.fail("%T: %v", command, err)
		return
	}
	if diff != "" {
		s.fail("%T: the aggregate is not what its events make of it; does Handle change it, or On not go by the event alone? (-when loaded +after Handle):\n%s", command, diff)
	}
}
