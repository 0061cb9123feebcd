package testsuite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

const scope = "name"

// take reserves a value for good.
func take(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value}
}

// takeUntil reserves a value until then.
func takeUntil(value string, until time.Time) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value, Until: until.UnixNano()}
}

// giveBack releases a value.
func giveBack(value string) eventsource.Reservation {
	return eventsource.Reservation{Scope: scope, Value: value, Release: true}
}

// reserving is a plain record that makes reservations.
func reserving(aggregateID string, reservations ...eventsource.Reservation) eventsource.Record {
	r := record(aggregateID)
	r.Reservations = reservations
	return r
}

func holder(t testing.TB, store eventsource.Store, scope, value string) eventsource.Holder {
	t.Helper()
	h, err := store.(eventsource.Reserver).Holder(t.Context(), scope, value)
	if err != nil {
		t.Fatalf("Holder of %s %q: %v", scope, value, err)
	}
	return h
}

// wantHolder checks which aggregate holds a value, "" for none.
func wantHolder(t testing.TB, store eventsource.Store, value, aggregateID string) {
	t.Helper()
	got := holder(t, store, scope, value)
	if got.AggregateID != aggregateID {
		t.Errorf("%q is held by %q, want %q", value, got.AggregateID, aggregateID)
	}
	if aggregateID == "" && got != (eventsource.Holder{}) {
		t.Errorf("the holder of %q, which nobody holds, is %+v", value, got)
	}
}

// wantTaken checks that a save failed because of a value, and all that the error says.
func wantTaken(t testing.TB, what string, err error, want eventsource.TakenError) {
	t.Helper()
	wantError(t, what, err, eventsource.ErrTaken, fmt.Sprintf("%q", want.Value), want.AggregateID, want.Holder)
	var taken *eventsource.TakenError
	if !errors.As(err, &taken) {
		t.Errorf("%s: error is %v, not a TakenError", what, err)
	} else if *taken != want {
		t.Errorf("%s: error is %+v, want %+v", what, *taken, want)
	}
}

// eventually tries until it works, and gives up when a wait has become too long.
func eventually(t testing.TB, what string, works func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !works(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it did not happen", what)
		}
	}
}

func testReservations(t *testing.T, h Harness) {
	if h.lacks(Reserve) {
		testNoReservations(t, h)
		return
	}
	testReservationsFromEvents(t, h)
	for name, saveIn := range savers() {
		testReserving(t, h, name, saveIn)
		testExpiry(t, h, name, saveIn)
		testReservationsLeaveNothing(t, h, name, saveIn)
		testReservationRaces(t, h, name, saveIn)
	}
	testHolder(t, h)
	testReservationsInTransactions(t, h)
	testReservationInput(t, h)
	if h.MaxSaveEvents > 0 {
		testMaxSaveReservations(t, h)
	}
}

// reservingEvent is an event that makes reservations.
type reservingEvent struct {
	rawEvent
	reservations []eventsource.Reservation
}

func (e *reservingEvent) Reservations() []eventsource.Reservation { return e.reservations }

// reservingSerializer writes them as it writes others.
type reservingSerializer struct{ rawSerializer }

func (s reservingSerializer) Marshal(event eventsource.Event) ([]byte, error) {
	if e, ok := event.(*reservingEvent); ok {
		return s.rawSerializer.Marshal(&e.rawEvent)
	}
	return s.rawSerializer.Marshal(event)
}

func newReservingEvent(aggregateID string, reservations ...eventsource.Reservation) *reservingEvent {
	return &reservingEvent{
		rawEvent:     rawEvent{BaseEvent: eventsource.BaseEvent{AggregateID: aggregateID}, eventType: "Happened"},
		reservations: reservations,
	}
}

func testNoReservations(t *testing.T, h Harness) {
	h.run(t, "an event that reserves is refused, with all that came with it", func(t *testing.T, open Storage) {
		store := open(anyTime)
		repository := eventsource.NewRepository(store, reservingSerializer{})
		plain := &newReservingEvent("a").rawEvent
		wantError(t, "Save", repository.Save(t.Context(), plain, newReservingEvent("a", take("x"))), errors.ErrUnsupported)
		_, err := repository.SaveTransaction(t.Context(), plain, newReservingEvent("a", giveBack("x")))
		wantError(t, "SaveTransaction", err, errors.ErrUnsupported)
		everyRead(t, store, nil)
		if err := repository.Save(t.Context(), plain, newReservingEvent("a")); err != nil {
			t.Errorf("events that reserve nothing: %v", err)
		}
	})
}

