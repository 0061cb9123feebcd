package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/scenario"
)

// What tests share: none of them may change it.
var (
	placed = &Placed{Items: []string{"hat"}, Total: 30}
	paid   = &Paid{Amount: 30}
	order  = of("order-1")
	ship   = Ship{order, "DHL"}
)

func TestCommandsLeadToEvents(t *testing.T) {
	scenario.New(t, &Order{}).
		Given(placed, paid).
		When(ship).
		Then(Shipped{BaseEvent: by("ann"), Carrier: "DHL", At: noon})
}

func TestScenariosGoOn(t *testing.T) {
	scenario.New(t, &Order{}).
		Given(placed).
		When(ship).ThenError(ErrNotPaid).
		ThenState(&Order{Items: []string{"hat"}, Due: 30}).
		When(Pay{order, 10}).Then(&Paid{Amount: 10}).
		Given(&Paid{Amount: 5}).
		When(Pay{order, 10}).
		When(Pay{order, 5}).
		Then(&Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-1", Version: 4}, Amount: 10}, &Paid{Amount: 5}).
		When(ship).ThenCheck(func(o *Order) {
		if !o.shipped || o.Version != 6 {
			t.Errorf("it is %+v", o)
		}
	}).
		When(ship).ThenUnchanged().
		ThenState(&Order{AggregateBase: eventsource.AggregateBase{ID: "order-1", Version: 6}, Items: []string{"hat"}, shipped: true}).
		When(Cancel{order}).Then(&Cancelled{}).ThenDeleted().
		When(ship).ThenError(eventsource.ErrDeleted).
		ThenDeleted()
}

func TestWhatIsSharedIsNotChanged(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel() // the race detector sees who writes
			shipped := Shipped{BaseEvent: by("ann"), Carrier: "DHL", At: noon}
			scenario.New(t, &Order{}).Given(placed, paid).When(ship).Then(shipped)
			scenario.New(t, &Order{}, scenario.WithSerializer(orderSerializer())).Given(placed, paid, shipped).ThenState(
				&Order{Items: []string{"hat"}, shipped: true})
			if diff := cmp.Diff(by("ann"), shipped.BaseEvent); diff != "" {
				t.Errorf("the event was changed: %s", diff)
			}
		})
	}
	if placed.Version != 0 || placed.AggregateID != "" {
		t.Errorf("the event is %+v", placed)
	}
}

