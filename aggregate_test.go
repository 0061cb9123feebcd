package eventsource_test

import (
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"log"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// The events of a thermostat: pointers, and a struct that embeds a pointer.
type (
	warmed struct {
		eventsource.BaseEvent
		Degrees int
	}
	cooled struct {
		*eventsource.BaseEvent
		Degrees int
	}
	scrapped struct{ eventsource.BaseEvent }
)

type thermostat struct {
	eventsource.AggregateBase
	Degrees int
}

var (
	errTooHot        = errors.New("too hot")
	thermostatEvents = []eventsource.Event{&warmed{}, cooled{}, &scrapped{}}
	applyWarmed      = eventsource.When((*thermostat).warmed)
	applyCooled      = eventsource.When((*thermostat).cooled)
	applyScrapped    = eventsource.When((*thermostat).scrapped)

	thermostatAppliers = eventsource.NewAppliers(thermostatEvents, applyWarmed, applyCooled, applyScrapped)
)

func (t *thermostat) On(_ context.Context, event eventsource.Event) error {
	return thermostatAppliers.Apply(t, event)
}

func (t *thermostat) warmed(e *warmed) error {
	if t.Degrees+e.Degrees > 100 {
		return errTooHot
	}
	t.Degrees += e.Degrees
	return nil
}

func (t *thermostat) cooled(e cooled) error {
	if e.Degrees == 0 {
		panic(errFake)
	}
	t.Degrees -= e.Degrees
	return nil
}

func (t *thermostat) scrapped(*scrapped) error { return eventsource.ErrDeleted }

func warm(version, degrees int) *warmed {
	return &warmed{BaseEvent: eventsource.BaseEvent{AggregateID: "t", Version: version}, Degrees: degrees}
}

func cool(version, degrees int) cooled {
	return cooled{BaseEvent: &eventsource.BaseEvent{AggregateID: "t", Version: version}, Degrees: degrees}
}

// Each event is applied by the method for its type. The serializer is made with the same
// list of events.
func ExampleNewAppliers() {
	ctx := context.Background()
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(thermostatEvents...))

	err := repo.Save(ctx,
		&warmed{BaseEvent: of("hall"), Degrees: 21},
		cooled{BaseEvent: &eventsource.BaseEvent{AggregateID: "hall"}, Degrees: 2},
	)
	if err != nil {
		log.Fatal(err)
	}
	var hall thermostat // whose On is: return thermostatAppliers.Apply(t, event)
	if _, err := repo.Load(ctx, "hall", &hall); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s has %d degrees at version %d\n", hall.ID, hall.Degrees, hall.Version)
	// Output: hall has 19 degrees at version 2
}

// An aggregate in a test needs no store.
func ExampleApply() {
	var hall thermostat
	_, err := eventsource.Apply(context.Background(), &hall,
		&warmed{BaseEvent: eventsource.BaseEvent{AggregateID: "hall", Version: 1}, Degrees: 90},
		&warmed{BaseEvent: eventsource.BaseEvent{AggregateID: "hall", Version: 2}, Degrees: 20},
	)
	fmt.Println(err)
	fmt.Println(hall.Degrees, "degrees")
	// Output:
	// eventsource: aggregate "hall", a *eventsource_test.thermostat, refuses warmed, version 2: too hot
	// 90 degrees
}

func TestAppliersApplyEachEventWithTheFunctionForItsType(t *testing.T) {
	if err := thermostatAppliers.Err(); err != nil {
		t.Fatal(err)
	}
	var aggr thermostat
	for _, event := range []eventsource.Event{warm(1, 30), cool(2, 7), warm(3, 1)} {
		if err := thermostatAppliers.Apply(&aggr, event); err != nil {
			t.Fatal(err)
		}
	}
	if aggr.Degrees != 24 {
		t.Errorf("it has %d degrees, want 24", aggr.Degrees)
	}
	wantError(t, thermostatAppliers.Apply(&aggr, &scrapped{}), eventsource.ErrDeleted)
	wantError(t, thermostatAppliers.Apply(&aggr, warm(4, 77)), errTooHot)
}

