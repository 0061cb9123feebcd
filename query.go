package eventsource

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Query says which events [Repository.Events] gives. The zero value asks for
// all of them, from the first to the last. All conditions must hold.
type Query struct {
	// After is a sequence ID that all events come strictly after. Defaults to "",
	// the beginning.
	After string
	// Before is a sequence ID that all events come strictly before. Defaults to
	// "", the end.
	Before string
	// Types are the names of the event types (see [EventType]). [Repository.Events] takes
	// those that events have when they are read, a [Store] those that they are stored
	// under; mostly that is the same (see [TypeResolver]). Defaults to all.
	Types []string
	// AggregateID is the aggregate that the events belong to. Defaults to all.
	AggregateID string
	// From is the first timestamp that an event may have, in Unix nanoseconds.
	// Defaults to 0, no bound.
	From int64
	// Until is the timestamp that all events are earlier than, in Unix
	// nanoseconds. Defaults to 0, no bound.
	Until int64
	// Limit is the most events to give. Several that are one record for the store
	// ([MultiUnmarshaler]) are never cut apart, so there may be more by that. Defaults to
	// 0, no limit.
	Limit int
	// Descending asks for the last event first. Defaults to the first one first.
	Descending bool
}

// Normalize returns the query with its sequence IDs in canonical form, or
// [ErrInvalidSequenceID] or [ErrInvalidQuery] and what is wrong with it. Stores
// call it first.
func (q Query) Normalize() (Query, error) {
	var err error
	if q.After, err = ParseSequenceID(q.After); err != nil {
		return q, err
	}
	if q.Before, err = ParseSequenceID(q.Before); err != nil {
		return q, err
	}
	if err := CheckLimit(q.Limit); err != nil {
		return q, err
	}
	if slices.Contains(q.Types, "") {
		return q, fmt.Errorf("%w: an event type is empty", ErrInvalidQuery)
	}
	for _, name := range append([]string{q.AggregateID}, q.Types...) {
		if !utf8.ValidString(name) || strings.Contains(name, "\x00") {
			return q, fmt.Errorf("%w: no aggregate or type is named %q, which is not UTF-8 without NUL", ErrInvalidQuery, name)
		}
	}
	return q, nil
}

// Matches reports whether the record fulfils all conditions but the limit. The
// query must have been normalized.
func (q *Query) Matches(r *Record) bool {
	return r.SequenceID > q.After &&
		(q.Before == "" || r.SequenceID < q.Before) &&
		(q.AggregateID == "" || r.AggregateID == q.AggregateID) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, r.Type)) &&
		(q.From == 0 || r.Timestamp >= q.From) &&
		(q.Until == 0 || r.Timestamp < q.Until)
}
