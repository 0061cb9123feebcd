package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// till takes commands. What it decides the tests say.
type till struct {
	eventsource.AggregateBase
	Amount int
	decide func(t *till, command eventsource.Command) ([]eventsource.Event, error)
	apply  func(t *till, event eventsource.Event) error // instead of On
}

func (t *till) On(_ context.Context, event eventsource.Event) error {
	if t.apply != nil {
		return t.apply(t, event)
	}
	switch e := event.(type) {
	case *Opened:
	case *Deposited:
		t.Amount += e.Amount
	case *Closed:
		return eventsource.ErrDeleted
	default:
		return fmt.Errorf("%T is no event of a till", event)
	}
	return nil
}

func (t *till) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	if t.decide != nil {
		return t.decide(t, command)
	}
	switch c := command.(type) {
	case put:
		return []eventsource.Event{&Deposited{Amount: c.Amount}}, nil
	case closeTill:
		return []eventsource.Event{&Closed{}}, nil
	}
	return nil, fmt.Errorf("%T is no command of a till", command)
}

type put struct {
	eventsource.CommandBase
	Amount int
}

type closeTill struct{ eventsource.CommandBase }

func putInto(id string, amount int) put {
	return put{eventsource.CommandBase{AggregateID: id}, amount}
}

// tills is a dispatcher of tills that decide as they are told, on a new store.
func tills(decide func(*till, eventsource.Command) ([]eventsource.Event, error), opts ...eventsource.DispatcherOption) (*eventsource.Dispatcher[*till], eventsource.Repository) {
	repo := newAccounts()
	return eventsource.NewDispatcher(repo, func() *till { return &till{decide: decide} }, opts...), repo
}

func mustDispatch(t *testing.T, d *eventsource.Dispatcher[*till], command eventsource.Command) eventsource.Result {
	t.Helper()
	result, err := d.Dispatch(t.Context(), command)
	if err != nil {
		t.Fatalf("Dispatch: %v", err)
	}
	return result
}

func wantNothingStored(t *testing.T, repo eventsource.Repository) {
	t.Helper()
	if events, err := repo.GetEventsBySequenceID(t.Context(), "", 0); err != nil || len(events) > 0 {
		t.Errorf("%d events are stored, error %v", len(events), err)
	}
}

func TestDispatch_starts_an_aggregate_and_goes_on_with_it(t *testing.T) {
	d, repo := tills(nil)
	for i := 1; i <= 3; i++ {
		result := mustDispatch(t, d, putInto("till-1", i))
		events, err := repo.GetEventsBySequenceID(t.Context(), "", 0)
		if err != nil || len(events) != i {
			t.Fatalf("%d events, error %v", len(events), err)
		}
		want := eventsource.Result{Version: i, SequenceID: events[i-1].GetSequenceID()}
		if result != want {
			t.Errorf("got %+v, want %+v", result, want)
		}
	}
	err := d.Read(t.Context(), "till-1", func(aggr *till) error {
		if aggr.ID != "till-1" || aggr.Version != 3 || aggr.Amount != 6 {
			t.Errorf("got %+v", aggr)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDispatch_lets_a_new_aggregate_know_its_ID(t *testing.T) {
	d, _ := tills(func(aggr *till, _ eventsource.Command) ([]eventsource.Event, error) {
		if aggr.ID != "till-1" || aggr.Version != 0 {
			t.Errorf("got %+v", aggr)
		}
		return []eventsource.Event{&Opened{}}, nil
	})
	mustDispatch(t, d, putInto("till-1", 1))
}

func TestDispatch_saves_all_events_of_a_decision_at_once(t *testing.T) {
	d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) {
		return []eventsource.Event{&Opened{Owner: "Ann"}, &Deposited{Amount: 1}, &Deposited{Amount: 2}}, nil
	})
	if result := mustDispatch(t, d, putInto("till-1", 1)); result.Version != 3 {
		t.Errorf("got %+v", result)
	}
	if result := mustDispatch(t, d, putInto("till-1", 1)); result.Version != 6 {
		t.Errorf("got %+v", result)
	}
	for event, err := range repo.Events(t.Context(), eventsource.Query{}) {
		if err != nil || event.GetAggregateID() != "till-1" {
			t.Errorf("got %+v, error %v", event, err)
		}
	}
}

func TestDispatch_passes_on_why_a_command_is_refused_and_stores_nothing(t *testing.T) {
	refusal := fmt.Errorf("the till is full: %w", eventsource.ErrConflict) // no reason to try again
	calls := 0
	d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) {
		calls++
		return []eventsource.Event{&Deposited{}}, refusal
	})
	if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); err != refusal { //nolint:errorlint // as it is
		t.Errorf("got error %v", err)
	}
	if calls != 1 {
		t.Errorf("decided %d times", calls)
	}
	wantNothingStored(t, repo)
}

