package eventsource_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// recorder is an aggregate that keeps what it is told, and fails at a version.
type recorder struct {
	told   []string
	failAt int
	err    error
}

func (r *recorder) SetAggregateID(id string) { r.told = append(r.told, "id "+id) }

func (r *recorder) On(_ context.Context, event eventsource.Event) error {
	version := event.(eventsource.Versioned).GetVersion()
	r.told = append(r.told, fmt.Sprint(eventsource.EventType(event), " ", version))
	if version == r.failAt {
		return r.err
	}
	return nil
}

func TestLoad_sets_the_ID_and_then_applies_all_events_in_order(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		mustSave(t, repo, &Opened{BaseEvent: of("a")}, deposit("b", 1), deposit("a", 1), deposit("a", 2))
		var r recorder
		deleted, err := repo.Load(t.Context(), "a", &r)
		if err != nil || deleted {
			t.Errorf("deleted is %v, error %v", deleted, err)
		}
		if diff := cmp.Diff([]string{"id a", "Opened 1", "Deposited 2", "Deposited 3"}, r.told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLoad_of_an_aggregate_without_events_is_ErrNoHistory(t *testing.T) {
	var r recorder
	deleted, err := newAccounts().Load(t.Context(), "nobody", &r)
	wantError(t, err, eventsource.ErrNoHistory, `"nobody"`)
	if deleted || len(r.told) != 0 {
		t.Errorf("deleted is %v, and the aggregate was told %v", deleted, r.told)
	}
}

func TestLoad_ends_when_an_event_deletes_the_aggregate(t *testing.T) {
	repo := newAccounts()
	mustSave(t, repo, deposit("a", 1), deposit("a", 2), deposit("a", 3))
	for _, err := range []error{eventsource.ErrDeleted, fmt.Errorf("closed by its owner: %w", eventsource.ErrDeleted)} {
		r := recorder{failAt: 2, err: err}
		deleted, err := repo.Load(t.Context(), "a", &r)
		if err != nil || !deleted {
			t.Errorf("deleted is %v, error %v", deleted, err)
		}
		if diff := cmp.Diff([]string{"id a", "Deposited 1", "Deposited 2"}, r.told); diff != "" {
			t.Error(diff)
		}
	}
}

func TestLoad_names_the_event_that_the_aggregate_refuses(t *testing.T) {
	repo := newAccounts()
	mustSave(t, repo, deposit("a", 1), deposit("a", 2), deposit("a", 3))
	r := recorder{failAt: 2, err: errFake}
	deleted, err := repo.Load(t.Context(), "a", &r)
	wantError(t, err, errFake, `"a"`, "Deposited", "version 2")
	if deleted || len(r.told) != 3 {
		t.Errorf("deleted is %v, and the aggregate was told %v", deleted, r.told)
	}
}

func TestLoad_refuses_what_it_cannot_load(t *testing.T) {
	repo := newAccounts()
	mustSave(t, repo, deposit("a", 1))
	var nilAccount *Account
	for _, test := range []struct {
		id       string
		aggr     eventsource.Aggregate
		mentions string
	}{
		{"a", nil, "nil"}, {"a", nilAccount, "nil"}, {"", &Account{}, "empty"},
	} {
		_, err := repo.Load(t.Context(), test.id, test.aggr)
		wantError(t, err, eventsource.ErrInvalidQuery, test.mentions)
	}
}

// writeUnknown stores an event that the serializer of the accounts does not know.
func writeUnknown(t testing.TB, store eventsource.Store) (sequenceID string) {
	t.Helper()
	event := &unregistered{of("a")}
	mustSave(t, eventsource.NewRepository(store, json.NewSerializer(event)), event)
	return event.SequenceID
}

func TestLoads_name_the_type_and_sequence_ID_of_an_event_that_is_not_known(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		mustSave(t, repo, deposit("a", 1))
		id := writeUnknown(t, store)
		mustSave(t, repo, deposit("a", 3))

		mentions := []string{`"unregistered"`, id, "version 2", `"a"`}
		_, err := repo.Load(t.Context(), "a", &recorder{})
		wantError(t, err, eventsource.ErrUnknownType, mentions...)
		_, err = repo.GetEventsBySequenceID(t.Context(), "", 0)
		wantError(t, err, eventsource.ErrUnknownType, mentions...)
		_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "", &unregistered{}, 0)
		wantError(t, err, eventsource.ErrUnknownType, mentions...)
		_, err = repo.GetEventsByTimestamp(t.Context(), 0, 0)
		wantError(t, err, eventsource.ErrUnknownType, mentions...)
		events, errs := collect(repo.Events(t.Context(), eventsource.Query{}))
		if len(events) != 1 || len(errs) != 1 {
			t.Fatalf("%d events, errors %v, want one of each", len(events), errs)
		}
		wantError(t, errs[0], eventsource.ErrUnknownType, mentions...)

		// Who asks for other types is not disturbed.
		events, errs = collect(repo.Events(t.Context(), eventsource.Query{Types: []string{"Deposited"}}))
		if len(events) != 2 || len(errs) != 0 {
			t.Errorf("%d events, errors %v", len(events), errs)
		}
	})
}

