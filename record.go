package eventsource

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits that hold on every store, in bytes.
const (
	// MaxAggregateIDLength is the most that an aggregate ID may have. It keeps IDs
	// within what an index of PostgreSQL and a key of DynamoDB can hold.
	MaxAggregateIDLength = 1024
	// MaxTypeLength is the most that an event type's name may have.
	MaxTypeLength = 255
)

// Record is an event as a store keeps it.
type Record struct {
	// SequenceID is the event's place in the order of all events, a ULID. The
	// store assigns it; what is set before is ignored.
	SequenceID string
	// AggregateID names the aggregate. Required.
	AggregateID string
	// Version is the event's number in its aggregate, from 1. In a record to be
	// saved, 0 means the next one.
	Version int
	// Type is the name of the event's type. Required.
	Type string
	// Timestamp is when the event happened, in Unix nanoseconds. In a record to
	// be saved, 0 means now.
	Timestamp int64
	// UserID is who caused the event, "" if nobody did.
	UserID string
	// Data is the event as the serializer wrote it: any bytes, also none. A record
	// that was loaded without data has an empty or nil slice.
	Data []byte
	// Metadata goes along with the event; nil if there is none.
	Metadata Metadata
	// Reservations are made when the record is saved, by its aggregate and in order.
	// They are not kept with it: a record that was loaded has none.
	Reservations []Reservation
}

// Validate returns [ErrInvalidEvent], with the field and its value, when the
// record cannot be stored on any store. Stores call it through
// [CheckRecords].
func (r *Record) Validate() error {
	if r.AggregateID == "" {
		return fmt.Errorf("%w: a record of type %q has an empty aggregate ID", ErrInvalidEvent, r.Type)
	}
	if r.Type == "" {
		return fmt.Errorf("%w: a record of aggregate %q has an empty type", ErrInvalidEvent, r.AggregateID)
	}
	if r.Version < 0 {
		return fmt.Errorf("%w: %s of aggregate %q has the negative version %d", ErrInvalidEvent, r.Type, r.AggregateID, r.Version)
	}
	if err := checkText("aggregate ID", r.AggregateID, MaxAggregateIDLength); err != nil {
		return err
	}
	if err := checkText("event type", r.Type, MaxTypeLength); err != nil {
		return err
	}
	if err := checkText("user ID", r.UserID, 0); err != nil {
		return err
	}
	for k, v := range r.Metadata {
		if err := checkText("metadata key", k, 0); err != nil {
			return err
		}
		if err := checkText("metadata value of "+k, v, 0); err != nil {
			return err
		}
	}
	for i := range r.Reservations {
		if err := r.Reservations[i].Validate(); err != nil {
			return fmt.Errorf("%w (%s of aggregate %q)", err, r.Type, r.AggregateID)
		}
	}
	return nil
}

// Clone returns a copy of the record that shares no memory with it.
func (r *Record) Clone() Record {
	c := *r
	c.Data = slices.Clone(r.Data)
	c.Metadata = maps.Clone(r.Metadata)
	c.Reservations = slices.Clone(r.Reservations)
	return c
}

// CheckRecords validates all records, and returns a [TooLargeError] for one with
// more than maxDataSize bytes of data. Stores call it before they write the first.
func CheckRecords(records []Record, maxDataSize int) error {
	for i := range records {
		r := &records[i]
		if err := r.Validate(); err != nil {
			return err
		}
		if len(r.Data) > maxDataSize {
			return &TooLargeError{AggregateID: r.AggregateID, Type: r.Type, Size: len(r.Data), Limit: maxDataSize}
		}
	}
	return nil
}

// CloneRecords returns copies of the records that share no memory with them.
func CloneRecords(records []Record) []Record {
	clones := make([]Record, len(records))
	for i := range records {
		clones[i] = records[i].Clone()
	}
	return clones
}

// checkText refuses what not every store can hold as text. A limit of 0 means none.
func checkText(what, s string, limit int) error {
	switch {
	case limit > 0 && len(s) > limit:
		return fmt.Errorf("%w: %s %q... has %d bytes, the limit is %d",
			ErrInvalidEvent, what, strings.ToValidUTF8(s[:32], "?"), len(s), limit)
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%w: %s %q contains a NUL character", ErrInvalidEvent, what, s)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %s %q is not valid UTF-8", ErrInvalidEvent, what, s)
	}
	return nil
}
