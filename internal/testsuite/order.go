package testsuite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
)

// skews are how far the clocks of the writers are off.
var skews = []time.Duration{0, -800 * time.Millisecond, 500 * time.Millisecond, -50 * time.Millisecond}

func testOrder(t *testing.T, h Harness) {
	bySequenceID := func(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
		return store.LoadBySequenceID(ctx, after, limit)
	}
	readers := map[string]Reader{
		"by sequence ID": bySequenceID,
		"of one type": func(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error) {
			return store.LoadBySequenceIDAndType(ctx, after, orderType, limit)
		},
	}
	if !h.lacks(Query) {
		readers["by query"] = func(ctx context.Context, store eventsource.Store, after string, limit int) (records []eventsource.Record, err error) {
			query := eventsource.Query{After: after, Limit: 10 * limit, Types: []string{orderType, "None"}}
			for r, err := range store.(eventsource.Querier).Query(ctx, query) {
				if err != nil {
					return nil, err
				}
				records = append(records, r)
			}
			return records, nil
		}
	}
	if !h.lacks(Follow) {
		readers["that go on from where a query has looked"] = followReader()
	}
	for name, reader := range readers {
		h.run(t, "readers "+name+" miss nothing, see nothing twice and see it in order", func(t *testing.T, open Storage) {
			report := LoadOrder(t, open, reader)
			if !report.OK() {
				t.Errorf("the order promise is broken: %+v", report)
			}
			t.Logf("%d events stored, %d rolled back", report.Stored, report.RolledBack)
			for id, count := range report.Aggregates {
				checkVersions(t, open(anyTime), id, count)
			}
		})
	}

	h.run(t, "sequence IDs ascend whatever the clock does", func(t *testing.T, open Storage) {
		// A constant start within any store's bound, since the clock must not be ahead.
		start := time.Now()
		steps := []time.Duration{0, -time.Hour, -time.Millisecond, -24 * 365 * time.Hour, 0, time.Millisecond, -time.Second}
		var call atomic.Int64
		store := open(func() time.Time { return start.Add(steps[int(call.Add(1))%len(steps)]) })
		last := ""
		for range 50 {
			for _, r := range save(t, store, record("a"), record("b")) {
				if r.SequenceID <= last {
					t.Fatalf("%s came after %s", r.SequenceID, last)
				}
				last = r.SequenceID
			}
		}
	})

	h.run(t, "a clock before 1970 is no harm", func(t *testing.T, open Storage) {
		store := open(func() time.Time { return time.Unix(-1_000_000, 5) })
		stored := append(save(t, store, record("a")), save(t, store, record("a"))...)
		if want := time.Unix(-1_000_000, 5).UnixNano(); stored[1].Timestamp != want {
			t.Errorf("timestamp is %d, want %d", stored[1].Timestamp, want)
		}
		everyRead(t, store, stored)
	})
}