func TestLoads_pass_errors_of_the_store(t *testing.T) {
	repo := eventsource.NewRepository(broken{errFake}, accounts())
	_, err := repo.Load(t.Context(), "a", &Account{})
	wantError(t, err, errFake)
	_, err = repo.GetEventsBySequenceID(t.Context(), "", 0)
	wantError(t, err, errFake)
	_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "", &Opened{}, 0)
	wantError(t, err, errFake)
	_, err = repo.GetEventsByTimestamp(t.Context(), 0, 0)
	wantError(t, err, errFake)
	for _, query := range []eventsource.Query{{}, {AggregateID: "a"}, {Types: []string{"Opened"}}} {
		_, errs := collect(repo.Events(t.Context(), query))
		if len(errs) != 1 {
			t.Fatalf("errors are %v, want one", errs)
		}
		wantError(t, errs[0], errFake)
	}
}

func TestLoads_refuse_a_serializer_that_gives_nil(t *testing.T) {
	store := fixed{records: []eventsource.Record{{SequenceID: "S1", AggregateID: "a", Version: 1, Type: "Opened"}}}
	for _, event := range []eventsource.Event{nil, (*Opened)(nil)} {
		repo := eventsource.NewRepository(store, &serializer{
			unmarshal: func([]byte, string) (eventsource.Event, error) { return event, nil },
		})
		_, err := repo.GetEventsBySequenceID(t.Context(), "", 0)
		wantError(t, err, eventsource.ErrInvalidEvent, `"Opened"`, "S1")
		_, err = repo.Load(t.Context(), "a", &Account{})
		wantError(t, err, eventsource.ErrInvalidEvent)
	}
}

func TestGetEventsBySequenceID_gives_what_comes_after(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		first, second, third := deposit("a", 1), &Opened{BaseEvent: of("b")}, deposit("a", 3)
		mustSave(t, repo, first, second, third)
		for _, test := range []struct {
			after string
			limit int
			want  []eventsource.Event
		}{
			{"", 0, []eventsource.Event{first, second, third}},
			{"", 2, []eventsource.Event{first, second}},
			{first.SequenceID, 1, []eventsource.Event{second}},
			{second.SequenceID, 100, []eventsource.Event{third}},
			{third.SequenceID, 0, []eventsource.Event{}},
		} {
			got, err := repo.GetEventsBySequenceID(t.Context(), test.after, test.limit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("after %q, limit %d (-want +got)\n%s", test.after, test.limit, diff)
			}
		}
		_, err := repo.GetEventsBySequenceID(t.Context(), "no ULID", 0)
		wantError(t, err, eventsource.ErrInvalidSequenceID, "no ULID")
		_, err = repo.GetEventsBySequenceID(t.Context(), "", -1)
		wantError(t, err, eventsource.ErrInvalidQuery, "-1")
	})
}

