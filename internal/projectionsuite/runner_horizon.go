package projectionsuite

import (
	"testing"
	"time"

	"github.com/eventsource-go/eventsource/projection"
)

// RunHorizon is more of [RunRunner], for stores whose open transactions hold readers
// back.
func RunHorizon(t *testing.T, open func(t *testing.T) Backend) {
	testHorizon(t, open)
}

func testHorizon(t *testing.T, open opener) {
	open.run(t, "a transaction that held readers back and is rolled back does not delay events until the next poll", func(w *world) {
		var j journal
		w.start(j.handler("a"), projection.WithPollInterval(24*time.Hour))
		w.waitFor(w.open(1, "a"))
		for range 3 {
			tx, err := w.repository.SaveTransaction(w.Context(), openedOf("never"))
			if err != nil {
				w.Fatal(err)
			}
			handled := j.count()
			id := w.open(1, "a")
			// The wake-up comes now. If it does not, the test only shows less.
			time.Sleep(200 * time.Millisecond)
			if n := j.count(); n != handled {
				w.Errorf("%d events were handled, although an open transaction holds readers back", n-handled)
			}
			if err := tx.Rollback(); err != nil {
				w.Fatal(err)
			}
			w.waitFor(id)
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "an event that appears late, below what others have saved since, is not missed", func(w *world) {
		var j journal
		w.start(j.handler("a"), projection.WithPartitions(2))
		for range 5 {
			late := openedOf("late")
			tx, err := w.repository.SaveTransaction(w.Context(), late)
			if err != nil {
				w.Fatal(err)
			}
			id := w.open(3, many(3)...)
			if err := tx.Commit(); err != nil {
				w.Fatal(err)
			}
			w.mu.Lock()
			w.saved["late"]++
			w.mu.Unlock()
			w.waitFor(max(id, late.SequenceID))
		}
		w.wantEach(j.all(""), true)
	})

	open.run(t, "a transaction that holds readers back below the checkpoint is not taken for a restore", func(w *world) {
		var j journal
		first := w.start(j.handler("a"))
		last := w.open(10, many(3)...)
		w.waitFor(last)
		w.stop(first)
		// The lower bound that it publishes is a time by its own clock.
		behind := repositoryOn(w.Store(func() time.Time { return time.Now().Add(-time.Hour) }))
		late := openedOf("late")
		tx, err := behind.SaveTransaction(w.Context(), late)
		if err != nil {
			w.Fatal(err)
		}
		if h, err := w.full().Horizon(w.Context()); err != nil || h.SafeEnd >= last {
			w.Fatalf("readers may read up to %q, error %v", h.SafeEnd, err)
		}
		second := w.start(j.handler("b"))
		w.until("it is worked on", func() bool { return w.rows(1)[0].Owner != "" })
		after := w.open(1, "a1")
		time.Sleep(w.Lease) // it must not end; a test that looks too early only shows less
		if err := tx.Commit(); err != nil {
			w.Fatal(err)
		}
		w.mu.Lock()
		w.saved["late"]++
		w.mu.Unlock()
		w.waitFor(max(after, late.SequenceID))
		w.wantEach(j.all(""), true)
		w.stop(second)
	})
}
