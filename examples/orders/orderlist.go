package main

import (
	"context"
	_ "embed" // for the statements
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

var (
	//go:embed sql/order_placed.sql
	orderPlacedSQL string
	//go:embed sql/order_changed.sql
	orderChangedSQL string
	//go:embed sql/list_orders.sql
	listOrdersSQL string
)

// orderList keeps the table of orders: a row for each, as it is now.
func orderList() projection.Handler {
	return projection.ByType(
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *OrderPlaced) error {
			_, err := tx.Exec(ctx, orderPlacedSQL, pgx.NamedArgs{
				"id": e.AggregateID, "wallet_id": e.WalletID, "lines": e.Lines, "total": e.Total,
				"version": e.Version, "sequence_id": e.SequenceID, "placed_at": time.Unix(0, e.Timestamp),
			})
			return err
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *OrderPaid) error {
			return changeOrder(ctx, tx, &e.BaseEvent, Paid, "")
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *OrderRejected) error {
			return changeOrder(ctx, tx, &e.BaseEvent, Rejected, e.Reason)
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *OrderShipped) error {
			return changeOrder(ctx, tx, &e.BaseEvent, Shipped, "")
		}),
		sqlprojection.On(func(ctx context.Context, tx pgx.Tx, e *OrderCancelled) error {
			return changeOrder(ctx, tx, &e.BaseEvent, Cancelled, "")
		}),
	)
}

func changeOrder(ctx context.Context, tx pgx.Tx, e *eventsource.BaseEvent, state State, reason string) error {
	_, err := tx.Exec(ctx, orderChangedSQL, pgx.NamedArgs{
		"id": e.AggregateID, "state": state, "reason": reason, "version": e.Version, "sequence_id": e.SequenceID,
	})
	return err
}

// OrderRow is an order in the list.
type OrderRow struct {
	ID         string    `json:"id"`
	WalletID   string    `json:"wallet_id"`
	State      State     `json:"state"`
	Reason     string    `json:"reason,omitempty"`
	Lines      []Line    `json:"lines"`
	Total      int64     `json:"total"`
	Version    int       `json:"version"`
	SequenceID string    `json:"sequence_id"`
	PlacedAt   time.Time `json:"placed_at"`
}

// listOrders gives the last orders, the latest first.
func listOrders(ctx context.Context, pool *pgxpool.Pool, limit int) ([]OrderRow, error) {
	rows, err := pool.Query(ctx, listOrdersSQL, pgx.NamedArgs{"limit": limit})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[OrderRow])
}
