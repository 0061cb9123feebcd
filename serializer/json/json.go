// Package json stores events as JSON.
package json

import (
	"encoding/json"
	"fmt"

	"github.com/eventsource-go/eventsource"
)

// Serializer turns events into JSON and back, with encoding/json. It is safe for
// concurrent use.
type Serializer struct {
	registry *eventsource.Registry
	err      error
}

var _ eventsource.Serializer = (*Serializer)(nil)

// NewSerializer returns a serializer for the types of the given events; see
// [eventsource.NewRegistry]. What is registered, the struct or the pointer, is
// what comes back.
//
// A nil event and two types of one name are refused: such a serializer does
// nothing but return [eventsource.ErrMisconfigured], from [Serializer.Err], from
// both its methods, and from every method of a repository that is made with it.
func NewSerializer(events ...eventsource.Event) *Serializer {
	registry, err := eventsource.NewRegistry(events...)
	return &Serializer{registry: registry, err: err}
}

// Err returns what was wrong with the events that the serializer was made with,
// nil if nothing was.
func (s *Serializer) Err() error {
	if s.err == nil && s.registry == nil {
		return fmt.Errorf("%w: JSON serializer was not made by NewSerializer", eventsource.ErrMisconfigured)
	}
	return s.err
}

// Types returns the names of the event types that the serializer was made with, sorted,
// and none if they were refused. The slice belongs to the caller.
func (s *Serializer) Types() []string {
	if s.Err() != nil {
		return nil
	}
	return s.registry.Types()
}

// Marshal returns the event as JSON. A type that is not registered is
// [eventsource.ErrUnknownType].
func (s *Serializer) Marshal(event eventsource.Event) ([]byte, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	name, err := s.registry.Check(event)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("eventsource/json: event type %q cannot be written: %w", name, err)
	}
	return data, nil
}

// Unmarshal returns the event that the JSON stands for. A type that is not
// registered is [eventsource.ErrUnknownType]; malformed JSON is an error that
// names the type.
func (s *Serializer) Unmarshal(data []byte, eventType string) (eventsource.Event, error) {
	if err := s.Err(); err != nil {
		return nil, err
	}
	return s.registry.Decode(eventType, func(target any) error {
		if err := json.Unmarshal(data, target); err != nil {
			return fmt.Errorf("eventsource/json: data of event type %q cannot be read: %w", eventType, err)
		}
		return nil
	})
}
