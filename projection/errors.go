package projection

import (
	"errors"
	"fmt"
	"strings"

	"github.com/eventsource-go/eventsource"
)

// Errors of projections. Test for them with errors.Is; where a typed error stands
// beside one, errors.As gives the details.
var (
	// ErrDiverged is returned by Run when the checkpoint names an event that the store
	// does not have, as after a restore of an older copy of the events. Nothing is
	// handled. The details are in a [DivergedError].
	ErrDiverged = errors.New("eventsource/projection: checkpoint is beyond the events of the store")

	// ErrDefinitionChanged is returned by Run when the projection was started before,
	// with this name and version, for other event types. The details are in a
	// [DefinitionError].
	ErrDefinitionChanged = errors.New("eventsource/projection: definition has changed")

	// ErrSuperseded is returned by Run when a later version is active and this one was
	// dropped, or has never run; and when a version is dropped while it runs.
	ErrSuperseded = errors.New("eventsource/projection: superseded by another version")

	// ErrUnknown is returned when there is no projection, version or parked event of
	// that name.
	ErrUnknown = errors.New("eventsource/projection: unknown")

	// ErrEventFailed is returned by Run when a handler kept failing and the projection
	// is to stop then. The details are in an [EventError].
	ErrEventFailed = errors.New("eventsource/projection: event could not be handled")

	// ErrFenced is returned by [Checkpoints] when the lease that a call works under is
	// no longer the one that counts.
	ErrFenced = errors.New("eventsource/projection: lease was taken over")

	// ErrStale is returned by [Checkpoints] when a row has changed since it was loaded.
	ErrStale = errors.New("eventsource/projection: row has changed meanwhile")

	// ErrUnavailable is returned by [Transactor] when a transaction failed because its
	// connection did, or its outcome is not known, so that what the handler returned
	// says nothing about the events.
	ErrUnavailable = errors.New("eventsource/projection: checkpoints are unavailable")
)

// DivergedError says which event is missing. It unwraps to [ErrDiverged].
type DivergedError struct {
	// Projection and Version name the projection.
	Projection string
	Version    int
	// Position is the checkpoint, a sequence ID.
	Position string
	// LastEvent is the last event that was handled, "" if that is not known.
	LastEvent string
	// Head is the highest sequence ID that is stored, "" if there is none.
	Head string
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("%v: version %d of %q is at %s, the last event that it handled is %s, and the store's last event is %q; if the events were restored from a copy, reset the projection",
		ErrDiverged, e.Version, e.Projection, e.Position, orNone(e.LastEvent), e.Head)
}

// Unwrap returns [ErrDiverged].
func (e *DivergedError) Unwrap() error { return ErrDiverged }

// DefinitionError says what has changed. It unwraps to [ErrDefinitionChanged].
type DefinitionError struct {
	// Projection and Version name the projection.
	Projection string
	Version    int
	// Started are the event types that the projection was started for, Now those that
	// its handler asks for; none stands for all types. A type that was renamed or split
	// since also stands there under the name under which it is stored.
	Started, Now []string
}

func (e *DefinitionError) Error() string {
	return fmt.Sprintf("%v: version %d of %q was started for %s, and now asks for %s; give it another name, or a higher version, which handles all events anew",
		ErrDefinitionChanged, e.Version, e.Projection, typesText(e.Started), typesText(e.Now))
}

// Unwrap returns [ErrDefinitionChanged].
func (e *DefinitionError) Unwrap() error { return ErrDefinitionChanged }

// EventError says which event could not be handled, and why. It unwraps to
// [ErrEventFailed] and to what the handler or the serializer returned.
type EventError struct {
	// Projection and Version name the projection.
	Projection string
	Version    int
	// SequenceID, AggregateID, AggregateVersion and Type name the event. Of a handler of
	// batches that has not said which event failed, it is the first of the batch.
	SequenceID, AggregateID string
	AggregateVersion        int
	Type                    string
	// Tries is how often it was tried.
	Tries int
	// Err is the last error.
	Err error
}

func (e *EventError) Error() string {
	return fmt.Sprintf("%v: version %d of %q, %s %s (version %d of aggregate %q), tried %d times: %v",
		ErrEventFailed, e.Version, e.Projection, e.Type, e.SequenceID, e.AggregateVersion, e.AggregateID, e.Tries, e.Err)
}

// Unwrap returns [ErrEventFailed] and the cause.
func (e *EventError) Unwrap() []error { return []error{ErrEventFailed, e.Err} }

// PanicError is what a handler's panic becomes.
type PanicError = eventsource.PanicError

func misconfigured(format string, args ...any) error {
	return fmt.Errorf("%w: projection: "+format, append([]any{eventsource.ErrMisconfigured}, args...)...)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func typesText(types []string) string {
	if len(types) == 0 {
		return "all event types"
	}
	return strings.Join(types, ", ")
}