func testReservationsFromEvents(t *testing.T, h Harness) {
	h.run(t, "the events of a repository make their reservations", func(t *testing.T, open Storage) {
		store := open(anyTime)
		repository := eventsource.NewRepository(store, reservingSerializer{})
		if err := repository.Save(t.Context(), newReservingEvent("a", take("x"), take("y")), newReservingEvent("a")); err != nil {
			t.Fatal(err)
		}
		wantHolder(t, store, "x", "a")
		wantHolder(t, store, "y", "a")
		want := eventsource.TakenError{Scope: scope, Value: "y", AggregateID: "b", Holder: "a"}
		loser := newReservingEvent("b", take("y"))
		wantTaken(t, "Save", repository.Save(t.Context(), loser), want)
		if loser.SequenceID != "" || loser.Version != 0 || loser.Timestamp != 0 {
			t.Errorf("a save that was refused changed its event to %+v", loser)
		}
		tx, err := repository.SaveTransaction(t.Context(), newReservingEvent("b", take("y")))
		if err == nil {
			err = tx.Commit()
		}
		wantTaken(t, "SaveTransaction", err, want)
		checkVersions(t, store, "b", 0)
	})
}

func testReserving(t *testing.T, h Harness, way string, saveIn saveFunc) {
	run := func(name string, test func(t *testing.T, open Storage)) {
		h.run(t, name+", in "+way, test)
	}
	ok := func(t *testing.T, store eventsource.Store, records ...eventsource.Record) []eventsource.Record {
		t.Helper()
		stored, err := saveIn(t.Context(), store, records...)
		if err != nil {
			t.Fatalf("save: %v", err)
		}
		return stored
	}
	// refused saves what cannot be saved because of value.
	refused := func(t *testing.T, store eventsource.Store, aggregateID, holder, value string, records ...eventsource.Record) {
		t.Helper()
		_, err := saveIn(t.Context(), store, records...)
		wantTaken(t, "save", err, eventsource.TakenError{Scope: scope, Value: value, AggregateID: aggregateID, Holder: holder})
	}

	run("a value is taken by the first aggregate that reserves it, for all handles", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		wantHolder(t, store, "x", "")
		ok(t, store, reserving("a", take("x")))
		for _, s := range []eventsource.Store{store, other} {
			wantHolder(t, s, "x", "a")
			refused(t, s, "b", "a", "x", reserving("b", take("x")))
			wantHolder(t, s, "x", "a")
			checkVersions(t, s, "b", 0)
		}
		ok(t, other, reserving("b", take("y")))
		wantHolder(t, store, "y", "b")
	})

	run("records come back without reservations", func(t *testing.T, open Storage) {
		store := open(anyTime)
		given := []eventsource.Record{reserving("a", take("x")), record("a"), reserving("b", take("y"))}
		stored := ok(t, store, given...)
		if len(given[0].Reservations) != 1 || given[0].Reservations[0] != take("x") {
			t.Errorf("the save changed what it was given to %+v", given[0].Reservations)
		}
		for _, r := range append(loadAll(t, store), stored...) {
			if r.Reservations != nil {
				t.Errorf("%s of %q has the reservations %v", r.SequenceID, r.AggregateID, r.Reservations)
			}
		}
		everyRead(t, store, stored)
	})

	run("its holder gives a value back, and another one takes it", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("x"), take("y")))
		ok(t, store, reserving("a", giveBack("x")))
		wantHolder(t, store, "x", "")
		wantHolder(t, store, "y", "a")
		ok(t, store, reserving("b", take("x")))
		wantHolder(t, store, "x", "b")
		refused(t, store, "a", "b", "x", reserving("a", take("x")))
	})

	run("only its holder gives a value back", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("x")))
		refused(t, store, "b", "a", "x", record("c"), reserving("b", giveBack("x")), record("b"))
		wantHolder(t, store, "x", "a")
		checkVersions(t, store, "b", 0)
		checkVersions(t, store, "c", 0)
	})

	run("a value that nobody holds may be given back", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", giveBack("x")))
		ok(t, store, reserving("a", giveBack("x")), reserving("b", giveBack("x")))
		wantHolder(t, store, "x", "")
		checkVersions(t, store, "a", 2)
	})

	run("its holder may reserve a value again, with another end", func(t *testing.T, open Storage) {
		store := open(anyTime)
		later := time.Now().Add(time.Hour)
		for _, until := range []int64{0, later.UnixNano(), later.Add(time.Hour).UnixNano(), later.UnixNano(), 0} {
			r := take("x")
			r.Until = until
			stored := ok(t, store, reserving("a", r))
			want := eventsource.Holder{AggregateID: "a", SequenceID: stored[0].SequenceID, Version: stored[0].Version, Until: until}
			if got := holder(t, store, scope, "x"); got != want {
				t.Errorf("holder is %+v, want %+v", got, want)
			}
			refused(t, store, "b", "a", "x", reserving("b", take("x")))
		}
	})

	run("a value moves from one aggregate to another in one save", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("x")))
		_, err := saveIn(t.Context(), store, reserving("b", take("x")), reserving("a", giveBack("x")))
		wantError(t, "a save that takes before it gives back", err, eventsource.ErrTaken)
		wantHolder(t, store, "x", "a")
		stored := ok(t, store, reserving("a", giveBack("x")), reserving("b", take("x")))
		want := eventsource.Holder{AggregateID: "b", SequenceID: stored[1].SequenceID, Version: 1}
		if got := holder(t, store, scope, "x"); got != want {
			t.Errorf("holder is %+v, want %+v", got, want)
		}
		refused(t, store, "a", "b", "x", reserving("a", giveBack("x")), reserving("c", take("x")))
	})

	run("an aggregate exchanges one value for another", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("old")))
		ok(t, store, reserving("b", take("taken")))
		refused(t, store, "a", "b", "taken", reserving("a", giveBack("old"), take("taken")))
		wantHolder(t, store, "old", "a")
		ok(t, store, reserving("a", giveBack("old"), take("new")))
		wantHolder(t, store, "old", "")
		wantHolder(t, store, "new", "a")
		// Two aggregates exchange what they have.
		ok(t, store, reserving("a", giveBack("new")), reserving("b", giveBack("taken")), reserving("a", take("taken")), reserving("b", take("new")))
		wantHolder(t, store, "taken", "a")
		wantHolder(t, store, "new", "b")
	})

	run("the reservations of one save are made one after another", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("x"), giveBack("x")))
		wantHolder(t, store, "x", "")
		ok(t, store, reserving("a", giveBack("x"), take("x")))
		wantHolder(t, store, "x", "a")
		stored := ok(t, store, reserving("a", take("x")), reserving("a", take("x")), record("a"))
		if got := holder(t, store, scope, "x"); got.SequenceID != stored[1].SequenceID || got.Version != stored[1].Version {
			t.Errorf("holder is %+v, it was reserved last with %+v", got, stored[1])
		}
		refused(t, store, "b", "a", "y", reserving("a", take("y")), reserving("b", take("y")))
		refused(t, store, "b", "a", "y", reserving("a", take("y")), reserving("b", giveBack("y")))
		wantHolder(t, store, "y", "")
		ok(t, store, reserving("a", take("y"), giveBack("y")), reserving("b", take("y")))
		wantHolder(t, store, "y", "b")
	})

	run("scopes have nothing to do with each other", func(t *testing.T, open Storage) {
		store := open(anyTime)
		in := func(scope, value string) eventsource.Reservation {
			return eventsource.Reservation{Scope: scope, Value: value}
		}
		ok(t, store, reserving("a", in("email", "x"), in("b", "cd")))
		ok(t, store, reserving("b", in("phone", "x"), in("bc", "d")))
		for _, want := range []struct{ scope, value, holder string }{
			{"email", "x", "a"}, {"phone", "x", "b"}, {"b", "cd", "a"}, {"bc", "d", "b"}, {"x", "email", ""}, {"Email", "x", ""},
		} {
			if got := holder(t, store, want.scope, want.value); got.AggregateID != want.holder {
				t.Errorf("%s %q is held by %q, want %q", want.scope, want.value, got.AggregateID, want.holder)
			}
		}
	})

	run("any text can be reserved, and is compared byte by byte", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for i, text := range unusualTexts() {
			id := fmt.Sprint("aggregate ", i)
			r := eventsource.Reservation{Scope: text.scope, Value: text.value}
			stored := ok(t, store, reserving(id, r))
			want := eventsource.Holder{AggregateID: id, SequenceID: stored[0].SequenceID, Version: 1}
			if got := holder(t, store, r.Scope, r.Value); got != want {
				t.Errorf("the holder of %s %q is %+v, want %+v", r.Scope, r.Value, got, want)
			}
			_, err := saveIn(t.Context(), store, reserving("other", r))
			wantTaken(t, "save", err, eventsource.TakenError{Scope: r.Scope, Value: r.Value, AggregateID: "other", Holder: id})
		}
	})

	run("a save with many values is refused because of one", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ok(t, store, reserving("a", take("value 5")))
		var many []eventsource.Reservation
		for i := range 10 {
			many = append(many, take(fmt.Sprint("value ", i)))
		}
		refused(t, store, "b", "a", "value 5", reserving("b", many...))
		for i := range 10 {
			if i != 5 {
				wantHolder(t, store, fmt.Sprint("value ", i), "")
			}
		}
		ok(t, store, reserving("a", many...))
		for i := range 10 {
			wantHolder(t, store, fmt.Sprint("value ", i), "a")
		}
	})
}

