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
