package eventsource

import "context"

// Command is what an aggregate is asked to do. Embed [CommandBase] to implement it.
type Command interface {
	// GetAggregateID returns the ID of the aggregate that is asked. Required.
	GetAggregateID() string
}

// IdentifiedCommand is implemented by commands that can be told from others of the
// same content, such as all that embed [CommandBase]. One with an ID is applied to its
// aggregate once, however often it is dispatched.
type IdentifiedCommand interface {
	Command
	// GetCommandID returns the command's ID, any text, "" if it has none. The sender
	// chooses it, for instance as a ULID, and keeps it when it sends the command again.
	GetCommandID() string
}

// CommandBase is what all commands have in common. Commands embed it by value.
type CommandBase struct {
	// AggregateID is the aggregate that is asked. Required.
	AggregateID string `json:"aggregate_id"`
	// CommandID tells the command from others, "" if it may be applied as often as it
	// is sent. It is the causation ID of the events, unless the context or the events
	// have another one.
	CommandID string `json:"command_id,omitempty"`
}

// GetAggregateID returns the AggregateID.
func (c CommandBase) GetAggregateID() string { return c.AggregateID }

// GetCommandID returns the CommandID.
func (c CommandBase) GetCommandID() string { return c.CommandID }

// CommandHandler is implemented by aggregates that decide what comes of commands.
type CommandHandler interface {
	// Handle returns the events that the command leads to, given the aggregate's state,
	// in order and at least one; or an error that refuses it. [ErrUnchanged] says that
	// there is nothing to do. The events may leave their aggregate ID empty. Handle
	// changes nothing itself: the events are applied by [Aggregate.On]. It may be called
	// again, with a newer state, when another command was faster.
	Handle(ctx context.Context, command Command) ([]Event, error)
}