type scopeAndValue struct{ scope, value string }

func unusualTexts() []scopeAndValue {
	noise := make([]byte, eventsource.MaxReservedLength+eventsource.MaxScopeLength)
	for i, x := 0, uint32(1); i < len(noise); i++ { // nothing that could be compressed
		x = x*1664525 + 1013904223
		noise[i] = '!' + byte(x>>24)%('~'-'!')
	}
	return []scopeAndValue{
		{scope, "a@example.com"}, {scope, "A@example.com"}, {scope, "a@example.com "}, {scope, "a@example.com\n"},
		{scope, "é"}, {scope, "e\u0301"}, {scope, "日本語 🙂"}, {scope, "ı"}, {scope, "I"},
		{scope, `quotes " ' \ % _ $1 ; -- {} #`}, {scope, `'; DROP TABLE events; --`}, {`scope " ' \ {} #`, "x"},
		{scope, " "}, {" ", scope}, {"日本語", "日本語"},
		{strings.Repeat("é", eventsource.MaxScopeLength/2), strings.Repeat("é", eventsource.MaxReservedLength/2)},
		{string(noise[:eventsource.MaxScopeLength]), string(noise[eventsource.MaxScopeLength:])},
	}
}

func testExpiry(t *testing.T, h Harness, way string, saveIn saveFunc) {
	h.run(t, "a reservation that has ended is none, in "+way, func(t *testing.T, open Storage) {
		store := open(anyTime)
		must := func(records ...eventsource.Record) {
			t.Helper()
			if _, err := saveIn(t.Context(), store, records...); err != nil {
				t.Fatalf("save: %v", err)
			}
		}
		long := time.Now().Add(-time.Hour)
		for _, ended := range []time.Time{long, time.Unix(0, 1)} {
			must(reserving("a", takeUntil("x", ended)))
			wantHolder(t, store, "x", "")
			must(reserving("b", giveBack("x")))
			must(reserving("a", takeUntil("x", ended)))
			must(reserving("b", takeUntil("x", ended)))
			must(reserving("a", takeUntil("x", ended)))
		}
		must(reserving("c", take("x")))
		wantHolder(t, store, "x", "c")
		_, err := saveIn(t.Context(), store, reserving("a", giveBack("x")))
		wantTaken(t, "release by who held it before", err, eventsource.TakenError{Scope: scope, Value: "x", AggregateID: "a", Holder: "c"})
		must(reserving("c", takeUntil("x", long))) // what never ends may be ended
		wantHolder(t, store, "x", "")
		must(reserving("a", take("x")))
		wantHolder(t, store, "x", "a")
	})

	h.run(t, "a reservation ends by itself, unless it is changed, in "+way, func(t *testing.T, open Storage) {
		store := open(anyTime)
		must := func(records ...eventsource.Record) {
			t.Helper()
			if _, err := saveIn(t.Context(), store, records...); err != nil {
				t.Fatalf("save: %v", err)
			}
		}
		hour := time.Now().Add(time.Hour)
		must(reserving("a", takeUntil("x", hour), takeUntil("kept", hour), takeUntil("longer", hour)))
		_, err := saveIn(t.Context(), store, reserving("b", take("x")))
		wantTaken(t, "save before the end", err, eventsource.TakenError{Scope: scope, Value: "x", AggregateID: "b", Holder: "a"})

		end := time.Now().Add(100 * time.Millisecond)
		must(reserving("a", takeUntil("x", end), takeUntil("y", end), takeUntil("kept", end), takeUntil("longer", end)))
		must(reserving("a", take("kept"), takeUntil("longer", hour)))
		eventually(t, "the reservation ends for a reader", func() bool { return holder(t, store, scope, "y") == eventsource.Holder{} })
		eventually(t, "the reservation ends for a save", func() bool {
			_, err := saveIn(t.Context(), store, reserving("b", take("x")))
			if err != nil {
				wantTaken(t, "save before the end", err, eventsource.TakenError{Scope: scope, Value: "x", AggregateID: "b", Holder: "a"})
			}
			return err == nil
		})
		wantHolder(t, store, "x", "b")
		wantHolder(t, store, "kept", "a")
		wantHolder(t, store, "longer", "a")
	})
}

