package snapshot_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/snapshot"
	"github.com/eventsource-go/eventsource/snapshot/sqlsnapshot"
	"github.com/eventsource-go/eventsource/store/memstore"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// BenchmarkDispatch dispatches commands to aggregates of 10,000 events with a snapshot
// every 100, and to ones of 100 events without snapshots. They take turns, so that a noisy
// machine hurts both alike; long/short is how many times as long the first ones take.
// Every 100 commands there are new aggregates, so that none gets much longer.
//
//	go test ./snapshot -run '^$' -bench Dispatch -benchtime 1000x
func BenchmarkDispatch(b *testing.B) {
	b.Run("store=memstore", func(b *testing.B) {
		benchmarkDispatch(b, memstore.New(), snapshot.NewMemory())
	})
	b.Run("store=sqlstore", func(b *testing.B) {
		pool := testenv.Pool(b, testenv.Postgres(b))
		db := stdlib.OpenDBFromPool(pool)
		b.Cleanup(func() { _ = db.Close() })
		if err := migrations.Up(b.Context(), db); err != nil {
			b.Fatal(err)
		}
		benchmarkDispatch(b, sqlstore.New(pool), sqlsnapshot.New(pool))
	})
}

func benchmarkDispatch(b *testing.B, store eventsource.Store, kept snapshot.Store) {
	const long, short, each = 10_000, 100, 100
	snapshots := snapshot.New(kept, snapshot.Every(100), snapshot.WithTimeout(time.Minute))
	without := eventsource.NewRepository(store, serializer())
	with := eventsource.NewRepository(store, serializer(), eventsource.WithSnapshots(snapshots))
	create := func() *Sum { return &Sum{} }
	short100, long10000 := eventsource.NewDispatcher(without, create), eventsource.NewDispatcher(with, create)

	n := 0
	prepare := func() (shortID, longID string) {
		n++
		shortID, longID = fmt.Sprint("short-", n), fmt.Sprint("long-", n)
		grow(b, without, shortID, short-each/2) // it has 100 in the middle of its commands
		grow(b, without, longID, long)
		if _, err := with.Load(b.Context(), longID, create()); err != nil {
			b.Fatal(err)
		}
		return shortID, longID
	}
	dispatch := func(d *eventsource.Dispatcher[*Sum], id string) time.Duration {
		began := time.Now()
		if _, err := d.Dispatch(b.Context(), Deposit{CommandBase: eventsource.CommandBase{AggregateID: id}, Amount: 1}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var shortID, longID string
	var shortTook, longTook time.Duration
	b.ResetTimer()
	for i := range b.N {
		if i%each == 0 {
			b.StopTimer()
			shortID, longID = prepare()
			b.StartTimer()
		}
		shortTook += dispatch(short100, shortID)
		longTook += dispatch(long10000, longID)
	}
	b.StopTimer()
	if stats := snapshots.Stats(); stats.Restored < int64(b.N) || stats.Failed+stats.Refused != 0 {
		b.Fatalf("stats are %+v after %d commands", stats, b.N)
	}
	b.ReportMetric(float64(shortTook.Nanoseconds())/float64(b.N), "short-ns/op")
	b.ReportMetric(float64(longTook.Nanoseconds())/float64(b.N), "long-ns/op")
	b.ReportMetric(float64(longTook)/float64(shortTook), "long/short")
}

// grow saves deposits.
func grow(b *testing.B, repo eventsource.Repository, id string, events int) {
	b.Helper()
	const atOnce = 1000
	for events > 0 {
		batch := make([]eventsource.Event, min(events, atOnce))
		for i := range batch {
			batch[i] = deposit(id, 1)
		}
		if err := repo.Save(b.Context(), batch...); err != nil {
			b.Fatal(err)
		}
		events -= len(batch)
	}
}

// Sum is an aggregate with a small state.
type Sum struct {
	eventsource.AggregateBase
	Total int
}

func (*Sum) SnapshotVersion() int { return 1 }

func (s *Sum) On(_ context.Context, event eventsource.Event) error {
	s.Total += event.(*Deposited).Amount
	return nil
}

// Handle deposits.
func (s *Sum) Handle(_ context.Context, command eventsource.Command) ([]eventsource.Event, error) {
	return []eventsource.Event{deposit("", command.(Deposit).Amount)}, nil
}