func TestAppliersRefuseOtherEvents(t *testing.T) {
	var aggr thermostat
	// A pointer to an event that is a struct is another event: no serializer gives both.
	c := cool(1, 2)
	for _, event := range []eventsource.Event{&Opened{}, &c, nil} {
		wantError(t, thermostatAppliers.Apply(&aggr, event), eventsource.ErrUnknownType,
			fmt.Sprintf("%T is no event of *eventsource_test.thermostat", event))
	}
	if aggr.Degrees != 0 {
		t.Errorf("it has %d degrees, want 0", aggr.Degrees)
	}
}

func TestWrongAppliersSayWhatIsWrong(t *testing.T) {
	type appliers = []eventsource.Applier[*thermostat]
	all := appliers{applyWarmed, applyCooled, applyScrapped}
	for name, c := range map[string]struct {
		events   []eventsource.Event
		appliers appliers
		mentions []string
	}{
		"missing":        {thermostatEvents, appliers{applyWarmed}, []string{"*eventsource_test.thermostat has no function for its event eventsource_test.cooled", "no function for its event *eventsource_test.scrapped"}},
		"none at all":    {thermostatEvents, nil, []string{"no function for its event *eventsource_test.warmed"}},
		"foreign":        {thermostatEvents[:2], all, []string{"*eventsource_test.thermostat has a function for *eventsource_test.scrapped, which is none of its events"}},
		"twice":          {thermostatEvents, append(appliers{applyCooled}, all...), []string{"*eventsource_test.thermostat has two functions for eventsource_test.cooled"}},
		"no function":    {thermostatEvents, append(appliers{eventsource.When[*thermostat, *warmed](nil)}, all[1:]...), []string{"the function of *eventsource_test.thermostat for *eventsource_test.warmed is nil"}},
		"not by When":    {thermostatEvents, append(appliers{{}}, all...), []string{"an applier of *eventsource_test.thermostat was not made by When"}},
		"no event":       {append([]eventsource.Event{nil}, thermostatEvents...), all, []string{"event 1 of 4 of *eventsource_test.thermostat is nil"}},
		"not the struct": {[]eventsource.Event{&warmed{}, &cooled{}, &scrapped{}}, all, []string{"no function for its event *eventsource_test.cooled", "a function for eventsource_test.cooled, which is none"}},
		"all events": {thermostatEvents, append(all, eventsource.When(func(*thermostat, eventsource.Event) error { return nil })),
			[]string{"has a function for eventsource.Event, which is none of its events"}},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := eventsource.NewAppliers(c.events, c.appliers...)
			wantError(t, wrong.Err(), eventsource.ErrMisconfigured, c.mentions...)
			var aggr thermostat
			for _, event := range []eventsource.Event{warm(1, 1), cool(2, 1), &Opened{}, nil} {
				wantError(t, wrong.Apply(&aggr, event), eventsource.ErrMisconfigured, c.mentions...)
			}
			if aggr.Degrees != 0 {
				t.Errorf("an event was applied: %+v", aggr)
			}
		})
	}
}

func TestWrongAppliersSayItInTheOrderOfTheEvents(t *testing.T) {
	for range 20 {
		got := strings.Split(eventsource.NewAppliers[*thermostat](thermostatEvents).Err().Error(), "\n")
		want := []string{
			"eventsource: misconfigured: *eventsource_test.thermostat has no function for its event *eventsource_test.warmed",
			"eventsource: misconfigured: *eventsource_test.thermostat has no function for its event eventsource_test.cooled",
			"eventsource: misconfigured: *eventsource_test.thermostat has no function for its event *eventsource_test.scrapped",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	}
}

// Only the types of the events matter, and one may be named twice.
func TestAppliersTakeEventsOfAnyValue(t *testing.T) {
	events := append([]eventsource.Event{(*warmed)(nil), cool(7, 7), warm(1, 1)}, &scrapped{})
	appliers := eventsource.NewAppliers(events, applyScrapped, applyCooled, applyWarmed)
	if err := appliers.Err(); err != nil {
		t.Error(err)
	}
}

func TestWrongAppliersFailTheLoad(t *testing.T) {
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(thermostatEvents...))
	mustSave(t, repo, warm(1, 1))
	aggr := &applied{apply: eventsource.NewAppliers[*applied](nil, eventsource.When(func(*applied, *warmed) error { return nil })).Apply}
	_, err := repo.Load(t.Context(), "t", aggr)
	wantError(t, err, eventsource.ErrMisconfigured, "*eventsource_test.warmed")
}

