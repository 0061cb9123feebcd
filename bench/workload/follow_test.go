package workload

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/eventsource-go/eventsource/bench/system"
)

func TestMissedCountsWhatTheReaderNeverDelivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		times         func(int) int
		missed, twice int
	}{
		{"each once", nil, 0, 0},
		{"some never", func(n int) int { return min(1, n%100) }, 45, 0}, // of 4500
		{"some twice", func(n int) int { return 1 + n%2 }, 0, 2250},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			session := newFake()
			session.times = c.times
			sample, err := missed(t.Context(), newRun(t, session))
			if err != nil {
				t.Fatal(err)
			}
			if sample.Saved != 4500 || sample.Missed != c.missed || sample.Events != 4500-c.missed || sample.Twice != c.twice || sample.Undecided {
				t.Errorf("got %+v, want 4500 saved, %d missed and %d twice", sample, c.missed, c.twice)
			}
			if sample.Seconds <= 0 || sample.Seconds >= readerQuiet.Seconds() {
				t.Errorf("got %v seconds, want those in which something was delivered", sample.Seconds)
			}
		})
	}
}

func TestLatencyIsOfWhatTheReaderDelivers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		times         func(int) int
		missed, twice int
	}{
		{"some twice", func(n int) int { return 1 + n%2 }, 0, 1000}, // of 2000
		{"some never", func(n int) int { return min(1, n%100) }, 20, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			session := newFake()
			session.times = c.times
			sample, err := latency(t.Context(), newRun(t, session))
			if err != nil {
				t.Fatal(err)
			}
			if sample.Saved != 2000 || sample.Missed != c.missed || sample.Events != 2000-c.missed || sample.Twice != c.twice || sample.Undecided {
				t.Errorf("got %+v, want 2000 saved, %d missed and %d twice", sample, c.missed, c.twice)
			}
			if sample.P50 <= 0 || sample.P99 < sample.P50 {
				t.Errorf("got p50 %v ms and p99 %v ms", sample.P50, sample.P99)
			}
			if sample.Seconds < 1.9 || sample.Seconds > 2+readerQuiet.Seconds() {
				t.Errorf("got %v seconds, want about the 2 in which events were saved", sample.Seconds)
			}
		})
	}
}

func TestReaderThatEndsEarlyIsAnError(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, *run) (Sample, error){"missed": missed, "latency": latency} {
		for _, endsWith := range []error{nil, errors.New("broken")} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				session := newFake()
				session.endsAfter, session.endsWith = 10, endsWith
				_, err := do(t.Context(), newRun(t, session))
				if err == nil || !strings.Contains(err.Error(), "the reader ended early") || !errors.Is(err, endsWith) && endsWith != nil {
					t.Errorf("got %v, want that the reader ended early, and %v", err, endsWith)
				}
			})
		}
	}
}

func TestFailedSaveBesideAReaderIsAnError(t *testing.T) {
	broken := errors.New("broken")
	session := newFake()
	session.save = func(context.Context, system.Batch) error { return broken }
	if _, err := missed(t.Context(), newRun(t, session)); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// never is a session whose reader never gets ready.
type never struct {
	*fake
	err error
}

func (n never) Follow(context.Context, func(), func(system.ID)) error { return n.err }

func TestReaderThatEndsBeforeItIsReadyIsAnError(t *testing.T) {
	broken := errors.New("broken")
	_, err := startFollower(t.Context(), never{newFake(), broken})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "before it was ready") {
		t.Errorf("got %v, want %v and that it was not ready", err, broken)
	}
}

func TestFollowerWaitsForItsReaderToEnd(t *testing.T) {
	session := newFake()
	f, err := startFollower(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.end(); err != nil {
			t.Errorf("end returned %v", err)
		}
	}
	select {
	case <-f.ended:
	default:
		t.Error("the reader has not ended")
	}
}

func TestFollowerIsUndecidedIfItsReaderIsStillOnItsWay(t *testing.T) {
	session := newFake()
	f, err := startFollower(t.Context(), session)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.end() }()
	if undecided, err := f.await(t.Context(), 1, readerQuiet, 1); !undecided || err != nil {
		t.Errorf("got %v, %v when the time was over, want it undecided", undecided, err)
	}
	if undecided, err := f.await(t.Context(), 1, 1, readerLimit); undecided || err != nil {
		t.Errorf("got %v, %v of a quiet reader, want it decided", undecided, err)
	}
	if undecided, err := f.await(t.Context(), 0, 1, 1); undecided || err != nil {
		t.Errorf("got %v, %v of a reader with everything, want it decided", undecided, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.await(ctx, 1, readerQuiet, readerLimit); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