func TestGetEventsBySequenceIDAndType_goes_by_the_type_whatever_the_value(t *testing.T) {
	repo := eventsource.NewRepository(memstore.New(), json.NewSerializer(&Opened{}, &Deposited{}, &Renamed{}, byValue{}))
	mustSave(t, repo, &Opened{BaseEvent: of("a")}, deposit("a", 1), &Renamed{BaseEvent: of("a")},
		byValue{BaseEvent: &eventsource.BaseEvent{AggregateID: "a"}})
	for _, eventType := range []eventsource.Event{
		&Opened{}, (*Opened)(nil), &Renamed{}, (*Renamed)(nil), byValue{}, &byValue{}, (*byValue)(nil),
	} {
		events, err := repo.GetEventsBySequenceIDAndType(t.Context(), "", eventType, 0)
		if err != nil || len(events) != 1 {
			t.Errorf("%T: %d events, error %v, want one", eventType, len(events), err)
		}
	}
	_, err := repo.GetEventsBySequenceIDAndType(t.Context(), "", nil, 0)
	wantError(t, err, eventsource.ErrInvalidQuery, "nil")
}

func TestGetEventsByTimestamp_gives_later_events_in_sequence_order(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		for _, timestamp := range []int64{30, 10, 20, 40} {
			event := deposit("a", int(timestamp))
			event.Timestamp = timestamp
			mustSave(t, repo, event)
		}
		events, err := repo.GetEventsByTimestamp(t.Context(), 10, 2)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]int{30, 20}, amounts(events)); diff != "" {
			t.Error(diff)
		}
		_, err = repo.GetEventsByTimestamp(t.Context(), 0, -1)
		wantError(t, err, eventsource.ErrInvalidQuery)
	})
}

// collect gives all events and errors of an iteration.
func collect(all iter.Seq2[eventsource.Event, error]) (events []eventsource.Event, errs []error) {
	for event, err := range all {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		events = append(events, event)
	}
	return events, errs
}

func amounts(events []eventsource.Event) []int {
	var all []int
	for _, event := range events {
		all = append(all, event.(*Deposited).Amount)
	}
	return all
}

func TestEvents_gives_what_matches_the_query(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		ids := []string{""}
		for i := 1; i <= 6; i++ {
			event := deposit([]string{"even", "odd"}[i%2], i)
			event.Timestamp = int64(i)
			mustSave(t, repo, event)
			ids = append(ids, event.SequenceID)
		}
		for name, test := range map[string]struct {
			query eventsource.Query
			want  []int
		}{
			"everything":        {eventsource.Query{}, []int{1, 2, 3, 4, 5, 6}},
			"after":             {eventsource.Query{After: ids[4]}, []int{5, 6}},
			"before":            {eventsource.Query{Before: ids[3]}, []int{1, 2}},
			"between":           {eventsource.Query{After: ids[1], Before: ids[5], Limit: 2}, []int{2, 3}},
			"of an aggregate":   {eventsource.Query{AggregateID: "odd", After: ids[1]}, []int{3, 5}},
			"of one type":       {eventsource.Query{Types: []string{"Deposited"}, Limit: 1}, []int{1}},
			"of several types":  {eventsource.Query{Types: []string{"Opened", "Deposited"}, After: ids[5]}, []int{6}},
			"of another type":   {eventsource.Query{Types: []string{"Opened"}}, nil},
			"from a timestamp":  {eventsource.Query{From: 5}, []int{5, 6}},
			"until a timestamp": {eventsource.Query{Until: 3}, []int{1, 2}},
			"exactly the limit": {eventsource.Query{Limit: 6}, []int{1, 2, 3, 4, 5, 6}},
		} {
			events, errs := collect(repo.Events(t.Context(), test.query))
			if len(errs) != 0 {
				t.Errorf("%s: %v", name, errs)
			}
			if diff := cmp.Diff(test.want, amounts(events)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", name, diff)
			}
		}
	})
}

