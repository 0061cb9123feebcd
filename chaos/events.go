package chaos

import (
	"context"
	"fmt"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
)

// Happened is most of the events of workers.
type Happened struct {
	eventsource.BaseEvent
	Key string `json:"key"`
}

// Noted is one event of workers in three.
type Noted struct {
	eventsource.BaseEvent
	Key string `json:"key"`
}

func newEvent(key, aggregate string, version int, noted bool) eventsource.Event {
	base := eventsource.BaseEvent{AggregateID: aggregate, Version: version}
	if noted {
		return &Noted{BaseEvent: base, Key: key}
	}
	return &Happened{BaseEvent: base, Key: key}
}

// seen returns an event as it is written down.
func seen(event eventsource.Event) history.Event {
	switch e := event.(type) {
	case *Happened:
		return history.Event{Key: e.Key, Type: "Happened", Aggregate: e.AggregateID, SequenceID: e.SequenceID, Version: e.Version}
	case *Noted:
		return history.Event{Key: e.Key, Type: "Noted", Aggregate: e.AggregateID, SequenceID: e.SequenceID, Version: e.Version}
	default:
		return history.Event{Key: fmt.Sprintf("%T", event)}
	}
}

func allSeen(events []eventsource.Event) []history.Event {
	all := make([]history.Event, len(events))
	for i, event := range events {
		all[i] = seen(event)
	}
	return all
}

// wanted returns an event as it is written down before it is saved.
func wanted(events []eventsource.Event) []history.Event {
	all := allSeen(events)
	for i := range all {
		all[i].Expected, all[i].Version = all[i].Version, 0
	}
	return all
}

// collected is an aggregate that keeps its events.
type collected struct{ events []history.Event }

func (*collected) SetAggregateID(string) {}

func (c *collected) On(_ context.Context, event eventsource.Event) error {
	c.events = append(c.events, seen(event))
	return nil
}
