package eventsource_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// Named takes whatever names a test wants.
type Named struct {
	eventsource.BaseEvent
	reservations []eventsource.Reservation
}

func (e *Named) Reservations() []eventsource.Reservation { return e.reservations }

func naming(aggregateID string, reservations ...eventsource.Reservation) *Named {
	return &Named{BaseEvent: of(aggregateID), reservations: reservations}
}

func takeName(name string) eventsource.Reservation {
	return eventsource.Reservation{Scope: "name", Value: name}
}

func giveBackName(name string) eventsource.Reservation {
	return eventsource.Reservation{Scope: "name", Value: name, Release: true}
}

func TestAReservationThatCannotBeIsRefusedByName(t *testing.T) {
	for _, test := range []struct {
		bad      eventsource.Reservation
		mentions string
	}{
		{eventsource.Reservation{Value: "x"}, `the reservation of "x" has an empty scope`},
		{eventsource.Reservation{Scope: "name"}, `scope "name" has an empty value`},
		{eventsource.Reservation{Scope: "name", Release: true}, `scope "name" has an empty value`},
		{eventsource.Reservation{Scope: "name", Value: "x", Until: -1}, "before 1970, at -1"},
		{eventsource.Reservation{Scope: "a\x00", Value: "x"}, `"a\x00"`},
		{takeName("a\xff"), `"a\xff"`},
		{eventsource.Reservation{Scope: strings.Repeat("s", eventsource.MaxScopeLength+1), Value: "x"}, "has 256 bytes, the limit is 255"},
		{takeName(strings.Repeat("v", eventsource.MaxReservedLength+1)), "has 1025 bytes, the limit is 1024"},
	} {
		wantError(t, test.bad.Validate(), eventsource.ErrInvalidEvent, test.mentions)
		record := eventsource.Record{AggregateID: "a", Type: "Named", Reservations: []eventsource.Reservation{takeName("good"), test.bad}}
		wantError(t, record.Validate(), eventsource.ErrInvalidEvent, test.mentions, "Named", `"a"`)
		if test.bad.Until == 0 {
			err := eventsource.CheckReserved(test.bad.Scope, test.bad.Value)
			wantError(t, err, eventsource.ErrInvalidQuery, test.mentions)
			if errors.Is(err, eventsource.ErrInvalidEvent) {
				t.Errorf("%v is an invalid event too", err)
			}
		}
	}
	longest := eventsource.Reservation{Scope: strings.Repeat("s", eventsource.MaxScopeLength), Value: strings.Repeat("v", eventsource.MaxReservedLength)}
	if err := longest.Validate(); err != nil {
		t.Error(err)
	}
	if err := eventsource.CheckReserved(longest.Scope, longest.Value); err != nil {
		t.Error(err)
	}
}

func TestATakenErrorSaysEverything(t *testing.T) {
	err := error(&eventsource.TakenError{Scope: "name", Value: "x", AggregateID: "b", Holder: "a"})
	wantError(t, err, eventsource.ErrTaken, `name "x" is held by "a"`, `free for "b"`)
}

func TestARecordsCloneHasReservationsOfItsOwn(t *testing.T) {
	record := eventsource.Record{AggregateID: "a", Reservations: []eventsource.Reservation{takeName("x")}}
	clone := record.Clone()
	clone.Reservations[0].Value = "spoilt"
	if record.Reservations[0] != takeName("x") {
		t.Errorf("it was changed to %+v", record.Reservations[0])
	}
}