func testReservationsLeaveNothing(t *testing.T, h Harness, way string, saveIn saveFunc) {
	h.run(t, "a save that conflicts reserves nothing, in "+way, func(t *testing.T, open Storage) {
		store := open(anyTime)
		before := save(t, store, record("a"), reserving("a", take("mine")))
		_, err := saveIn(t.Context(), store, reserving("b", take("x")), func() eventsource.Record {
			r := reserving("a", take("y"), giveBack("mine"))
			r.Version = 2
			return r
		}())
		wantError(t, "save", err, eventsource.ErrConflict)
		wantHolder(t, store, "x", "")
		wantHolder(t, store, "y", "")
		wantHolder(t, store, "mine", "a")
		everyRead(t, store, before)
		after := recordAt("a", 3)
		after.Reservations = []eventsource.Reservation{take("y")}
		if _, err := saveIn(t.Context(), store, after); err != nil {
			t.Error(err)
		}
	})

	h.run(t, "a context that has ended reserves nothing, in "+way, func(t *testing.T, open Storage) {
		store := open(anyTime)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := saveIn(ended, store, reserving("a", take("x")))
		wantError(t, "save", err, context.Canceled)
		_, err = store.(eventsource.Reserver).Holder(ended, scope, "x")
		wantError(t, "Holder", err, context.Canceled)
		wantHolder(t, store, "x", "")
		everyRead(t, store, nil)
	})
}

