package eventsource_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/store/memstore"
)

// expanding is a serializer with which one record may be any number of events. A record's
// type is the first letter of each, its data what they have in common: "ooc" with "1" is
// two of Opened and one of Closed; "-" is none.
type expanding struct{ eventsource.Serializer }

var letters = map[rune]func(data string) eventsource.Event{
	'o': func(data string) eventsource.Event { return &Opened{Owner: data} },
	'c': func(string) eventsource.Event { return &Closed{} },
	'd': func(data string) eventsource.Event {
		amount, _ := strconv.Atoi(data)
		return &Deposited{Amount: amount}
	},
}

func (expanding) UnmarshalAll(data []byte, eventType string) (events []eventsource.Event, err error) {
	if string(data) == "broken" {
		return nil, errFake
	}
	if string(data) == "nil" {
		return []eventsource.Event{&Opened{}, (*Opened)(nil)}, nil
	}
	for _, letter := range strings.Trim(eventType, "-") {
		events = append(events, letters[letter](string(data)))
	}
	return events, nil
}

// StoredTypes knows the types that the tests have.
func (expanding) StoredTypes(eventType string) []string {
	stored := []string{eventType}
	for _, name := range recordTypes {
		if strings.Contains(name, strings.ToLower(eventType[:1])) {
			stored = append(stored, name)
		}
	}
	return stored
}

var recordTypes = []string{"o", "d", "c", "od", "oo", "dod", "-"}

// renaming is a serializer whose events are stored under another name, and each one alone.
type renaming struct{ eventsource.Serializer }

func (r renaming) Unmarshal(data []byte, eventType string) (eventsource.Event, error) {
	return r.Serializer.Unmarshal(data, strings.TrimPrefix(eventType, "Old"))
}
func (renaming) StoredTypes(eventType string) []string {
	return []string{"Old" + eventType, eventType, "Mixed"}
}

// append saves records of these types; those of each aggregate are numbered.
func appendTypes(t testing.TB, store eventsource.Store, aggregateID string, types ...string) []eventsource.Record {
	t.Helper()
	records := make([]eventsource.Record, len(types))
	for i, name := range types {
		records[i] = eventsource.Record{AggregateID: aggregateID, Type: name, Data: []byte(strconv.Itoa(i + 1)), UserID: "ann",
			Timestamp: int64(100 + i), Metadata: eventsource.Metadata{"k": "v"}}
	}
	tx, err := store.NewTransaction(context.Background(), records...)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx.Records()
}

// told writes events as their first letters and versions.
func told(events []eventsource.Event) string {
	var b strings.Builder
	for _, event := range events {
		fmt.Fprintf(&b, "%c%d ", eventsource.EventType(event)[0]|0x20, event.(eventsource.Versioned).GetVersion())
	}
	return strings.TrimSpace(b.String())
}

func wantTold(t testing.TB, what, want string, events []eventsource.Event, err error) {
	t.Helper()
	if got := told(events); err != nil || got != want {
		t.Errorf("%s gives %q, error %v, want %q", what, got, err, want)
	}
}

func all(repo eventsource.Repository, query eventsource.Query) (events []eventsource.Event, err error) {
	for event, err := range repo.Events(context.Background(), query) {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func TestEvents_of_one_record_have_all_that_is_kept_beside_the_data(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, expanding{accounts()})
		record := appendTypes(t, store, "a", "-", "od")[1]
		events, err := repo.GetEventsBySequenceID(t.Context(), "", 0)
		if err != nil || len(events) != 2 {
			t.Fatalf("%v, error %v", events, err)
		}
		base := eventsource.BaseEvent{AggregateID: "a", UserID: "ann", SequenceID: record.SequenceID, Timestamp: record.Timestamp, Version: 2, Metadata: record.Metadata}
		want := []eventsource.Event{&Opened{BaseEvent: base, Owner: "2"}, &Deposited{BaseEvent: base, Amount: 2}}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Error(diff)
		}
		events[0].(*Opened).Metadata["k"] = "changed"
		if got := events[1].(*Deposited).Metadata["k"]; got != "v" {
			t.Errorf("metadata of the second event became %q with those of the first", got)
		}
	})
}