// The ID of the aggregate is the first that something has.
func TestAggregateIsNamedByEventsAndCommands(t *testing.T) {
	named := &Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "order-7"}, Total: 30}
	isNamed := func(id string) func(*Order) {
		return func(o *Order) {
			if o.ID != id {
				t.Errorf("the aggregate is %q, want %q", o.ID, id)
			}
		}
	}
	scenario.New(t, &Order{}).Given(named, paid).ThenCheck(isNamed("order-7"))
	scenario.New(t, &Order{}).Given(placed, &Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-7"}}).ThenCheck(isNamed("order-7"))
	scenario.New(t, &Order{}).Given(placed).When(Pay{of("order-7"), 1}).ThenCheck(isNamed("order-7"))
	scenario.New(t, &Order{}).When(Pay{of("order-7"), 0}).Then(&Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-7", Version: 1}})
	scenario.New(t, &Order{}).Given(placed).ThenCheck(isNamed(scenario.DefaultAggregateID))
}

func TestErrorsAreLookedInto(t *testing.T) {
	var tooMuch *TooMuchError
	scenario.New(t, &Order{}).Given(placed).When(Pay{order, 31}).ThenErrorAs(&tooMuch)
	if tooMuch.Due != 30 {
		t.Errorf("due is %d, want 30", tooMuch.Due)
	}
	var any interface{ Error() string }
	scenario.New(t, &Order{}).Given(placed).When(Pay{order, 31}).ThenErrorAs(&any)
	scenario.New(t, &Order{}).Given(placed).When(Pay{order, 31}).ThenErrorContains("30 is due")
}

// A command with an ID is applied once, as a dispatcher does.
func TestRepeatedCommandsChangeNothing(t *testing.T) {
	pay := Pay{eventsource.CommandBase{AggregateID: "order-1", CommandID: "7"}, 20}
	scenario.New(t, &Order{}).
		When(pay).ThenErrorContains("only 0 is due"). // what was refused is not remembered
		Given(placed).
		When(pay).Then(&Paid{Amount: 20}).
		When(pay).ThenUnchanged().
		Given(&Cancelled{}).
		When(pay).ThenUnchanged()
}

func TestMessages(t *testing.T) {
	var tooMuch *TooMuchError
	for name, c := range map[string]struct {
		run  func(t scenario.T)
		want string
	}{
		"other content": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 10}).Then(&Paid{Amount: 11})
			}, `
			fatal: scenario: scenario_test.Pay led to other events:
			event 1, *scenario_test.Paid (-want +got):
			  &scenario_test.Paid{
			  	BaseEvent: {AggregateID: "order-1", Version: 2},
			- 	Amount:    11,
			+ 	Amount:    10,
			  }`,
		},
		"zero values count": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed, paid).When(ship).Then(Shipped{At: noon}) }, `
			fatal: scenario: scenario_test.Ship led to other events:
			event 1, scenario_test.Shipped (-want +got):
			  scenario_test.Shipped{
			  	BaseEvent: &eventsource.BaseEvent{
			  		AggregateID: "order-1",
			- 		UserID:      "",
			+ 		UserID:      "ann",
			  		SequenceID:  "",
			  		Timestamp:   0,
			  		... // 2 identical fields
			  	},
			- 	Carrier: "",
			+ 	Carrier: "DHL",
			  	At:      s"2025-01-01 12:00:00 +0000 UTC",
			  }`,
		},
		"what the expected event sets counts": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 10}).Then(&Paid{Amount: 10, BaseEvent: eventsource.BaseEvent{
					AggregateID: "order-2", Version: 3, Timestamp: 4, SequenceID: "any", Metadata: eventsource.Metadata{"k": "v"},
				}})
			}, `
			fatal: scenario: scenario_test.Pay led to other events:
			event 1, *scenario_test.Paid (-want +got):
			  &scenario_test.Paid{
			  	BaseEvent: eventsource.BaseEvent{
			- 		AggregateID: "order-2",
			+ 		AggregateID: "order-1",
			  		UserID:      "",
			  		SequenceID:  "",
			- 		Timestamp:   4,
			+ 		Timestamp:   0,
			- 		Version:     3,
			+ 		Version:     2,
			- 		Metadata:    eventsource.Metadata{"k": "v"},
			+ 		Metadata:    nil,
			  	},
			  	Amount: 10,
			  }`,
		},
		"missing and other types": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 30}).When(ship).
					Then(&Placed{}, &Shipped{}, &Cancelled{})
			}, `
			fatal: scenario: scenario_test.Pay, scenario_test.Ship led to other events:
			event 1 is to be a *scenario_test.Placed, and is *scenario_test.Paid {"Amount":30}
			event 2 is to be a *scenario_test.Shipped, and is scenario_test.Shipped {"Carrier":"DHL","At":"2025-01-01T12:00:00Z"}
			event 3 is missing: *scenario_test.Cancelled {}`,
		},
		"one too many": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 10}).When(Pay{order, 20}).Then(&Paid{Amount: 10})
			}, `
			fatal: scenario: scenario_test.Pay, scenario_test.Pay led to other events:
			event 2 is one too many: *scenario_test.Paid {"Amount":20}`,
		},
		"an error and no events": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).Then(&Paid{}, &Paid{}) },
			`fatal: scenario: scenario_test.Ship was to lead to 2 events, and failed: order is not paid`,
		},
		"nothing changed": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed, paid, Shipped{}).When(ship).Then(Shipped{})
			},
			`fatal: scenario: scenario_test.Ship was to lead to 1 event, and changed nothing (ErrUnchanged)`,
		},
		"applied before": {
			func(t scenario.T) {
				again := Pay{eventsource.CommandBase{AggregateID: "order-1", CommandID: "7"}, 20}
				scenario.New(t, &Order{}).Given(placed).When(again).Then(&Paid{Amount: 20}).When(again).Then(&Paid{Amount: 20})
			},
			`fatal: scenario: scenario_test.Pay was to lead to 1 event, and had been applied before, under its ID "7"`,
		},
		"events and no error": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 1}).When(Pay{order, 2}).ThenError(ErrNotPaid)
			}, `
			fatal: scenario: scenario_test.Pay was to fail with "order is not paid", and led to 1 event:
			*scenario_test.Paid {"Amount":2}`,
		},
		"another error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(Pay{order, 31}).ThenError(ErrNotPaid) },
			`fatal: scenario: scenario_test.Pay was to fail with "order is not paid", and failed with: only 30 is due`,
		},
		"unchanged and no error": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed, paid, Shipped{}).When(ship).ThenError(eventsource.ErrUnchanged)
			},
			`fatal: scenario: scenario_test.Ship was to fail with "eventsource: command changes nothing", and changed nothing (ErrUnchanged)`,
		},
		"another type of error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenErrorAs(&tooMuch) },
			`fatal: scenario: scenario_test.Ship was to fail with a *scenario_test.TooMuchError, and failed with: order is not paid`,
		},
		"another text": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenErrorContains("too much") },
			`fatal: scenario: scenario_test.Ship was to fail with an error that contains "too much", and failed with: order is not paid`,
		},
		"changed": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(Pay{order, 10}).ThenUnchanged() }, `
			fatal: scenario: scenario_test.Pay was to change nothing, and led to 1 event:
			*scenario_test.Paid {"Amount":10}`,
		},
		"an error is not unchanged": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenUnchanged() },
			`fatal: scenario: scenario_test.Ship was to change nothing, and failed with: order is not paid`,
		},
		"another state": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed, Shipped{}).ThenState(&Order{Due: 30})
			}, `
			fatal: scenario: the aggregate is not as it should be (-want +got):
			  &scenario_test.Order{
			  	AggregateBase: {ID: "aggregate", Version: 2},
			- 	Items:         nil,
			+ 	Items:         []string{"hat"},
			  	Due:           30,
			- 	shipped:       false,
			+ 	shipped:       true,
			  }`,
		},
		"another version of the state": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).ThenState(&Order{AggregateBase: eventsource.AggregateBase{Version: 2}, Items: placed.Items, Due: 30})
			}, `
			fatal: scenario: the aggregate is not as it should be (-want +got):
			  &scenario_test.Order{
			  	AggregateBase: eventsource.AggregateBase{
			  		ID:      "aggregate",
			- 		Version: 2,
			+ 		Version: 1,
			  	},
			  	Items:   {"hat"},
			  	Due:     30,
			  	shipped: false,
			  }`,
		},
		"state after an error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenState(&Order{Due: 30}) },
			`fatal: scenario: scenario_test.Ship failed, and there is no ThenError: order is not paid`,
		},
		"state of a deleted one": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed, &Cancelled{}).ThenState(&Order{Due: 30}) },
			`fatal: scenario: ThenState: the aggregate is deleted; for that there is ThenDeleted`,
		},
		"check of a deleted one": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed, &Cancelled{}).ThenCheck(func(*Order) {}) },
			`fatal: scenario: ThenCheck: the aggregate is deleted; for that there is ThenDeleted`,
		},
		"not deleted": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).ThenDeleted() },
			`fatal: scenario: the aggregate is not deleted, it has 1 event`,
		},
		"a step after an error": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(ship).When(Pay{order, 10}).Then(&Paid{})
			},
			`fatal: scenario: scenario_test.Ship failed, and there is no ThenError: order is not paid`,
		},
		"events after an error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).Given(paid).ThenDeleted() },
			`fatal: scenario: scenario_test.Ship failed, and there is no ThenError: order is not paid`,
		},
		"deleted after an error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenDeleted() },
			`fatal: scenario: scenario_test.Ship failed, and there is no ThenError: order is not paid`,
		},
		"no Then": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(Pay{order, 10}) },
			`error: scenario: it ends without a Then, and so tests nothing`,
		},
		"no Then after an error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship) },
			`error: scenario: it ends without a Then, and so tests nothing`,
		},
		"no Then after the last When": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(ship).ThenError(ErrNotPaid).When(Pay{order, 10})
			},
			`error: scenario: it ends without a Then, and so tests nothing`,
		},
		"no Then after the last Given": {
			func(t scenario.T) { scenario.New(t, &Order{}).When(ship).ThenError(ErrNotPaid).Given(placed) },
			"fatal: scenario: scenario_test.Ship was to fail with \"order is not paid\", and led to 1 event:\n" +
				`scenario_test.Shipped {"Carrier":"DHL","At":"2025-01-01T12:00:00Z"}`,
		},
		"no When": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).Then(placed) },
			`fatal: scenario: Then without a When since the last one`,
		},
		"no When since the last Then": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(ship).ThenError(ErrNotPaid).ThenError(ErrNotPaid)
			},
			`fatal: scenario: ThenError without a When since the last one`,
		},
		"Then without events": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed, paid, Shipped{}).When(ship).Then() },
			`fatal: scenario: Then has no events; where a command changes nothing there is ThenUnchanged`,
		},
		"an expected event that is nil": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(Pay{order, 1}).Then(&Paid{}, (*Paid)(nil))
			},
			`fatal: scenario: Then: event 2 of 2 is nil`,
		},
		"ThenError of nothing": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenError(nil) },
			`fatal: scenario: ThenError has no error; where a command succeeds there is Then`,
		},
		"ThenErrorAs of nothing": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenErrorAs(nil) },
			`fatal: scenario: ThenErrorAs takes a pointer to a variable for the error, and not this <nil>`,
		},
		"ThenErrorAs of no error": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenErrorAs(new(int)) },
			`fatal: scenario: ThenErrorAs takes a pointer to a variable for the error, and a int is none`,
		},
		"ThenErrorContains nothing": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(ship).ThenErrorContains("") },
			`fatal: scenario: ThenErrorContains has no text`,
		},
		"ThenState of nothing": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).ThenState(nil) },
			`fatal: scenario: ThenState: the aggregate that is wanted is nil`,
		},
		"ThenCheck of nothing": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).ThenCheck(nil) },
			`fatal: scenario: the function of ThenCheck is nil`,
		},
		"an event that is refused": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed, &Paid{Amount: 31}).When(ship).Then(Shipped{})
			},
			`fatal: scenario: Given: eventsource: aggregate "order-1", a *scenario_test.Order, refuses Paid, version 2: 31 was paid of 30`,
		},
		"an event that is nil": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed, nil) },
			`fatal: scenario: Given: event 2 of 2 is nil`,
		},
		"an event of another aggregate": {
			func(t scenario.T) {
				other := &Paid{BaseEvent: eventsource.BaseEvent{AggregateID: "order-2"}}
				scenario.New(t, &Order{}).Given(&Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "order-1"}}, other).ThenDeleted()
			},
			`fatal: scenario: Given: *scenario_test.Paid, version 2, is of aggregate "order-2", and the scenario is of "order-1"`,
		},
		"an event of another version": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed, &Paid{BaseEvent: eventsource.BaseEvent{Version: 3}}).ThenDeleted()
			},
			`fatal: scenario: Given: *scenario_test.Paid has version 3, and its place is 2`,
		},
		"a command for another aggregate": {
			func(t scenario.T) {
				scenario.New(t, &Order{}).Given(placed).When(ship).ThenError(ErrNotPaid).When(Ship{of("order-2"), "DHL"})
			},
			`fatal: scenario: When: scenario_test.Ship is for aggregate "order-2", and the events are of "order-1"`,
		},
		"a command that is nil": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(nil).Then(paid) },
			`fatal: scenario: <nil> was to lead to 1 event, and failed: eventsource: invalid command: it is a nil <nil>`,
		},
		"a command without an aggregate": {
			func(t scenario.T) { scenario.New(t, &Order{}).Given(placed).When(Ship{}).Then(paid) },
			`fatal: scenario: scenario_test.Ship was to lead to 1 event, and failed: eventsource: invalid command: scenario_test.Ship has an empty aggregate ID`,
		},
		"an aggregate that is nil": {
			func(t scenario.T) { scenario.New(t, (*Order)(nil)).Given(placed).When(ship).ThenError(ErrNotPaid) },
			`fatal: scenario: New takes a pointer to a zero struct, and not this *scenario_test.Order; for others there is NewFunc`,
		},
		"an aggregate that is not zero": {
			func(t scenario.T) { scenario.New(t, &Order{Due: 1}).Given(placed).When(ship).ThenError(ErrNotPaid) },
			`fatal: scenario: New takes a pointer to a zero struct, and not this *scenario_test.Order; for others there is NewFunc`,
		},
		"no function": {
			func(t scenario.T) { scenario.NewFunc[*Order](t, nil).Given(placed).When(ship).ThenError(ErrNotPaid) },
			`fatal: scenario: the function that makes aggregates is nil`,
		},
		"a function that returns nil": {
			func(t scenario.T) {
				scenario.NewFunc(t, func() *Order { return nil }).Given(placed).When(ship).ThenError(ErrNotPaid)
			},
			`fatal: scenario: Given: the function that makes aggregates returned nil`,
		},
		"a function that panics": {
			func(t scenario.T) {
				scenario.NewFunc(t, func() *Order { panic("no paper") }).Given(placed).When(ship).ThenError(ErrNotPaid)
			},
			`fatal: scenario: Given: a new *scenario_test.Order panics: no paper`,
		},
		"wrong options": {
			func(t scenario.T) {
				scenario.New(t, &Order{}, scenario.WithSerializer(nil), scenario.WithContext(nil), //nolint:staticcheck // what comes of a nil context
					scenario.IgnoreFields(3, "x"), scenario.IgnoreFields(&Paid{}, "Amuont"), nil).Given(placed).When(ship).ThenError(ErrNotPaid)
			}, `
			fatal: scenario: eventsource: misconfigured: the serializer is nil
			eventsource: misconfigured: the context is nil
			eventsource: misconfigured: fields of a int cannot be ignored, since it is no struct
			eventsource: misconfigured: fields ["Amuont"] of scenario_test.Paid cannot be ignored: Amuont: does not exist`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantSaid(t, c.want, c.run) })
	}
}