func testReservationRaces(t *testing.T, h Harness, way string, saveIn saveFunc) {
	run := func(name string, test func(t *testing.T, stores []eventsource.Store)) {
		h.run(t, name+", in "+way, func(t *testing.T, open Storage) {
			test(t, []eventsource.Store{open(anyTime), open(anyTime), open(anyTime)})
		})
	}

	run("of many aggregates that reserve a value one wins", func(t *testing.T, stores []eventsource.Store) {
		const savers, rounds = 12, 4
		for round := range rounds {
			value := fmt.Sprint("value ", round)
			errs := make([]error, savers)
			var wg sync.WaitGroup
			for s := range savers {
				wg.Go(func() {
					id := fmt.Sprintf("%d of round %d", s, round)
					_, errs[s] = saveIn(t.Context(), stores[s%len(stores)], record(id), reserving(id, take(value)))
				})
			}
			wg.Wait()
			winner := holder(t, stores[0], scope, value).AggregateID
			for s, err := range errs {
				id := fmt.Sprintf("%d of round %d", s, round)
				if id == winner {
					if err != nil {
						t.Errorf("%q holds %q, but its save failed: %v", id, value, err)
					}
					checkVersions(t, stores[0], id, 2)
					continue
				}
				wantTaken(t, id, err, eventsource.TakenError{Scope: scope, Value: value, AggregateID: id, Holder: winner})
				checkVersions(t, stores[0], id, 0)
			}
			if got := len(loadAll(t, stores[1])); got != 2*(round+1) {
				t.Errorf("after round %d there are %d events, want %d", round+1, got, 2*(round+1))
			}
		}
	})

	run("saves of many values in opposite orders do not lock each other out", func(t *testing.T, stores []eventsource.Store) {
		const savers, rounds, values = 4, 4, 8
		for round := range rounds {
			var all []eventsource.Reservation
			for v := range values {
				all = append(all, take(fmt.Sprintf("value %d of round %d", v, round)))
			}
			backwards := slices.Clone(all)
			slices.Reverse(backwards)
			errs := make([]error, savers)
			var wg sync.WaitGroup
			for s := range savers {
				wg.Go(func() {
					id := fmt.Sprintf("%d of round %d", s, round)
					_, errs[s] = saveIn(t.Context(), stores[s%len(stores)], reserving(id, [][]eventsource.Reservation{all, backwards}[s%2]...))
				})
			}
			wg.Wait()
			winner := holder(t, stores[0], scope, all[0].Value).AggregateID
			for s, err := range errs {
				if id := fmt.Sprintf("%d of round %d", s, round); id == winner {
					if err != nil {
						t.Errorf("%q holds all, but its save failed: %v", id, err)
					}
				} else if wantError(t, id, err, eventsource.ErrTaken, id, winner); err == nil {
					t.Errorf("%q won too", id)
				}
			}
			for _, r := range all {
				wantHolder(t, stores[1], r.Value, winner)
			}
		}
	})

	run("aggregates that want each other's values both fail", func(t *testing.T, stores []eventsource.Store) {
		save(t, stores[0], reserving("a", take("of a")), reserving("b", take("of b")))
		for range 8 {
			var wg sync.WaitGroup
			wg.Go(func() {
				_, err := saveIn(t.Context(), stores[0], reserving("a", giveBack("of a"), take("of b")))
				wantTaken(t, "a", err, eventsource.TakenError{Scope: scope, Value: "of b", AggregateID: "a", Holder: "b"})
			})
			wg.Go(func() {
				_, err := saveIn(t.Context(), stores[1], reserving("b", giveBack("of b"), take("of a")))
				wantTaken(t, "b", err, eventsource.TakenError{Scope: scope, Value: "of a", AggregateID: "b", Holder: "a"})
			})
			wg.Wait()
		}
		checkVersions(t, stores[2], "a", 1)
		checkVersions(t, stores[2], "b", 1)
	})

	run("a value that is given back again and again is never held by two", func(t *testing.T, stores []eventsource.Store) {
		const savers, each = 6, 6
		var (
			wg sync.WaitGroup
			mu sync.Mutex
			by string
		)
		for s := range savers {
			wg.Go(func() {
				id, store := fmt.Sprint("saver ", s), stores[s%len(stores)]
				for range each {
					eventually(t, id+" gets the value", func() bool {
						_, err := saveIn(t.Context(), store, reserving(id, take("x")))
						if err != nil {
							wantError(t, id, err, eventsource.ErrTaken, id)
						}
						return err == nil || t.Failed()
					})
					mu.Lock()
					if by != "" {
						t.Errorf("%s has reserved what %s holds", id, by)
					}
					by = id
					mu.Unlock()
					wantHolder(t, store, "x", id)
					mu.Lock()
					by = ""
					mu.Unlock()
					if _, err := saveIn(t.Context(), store, reserving(id, giveBack("x"))); err != nil {
						t.Errorf("%s gives back: %v", id, err)
					}
				}
			})
		}
		wg.Wait()
		wantHolder(t, stores[0], "x", "")
		for s := range savers {
			checkVersions(t, stores[0], fmt.Sprint("saver ", s), 2*each)
		}
	})

	run("saves with and without reservations fail alone", func(t *testing.T, stores []eventsource.Store) {
		const savers, each = 12, 6
		save(t, stores[0], reserving("first", take("taken")))
		var wg sync.WaitGroup
		for s := range savers {
			wg.Go(func() {
				id := fmt.Sprint("saver ", s)
				for i := range each {
					store := stores[(s+i)%2]
					switch s % 3 {
					case 0:
						if _, err := saveIn(t.Context(), store, record(id), record("shared")); err != nil {
							t.Errorf("a save without reservations: %v", err)
						}
					case 1:
						if _, err := saveIn(t.Context(), store, reserving(id, take(fmt.Sprint(id, "'s ", i))), record("shared")); err != nil {
							t.Errorf("a save with a reservation of its own: %v", err)
						}
					case 2:
						_, err := saveIn(t.Context(), store, reserving(id, take(fmt.Sprint(id, "'s ", i)), take("taken")))
						wantTaken(t, "a save of what is taken", err, eventsource.TakenError{Scope: scope, Value: "taken", AggregateID: id, Holder: "first"})
					}
				}
			})
		}
		wg.Wait()
		checkVersions(t, stores[2], "shared", savers*2/3*each)
		for s := range savers {
			id := fmt.Sprint("saver ", s)
			for i := range each {
				wantHolder(t, stores[2], fmt.Sprint(id, "'s ", i), []string{"", id, ""}[s%3])
			}
			checkVersions(t, stores[2], id, []int{each, each, 0}[s%3])
		}
	})

	run("an aggregate's own saves may reserve one value at once", func(t *testing.T, stores []eventsource.Store) {
		const savers = 8
		var wg sync.WaitGroup
		for s := range savers {
			wg.Go(func() {
				if _, err := saveIn(t.Context(), stores[s%len(stores)], reserving("a", take("x"))); err != nil {
					t.Errorf("saver %d: %v", s, err)
				}
			})
		}
		wg.Wait()
		checkVersions(t, stores[0], "a", savers)
		last := loadAggregate(t, stores[0], "a")[savers-1]
		want := eventsource.Holder{AggregateID: "a", SequenceID: last.SequenceID, Version: last.Version}
		if got := holder(t, stores[0], scope, "x"); got != want {
			t.Errorf("holder is %+v, want that of the last event, %+v", got, want)
		}
	})
}