func TestDispatch_of_a_command_that_changes_nothing_is_no_error(t *testing.T) {
	unchanged := false
	d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) {
		if unchanged {
			return nil, fmt.Errorf("it is full: %w", eventsource.ErrUnchanged)
		}
		return []eventsource.Event{&Deposited{}}, nil
	})
	first := mustDispatch(t, d, putInto("till-1", 1))
	unchanged = true
	if result := mustDispatch(t, d, putInto("till-1", 1)); result != first {
		t.Errorf("got %+v, want %+v", result, first)
	}
	if result := mustDispatch(t, d, putInto("till-2", 1)); result != (eventsource.Result{}) {
		t.Errorf("got %+v", result)
	}
	if events, err := repo.GetEventsBySequenceID(t.Context(), "", 0); err != nil || len(events) != 1 {
		t.Errorf("%d events, error %v", len(events), err)
	}
}

func TestDispatch_refuses_what_cannot_be_saved_and_names_it(t *testing.T) {
	for name, test := range map[string]struct {
		events []eventsource.Event
		want   string
	}{
		"none":              {nil, "*eventsource_test.till returned no event and no error"},
		"empty":             {[]eventsource.Event{}, "returned no event and no error"},
		"nil":               {[]eventsource.Event{&Deposited{}, nil}, "event 2 of 2 is nil"},
		"nil pointer":       {[]eventsource.Event{(*Deposited)(nil)}, "event 1 of 1 is nil"},
		"another aggregate": {[]eventsource.Event{&Deposited{}, &Deposited{BaseEvent: of("till-2")}}, `event 2 of 2, Deposited, is of another aggregate, "till-2"`},
		"no version":        {[]eventsource.Event{&bare{ID: "till-1"}}, "event 1 of 1, a *eventsource_test.bare, has no version"},
		"after the end":     {[]eventsource.Event{&Closed{}, &Deposited{}}, "event 2 of 2, Deposited, comes after the one that deletes the aggregate"},
		"nil base":          {[]eventsource.Event{byPointer{}}, `event 1 of 1, byPointer, is of another aggregate, ""`},
	} {
		t.Run(name, func(t *testing.T) {
			d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) { return test.events, nil })
			_, err := d.Dispatch(t.Context(), putInto("till-1", 1))
			if !errors.Is(err, eventsource.ErrInvalidEvent) || !strings.Contains(err.Error(), test.want) ||
				!strings.Contains(err.Error(), `eventsource_test.put of "till-1"`) {
				t.Errorf("got error %v", err)
			}
			wantNothingStored(t, repo)
		})
	}
}

// byPointer embeds a base that may be missing.
type byPointer struct{ *eventsource.BaseEvent }

func TestDispatch_stores_nothing_that_the_aggregate_refuses_or_that_is_not_registered(t *testing.T) {
	refusal := errors.New("never heard of")
	for name, test := range map[string]struct {
		apply func(*till, eventsource.Event) error
		event eventsource.Event
		want  func(error) bool
	}{
		"refused": {func(*till, eventsource.Event) error { return refusal }, &Deposited{},
			func(err error) bool {
				return errors.Is(err, refusal) && strings.Contains(err.Error(), "refuses Deposited")
			}},
		"panics": {func(*till, eventsource.Event) error { panic(refusal) }, &Deposited{}, func(err error) bool {
			var panicked *eventsource.PanicError
			return errors.Is(err, refusal) && errors.As(err, &panicked) && strings.Contains(string(panicked.Stack), "dispatcher_test.go")
		}},
		"unregistered": {func(*till, eventsource.Event) error { return nil }, &unregistered{},
			func(err error) bool { return errors.Is(err, eventsource.ErrUnknownType) }},
	} {
		t.Run(name, func(t *testing.T) {
			repo := newAccounts()
			d := eventsource.NewDispatcher(repo, func() *till {
				return &till{apply: test.apply, decide: func(*till, eventsource.Command) ([]eventsource.Event, error) {
					return []eventsource.Event{test.event}, nil
				}}
			})
			if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); err == nil || !test.want(err) {
				t.Errorf("got error %v", err)
			}
			wantNothingStored(t, repo)
		})
	}
}

