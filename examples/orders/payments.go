package main

import (
	"context"
	"errors"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

// payments is the process manager between orders and wallets. No save changes both; it
// reacts to what happened to one with a command to the other:
//
//	OrderPlaced    -> Charge the wallet; if that is refused, Reject the order
//	WalletCharged  -> MarkPaid; if the order does not want the money any more, Refund
//	OrderCancelled -> Refund, if it was paid
//
// An order may be cancelled before, while and after its wallet is charged. What decides is
// the order of its events: either MarkPaid comes first, and then OrderCancelled says that
// it was paid, or OrderCancelled comes first, and then MarkPaid is refused. In both cases
// one reaction, and only one, refunds.
//
// An event may come again after a crash. Each command has the event's sequence ID as its
// command ID, so that it is applied once.
type payments struct {
	wallets *eventsource.Dispatcher[*Wallet]
	orders  *eventsource.Dispatcher[*Order]
}

func (p *payments) handler() projection.Handler {
	return projection.ByType(
		projection.On(p.orderPlaced),
		projection.On(p.walletCharged),
		projection.On(p.orderCancelled),
	)
}

func (p *payments) orderPlaced(ctx context.Context, e *OrderPlaced) error {
	_, err := p.wallets.Dispatch(ctx, Charge{CommandBase: becauseOf(e, e.WalletID), OrderID: e.AggregateID, Amount: e.Total})
	switch {
	case errors.Is(err, ErrNotEnoughMoney):
		return p.reject(ctx, e, err.Error())
	case errors.Is(err, eventsource.ErrNoHistory):
		return p.reject(ctx, e, "there is no such wallet")
	}
	return err
}

func (p *payments) reject(ctx context.Context, e *OrderPlaced, reason string) error {
	_, err := p.orders.Dispatch(ctx, Reject{CommandBase: becauseOf(e, e.AggregateID), Reason: reason})
	return err
}

// walletCharged gives the money to the order. The order may have been cancelled; or even
// rejected, if the process died after that and the wallet had got money when OrderPlaced
// came again: a command that was refused is not remembered.
func (p *payments) walletCharged(ctx context.Context, e *WalletCharged) error {
	_, err := p.orders.Dispatch(ctx, MarkPaid{becauseOf(e, e.OrderID)})
	if errors.Is(err, ErrWrongState) {
		return p.refund(ctx, e, e.AggregateID, e.OrderID)
	}
	return err
}

func (p *payments) orderCancelled(ctx context.Context, e *OrderCancelled) error {
	if !e.Paid {
		return nil
	}
	return p.refund(ctx, e, e.WalletID, e.AggregateID)
}

func (p *payments) refund(ctx context.Context, because eventsource.Event, walletID, orderID string) error {
	_, err := p.wallets.Dispatch(ctx, Refund{CommandBase: becauseOf(because, walletID), OrderID: orderID})
	return err
}

// becauseOf names the aggregate that is asked, and the event that is the reason.
func becauseOf(e eventsource.Event, aggregateID string) eventsource.CommandBase {
	return eventsource.CommandBase{AggregateID: aggregateID, CommandID: e.GetSequenceID()}
}
