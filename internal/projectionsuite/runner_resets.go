package projectionsuite

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
)

func testResets(t *testing.T, open opener) {
	for _, running := range []int{0, 1, 3} {
		open.run(t, "a reset handles events again, silently, "+text(running)+" instances running", func(w *world) {
			var j journal
			var all []*instance
			start := func() {
				all = nil
				for range max(running, 1) {
					all = append(all, w.start(j.withEffects("a"), projection.WithPartitions(3)))
				}
			}
			start()
			middle := w.open(20, many(6)...)
			w.waitFor(w.open(20, many(6)...))
			for _, to := range []string{"", middle} {
				if running == 0 {
					w.stop(all...)
				}
				before := len(j.all("a"))
				if err := w.manager.Reset(w.ctx(), name, 1, to); err != nil {
					w.Fatal(err)
				}
				if running == 0 {
					start()
				}
				w.waitFor(w.open(4, many(4)...))
				entries := j.all("a")[before:]
				var again []Entry
				for _, e := range entries {
					if e.Silent {
						again = append(again, e)
					}
				}
				want := w.between(to, entries[0].SequenceID, j.all("a")[:before])
				if got := len(again); got != want {
					w.Errorf("after a reset to %q, %d events were handled again silently, want %d", to, got, want)
				}
				if n := len(loud(entries)); n != 4 {
					w.Errorf("%d events were handled for the first time, want 4", n)
				}
			}
			w.wantEach(j.effects(), true)
		})
	}

	open.run(t, "a reset under load loses nothing, and side effects happen once", func(w *world) {
		var j journal
		stopLoad := w.backgroundLoad(2*time.Millisecond, many(10)...)
		for range 2 {
			w.start(j.withEffects("a"), projection.WithPartitions(2))
		}
		for range 4 {
			n := len(j.all("a!"))
			w.until("it works", func() bool { return len(j.all("a!")) > n+20 })
			if err := w.manager.Reset(w.ctx(), name, 1, ""); err != nil {
				w.Fatal(err)
			}
		}
		w.waitFor(stopLoad())
		w.wantEach(j.effects(), true)
		entries := j.all("a")
		lastReset := 0
		for i, e := range entries {
			if e.Version == 1 {
				lastReset = i
			}
		}
		if lastReset == 0 {
			w.Error("no event came again")
		}
	})

	open.run(t, "a reset may go on, too: what is in between is left out", func(w *world) {
		var j journal
		i := w.start(j.handler("a"))
		w.waitFor(w.open(2, "a"))
		w.stop(i)
		to := w.open(3, "a")
		if err := w.manager.Reset(w.ctx(), name, 1, to); err != nil {
			w.Fatal(err)
		}
		w.start(j.handler("b"))
		w.waitFor(w.open(1, "a"))
		if got := j.of("a"); !slices.Equal(got, []int{1, 2, 6}) {
			w.Errorf("handled: %v", got)
		}
	})

	open.run(t, "a reset to a time handles the first event at or after it, and all later ones", func(w *world) {
		var j journal
		noon := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)
		var last string
		for minute := range 6 {
			e := openedOf("a")
			e.Timestamp = noon.Add(time.Duration(minute) * time.Minute).UnixNano()
			last = w.save(e)
		}
		i := w.start(j.handler("a"))
		w.until("it is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		for minute := range 6 {
			before := j.count()
			if err := w.manager.ResetToTime(w.ctx(), name, 1, noon.Add(time.Duration(minute)*time.Minute)); err != nil {
				w.Fatal(err)
			}
			w.waitFor(last)
			if got, want := j.of("a")[before:], []int{1, 2, 3, 4, 5, 6}[minute:]; !slices.Equal(got, want) {
				w.Errorf("after a reset to minute %d: %v", minute, got)
			}
		}
		before := j.count()
		for _, never := range []time.Time{noon.Add(time.Hour), noon.AddDate(5000, 0, 0)} {
			err := w.manager.ResetToTime(w.ctx(), name, 1, never)
			wantError(w.T, "ResetToTime", err, projection.ErrUnknown)
		}
		if err := w.manager.ResetToTime(w.ctx(), name, 1, time.Time{}); err != nil {
			w.Errorf("to the zero time: %v", err)
		}
		w.waitFor(last)
		if got := len(j.of("a")[before:]); got != 6 {
			w.Errorf("after a reset to the zero time %d events were handled", got)
		}
		w.stop(i)
	})

	open.run(t, "parked events that come again are forgotten, others are not", func(w *world) {
		d := newWard("a", 2)
		d.infect("b", 2)
		w.start(d.handler("a"), projection.WithFailurePolicy(projection.Park))
		to := w.open(2, "a") // the second one is parked
		w.open(120, "b")
		w.waitFor(w.open(1, "c"))
		d.heal("a", 2)
		d.heal("b", 2)
		if err := w.manager.Reset(w.ctx(), name, 1, to); err != nil {
			w.Fatal(err)
		}
		w.waitFor(w.open(1, "c"))
		w.wantParked(map[string][]int{"a": {2}})
		if got := len(d.of("b")); got != 1+120 {
			w.Errorf("%d events of b were handled", got)
		}
	})

	open.run(t, "a reset says what is wrong", func(w *world) {
		var j journal
		wantError(w.T, "Reset of nobody", w.manager.Reset(w.ctx(), name, 1, ""), projection.ErrUnknown)
		i := w.start(j.handler("a"))
		w.waitFor(w.open(2, "a"))
		wantError(w.T, "Reset of another version", w.manager.Reset(w.ctx(), name, 2, ""), projection.ErrUnknown)
		err := w.manager.Reset(w.ctx(), name, 1, "yesterday")
		wantError(w.T, "Reset to no sequence ID", err, eventsource.ErrInvalidSequenceID)
		wantText(w.T, err, "yesterday")
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		wantError(w.T, "Reset with an ended context", w.manager.Reset(ended, name, 1, ""), context.Canceled)
		w.waitFor(w.open(2, "a"))
		w.wantEach(j.all(""), true)
		w.stop(i)
	})

	open.run(t, "a version can start after an event", func(w *world) {
		var j journal
		after := w.open(3, "a")
		w.start(j.handler("a"), projection.WithStartAfter(after))
		w.waitFor(w.open(2, "a"))
		if got := j.of("a"); !slices.Equal(got, []int{4, 5}) {
			w.Errorf("handled: %v", got)
		}
	})

	open.run(t, "where a version starts matters only the first time", func(w *world) {
		var j journal
		i := w.start(j.handler("a"))
		last := w.open(3, "a")
		w.waitFor(last)
		w.stop(i)
		w.open(3, "a")
		w.start(j.handler("b"), projection.WithStartAfter(last))
		w.waitFor(w.open(1, "a"))
		w.wantEach(j.all(""), true)
	})

	open.run(t, "all is silent for as long as that is asked for", func(w *world) {
		var j journal
		i := w.start(j.withEffects("a"), projection.WithSilence())
		w.waitFor(w.open(3, "a"))
		w.stop(i)
		if n := len(j.effects()); n != 0 {
			w.Errorf("%d side effects", n)
		}
		w.start(j.withEffects("a"))
		w.waitFor(w.open(2, "a"))
		if got := versionsOf(j.effects())["a"]; !slices.Equal(got, []int{4, 5}) {
			w.Errorf("side effects: %v", got)
		}
	})
}