func TestOptionsOfTheComparison(t *testing.T) {
	other := Shipped{BaseEvent: by("ann"), Carrier: "DHL", At: noon.Add(time.Second)}
	scenario.New(t, &Order{}, scenario.IgnoreFields(&Shipped{}, "At")).
		Given(placed, paid).When(ship).Then(other)
	scenario.New(t, &Order{}, scenario.WithCmp(cmpopts.EquateApproxTime(time.Minute)), scenario.IgnoreFields(eventsource.BaseEvent{}, "UserID")).
		Given(placed, paid).When(ship).Then(Shipped{Carrier: "DHL", At: other.At})
	scenario.New(t, &Order{}, scenario.IgnoreFields(Order{}, "shipped")).
		Given(placed, Shipped{}).ThenState(&Order{Items: []string{"hat"}, Due: 30})

	// Times are instants.
	scenario.New(t, &Order{}).Given(placed, paid).When(ship).
		Then(Shipped{BaseEvent: by("ann"), Carrier: "DHL", At: noon.In(time.FixedZone("east", 3600))})
}

// counter is an aggregate of a function.
type counter struct {
	eventsource.AggregateBase
	N      int
	seen   map[string]int
	on     func(c *counter, event eventsource.Event) error
	handle func(c *counter, ctx context.Context, command eventsource.Command) ([]eventsource.Event, error)
}

