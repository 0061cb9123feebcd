package unique_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/unique"
)

// Reserved makes whatever reservations a test wants.
type Reserved struct {
	eventsource.BaseEvent
	reservations []eventsource.Reservation
}

func (e *Reserved) Reservations() []eventsource.Reservation { return e.reservations }

func save(t *testing.T, store eventsource.Store, aggregateID string, reservations ...eventsource.Reservation) error {
	t.Helper()
	repo := eventsource.NewRepository(store, json.NewSerializer(&Reserved{}))
	return repo.Save(t.Context(), &Reserved{BaseEvent: of(aggregateID), reservations: reservations})
}

func wantError(t *testing.T, what string, err, target error, mentions string) {
	t.Helper()
	if !errors.Is(err, target) || !strings.Contains(err.Error(), mentions) {
		t.Errorf("%s: error is %v, want %v that mentions %s", what, err, target, mentions)
	}
}

func TestAValueIsNormalizedHoweverItIsUsed(t *testing.T) {
	scope := unique.NewScope("email", unique.WithNormalize(strings.TrimSpace), nil, unique.WithNormalize(nil), unique.WithNormalize(strings.ToLower))
	until := time.Unix(1, 0)
	want := eventsource.Reservation{Scope: "email", Value: "a@b"}
	released, ending := want, want
	released.Release, ending.Until = true, until.UnixNano()
	for what, test := range map[string]struct{ got, want []eventsource.Reservation }{
		"Reserve":      {[]eventsource.Reservation{scope.Reserve(" A@b\n")}, []eventsource.Reservation{want}},
		"Release":      {[]eventsource.Reservation{scope.Release("a@B ")}, []eventsource.Reservation{released}},
		"ReserveUntil": {[]eventsource.Reservation{scope.ReserveUntil("A@B", until)}, []eventsource.Reservation{ending}},
		"Move":         {scope.Move("A@b", "a@B"), []eventsource.Reservation{released, want}},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s is %+v, want %+v", what, test.got, test.want)
		}
	}
	store := memstore.New()
	if err := save(t, store, "a", scope.Reserve("A@B")); err != nil {
		t.Fatal(err)
	}
	if holder, err := scope.Holder(t.Context(), store, "a@b "); err != nil || holder.AggregateID != "a" || holder.Version != 1 {
		t.Errorf("Holder = %+v, %v", holder, err)
	}
}

func TestAMoveToTheSameValueKeepsIt(t *testing.T) {
	store := memstore.New()
	for range 2 {
		if err := save(t, store, "a", emails.Move("A@b", "a@B")...); err != nil {
			t.Fatal(err)
		}
		if holder, err := emails.Holder(t.Context(), store, "a@b"); err != nil || holder.AggregateID != "a" {
			t.Errorf("Holder = %+v, %v", holder, err)
		}
	}
}

func TestAScopeThatCannotBeIsAnErrorWhereItIsUsed(t *testing.T) {
	for name, mentions := range map[string]string{
		"":                       "empty scope",
		"eventsource.command":    `"eventsource.command"`,
		"a\x00b":                 `"a\x00b"`,
		"a\xff":                  `"a\xff"`,
		strings.Repeat("s", 256): "256",
	} {
		store := memstore.New()
		scope := unique.NewScope(name)
		wantError(t, "Err", scope.Err(), eventsource.ErrMisconfigured, mentions)
		_, err := scope.Holder(t.Context(), store, "x")
		wantError(t, "Holder", err, eventsource.ErrMisconfigured, mentions)
		for what, reservations := range map[string][]eventsource.Reservation{
			"Reserve": {scope.Reserve("x")}, "Release": {scope.Release("x")}, "Move": scope.Move("x", "y"), "ReserveUntil": {scope.ReserveUntil("x", time.Now())},
		} {
			wantError(t, what, save(t, store, "a", reservations...), eventsource.ErrInvalidEvent, mentions)
		}
		if records, err := store.LoadByAggregate(t.Context(), "a"); err != nil || len(records) > 0 {
			t.Errorf("%q: %d events were stored, %v", name, len(records), err)
		}
	}
	var zero unique.Scope
	wantError(t, "the zero scope", zero.Err(), eventsource.ErrMisconfigured, "empty scope")
	if err := emails.Err(); err != nil {
		t.Error(err)
	}
}

