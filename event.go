package eventsource

import (
	"fmt"
	"reflect"
)

// Event is something that happened to an aggregate. Embed [BaseEvent], by value
// or by pointer, to implement it.
type Event interface {
	// GetAggregateID returns the ID of the aggregate that the event belongs to.
	GetAggregateID() string
	// GetUserID returns who caused the event, "" if nobody did.
	GetUserID() string
	// GetSequenceID returns the ULID that the store gave to the event, "" before it is saved.
	GetSequenceID() string
	// GetTimestamp returns when the event happened, in Unix nanoseconds.
	GetTimestamp() int64
	// SetSequenceID is called by the repository.
	SetSequenceID(string)
	// SetTimestamp is called by the repository.
	SetTimestamp(int64)
}

// Versioned is implemented by events that carry their version, such as all that
// embed [BaseEvent]. An event that does not implement it is saved at the end of
// its aggregate.
type Versioned interface {
	GetVersion() int
	SetVersion(int)
}

// MetadataCarrier is implemented by events that carry metadata, such as all that
// embed [BaseEvent].
type MetadataCarrier interface {
	GetMetadata() Metadata
	SetMetadata(Metadata)
}

// envelopeSetter is what [BaseEvent] has beyond [Event] for the repository to
// fill when it loads an event. An event without it must bring its aggregate and
// user ID along in its own data.
type envelopeSetter interface {
	SetAggregateID(string)
	SetUserID(string)
}

// EventTyper is implemented by events that choose the name of their type
// instead of going by their Go type's name.
type EventTyper interface {
	EventType() string
}

// BaseEvent is what all events have in common. Events embed it, by value or by
// pointer:
//
//	type Opened struct {
//		eventsource.BaseEvent
//		Owner string
//	}
//
// Its fields are kept beside the event's data, not in it, so they are left out
// of the event's JSON. Its methods may be called on a nil *BaseEvent: getters
// give zero values, setters do nothing. It is not safe for concurrent use.
type BaseEvent struct {
	// AggregateID is the aggregate that the event belongs to. Required.
	AggregateID string `json:"-"`
	// UserID is who caused the event. Optional.
	UserID string `json:"-"`
	// SequenceID is the ULID that the store gives to the event.
	SequenceID string `json:"-"`
	// Timestamp is when the event happened, in Unix nanoseconds. 0 when it is
	// saved means now.
	Timestamp int64 `json:"-"`
	// Version is the event's number in its aggregate, from 1. When it is saved, 0
	// means the next one, and any other value means exactly that one.
	Version int `json:"-"`
	// Metadata is what goes along with the event, such as a correlation ID.
	Metadata Metadata `json:"-"`
}

// GetAggregateID returns the AggregateID.
func (e *BaseEvent) GetAggregateID() string {
	if e == nil {
		return ""
	}
	return e.AggregateID
}

// SetAggregateID sets the AggregateID.
func (e *BaseEvent) SetAggregateID(id string) {
	if e != nil {
		e.AggregateID = id
	}
}

// GetUserID returns the UserID.
func (e *BaseEvent) GetUserID() string {
	if e == nil {
		return ""
	}
	return e.UserID
}

// SetUserID sets the UserID.
func (e *BaseEvent) SetUserID(id string) {
	if e != nil {
		e.UserID = id
	}
}

// GetSequenceID returns the SequenceID.
func (e *BaseEvent) GetSequenceID() string {
	if e == nil {
		return ""
	}
	return e.SequenceID
}

// SetSequenceID sets the SequenceID.
func (e *BaseEvent) SetSequenceID(id string) {
	if e != nil {
		e.SequenceID = id
	}
}

// GetTimestamp returns the Timestamp, in Unix nanoseconds.
func (e *BaseEvent) GetTimestamp() int64 {
	if e == nil {
		return 0
	}
	return e.Timestamp
}

// SetTimestamp sets the Timestamp, in Unix nanoseconds.
func (e *BaseEvent) SetTimestamp(ns int64) {
	if e != nil {
		e.Timestamp = ns
	}
}

// GetVersion returns the Version.
func (e *BaseEvent) GetVersion() int {
	if e == nil {
		return 0
	}
	return e.Version
}

// SetVersion sets the Version.
func (e *BaseEvent) SetVersion(version int) {
	if e != nil {
		e.Version = version
	}
}

// GetMetadata returns the Metadata itself, not a copy.
func (e *BaseEvent) GetMetadata() Metadata {
	if e == nil {
		return nil
	}
	return e.Metadata
}

// SetMetadata sets the Metadata; the event keeps the map that it is given.
func (e *BaseEvent) SetMetadata(m Metadata) {
	if e != nil {
		e.Metadata = m
	}
}

// EventType returns the name under which events of this type are stored: what
// the event's EventType method says, else the name of its Go type without
// package and pointer. It is "" for a nil event.
func EventType(event Event) string {
	if isNil(event) {
		return ""
	}
	if typer, ok := event.(EventTyper); ok {
		return typer.EventType()
	}
	return structType(reflect.TypeOf(event)).Name()
}

// typeName is EventType where the event's value does not matter: a nil pointer
// has the name of what it points to.
func typeName(event Event) string {
	if isNil(event) {
		if t := reflect.TypeOf(event); t != nil && t.Kind() == reflect.Pointer {
			event, _ = reflect.New(t.Elem()).Interface().(Event)
		}
	}
	return EventType(event)
}

// checkEvent refuses what has no aggregate.
func checkEvent(event Event) (err error) {
	if event == nil {
		return fmt.Errorf("%w: event is nil", ErrInvalidEvent)
	}
	if isNil(event) {
		return fmt.Errorf("%w: event is a nil %T", ErrInvalidEvent, event)
	}
	defer func() {
		if p := recover(); p != nil { // such as an embedded pointer that is nil
			err = fmt.Errorf("%w: %T cannot be asked for its aggregate ID: %v", ErrInvalidEvent, event, p)
		}
	}()
	if event.GetAggregateID() == "" {
		return fmt.Errorf("%w: %T has an empty aggregate ID", ErrInvalidEvent, event)
	}
	return nil
}

// isNil reports whether v is nil or an interface that holds a nil pointer, map,
// slice, func or channel.
func isNil(v any) bool {
	if v == nil {
		return true
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan, reflect.Interface:
		return rv.IsNil()
	default:
		return false
	}
}

// structType strips pointers.
func structType(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}
