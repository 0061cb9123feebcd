package testsuite

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/eventsource-go/eventsource"
)

type saveFunc func(context.Context, eventsource.Store, ...eventsource.Record) ([]eventsource.Record, error)

func testTransactions(t *testing.T, h Harness) {
	h.run(t, "nothing is visible before Commit, everything after", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		before := save(t, store, record("a"))
		tx := begin(t, store, record("a"), record("b"), record("b"))
		for _, s := range []eventsource.Store{store, other} {
			everyRead(t, s, before)
			checkVersions(t, s, "b", 0)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		for _, s := range []eventsource.Store{store, other} {
			everyRead(t, s, append(before, tx.Records()...))
		}
	})

	h.run(t, "a rolled-back transaction leaves nothing, and its versions are free", func(t *testing.T, open Storage) {
		store := open(anyTime)
		for range 3 {
			tx := begin(t, store, recordAt("a", 1), record("b"))
			if err := tx.Rollback(); err != nil {
				t.Fatal(err)
			}
			everyRead(t, store, nil)
		}
		save(t, store, recordAt("a", 1))
	})

	h.run(t, "a transaction ends once", func(t *testing.T, open Storage) {
		store := open(anyTime)
		committed := begin(t, store, record("a"))
		if err := committed.Commit(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "Commit after Commit", committed.Commit(), eventsource.ErrTransactionDone)
		wantError(t, "Rollback after Commit", committed.Rollback(), eventsource.ErrTransactionDone)
		everyRead(t, store, committed.Records())

		rolledBack := begin(t, store, record("a"))
		if err := rolledBack.Rollback(); err != nil {
			t.Fatal(err)
		}
		wantError(t, "Commit after Rollback", rolledBack.Commit(), eventsource.ErrTransactionDone)
		wantError(t, "Rollback after Rollback", rolledBack.Rollback(), eventsource.ErrTransactionDone)
		everyRead(t, store, committed.Records())
	})

	h.run(t, "Records gives what was stored, as a copy", func(t *testing.T, open Storage) {
		store := open(anyTime)
		tx := begin(t, store, record("a"), record("a"))
		if got := tx.Records(); len(got) != 2 || got[0].AggregateID != "a" {
			t.Errorf("before Commit, Records is %+v", got)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		spoilt := tx.Records()
		copy(spoilt[0].Data, "SPOILT")
		spoilt[1].SequenceID = "spoilt"
		equal(t, "Records after Commit", loadAll(t, store), tx.Records())
	})

	h.run(t, "a transaction without records is valid", func(t *testing.T, open Storage) {
		store := open(anyTime)
		if err := begin(t, store).Commit(); err != nil {
			t.Error(err)
		}
		if err := begin(t, store).Rollback(); err != nil {
			t.Error(err)
		}
		if stored, err := trySave(t.Context(), store); err != nil || len(stored) != 0 {
			t.Errorf("an empty save gave %v, %v", stored, err)
		}
		everyRead(t, store, nil)
	})

	h.run(t, "of two open transactions for one version one wins", func(t *testing.T, open Storage) {
		for _, first := range []string{"commits", "rolls back"} {
			store, id := open(anyTime), newName("contested")
			held := begin(t, store, recordAt(id, 1))
			second := make(chan error)
			go func() { // it may have to wait for the first
				_, err := trySaveInTransaction(t.Context(), store, recordAt(id, 1))
				second <- err
			}()
			if first == "commits" {
				// Whichever comes first, exactly one of the two is stored.
				firstErr, secondErr := held.Commit(), <-second
				if (firstErr == nil) == (secondErr == nil) {
					t.Errorf("both committed or neither: %v, %v", firstErr, secondErr)
				}
				wantError(t, "the loser", errors.Join(firstErr, secondErr), eventsource.ErrConflict)
			} else {
				if err := held.Rollback(); err != nil {
					t.Error(err)
				}
				if err := <-second; err != nil {
					t.Errorf("the first rolled back, and the second failed: %v", err)
				}
			}
			checkVersions(t, store, id, 1)
		}
	})

	h.run(t, "an open transaction does not stop the saves of others", func(t *testing.T, open Storage) {
		store, other := open(anyTime), open(anyTime)
		held := begin(t, store, record("held"))
		var stored []eventsource.Record
		for i := range 10 {
			stored = append(stored, save(t, store, record(fmt.Sprint("free ", i)))...)
			stored = append(stored, save(t, other, record(fmt.Sprint("free ", i)))...)
		}
		for i := range 10 {
			checkVersions(t, other, fmt.Sprint("free ", i), 2)
		}
		// What readers are handed is a prefix of the order that it will have.
		early := loadAll(t, other)
		if err := held.Commit(); err != nil {
			t.Fatal(err)
		}
		late := loadAll(t, other)
		if len(late) != len(stored)+1 {
			t.Fatalf("%d events are stored, want %d", len(late), len(stored)+1)
		}
		equal(t, "events that were handed out while a transaction was open", late[:len(early)], early)
	})

	h.run(t, "a repository's events carry what was assigned after Commit, not before", func(t *testing.T, open Storage) {
		repository := eventsource.NewRepository(open(anyTime), rawSerializer{})
		newEvent := func() *rawEvent {
			return &rawEvent{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}, eventType: "Happened"}
		}
		events := []*rawEvent{newEvent(), newEvent()}
		tx, err := repository.SaveTransaction(t.Context(), events[0], events[1])
		if err != nil {
			t.Fatal(err)
		}
		if events[0].SequenceID != "" || events[1].Version != 0 || events[1].Timestamp != 0 {
			t.Error("events carry something before Commit")
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		loaded, err := repository.GetEventsBySequenceID(t.Context(), "", all)
		if err != nil || len(loaded) != 2 {
			t.Fatalf("loaded %d events: %v", len(loaded), err)
		}
		for i, event := range events {
			equal(t, "event after Commit", []eventsource.Record{loaded[i].(*rawEvent).record()}, []eventsource.Record{event.record()})
		}
		// A conflict leaves events as they were.
		loser := newEvent()
		loser.Version = 1
		wantError(t, "Save of version 1", repository.Save(t.Context(), loser), eventsource.ErrConflict)
		if loser.SequenceID != "" || loser.Version != 1 || loser.Timestamp != 0 {
			t.Errorf("a failed save changed its event to %+v", loser)
		}
	})
}