func (c *counter) On(_ context.Context, event eventsource.Event) error { return c.on(c, event) }
func (c *counter) Handle(ctx context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	return c.handle(c, ctx, command)
}

func counting(on func(c *counter, event eventsource.Event) error, events func(c *counter) ([]eventsource.Event, error)) func() *counter {
	return func() *counter {
		return &counter{seen: make(map[string]int), on: on, handle: func(c *counter, _ context.Context, _ eventsource.Command) ([]eventsource.Event, error) {
			return events(c)
		}}
	}
}

// Counted is the event of a counter.
type Counted struct {
	eventsource.BaseEvent
	By     []int
	Labels map[string]int
	secret int
	Lost   int `json:"-"`
}

func count(c *counter, event eventsource.Event) error {
	c.N++
	c.seen[event.GetAggregateID()]++
	return nil
}

func decides(events ...eventsource.Event) func(*counter) ([]eventsource.Event, error) {
	return func(*counter) ([]eventsource.Event, error) { return events, nil }
}

func TestWhatHandleReturnsIsCheckedAsADispatcherDoes(t *testing.T) {
	fails := errors.New("it fails")
	for name, c := range map[string]struct {
		create func() *counter
		is     error
		text   string
	}{
		"nothing":              {counting(count, decides()), eventsource.ErrInvalidEvent, "no event and no error"},
		"nil":                  {counting(count, decides(&Counted{}, nil)), eventsource.ErrInvalidEvent, "event 2 of 2 is nil"},
		"of another aggregate": {counting(count, decides(&Counted{BaseEvent: eventsource.BaseEvent{AggregateID: "b"}})), eventsource.ErrInvalidEvent, `another aggregate, "b"`},
		"without a version":    {counting(count, decides(Shipped{})), eventsource.ErrInvalidEvent, "another aggregate"},
		"refused": {counting(func(c *counter, _ eventsource.Event) error {
			if c.N++; c.N > 1 {
				return fails
			}
			return nil
		}, decides(&Counted{})), fails, "version 2"},
		"panic of Handle": {counting(count, func(*counter) ([]eventsource.Event, error) { panic("no paper") }), nil, "panic: no paper"},
		"panic of On": {counting(func(c *counter, _ eventsource.Event) error {
			if c.N++; c.N > 1 {
				panic(fails)
			}
			return nil
		}, decides(&Counted{})), fails, "panic: it fails"},
	} {
		t.Run(name, func(t *testing.T) {
			command := Ship{of("a"), ""}
			s := scenario.NewFunc(t, c.create).Given(&Counted{}).When(command).ThenErrorContains(c.text)
			if c.is != nil {
				s.When(command).ThenError(c.is)
			}
			if c.is == nil {
				var panicked *eventsource.PanicError
				s.When(command).ThenErrorAs(&panicked)
			}
			s.ThenCheck(func(aggr *counter) { // what failed has left nothing behind
				if aggr.N != 1 || aggr.Version != 1 {
					t.Errorf("the aggregate is %+v", aggr)
				}
			})
		})
	}
}