func TestAValueThatCannotBeIsAnErrorWhereItIsUsed(t *testing.T) {
	nothing := unique.NewScope("email", unique.WithNormalize(func(string) string { return "" }))
	for _, test := range []struct {
		scope           unique.Scope
		value, mentions string
	}{
		{emails, "", "empty value"},
		{nothing, "x", "empty value"},
		{emails, "a\x00b", `"a\x00b"`},
		{emails, strings.Repeat("v", 1025), "1025"},
	} {
		store := memstore.New()
		wantError(t, "Reserve", save(t, store, "a", test.scope.Reserve(test.value)), eventsource.ErrInvalidEvent, test.mentions)
		wantError(t, "Move", save(t, store, "a", test.scope.Move(test.value, "new")...), eventsource.ErrInvalidEvent, test.mentions)
		_, err := test.scope.Holder(t.Context(), store, test.value)
		wantError(t, "Holder", err, eventsource.ErrInvalidQuery, test.mentions)
	}
}

func TestAnEndThatNoStoreHasIsRefusedOrNeverComes(t *testing.T) {
	for _, bad := range []time.Time{{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(0, -1), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC)} {
		wantError(t, bad.String(), save(t, memstore.New(), "a", emails.ReserveUntil("x", bad)), eventsource.ErrInvalidEvent, "before 1970")
	}
	for until, want := range map[time.Time]int64{
		time.Unix(0, 1): 1, time.Unix(1, 1): 1_000_000_001, time.Unix(0, math.MaxInt64): math.MaxInt64,
		time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC): math.MaxInt64, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC): math.MaxInt64,
	} {
		if got := emails.ReserveUntil("x", until).Until; got != want {
			t.Errorf("until %v is %d, want %d", until, got, want)
		}
	}
}

// audited is what a middleware of an application may be: it passes on what it has to.
type audited struct {
	eventsource.Store
	eventsource.Reserver
	asked *[]string
}

func (a audited) Holder(ctx context.Context, scope, value string) (eventsource.Holder, error) {
	*a.asked = append(*a.asked, value)
	return a.Reserver.Holder(ctx, scope, value)
}

func TestAStoreMayBeWrapped(t *testing.T) {
	inner := memstore.New()
	var asked []string
	store := audited{inner, inner, &asked}
	if err := save(t, store, "a", emails.Reserve("X")); err != nil {
		t.Fatal(err)
	}
	if holder, err := emails.Holder(t.Context(), store, "X"); err != nil || holder.AggregateID != "a" || !slices.Equal(asked, []string{"x"}) {
		t.Errorf("Holder = %+v, %v; it was asked for %q", holder, err, asked)
	}
	wantError(t, "Save", save(t, store, "b", emails.Reserve("x")), eventsource.ErrTaken, `"a"`)
}

func TestAStoreThatKeepsNoReservationsSaysSo(t *testing.T) {
	store := struct{ eventsource.Store }{memstore.New()}
	wantError(t, "Save", save(t, store, "a", emails.Reserve("x")), errors.ErrUnsupported, "keeps no reservations")
	_, err := emails.Holder(t.Context(), store, "x")
	wantError(t, "Holder", err, errors.ErrUnsupported, fmt.Sprintf("%T", store))
	_, err = emails.Holder(t.Context(), nil, "x")
	wantError(t, "Holder", err, eventsource.ErrMisconfigured, "store")
}

func TestAContextThatHasEndedIsTheError(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := emails.Holder(ended, memstore.New(), "x")
	wantError(t, "Holder", err, context.Canceled, "")
}
