package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/scenario"
)

// Dues is a read model: what is due, by order.
type Dues map[string]int

var errUnpaid = errors.New("nobody has paid that much")

// Handler handles the events that change what is due.
func (d Dues) Handler() projection.Handler {
	return projection.ByType(
		projection.On(func(_ context.Context, e *Placed) error {
			d[e.AggregateID] += e.Total
			return nil
		}),
		projection.On(func(_ context.Context, e *Paid) error {
			if e.Amount > d[e.AggregateID] {
				return errUnpaid
			}
			d[e.AggregateID] -= e.Amount
			return nil
		}),
	)
}

func in(id string) eventsource.BaseEvent { return eventsource.BaseEvent{AggregateID: id} }

func TestProjectionsHandleEvents(t *testing.T) {
	for name, opts := range map[string][]scenario.Option{
		"as they are":            nil,
		"through the serializer": {scenario.WithSerializer(orderSerializer())},
		"one by one":             {scenario.WithProjection(projection.WithBatchSize(1))},
	} {
		t.Run(name, func(t *testing.T) {
			dues := Dues{}
			state := func() any { return dues }
			scenario.NewProjection(t, dues.Handler(), opts...).
				Given(placed, &Placed{BaseEvent: in("order-2"), Total: 7}).
				Given(&Paid{Amount: 10}, Shipped{}).
				ThenState(Dues{scenario.DefaultAggregateID: 20, "order-2": 7}, state).
				Given(&Paid{BaseEvent: in("order-2"), Amount: 7}).
				ThenState(Dues{scenario.DefaultAggregateID: 20, "order-2": 0}, state).
				Then(func() {
					if dues["order-2"] != 0 {
						t.Errorf("dues are %v", dues)
					}
				})
		})
	}
	if placed.SequenceID != "" || placed.AggregateID != "" {
		t.Errorf("the event is %+v", placed)
	}
}

// They get the events as from any store, and only those they ask for.
func TestProjectionsGetEventsOfAStore(t *testing.T) {
	var got []string
	var last string
	handler := projection.Each(func(_ context.Context, event eventsource.Event) error {
		if event.GetSequenceID() <= last || event.GetTimestamp() == 0 {
			t.Errorf("it has sequence ID %q after %q, timestamp %d", event.GetSequenceID(), last, event.GetTimestamp())
		}
		last = event.GetSequenceID()
		got = append(got, fmt.Sprintf("%T of %s, version %d, by %q", event, event.GetAggregateID(), event.(eventsource.Versioned).GetVersion(), event.GetUserID()))
		return nil
	}, &Placed{}, Shipped{})
	scenario.NewProjection(t, handler).
		Given(&Placed{BaseEvent: in("a")}, &Placed{BaseEvent: in("b")}, &Paid{BaseEvent: in("a")}).
		Given(Shipped{BaseEvent: &eventsource.BaseEvent{AggregateID: "a", UserID: "ann"}}, &Cancelled{}).
		ThenState([]string{
			`*scenario_test.Placed of a, version 1, by ""`,
			`*scenario_test.Placed of b, version 1, by ""`,
			`scenario_test.Shipped of a, version 3, by "ann"`,
		}, func() any { return got })
}

func TestProjectionsFail(t *testing.T) {
	dues := Dues{}
	scenario.NewProjection(t, dues.Handler()).
		Given(placed, &Paid{Amount: 31}).ThenError(errUnpaid).
		ThenErrorContains("nobody has paid").
		Given(paid).ThenError(errUnpaid) // it stays where it is

	panics := projection.Each(func(context.Context, eventsource.Event) error { panic(errUnpaid) })
	scenario.NewProjection(t, panics).Given(placed).ThenError(errUnpaid)

	// Options of the projection.
	tries := 0
	third := projection.Each(func(context.Context, eventsource.Event) error {
		if tries++; tries < 3 {
			return errUnpaid
		}
		return nil
	})
	scenario.NewProjection(t, third, scenario.WithProjection(projection.WithRetry(3, time.Millisecond, time.Millisecond))).
		Given(placed).ThenState(3, func() any { return tries })
	hangs := projection.Each(func(ctx context.Context, _ eventsource.Event) error {
		<-ctx.Done()
		return context.Cause(ctx)
	})
	scenario.NewProjection(t, hangs, scenario.WithProjection(projection.WithHandlerTimeout(time.Millisecond))).
		Given(placed).ThenErrorContains("took too long")
}

// When Then looks at its work a handler works on nothing.
func TestProjectionsEndBeforeTheTestGoesOn(t *testing.T) {
	var mu sync.Mutex
	busy := false
	handler := projection.Batch(func(context.Context, []eventsource.Event) error {
		mu.Lock()
		defer mu.Unlock()
		busy = !busy
		return nil
	})
	p := scenario.NewProjection(t, handler)
	for i := range 5 {
		p.Given(placed).Then(func() {
			if busy != (i%2 == 0) { // the race detector sees one that still runs
				t.Errorf("after %d events: %v", i+1, busy)
			}
		})
	}
}

