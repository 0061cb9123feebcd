package sqlstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// change is what an entry does to a value.
type change struct {
	*eventsource.ReservationChange
	entry *entry
	// event is the place of its event in the call, from 1. It is 0 for one of an earlier
	// call, which is then known.
	event int32
	known *eventsource.Record
}

func byValue(a, b change) int {
	return cmp.Or(cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Value, b.Value))
}

// reserve adds the changes of an entry whose records are added next.
func (c *call) reserve(e *entry) {
	for i := range e.changes {
		ch := change{ReservationChange: &e.changes[i], entry: e}
		if place := ch.Record - len(e.earlier); place >= 0 {
			ch.event = int32(len(c.types) + place + 1)
		} else {
			ch.known = &e.earlier[ch.Record]
		}
		c.changes = append(c.changes, ch)
	}
}

// reservationArgs are what the server's function is told of the changes.
func (c *call) reservationArgs() []any {
	n := len(c.changes)
	var (
		scopes, values, from, to, ids = make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
		until, versions               = make([]int64, n), make([]int64, n)
		events                        = make([]int32, n)
	)
	for i, ch := range c.changes {
		scopes[i], values[i], from[i], to[i], until[i], events[i] = ch.Scope, ch.Value, ch.From, ch.To, ch.Until, ch.event
		if ch.known != nil {
			ids[i], versions[i] = ch.known.SequenceID, int64(ch.known.Version)
		}
	}
	return []any{scopes, values, from, to, until, events, ids, versions}
}

// taken says which entries want values that others hold, given their places, from 1.
func (c *call) taken(places []int, holders []string) (refusals, error) {
	found := refusals{}
	for i, place := range places {
		if place < 1 || place > len(c.changes) || i >= len(holders) {
			return nil, fmt.Errorf("of %d values those at %d are said to be taken, by %d aggregates", len(c.changes), places, len(holders))
		}
		if ch := c.changes[place-1]; found[ch.entry] == nil {
			found[ch.entry] = &eventsource.TakenError{Scope: ch.Scope, Value: ch.Value, AggregateID: ch.From, Holder: holders[i]}
		}
	}
	return found, nil
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
