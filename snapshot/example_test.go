package snapshot_test

import (
	"context"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type Counted struct {
	eventsource.BaseEvent
	Pieces int
}

// Stock is what there is of an article.
type Stock struct {
	eventsource.AggregateBase
	Pieces  int
	Counted time.Time
	clock   func() time.Time `snapshot:"-"`
}

// SnapshotVersion is to be raised when On, or what a field means, changes.
func (*Stock) SnapshotVersion() int { return 1 }

func (s *Stock) On(_ context.Context, event eventsource.Event) error {
	if e, ok := event.(*Counted); ok {
		s.Pieces, s.Counted = e.Pieces, time.Unix(0, e.Timestamp).UTC()
	}
	return nil
}

// Age is how long ago the pieces were counted.
func (s *Stock) Age() time.Duration { return s.clock().Sub(s.Counted) }

// The second load begins from the snapshot that the first one took.
func Example() {
	ctx, store := context.Background(), memstore.New()
	snapshots := snapshot.New(snapshot.NewMemory(), snapshot.Every(100))
	repository := eventsource.NewRepository(store, json.NewSerializer(&Counted{}), eventsource.WithSnapshots(snapshots))

	for pieces := range 150 {
		counted := &Counted{BaseEvent: eventsource.BaseEvent{AggregateID: "article-1"}, Pieces: pieces}
		if err := repository.Save(ctx, counted); err != nil {
			log.Fatal(err)
		}
	}
	for range 2 {
		stock := &Stock{clock: time.Now}
		if _, err := repository.Load(ctx, "article-1", stock); err != nil {
			log.Fatal(err)
		}
		fmt.Println(stock.Pieces, "pieces at version", stock.Version)
	}
	stats := snapshots.Stats()
	fmt.Println(stats.Stored, "snapshot stored,", stats.Restored, "restored")
	// Output:
	// 149 pieces at version 150
	// 149 pieces at version 150
	// 1 snapshot stored, 1 restored
}

// Snapshots are stored by a goroutine of their own, and awaited when the program ends.
func ExampleInBackground() {
	ctx, store := context.Background(), memstore.New()
	snapshots := snapshot.New(snapshot.NewMemory(), snapshot.InBackground(1000),
		snapshot.When(func(i snapshot.Info) bool { return i.Read >= 50 || i.Type == "Stock" && i.Read >= 20 }))
	repository := eventsource.NewRepository(store, json.NewSerializer(&Counted{}), eventsource.WithSnapshots(snapshots))

	for pieces := range 20 {
		counted := &Counted{BaseEvent: eventsource.BaseEvent{AggregateID: "article-1"}, Pieces: pieces}
		if err := repository.Save(ctx, counted); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := repository.Load(ctx, "article-1", &Stock{clock: time.Now}); err != nil {
		log.Fatal(err)
	}
	ending, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := snapshots.Wait(ending); err != nil {
		log.Print(err)
	}
	fmt.Println(snapshots.Stats().Stored, "snapshot stored")
	// Output: 1 snapshot stored
}

// What would be lost is found by a test, and not in production.
func ExampleCheck() {
	fmt.Println(snapshot.Check(&Stock{}))
	fmt.Println(snapshot.Check(&hidden{}))
	// Output:
	// <nil>
	// eventsource/snapshot: state would not survive: *snapshot_test.hidden: hidden.balance is not exported, so it would be lost: export it, or tag it snapshot:"-" if it is no state
}

func TestStockKeepsItsStateInSnapshots(t *testing.T) {
	if err := snapshot.Check(&Stock{Pieces: 7, Counted: time.Now().UTC()}); err != nil {
		t.Error(err)
	}
	if age := (&Stock{clock: func() time.Time { return time.Unix(60, 0) }, Counted: time.Unix(0, 0)}).Age(); age != time.Minute {
		t.Errorf("age is %v", age)
	}
}
