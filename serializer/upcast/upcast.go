// Package upcast lets events change: their fields, their names, and what is one event.
// What is stored stays as it is. Old data are turned into today's on their way in, by
// functions, each from one schema version to the next; see docs/schema-evolution.md.
// Package upcasttest checks that all that was ever stored can still be read.
package upcast

import (
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/eventsource-go/eventsource"
)

// maxEvents is the most events that one that is stored may stand for.
const maxEvents = 10_000

// ErrNewerVersion is returned for an event of a schema version that this program does
// not know: a newer release has written it.
var ErrNewerVersion = errors.New("eventsource/upcast: schema version is newer than this program")

// Error says which event could not be brought to today's form. It unwraps to what went
// wrong; a panic is an [eventsource.PanicError]. The repository adds the aggregate and
// the sequence ID.
type Error struct {
	// Type and Version are those that the event is stored with. Version is 0 if it could
	// not be read.
	Type    string
	Version int
	// Upcaster says which rule failed, "" if none did.
	Upcaster string
	// Err is what went wrong.
	Err error
}

func (e *Error) Error() string {
	msg := fmt.Sprintf("eventsource/upcast: %q of schema version %d cannot be read", e.Type, e.Version)
	if e.Upcaster != "" {
		msg += ": " + e.Upcaster
	}
	return msg + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Serializer is a JSON serializer for events that have changed. It writes the schema
// version into the data, as the first field of the object, {"$v":2,"total":5}, unless
// that is 1: events that were stored without this package are of version 1. An event
// that is stored in its newest version costs no more than finding that out. It is safe
// for concurrent use.
type Serializer struct {
	inner  eventsource.Serializer
	types  []string            // registered
	chains map[string]*chain   // by all names that events are stored under
	stored map[string][]string // by type
	err    error
}

var (
	_ eventsource.Serializer       = (*Serializer)(nil)
	_ eventsource.MultiUnmarshaler = (*Serializer)(nil)
	_ eventsource.TypeResolver     = (*Serializer)(nil)
)

// chain is what happens to the events of a type.
type chain struct {
	eventType  string
	registered bool
	dropped    bool
	version    int           // the newest, 0 if it is dropped
	rules      map[int]*Rule // by version, one for each, but for the newest of a type that is registered
}

// NewSerializer returns a serializer that upcasts what it gives to the inner one, which
// reads and writes JSON, and says which types it knows (a method Types() []string, as
// that of package serializer/json). The version of a type that is written is one above that of its highest
// [Step] or [Split].
//
// Rules that do not fit together are [eventsource.ErrMisconfigured], from
// [Serializer.Err] and every method: a version without a step to the next one, or with
// two; a type that is neither registered, nor split in its highest version, nor dropped; an old name, or a
// type that is dropped, that has other rules or is registered; what leads back to itself.
func NewSerializer(inner eventsource.Serializer, rules ...Rule) *Serializer {
	s := &Serializer{inner: inner}
	if v := reflect.ValueOf(inner); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		s.err = misconfigured("serializer to wrap is a nil %T", inner)
		return s
	}
	lister, ok := inner.(interface{ Types() []string })
	if !ok {
		s.err = misconfigured("serializer to wrap, a %T, has no method Types", inner)
		return s
	}
	if inner, ok := inner.(interface{ Err() error }); ok && inner.Err() != nil {
		s.err = inner.Err()
		return s
	}
	b := builder{types: lister.Types(), names: make(map[string]string), chains: make(map[string]*chain)}
	b.build(rules)
	s.types, s.chains, s.stored, s.err = b.types, b.chains, b.stored(), b.err
	return s
}

// Err returns what was wrong with the arguments of [NewSerializer], nil if nothing was.
func (s *Serializer) Err() error {
	if s.err == nil && s.chains == nil {
		return misconfigured("serializer was not made by NewSerializer")
	}
	return s.err
}

// Types returns the names of the event types that are registered, sorted. The slice
// belongs to the caller.
func (s *Serializer) Types() []string { return slices.Clone(s.types) }

// Marshal returns the event as JSON, with its schema version. The event's own JSON is an
// object, unless the version is 1, and does not begin with a field "$v": otherwise it
// is [eventsource.ErrInvalidEvent]. A type that is not registered is
// [eventsource.ErrUnknownType].
func (s *Serializer) Marshal(event eventsource.Event) ([]byte, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	data, err := s.inner.Marshal(event)
	if err != nil {
		return nil, err
	}
	name := eventsource.EventType(event)
	c := s.chains[name]
	if c == nil {
		return nil, fmt.Errorf("%w %q", eventsource.ErrUnknownType, name)
	}
	if data, err = addVersion(c.version, data); err != nil {
		return nil, fmt.Errorf("eventsource/upcast: event type %q cannot be written: %w", name, err)
	}
	return data, nil
}

// Unmarshal returns the event that the data stand for. If that is not exactly one, it
// is [errors.ErrUnsupported]: [Serializer.UnmarshalAll] gives them. Its errors are those
// of UnmarshalAll.
func (s *Serializer) Unmarshal(data []byte, eventType string) (eventsource.Event, error) {
	e, c, err := s.open(data, eventType)
	if err != nil {
		return nil, err
	}
	if c.isNewest(e.version) {
		return e.event(c, e.data)
	}
	if err := e.upcast(c, e.version, e.data); err != nil {
		return nil, err
	}
	if n := len(e.events); n != 1 {
		return nil, fmt.Errorf("%w: %q of schema version %d stands for %d events, and is read as one", errors.ErrUnsupported, eventType, e.version, n)
	}
	return e.events[0], nil
}

