package upcast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/eventsource-go/eventsource"
)

// Rule says what has become of an event type; see [Step], [Rename], [Split] and [Drop].
type Rule struct {
	kind      kind
	eventType string
	version   int
	into      []string // types that come of it
	apply     func(data []byte) ([]Part, error)
	err       error
}

type kind int

const (
	noRule kind = iota
	isStep
	isRename
	isSplit
	isDrop
)

func (r *Rule) String() string {
	switch r.kind {
	case isStep:
		return fmt.Sprintf("step of %q from version %d to %d", r.eventType, r.version, r.version+1)
	case isRename:
		return fmt.Sprintf("renaming of %q to %q", r.eventType, r.into[0])
	case isSplit:
		return fmt.Sprintf("split of %q at version %d", r.eventType, r.version)
	case isDrop:
		return fmt.Sprintf("dropping of %q", r.eventType)
	}
	return "rule that was not made by a function of this package"
}

// Part is an event that comes of a [Split].
type Part struct {
	// Type is the name of the event's type. Names that it has had before do too.
	Type string
	// Version is the schema version that Data has, 0 for 1: a part goes through the chain
	// of its type like an event that was stored. It is a number, and not "the newest", so
	// that the split stays right when later versions come.
	Version int
	// Data is written with encoding/json; a [json.RawMessage] is taken as it is.
	Data any
}

// Step returns a rule that turns the data of a type's version into those of the next
// one. Old and New are what the JSON looked like at these versions: structs of their
// own, which no later change of the event touches; or [json.RawMessage]; or maps, in
// which a number is a [json.Number], so that none loses digits. An error, a panic and a
// result that is null fail the read, with an [Error].
//
// The function is called from several goroutines at once, every time that an event is
// read. It gives the same result for the same data, always: it asks no service and no
// clock.
func Step[Old, New any](eventType string, version int, step func(old Old) (New, error)) Rule {
	r := Rule{kind: isStep, eventType: eventType, version: version, into: []string{eventType}}
	if step == nil {
		r.err = misconfigured("function of the %v is nil", &r)
	}
	r.apply = func(data []byte) ([]Part, error) {
		old, err := read[Old](data)
		if err != nil {
			return nil, err
		}
		next, err := step(old)
		return []Part{{Type: eventType, Version: version + 1, Data: next}}, err
	}
	return r
}

// Rename returns a rule with which events stored under an old name are of the type
// that has the new one. The old name has no other rules and is not registered; its
// events enter the chain of the new one at the version that they are stored with. So a type
// that is renamed takes its steps along and goes on counting. The new name may have
// been renamed in turn.
//
// Two types that have had versions of their own become one with a [Split] instead,
// whose only part says which version the old data correspond to.
func Rename(oldType, newType string) Rule {
	return Rule{kind: isRename, eventType: oldType, into: []string{newType}}
}

// Split returns a rule that makes other events of one: several, one of another type,
// or none at all, which leaves the event out. It takes the place of the step from its
// version. Into names the types that the parts may have, at least one, so that who asks
// for these types gets the events. They may include the type itself, if the part has a
// higher version. All parts have the aggregate, version, sequence ID, timestamp, user
// and metadata of the event.
//
// For the function what [Step] says holds.
func Split[Old any](eventType string, version int, split func(old Old) ([]Part, error), into ...string) Rule {
	r := Rule{kind: isSplit, eventType: eventType, version: version, into: slices.Clone(into)}
	if split == nil {
		r.err = misconfigured("function of the %v is nil", &r)
	}
	if len(into) == 0 {
		r.err = errors.Join(r.err, misconfigured("the %v does not say into which types; a type that is to be left out has a Drop", &r))
	}
	r.apply = func(data []byte) ([]Part, error) {
		old, err := read[Old](data)
		if err != nil {
			return nil, err
		}
		return split(old)
	}
	return r
}

// Drop returns a rule that leaves out all events of a type, of whatever version. The
// type is not registered. Events that are left out still count as versions of their
// aggregates.
func Drop(eventType string) Rule { return Rule{kind: isDrop, eventType: eventType} }

// read decodes JSON without turning numbers into float64.
func read[T any](data []byte) (T, error) {
	var v T
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		return v, fmt.Errorf("data cannot be read as %T: %w", v, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return v, fmt.Errorf("data cannot be read as %T: there is more after the JSON", v)
	}
	return v, nil
}

// write encodes what an upcaster has returned.
func write(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("result, a %T, cannot be written: %w", v, err)
	}
	if string(data) == "null" {
		return nil, fmt.Errorf("result, a %T, is null", v)
	}
	return data, nil
}

func misconfigured(format string, args ...any) error {
	return fmt.Errorf("%w: upcast: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...)
}
