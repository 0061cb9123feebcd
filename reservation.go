package eventsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of reservations, in bytes.
const (
	// MaxScopeLength is the most that a reservation's scope may have.
	MaxScopeLength = 255
	// MaxReservedLength is the most that a reserved value may have.
	MaxReservedLength = 1024
)

// Reservation takes a value that only one aggregate may have at a time, such as an
// e-mail address, or gives it back. It is stored together with an event, or not at
// all. The value's holder is the event's aggregate. Package unique makes them.
type Reservation struct {
	// Scope says what kind of value it is. Values of different scopes have nothing to
	// do with each other. Required. Those that start with "eventsource." are this
	// package's own: events that reserve in them are [ErrInvalidEvent].
	Scope string
	// Value is compared byte by byte. Required.
	Value string
	// Release gives the value back. If the aggregate does not hold it, and nobody else
	// does, nothing happens.
	Release bool
	// Until is when the reservation ends by itself, in Unix nanoseconds, by the store's
	// clock. 0 means never. An aggregate that holds the value already may reserve it
	// again to change that.
	Until int64
}

// Validate returns [ErrInvalidEvent], with the field and its value, when the
// reservation cannot be stored on any store.
func (r *Reservation) Validate() error {
	switch {
	case r.Scope == "":
		return fmt.Errorf("%w: the reservation of %q has an empty scope", ErrInvalidEvent, r.Value)
	case r.Value == "":
		return fmt.Errorf("%w: a reservation in scope %q has an empty value", ErrInvalidEvent, r.Scope)
	case r.Until < 0:
		return fmt.Errorf("%w: the reservation of %s %q ends before 1970, at %d", ErrInvalidEvent, r.Scope, r.Value, r.Until)
	}
	return cmp.Or(checkText("scope", r.Scope, MaxScopeLength), checkText("reserved value", r.Value, MaxReservedLength))
}

// Reserving is implemented by events that take values which only one aggregate may
// have, or give them back. [Repository.Save] asks each event that it saves.
type Reserving interface {
	// Reservations gives them, in the order in which they are made.
	Reservations() []Reservation
}

// Reserver is implemented by stores that keep reservations. Other stores are not given
// records that have any: the repository returns [errors.ErrUnsupported].
//
// A value is taken by a save if nobody holds it, if its holder's reservation has ended,
// or if the record's aggregate holds it already. Otherwise the save is [ErrTaken], and
// so it is when an aggregate releases what another one holds: at NewTransaction or at
// Commit, as with a version. [ReservationChanges] puts together what the records of a
// save do. Where a store limits the events of a save, each of its changes counts as one.
type Reserver interface {
	// Holder says who holds a value. If nobody does, or the reservation has ended, it is
	// the zero Holder. It sees every save that has returned. A scope or value that
	// cannot be reserved is [ErrInvalidQuery].
	Holder(ctx context.Context, scope, value string) (Holder, error)
}

// CheckReserved returns [ErrInvalidQuery] for a scope or a value that cannot be
// reserved. Stores call it in Holder.
func CheckReserved(scope, value string) error {
	r := Reservation{Scope: scope, Value: value}
	if err := r.Validate(); err != nil {
		return fmt.Errorf("%w: %s", ErrInvalidQuery, strings.TrimPrefix(err.Error(), ErrInvalidEvent.Error()+": "))
	}
	return nil
}

// Holder is who holds a value.
type Holder struct {
	// AggregateID is the aggregate, "" if nobody holds the value.
	AggregateID string
	// SequenceID and Version are those of the event that it was reserved with.
	SequenceID string
	Version    int
	// Until is when the reservation ends, in Unix nanoseconds, 0 if it does not.
	Until int64
}

// TakenError says which value could not be reserved or released, and who holds it. It
// unwraps to [ErrTaken].
type TakenError struct {
	// Scope and Value are what was asked for.
	Scope, Value string
	// AggregateID asked for it.
	AggregateID string
	// Holder is the aggregate that holds it.
	Holder string
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%v: %s %q is held by %q, and not free for %q", ErrTaken, e.Scope, e.Value, e.Holder, e.AggregateID)
}