func testHolder(t *testing.T, h Harness) {
	h.run(t, "the holder is the event's aggregate, with the event's place", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		save(t, store, record("a"), record("b"))
		until := time.Now().Add(time.Hour)
		stored := save(t, store, record("a"), reserving("b", take("x")), reserving("a", takeUntil("y", until), take("z")), record("a"))
		save(t, store, record("a"), record("b"))
		for value, want := range map[string]eventsource.Holder{
			"x":      {AggregateID: "b", SequenceID: stored[1].SequenceID, Version: 2},
			"y":      {AggregateID: "a", SequenceID: stored[2].SequenceID, Version: 3, Until: until.UnixNano()},
			"z":      {AggregateID: "a", SequenceID: stored[2].SequenceID, Version: 3},
			"nobody": {},
		} {
			for _, s := range []eventsource.Store{store, other} {
				if got := holder(t, s, scope, value); got != want {
					t.Errorf("holder of %q is %+v, want %+v", value, got, want)
				}
			}
		}
	})

	h.run(t, "what cannot be reserved has no holder to ask for", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for _, test := range []struct{ scope, value, mentions string }{
			{"", "x", `"x"`},
			{scope, "", scope},
			{"a\x00b", "x", `"a\x00b"`},
			{scope, "a\x00b", `"a\x00b"`},
			{"a\xff", "x", `"a\xff"`},
			{scope, "a\xff", `"a\xff"`},
			{strings.Repeat("s", eventsource.MaxScopeLength+1), "x", "256"},
			{scope, strings.Repeat("v", eventsource.MaxReservedLength+1), "1025"},
		} {
			_, err := store.(eventsource.Reserver).Holder(t.Context(), test.scope, test.value)
			wantError(t, fmt.Sprintf("Holder of %.20q %.20q", test.scope, test.value), err, eventsource.ErrInvalidQuery, test.mentions)
		}
	})
}

