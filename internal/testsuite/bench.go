package testsuite

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

// Sizes of the benchmarks, in events. benchPage divides benchStored, so that
// every page is a full one.
const (
	benchStored = 10_000
	benchPage   = 1000
	benchBatch  = 50 // that are saved at once to fill a storage; not every store takes 100
)

// Writers of the benchmark that reads while others write. They keep to a pace:
// without one, a store that saves faster would leave less of the machine to its
// reader and look worse.
const (
	benchWriters   = 4
	benchWriteEach = 2 * time.Millisecond
)

// Benchmark measures a store. Each call of open makes an empty storage.
func Benchmark(b *testing.B, open func(b *testing.B) Storage) {
	if open == nil {
		b.Fatal("testsuite: open is nil")
	}
	for _, group := range []struct {
		name string
		run  func(*testing.B, func(*testing.B) Storage)
	}{
		{"Save", benchSave},
		{"SaveToOneAggregate", benchSaveToOneAggregate},
		{"Transaction", benchTransaction},
		{"Load", benchLoad},
		{"CatchUp", benchCatchUp},
	} {
		b.Run(group.name, func(b *testing.B) { group.run(b, open) })
	}
}

// benchSave saves events to new aggregates, each save to another one.
func benchSave(b *testing.B, open func(*testing.B) Storage) {
	probe := open(b)(anyTime)
	for _, events := range []int{1, 10, 100} {
		if !takes(b, probe, events) {
			continue
		}
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprint("events=", events, "/clients=", clients), func(b *testing.B) {
				store := open(b)(anyTime)
				share(b, clients, func() func(int) error {
					records := benchRecords(events)
					return func(n int) error {
						toAggregate(records, n)
						stored, err := trySave(b.Context(), store, records...)
						return checkSaved(err, stored, events)
					}
				})
				reportEvents(b, events)
			})
		}
	}
}

// takes reports whether one save can have so many events. It saves them.
func takes(b *testing.B, store eventsource.Store, events int) bool {
	records := benchRecords(events)
	toAggregate(records, events)
	stored, err := trySave(b.Context(), store, records...)
	var tooLarge *eventsource.SaveTooLargeError
	if errors.As(err, &tooLarge) {
		return false
	}
	if err := checkSaved(err, stored, events); err != nil {
		b.Fatal(err)
	}
	return true
}

// benchSaveToOneAggregate saves single events, all to the end of one aggregate.
func benchSaveToOneAggregate(b *testing.B, open func(*testing.B) Storage) {
	b.Run("events=1/clients=16", func(b *testing.B) {
		store := open(b)(anyTime)
		share(b, 16, func() func(int) error {
			records := benchRecords(1)
			toAggregate(records, 0)
			return func(int) error {
				stored, err := trySave(b.Context(), store, records...)
				if err == nil && len(stored) != 1 {
					err = fmt.Errorf("%d events were stored, want 1", len(stored))
				}
				return err
			}
		})
		reportEvents(b, 1)

		last := benchRecords(1)
		toAggregate(last, 0)
		if stored := save(b, store, last...); len(stored) != 1 || stored[0].Version != b.N+1 {
			b.Fatalf("after %d saves to one aggregate the next was stored as %+v", b.N, stored)
		}
	})
}

// benchTransaction saves single events to new aggregates with a transaction each.
func benchTransaction(b *testing.B, open func(*testing.B) Storage) {
	b.Run("events=1/clients=1", func(b *testing.B) {
		store := open(b)(anyTime)
		share(b, 1, func() func(int) error {
			records := benchRecords(1)
			return func(n int) error {
				toAggregate(records, n)
				stored, err := trySaveInTransaction(b.Context(), store, records...)
				return checkSaved(err, stored, 1)
			}
		})
		reportEvents(b, 1)
	})
}

// benchLoad loads aggregates.
func benchLoad(b *testing.B, open func(*testing.B) Storage) {
	store := open(b)(anyTime)
	for _, events := range []int{10, 100, 10_000} {
		id := strconv.Itoa(events)
		b.Run("events="+id, func(b *testing.B) {
			// Once, although this function may run several times.
			for stored := len(loadAggregate(b, store, id)); stored < events; {
				records := benchRecords(min(events-stored, benchBatch))
				toAggregate(records, events)
				stored += len(save(b, store, records...))
			}
			b.ReportAllocs()
			for b.Loop() {
				records, err := store.LoadByAggregate(b.Context(), id)
				if err != nil || len(records) != events {
					b.Fatalf("LoadByAggregate: %d events, error %v, want %d events", len(records), err, events)
				}
			}
			reportEvents(b, events)
		})
	}
}

