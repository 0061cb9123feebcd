package workload

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/eventsource-go/eventsource/bench/system"
)

// sizes counts the events of each aggregate and checks that versions have no gap.
func sizes(t *testing.T, s *stored) map[string]int {
	t.Helper()
	sizes := map[string]int{}
	for row := range s.rows(0) {
		sizes[row.Aggregate]++
		if want := sizes[row.Aggregate]; row.Version != want {
			t.Fatalf("the next version of %s is %d, want %d", row.Aggregate, row.Version, want)
		}
	}
	return sizes
}

func TestStoredVersionsHaveNoGaps(t *testing.T) {
	events := gitEvents(t)
	for _, total := range []int{1000, 5000, 20_000, 37_000} {
		s := &stored{total: total, events: events}
		n := 0
		ofSize := map[int]int{}
		for id, size := range sizes(t, s) {
			n += size
			ofSize[size]++
			if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
				t.Errorf("the aggregate's ID is %q, want a UUID: %v", id, err)
			}
		}
		if n != total {
			t.Errorf("%d events are stored, want %d", n, total)
		}
		for _, size := range []int{10, 100, bigSize} {
			if (total >= storedFor(size)) != (ofSize[size] > 0) {
				t.Errorf("of %d events there are %d aggregates of size %d", total, ofSize[size], size)
			}
		}
		if len(ofSize) > 3 {
			t.Errorf("of %d events there are aggregates of other sizes than 10, 100 and %d: %v", total, bigSize, ofSize)
		}
	}
}

func TestStoredRowsAreTheSameOnEveryRun(t *testing.T) {
	s := &stored{total: 25_000, events: gitEvents(t)}
	collect := func(from int) (rows []system.Row) {
		first := true
		var before system.Row
		for row := range s.rows(from) {
			if !first && !row.Time.After(before.Time) {
				t.Fatalf("the time %v comes after %v", row.Time, before.Time)
			}
			first, before = false, row
			row.Time = row.Time.Truncate(1 << 62) // relative to now
			rows = append(rows, row)
		}
		return rows
	}
	all := collect(0)
	if again := collect(0); !reflect.DeepEqual(all, again) {
		t.Error("the rows differ from those of the first time")
	}
	// Also those of an aggregate that a level cuts in two.
	for _, from := range []int{1000, 15_000, 24_999, 25_000} {
		if rest := collect(from); len(rest) != s.total-from || !slices.EqualFunc(all[from:], rest, func(a, b system.Row) bool { return reflect.DeepEqual(a, b) }) {
			t.Errorf("the %d rows from %d on differ from those of all", len(rest), from)
		}
	}
	for row := range s.rows(0) {
		if !reflect.DeepEqual(row.Event, s.events[0]) {
			t.Errorf("the first event is %+v, want %+v", row.Event, s.events[0])
		}
		break // ends early without harm
	}
}

func TestStoredAggregatesAreWhole(t *testing.T) {
	events := gitEvents(t)
	for _, total := range []int{1000, 5000, 19_000, 20_000, 25_000} {
		s := &stored{total: total, events: events}
		stored := sizes(t, s)
		for _, size := range []int{10, 100, bigSize} {
			ids := s.aggregates(size, 50)
			if has := total >= storedFor(size); has != (len(ids) > 0) {
				t.Errorf("of %d events there are %d aggregates of %d, though %d events are stored for one", total, len(ids), size, storedFor(size))
			}
			for _, id := range ids {
				if stored[id] != size {
					t.Fatalf("of %d events, aggregate %s has %d, want %d", total, id, stored[id], size)
				}
			}
			if again := s.aggregates(size, 50); !slices.Equal(ids, again) {
				t.Errorf("the aggregates of %d are %v, and then %v", size, ids, again)
			}
		}
	}
}

func TestBatchesGoThroughTheEventsInTurn(t *testing.T) {
	events := gitEvents(t)[:7]
	for _, c := range []struct{ size, start int }{{1, 0}, {3, 5}, {7, 6}, {20, 3}, {2, 31}} {
		b := newBatches(events, c.size, c.start)
		next := c.start % len(events)
		for n := range 20 {
			got := b.take(c.size)
			if len(got) != c.size || cap(got) != c.size {
				t.Fatalf("batch %d of %+v has length %d and capacity %d, want %d", n, c, len(got), cap(got), c.size)
			}
			for _, event := range got {
				if &event.Data[0] != &events[next].Data[0] {
					t.Fatalf("batch %d of %+v does not go on with event %d", n, c, next)
				}
				next = (next + 1) % len(events)
			}
		}
	}
}

func TestTakingABatchAllocatesNothing(t *testing.T) {
	b := newBatches(gitEvents(t), 100, 0)
	if n := testing.AllocsPerRun(100, func() { b.take(100) }); n != 0 {
		t.Errorf("take makes %v allocations, want 0", n)
	}
}
