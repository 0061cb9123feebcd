package sqlstore

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
)

// Horizon reports the head, how far readers may read, and which session's
// transaction holds them back and for how long. Lag is measured by the server's
// clock from the lower bound that the transaction published, which is when it
// began to append by its own clock, or later.
//
// A prepared transaction (PREPARE TRANSACTION) holds readers back too, also after
// its session has ended and the server was restarted. It has no process, so HolderPID
// is 0 and only Lag and SafeEnd show it; the view pg_prepared_xacts names it.
func (s *Store) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	conn, err := s.acquire(ctx, "read the horizon")
	if err != nil {
		return eventsource.Horizon{}, err
	}
	defer conn.Release()

	var (
		h         eventsource.Horizon
		lagMillis int64
	)
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.sql.horizon).Scan(&h.Head, &h.SafeEnd, &lagMillis, &h.HolderPID)
	})
	if err != nil {
		return eventsource.Horizon{}, s.translate(ctx, "read the horizon", err)
	}
	h.Lag = time.Duration(lagMillis) * time.Millisecond
	return h, nil
}