func TestWhatIsComparedInEvents(t *testing.T) {
	whole := func() *Counted { return &Counted{By: []int{}, Labels: map[string]int{}, secret: 1} }
	when := func(t scenario.T, opts ...scenario.Option) *scenario.Scenario[*counter] {
		return scenario.NewFunc(t, counting(count, decides(whole())), opts...).When(Ship{of("a"), ""})
	}
	when(t).Then(whole())
	for name, c := range map[string]struct {
		want *Counted
		line string
	}{
		"nil slice":        {&Counted{Labels: map[string]int{}, secret: 1}, "- By: nil,\n+ By: []int{},"},
		"nil map":          {&Counted{By: []int{}, secret: 1}, "- Labels: nil,\n+ Labels: map[string]int{},"},
		"unexported field": {&Counted{By: []int{}, Labels: map[string]int{}}, "- secret: 0,\n+ secret: 1,"},
	} {
		t.Run(name, func(t *testing.T) {
			wantLines(t, said(t, false, func(t scenario.T) { when(t).Then(c.want) }), c.line)
		})
	}
	when(t, scenario.WithCmp(cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Counted{}))).Then(&Counted{})
	when(t, scenario.WithCmp(cmpopts.EquateEmpty()), scenario.IgnoreFields(Counted{}, "secret")).Then(&Counted{})

	// Metadata is none or none.
	scenario.NewFunc(t, counting(count, decides(&Counted{BaseEvent: eventsource.BaseEvent{Metadata: eventsource.Metadata{}}}))).
		When(Ship{of("a"), ""}).Then(&Counted{})
	wantLines(t, said(t, false, func(t scenario.T) {
		scenario.NewFunc(t, counting(count, decides(&Counted{BaseEvent: eventsource.BaseEvent{Metadata: eventsource.Metadata{"k": "v"}}}))).
			When(Ship{of("a"), ""}).Then(&Counted{})
	}), `+ Metadata: eventsource.Metadata{"k": "v"},`)

	// What an application decides on may have its time.
	scenario.NewFunc(t, counting(count, decides(&Counted{BaseEvent: eventsource.BaseEvent{Timestamp: 7}}))).
		When(Ship{of("a"), ""}).Then(&Counted{}).
		When(Ship{of("a"), ""}).Then(&Counted{BaseEvent: eventsource.BaseEvent{Timestamp: 7}})
}