// Unwrap returns [ErrTaken].
func (e *TakenError) Unwrap() error { return ErrTaken }

// ReservationChange is what a save does to a value.
type ReservationChange struct {
	Scope, Value string
	// From is the only aggregate that may hold the value before the save; if another
	// one does, the save is [ErrTaken].
	From string
	// To is the aggregate that holds it afterwards, "" if nobody does.
	To string
	// Until is when the reservation ends, in Unix nanoseconds, 0 if it does not.
	Until int64
	// Record is the place of the record that it was last reserved or released with.
	Record int
}

// ReservationChanges puts together what records that are saved at once do to each
// value, in order of scope and value. So in one save a value may be released by one
// aggregate and taken by another. It returns a [TakenError] where they get into each
// other's way; within one save no reservation ends by itself.
func ReservationChanges(records []Record) ([]ReservationChange, error) {
	if !HasReservations(records) {
		return nil, nil
	}
	type key struct{ scope, value string }
	var changes []ReservationChange
	places := make(map[key]int)
	for i := range records {
		id := records[i].AggregateID
		for _, r := range records[i].Reservations {
			place, ok := places[key{r.Scope, r.Value}]
			if !ok {
				place = len(changes)
				places[key{r.Scope, r.Value}] = place
				changes = append(changes, ReservationChange{Scope: r.Scope, Value: r.Value, From: id})
			} else if to := changes[place].To; to != "" && to != id {
				return nil, &TakenError{Scope: r.Scope, Value: r.Value, AggregateID: id, Holder: to}
			}
			c := &changes[place]
			c.Record, c.To, c.Until = i, id, r.Until
			if r.Release {
				c.To, c.Until = "", 0
			}
		}
	}
	slices.SortFunc(changes, func(a, b ReservationChange) int {
		return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Value, b.Value))
	})
	return changes, nil
}

// HasReservations reports whether any of the records has a reservation.
func HasReservations(records []Record) bool {
	return slices.ContainsFunc(records, func(r Record) bool { return len(r.Reservations) > 0 })
}

// ownScopes is what the scopes of this package start with.
const ownScopes = "eventsource."

type reservationKey struct{}

// withReservation returns a context whose save makes a reservation with its last event.
func withReservation(ctx context.Context, reservation Reservation) context.Context {
	return context.WithValue(ctx, reservationKey{}, &reservation)
}

// withoutReservation returns a context for all that comes of a save: whoever saves with
// it, such as an observer, does not make the reservation again.
func withoutReservation(ctx context.Context) context.Context {
	if contextReservation(ctx) == nil {
		return ctx
	}
	return context.WithValue(ctx, reservationKey{}, (*Reservation)(nil))
}

func contextReservation(ctx context.Context) *Reservation {
	reservation, _ := ctx.Value(reservationKey{}).(*Reservation)
	return reservation
}

// reserve adds the reservations of events, and of the context, to their records.
func (r *repository) reserve(ctx context.Context, events []Event, records []Record) error {
	for i, event := range events {
		reserving, ok := event.(Reserving)
		if !ok {
			continue
		}
		records[i].Reservations = slices.Clone(reserving.Reservations())
		for _, reservation := range records[i].Reservations {
			if strings.HasPrefix(reservation.Scope, ownScopes) {
				return fmt.Errorf("%w: %s of aggregate %q reserves in scope %q, and scopes that start with %q are taken",
					ErrInvalidEvent, records[i].Type, records[i].AggregateID, reservation.Scope, ownScopes)
			}
		}
	}
	if reservation := contextReservation(ctx); reservation != nil && len(records) > 0 {
		last := &records[len(records)-1]
		last.Reservations = append(last.Reservations, *reservation)
	}
	if _, ok := r.store.(Reserver); !ok && HasReservations(records) {
		return fmt.Errorf("%w: %T keeps no reservations", errors.ErrUnsupported, unwrapped(r.store))
	}
	return nil
}