// followReader goes on from how far the store said that it has looked. What it has said
// after one event holds for every reader that was given that event last.
func followReader() Reader {
	var mu sync.Mutex
	looked := make(map[string]string) // by the last event
	return func(ctx context.Context, store eventsource.Store, after string, limit int) (records []eventsource.Record, err error) {
		mu.Lock()
		query := eventsource.Query{After: max(after, looked[after]), Limit: limit, Types: []string{orderType, "None"}}
		mu.Unlock()
		reached := func(sequenceID string) {
			if len(records) > 0 {
				after = records[len(records)-1].SequenceID
			}
			mu.Lock()
			defer mu.Unlock()
			looked[after] = max(looked[after], sequenceID)
		}
		for r, err := range store.(eventsource.Follower).Follow(ctx, query, reached) {
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
		return records, nil
	}
}

// orderType is the type of all events of the order test.
const orderType = "Happened"

// Reader is how a catch-up reader gets its next page.
type Reader func(ctx context.Context, store eventsource.Store, after string, limit int) ([]eventsource.Record, error)

// OrderReport is what came of [LoadOrder].
type OrderReport struct {
	// Stored is how many events were committed, RolledBack how many were not.
	Stored, RolledBack int
	// Missed, Doubled, Disordered and Unexpected count what the readers did wrong:
	// events that they were never given, given twice, given after a higher one, and
	// given although they were not committed.
	Missed, Doubled, Disordered, Unexpected int
	// Aggregates are the numbers of events committed to each.
	Aggregates map[string]int `json:"-"`
}

// OK reports whether the order promise was kept.
func (r OrderReport) OK() bool {
	return r.Stored > 0 && r.Missed+r.Doubled+r.Disordered+r.Unexpected == 0
}

// LoadOrder lets writers on skewed clocks save in every way, hold transactions
// open while others save, and roll one in ten back, while readers that keep only
// the last sequence ID they were given run at full speed.
func LoadOrder(t *testing.T, open Storage, read Reader) OrderReport {
	t.Helper()
	const (
		writers, each = 8, 60
		readers       = 3
	)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	var (
		commits   atomic.Int64 // events, for waiting until others have saved
		mu        sync.Mutex
		committed = map[string]string{} // aggregate by sequence ID
		report    = OrderReport{Aggregates: map[string]int{}}
	)
	note := func(records []eventsource.Record) {
		mu.Lock()
		defer mu.Unlock()
		for _, r := range records {
			committed[r.SequenceID] = r.AggregateID
			report.Aggregates[r.AggregateID]++
		}
		commits.Add(int64(len(records)))
	}
	// othersSave waits until others have saved some events, or cannot since they
	// wait for this one.
	othersSave := func(count int64) {
		for until, deadline := commits.Load()+count, time.Now().Add(30*time.Millisecond); commits.Load() < until && time.Now().Before(deadline); {
			time.Sleep(100 * time.Microsecond)
		}
	}

	write := func(w int, store eventsource.Store) error {
		random := rand.New(rand.NewPCG(uint64(w), 1)) //nolint:gosec // test data
		for i := range each {
			records := make([]eventsource.Record, 1+random.IntN(4))
			for j := range records {
				id := fmt.Sprint("own ", w, " ", random.IntN(3))
				if j == 0 && random.IntN(3) == 0 {
					id = fmt.Sprint("shared ", random.IntN(3))
				}
				records[j] = eventsource.Record{AggregateID: id, Type: orderType, Data: []byte(fmt.Sprint(w, " ", i))}
			}
			if random.IntN(2) == 0 {
				stored, err := trySave(ctx, store, records...)
				if err != nil {
					return err
				}
				note(stored)
				continue
			}
			tx, err := store.NewTransaction(ctx, records...)
			if err != nil {
				return err
			}
			othersSave(random.Int64N(20))
			if random.IntN(10) == 0 {
				if err := tx.Rollback(); err != nil {
					return err
				}
				mu.Lock()
				report.RolledBack += len(records)
				mu.Unlock()
				continue
			}
			switch err := tx.Commit(); {
			case err == nil:
				note(tx.Records())
			case !errors.Is(err, eventsource.ErrConflict): // a store may find it only now
				return err
			}
		}
		return nil
	}

	var writing, reading sync.WaitGroup
	var finished atomic.Bool
	seen := make([][]string, readers)
	for r := range readers {
		store := open(time.Now)
		reading.Go(func() {
			random := rand.New(rand.NewPCG(uint64(r), 2)) //nolint:gosec // test data
			after := ""
			for {
				last := finished.Load()
				page, err := read(ctx, store, after, 1+random.IntN(50))
				if err != nil {
					t.Errorf("reader: %v", err)
					return
				}
				if len(page) == 0 && last {
					return
				}
				for _, record := range page {
					seen[r] = append(seen[r], record.SequenceID)
					after = record.SequenceID
				}
			}
		})
	}
	for w := range writers {
		store := open(func() time.Time { return time.Now().Add(skews[w%len(skews)]) })
		writing.Go(func() {
			if err := write(w, store); err != nil {
				t.Errorf("writer %d: %v", w, err)
			}
		})
	}
	writing.Wait()
	finished.Store(true)
	reading.Wait()

	report.Stored = len(committed)
	for _, ids := range seen {
		report.judge(ids, committed)
	}
	return report
}

// judge counts what one reader did wrong.
func (r *OrderReport) judge(seen []string, committed map[string]string) {
	times := map[string]int{}
	for i, id := range seen {
		if times[id]++; times[id] == 2 {
			r.Doubled++
		}
		if i > 0 && id < seen[i-1] {
			r.Disordered++
		}
		if _, ok := committed[id]; !ok {
			r.Unexpected++
		}
	}
	for id := range committed {
		if times[id] == 0 {
			r.Missed++
		}
	}
}