func TestWhatCannotBeComparedSaysSo(t *testing.T) {
	twice := scenario.WithCmp(cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b int) bool { return a < b }), cmpopts.SortSlices(func(a, b int) bool { return a > b }))
	got := said(t, false, func(t scenario.T) {
		scenario.NewFunc(t, counting(count, decides(&Counted{By: []int{2, 1}})), twice).When(Ship{of("a"), ""}).Then(&Counted{By: []int{1, 2}})
	})
	wantLines(t, got, "fatal: scenario: Then: *scenario_test.Counted cannot be compared: ambiguous set of applicable options")
}

// The next command is decided by an aggregate that has only what its events say.
func TestHandleThatChangesTheAggregateIsFound(t *testing.T) {
	changing := counting(count, func(c *counter) ([]eventsource.Event, error) {
		c.N = 7
		return []eventsource.Event{&Counted{}}, nil
	})
	wantSaid(t, `
		fatal: scenario: scenario_test.Ship: the aggregate is not what its events make of it; does Handle change it, or On not go by the event alone? (-when loaded +after Handle):
		  &scenario_test.counter{
		  	AggregateBase: {ID: "a", Version: 1},
		- 	N:             1,
		+ 	N:             8,
		  	seen:          {"a": 1},
		  	... // 2 ignored fields
		  }`, func(t scenario.T) {
		scenario.NewFunc(t, changing).When(Ship{of("a"), ""}).Then(&Counted{})
	})
	refusing := counting(func(c *counter, _ eventsource.Event) error {
		if c.N == 0 {
			return errors.New("too early")
		}
		return nil
	}, func(c *counter) ([]eventsource.Event, error) {
		c.N = 7
		return []eventsource.Event{&Counted{}}, nil
	})
	wantSaid(t, `fatal: scenario: scenario_test.Ship: the aggregate accepts its events after Handle, and not when it is loaded: eventsource: aggregate "a", a *scenario_test.counter, refuses Counted, version 1: too early`,
		func(t scenario.T) { scenario.NewFunc(t, refusing).When(Ship{of("a"), ""}).Then(&Counted{}) })

	// After an error nobody uses it.
	scenario.NewFunc(t, counting(count, func(c *counter) ([]eventsource.Event, error) {
		c.N += 7
		return nil, fmt.Errorf("%d", c.N)
	})).When(Ship{of("a"), ""}).ThenErrorContains("7").When(Ship{of("a"), ""}).ThenErrorContains("7")
}

