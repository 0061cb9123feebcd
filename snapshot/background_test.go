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

// next returns the snapshot that arrives next.
func (g *gate) next(t testing.TB) eventsource.Snapshot {
	t.Helper()
	select {
	case s := <-g.arrived:
		return s
	case <-time.After(20 * time.Second):
		t.Fatal("no snapshot is stored")
		panic("not reached")
	}
}

// let has the store return.
func (g *gate) let(t testing.TB, err error) {
	t.Helper()
	select {
	case g.pass <- err:
	case <-time.After(20 * time.Second):
		t.Fatal("the store was not waited for")
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
	g.next(t)
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := b.snapshots.Wait(waiting); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait = %v", err)
	}
	b.wantStats(t, snapshot.Stats{})
	g.let(t, nil)
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
		s := g.next(t)
		g.let(t, err)
		return fmt.Sprint(s.AggregateID, s.Version)
	}
	step("a")
	first := g.next(t) // is being stored, and waits no more
	step("a")
	step("b")
	step("a") // takes the place of the one before
	step("c") // is one too many
	step("d") // and so is this
	b.log.wantLog(t, "dropped", "aggregate_id=c")
	g.let(t, nil)
	got := []string{fmt.Sprint(first.AggregateID, first.Version), next(nil), next(errFake)}
	if diff := cmp.Diff([]string{"a1", "a3", "b1"}, got); diff != "" {
		t.Error(diff)
	}
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.log.wantLog(t, "could not store a snapshot", errFake.Error(), "aggregate_id=b")

	step("c") // there is room again
	if s := g.next(t); s.AggregateID != "c" || s.Version != 2 {
		t.Errorf("%s%d is stored", s.AggregateID, s.Version)
	}
	step("a")
	step("b")
	step("d") // and none
	b.log.wantLog(t, "dropped", "aggregate_id=d")
	g.let(t, nil)
	next(nil)
	next(nil)
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 5, Failed: 1, Dropped: 3})
}

func TestAnOlderSnapshotDoesNotTakeThePlaceOfANewerOneThatWaits(t *testing.T) {
	b := newBank(snapshot.Every(1), snapshot.InBackground(10), snapshot.WithTimeout(time.Minute))
	g := newGate()
	b.kept.save = g.save
	var stores []func(context.Context)
	for version := 1; version <= 3; version++ {
		of := eventsource.Snapshot{AggregateID: "a", Version: version, SequenceID: fmt.Sprintf("%026d", version)}
		stores = append(stores, b.snapshots.Loaded(t.Context(), &Account{}, of, 1))
	}
	for _, i := range []int{0, 2, 1} { // the first is being stored, the others wait
		stores[i](t.Context())
		if i == 0 {
			g.next(t)
		}
	}
	g.let(t, nil)
	if s := g.next(t); s.Version != 3 {
		t.Errorf("version %d is stored", s.Version)
	}
	g.let(t, nil)
	if err := b.snapshots.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 2})
}

func TestDeleteForgetsWhatWaitsInTheBackground(t *testing.T) {
	b := newBank(snapshot.Every(1), snapshot.InBackground(10), snapshot.WithTimeout(time.Minute))
	g := newGate()
	b.kept.save = func(ctx context.Context, s eventsource.Snapshot) error {
		return errors.Join(g.save(ctx, s), b.kept.Store.Save(ctx, s))
	}
	saveMany(t, b, "a", 1)
	load(t, b, "a")
	g.next(t) // is being stored
	for _, id := range []string{"a", "b"} {
		saveMany(t, b, id, 1)
		load(t, b, id)
	}
	if err := b.snapshots.Delete(t.Context(), "b"); err != nil { // which need not wait for another aggregate
		t.Fatal(err)
	}
	waiting, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := b.snapshots.Delete(waiting, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Delete = %v", err)
	}
	deleted := make(chan error)
	go func() { deleted <- b.snapshots.Delete(context.WithoutCancel(t.Context()), "a") }()
	g.let(t, nil)
	if err := errors.Join(<-deleted, b.snapshots.Wait(t.Context())); err != nil {
		t.Fatal(err)
	}
	b.wantStats(t, snapshot.Stats{Stored: 1})
	for _, id := range []string{"a", "b"} {
		if b.snapshots.Find(t.Context(), id, &Account{}, 0) != nil {
			t.Errorf("%q still has a snapshot", id)
		}
	}
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
