package sequence

import (
	"errors"
	"math"
	"testing"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"
)

// id is a ULID of a time and the parts of its entropy.
func id(t testing.TB, ms uint64, hi uint16, lo uint64) ulid.ULID {
	t.Helper()
	id, err := join(ms, hi, lo)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func mustNext(t testing.TB, last ulid.ULID, ms uint64) ulid.ULID {
	t.Helper()
	next, err := Next(last, ms)
	if err != nil {
		t.Fatal(err)
	}
	if next.Compare(last) <= 0 || next.String() <= last.String() {
		t.Fatalf("%v does not come after %v", next, last)
	}
	return next
}

func TestNext_is_strictly_ascending_whatever_the_clock_does(t *testing.T) {
	var last ulid.ULID
	for i := range 300_000 {
		ms := uint64(1_700_000_000_000 + i/1000)
		if i%7 == 0 {
			ms -= 5000
		}
		last = mustNext(t, last, ms)
	}
}

func TestNext_has_the_time_of_the_clock_in_a_new_millisecond(t *testing.T) {
	last := id(t, 1000, 7, 7)
	seen := make(map[ulid.ULID]bool)
	for range 1000 {
		next := mustNext(t, last, 2000)
		if next.Time() != 2000 {
			t.Fatalf("time is %d, want 2000", next.Time())
		}
		if next[6] >= 0x80 {
			t.Fatalf("%v leaves no room above it", next)
		}
		seen[next] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d IDs of 1000 are different", len(seen))
	}
}

func TestNext_takes_a_small_step_in_the_same_millisecond_or_when_the_clock_goes_back(t *testing.T) {
	const maxStep = 1 << 40
	for _, ms := range []uint64{1000, 999, 0} {
		last := id(t, 1000, 7, 100)
		for range 1000 {
			next := mustNext(t, last, ms)
			hi, lo := split(next)
			_, before := split(last)
			if next.Time() != 1000 || hi != 7 || lo-before > maxStep {
				t.Fatalf("%v follows %v: time %d, step %d", next, last, next.Time(), lo-before)
			}
			last = next
		}
	}
}

func TestNext_carries_over(t *testing.T) {
	// From the low part of the entropy into the high one.
	next := mustNext(t, id(t, 1000, 7, math.MaxUint64), 1000)
	if hi, _ := split(next); next.Time() != 1000 || hi != 8 {
		t.Errorf("time is %d, high part %d, want 1000 and 8", next.Time(), hi)
	}
	// From the entropy into the time.
	next = mustNext(t, id(t, 1000, math.MaxUint16, math.MaxUint64), 500)
	if next.Time() != 1001 {
		t.Errorf("time is %d, want 1001", next.Time())
	}
}

func TestNext_is_ErrExhausted_at_the_top(t *testing.T) {
	top := id(t, ulid.MaxTime(), math.MaxUint16, math.MaxUint64)
	for _, ms := range []uint64{0, ulid.MaxTime()} {
		if _, err := Next(top, ms); !errors.Is(err, ErrExhausted) {
			t.Errorf("error is %v", err)
		}
	}
	// A clock that shows more than a ULID can hold.
	if _, err := Next(ulid.ULID{}, ulid.MaxTime()+1); !errors.Is(err, ErrExhausted) {
		t.Errorf("error is %v", err)
	}
	// Below the top there is still something.
	mustNext(t, id(t, ulid.MaxTime(), 0, 0), 0)
}

func TestNext_of_two_that_go_on_from_the_same_last_does_not_collide(t *testing.T) {
	start := id(t, 1000, 7, 7)
	seen := make(map[ulid.ULID]bool)
	for range 2 {
		last := start
		for range 1000 {
			last = mustNext(t, last, 1000)
			if seen[last] {
				t.Fatalf("%v was made twice", last)
			}
			seen[last] = true
		}
	}
}

func TestNext_for_any_last_and_any_clock(t *testing.T) {
	edge64 := rapid.OneOf(rapid.Just(uint64(0)), rapid.Just(uint64(math.MaxUint64)), rapid.Uint64())
	edge16 := rapid.OneOf(rapid.Just(uint16(math.MaxUint16)), rapid.Uint16())
	times := rapid.OneOf(rapid.Just(ulid.MaxTime()), rapid.Uint64Range(0, 3), rapid.Uint64Range(0, ulid.MaxTime()))
	rapid.Check(t, func(rt *rapid.T) {
		last := id(t, times.Draw(rt, "last time"), edge16.Draw(rt, "hi"), edge64.Draw(rt, "lo"))
		ms := times.Draw(rt, "ms")
		next, err := Next(last, ms)
		switch {
		case errors.Is(err, ErrExhausted):
			if last.Time() != ulid.MaxTime() || last[6] != 0xff {
				rt.Fatalf("%v is not the end", last)
			}
		case err != nil:
			rt.Fatal(err)
		case next.Compare(last) <= 0:
			rt.Fatalf("%v does not come after %v", next, last)
		case next.Time() < ms || next.Time() > max(ms, last.Time()+1):
			rt.Fatalf("time is %d, the clock showed %d, the last ID %d", next.Time(), ms, last.Time())
		}
	})
}

func TestNewBlock_gives_ascending_IDs_of_one_stem_with_room_above(t *testing.T) {
	const count = 2000
	stem, tails, err := NewBlock(1_700_000_000_000, count)
	if err != nil || len(tails) != count || len(stem) != StemLength {
		t.Fatalf("stem %q, %d tails, error %v", stem, len(tails), err)
	}
	last := ""
	for i, tail := range tails {
		parsed, err := ulid.ParseStrict(stem + tail)
		if err != nil || parsed.Time() != 1_700_000_000_000 {
			t.Fatalf("%q has the time %d, error %v", stem+tail, parsed.Time(), err)
		}
		if len(tail) != TailLength || tail <= last {
			t.Fatalf("tail %d is %q, after %q", i, tail, last)
		}
		last = tail
	}
	const upperHalf = "G" // the first of the upper half of the alphabet
	if stem[10:11] >= upperHalf || tails[0][:1] >= upperHalf {
		t.Errorf("%s %s leaves no room above it", stem, tails[0])
	}
}

func TestNewBlock_differs_each_time(t *testing.T) {
	seen := make(map[string]bool)
	for range 1000 {
		stem, tails, err := NewBlock(1, 1)
		if err != nil || seen[stem] || seen[tails[0]] {
			t.Fatalf("%s %s came before, or error %v", stem, tails, err)
		}
		seen[stem], seen[tails[0]] = true, true
	}
}

func TestNewBlock_is_ErrExhausted_for_a_time_that_no_ULID_has(t *testing.T) {
	if _, _, err := NewBlock(ulid.MaxTime()+1, 1); !errors.Is(err, ErrExhausted) {
		t.Errorf("error is %v", err)
	}
	if _, _, err := NewBlock(ulid.MaxTime(), 3); err != nil {
		t.Error(err)
	}
}