func TestTheReservationsOfRecordsArePutTogether(t *testing.T) {
	record := func(aggregateID string, reservations ...eventsource.Reservation) eventsource.Record {
		return eventsource.Record{AggregateID: aggregateID, Type: "Named", Reservations: reservations}
	}
	ending := takeName("x")
	ending.Until = 7
	for name, test := range map[string]struct {
		records []eventsource.Record
		want    []eventsource.ReservationChange
	}{
		"none": {[]eventsource.Record{record("a"), record("b")}, nil},
		"in order of scope and value": {
			[]eventsource.Record{record("a", takeName("y"), eventsource.Reservation{Scope: "email", Value: "z"}), record("b", takeName("x"))},
			[]eventsource.ReservationChange{
				{Scope: "email", Value: "z", From: "a", To: "a"}, {Scope: "name", Value: "x", From: "b", To: "b", Record: 1}, {Scope: "name", Value: "y", From: "a", To: "a"},
			},
		},
		"moved": {
			[]eventsource.Record{record("a", giveBackName("x")), record("c"), record("b", ending)},
			[]eventsource.ReservationChange{{Scope: "name", Value: "x", From: "a", To: "b", Until: 7, Record: 2}},
		},
		"reserved, and given back": {
			[]eventsource.Record{record("a", ending), record("a", giveBackName("x"))},
			[]eventsource.ReservationChange{{Scope: "name", Value: "x", From: "a", Record: 1}},
		},
	} {
		got, err := eventsource.ReservationChanges(test.records)
		if diff := gocmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	_, err := eventsource.ReservationChanges([]eventsource.Record{record("a", takeName("x")), record("b", giveBackName("x"))})
	var taken *eventsource.TakenError
	if !errors.As(err, &taken) || *taken != (eventsource.TakenError{Scope: "name", Value: "x", AggregateID: "b", Holder: "a"}) {
		t.Errorf("error is %v", err)
	}
}

// place is where a value is held, in a model that makes reservations one by one.
type place struct {
	holder string
	until  int64
	record int // -1 for before
}

// one makes a reservation, or returns false if another aggregate holds the value.
func one(held map[[2]string]place, aggregateID string, record int, r eventsource.Reservation) bool {
	key := [2]string{r.Scope, r.Value}
	if holder := held[key].holder; holder != "" && holder != aggregateID {
		return false
	}
	if r.Release {
		delete(held, key)
	} else {
		held[key] = place{aggregateID, r.Until, record}
	}
	return true
}

func TestChangesDoWhatTheReservationsDoOneAfterAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		aggregates := rapid.SampledFrom([]string{"a", "b", "c"})
		scopes, values := rapid.SampledFrom([]string{"s", "t"}), rapid.SampledFrom([]string{"", "x", "y", "z"})
		before := make(map[[2]string]place)
		for range rapid.IntRange(0, 4).Draw(t, "held before") {
			before[[2]string{scopes.Draw(t, "scope"), values.Draw(t, "value")}] = place{holder: aggregates.Draw(t, "holder"), record: -1}
		}
		records := []eventsource.Record{}
		for range rapid.IntRange(0, 4).Draw(t, "records") {
			r := eventsource.Record{AggregateID: aggregates.Draw(t, "aggregate")}
			for range rapid.IntRange(0, 4).Draw(t, "reservations") {
				r.Reservations = append(r.Reservations, eventsource.Reservation{
					Scope: scopes.Draw(t, "scope"), Value: values.Draw(t, "value"),
					Release: rapid.Bool().Draw(t, "release"), Until: rapid.Int64Range(0, 2).Draw(t, "until"),
				})
			}
			records = append(records, r)
		}
		given := eventsource.CloneRecords(records)

		want, free := make(map[[2]string]place), true
		for key, p := range before {
			want[key] = p
		}
		for i, r := range records {
			for _, reservation := range r.Reservations {
				free = free && one(want, r.AggregateID, i, reservation)
			}
		}

		changes, err := eventsource.ReservationChanges(records)
		if diff := gocmp.Diff(given, records); diff != "" {
			t.Fatalf("it changed what it was given: %s", diff)
		}
		if err != nil {
			if free || !errors.Is(err, eventsource.ErrTaken) {
				t.Fatalf("error is %v; one by one they can be made: %v", err, free)
			}
			return
		}
		inOrder := func(a, b eventsource.ReservationChange) int {
			return cmp.Or(strings.Compare(a.Scope, b.Scope), strings.Compare(a.Value, b.Value))
		}
		if !slices.IsSortedFunc(changes, inOrder) {
			t.Fatalf("the changes are not in order: %+v", changes)
		}
		got, allowed := make(map[[2]string]place), true
		for key, p := range before {
			got[key] = p
		}
		for i, c := range changes {
			if i > 0 && inOrder(changes[i-1], c) == 0 {
				t.Fatalf("%s %q is changed twice", c.Scope, c.Value)
			}
			key := [2]string{c.Scope, c.Value}
			holder := before[key].holder
			allowed = allowed && (holder == "" || holder == c.From)
			if c.To == "" {
				delete(got, key)
			} else {
				got[key] = place{c.To, c.Until, c.Record}
			}
		}
		if allowed != free {
			t.Fatalf("the changes are allowed: %v, but one by one: %v (%+v)", allowed, free, changes)
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(place{})); free && diff != "" {
			t.Fatalf("held afterwards (-one by one +changes): %s", diff)
		}
	})
}