// between counts the events of a journal after one and before another.
func (w *world) between(after, _ string, entries []Entry) int {
	seen := make(map[string]bool)
	for _, e := range entries {
		if e.SequenceID > after {
			seen[e.SequenceID] = true
		}
	}
	return len(seen)
}

func testDivergence(t *testing.T, open opener) {
	// restored is a store that has lost what it had above a sequence ID, up to another.
	restored := func(w *world, from, to string) eventsource.Repository {
		return repositoryOn(&spyStore{
			fullStore: w.full(),
			hides:     func(id string) bool { return id > from && id <= to },
			head: func(head string) string {
				if head <= to {
					return from
				}
				return head
			},
			reached: func(id string) string {
				if id <= to {
					return min(id, from)
				}
				return id
			},
		})
	}
	open.run(t, "a checkpoint beyond the store's head is an error, and nothing is handled", func(w *world) {
		var j journal
		i := w.start(j.handler("a"))
		from := w.open(10, "a")
		to := w.open(10, "a")
		w.waitFor(to)
		w.stop(i)
		second := w.startOn(restored(w, from, to), j.handler("b"))
		err := w.end(second)
		var diverged *projection.DivergedError
		if !errors.As(err, &diverged) || !errors.Is(err, projection.ErrDiverged) {
			w.Fatalf("Run: %v", err)
		}
		equal(w, "error", projection.DivergedError{Projection: name, Version: 1, Position: to, LastEvent: to, Head: from}, *diverged)
		wantText(w.T, err, name, from, to)
		if n := len(j.all("b")); n != 0 {
			w.Errorf("%d events were handled", n)
		}
		// A reset is the way out.
		if err := w.manager.Reset(w.ctx(), name, 1, from); err != nil {
			w.Fatal(err)
		}
		w.startOn(restored(w, from, to), j.handler("c"))
		w.save(openedOf("b"))
		w.until("it goes on", func() bool { return len(j.all("c")) > 0 })
	})

	for _, partitions := range []int{1, 4} {
		open.run(t, "a restore is noticed also after new events were saved, partitions "+text(partitions), func(w *world) {
			var j journal
			i := w.start(j.handler("a"), projection.WithPartitions(partitions))
			from := w.open(10, many(10)...)
			to := w.open(10, many(10)...)
			w.waitFor(to)
			w.stop(i)
			w.open(10, many(10)...)
			second := w.startOn(restored(w, from, to), j.handler("b"), projection.WithPartitions(partitions))
			wantError(w.T, "Run", w.end(second), projection.ErrDiverged)
		})
	}

	open.run(t, "a restore is noticed where the last event was of another type", func(w *world) {
		var j journal
		i := w.start(j.handler("a"))
		from := w.save(openedOf("a"))
		to := w.save(notedOf("a"), notedOf("a"))
		w.waitFor(to)
		w.stop(i)
		second := w.startOn(restored(w, from, to), j.handler("b"))
		wantError(w.T, "Run", w.end(second), projection.ErrDiverged)
	})

	open.run(t, "a store without any optional interface tells of a restore by what it has", func(w *world) {
		var j journal
		last := w.open(5, "a")
		bare := repositoryOn(bareStore{w.store})
		i := w.startOn(bare, j.handler("a"))
		w.until("it is known", func() bool { return len(w.rows(1)) > 0 })
		w.waitFor(last)
		w.stop(i)
		// An event that is not there any more, and one that came after it.
		rows := w.rows(1)
		ghost := ulid.MustParseStrict(last)
		ghost[15]++ // a carry does not matter
		rows[0].LastEvent, rows[0].Position = ghost.String(), ghost.String()
		if err := w.checkpoints.Update(w.ctx(), rows[:1], nil); err != nil {
			w.Fatal(err)
		}
		w.open(1, "a")
		second := w.startOn(bare, j.handler("b"))
		wantError(w.T, "Run", w.end(second), projection.ErrDiverged)
	})
}
