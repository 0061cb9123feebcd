package testsuite

import (
	"context"
	"fmt"
	"testing"

	"github.com/eventsource-go/eventsource"
)

func testLoadVersions(t *testing.T, h Harness) {
	if h.lacks(LoadVersions) {
		return
	}
	load := func(ctx context.Context, store eventsource.Store, id string, after, last int) ([]eventsource.Record, error) {
		return store.(eventsource.VersionLoader).LoadByAggregateVersions(ctx, id, after, last)
	}

	h.run(t, "a part of an aggregate is a slice of the whole", func(t *testing.T, open Storage) {
		store := open(anyTime)
		const versions = 7
		for range versions {
			save(t, store, record("a"), record("b")) // others lie between
		}
		whole := loadAggregate(t, store, "a")
		for after := range versions + 3 {
			for last := range versions + 3 {
				got, err := load(t.Context(), store, "a", after, last)
				if err != nil {
					t.Fatalf("after %d, at most %d: %v", after, last, err)
				}
				end := min(last, versions)
				if last == 0 {
					end = versions
				}
				var want []eventsource.Record
				if after < end {
					want = whole[after:end]
				}
				equal(t, fmt.Sprintf("after %d, at most %d", after, last), want, got)
			}
		}
	})

	h.run(t, "a part of a long aggregate is a slice of the whole", func(t *testing.T, open Storage) {
		store := open(anyTime)
		const versions = 600 // more than a page
		h.saveAll(t, store, manyRecords("a", versions)...)
		whole := loadAggregate(t, store, "a")
		for _, part := range [][2]int{{0, 0}, {0, 599}, {1, 0}, {299, 301}, {599, 0}, {598, 599}, {0, 1}, {100, 500}, {599, 600}, {600, 0}, {599, 1 << 40}} {
			after, last := part[0], part[1]
			got, err := load(t.Context(), store, "a", after, last)
			if err != nil {
				t.Fatal(err)
			}
			end := min(last, versions)
			if last == 0 {
				end = versions
			}
			equal(t, fmt.Sprintf("after %d, at most %d", after, last), whole[after:end], got)
		}
	})

	h.run(t, "an aggregate without events has no part, and that is no error", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"))
		for _, part := range [][2]int{{0, 0}, {0, 5}, {3, 0}, {3, 5}, {5, 3}} {
			if got, err := load(t.Context(), store, "b", part[0], part[1]); err != nil || len(got) != 0 {
				t.Errorf("after %d, at most %d: %v, %v", part[0], part[1], got, err)
			}
		}
	})

	h.run(t, "a part sees every save that has returned", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		for version := 1; version <= 20; version++ {
			stored := save(t, store, record("a"))
			for _, s := range []eventsource.Store{store, other} {
				got, err := load(t.Context(), s, "a", version-1, 0)
				if err != nil {
					t.Fatal(err)
				}
				equal(t, fmt.Sprint("after version ", version-1), stored, got)
			}
		}
	})

	h.run(t, "a part that cannot be is an invalid query", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"))
		for _, test := range []struct {
			id          string
			after, last int
			mentions    string
		}{
			{"", 0, 0, "aggregate ID is empty"},
			{"a", -7, 0, "-7"},
			{"a", 0, -8, "-8"},
			{"a\x00", 0, 0, `"a\x00"`},
			{"a\xff", 1, 2, `"a\xff"`},
		} {
			_, err := load(t.Context(), store, test.id, test.after, test.last)
			wantError(t, fmt.Sprintf("%q, after %d, at most %d", test.id, test.after, test.last), err, eventsource.ErrInvalidQuery, test.mentions)
		}
	})

	h.run(t, "a context that has ended loads no part", func(t *testing.T, open Storage) {
		store := open(anyTime)
		save(t, store, record("a"))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, part := range [][2]int{{0, 0}, {0, 1}, {5, 0}, {5, 3}} {
			_, err := load(ended, store, "a", part[0], part[1])
			wantError(t, fmt.Sprint("load of ", part), err, context.Canceled)
		}
	})
}