// recording keeps what it is given.
type recording struct {
	*memstore.Store
	given []eventsource.Record
}

func (r *recording) Append(ctx context.Context, records ...eventsource.Record) ([]eventsource.Record, error) {
	r.given = append(r.given, records...)
	return r.Store.Append(ctx, records...)
}

func TestASaveMakesTheReservationsOfItsEvents(t *testing.T) {
	store := &recording{Store: memstore.New()}
	repo := eventsource.NewRepository(store, json.NewSerializer(&Named{}, &Deposited{}))
	event := naming("a", takeName("x"), giveBackName("y"))
	mustSave(t, repo, deposit("a", 1), event, naming("a"))
	var got [][]eventsource.Reservation
	for _, r := range store.given {
		got = append(got, r.Reservations)
	}
	if want := [][]eventsource.Reservation{nil, event.reservations, nil}; !gocmp.Equal(want, got) {
		t.Errorf("the records have %v, want %v", got, want)
	}
	store.given[1].Reservations[0].Value = "spoilt"
	if event.reservations[0] != takeName("x") {
		t.Error("the record shares its reservations with the event")
	}
	holder, err := store.Holder(t.Context(), "name", "x")
	if err != nil || holder.AggregateID != "a" || holder.Version != 2 || holder.SequenceID != event.SequenceID {
		t.Errorf("Holder = %+v, %v", holder, err)
	}
	wantError(t, repo.Save(t.Context(), naming("b", takeName("x"))), eventsource.ErrTaken, `"x"`, `"a"`, `"b"`)
}

func TestEventsDoNotReserveInTheScopesOfThisPackage(t *testing.T) {
	store := memstore.New()
	repo := eventsource.NewRepository(store, json.NewSerializer(&Named{}))
	for _, scope := range []string{"eventsource.command", "eventsource."} {
		for _, release := range []bool{false, true} {
			err := repo.Save(t.Context(), naming("a"), naming("a", takeName("x"), eventsource.Reservation{Scope: scope, Value: "x", Release: release}))
			wantError(t, err, eventsource.ErrInvalidEvent, fmt.Sprintf("%q", scope), "Named", `"a"`)
		}
	}
	wantEmpty(t, store)
	mustSave(t, repo, naming("a", eventsource.Reservation{Scope: "eventsource", Value: "x"}, eventsource.Reservation{Scope: "my eventsource.", Value: "x"}))
}

func TestARepositoryOnAStoreWithoutReservationsRefusesThem(t *testing.T) {
	store := plain{memstore.New()}
	repo := eventsource.NewRepository(store, json.NewSerializer(&Named{}))
	wantError(t, repo.Save(t.Context(), naming("a"), naming("a", takeName("x"))), errors.ErrUnsupported, "plain")
	_, err := repo.SaveTransaction(t.Context(), naming("a", giveBackName("x")))
	wantError(t, err, errors.ErrUnsupported, "plain")
	wantEmpty(t, store)
	mustSave(t, repo, naming("a"))
}
