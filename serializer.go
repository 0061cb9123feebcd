package eventsource

// Serializer turns events into bytes and back. It is safe for concurrent use.
// What [BaseEvent] holds is stored beside the data and need not be in it.
type Serializer interface {
	// Unmarshal returns the event that the data of an event type stand for. A type
	// that is not known is [ErrUnknownType]; data that cannot be read are an error
	// that names the type. The data are not kept.
	Unmarshal(data []byte, eventType string) (Event, error)
	// Marshal returns the event's data, which the caller owns. A type that is not
	// known is [ErrUnknownType].
	Marshal(event Event) ([]byte, error)
}

// MultiUnmarshaler is implemented by serializers with which a record may stand for
// several events, or for none, as when an event type was split or given up; package
// upcast has one. A repository uses it where it is there. A serializer that wraps
// another one passes it on, and [TypeResolver] too.
type MultiUnmarshaler interface {
	// UnmarshalAll is Unmarshal for all events that the data stand for, in order. None
	// says that the record is to be left out. All of them get the record's aggregate,
	// version, sequence ID and the rest.
	UnmarshalAll(data []byte, eventType string) ([]Event, error)
}

// TypeResolver is implemented by serializers whose events may have another type than
// the one that they are stored under.
type TypeResolver interface {
	// StoredTypes gives the names under which events of a type may be stored, the type
	// itself and each name once. The slice belongs to the caller.
	StoredTypes(eventType string) []string
}
