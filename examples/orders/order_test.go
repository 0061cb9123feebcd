package main

import (
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/scenario"
)

// order is the base of commands to the order of a scenario.
var order = eventsource.CommandBase{AggregateID: "order-1"}

// placed is an order of two teapots.
var placed = &OrderPlaced{WalletID: "wallet-1", Lines: []Line{{"teapot", 2, 3490}}, Total: 6980}

func anOrder(t *testing.T) *scenario.Scenario[*Order] {
	t.Helper()
	return scenario.New(t, &Order{}, scenario.WithSerializer(newSerializer()))
}

func TestAnOrderKeepsThePricesOfTheCatalogue(t *testing.T) {
	anOrder(t).
		When(PlaceOrder{order, "wallet-1", []Item{{"teapot", 2}, {"tea", 1}}}).
		Then(&OrderPlaced{WalletID: "wallet-1", Lines: []Line{{"teapot", 2, 3490}, {"tea", 1, 490}}, Total: 7470}).
		When(PlaceOrder{order, "wallet-1", []Item{{"tea", 1}}}).
		ThenError(ErrExists)
}

func TestWhatCannotBeOrderedIsNamed(t *testing.T) {
	for field, command := range map[string]PlaceOrder{
		"items":             {order, "wallet-1", nil},
		"items[1].product":  {order, "wallet-1", []Item{{"tea", 1}, {"coffee", 1}}},
		"items[0].quantity": {order, "wallet-1", []Item{{"tea", 0}}},
		"items[2].quantity": {order, "wallet-1", []Item{{"tea", 1}, {"tea", maxQuantity}, {"tea", maxQuantity + 1}}},
	} {
		var wrong *InputError
		anOrder(t).When(command).ThenErrorAs(&wrong)
		if wrong.Field != field {
			t.Errorf("%+v: the field is %q, want %q", command.Items, wrong.Field, field)
		}
	}
	for _, id := range []string{"", "wallet-", "order-1", "wallet-\x00", "wallet-1\n", "wallet-" + strings.Repeat("1", 33)} {
		var wrong *InputError
		anOrder(t).When(PlaceOrder{order, id, []Item{{"tea", 1}}}).ThenErrorAs(&wrong)
		if wrong.Field != "wallet_id" {
			t.Errorf("%q: the field is %q", id, wrong.Field)
		}
	}
	var wrong *InputError
	anOrder(t).When(PlaceOrder{order, "wallet-1", make([]Item, maxLines+1)}).ThenErrorAs(&wrong)
	if wrong.Field != "items" {
		t.Errorf("too many: the field is %q", wrong.Field)
	}
}

// Each state of an order, and what becomes of each wish in it.
func TestWhatAnOrderDoesInEachState(t *testing.T) {
	const unchanged, refused = "unchanged", "refused"
	markPaid, reject, ship, cancel := MarkPaid{order}, Reject{order, "no money"}, Ship{order}, Cancel{order}
	paid, rejected, shipped := &OrderPaid{}, &OrderRejected{Reason: "no money"}, &OrderShipped{}
	cancelled := func(paid bool) eventsource.Event { return &OrderCancelled{WalletID: "wallet-1", Paid: paid} }
	for _, test := range []struct {
		state   State
		given   []eventsource.Event
		command eventsource.Command
		want    any
	}{
		{Placed, nil, markPaid, paid},
		{Placed, nil, reject, rejected},
		{Placed, nil, ship, refused},
		{Placed, nil, cancel, cancelled(false)},

		{Paid, []eventsource.Event{paid}, markPaid, refused},
		{Paid, []eventsource.Event{paid}, reject, unchanged},
		{Paid, []eventsource.Event{paid}, ship, shipped},
		{Paid, []eventsource.Event{paid}, cancel, cancelled(true)},

		{Rejected, []eventsource.Event{rejected}, markPaid, refused},
		{Rejected, []eventsource.Event{rejected}, reject, unchanged},
		{Rejected, []eventsource.Event{rejected}, ship, refused},
		{Rejected, []eventsource.Event{rejected}, cancel, refused},

		{Shipped, []eventsource.Event{paid, shipped}, markPaid, refused},
		{Shipped, []eventsource.Event{paid, shipped}, reject, unchanged},
		{Shipped, []eventsource.Event{paid, shipped}, ship, unchanged},
		{Shipped, []eventsource.Event{paid, shipped}, cancel, refused},

		{Cancelled, []eventsource.Event{cancelled(false)}, markPaid, refused},
		{Cancelled, []eventsource.Event{cancelled(true)}, reject, unchanged},
		{Cancelled, []eventsource.Event{cancelled(true)}, ship, refused},
		{Cancelled, []eventsource.Event{cancelled(true)}, cancel, unchanged},
	} {
		s := anOrder(t).Given(placed).Given(test.given...).When(test.command)
		switch want := test.want.(type) {
		case eventsource.Event:
			s.Then(want)
			continue
		case string:
			if want == unchanged {
				s.ThenUnchanged()
				continue
			}
		}
		var wrong *WrongStateError
		if s.ThenErrorAs(&wrong); wrong.State != test.state || wrong.OrderID != "order-1" {
			t.Errorf("%T in state %s is refused with %+v", test.command, test.state, wrong)
		}
	}
}

func TestAnOrderThatWasNotPlacedDoesNothing(t *testing.T) {
	for _, command := range []eventsource.Command{MarkPaid{order}, Reject{order, ""}, Ship{order}, Cancel{order}} {
		anOrder(t).When(command).ThenError(eventsource.ErrNoHistory)
	}
}

func TestAnOrderKnowsNoOtherCommands(t *testing.T) {
	anOrder(t).Given(placed).When(Deposit{order, 1}).ThenErrorContains("main.Deposit is no command of an order")
}
