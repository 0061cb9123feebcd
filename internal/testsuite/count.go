package testsuite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/eventsource-go/eventsource"
)

// testCount tests stores that count.
func testCount(t *testing.T, h Harness) {
	if _, ok := h.Open(t)(anyTime).(eventsource.Counter); !ok {
		return
	}
	count := func(t *testing.T, store eventsource.Store, query eventsource.Query) int64 {
		t.Helper()
		n, err := store.(eventsource.Counter).Count(t.Context(), query)
		if err != nil {
			t.Fatalf("%+v: %v", query, err)
		}
		return n
	}

	h.run(t, "a count is that of the events that the query gives", func(t *testing.T, open Storage) {
		store := open(anyTime)
		if n := count(t, store, eventsource.Query{}); n != 0 {
			t.Errorf("an empty store has %d events", n)
		}
		var stored []eventsource.Record
		for i := range 7 {
			stored = append(stored, save(t, store, eventsource.Record{
				AggregateID: fmt.Sprint("aggregate ", i%2), Type: fmt.Sprint("Type", i%3), Timestamp: int64(1000 - 100*(i%4)),
			})...)
		}
		for _, query := range append(combinations(stored), eventsource.Query{Types: []string{"Type1", "Type1", "Type2"}, Limit: 3}) {
			if n, want := count(t, store, query), len(expected(stored, query)); n != int64(want) {
				t.Errorf("%+v: %d events, want %d", query, n, want)
			}
		}
	})

	h.run(t, "events of an open transaction, and what it holds back, are not counted", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		save(t, store, record("before"))
		held := begin(t, store, record("held"))
		save(t, other, record("after"))
		readable := int64(len(loadAll(t, other)))
		if n := count(t, other, eventsource.Query{}); n != readable {
			t.Errorf("%d events are counted, and %d can be read", n, readable)
		}
		if err := held.Commit(); err != nil {
			t.Fatal(err)
		}
		if n := count(t, other, eventsource.Query{}); n != 3 {
			t.Errorf("%d events are counted, and 3 are stored", n)
		}
	})

	h.run(t, "a count that cannot be is an error", func(t *testing.T, open Storage) {
		counter := open(anyTime).(eventsource.Counter)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, test := range []struct {
			ctx   context.Context
			query eventsource.Query
			want  error
		}{
			{t.Context(), eventsource.Query{After: "x"}, eventsource.ErrInvalidSequenceID},
			{t.Context(), eventsource.Query{Limit: -1}, eventsource.ErrInvalidQuery},
			{t.Context(), eventsource.Query{Types: []string{""}}, eventsource.ErrInvalidQuery},
			{ended, eventsource.Query{}, context.Canceled},
		} {
			if n, err := counter.Count(test.ctx, test.query); !errors.Is(err, test.want) || n != 0 {
				t.Errorf("%+v = %d, %v, want %v", test.query, n, err, test.want)
			}
		}
	})
}
