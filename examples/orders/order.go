package main

import (
	"context"
	"fmt"

	"github.com/eventsource-go/eventsource"
)

// Limits of an order.
const (
	maxLines    = 20
	maxQuantity = 100
)

// State is where an order is.
type State string

// The states of an order. It begins as placed; rejected, shipped and cancelled are ends.
const (
	Placed    State = "placed"
	Paid      State = "paid"
	Rejected  State = "rejected"
	Shipped   State = "shipped"
	Cancelled State = "cancelled"
)

// Order is what a customer wants to have. It has few events, and an end.
type Order struct {
	eventsource.AggregateBase
	WalletID string `json:"wallet_id"`
	State    State  `json:"state"`
	Reason   string `json:"reason,omitempty"` // if it is rejected
	Lines    []Line `json:"lines"`
	Total    int64  `json:"total"`
}

// PlaceOrder asks for products of the catalogue, to be paid from a wallet.
type PlaceOrder struct {
	eventsource.CommandBase
	WalletID string
	Items    []Item
}

// Item is how many of a product are wanted.
type Item struct {
	Product  string `json:"product"`
	Quantity int    `json:"quantity"`
}

// MarkPaid says that the wallet was charged. The order refuses the money unless it is
// waiting for it.
type MarkPaid struct{ eventsource.CommandBase }

// Reject says that the order cannot be paid.
type Reject struct {
	eventsource.CommandBase
	Reason string
}

// Ship asks for a paid order to be sent.
type Ship struct{ eventsource.CommandBase }

// Cancel asks for an order not to be sent.
type Cancel struct{ eventsource.CommandBase }

// Handle decides.
func (o *Order) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	if place, ok := command.(PlaceOrder); ok {
		return o.place(place)
	}
	if o.Version == 0 {
		return nil, fmt.Errorf("%w: order %q", eventsource.ErrNoHistory, command.GetAggregateID())
	}
	switch c := command.(type) {
	case MarkPaid:
		return o.markPaid()
	case Reject:
		return o.reject(c)
	case Ship:
		return o.ship()
	case Cancel:
		return o.cancel()
	default:
		return nil, fmt.Errorf("%T is no command of an order", command)
	}
}

func (o *Order) place(c PlaceOrder) ([]eventsource.Event, error) {
	if o.Version > 0 {
		return nil, fmt.Errorf("order %s %w", o.ID, ErrExists)
	}
	if !walletIDs.MatchString(c.WalletID) { // what is asked to pay has to be a wallet, or not to be there
		return nil, invalid("wallet_id", "is %q, which is not the ID of a wallet", c.WalletID)
	}
	if len(c.Items) == 0 || len(c.Items) > maxLines {
		return nil, invalid("items", "are %d, and have to be from 1 to %d", len(c.Items), maxLines)
	}
	placed := &OrderPlaced{WalletID: c.WalletID}
	for i, item := range c.Items {
		product, ok := findProduct(item.Product)
		if !ok {
			return nil, invalid(fmt.Sprintf("items[%d].product", i), "is %q, which is not in the catalogue", item.Product)
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			return nil, invalid(fmt.Sprintf("items[%d].quantity", i), "is %d, and has to be from 1 to %d", item.Quantity, maxQuantity)
		}
		placed.Lines = append(placed.Lines, Line{Product: product.ID, Quantity: item.Quantity, Price: product.Price})
		placed.Total += int64(item.Quantity) * product.Price
	}
	return []eventsource.Event{placed}, nil
}

func (o *Order) markPaid() ([]eventsource.Event, error) {
	if o.State != Placed {
		return nil, o.cannotBe("paid")
	}
	return []eventsource.Event{&OrderPaid{}}, nil
}

func (o *Order) reject(c Reject) ([]eventsource.Event, error) {
	if o.State != Placed {
		return nil, eventsource.ErrUnchanged
	}
	return []eventsource.Event{&OrderRejected{Reason: c.Reason}}, nil
}

func (o *Order) ship() ([]eventsource.Event, error) {
	switch o.State {
	case Paid:
		return []eventsource.Event{&OrderShipped{}}, nil
	case Shipped:
		return nil, eventsource.ErrUnchanged
	default:
		return nil, o.cannotBe("shipped")
	}
}

func (o *Order) cancel() ([]eventsource.Event, error) {
	switch o.State {
	case Placed, Paid:
		return []eventsource.Event{&OrderCancelled{WalletID: o.WalletID, Paid: o.State == Paid}}, nil
	case Cancelled:
		return nil, eventsource.ErrUnchanged
	default:
		return nil, o.cannotBe("cancelled")
	}
}

func (o *Order) cannotBe(wish string) error {
	return &WrongStateError{OrderID: o.ID, State: o.State, Wish: wish}
}

var orderAppliers = eventsource.NewAppliers(orderEvents,
	eventsource.When((*Order).placed),
	eventsource.When((*Order).paid),
	eventsource.When((*Order).rejected),
	eventsource.When((*Order).shipped),
	eventsource.When((*Order).cancelled),
)

// On applies an event.
func (o *Order) On(_ context.Context, event eventsource.Event) error {
	return orderAppliers.Apply(o, event)
}

func (o *Order) placed(e *OrderPlaced) error {
	o.State, o.WalletID, o.Lines, o.Total = Placed, e.WalletID, e.Lines, e.Total
	return nil
}

func (o *Order) paid(*OrderPaid) error {
	o.State = Paid
	return nil
}

func (o *Order) rejected(e *OrderRejected) error {
	o.State, o.Reason = Rejected, e.Reason
	return nil
}

func (o *Order) shipped(*OrderShipped) error {
	o.State = Shipped
	return nil
}

func (o *Order) cancelled(*OrderCancelled) error {
	o.State = Cancelled
	return nil
}
