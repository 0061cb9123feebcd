package memstore

import (
	"context"
	"time"

	"github.com/eventsource-go/eventsource"
)

// reservedKey is a value that somebody holds, or has held.
type reservedKey struct{ scope, value string }

// Holder says who holds a value.
func (s *Store) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	if err := eventsource.CheckReserved(scope, value); err != nil {
		return eventsource.Holder{}, err
	}
	if err := ctx.Err(); err != nil {
		return eventsource.Holder{}, err
	}
	now := s.clock()
	s.events.mu.RLock()
	defer s.events.mu.RUnlock()
	return s.events.holder(reservedKey{scope, value}, now), nil
}

// holder is who holds a value now. The caller holds the lock.
func (e *events) holder(key reservedKey, now time.Time) eventsource.Holder {
	h := e.reserved[key]
	if h.Until != 0 && h.Until <= now.UnixNano() {
		return eventsource.Holder{}
	}
	return h
}

// taken says which value is held by another aggregate than it may be. The caller holds
// the lock.
func (e *events) taken(changes []eventsource.ReservationChange, now time.Time) error {
	for _, c := range changes {
		holder := e.holder(reservedKey{c.Scope, c.Value}, now).AggregateID
		if holder != "" && holder != c.From {
			return &eventsource.TakenError{Scope: c.Scope, Value: c.Value, AggregateID: c.From, Holder: holder}
		}
	}
	return nil
}

// reserve makes the changes, whose records have been stored. The caller holds the lock.
func (e *events) reserve(changes []eventsource.ReservationChange, records []eventsource.Record) {
	for _, c := range changes {
		key, r := reservedKey{c.Scope, c.Value}, &records[c.Record]
		if c.To == "" {
			delete(e.reserved, key)
			continue
		}
		e.reserved[key] = eventsource.Holder{AggregateID: c.To, SequenceID: r.SequenceID, Version: r.Version, Until: c.Until}
	}
}
