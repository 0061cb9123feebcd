package testsuite

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
)

const (
	firstULID = "00000000000000000000000000"
	lastULID  = "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"
)

var malformedIDs = []string{
	"x", " ", "0", "01ARZ3NDEKTSV4RRFFQ69G5FA", "01ARZ3NDEKTSV4RRFFQ69G5FAVX", "01ARZ3NDEKTSV4RRFFQ69G5FAU!",
	"8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "ILOU0000000000000000000000", "01ARZ3NDEKTSV4RRFFQ69G5FA'", "\x00", "日本語日本語日本",
}

func testQueries(t *testing.T, h Harness) {
	// seven events of two aggregates, whose types and timestamps take turns
	fill := func(t *testing.T, store eventsource.Store) []eventsource.Record {
		var stored []eventsource.Record
		for i := range 7 {
			stored = append(stored, save(t, store, eventsource.Record{
				AggregateID: fmt.Sprint("aggregate ", i%2), Type: fmt.Sprint("Type", i%3),
				Timestamp: int64(1000 - 100*(i%4)), Data: []byte(fmt.Sprint(i)),
			})...)
		}
		return stored
	}

	h.run(t, "events are those strictly after a sequence ID", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		check := func(after string, want []eventsource.Record) {
			t.Helper()
			for limit := range len(stored) + 2 {
				limited := want
				if limit > 0 {
					limited = want[:min(limit, len(want))]
				}
				got, err := store.LoadBySequenceID(t.Context(), after, limit)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, fmt.Sprintf("after %q, limit %d", after, limit), limited, got)
			}
		}
		check("", stored)
		check(firstULID, stored)
		check(lastULID, nil)
		for i, r := range stored {
			check(r.SequenceID, stored[i+1:])
			id := ulid.MustParseStrict(r.SequenceID)
			for b := len(id) - 1; ; b-- { // the ULID just below, which is not stored
				id[b]--
				if id[b] != 0xff {
					break
				}
			}
			check(id.String(), stored[i:])
		}
	})

	h.run(t, "a sequence ID may be written in lower case", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		lower := []byte(stored[2].SequenceID)
		for i, c := range lower {
			if c >= 'A' && c <= 'Z' {
				lower[i] = c + 'a' - 'A'
			}
		}
		got, err := store.LoadBySequenceID(t.Context(), string(lower), all)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "after "+string(lower), stored[3:], got)
	})

	h.run(t, "events of one type", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		for _, eventType := range []string{"Type0", "Type1", "Type2", "type0", "Type", "None"} {
			for after := -1; after < len(stored); after++ {
				for limit := range 4 {
					query := eventsource.Query{Types: []string{eventType}, Limit: limit}
					if after >= 0 {
						query.After = stored[after].SequenceID
					}
					got, err := store.LoadBySequenceIDAndType(t.Context(), query.After, eventType, limit)
					if err != nil {
						t.Fatal(err)
					}
					equal(t, fmt.Sprintf("%+v", query), expected(stored, query), got)
				}
			}
		}
	})

	h.run(t, "events with a strictly greater timestamp, in sequence order", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		for _, timestamp := range []int64{-1, 0, 699, 700, 701, 800, 999, 1000, 1 << 62} {
			for limit := range 8 {
				got, err := store.LoadByTimestamp(t.Context(), timestamp, limit)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, fmt.Sprintf("timestamp > %d, limit %d", timestamp, limit),
					expected(stored, eventsource.Query{From: timestamp + 1, Limit: limit}), got)
			}
		}
	})

	h.run(t, "an aggregate without events gives none", func(t *testing.T, open Storage) {
		store := open(anyTime)
		fill(t, store)
		equal(t, "no aggregate", nil, loadAggregate(t, store, "aggregate"))
		equal(t, "other case", nil, loadAggregate(t, store, "Aggregate 0"))
	})

	h.run(t, "pages of any size give every event once", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		for size := 1; size <= len(stored)+1; size++ {
			var got []eventsource.Record
			for after := ""; ; after = got[len(got)-1].SequenceID {
				page, err := store.LoadBySequenceID(t.Context(), after, size)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
			}
			equal(t, fmt.Sprint("pages of ", size), stored, got)
		}
	})

	h.run(t, "what cannot be asked is refused by name", func(t *testing.T, open Storage) {
		store := open(anyTime)
		ctx := t.Context()
		fill(t, store)
		type answer struct {
			records []eventsource.Record
			err     error
		}
		of := func(records []eventsource.Record, err error) answer { return answer{records, err} }
		refused := func(what string, a answer, want error, mentions string) {
			t.Helper()
			wantError(t, what, a.err, want, mentions)
			if len(a.records) > 0 {
				t.Errorf("%s: gave %d records beside the error", what, len(a.records))
			}
		}
		for _, id := range malformedIDs {
			quoted := fmt.Sprintf("%q", id)
			refused("LoadBySequenceID "+quoted, of(store.LoadBySequenceID(ctx, id, all)), eventsource.ErrInvalidSequenceID, quoted)
			refused("LoadBySequenceIDAndType "+quoted, of(store.LoadBySequenceIDAndType(ctx, id, "Type0", all)), eventsource.ErrInvalidSequenceID, quoted)
		}
		refused("LoadBySequenceID", of(store.LoadBySequenceID(ctx, "", -1)), eventsource.ErrInvalidQuery, "-1")
		refused("LoadBySequenceIDAndType", of(store.LoadBySequenceIDAndType(ctx, "", "Type0", -2)), eventsource.ErrInvalidQuery, "-2")
		refused("LoadByTimestamp", of(store.LoadByTimestamp(ctx, 0, -3)), eventsource.ErrInvalidQuery, "-3")
		refused("LoadByAggregate", of(store.LoadByAggregate(ctx, "")), eventsource.ErrInvalidQuery, "empty")
		refused("LoadBySequenceIDAndType", of(store.LoadBySequenceIDAndType(ctx, "", "", all)), eventsource.ErrInvalidQuery, "empty")
		for _, name := range []string{"\x00", "a\xff"} {
			quoted := fmt.Sprintf("%q", name)
			refused("LoadByAggregate", of(store.LoadByAggregate(ctx, name)), eventsource.ErrInvalidQuery, quoted)
			refused("LoadBySequenceIDAndType", of(store.LoadBySequenceIDAndType(ctx, "", name, all)), eventsource.ErrInvalidQuery, quoted)
		}
	})

	h.run(t, "a repository's Events answers every combination of conditions", func(t *testing.T, open Storage) {
		store := open(anyTime)
		stored := fill(t, store)
		repository := eventsource.NewRepository(store, rawSerializer{})
		for _, query := range combinations(stored) {
			want := expected(stored, query)
			var got []eventsource.Record
			var err error
			for event, eventErr := range repository.Events(t.Context(), query) {
				if err = eventErr; err != nil {
					break
				}
				got = append(got, event.(*rawEvent).record())
			}
			if h.lacks(Query) && query.Descending {
				wantError(t, "a descending query of a store that has none", err, errors.ErrUnsupported)
				continue
			}
			if err != nil {
				t.Fatalf("%+v: %v", query, err)
			}
			equal(t, fmt.Sprintf("%+v", query), want, got)
			if t.Failed() {
				return
			}
		}
	})

	if h.lacks(Query) {
		return
	}

	h.run(t, "a query gives histories of many pages", func(t *testing.T, open Storage) {
		store := open(anyTime)
		querier := store.(eventsource.Querier)
		var stored []eventsource.Record
		for batch := range 6 {
			records := make([]eventsource.Record, 500)
			for i := range records {
				records[i] = eventsource.Record{
					AggregateID: fmt.Sprint("aggregate ", i%2), Type: fmt.Sprint("Type", (batch+i)%3), Timestamp: int64(len(stored) + i + 1),
				}
			}
			stored = append(stored, h.saveAll(t, store, records...)...)
		}
		for _, query := range []eventsource.Query{
			{}, {Descending: true}, {Limit: 2999}, {Limit: 128}, {Limit: 129}, {AggregateID: "aggregate 1"},
			{AggregateID: "aggregate 1", Descending: true, Limit: 1400}, {Types: []string{"Type0", "Type2", "Type0"}},
			{Types: []string{"Type1"}, Descending: true}, {From: 700, Until: 2500}, {After: stored[1499].SequenceID},
			{AggregateID: "aggregate 0", After: stored[999].SequenceID, Types: []string{"Type1", "Type2"}},
		} {
			equal(t, fmt.Sprintf("%+v", query), expected(stored, query), collect(t, querier, query))
		}
	})

	h.run(t, "a query ends where the store ended when it began, and the loop's body may use the store", func(t *testing.T, open Storage) {
		store := open(anyTime)
		querier := store.(eventsource.Querier)
		for range 5 {
			h.saveAll(t, store, manyRecords("a", 100)...)
		}
		for _, query := range []eventsource.Query{{}, {AggregateID: "a"}} {
			want := len(expected(loadAll(t, store), query))
			got := 0
			for _, err := range querier.Query(t.Context(), query) {
				if err != nil {
					t.Fatal(err)
				}
				if got++; got%50 == 1 {
					save(t, store, record("b"))
				}
				if query.AggregateID != "" && got%50 == 2 {
					save(t, store, record("a"))
				}
			}
			if got != want {
				t.Errorf("%+v gave %d events, there were %d when it began", query, got, want)
			}
		}
	})

	h.run(t, "breaking out of a query frees everything", func(t *testing.T, open Storage) {
		store := open(anyTime)
		querier := store.(eventsource.Querier)
		h.saveAll(t, store, manyRecords("a", 300)...)
		for range 200 { // more often than any pool has connections
			for _, err := range querier.Query(t.Context(), eventsource.Query{}) {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		save(t, store, record("a"))
	})

	h.run(t, "a query that cannot be is an error, once", func(t *testing.T, open Storage) {
		querier := open(anyTime).(eventsource.Querier)
		for _, test := range []struct {
			query eventsource.Query
			want  error
		}{
			{eventsource.Query{After: "x"}, eventsource.ErrInvalidSequenceID},
			{eventsource.Query{Before: "y"}, eventsource.ErrInvalidSequenceID},
			{eventsource.Query{Limit: -1}, eventsource.ErrInvalidQuery},
			{eventsource.Query{Types: []string{"A", ""}}, eventsource.ErrInvalidQuery},
		} {
			pairs := 0
			for r, err := range querier.Query(t.Context(), test.query) {
				pairs++
				wantError(t, fmt.Sprintf("%+v", test.query), err, test.want)
				if r.SequenceID != "" {
					t.Error("a record came with the error")
				}
			}
			if pairs != 1 {
				t.Errorf("%+v: %d pairs, want the error alone", test.query, pairs)
			}
		}
	})
}

// expected is what a query of the records must give, by its definition.
func expected(stored []eventsource.Record, query eventsource.Query) []eventsource.Record {
	var want []eventsource.Record
	if query.Descending {
		stored = reversed(stored)
	}
	for _, r := range stored {
		if query.Matches(&r) && (query.Limit == 0 || len(want) < query.Limit) {
			want = append(want, r)
		}
	}
	return want
}

// combinations is every combination of a few values of each condition.
func combinations(stored []eventsource.Record) []eventsource.Query {
	queries := []eventsource.Query{{}}
	vary := func(options ...func(*eventsource.Query)) {
		var more []eventsource.Query
		for _, q := range queries {
			for _, option := range options {
				varied := q
				option(&varied)
				more = append(more, varied)
			}
		}
		queries = append(queries, more...)
	}
	vary(func(q *eventsource.Query) { q.After = stored[1].SequenceID })
	vary(func(q *eventsource.Query) { q.Before = stored[5].SequenceID })
	vary(func(q *eventsource.Query) { q.AggregateID = "aggregate 0" })
	vary(func(q *eventsource.Query) { q.Types = []string{"Type1"} },
		func(q *eventsource.Query) { q.Types = []string{"Type2", "Type0", "None"} })
	vary(func(q *eventsource.Query) { q.From = 800 })
	vary(func(q *eventsource.Query) { q.Until = 1000 })
	vary(func(q *eventsource.Query) { q.Limit = 2 })
	vary(func(q *eventsource.Query) { q.Descending = true })
	return queries
}

// rawEvent and rawSerializer pass records through a repository.
type rawEvent struct {
	eventsource.BaseEvent
	eventType string
	data      []byte
}

func (e *rawEvent) EventType() string { return e.eventType }

func (e *rawEvent) record() eventsource.Record {
	return eventsource.Record{
		SequenceID: e.SequenceID, AggregateID: e.AggregateID, Version: e.Version, Type: e.eventType,
		Timestamp: e.Timestamp, UserID: e.UserID, Data: e.data, Metadata: e.Metadata,
	}
}

type rawSerializer struct{}

func (rawSerializer) Marshal(event eventsource.Event) ([]byte, error) {
	return event.(*rawEvent).data, nil
}

func (rawSerializer) Unmarshal(data []byte, eventType string) (eventsource.Event, error) {
	return &rawEvent{eventType: eventType, data: slices.Clone(data)}, nil
}
