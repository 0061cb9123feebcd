// Package unique keeps values that only one aggregate may have at a time, such as
// e-mail addresses, user names or seats. An event says which it takes and which it gives
// back, and that is stored with the event or not at all, whoever else saves at the same
// moment:
//
//	var emails = unique.NewScope("email", unique.WithNormalize(strings.ToLower))
//
//	func (e *Registered) Reservations() []eventsource.Reservation {
//		return []eventsource.Reservation{emails.Reserve(e.Email)}
//	}
//
// A save whose value another aggregate holds is [eventsource.ErrTaken], and the
// [eventsource.TakenError] says who holds it. It works on every store that is an
// [eventsource.Reserver]; a repository on another one refuses such events with
// [errors.ErrUnsupported].
//
// The aggregate of the event holds the value until it gives it back, or until the end
// that the reservation has. Deleting the aggregate does not give it back: have the event
// that deletes it do so.
package unique

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Scope is a kind of values, each of which one aggregate may have. It does not change
// after it is made, and is safe for concurrent use. The zero Scope has no name: what it
// makes cannot be saved.
type Scope struct {
	name      string
	normalize []func(string) string
}

// Option is an option of [NewScope].
type Option func(*Scope)

// WithNormalize adds a function that a value goes through before it is reserved,
// released or looked up, so that what is meant to be the same is the same: to lower case,
// without spaces, or a keyed hash where the value is personal data, which stores are
// not to keep. Several are applied in the order they were added. To change it later leaves
// what was reserved before under its old form. It must be safe for concurrent use and
// always return the same. Defaults to the value as it is.
func WithNormalize(normalize func(value string) string) Option {
	return func(s *Scope) {
		if normalize != nil {
			s.normalize = append(s.normalize, normalize)
		}
	}
}

// NewScope returns the scope of a name, the same one for the same name. The name is
// stored with each value, so it stays. If it is empty, longer than
// [eventsource.MaxScopeLength], no UTF-8, or starts with "eventsource.", [Scope.Err] and
// [Scope.Holder] return [eventsource.ErrMisconfigured], and a save of what the scope makes
// is [eventsource.ErrInvalidEvent].
func NewScope(name string, opts ...Option) Scope {
	s := Scope{name: name}
	for _, opt := range opts {
		if opt != nil {
			opt(&s)
		}
	}
	return s
}

// Err returns what is wrong with the scope's name, nil if nothing is.
func (s Scope) Err() error {
	some := eventsource.Reservation{Scope: s.name, Value: "some value"}
	switch {
	case s.name == "":
		return fmt.Errorf("%w: unique values have an empty scope", eventsource.ErrMisconfigured)
	case strings.HasPrefix(s.name, "eventsource."):
		return fmt.Errorf("%w: scope %q of unique values is one of package eventsource's", eventsource.ErrMisconfigured, s.name)
	}
	if err := some.Validate(); err != nil {
		return fmt.Errorf("%w: %w", eventsource.ErrMisconfigured, err)
	}
	return nil
}

// Reserve takes the value until it is given back. If the aggregate holds it already, that
// changes nothing but that there is no end. A value that is empty, longer than
// [eventsource.MaxReservedLength] or no UTF-8 cannot be saved.
func (s Scope) Reserve(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: s.name, Value: s.normalized(value)}
}

// ReserveUntil takes the value until a time, by the clock of the store. If the aggregate
// holds it already, that changes its end. One that has passed makes the value free at
// once; one before 1970, such as the zero time, cannot be saved.
func (s Scope) ReserveUntil(value string, until time.Time) eventsource.Reservation {
	r := s.Reserve(value)
	switch {
	case until.Before(time.Unix(0, 1)):
		r.Until = min(until.Unix(), -1)
	case until.After(time.Unix(0, math.MaxInt64)):
		r.Until = math.MaxInt64
	default:
		r.Until = until.UnixNano()
	}
	return r
}

// Release gives the value back. If nobody holds it, nothing happens; if another aggregate
// does, the save is [eventsource.ErrTaken].
func (s Scope) Release(value string) eventsource.Reservation {
	r := s.Reserve(value)
	r.Release = true
	return r
}

// Move gives one value back and takes another, which may be the same.
func (s Scope) Move(from, to string) []eventsource.Reservation {
	return []eventsource.Reservation{s.Release(from), s.Reserve(to)}
}

// Holder says who holds the value, which is the zero Holder if nobody does. Somebody may
// take it, or give it back, right afterwards: only a save settles it. On a store that
// keeps no reservations it is [errors.ErrUnsupported]; a value that cannot be reserved is
// [eventsource.ErrInvalidQuery].
func (s Scope) Holder(ctx context.Context, store eventsource.Store, value string) (eventsource.Holder, error) {
	if err := s.Err(); err != nil {
		return eventsource.Holder{}, err
	}
	if store == nil {
		return eventsource.Holder{}, fmt.Errorf("%w: store to ask for the holder of a value is nil", eventsource.ErrMisconfigured)
	}
	reserver, ok := store.(eventsource.Reserver)
	if !ok {
		return eventsource.Holder{}, fmt.Errorf("%w: %T keeps no reservations", errors.ErrUnsupported, store)
	}
	return reserver.Holder(ctx, s.name, s.normalized(value))
}

func (s Scope) normalized(value string) string {
	for _, normalize := range s.normalize {
		value = normalize(value)
	}
	return value
}
