package eventsource_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/eventsource-go/eventsource"
)

func TestErrors_say_what_happened_and_unwrap_to_their_sentinel(t *testing.T) {
	for _, test := range []struct {
		err  error
		is   []error
		want string
	}{
		{
			&eventsource.ConflictError{AggregateID: "a", Expected: 3, Actual: 5},
			[]error{eventsource.ErrConflict},
			`eventsource: version conflict: aggregate "a" is at version 5, its next event cannot have version 3`,
		},
		{
			&eventsource.TooLargeError{AggregateID: "a", Type: "T", Size: 9, Limit: 8},
			[]error{eventsource.ErrTooLarge},
			`eventsource: too large: T of aggregate "a" has 9 bytes, the limit is 8`,
		},
		{
			&eventsource.SaveTooLargeError{Events: 9, MaxEvents: 8},
			[]error{eventsource.ErrTooLarge},
			"eventsource: too large: one save has 9 events, the limit is 8; save them in parts, each of which is atomic",
		},
		{
			&eventsource.SaveTooLargeError{Events: 9, Size: 70, MaxSize: 60},
			[]error{eventsource.ErrTooLarge},
			"eventsource: too large: one save has 9 events, with 70 bytes together, the limit is 60; " +
				"save them in parts, each of which is atomic",
		},
		{
			&eventsource.SaveTooLargeError{Events: 9, MaxEvents: 8, Size: 70, MaxSize: 60},
			[]error{eventsource.ErrTooLarge},
			"eventsource: too large: one save has 9 events, the limit is 8, with 70 bytes together, the limit is 60; " +
				"save them in parts, each of which is atomic",
		},
		{
			&eventsource.OutcomeUnknownError{AggregateIDs: []string{"a", "b"}, Err: errFake},
			[]error{eventsource.ErrOutcomeUnknown, errFake},
			`eventsource: outcome of the save is unknown (2 aggregates, the first is "a"): the disk is on fire`,
		},
		{
			&eventsource.OutcomeUnknownError{},
			[]error{eventsource.ErrOutcomeUnknown},
			"eventsource: outcome of the save is unknown",
		},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("message is %q, want %q", got, test.want)
		}
		wrapped := fmt.Errorf("while testing: %w", test.err)
		for _, sentinel := range test.is {
			if !errors.Is(wrapped, sentinel) {
				t.Errorf("%T is not %v", test.err, sentinel)
			}
		}
		if errors.Is(wrapped, eventsource.ErrInvalidQuery) {
			t.Errorf("%T is any error", test.err)
		}
		var conflict *eventsource.ConflictError
		if _, is := test.err.(*eventsource.ConflictError); errors.As(wrapped, &conflict) != is { //nolint:errorlint // the type itself
			t.Errorf("errors.As finds a conflict in %T: %v", test.err, !is)
		}
	}
}