func testReservationsInTransactions(t *testing.T, h Harness) {
	h.run(t, "reservations are made at Commit, and not before", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		save(t, store, reserving("a", take("old")))
		tx := begin(t, store, reserving("a", giveBack("old"), take("new")))
		for _, s := range []eventsource.Store{store, other} {
			wantHolder(t, s, "new", "")
			wantHolder(t, s, "old", "a")
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []eventsource.Store{store, other} {
			wantHolder(t, s, "new", "a")
			wantHolder(t, s, "old", "")
		}
	})

	h.run(t, "a transaction that is rolled back reserves nothing", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, reserving("a", take("old")))
		for range 3 {
			tx := begin(t, store, reserving("a", giveBack("old"), take("new")))
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, store, "new", "")
			wantHolder(t, store, "old", "a")
		}
		save(t, store, reserving("b", take("new")))
	})

	h.run(t, "a transaction whose context ends reserves nothing", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for i := range 20 { // more often than any pool has connections
			ctx, cancel := context.WithCancel(t.Context())
			tx, err := store.NewTransaction(ctx, reserving("a", take("x")))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			// Others can go on without anyone touching the transaction.
			id := fmt.Sprint("b", i)
			save(t, store, reserving(id, take("x")))
			wantError(t, "Commit", tx.Commit(), context.Canceled)
			wantHolder(t, store, "x", id)
			save(t, store, reserving(id, giveBack("x")))
		}
		checkVersions(t, store, "a", 0)
	})

	h.run(t, "of two open transactions for one value one wins", func(t *testing.T, open Storage) {
		for _, first := range []string{"commits", "rolls back"} {
			store, value := open(anyTime), newName("contested")
			held := begin(t, store, reserving("first", take(value)))
			second := make(chan error)
			go func() { // it may have to wait for the first
				_, err := trySaveInTransaction(t.Context(), store, reserving("second", take(value)))
				second <- err
			}()
			if first == "commits" {
				// Whichever comes first, exactly one of the two holds it.
				firstErr, secondErr := held.Commit(), <-second
				if (firstErr == nil) == (secondErr == nil) {
					t.Errorf("both committed or neither: %v, %v", firstErr, secondErr)
				}
				wantError(t, "the loser", errors.Join(firstErr, secondErr), eventsource.ErrTaken)
				continue
			}
			if err := held.Rollback(); err != nil {
				t.Error(err)
			}
			if err := <-second; err != nil {
				t.Errorf("the first rolled back, and the second failed: %v", err)
			}
			wantHolder(t, store, value, "second")
		}
	})
}