// sorted says what was put in, in some order.
type sorted struct {
	eventsource.BaseEvent
	Amounts []int `json:"amounts"`
}

// An aggregate that keeps a slice of an event, and changes it, changes nothing that is
// stored.
func TestDispatch_stores_what_was_decided_whatever_the_aggregate_does_to_it(t *testing.T) {
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(&sorted{}))
	d := eventsource.NewDispatcher(repo, func() *till {
		return &till{apply: func(_ *till, event eventsource.Event) error {
			slices.Sort(event.(*sorted).Amounts)
			return nil
		}, decide: func(*till, eventsource.Command) ([]eventsource.Event, error) {
			return []eventsource.Event{&sorted{Amounts: []int{3, 1, 2}}}, nil
		}}
	})
	mustDispatch(t, d, putInto("till-1", 1))
	events, err := repo.GetEventsBySequenceID(t.Context(), "", 0)
	if err != nil || len(events) != 1 || !slices.Equal(events[0].(*sorted).Amounts, []int{3, 1, 2}) {
		t.Errorf("got %+v, error %v", events, err)
	}
}

func TestDispatch_makes_an_error_of_a_panic_of_the_handler(t *testing.T) {
	d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) { panic("out of money") })
	_, err := d.Dispatch(t.Context(), putInto("till-1", 1))
	var panicked *eventsource.PanicError
	if !errors.As(err, &panicked) || panicked.Value != "out of money" {
		t.Errorf("got error %v", err)
	}
	wantNothingStored(t, repo)
}

func TestDispatch_refuses_commands_for_no_aggregate(t *testing.T) {
	d, repo := tills(nil)
	for name, command := range map[string]eventsource.Command{
		"nil":         nil,
		"nil pointer": (*put)(nil),
		"no ID":       put{},
		"NUL":         putInto("till\x00", 1),
		"long":        putInto(strings.Repeat("x", eventsource.MaxAggregateIDLength+1), 1),
		"command ID":  put{CommandBase: eventsource.CommandBase{AggregateID: "till-1", CommandID: "\xff"}},
	} {
		if _, err := d.Dispatch(t.Context(), command); !errors.Is(err, eventsource.ErrInvalidCommand) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
	wantNothingStored(t, repo)
}

func TestDispatch_to_a_deleted_aggregate_is_ErrDeleted(t *testing.T) {
	d, _ := tills(nil)
	mustDispatch(t, d, closeTill{eventsource.CommandBase{AggregateID: "till-1"}})
	_, err := d.Dispatch(t.Context(), putInto("till-1", 1))
	if !errors.Is(err, eventsource.ErrDeleted) || !strings.Contains(err.Error(), `"till-1", so it takes no eventsource_test.put`) {
		t.Errorf("got error %v", err)
	}
	if err := d.Read(t.Context(), "till-1", func(*till) error { return nil }); !errors.Is(err, eventsource.ErrDeleted) {
		t.Errorf("Read: got error %v", err)
	}
}

// A load that fails says nothing about whether there are events.
func TestDispatch_never_takes_a_load_that_fails_for_a_new_aggregate(t *testing.T) {
	for name, failure := range map[string]error{"other": errFake, "no history": fmt.Errorf("timed out: %w", eventsource.ErrNoHistory)} {
		decided := false
		create := func() *till {
			return &till{decide: func(*till, eventsource.Command) ([]eventsource.Event, error) {
				decided = true
				return []eventsource.Event{&Opened{}}, nil
			}}
		}
		events := memstore.New()
		failing := &failingLoads{Store: plain{events}, err: failure}
		d := eventsource.NewDispatcher(eventsource.NewRepository(failing, accounts()), create)
		if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); !errors.Is(err, failure) || decided {
			t.Errorf("%s: got error %v, decided %v", name, err, decided)
		}

		repo := eventsource.NewRepository(events, accounts())
		if err := repo.Save(t.Context(), &Opened{BaseEvent: of("till-1")}); err != nil {
			t.Fatal(err)
		}
		d = eventsource.NewDispatcher(repo, func() *till {
			aggr := create()
			aggr.apply = func(*till, eventsource.Event) error { return failure }
			return aggr
		})
		if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); !errors.Is(err, failure) || decided {
			t.Errorf("%s, in On: got error %v, decided %v", name, err, decided)
		}
	}
}

// failingLoads fails to load aggregates.
type failingLoads struct {
	eventsource.Store
	err error
}