func TestLoad_applies_all_events_of_a_record_and_counts_the_versions_of_those_without(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, expanding{accounts()})
		appendTypes(t, store, "a", "od", "d", "-", "dod", "-")
		for version, want := range []statement{1: {"1", 1, 1}, 2: {"1", 3, 2}, 3: {"1", 3, 3}, 4: {"4", 11, 4}, 5: {"4", 11, 5}} {
			if version == 0 {
				continue
			}
			var s statementAggregate
			if deleted, err := repo.LoadAt(t.Context(), "a", &s, eventsource.AtVersion(version)); err != nil || deleted || s.statement != want {
				t.Errorf("at version %d it is %+v, deleted %v, error %v, want %+v", version, s.statement, deleted, err, want)
			}
		}
		var s statementAggregate
		if _, err := repo.Load(t.Context(), "a", &s); err != nil || s.Version != 5 {
			t.Errorf("it is at version %d, error %v", s.Version, err)
		}

		appendTypes(t, store, "dropped", "-", "-")
		var dropped statementAggregate
		if deleted, err := repo.Load(t.Context(), "dropped", &dropped); err != nil || deleted || dropped.Version != 2 || dropped.id != "dropped" {
			t.Errorf("an aggregate of events that are left out is %+v, deleted %v, error %v", dropped, deleted, err)
		}
		appendTypes(t, store, "closed", "o", "cod")
		var closed statementAggregate
		if deleted, err := repo.Load(t.Context(), "closed", &closed); err != nil || !deleted || closed.Version != 2 || closed.Owner != "1" {
			t.Errorf("an aggregate that ends in the middle of a record is %+v, deleted %v, error %v", closed, deleted, err)
		}
	})
}

// statementAggregate adds up events.
type statementAggregate struct {
	id string
	statement
}

type statement struct {
	Owner   string
	Balance int
	Version int
}

func (s *statementAggregate) SetAggregateID(id string) { s.id = id }
func (s *statementAggregate) GetVersion() int          { return s.Version }
func (s *statementAggregate) SetVersion(version int)   { s.Version = version }
func (s *statementAggregate) On(_ context.Context, event eventsource.Event) error {
	switch e := event.(type) {
	case *Opened:
		s.Owner = e.Owner
	case *Deposited:
		s.Balance += e.Amount
	case *Closed:
		return eventsource.ErrDeleted
	}
	return nil
}

func TestGetEvents_never_cut_the_events_of_a_record_apart(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, expanding{accounts()})
		records := appendTypes(t, store, "a", "o", "dod", "-", "od", "c")
		after := func(version int) string { return records[version-1].SequenceID }
		for limit, want := range map[int]string{0: "o1 d2 o2 d2 o4 d4 c5", 1: "o1", 2: "o1 d2 o2 d2", 3: "o1 d2 o2 d2", 4: "o1 d2 o2 d2", 5: "o1 d2 o2 d2 o4 d4", 7: "o1 d2 o2 d2 o4 d4 c5", 99: "o1 d2 o2 d2 o4 d4 c5"} {
			events, err := repo.GetEventsBySequenceID(t.Context(), "", limit)
			wantTold(t, fmt.Sprint("by sequence ID, limit ", limit), want, events, err)
			events, err = repo.GetEventsByTimestamp(t.Context(), 0, limit)
			wantTold(t, fmt.Sprint("by timestamp, limit ", limit), want, events, err)
			events, err = all(repo, eventsource.Query{Limit: limit})
			wantTold(t, fmt.Sprint("a query, limit ", limit), want, events, err)
		}
		events, err := repo.GetEventsBySequenceID(t.Context(), after(2), 1)
		wantTold(t, "after record 2", "o4 d4", events, err)
		events, err = repo.GetEventsByTimestamp(t.Context(), 101, 2)
		wantTold(t, "after timestamp 101", "o4 d4", events, err)
	})
}

func TestGetEvents_go_on_where_all_of_a_page_is_left_out(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, expanding{accounts()})
		types := slices.Repeat([]string{"-"}, 700)
		types[0], types[600] = "o", "dod"
		records := appendTypes(t, store, "a", types...)
		for _, limit := range []int{1, 2, 3, 600, 10_000} {
			events, err := repo.GetEventsBySequenceID(t.Context(), records[0].SequenceID, limit)
			wantTold(t, fmt.Sprint("by sequence ID, limit ", limit), "d601 o601 d601", events, err)
			events, err = repo.GetEventsByTimestamp(t.Context(), 100, limit)
			wantTold(t, fmt.Sprint("by timestamp, limit ", limit), "d601 o601 d601", events, err)
		}
		events, err := repo.GetEventsBySequenceIDAndType(t.Context(), records[0].SequenceID, &Opened{}, 1)
		wantTold(t, "by type", "o601", events, err)
		events, err = repo.GetEventsBySequenceID(t.Context(), records[600].SequenceID, 3)
		wantTold(t, "after the last event", "", events, err)
		if events, err = repo.GetEventsByTimestamp(t.Context(), records[600].Timestamp, 3); err != nil || len(events) != 0 {
			t.Errorf("%d events after the last, error %v", len(events), err)
		}
	})
}