func TestMessagesOfProjections(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	conflicting := &Placed{BaseEvent: eventsource.BaseEvent{AggregateID: "a", Version: 2}}
	for name, c := range map[string]struct {
		run  func(t scenario.T)
		want string
	}{
		"another state": {
			func(t scenario.T) {
				dues := Dues{}
				scenario.NewProjection(t, dues.Handler()).Given(placed).ThenState(Dues{"aggregate": 31}, func() any { return dues })
			}, `
			fatal: scenario: the state is not as it should be (-want +got):
			  scenario_test.Dues{
			- 	"aggregate": 31,
			+ 	"aggregate": 30,
			  }`,
		},
		"another type": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given(placed).ThenState(1, func() any { return int64(1) })
			}, `
			fatal: scenario: the state is not as it should be (-want +got):
			  any(
			- 	int(1),
			+ 	int64(1),
			  )`,
		},
		"no error": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed).ThenError(errUnpaid) },
			`fatal: scenario: the handler was to fail with "nobody has paid that much", and has handled all events`,
		},
		"an error": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given(placed, &Paid{Amount: 31}).Then(func() { panic("all is handled") })
			},
			`fatal: scenario: the handler failed at Paid, version 2 of aggregate "aggregate": nobody has paid that much`,
		},
		"an error and no state": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given(placed, &Paid{Amount: 31}).ThenState(1, func() any { return 1 })
			},
			`fatal: scenario: the handler failed at Paid, version 2 of aggregate "aggregate": nobody has paid that much`,
		},
		"another error": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given(placed, &Paid{Amount: 31}).ThenError(ErrNotPaid)
			},
			`fatal: scenario: the handler was to fail with "order is not paid", and the handler failed at Paid, version 2 of aggregate "aggregate": nobody has paid that much`,
		},
		"an error that is not the handler's": {
			func(t scenario.T) {
				ctx, cancel := context.WithCancel(t.Context())
				p := scenario.NewProjection(t, Dues{}.Handler(), scenario.WithContext(ctx)).Given(placed)
				cancel()
				p.ThenError(context.Canceled)
			},
			`fatal: scenario: the handler was to fail with "context canceled", and the projection failed: load checkpoint of "NAME": context canceled`,
		},
		"no Then": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed) },
			`error: scenario: it ends without a Then, and so tests nothing`,
		},
		"no Then after the last Given": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given(placed).Then(func() {}).Given(placed)
			},
			`error: scenario: it ends without a Then, and so tests nothing`,
		},
		"no Given": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler()).Given().Then(func() { panic("nothing to look at") })
			},
			`fatal: scenario: Then without an event in Given`,
		},
		"Then of nothing": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed).Then(nil) },
			`fatal: scenario: the function of Then is nil`,
		},
		"ThenState of nothing": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed).ThenState(Dues{}, nil) },
			`fatal: scenario: the function of ThenState is nil`,
		},
		"ThenError of nothing": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed).ThenError(nil) },
			`fatal: scenario: ThenError has no error; where all events are handled there is Then`,
		},
		"ThenErrorContains nothing": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(placed).ThenErrorContains("") },
			`fatal: scenario: ThenErrorContains has no text`,
		},
		"an event that is nil": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given((*Placed)(nil)) },
			`fatal: scenario: Given: event 1 of 1 is nil`,
		},
		"an event that cannot be saved": {
			func(t scenario.T) { scenario.NewProjection(t, Dues{}.Handler()).Given(conflicting) },
			`fatal: scenario: Given: eventsource: version conflict: aggregate "a" is at version 0, its next event cannot have version 2`,
		},
		"an event that the serializer changes": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler(), scenario.WithSerializer(countedSerializer())).Given(&Counted{Lost: 2})
			}, `
			fatal: scenario: Given: the serializer changes *scenario_test.Counted (-before +after):
			  &scenario_test.Counted{
			  	... // 2 identical fields
			  	Labels: nil,
			  	secret: 0,
			- 	Lost: 2,
			+ 	Lost: 0,
			  }`,
		},
		"no handler": {
			func(t scenario.T) { scenario.NewProjection(t, nil, scenario.WithContext(t.Context())).Given(placed) },
			`fatal: scenario: eventsource: misconfigured: projection: handler of "NAME" is nil`,
		},
		"a context that has ended": {
			func(t scenario.T) {
				scenario.NewProjection(t, Dues{}.Handler(), scenario.WithContext(ended)).Given(placed).Then(func() {})
			},
			`fatal: scenario: Given: context canceled`,
		},
	} {
		t.Run(name, func(t *testing.T) { wantSaid(t, c.want, c.run) })
	}
}