func testReservationInput(t *testing.T, h Harness) {
	h.run(t, "a reservation that cannot be is refused by name, with all that came with it", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for _, test := range []struct {
			what     string
			bad      eventsource.Reservation
			mentions string
		}{
			{"an empty scope", eventsource.Reservation{Value: "some value"}, "some value"},
			{"an empty value", eventsource.Reservation{Scope: "some scope"}, "some scope"},
			{"an empty value that is released", eventsource.Reservation{Scope: "some scope", Release: true}, "some scope"},
			{"a negative end", eventsource.Reservation{Scope: scope, Value: "x", Until: -7}, "-7"},
			{"a NUL in the scope", eventsource.Reservation{Scope: "a\x00b", Value: "x"}, `"a\x00b"`},
			{"a NUL in the value", take("a\x00b"), `"a\x00b"`},
			{"invalid UTF-8 in the scope", eventsource.Reservation{Scope: "a\xff", Value: "x"}, `"a\xff"`},
			{"invalid UTF-8 in the value", take("a\xff"), `"a\xff"`},
			{"a long scope", eventsource.Reservation{Scope: strings.Repeat("s", eventsource.MaxScopeLength+1), Value: "x"}, "256"},
			{"a long value", take(strings.Repeat("v", eventsource.MaxReservedLength+1)), "1025"},
		} {
			for name, saveIn := range savers() {
				_, err := saveIn(t.Context(), store, reserving("good", take("good")), reserving("bad", take("fine"), test.bad), record("good"))
				wantError(t, test.what+" in "+name, err, eventsource.ErrInvalidEvent, test.mentions)
			}
		}
		everyRead(t, store, nil)
		wantHolder(t, store, "good", "")
		save(t, store, reserving("good", take("good")))
	})
}

func testMaxSaveReservations(t *testing.T, h Harness) {
	for name, saveIn := range savers() {
		h.run(t, "each value that "+name+" reserves counts as an event towards the most that it can have", func(t *testing.T, open Storage) {
			store := open(anyTime)
			save(t, store, reserving("a", take("old")))
			withValues := func(prefix string, count int) eventsource.Record {
				reservations := []eventsource.Reservation{giveBack("old")}
				for i := 1; i < count; i++ {
					reservations = append(reservations, take(fmt.Sprint(prefix, i)), take(fmt.Sprint(prefix, i))) // twice is once
				}
				return reserving("a", reservations...)
			}
			_, err := saveIn(t.Context(), store, record("a"), withValues("more", h.MaxSaveEvents-1))
			checkSaveTooLarge(t, err, h.MaxSaveEvents+1, h.MaxSaveEvents)
			wantHolder(t, store, "more1", "")
			wantHolder(t, store, "old", "a")
			checkVersions(t, store, "a", 1)

			if _, err := saveIn(t.Context(), store, record("a"), withValues("most", h.MaxSaveEvents-2)); err != nil {
				t.Fatal(err)
			}
			wantHolder(t, store, "old", "")
			for i := 1; i < h.MaxSaveEvents-2; i++ {
				wantHolder(t, store, fmt.Sprint("most", i), "a")
			}
		})
	}
}
