// Package failures says what may be told of errors where many people read it: in logs,
// traces and metrics.
package failures

import (
	"context"
	"errors"
	"fmt"

	"github.com/eventsource-go/eventsource"
)

// kinds are the errors of package eventsource, the contexts' and the standard library's
// with their names. The first one that an error is counts.
var kinds = [...]struct {
	err  error
	name string
}{
	{eventsource.ErrOutcomeUnknown, "outcome_unknown"}, // it may be a context's as well
	{eventsource.ErrConflict, "conflict"},
	{eventsource.ErrTaken, "taken"},
	{eventsource.ErrTransactionDone, "transaction_done"},
	{eventsource.ErrNoHistory, "no_history"},
	{eventsource.ErrDeleted, "deleted"},
	{eventsource.ErrUnchanged, "unchanged"},
	{eventsource.ErrInvalidCommand, "invalid_command"},
	{eventsource.ErrInvalidEvent, "invalid_event"},
	{eventsource.ErrInvalidQuery, "invalid_query"},
	{eventsource.ErrInvalidSequenceID, "invalid_sequence_id"},
	{eventsource.ErrUnknownType, "unknown_type"},
	{eventsource.ErrTooLarge, "too_large"},
	{eventsource.ErrMisconfigured, "misconfigured"},
	{errors.ErrUnsupported, "unsupported"},
	{context.DeadlineExceeded, "deadline_exceeded"},
	{context.Canceled, "canceled"},
}

// Kind returns a name for an error that another try cannot change, or whose caller has to
// decide what to do; "" for any other, which is the backend's.
func Kind(err error) string {
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			return kind.name
		}
	}
	return ""
}

// Expected reports whether an error belongs to normal work: somebody else was faster, or
// the caller does not wait any more.
func Expected(err error) bool {
	switch Kind(err) {
	case "conflict", "taken", "deadline_exceeded", "canceled":
		return true
	}
	return false
}

// Text is an error's text without what events contain. It may have aggregate IDs.
func Text(err error) string {
	var taken *eventsource.TakenError
	switch {
	case errors.As(err, &taken):
		return fmt.Sprintf("%v (scope %q, asked for by %q, held by %q)", eventsource.ErrTaken, taken.Scope, taken.AggregateID, taken.Holder)
	case errors.Is(err, eventsource.ErrTaken):
		return eventsource.ErrTaken.Error()
	case errors.Is(err, eventsource.ErrInvalidEvent):
		return eventsource.ErrInvalidEvent.Error()
	}
	return err.Error()
}
