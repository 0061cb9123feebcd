package eventsource

import "context"

// Aggregate is rebuilt from its events by [Repository.Load].
type Aggregate interface {
	// On applies an event to the aggregate's state. [ErrDeleted] says that the
	// event deletes the aggregate and ends the load; any other error fails it.
	On(ctx context.Context, event Event) error
	// SetAggregateID is called with the aggregate's ID before the first event.
	SetAggregateID(id string)
}
