package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/snapshot"
)

// gate lets saves pass one by one.
type gate struct {
	arrived chan eventsource.Snapshot
	pass    chan error
}

func newGate() *gate {
	return &gate{arrived: make(chan eventsource.Snapshot), pass: make(chan error)}
}

func (g *gate) save(ctx context.Context, s eventsource.Snapshot) error {
	g.arrived <- s
	select {
	case err := <-g.pass:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestInTheBackgroundNeitherLoadsNorCommandsWaitForTheStore(t *testing.T) {
	b := newBank(snapshot.Every(1), snapshot.InBackground(10), snapshot.WithTimeout(time.Minute))
	saveMany(t, b, "a", 1)
	g := newGate()
	b.kept.save = g.save

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := b.Load(ctx, "a", &Account{}); err != nil {
		t.Fatal(err)
	}
	cancel() // the end of a request is not that of its snapshot
	<-g.arrived
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := b.snapshots.Wait(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v", err)
	}
	b.wantStats(t, snapshot.Stats{})
	g.pass <- nil
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1})
}

func TestInTheBackgroundValuesOfTheContextAreThere(t *testing.T) {
	type key struct{}
	b := newBank(snapshot.Every(1), snapshot.InBackground(1), snapshot.WithTimeout(time.Hour))
	saveMany(t, b, "a", 1)
	b.kept.save = func(ctx context.Context, _ eventsource.Snapshot) error {
		deadline, ok := ctx.Deadline()
		if ctx.Value(key{}) != "mine" || !ok || time.Until(deadline) < 50*time.Minute {
			t.Errorf("value %v, deadline %v", ctx.Value(key{}), deadline)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "mine"), time.Minute)
	defer cancel()
	if _, err := b.Load(ctx, "a", &Account{}); err != nil {
		t.Fatal(err)
	}
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1})
}

func TestOfSnapshotsThatWaitTheNewestOfEachAggregateIsStoredAndTooManyAreDropped(t *testing.T) {
	b := newBank(snapshot.Every(1), snapshot.InBackground(2), snapshot.WithTimeout(time.Minute))
	g := newGate()
	b.kept.save = g.save
	step := func(id string) {
		saveMany(t, b, id, 1)
		load(t, b, id)
	}
	next := func(err error) string {
		s := <-g.arrived
		g.pass <- err
		return fmt.Sprint(s.AggregateID, s.Version)
	}
	step("a")
	first := <-g.arrived // is being stored, and waits no more
	step("a")
	step("b")
	step("a") // takes the place of the one before
	step("c") // is one too many
	step("d") // and so is this
	b.log.wantLog(t, "dropped", "aggregate_id=c")
	g.pass <- nil
	got := []string{fmt.Sprint(first.AggregateID, first.Version), next(nil), next(errFake)}
	if diff := cmp.Diff([]string{"a1", "a3", "b1"}, got); diff != "" {
		t.Error(diff)
	}
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.log.wantLog(t, "could not store a snapshot", errFake.Error(), "aggregate_id=b")

	step("c") // there is room again
	if s := <-g.arrived; s.AggregateID != "c" || s.Version != 2 {
		t.Errorf("%s%d is stored", s.AggregateID, s.Version)
	}
	step("a")
	step("b")
	step("d") // and none
	b.log.wantLog(t, "dropped", "aggregate_id=d")
	g.pass <- nil
	next(nil)
	next(nil)
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 5, Failed: 1, Dropped: 3})
}

func TestInTheBackgroundAStoreThatDoesNotAnswerIsGivenUp(t *testing.T) {
	b := newBank(snapshot.Every(1), snapshot.InBackground(1), snapshot.WithTimeout(10*time.Millisecond))
	saveMany(t, b, "a", 1)
	b.kept.save = func(ctx context.Context, _ eventsource.Snapshot) error {
		<-ctx.Done()
		return ctx.Err()
	}
	load(t, b, "a")
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.log.wantLog(t, "could not store a snapshot", context.DeadlineExceeded.Error())
	b.wantStats(t, snapshot.Stats{Failed: 1})
}

func TestManyLoadsAtOnceTakeAndUseSnapshots(t *testing.T) {
	for _, opts := range [][]snapshot.Option{nil, {snapshot.InBackground(3)}} {
		b := newBank(opts...)
		dispatcher := eventsource.NewDispatcher(b.Repository, func() *Account { return &Account{} }, eventsource.WithTries(1000))
		const clients, each = 4, 25
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				for range each {
					if _, err := dispatcher.Dispatch(t.Context(), Deposit{CommandBase: eventsource.CommandBase{AggregateID: "a"}, Amount: 1}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if err := b.snapshots.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := load(t, b, "a"); a.Balance != clients*each || a.Version != clients*each || len(a.History) != clients*each {
			t.Errorf("it has %d at version %d", a.Balance, a.Version)
		}
		if stats := b.snapshots.Stats(); stats.Restored == 0 || stats.Stored == 0 || stats.Failed+stats.Refused != 0 {
			t.Errorf("stats are %+v", stats)
		}
		if err := b.snapshots.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