func (s *failingLoads) LoadByAggregate(context.Context, string) ([]eventsource.Record, error) {
	return nil, s.err
}

func TestDispatch_decides_again_when_another_save_was_faster(t *testing.T) {
	repo := newAccounts()
	var seen []int
	d := eventsource.NewDispatcher(repo, func() *till {
		return &till{decide: func(aggr *till, _ eventsource.Command) ([]eventsource.Event, error) {
			seen = append(seen, aggr.Amount)
			if len(seen) < 3 {
				if err := repo.Save(t.Context(), &Deposited{BaseEvent: of("till-1"), Amount: 10}); err != nil {
					t.Error(err)
				}
			}
			return []eventsource.Event{&Deposited{Amount: 1}}, nil
		}}
	})
	if result := mustDispatch(t, d, putInto("till-1", 1)); result.Version != 3 {
		t.Errorf("got %+v", result)
	}
	if diff := cmp.Diff([]int{0, 10, 20}, seen); diff != "" {
		t.Errorf("the amounts when it decided: %s", diff)
	}
}

// alwaysFaster has somebody save before each decision is saved.
func alwaysFaster(t *testing.T, repo eventsource.Repository, decided func(n int)) func() *till {
	n := 0
	return func() *till {
		return &till{decide: func(*till, eventsource.Command) ([]eventsource.Event, error) {
			if err := repo.Save(t.Context(), &Deposited{BaseEvent: of("till-1")}); err != nil {
				t.Error(err)
			}
			n++
			decided(n)
			return []eventsource.Event{&Deposited{Amount: 1}}, nil
		}}
	}
}

func TestDispatch_gives_up_when_its_tries_are_used_up(t *testing.T) {
	repo := newAccounts()
	tries := 0
	d := eventsource.NewDispatcher(repo, alwaysFaster(t, repo, func(n int) { tries = n }),
		eventsource.WithTries(4), eventsource.WithBackoff(time.Microsecond, time.Microsecond))
	_, err := d.Dispatch(t.Context(), putInto("till-1", 1))
	var conflict *eventsource.ConflictError
	if !errors.As(err, &conflict) || conflict.Expected != 4 || conflict.Actual != 4 || !strings.Contains(err.Error(), "tried 4 times") {
		t.Errorf("got error %v", err)
	}
	if tries != 4 {
		t.Errorf("decided %d times", tries)
	}
}

