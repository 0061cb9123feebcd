package eventsource

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Registry knows event types by name, for use by serializers. It does not change
// after it is made and is safe for concurrent use.
type Registry struct {
	types map[string]registeredType
}

type registeredType struct {
	structType reflect.Type
	// pointer is true when events are pointers to the struct.
	pointer bool
	// bases are the paths of the embedded pointers on the way to BaseEvent, in the
	// order in which they have to be allocated.
	bases [][]int
}

var baseEventType = reflect.TypeFor[BaseEvent]()

// NewRegistry registers the types of the given events, whose values do not
// matter: Opened{}, &Opened{} and (*Opened)(nil) all do. What is registered,
// the struct or the pointer, is what [Registry.Decode] returns. A nil event, an
// empty type name and two types of one name are [ErrMisconfigured].
func NewRegistry(events ...Event) (*Registry, error) {
	r := &Registry{types: make(map[string]registeredType, len(events))}
	for i, event := range events {
		if event == nil {
			return nil, fmt.Errorf("%w: event %d of %d to register is nil", ErrMisconfigured, i+1, len(events))
		}
		goType := reflect.TypeOf(event)
		t := registeredType{structType: goType}
		if goType.Kind() == reflect.Pointer {
			t.structType, t.pointer = goType.Elem(), true
		}
		if t.structType.Kind() != reflect.Struct {
			return nil, fmt.Errorf("%w: event type %T is neither a struct nor a pointer to one", ErrMisconfigured, event)
		}
		var err error
		if t.bases, err = embeddedBases(t.structType, nil, 0); err != nil {
			return nil, fmt.Errorf("%w: event type %T: %w", ErrMisconfigured, event, err)
		}
		name := EventType(t.event(reflect.New(t.structType)))
		if name == "" {
			return nil, fmt.Errorf("%w: event type %T has no name", ErrMisconfigured, event)
		}
		if other, ok := r.types[name]; ok {
			return nil, fmt.Errorf("%w: event types %v and %v are both named %q", ErrMisconfigured, other.goType(), goType, name)
		}
		r.types[name] = t
	}
	return r, nil
}

// Types returns the names of the types, sorted. The slice belongs to the caller.
func (r *Registry) Types() []string { return slices.Sorted(maps.Keys(r.types)) }

// Check returns the event's type name, or [ErrUnknownType] if its Go type is
// not the one that is registered under that name. Whether it is a struct or a
// pointer to one makes no difference. A nil event is [ErrInvalidEvent].
func (r *Registry) Check(event Event) (eventType string, err error) {
	if isNil(event) {
		return "", fmt.Errorf("%w: event is a nil %T", ErrInvalidEvent, event)
	}
	name := EventType(event)
	t, ok := r.types[name]
	if !ok {
		return "", fmt.Errorf("%w %q (%T is not registered)", ErrUnknownType, name, event)
	}
	if structType(reflect.TypeOf(event)) != t.structType {
		return "", fmt.Errorf("%w %q: %T is not registered, %v is", ErrUnknownType, name, event, t.goType())
	}
	return name, nil
}

// Decode returns a new event of the named type after decode has filled the
// target, a pointer to the type's struct. Embedded pointers to [BaseEvent] are
// allocated. A name that is not registered is [ErrUnknownType].
func (r *Registry) Decode(eventType string, decode func(target any) error) (Event, error) {
	t, ok := r.types[eventType]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrUnknownType, eventType)
	}
	target := reflect.New(t.structType)
	if err := decode(target.Interface()); err != nil {
		return nil, err
	}
	return t.event(target), nil
}

// goType is the type as it was registered.
func (t registeredType) goType() reflect.Type {
	if t.pointer {
		return reflect.PointerTo(t.structType)
	}
	return t.structType
}

// event makes the event of a pointer to a struct that has been filled.
func (t registeredType) event(target reflect.Value) Event {
	for _, path := range t.bases {
		if field := target.Elem().FieldByIndex(path); field.IsNil() {
			field.Set(reflect.New(field.Type().Elem()))
		}
	}
	if t.pointer {
		return target.Interface().(Event)
	}
	return target.Elem().Interface().(Event)
}

// embeddedBases finds the embedded pointers that lead to a BaseEvent.
func embeddedBases(t reflect.Type, path []int, depth int) ([][]int, error) {
	const maxDepth = 8 // a struct may embed a pointer to itself
	if depth > maxDepth {
		return nil, nil
	}
	for i := range t.NumField() {
		field := t.Field(i)
		embedded := structType(field.Type)
		if !field.Anonymous || embedded.Kind() != reflect.Struct {
			continue
		}
		here := append(append([]int(nil), path...), i)
		var below [][]int
		if embedded != baseEventType {
			var err error
			if below, err = embeddedBases(embedded, here, depth+1); err != nil {
				return nil, err
			}
			if below == nil {
				continue
			}
		}
		if field.Type.Kind() != reflect.Pointer {
			if below == nil {
				below = [][]int{}
			}
			return below, nil
		}
		if !field.IsExported() {
			return nil, fmt.Errorf("it embeds a pointer to the unexported type %v, which cannot be allocated", embedded)
		}
		return append([][]int{here}, below...), nil
	}
	return nil, nil
}