// applied is an aggregate of a function.
type applied struct {
	apply func(aggr *applied, event eventsource.Event) error
	id    string
}

func (a *applied) SetAggregateID(id string) { a.id = id }
func (a *applied) On(_ context.Context, event eventsource.Event) error {
	return a.apply(a, event)
}

func TestApplyKeepsTheVersionOfTheLastEvent(t *testing.T) {
	var aggr thermostat
	deleted, err := eventsource.Apply(t.Context(), &aggr, warm(1, 30), cool(2, 7))
	if deleted || err != nil || aggr.GetVersion() != 2 || aggr.Degrees != 23 {
		t.Errorf("it is %+v, deleted %v, error %v", aggr, deleted, err)
	}
	// An event that was never saved has no version to give.
	if _, err := eventsource.Apply(t.Context(), &aggr, warm(0, 1)); err != nil || aggr.Version != 2 || aggr.Degrees != 24 {
		t.Errorf("it is %+v, error %v", aggr, err)
	}
	if deleted, err := eventsource.Apply(t.Context(), &aggr); deleted || err != nil {
		t.Errorf("without events: deleted %v, error %v", deleted, err)
	}
}

func TestApplyNeedsNoVersions(t *testing.T) {
	seen := 0
	aggr := &applied{apply: func(*applied, eventsource.Event) error { seen++; return nil }}
	if _, err := eventsource.Apply(t.Context(), aggr, warm(1, 1), cooled{Degrees: 1}); err != nil || seen != 2 {
		t.Errorf("%d events, error %v", seen, err)
	}
}

func TestApplyEndsAtTheEventThatDeletes(t *testing.T) {
	var aggr thermostat
	last := &scrapped{BaseEvent: eventsource.BaseEvent{AggregateID: "t", Version: 2}}
	deleted, err := eventsource.Apply(t.Context(), &aggr, warm(1, 30), last, warm(3, 1))
	if !deleted || err != nil || aggr.Version != 2 || aggr.Degrees != 30 {
		t.Errorf("it is %+v, deleted %v, error %v", aggr, deleted, err)
	}
	// ErrDeleted may say more.
	wrapping := &applied{apply: func(*applied, eventsource.Event) error { return fmt.Errorf("%w by fire", eventsource.ErrDeleted) }}
	if deleted, err := eventsource.Apply(t.Context(), wrapping, warm(1, 1)); !deleted || err != nil {
		t.Errorf("deleted %v, error %v", deleted, err)
	}
}

func TestApplyStopsAtAnErrorAndNamesTheEvent(t *testing.T) {
	var aggr thermostat
	deleted, err := eventsource.Apply(t.Context(), &aggr, warm(1, 90), warm(2, 20), warm(3, 1))
	wantError(t, err, errTooHot, `aggregate "t"`, "*eventsource_test.thermostat", "warmed", "version 2")
	if deleted || aggr.Version != 1 || aggr.Degrees != 90 {
		t.Errorf("it is %+v, deleted %v", aggr, deleted)
	}
	_, err = eventsource.Apply(t.Context(), &aggr, &Opened{BaseEvent: of("t")})
	wantError(t, err, eventsource.ErrUnknownType, "Opened", "version 0")
}