// benchCatchUp reads all events in sequence order: page by page, as one stream,
// and page by page while others write.
func benchCatchUp(b *testing.B, open func(*testing.B) Storage) {
	store := open(b)(anyTime)
	for n := range benchStored / benchBatch {
		// Ten events an aggregate.
		var records []eventsource.Record
		for i := range benchBatch / 10 {
			some := benchRecords(10)
			toAggregate(some, n*benchBatch/10+i)
			records = append(records, some...)
		}
		save(b, store, records...)
	}

	b.Run("page/writers=0", func(b *testing.B) { benchPages(b, store) })
	if querier, ok := store.(eventsource.Querier); ok {
		b.Run("stream", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				count := 0
				for _, err := range querier.Query(b.Context(), eventsource.Query{}) {
					if err != nil {
						b.Fatalf("Query: %v", err)
					}
					count++
				}
				if count != benchStored {
					b.Fatalf("Query gave %d events, want %d", count, benchStored)
				}
			}
			reportEvents(b, benchStored)
		})
	}
	// The last one, because it leaves events behind.
	b.Run(fmt.Sprint("page/writers=", benchWriters), func(b *testing.B) {
		stop := startWriters(b, store)
		benchPages(b, store)
		saves, spent := stop()
		b.ReportMetric(float64(saves)/spent.Seconds(), "saves/s")
	})
}

// benchPages reads the first benchStored events page by page, again and again.
// One operation is one page.
func benchPages(b *testing.B, store eventsource.Store) {
	b.ReportAllocs()
	after, seen := "", 0
	for b.Loop() {
		page, err := store.LoadBySequenceID(b.Context(), after, benchPage)
		if err != nil || len(page) != benchPage {
			b.Fatalf("LoadBySequenceID: %d events, error %v, want %d events", len(page), err, benchPage)
		}
		after, seen = page[len(page)-1].SequenceID, seen+len(page)
		if seen == benchStored {
			after, seen = "", 0
		}
	}
	reportEvents(b, benchPage)
}

// startWriters lets writers save one event after the other, and returns when each
// has saved one. stop ends them and returns how many saves they made in which time.
func startWriters(b *testing.B, store eventsource.Store) (stop func() (saves int64, spent time.Duration)) {
	ctx, cancel := context.WithCancel(b.Context())
	var (
		wg, ready sync.WaitGroup
		saves     atomic.Int64
		ended     = make(chan struct{})
	)
	ready.Add(benchWriters)
	for range benchWriters {
		wg.Go(func() {
			isReady := sync.OnceFunc(ready.Done)
			defer isReady()
			pace := time.NewTicker(benchWriteEach)
			defer pace.Stop()
			records := benchRecords(1)
			for {
				records[0].AggregateID = newName("written")
				// To the end, so that stopping breaks no save.
				stored, err := trySave(b.Context(), store, records...)
				if err := checkSaved(err, stored, 1); err != nil {
					b.Errorf("a writer: %v", err)
					return
				}
				saves.Add(1)
				isReady()
				select {
				case <-ctx.Done():
					return
				case <-pace.C:
				}
			}
		})
	}
	go func() {
		wg.Wait()
		close(ended)
	}()
	// Also where the reader fails: nobody may write once the storage is closed.
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	ready.Wait()
	if b.Failed() {
		b.FailNow()
	}
	began, before := time.Now(), saves.Load()
	return func() (int64, time.Duration) {
		count, spent := saves.Load()-before, time.Since(began)
		cancel()
		<-ended
		return count, spent
	}
}

// share lets exactly so many clients share b.N operations, numbered from 1, and
// measures them. [testing.B.RunParallel] would only take multiples of GOMAXPROCS.
// The first error ends it.
func share(b *testing.B, clients int, newClient func() func(n int) error) {
	var (
		wg    sync.WaitGroup
		taken atomic.Int64
		last  = int64(b.N)
		errs  = make(chan error, clients)
		each  = make([]func(int) error, clients)
	)
	for i := range each {
		each[i] = newClient()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, do := range each {
		wg.Go(func() {
			for n := taken.Add(1); n <= last; n = taken.Add(1) {
				if err := do(int(n)); err != nil {
					errs <- err
					taken.Store(last)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	select {
	case err := <-errs:
		b.Fatal(err)
	default:
	}
}

// reportEvents reports events per second, where each operation was of so many events.
func reportEvents(b *testing.B, events int) {
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// checkSaved returns what is wrong with a save of so many events to a new aggregate.
func checkSaved(err error, stored []eventsource.Record, events int) error {
	if err != nil {
		return err
	}
	if len(stored) != events {
		return fmt.Errorf("%d events were stored, want %d", len(stored), events)
	}
	if last := stored[len(stored)-1].Version; last != events {
		return fmt.Errorf("the last of %d events to a new aggregate has version %d", events, last)
	}
	return nil
}

// benchRecords returns records as a program might save, without an aggregate. A
// save neither changes nor keeps them, so they can be saved again and again.
func benchRecords(count int) []eventsource.Record {
	records := make([]eventsource.Record, count)
	for i := range records {
		records[i] = eventsource.Record{
			Type:     "FileAdded",
			UserID:   "user",
			Data:     []byte(`{"path":"examples/githistory/main.go","mode":"100644","blob":"00268614f04567605359c96e714e834db9cebab6"}`),
			Metadata: eventsource.Metadata{eventsource.MetadataCorrelationID: "01JZ6YB3Q4T8W0M2N5R7V9X1ZC"},
		}
	}
	return records
}

// toAggregate makes the records those of the aggregate with this number.
func toAggregate(records []eventsource.Record, number int) {
	id := strconv.Itoa(number)
	for i := range records {
		records[i].AggregateID = id
	}
}