func TestAggregatesAreMadeByAFunction(t *testing.T) {
	scenario.NewFunc(t, counting(count, decides(&Counted{}, &Counted{}))).
		Given(&Counted{}).
		When(Ship{of("a"), ""}).Then(&Counted{}, &Counted{}).
		When(Ship{of("a"), ""}).Then(&Counted{}, &Counted{}).
		ThenCheck(func(c *counter) {
			if c.seen["a"] != 5 {
				t.Errorf("it has seen %v", c.seen)
			}
		})
}

func TestEventsGoThroughTheSerializer(t *testing.T) {
	with := scenario.WithSerializer(orderSerializer())
	scenario.New(t, &Order{}, with).Given(placed, paid).When(ship).Then(Shipped{BaseEvent: by("ann"), Carrier: "DHL", At: noon}).
		ThenState(&Order{AggregateBase: eventsource.AggregateBase{ID: "order-1", Version: 3}, Items: []string{"hat"}, shipped: true})
	for name, c := range map[string]struct {
		run  func(t scenario.T)
		want string
	}{
		"a field is lost when it is given": {
			func(t scenario.T) {
				scenario.NewFunc(t, counting(count, decides()), scenario.WithSerializer(countedSerializer())).Given(&Counted{secret: 1, Lost: 2}).ThenDeleted()
			}, `
			fatal: scenario: Given: the serializer changes *scenario_test.Counted (-before +after):
			  &scenario_test.Counted{
			  	BaseEvent: {AggregateID: "aggregate", Version: 1},
			  	By:        nil,
			  	Labels:    nil,
			- 	secret:    1,
			+ 	secret:    0,
			- 	Lost:      2,
			+ 	Lost:      0,
			  }`,
		},
		"a field is lost when it is decided": {
			func(t scenario.T) {
				scenario.NewFunc(t, counting(count, decides(&Counted{Lost: 2})), scenario.WithSerializer(countedSerializer())).When(Ship{of("a"), ""}).Then(&Counted{Lost: 2})
			}, `
			fatal: scenario: scenario_test.Ship: the serializer changes *scenario_test.Counted (-before +after):
			  &scenario_test.Counted{
			  	... // 2 identical fields
			  	Labels: nil,
			  	secret: 0,
			- 	Lost:   2,
			+ 	Lost:   0,
			  }`,
		},
		"a pointer that comes back as a struct": {
			func(t scenario.T) { scenario.New(t, &Order{}, with).Given(&Shipped{}).ThenDeleted() }, `
			fatal: scenario: Given: the serializer changes *scenario_test.Shipped (-before +after):
			  any(
			- 	&scenario_test.Shipped{BaseEvent: &eventsource.BaseEvent{AggregateID: "aggregate", Version: 1}},
			+ 	scenario_test.Shipped{BaseEvent: &eventsource.BaseEvent{AggregateID: "aggregate", Version: 1}},
			  )`,
		},
		"a type that is not registered": {
			func(t scenario.T) {
				scenario.NewFunc(t, counting(count, decides(&Counted{})), with).When(Ship{of("a"), ""}).Then(&Counted{})
			},
			`fatal: scenario: scenario_test.Ship: eventsource: unknown event type "Counted" (*scenario_test.Counted is not registered)`,
		},
		"a serializer that panics": {
			func(t scenario.T) {
				scenario.New(t, &Order{}, scenario.WithSerializer(badSerializer{panics: true})).Given(placed).ThenDeleted()
			},
			`fatal: scenario: Given: the serializer panics with *scenario_test.Placed: no paper`,
		},
		"a serializer that cannot read": {
			func(t scenario.T) {
				scenario.New(t, &Order{}, scenario.WithSerializer(badSerializer{err: errors.New("cannot read")})).Given(placed).ThenDeleted()
			},
			`fatal: scenario: Given: cannot read`,
		},
		"a serializer that gives nothing": {
			func(t scenario.T) {
				scenario.New(t, &Order{}, scenario.WithSerializer(badSerializer{})).Given(placed).ThenDeleted()
			},
			`fatal: scenario: Given: the serializer returned nil for "Placed"`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantSaid(t, c.want, c.run) })
	}
}