// UnmarshalAll returns the events that the data of an event stand for today, none if it
// is left out. A type that neither is registered nor has a rule is
// [eventsource.ErrUnknownType]; all else that goes wrong is an [Error].
func (s *Serializer) UnmarshalAll(data []byte, eventType string) ([]eventsource.Event, error) {
	e, c, err := s.open(data, eventType)
	if err != nil {
		return nil, err
	}
	if err := e.upcast(c, e.version, e.data); err != nil {
		return nil, err
	}
	return e.events, nil
}

// StoredTypes implements [eventsource.TypeResolver]: the names that the type has had,
// and those of the types that were split into it.
func (s *Serializer) StoredTypes(eventType string) []string {
	if stored, ok := s.stored[eventType]; ok {
		return slices.Clone(stored)
	}
	return []string{eventType}
}

// StoredType is a name under which events may be stored.
type StoredType struct {
	// Name is the name.
	Name string
	// Type is the type whose chain the events go through: Name, unless that was renamed.
	Type string
	// Version is the newest schema version of Type, 0 if all events are left out.
	Version int
	// Registered is true if events of Type are saved today, under that name and with that
	// version.
	Registered bool
}

// History returns all names under which events may be stored, sorted by Name. The slice
// belongs to the caller.
func (s *Serializer) History() []StoredType {
	history := make([]StoredType, 0, len(s.chains))
	for name, c := range s.chains {
		history = append(history, StoredType{Name: name, Type: c.eventType, Version: c.version, Registered: c.registered})
	}
	slices.SortFunc(history, func(a, b StoredType) int { return strings.Compare(a.Name, b.Name) })
	return history
}

// Version returns the schema version that a type is written with today, 0 if it is not
// registered.
func (s *Serializer) Version(eventType string) int {
	if c := s.chains[eventType]; c != nil && c.registered && c.eventType == eventType {
		return c.version
	}
	return 0
}

// stored is an event as it is stored, on its way to today's form.
type stored struct {
	*Serializer
	eventType string
	version   int
	data      []byte // without the version
	events    []eventsource.Event
	parts     int
}

// open finds out what data are.
func (s *Serializer) open(data []byte, eventType string) (e stored, c *chain, err error) {
	e = stored{Serializer: s, eventType: eventType}
	if err := s.Err(); err != nil {
		return e, nil, err
	}
	c = s.chains[eventType]
	if c == nil {
		return e, nil, fmt.Errorf("%w %q", eventsource.ErrUnknownType, eventType)
	}
	if c.dropped {
		return e, c, nil
	}
	if e.version, e.data, err = stripVersion(data); err != nil {
		return e, nil, e.failed(nil, err)
	}
	if e.version > c.version {
		return e, nil, e.failed(nil, fmt.Errorf("%w, which knows version %d", ErrNewerVersion, c.version))
	}
	return e, c, nil
}

func (e *stored) failed(rule *Rule, err error) error {
	failed := &Error{Type: e.eventType, Version: e.version, Err: err}
	if rule != nil {
		failed.Upcaster = rule.String()
	}
	return failed
}

// isNewest reports whether data of a version are an event as they are.
func (c *chain) isNewest(version int) bool { return c.registered && version == c.version }

// event decodes data of the newest version.
func (e *stored) event(c *chain, data []byte) (eventsource.Event, error) {
	event, err := e.inner.Unmarshal(data, c.eventType)
	if err != nil {
		return nil, e.failed(nil, err)
	}
	return event, nil
}

// upcast takes data of a version, which the chain has, through the chain.
func (e *stored) upcast(c *chain, version int, data []byte) error {
	for ; !c.dropped; version++ {
		if c.isNewest(version) {
			event, err := e.event(c, data)
			e.events = append(e.events, event)
			return err
		}
		rule := c.rules[version]
		parts, err := rule.call(data)
		if err != nil {
			return e.failed(rule, err)
		}
		if rule.kind == isSplit {
			return e.split(rule, c, version, parts)
		}
		data = parts[0].data
	}
	return nil
}

// split takes the parts of an event through their chains.
func (e *stored) split(rule *Rule, c *chain, version int, parts []encoded) error {
	for i, part := range parts {
		if e.parts++; e.parts > maxEvents {
			return e.failed(rule, fmt.Errorf("more than %d events come of one", maxEvents))
		}
		to := e.chains[part.eventType]
		wrong := ""
		switch {
		case to == nil || !slices.Contains(rule.into, to.eventType):
			wrong = "none of the types that it splits into"
		case to == c && part.version <= version:
			wrong = "not above its own, so that it would never end"
		case part.version < 1 || part.version > to.version && !to.dropped:
			wrong = fmt.Sprintf("not from 1 to %d", to.version)
		}
		if wrong != "" {
			return e.failed(rule, fmt.Errorf("part %d of %d, %q of version %d: that is %s", i+1, len(parts), part.eventType, part.version, wrong))
		}
		if err := e.upcast(to, part.version, part.data); err != nil {
			return err
		}
	}
	return nil
}

// encoded is a [Part].
type encoded struct {
	eventType string
	version   int
	data      []byte
}

// call calls the rule's function and turns a panic into an error.
func (r *Rule) call(data []byte) (result []encoded, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, &eventsource.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	parts, err := r.apply(data)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		data, err := write(part.Data)
		if err != nil {
			return nil, err
		}
		result = append(result, encoded{part.Type, max(part.Version, 1), data})
	}
	return result, nil
}