func TestDispatch_ends_with_its_context_between_two_tries(t *testing.T) {
	repo := newAccounts()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	d := eventsource.NewDispatcher(repo, alwaysFaster(t, repo, func(n int) {
		if n == 2 {
			cancel()
		}
	}), eventsource.WithTries(1_000_000), eventsource.WithBackoff(time.Microsecond, time.Microsecond))
	if _, err := d.Dispatch(ctx, putInto("till-1", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

func TestDispatch_of_many_at_once_loses_nothing(t *testing.T) {
	d, repo := tills(nil, eventsource.WithTries(1000))
	const savers, each = 8, 25
	var wg sync.WaitGroup
	for range savers {
		wg.Go(func() {
			for range each {
				if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	var aggr till
	if _, err := repo.Load(t.Context(), "till-1", &aggr); err != nil || aggr.Amount != savers*each || aggr.Version != savers*each {
		t.Errorf("got %+v, error %v", aggr, err)
	}
}

func TestDispatch_with_arguments_that_cannot_be_says_so(t *testing.T) {
	repo := newAccounts()
	create := func() *till { return new(till) }
	for name, d := range map[string]*eventsource.Dispatcher[*till]{
		"repository":      eventsource.NewDispatcher(nil, create),
		"no feed":         eventsource.NewDispatcher(struct{ eventsource.Repository }{repo}, create),
		"broken":          eventsource.NewDispatcher(eventsource.NewRepository(nil, accounts()), create),
		"no function":     eventsource.NewDispatcher[*till](repo, nil),
		"no tries":        eventsource.NewDispatcher(repo, create, eventsource.WithTries(0)),
		"no pause":        eventsource.NewDispatcher(repo, create, eventsource.WithBackoff(0, 1)),
		"shrinking pause": eventsource.NewDispatcher(repo, create, eventsource.WithBackoff(2, 1)),
		"memory":          eventsource.NewDispatcher(repo, create, eventsource.WithCommandMemory(-1)),
	} {
		_, err := d.Dispatch(t.Context(), putInto("till-1", 1))
		readErr := d.Read(t.Context(), "till-1", func(*till) error { return nil })
		for _, err := range []error{d.Err(), err, readErr} {
			if !errors.Is(err, eventsource.ErrMisconfigured) {
				t.Errorf("%s: got error %v", name, err)
			}
		}
	}
	d := eventsource.NewDispatcher(repo, func() *till { return nil })
	if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("an aggregate that is nil: got error %v", err)
	}
	wantNothingStored(t, repo)
}

func TestRead_saves_nothing_and_passes_errors_on(t *testing.T) {
	d, repo := tills(nil)
	if err := d.Read(t.Context(), "till-1", func(*till) error { return nil }); !errors.Is(err, eventsource.ErrNoHistory) {
		t.Errorf("without events: got error %v", err)
	}
	if err := d.Read(t.Context(), "", func(*till) error { return nil }); !errors.Is(err, eventsource.ErrInvalidQuery) {
		t.Errorf("without ID: got error %v", err)
	}
	if err := d.Read(t.Context(), "till-1", nil); !errors.Is(err, eventsource.ErrInvalidQuery) {
		t.Errorf("without function: got error %v", err)
	}
	mustDispatch(t, d, putInto("till-1", 1))
	if err := d.Read(t.Context(), "till-1", func(*till) error { return errFake }); err != errFake { //nolint:errorlint // as it is
		t.Errorf("got error %v", err)
	}
	if events, err := repo.GetEventsBySequenceID(t.Context(), "", 0); err != nil || len(events) != 1 {
		t.Errorf("%d events, error %v", len(events), err)
	}
}

// The ID is for the command's own save, and for none that comes of it.
func TestDispatch_of_a_command_with_an_ID_leaves_the_saves_of_observers_alone(t *testing.T) {
	events := memstore.New()
	other := eventsource.NewRepository(events, accounts())
	repo := eventsource.NewRepository(events, accounts(), eventsource.WithObserver(func(ctx context.Context, saved []eventsource.Event) error {
		return other.Save(ctx, &Deposited{BaseEvent: of("till-2"), Amount: 1}, &Deposited{BaseEvent: of("till-1"), Amount: 1})
	}))
	d := eventsource.NewDispatcher(repo, func() *till { return new(till) })
	command := putInto("till-1", 1)
	command.CommandID = "c-1"
	first := mustDispatch(t, d, command)
	again := mustDispatch(t, d, command)
	if again.Version != 1 || again.SequenceID != first.SequenceID || !again.Repeated {
		t.Errorf("got %+v, want %+v", again, first)
	}
	if records, err := events.LoadBySequenceID(t.Context(), "", 0); err != nil || len(records) != 3 {
		t.Errorf("%d records, error %v", len(records), err)
	}
}

// A panic is a mistake, whatever it is with.
func TestAPanicWithAnErrorThatMeansSomethingMeansNothing(t *testing.T) {
	var panicked *eventsource.PanicError
	d, repo := tills(func(*till, eventsource.Command) ([]eventsource.Event, error) { panic(eventsource.ErrUnchanged) })
	if _, err := d.Dispatch(t.Context(), putInto("till-1", 1)); !errors.As(err, &panicked) {
		t.Errorf("Handle panics with ErrUnchanged: got error %v", err)
	}
	wantNothingStored(t, repo)

	mustSave(t, repo, &Opened{BaseEvent: of("till-1")})
	aggr := &till{apply: func(*till, eventsource.Event) error { panic(eventsource.ErrDeleted) }}
	if deleted, err := repo.Load(t.Context(), "till-1", aggr); deleted || !errors.As(err, &panicked) {
		t.Errorf("On panics with ErrDeleted: Load says deleted %v, error %v", deleted, err)
	}
	if deleted, err := eventsource.Apply(t.Context(), aggr, &Opened{BaseEvent: of("till-1")}); deleted || !errors.As(err, &panicked) {
		t.Errorf("On panics with ErrDeleted: Apply says deleted %v, error %v", deleted, err)
	}
}

// A command with an ID needs a store that remembers it.
func TestDispatch_of_a_command_with_an_ID_is_refused_where_it_cannot_be_remembered(t *testing.T) {
	events := memstore.New()
	d := eventsource.NewDispatcher(eventsource.NewRepository(plain{events}, json.NewSerializer(&Deposited{})), func() *till { return new(till) })
	command := putInto("till-1", 1)
	command.CommandID = "c-1"
	if _, err := d.Dispatch(t.Context(), command); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), `"c-1"`) {
		t.Errorf("got error %v", err)
	}
}