func TestQueries_find_a_type_under_all_names_that_it_is_stored_under(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, expanding{accounts()})
		records := appendTypes(t, store, "a", "o", "dod", "c", "-", "d", "od", "oo")
		for limit, want := range map[int]string{0: "d2 d2 d5 d6", 1: "d2 d2", 2: "d2 d2", 3: "d2 d2 d5", 9: "d2 d2 d5 d6"} {
			events, err := repo.GetEventsBySequenceIDAndType(t.Context(), "", (*Deposited)(nil), limit)
			wantTold(t, fmt.Sprint("by type, limit ", limit), want, events, err)
			events, err = all(repo, eventsource.Query{Types: []string{"Deposited"}, Limit: limit})
			wantTold(t, fmt.Sprint("a query, limit ", limit), want, events, err)
		}
		events, err := repo.GetEventsBySequenceIDAndType(t.Context(), records[1].SequenceID, &Deposited{}, 1)
		wantTold(t, "by type, after record 2", "d5", events, err)
		events, err = all(repo, eventsource.Query{Types: []string{"Closed", "Opened"}})
		wantTold(t, "a query for two types", "o1 o2 c3 o6 o7 o7", events, err)
		events, err = all(repo, eventsource.Query{Types: []string{"Opened"}, AggregateID: "a", After: records[0].SequenceID, Before: records[6].SequenceID})
		wantTold(t, "a query for an aggregate", "o2 o6", events, err)
		_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "", &Deposited{}, -1)
		wantError(t, err, eventsource.ErrInvalidQuery)
		_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "x", &Deposited{}, 1)
		wantError(t, err, eventsource.ErrInvalidSequenceID)
	})
}

func TestQueries_in_descending_order_reverse_the_events_of_a_record(t *testing.T) {
	store := memstore.New()
	repo := eventsource.NewRepository(store, expanding{accounts()})
	appendTypes(t, store, "a", "o", "dod", "-", "od", "c")
	for limit, want := range map[int]string{0: "c5 d4 o4 d2 o2 d2 o1", 2: "c5 d4 o4", 3: "c5 d4 o4", 4: "c5 d4 o4 d2 o2 d2"} {
		events, err := all(repo, eventsource.Query{Descending: true, Limit: limit})
		wantTold(t, fmt.Sprint("limit ", limit), want, events, err)
	}
	events, err := all(repo, eventsource.Query{Descending: true, Types: []string{"Opened"}})
	wantTold(t, "of a type", "o4 o2 o1", events, err)
}

func TestQueries_end_in_the_middle_of_a_record_when_the_loop_does(t *testing.T) {
	store := memstore.New()
	appendTypes(t, store, "a", "dod", "c")
	n := 0
	for range eventsource.NewRepository(store, expanding{accounts()}).Events(t.Context(), eventsource.Query{}) {
		if n++; n == 2 {
			break
		}
	}
	if n != 2 {
		t.Errorf("the loop ran %d times", n)
	}
}

func TestQueries_find_events_that_only_their_names_differ_from(t *testing.T) {
	onEachKind(t, func(t *testing.T, store eventsource.Store) {
		repo := eventsource.NewRepository(store, renaming{accounts()})
		for i, name := range []string{"OldOpened", "OldDeposited", "Deposited", "Opened", "OldDeposited"} {
			tx, err := store.NewTransaction(t.Context(), eventsource.Record{AggregateID: "a", Type: name, Data: []byte("{}"), Timestamp: int64(i + 1)})
			if err == nil {
				err = tx.Commit()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for limit, want := range map[int]string{0: "d2 d3 d5", 1: "d2", 2: "d2 d3", 3: "d2 d3 d5"} {
			events, err := repo.GetEventsBySequenceIDAndType(t.Context(), "", &Deposited{}, limit)
			wantTold(t, "by type", want, events, err)
			events, err = all(repo, eventsource.Query{Types: []string{"Deposited"}, Limit: limit})
			wantTold(t, "a query", want, events, err)
		}
		events, err := repo.GetEventsBySequenceID(t.Context(), "", 2)
		wantTold(t, "by sequence ID", "o1 d2", events, err)
		var account Account
		if _, err := repo.Load(t.Context(), "a", &account); err != nil || account.Version != 5 {
			t.Errorf("loaded %+v, error %v", account, err)
		}
		feed := repo.(eventsource.Feeder).Feed()
		if got := feed.StoredTypes("Opened", "Deposited"); !slices.Equal(got, []string{"Deposited", "Mixed", "OldDeposited", "OldOpened", "Opened"}) {
			t.Errorf("stored types are %q", got)
		}
		if got := feed.StoredTypes(); len(got) != 0 {
			t.Errorf("stored types of none are %q", got)
		}
	})
}

func TestErrors_of_a_serializer_of_several_events_name_the_record(t *testing.T) {
	for data, target := range map[string]error{"broken": errFake, "nil": eventsource.ErrInvalidEvent} {
		store := memstore.New()
		stored, err := store.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "o", Data: []byte(data)})
		if err != nil {
			t.Fatal(err)
		}
		repo := eventsource.NewRepository(store, expanding{accounts()})
		_, err = repo.Load(t.Context(), "a", &Account{})
		wantError(t, err, target, stored[0].SequenceID)
		_, err = repo.GetEventsBySequenceID(t.Context(), "", 1)
		wantError(t, err, target, stored[0].SequenceID)
		_, err = repo.GetEventsByTimestamp(t.Context(), 0, 1)
		wantError(t, err, target, stored[0].SequenceID)
		_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "", &Opened{}, 1)
		wantError(t, err, target, stored[0].SequenceID)
		_, err = all(repo, eventsource.Query{})
		wantError(t, err, target, stored[0].SequenceID)
		_, err = repo.(eventsource.Feeder).Feed().Events(&stored[0])
		wantError(t, err, target, stored[0].SequenceID)
	}
}