func TestEvents_goes_on_over_many_pages_until_the_loop_breaks(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		const count = 256*2 + 1
		var events []eventsource.Event
		for i := range count {
			events = append(events, deposit("a", i))
		}
		mustSave(t, repo, events...)
		for _, query := range []eventsource.Query{{}, {Types: []string{"Deposited"}}, {AggregateID: "a"}, {Limit: count}} {
			got, errs := collect(repo.Events(t.Context(), query))
			if len(got) != count || len(errs) != 0 {
				t.Errorf("%+v: %d events, want %d, errors %v", query, len(got), count, errs)
			}
			given := 0
			for event, err := range repo.Events(t.Context(), query) {
				if err != nil || event.(*Deposited).Amount != given {
					t.Fatalf("event %d is %+v, error %v", given, event, err)
				}
				if given++; given == 300 {
					break
				}
			}
			if given != 300 {
				t.Errorf("the loop ended after %d events", given)
			}
		}
	})
}

func TestEvents_gives_an_error_as_the_last_pair(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, accounts())
		mustSave(t, repo, deposit("a", 1), deposit("a", 2))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, test := range map[string]struct {
			ctx   context.Context
			query eventsource.Query
			want  error
		}{
			"a negative limit":             {t.Context(), eventsource.Query{Limit: -1}, eventsource.ErrInvalidQuery},
			"an empty type":                {t.Context(), eventsource.Query{Types: []string{""}}, eventsource.ErrInvalidQuery},
			"a sequence ID that is none":   {t.Context(), eventsource.Query{After: "x"}, eventsource.ErrInvalidSequenceID},
			"another that is none":         {t.Context(), eventsource.Query{Before: "x"}, eventsource.ErrInvalidSequenceID},
			"a context that ended already": {ctx, eventsource.Query{}, context.Canceled},
		} {
			events, errs := collect(repo.Events(test.ctx, test.query))
			if len(events) != 0 || len(errs) != 1 || !errors.Is(errs[0], test.want) {
				t.Errorf("%s: %d events, errors %v, want one %v", name, len(events), errs, test.want)
			}
		}
	})
}

func TestEvents_in_descending_order_are_refused_by_a_store_that_cannot(t *testing.T) {
	query := eventsource.Query{Descending: true}
	repo := eventsource.NewRepository(memstore.New(), accounts())
	mustSave(t, repo, deposit("a", 1), deposit("a", 2))
	events, errs := collect(repo.Events(t.Context(), query))
	if diff := cmp.Diff([]int{2, 1}, amounts(events)); diff != "" || len(errs) != 0 {
		t.Errorf("errors %v\n%s", errs, diff)
	}
	_, errs = collect(eventsource.NewRepository(plain{memstore.New()}, accounts()).Events(t.Context(), query))
	if len(errs) != 1 {
		t.Fatalf("errors are %v, want one", errs)
	}
	wantError(t, errs[0], errors.ErrUnsupported, "plain")
}

func TestEvents_may_be_iterated_again(t *testing.T) {
	repo := newAccounts()
	all := repo.Events(t.Context(), eventsource.Query{})
	for want := range 3 {
		if events, errs := collect(all); len(events) != want || len(errs) != 0 {
			t.Errorf("%d events, want %d, errors %v", len(events), want, errs)
		}
		mustSave(t, repo, deposit("a", 1))
	}
}

func TestEvents_lets_the_loop_save(t *testing.T) {
	repo := newAccounts()
	mustSave(t, repo, deposit("a", 1), deposit("a", 2))
	given := 0
	for _, err := range repo.Events(t.Context(), eventsource.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		given++
		mustSave(t, repo, deposit("b", 0))
	}
	if given != 2 {
		t.Errorf("%d events, want the 2 that were there when the iteration began", given)
	}
}
