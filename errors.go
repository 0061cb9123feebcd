package eventsource

import (
	"errors"
	"fmt"
)

// Errors that every store gives. Test for them with [errors.Is]; where a typed
// error stands beside one, [errors.As] gives the details.
var (
	// ErrNoHistory is returned by [Repository.Load] when the aggregate has no events.
	ErrNoHistory = errors.New("eventsource: aggregate has no events")

	// ErrDeleted is returned by [Aggregate.On] to say that the event deletes the
	// aggregate. [Repository.Load] turns it into deleted == true and no error.
	ErrDeleted = errors.New("eventsource: aggregate is deleted")

	// ErrConflict is returned when an event asks for a version of its aggregate
	// that is not the next one. The details are in a [ConflictError].
	ErrConflict = errors.New("eventsource: version conflict")

	// ErrTaken is returned when a save reserves, or releases, a value that another
	// aggregate holds; see [Reservation]. The details are in a [TakenError].
	ErrTaken = errors.New("eventsource: value is taken")

	// ErrInvalidCommand is returned by [Dispatcher.Dispatch] when a command is nil, or is
	// for no aggregate that there can be.
	ErrInvalidCommand = errors.New("eventsource: invalid command")

	// ErrUnchanged is returned by [CommandHandler.Handle] to say that the command changes
	// nothing. [Dispatcher.Dispatch] then saves nothing and returns no error.
	ErrUnchanged = errors.New("eventsource: command changes nothing")

	// ErrInvalidSequenceID is returned when a sequence ID is not a ULID.
	ErrInvalidSequenceID = errors.New("eventsource: invalid sequence ID")

	// ErrInvalidQuery is returned when a query asks for something that cannot be
	// answered, such as a negative limit.
	ErrInvalidQuery = errors.New("eventsource: invalid query")

	// ErrInvalidEvent is returned when an event or a record cannot be stored as it
	// is: a nil event, an empty aggregate ID, text that is not UTF-8.
	ErrInvalidEvent = errors.New("eventsource: invalid event")

	// ErrUnknownType is returned by a [Serializer] for an event type that was not
	// registered with it.
	ErrUnknownType = errors.New("eventsource: unknown event type")

	// ErrTooLarge is returned when an event, or the events of one save together,
	// are larger than the store takes; none of the save is stored. The details are
	// in a [TooLargeError] or in a [SaveTooLargeError].
	ErrTooLarge = errors.New("eventsource: too large")

	// ErrTransactionDone is returned by Commit and Rollback of a
	// [StoreTransaction] that was committed or rolled back before.
	ErrTransactionDone = errors.New("eventsource: transaction has already been committed or rolled back")

	// ErrOutcomeUnknown is returned when the connection to the store broke, or the
	// context ended, in the middle of a commit and the store could not be asked
	// afterwards: the events are stored all, or none of them is. The details are
	// in an [OutcomeUnknownError].
	ErrOutcomeUnknown = errors.New("eventsource: outcome of the save is unknown")

	// ErrMisconfigured is returned by every method of a repository, store or
	// serializer that was made with arguments it cannot work with, such as a nil
	// store, or two event types of one name.
	ErrMisconfigured = errors.New("eventsource: misconfigured")
)

// ConflictError says which version was asked for and which the aggregate has.
// It unwraps to [ErrConflict].
type ConflictError struct {
	// AggregateID names the aggregate.
	AggregateID string
	// Expected is the version that the event asked for.
	Expected int
	// Actual is the version of the aggregate's last event, 0 if it has none, with the
	// events of the same save before this one. Only Actual+1 would have been accepted.
	// Another save may have moved it since.
	Actual int
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: aggregate %q is at version %d, its next event cannot have version %d",
		ErrConflict, e.AggregateID, e.Actual, e.Expected)
}

// Unwrap returns [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// TooLargeError says which event exceeds which limit. It unwraps to [ErrTooLarge].
type TooLargeError struct {
	// AggregateID and Type name the event.
	AggregateID, Type string
	// Size is the size of the event and Limit the most that the store takes, both
	// in bytes. The store says what counts: the event's data alone, or also its
	// metadata and IDs.
	Size, Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%v: %s of aggregate %q has %d bytes, the limit is %d",
		ErrTooLarge, e.Type, e.AggregateID, e.Size, e.Limit)
}

// Unwrap returns [ErrTooLarge].
func (e *TooLargeError) Unwrap() error { return ErrTooLarge }

// SaveTooLargeError says that the events of one save are together more than the
// store can keep atomically, although it takes each of them alone. They can be
// saved in parts, each of which is atomic. It unwraps to [ErrTooLarge].
type SaveTooLargeError struct {
	// Events is how many events the save has, and MaxEvents the most that the store
	// takes, 0 if their number is not what is too large.
	Events, MaxEvents int
	// Size is the size of the events together and MaxSize the most that the store
	// takes, both in bytes; both are 0 if the size is not what is too large.
	Size, MaxSize int
}

func (e *SaveTooLargeError) Error() string {
	msg := fmt.Sprintf("%v: one save has %d events", ErrTooLarge, e.Events)
	if e.MaxEvents > 0 {
		msg += fmt.Sprintf(", the limit is %d", e.MaxEvents)
	}
	if e.MaxSize > 0 {
		msg += fmt.Sprintf(", with %d bytes together, the limit is %d", e.Size, e.MaxSize)
	}
	return msg + "; save them in parts, each of which is atomic"
}

// Unwrap returns [ErrTooLarge].
func (e *SaveTooLargeError) Unwrap() error { return ErrTooLarge }

// OutcomeUnknownError says which events may or may not have been stored. It
// unwraps to [ErrOutcomeUnknown] and to what went wrong.
type OutcomeUnknownError struct {
	// AggregateIDs are the aggregates whose events they are, each once. Loading one
	// and looking for one of the events settles the question, since all were stored
	// or none. Empty for a transaction that had no events.
	AggregateIDs []string
	// Err is what broke the commit.
	Err error
}

func (e *OutcomeUnknownError) Error() string {
	msg := ErrOutcomeUnknown.Error()
	if n := len(e.AggregateIDs); n > 0 {
		msg += fmt.Sprintf(" (%d aggregates, the first is %q)", n, e.AggregateIDs[0])
	}
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns [ErrOutcomeUnknown] and the cause.
func (e *OutcomeUnknownError) Unwrap() []error { return []error{ErrOutcomeUnknown, e.Err} }

// PanicError is what a panic of the application's code becomes.
type PanicError struct {
	// Value is what the code panicked with.
	Value any
	// Stack is the stack of the goroutine, as [runtime/debug.Stack] gives it.
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