type userKey struct{}

func TestHandleGetsTheContext(t *testing.T) {
	create := func() *counter {
		return &counter{on: func(*counter, eventsource.Event) error { return nil },
			handle: func(_ *counter, ctx context.Context, _ eventsource.Command) ([]eventsource.Event, error) {
				user, _ := ctx.Value(userKey{}).(string)
				return []eventsource.Event{&Counted{BaseEvent: eventsource.BaseEvent{UserID: user}}}, ctx.Err()
			}}
	}
	command := Ship{of("a"), ""}
	scenario.NewFunc(t, create, scenario.WithContext(context.WithValue(t.Context(), userKey{}, "ann"))).
		When(command).Then(&Counted{BaseEvent: eventsource.BaseEvent{UserID: "ann"}})
	scenario.NewFunc(t, create).When(command).Then(&Counted{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	scenario.NewFunc(t, create, scenario.WithContext(ended)).When(command).ThenError(context.Canceled)
}

// Removing from a slice in place is fine when it is loaded: nobody else has it.
func TestAggregatesMayWorkWithWhatIsInTheEvents(t *testing.T) {
	shared := &Counted{By: []int{1, 2, 3}}
	var by []int
	removing := counting(func(c *counter, event eventsource.Event) error {
		if c.N++; c.N == 1 {
			by = event.(*Counted).By
			return nil
		}
		by = slices.Delete(by, 0, 1)
		return nil
	}, decides(&Counted{}))
	has := func(want ...int) func(*counter) {
		return func(*counter) {
			if !slices.Equal(by, want) {
				t.Errorf("it has %v, want %v", by, want)
			}
		}
	}
	scenario.NewFunc(t, removing).
		Given(shared).
		When(Ship{of("a"), ""}).ThenCheck(has(2, 3)).ThenCheck(has(2, 3)).
		When(Ship{of("a"), ""}).ThenCheck(has(3))
	if !slices.Equal(shared.By, []int{1, 2, 3}) {
		t.Errorf("the event has %v", shared.By)
	}
}
