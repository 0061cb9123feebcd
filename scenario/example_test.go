package scenario_test

import (
	"context"
	"fmt"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/scenario"
	"github.com/eventsource-go/eventsource/serializer/json"
)

// printing is a test that prints why it fails. In a test of your own it is a *testing.T.
type printing struct{}

func (printing) Helper()                           {}
func (printing) Errorf(format string, args ...any) { fmt.Println(fmt.Sprintf(format, args...)) }
func (printing) Fatalf(format string, args ...any) { fmt.Println(fmt.Sprintf(format, args...)) }
func (printing) Cleanup(func())                    {}
func (printing) Context() context.Context          { return context.Background() }

func Example() {
	var t printing
	order := eventsource.CommandBase{AggregateID: "order-1"}

	scenario.New(t, &Order{}, scenario.IgnoreFields(Shipped{}, "At")).
		Given(&Placed{Items: []string{"hat"}, Total: 30}).
		When(Ship{order, "DHL"}).
		ThenError(ErrNotPaid).
		When(Pay{order, 30}).
		When(Ship{order, "DHL"}).
		Then(&Paid{Amount: 30}, Shipped{BaseEvent: &eventsource.BaseEvent{UserID: "ann"}, Carrier: "DHL"}).
		When(Ship{order, "UPS"}).
		ThenUnchanged().
		ThenState(&Order{Items: []string{"hat"}, shipped: true})

	fmt.Println("all is well")
	// Output: all is well
}

// What fails says what came instead.
func ExampleScenario_Then() {
	var t printing
	order := eventsource.CommandBase{AggregateID: "order-1"}

	scenario.New(t, &Order{}).
		Given(&Placed{Total: 30}).
		When(Pay{order, 20}).
		Then(&Paid{Amount: 30})
	scenario.New(t, &Order{}).
		Given(&Placed{Total: 30}).
		When(Pay{order, 40}).
		Then(&Paid{Amount: 40})
	// Output:
	// scenario: scenario_test.Pay led to other events:
	// event 1, *scenario_test.Paid (-want +got):
	//   &scenario_test.Paid{
	//   	BaseEvent: {AggregateID: "order-1", Version: 2},
	// - 	Amount:    30,
	// + 	Amount:    20,
	//   }
	// scenario: scenario_test.Pay was to lead to 1 event, and failed: only 30 is due
}

func ExampleNewFunc() {
	var t printing

	scenario.NewFunc(t, func() *Order { return &Order{Items: make([]string, 0, 10)} }).
		Given(&Placed{Total: 30}, &Cancelled{}).
		ThenDeleted().
		When(Pay{eventsource.CommandBase{AggregateID: "aggregate"}, 30}).
		ThenError(eventsource.ErrDeleted)

	fmt.Println("all is well")
	// Output: all is well
}

// The aggregate expects a Shipped, and the serializer was made for a *Shipped.
func ExampleWithSerializer() {
	var t printing

	scenario.New(t, &Order{}, scenario.WithSerializer(json.NewSerializer(&Placed{}, &Paid{}, &Shipped{}))).
		Given(&Placed{Total: 30}, &Paid{Amount: 30}).
		When(Ship{eventsource.CommandBase{AggregateID: "order-1"}, "DHL"}).
		Then(Shipped{Carrier: "DHL"})
	// Output:
	// scenario: scenario_test.Ship: the serializer changes scenario_test.Shipped (-before +after):
	//   any(
	// - 	scenario_test.Shipped{
	// - 		BaseEvent: &eventsource.BaseEvent{AggregateID: "order-1", UserID: "ann", Version: 3},
	// - 		Carrier:   "DHL",
	// - 		At:        s"2025-01-01 12:00:00 +0000 UTC",
	// - 	},
	// + 	&scenario_test.Shipped{
	// + 		BaseEvent: &eventsource.BaseEvent{AggregateID: "order-1", UserID: "ann", Version: 3},
	// + 		Carrier:   "DHL",
	// + 		At:        s"2025-01-01 12:00:00 +0000 UTC",
	// + 	},
	//   )
}

func ExampleNewProjection() {
	var t printing
	dues := Dues{}

	scenario.NewProjection(t, dues.Handler()).
		Given(
			&Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "order-1"}, Total: 30},
			&Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "order-2"}, Total: 7},
			&Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-1"}, Amount: 20},
		).
		ThenState(Dues{"order-1": 10, "order-2": 7}, func() any { return dues }).
		Given(&Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-2"}, Amount: 8}).
		ThenError(errUnpaid)

	fmt.Println("all is well")
	// Output: all is well
}
