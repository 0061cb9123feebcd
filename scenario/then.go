package scenario

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/eventsource-go/eventsource"
)

// Then says which events the commands since the last Then are to lead to, all of them and
// in order; see the package's comment for how they are compared.
func (s *Scenario[A]) Then(events ...eventsource.Event) *Scenario[A] {
	s.t.Helper()
	if !s.then("Then") {
		return s
	}
	switch want := count(len(events)); {
	case len(events) == 0:
		s.fail("Then has no events; where a command changes nothing there is ThenUnchanged")
	case s.last.err != nil:
		s.fail("%s was to lead to %s, and failed: %v", s.when(), want, s.last.err)
	case len(s.decided) == 0:
		s.fail("%s was to lead to %s, and %s", s.when(), want, s.last.unchanged)
	}
	for i, event := range events {
		if isNil(event) {
			s.fail("Then: event %d of %d is nil", i+1, len(events))
		}
	}
	if s.failed {
		return s
	}
	diff, err := s.diffEvents(events, s.decided)
	if err != nil {
		s.fail("Then: %v", err)
	}
	if diff != "" {
		s.fail("%s led to other events:%s", s.when(), diff)
	}
	return s.settle()
}

// ThenUnchanged says that the last command is to change nothing: Handle returns
// [eventsource.ErrUnchanged], or the command had been applied before, under its ID.
func (s *Scenario[A]) ThenUnchanged() *Scenario[A] {
	s.t.Helper()
	if !s.then("ThenUnchanged") {
		return s
	}
	if s.last.unchanged == "" {
		s.fail("%s was to change nothing, and %s", s.lastCommand(), s.whatCame())
	}
	return s.settle()
}

// ThenError says that the last command is to fail with an error that is the target, as
// [errors.Is] sees it.
func (s *Scenario[A]) ThenError(target error) *Scenario[A] {
	s.t.Helper()
	if target == nil {
		s.fail("ThenError has no error; where a command succeeds there is Then")
	}
	return s.thenError("ThenError", fmt.Sprintf("%q", fmt.Sprint(target)), func(err error) bool { return errors.Is(err, target) })
}

// ThenErrorAs says that the last command is to fail with an error of the type that the
// target, a pointer, points to, and sets the target to it, as [errors.As] does.
func (s *Scenario[A]) ThenErrorAs(target any) *Scenario[A] {
	s.t.Helper()
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		s.fail("ThenErrorAs takes a pointer to a variable for the error, and not this %T", target)
		return s
	}
	of := v.Type().Elem()
	if of.Kind() != reflect.Interface && !of.Implements(reflect.TypeFor[error]()) {
		s.fail("ThenErrorAs takes a pointer to a variable for the error, and a %v is none", of)
	}
	return s.thenError("ThenErrorAs", fmt.Sprintf("a %v", of), func(err error) bool { return errors.As(err, target) })
}

// ThenErrorContains says that the last command is to fail with an error whose text
// contains this one, not empty: for errors that have no name.
func (s *Scenario[A]) ThenErrorContains(text string) *Scenario[A] {
	s.t.Helper()
	if text == "" {
		s.fail("ThenErrorContains has no text")
	}
	return s.thenError("ThenErrorContains", fmt.Sprintf("an error that contains %q", text),
		func(err error) bool { return strings.Contains(err.Error(), text) })
}

func (s *Scenario[A]) thenError(step, want string, is func(error) bool) *Scenario[A] {
	s.t.Helper()
	if !s.then(step) {
		return s
	}
	if s.last.err == nil || !is(s.last.err) {
		s.fail("%s was to fail with %s, and %s", s.lastCommand(), want, s.whatCame())
	}
	return s.settle()
}