func TestErrors_of_a_store_are_those_of_every_page(t *testing.T) {
	repo := eventsource.NewRepository(broken{errFake}, expanding{accounts()})
	_, err := repo.GetEventsBySequenceID(t.Context(), "", 1)
	wantError(t, err, errFake)
	_, err = repo.GetEventsBySequenceIDAndType(t.Context(), "", &Opened{}, 1)
	wantError(t, err, errFake)
	_, err = repo.GetEventsByTimestamp(t.Context(), 0, 1)
	wantError(t, err, errFake)
}

// A reader that reads page by page gets the same as one that reads all at once, whatever
// the pages and the records.
func TestPages_give_every_event_once_in_order(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := memstore.New()
		types := rapid.SliceOfN(rapid.SampledFrom(recordTypes), 0, 40).Draw(t, "types")
		want := ""
		for i, name := range types {
			if _, err := full.Append(context.Background(), eventsource.Record{AggregateID: "a", Type: name, Data: []byte("1"), Timestamp: int64(i + 1)}); err != nil {
				t.Fatal(err)
			}
			for _, letter := range strings.Trim(name, "-") {
				want += fmt.Sprintf("%c%d ", letter, i+1)
			}
		}
		want = strings.TrimSpace(want)
		var store eventsource.Store = full
		if rapid.Bool().Draw(t, "only Store") {
			store = plain{full}
		}
		repo := eventsource.NewRepository(store, expanding{accounts()})
		limit := rapid.IntRange(1, 12).Draw(t, "limit")
		only := rapid.SampledFrom([]eventsource.Event{nil, &Opened{}, &Deposited{}}).Draw(t, "only")
		if only != nil {
			name := eventsource.EventType(only)
			var some []string
			for _, one := range strings.Fields(want) {
				if one[0] == name[0]|0x20 {
					some = append(some, one)
				}
			}
			want = strings.Join(some, " ")
		}
		var got []eventsource.Event
		after := ""
		for {
			var page []eventsource.Event
			var err error
			if only == nil {
				page, err = repo.GetEventsBySequenceID(context.Background(), after, limit)
			} else {
				page, err = repo.GetEventsBySequenceIDAndType(context.Background(), after, only, limit)
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, page...)
			if len(page) < limit { // the end
				break
			}
			after = page[len(page)-1].GetSequenceID()
		}
		if told(got) != want {
			t.Fatalf("got  %s\nwant %s", told(got), want)
		}
	})
}

func TestManyRecordsOfSeveralEvents_are_decoded_in_order(t *testing.T) {
	several(t)
	types := slices.Repeat([]string{"dod", "-", "o"}, 300)
	store := memstore.New()
	appendTypes(t, store, "a", types...)
	events, err := eventsource.NewRepository(store, expanding{accounts()}).GetEventsBySequenceID(t.Context(), "", 0)
	var want bytes.Buffer
	for i := 0; i < len(types); i += 3 {
		fmt.Fprintf(&want, "d%d o%d d%d o%d ", i+1, i+1, i+1, i+3)
	}
	wantTold(t, "all", strings.TrimSpace(want.String()), events, err)
}

func TestFeed_gives_the_events_of_a_record_that_are_asked_for(t *testing.T) {
	store := memstore.New()
	feed := eventsource.NewRepository(store, expanding{accounts()}).(eventsource.Feeder).Feed()
	record := appendTypes(t, store, "a", "dod")[0]
	for want, types := range map[string][]string{"d1 o1 d1": nil, "o1": {"Opened"}, "d1 d1": {"Deposited", "Closed"}, "": {"Closed"}} {
		events, err := feed.Events(&record, types...)
		wantTold(t, fmt.Sprint("types ", types), want, events, err)
	}
	if _, err := (eventsource.Feed{}).Events(&record); !errors.Is(err, eventsource.ErrMisconfigured) {
		t.Errorf("error is %v", err)
	}
	if got := (eventsource.Feed{}).StoredTypes("x"); got != nil {
		t.Errorf("stored types of no feed are %q", got)
	}
}
