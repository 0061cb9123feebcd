package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// reservationArgs are what the server's function is told of an entry's reservations.
func reservationArgs(e *entry) []any {
	n := len(e.changes)
	var (
		scopes, values, from, to, ids = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		until, versions               = make([]int64, n), make([]int64, n)
		events                        = make([]int32, n)
	)
	for i, c := range e.changes {
		scopes[i], values[i], from[i], to[i], until[i] = c.Scope, c.Value, c.From, c.To, c.Until
		if place := c.Record - len(e.earlier); place >= 0 {
			events[i] = int32(place) + 1
		} else {
			ids[i], versions[i] = e.earlier[c.Record].SequenceID, int64(e.earlier[c.Record].Version)
		}
	}
	return []any{scopes, values, from, to, until, events, ids, versions}
}

// takenError says that another aggregate holds the value at a place, from 1.
func takenError(changes []eventsource.ReservationChange, place int, holder string) error {
	if place < 1 || place > len(changes) {
		return fmt.Errorf("the server says that value %d of %d is taken", place, len(changes))
	}
	c := &changes[place-1]
	return &eventsource.TakenError{Scope: c.Scope, Value: c.Value, AggregateID: c.From, Holder: holder}
}

// Holder says who holds a value. Whether a reservation has ended is told by the server's
// clock.
func (s *Store) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	if err := eventsource.CheckReserved(scope, value); err != nil {
		return eventsource.Holder{}, err
	}
	conn, err := s.acquire(ctx, "look up who holds a value")
	if err != nil {
		return eventsource.Holder{}, err
	}
	defer conn.Release()
	return s.holder(ctx, conn, scope, value)
}

// Holder says who holds a value, as this transaction sees it.
func (s *TxStore) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	if err := s.Err(); err != nil {
		return eventsource.Holder{}, err
	}
	if err := eventsource.CheckReserved(scope, value); err != nil {
		return eventsource.Holder{}, err
	}
	return s.store.holder(ctx, s.pgxTx, scope, value)
}

func (s *Store) holder(ctx context.Context, db rowQuerier, scope, value string) (h eventsource.Holder, err error) {
	err = db.QueryRow(ctx, s.sql.holder, scope, value).Scan(&h.AggregateID, &h.SequenceID, &h.Version, &h.Until)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return eventsource.Holder{}, nil
	case err != nil:
		return eventsource.Holder{}, s.translate(ctx, "look up who holds a value", err)
	}
	return h, nil
}

// purgeBatch is how many rows a transaction of [Store.PurgeReservations] deletes.
const purgeBatch = 1000

// PurgeReservations deletes the rows of reservations that have ended, by the server's
// clock, and returns how many. They do no harm but take room: an ended reservation is
// none, and its row is used again when its value is. Call it now and then where values
// are reserved that nobody asks for again. It works in small transactions of its own and
// waits for no save; what a save is using is left for the next time. When ctx ends, what was
// deleted by then is counted, and stays deleted.
func (s *Store) PurgeReservations(ctx context.Context) (n int64, err error) {
	conn, err := s.acquire(ctx, "purge reservations")
	if err != nil {
		return 0, err
	}
	defer conn.Release()
	for {
		var deleted int64
		err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, s.sql.purgeReservations, purgeBatch)
			deleted = tag.RowsAffected()
			return err
		})
		if err != nil {
			return n, s.translate(ctx, "purge reservations", err)
		}
		if n += deleted; deleted < purgeBatch {
			return n, nil
		}
	}
}