// ThenState compares the aggregate, rebuilt from its events, with the one that is wanted,
// unexported fields included. The ID and the version of an [eventsource.AggregateBase]
// count where the wanted one sets them. It stands for a Then too, if the last command
// succeeded.
func (s *Scenario[A]) ThenState(want A) *Scenario[A] {
	s.t.Helper()
	if isNil(want) {
		s.fail("ThenState: the aggregate that is wanted is nil")
	}
	aggr, ok := s.state("ThenState")
	if !ok {
		return s
	}
	diff, err := s.diff(expectedState(want, aggr), aggr)
	if err != nil {
		s.fail("ThenState: %v", err)
	}
	if diff != "" {
		s.fail("the aggregate is not as it should be (-want +got):\n%s", diff)
	}
	return s.settle()
}

// ThenCheck calls a function with the aggregate, rebuilt from its events, to look at a
// part of its state. It stands for a Then too, if the last command succeeded.
func (s *Scenario[A]) ThenCheck(check func(aggr A)) *Scenario[A] {
	s.t.Helper()
	if check == nil {
		s.fail("the function of ThenCheck is nil")
	}
	aggr, ok := s.state("ThenCheck")
	if !ok {
		return s
	}
	s.settle()
	check(aggr)
	return s
}

// ThenDeleted says that the aggregate is to be deleted. It stands for a Then too, if the
// last command succeeded.
func (s *Scenario[A]) ThenDeleted() *Scenario[A] {
	s.t.Helper()
	if !s.proceed() {
		return s
	}
	_, deleted, ok := s.rebuild()
	if !ok {
		return s
	}
	if !deleted {
		s.fail("the aggregate is not deleted, it has %s", count(len(s.events)))
	}
	return s.settle()
}

// then reports whether there is something that a Then can be about.
func (s *Scenario[A]) then(step string) bool {
	s.t.Helper()
	if len(s.commands) == 0 {
		s.fail("%s without a When since the last one", step)
	}
	return !s.failed
}

// state returns the aggregate for a Then about it.
func (s *Scenario[A]) state(step string) (aggr A, ok bool) {
	s.t.Helper()
	if !s.proceed() {
		return aggr, false
	}
	aggr, deleted, ok := s.rebuild()
	if deleted {
		s.fail("%s: the aggregate is deleted; for that there is ThenDeleted", step)
	}
	return aggr, ok && !deleted
}

// settle says that what was done until here has had its Then.
func (s *Scenario[A]) settle() *Scenario[A] {
	s.open, s.commands, s.decided, s.last = false, nil, nil, outcome{}
	return s
}

func (s *Scenario[A]) lastCommand() string {
	return fmt.Sprintf("%T", s.commands[len(s.commands)-1])
}

// whatCame says what came of the last command.
func (s *Scenario[A]) whatCame() string {
	switch {
	case s.last.err != nil:
		return fmt.Sprintf("failed with: %v", s.last.err)
	case s.last.unchanged != "":
		return s.last.unchanged
	}
	var text strings.Builder
	fmt.Fprintf(&text, "led to %s:", count(len(s.last.events)))
	for _, event := range s.last.events {
		fmt.Fprintf(&text, "\n%s", show(event))
	}
	return text.String()
}

func count(events int) string {
	if events == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", events)
}

// expectedState returns a copy of want that has from got what want leaves open.
func expectedState[A eventsource.CommandAggregate](want, got A) A {
	v := reflect.ValueOf(want)
	if v.Kind() != reflect.Pointer || v.Type() != reflect.TypeOf(got) {
		return want
	}
	copied := reflect.New(v.Type().Elem())
	copied.Elem().Set(v.Elem())
	want = copied.Interface().(A)
	type identified interface{ GetAggregateID() string }
	if w, ok := any(want).(identified); ok && w.GetAggregateID() == "" {
		want.SetAggregateID(any(got).(identified).GetAggregateID())
	}
	if w, ok := any(want).(eventsource.Versioned); ok && w.GetVersion() == 0 {
		w.SetVersion(any(got).(eventsource.Versioned).GetVersion())
	}
	return want
}
