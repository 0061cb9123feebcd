package sqlprojection

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// Each returns a handler that calls a function for each event, of the types of the
// given events, whose values do not matter; without any, of all types. What it writes
// with tx is committed together with the checkpoint, so that each event counts exactly
// once. The projection needs [Checkpoints] of this package: without the transaction of
// [Checkpoints.Transact] a call is [eventsource.ErrMisconfigured].
//
// Writes of other kinds, such as requests to other services, are not undone when the
// transaction is. See [Tx] for how tx is to be used.
func Each(handle func(ctx context.Context, tx pgx.Tx, event eventsource.Event) error, types ...eventsource.Event) projection.Handler {
	var inner func(context.Context, eventsource.Event) error // nil is refused by the core
	if handle != nil {
		inner = func(ctx context.Context, event eventsource.Event) error {
			tx, err := needTx(ctx)
			if err != nil {
				return err
			}
			return handle(ctx, tx, event)
		}
	}
	return projection.InTransaction(projection.Each(inner, types...))
}

// Batch is like [Each], for a function that is called for several events at once. It
// must not keep the slice. See [projection.Batch].
func Batch(handle func(ctx context.Context, tx pgx.Tx, events []eventsource.Event) error, types ...eventsource.Event) projection.Handler {
	var inner func(context.Context, []eventsource.Event) error
	if handle != nil {
		inner = func(ctx context.Context, events []eventsource.Event) error {
			tx, err := needTx(ctx)
			if err != nil {
				return err
			}
			return handle(ctx, tx, events)
		}
	}
	return projection.InTransaction(projection.Batch(inner, types...))
}

// On is like [Each], for the events of one type, E, a struct or a pointer to one. Give
// several of them to [projection.ByType].
func On[E eventsource.Event](handle func(ctx context.Context, tx pgx.Tx, event E) error) projection.Handler {
	var inner func(context.Context, E) error
	if handle != nil {
		inner = func(ctx context.Context, event E) error {
			tx, err := needTx(ctx)
			if err != nil {
				return err
			}
			return handle(ctx, tx, event)
		}
	}
	return projection.InTransaction(projection.On(inner))
}

func needTx(ctx context.Context) (pgx.Tx, error) {
	tx, ok := Tx(ctx)
	if !ok {
		return nil, misconfigured("a handler of this package was called without a transaction: its projection needs the checkpoints of sqlprojection.NewCheckpoints")
	}
	return tx, nil
}
