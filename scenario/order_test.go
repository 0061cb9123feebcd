package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// Placed says that an order was placed.
type Placed struct {
	eventsource.BaseEvent
	Customer string
	Items    []string
	Total    int
}

// Paid says that money came in for an order.
type Paid struct {
	eventsource.BaseEvent
	Amount int
}

// Shipped says that an order has left. Its BaseEvent is embedded by pointer, and the
// event is a struct.
type Shipped struct {
	*eventsource.BaseEvent
	Carrier string
	At      time.Time
}

// Cancelled says that an order is no more.
type Cancelled struct{ eventsource.BaseEvent }

// Pay asks to take money for an order.
type Pay struct {
	eventsource.CommandBase
	Amount int
}

// Ship asks to send an order.
type Ship struct {
	eventsource.CommandBase
	Carrier string
}

// Cancel asks to forget an order.
type Cancel struct{ eventsource.CommandBase }

// ErrNotPaid is returned when an order is to be shipped that nobody has paid.
var ErrNotPaid = errors.New("order is not paid")

// TooMuchError says that more was paid than is due.
type TooMuchError struct{ Due int }

func (e *TooMuchError) Error() string { return fmt.Sprintf("only %d is due", e.Due) }

// Order is placed, paid and shipped.
type Order struct {
	eventsource.AggregateBase
	Items   []string
	Due     int
	shipped bool
}

var orderEvents = []eventsource.Event{&Placed{}, &Paid{}, Shipped{}, &Cancelled{}}

var orderAppliers = eventsource.NewAppliers(orderEvents,
	eventsource.When(func(o *Order, e *Placed) error {
		o.Items, o.Due = e.Items, e.Total
		return nil
	}),
	eventsource.When(func(o *Order, e *Paid) error {
		if e.Amount > o.Due {
			return fmt.Errorf("%d was paid of %d", e.Amount, o.Due)
		}
		o.Due -= e.Amount
		return nil
	}),
	eventsource.When(func(o *Order, _ Shipped) error {
		o.shipped = true
		return nil
	}),
	eventsource.When(func(*Order, *Cancelled) error { return eventsource.ErrDeleted }),
)

// On applies an event.
func (o *Order) On(_ context.Context, event eventsource.Event) error {
	return orderAppliers.Apply(o, event)
}

// Handle decides a command.
func (o *Order) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	switch c := command.(type) {
	case Pay:
		return o.pay(c)
	case Ship:
		return o.ship(c)
	case Cancel:
		return []eventsource.Event{&Cancelled{}}, nil
	}
	return nil, fmt.Errorf("an order knows no %T", command)
}

func (o *Order) pay(c Pay) ([]eventsource.Event, error) {
	if c.Amount > o.Due {
		return nil, &TooMuchError{Due: o.Due}
	}
	return []eventsource.Event{&Paid{Amount: c.Amount}}, nil
}

func (o *Order) ship(c Ship) ([]eventsource.Event, error) {
	switch {
	case o.shipped:
		return nil, eventsource.ErrUnchanged
	case o.Due > 0:
		return nil, ErrNotPaid
	}
	base := &eventsource.BaseEvent{UserID: "ann"}
	return []eventsource.Event{Shipped{BaseEvent: base, Carrier: c.Carrier, At: noon}}, nil
}

var noon = time.Date(2025, 1, 1, 12, 0, 0, 0, time.UTC)

// of is what a command for an order begins with.
func of(id string) eventsource.CommandBase { return eventsource.CommandBase{AggregateID: id} }

func by(user string) *eventsource.BaseEvent { return &eventsource.BaseEvent{UserID: user} }

func orderSerializer() eventsource.Serializer { return json.NewSerializer(orderEvents...) }