func TestApplyTurnsPanicsIntoErrors(t *testing.T) {
	var aggr thermostat
	_, err := eventsource.Apply(t.Context(), &aggr, warm(1, 1), cool(2, 0))
	wantError(t, err, errFake, "cooled", "version 2")
	panicked, ok := errors.AsType[*eventsource.PanicError](err)
	if !ok || !strings.Contains(string(panicked.Stack), "(*thermostat).cooled") {
		t.Errorf("the error is %#v", err)
	}
	if aggr.Version != 1 {
		t.Errorf("it has version %d, want 1", aggr.Version)
	}
}

func TestApplyRefusesWhatIsNil(t *testing.T) {
	var aggr thermostat
	for _, event := range []eventsource.Event{nil, (*warmed)(nil)} {
		_, err := eventsource.Apply(t.Context(), &aggr, warm(1, 1), event)
		wantError(t, err, eventsource.ErrInvalidEvent, "event 2 of 2", "*eventsource_test.thermostat")
	}
	for _, none := range []eventsource.Aggregate{nil, (*thermostat)(nil)} {
		_, err := eventsource.Apply(t.Context(), none, warm(1, 1))
		wantError(t, err, eventsource.ErrInvalidEvent, "aggregate")
	}
}

// Load and Apply make the same of the same events.
func TestApplyDoesWhatLoadDoes(t *testing.T) {
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(thermostatEvents...))
	events := []eventsource.Event{warm(1, 30), cool(2, 7), warm(3, 1), &scrapped{BaseEvent: of("t")}}
	for i, event := range events {
		mustSave(t, repo, event)
		var loaded, applied thermostat
		loadDeleted, err := repo.Load(t.Context(), "t", &loaded)
		if err != nil {
			t.Fatal(err)
		}
		applied.SetAggregateID("t")
		applyDeleted, err := eventsource.Apply(t.Context(), &applied, events[:i+1]...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(loaded, applied); diff != "" || loadDeleted != applyDeleted {
			t.Errorf("after %d events: deleted %v and %v (-Load +Apply)\n%s", i+1, loadDeleted, applyDeleted, diff)
		}
	}
}

func TestAggregateBaseKeepsIDAndVersionOutOfTheState(t *testing.T) {
	aggr := thermostat{Degrees: 7}
	aggr.SetAggregateID("hall")
	aggr.SetVersion(3)
	if aggr.GetAggregateID() != "hall" || aggr.ID != "hall" || aggr.GetVersion() != 3 || aggr.Version != 3 {
		t.Errorf("it is %+v", aggr)
	}
	if state, err := stdjson.Marshal(aggr); err != nil || string(state) != `{"Degrees":7}` {
		t.Errorf("its state is %s, error %v", state, err)
	}
}

func TestApplyingAllocatesNothing(t *testing.T) {
	var aggr thermostat
	events := []eventsource.Event{warm(1, 1), cool(2, 1)}
	one := testing.AllocsPerRun(100, func() {
		for _, event := range events {
			if err := thermostatAppliers.Apply(&aggr, event); err != nil {
				t.Fatal(err)
			}
		}
	})
	ctx := t.Context()
	all := testing.AllocsPerRun(100, func() {
		if _, err := eventsource.Apply(ctx, &aggr, events...); err != nil {
			t.Fatal(err)
		}
	})
	if one != 0 || all != 0 {
		t.Errorf("Appliers.Apply makes %v allocations for two events, Apply %v, want none", one, all)
	}
}

func BenchmarkAppliers(b *testing.B) {
	ctx := b.Context()
	events := []eventsource.Event{warm(1, 1), cool(2, 1)}
	for _, c := range []struct {
		name  string
		apply func(aggr *thermostat, event eventsource.Event) error
	}{
		{"Appliers", thermostatAppliers.Apply},
		{"Apply", func(aggr *thermostat, event eventsource.Event) error {
			_, err := eventsource.Apply(ctx, aggr, event)
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var aggr thermostat
			for i := 0; b.Loop(); i++ {
				if err := c.apply(&aggr, events[i%2]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
