package eventsource_test

import (
	"context"
	"errors"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// change asks for a thermostat to be changed by a function.
type change struct {
	eventsource.CommandBase
	by func(t *deciding) ([]eventsource.Event, error)
}

// deciding is a thermostat that takes commands.
type deciding struct{ thermostat }

func (d *deciding) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	return command.(change).by(d)
}

func changeTo(events ...eventsource.Event) change {
	return change{eventsource.CommandBase{AggregateID: "t"}, func(*deciding) ([]eventsource.Event, error) { return events, nil }}
}

func TestDecideCompletesAndAppliesTheEvents(t *testing.T) {
	aggr := &deciding{thermostat{Degrees: 20}}
	first, second := &warmed{Degrees: 3}, cooled{BaseEvent: &eventsource.BaseEvent{AggregateID: "t", Version: 99}, Degrees: 1}
	events, deleted, err := eventsource.Decide(t.Context(), aggr, 7, changeTo(first, second))
	if err != nil || deleted || len(events) != 2 || events[0] != eventsource.Event(first) {
		t.Fatalf("events are %v, deleted %v, error %v", events, deleted, err)
	}
	if first.AggregateID != "t" || first.Version != 8 || second.Version != 9 || aggr.Version != 9 || aggr.Degrees != 22 {
		t.Errorf("events are %+v and %+v, the aggregate %+v", first, second.BaseEvent, aggr)
	}
	_, deleted, err = eventsource.Decide(t.Context(), aggr, 9, changeTo(&scrapped{}))
	if err != nil || !deleted {
		t.Errorf("deleted %v, error %v", deleted, err)
	}
}

// hollow has its BaseEvent in a struct that it embeds by pointer.
type hollow struct{ *hollowBase }

type hollowBase struct{ eventsource.BaseEvent }

// Whether Decide is asked or a dispatcher, the errors are the same.
func TestDecideRefusesWhatADispatcherRefuses(t *testing.T) {
	ofOther := warm(1, 1)
	ofOther.AggregateID = "other"
	fails := func(err error) change {
		c := changeTo()
		c.by = func(*deciding) ([]eventsource.Event, error) { return nil, err }
		return c
	}
	panics := changeTo()
	panics.by = func(*deciding) ([]eventsource.Event, error) { panic(errFake) }
	for name, c := range map[string]struct {
		command  eventsource.Command
		is       error
		mentions []string
	}{
		"no command":           {nil, eventsource.ErrInvalidCommand, nil},
		"no aggregate":         {change{}, eventsource.ErrInvalidCommand, []string{"empty aggregate ID"}},
		"an error":             {fails(errFake), errFake, nil},
		"a panic":              {panics, errFake, []string{"panic"}},
		"no events":            {changeTo(), eventsource.ErrInvalidEvent, []string{"no event and no error"}},
		"nil":                  {changeTo(warm(0, 1), nil), eventsource.ErrInvalidEvent, []string{"event 2 of 2 is nil"}},
		"of another aggregate": {changeTo(ofOther), eventsource.ErrInvalidEvent, []string{`"other"`}},
		"refused":              {changeTo(warm(0, 101)), errTooHot, []string{"version 1"}},
		"a panic of On":        {changeTo(cool(0, 0)), errFake, []string{"version 1"}},
		"an event that panics": {changeTo(hollow{}), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(thermostatEvents...))
			dispatcher := eventsource.NewDispatcher(repo, func() *deciding { return &deciding{} })
			_, dispatched := dispatcher.Dispatch(t.Context(), c.command)
			events, deleted, err := eventsource.Decide(t.Context(), &deciding{}, 0, c.command)
			if len(events) != 0 || deleted {
				t.Errorf("events are %v, deleted %v", events, deleted)
			}
			for _, err := range []error{dispatched, err} {
				if err == nil || c.is == nil && !isPanic(err) {
					t.Fatalf("the error is %v", err)
				}
				if c.is != nil {
					wantError(t, err, c.is, c.mentions...)
				}
			}
		})
	}
}

func isPanic(err error) bool {
	_, ok := errors.AsType[*eventsource.PanicError](err)
	return ok
}

func TestDecideReturnsErrUnchangedAndRefusesNil(t *testing.T) {
	unchanged := changeTo()
	unchanged.by = func(*deciding) ([]eventsource.Event, error) { return nil, eventsource.ErrUnchanged }
	events, _, err := eventsource.Decide(t.Context(), &deciding{}, 0, unchanged)
	wantError(t, err, eventsource.ErrUnchanged)
	if len(events) != 0 {
		t.Errorf("events are %v", events)
	}
	for _, none := range []eventsource.CommandAggregate{nil, (*deciding)(nil)} {
		_, _, err := eventsource.Decide(t.Context(), none, 0, changeTo(warm(0, 1)))
		wantError(t, err, eventsource.ErrInvalidEvent, "aggregate", "change")
	}
}
