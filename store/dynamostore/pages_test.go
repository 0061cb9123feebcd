package dynamostore_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

func TestAnAggregateOf20MBLoadsWhole(t *testing.T) {
	table := newTable(t, dynamostore.TableOptions{})
	store := dynamostore.New(testenv.DynamoDBClient(t), table)
	ctx := t.Context()
	const batches, each, size = 21, 10, 100_000
	for batch := range batches {
		records := make([]eventsource.Record, each)
		for i := range records {
			records[i] = eventsource.Record{AggregateID: "large", Type: "T", Data: slices.Repeat([]byte{byte(batch), byte(i)}, size/2)}
		}
		if _, err := store.Append(ctx, records...); err != nil {
			t.Fatal(err)
		}
	}
	// Another process, that knows nothing.
	other := dynamostore.New(testenv.DynamoDBClient(t), table)
	records, err := other.LoadByAggregate(ctx, "large")
	if err != nil || len(records) != batches*each {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i, r := range records {
		if r.Version != i+1 || len(r.Data) != size || r.Data[0] != byte(i/each) || r.Data[1] != byte(i%each) {
			t.Fatalf("record %d has version %d and %d bytes", i, r.Version, len(r.Data))
		}
	}
	for _, part := range [][2]int{{0, 105}, {50, 150}, {105, 0}, {209, 0}, {200, 1000}} {
		after, last := part[0], part[1]
		got, err := dynamostore.New(testenv.DynamoDBClient(t), table).LoadByAggregateVersions(ctx, "large", after, last)
		want := records[after:]
		if last > 0 {
			want = records[after:min(last, len(records))]
		}
		if err != nil || !slices.Equal(sequenceIDs(got), sequenceIDs(want)) {
			t.Errorf("after version %d, up to %d: %d records, want %d: %v", after, last, len(got), len(want), err)
		}
	}
	for name, query := range map[string]eventsource.Query{
		"the feed":                      {},
		"the feed, descending":          {Descending: true},
		"the type":                      {Types: []string{"T"}},
		"the aggregate, descending":     {AggregateID: "large", Descending: true},
		"the aggregate, from its midst": {AggregateID: "large", After: records[99].SequenceID},
	} {
		want := slices.Clone(records)
		if query.After != "" {
			want = want[100:]
		}
		if query.Descending {
			slices.Reverse(want)
		}
		i := 0
		for r, err := range other.Query(ctx, query) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i >= len(want) || r.SequenceID != want[i].SequenceID {
				t.Fatalf("%s: record %d is %s", name, i, r.SequenceID)
			}
			i++
		}
		if i != len(want) {
			t.Errorf("%s: %d records, want %d", name, i, len(want))
		}
	}
}

func TestAFeedOf100000EventsIsReadInBoundedMemory(t *testing.T) {
	const writers, batches, each = 8, 128, 98
	const count = writers * batches * each // 100,352
	store := dynamostore.New(testenv.DynamoDBClient(t), newTable(t, dynamostore.TableOptions{Shards: 2}))
	ctx := t.Context()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for batch := range batches {
				records := make([]eventsource.Record, each)
				for i := range records {
					records[i] = eventsource.Record{AggregateID: fmt.Sprint(w, " ", batch), Type: fmt.Sprint("Type", i%2), Data: make([]byte, 500)}
				}
				if _, err := store.Append(ctx, records...); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	for name, query := range map[string]eventsource.Query{
		"ascending": {}, "descending": {Descending: true, Limit: 30_000}, "of a type": {Types: []string{"Type1"}, Limit: 30_000},
	} {
		want := count
		if query.Limit > 0 {
			want = query.Limit
		}
		given, last := 0, ""
		before := heap()
		peak := before
		for r, err := range store.Query(ctx, query) {
			if err != nil {
				t.Fatal(err)
			}
			if last != "" && (r.SequenceID < last) != query.Descending {
				t.Fatalf("%s: %s comes after %s", name, r.SequenceID, last)
			}
			last = r.SequenceID
			if given++; given%5000 == 0 {
				peak = max(peak, heap())
			}
		}
		if given != want {
			t.Errorf("%s: %d events, want %d", name, given, want)
		}
		grown := int64(peak) - int64(before)
		t.Logf("%s: %d events, the heap grew by %.1f MB of the %.1f MB of data that they have", name, given, float64(grown)/1e6, float64(500*given)/1e6)
		if grown > 25e6 {
			t.Errorf("%s: the heap grew by %d bytes", name, grown)
		}
	}
	records, err := store.LoadBySequenceID(ctx, "", 0)
	if err != nil || len(records) != count {
		t.Errorf("%d records, %v", len(records), err)
	}
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// Sequence IDs of different shards never are the same, whatever the entropy: each
// ends with the number of its shard.
func TestSequenceIDsEndWithTheirShard(t *testing.T) {
	store := dynamostore.New(testenv.DynamoDBClient(t), newTable(t, dynamostore.TableOptions{Shards: 5}))
	records := make([]eventsource.Record, 95)
	for i := range records {
		records[i] = eventsource.Record{AggregateID: fmt.Sprint(i), Type: "T"}
	}
	stored, err := store.Append(context.Background(), records...)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]int{}
	for i, r := range stored {
		if i > 0 && r.SequenceID <= stored[i-1].SequenceID {
			t.Errorf("%s comes after %s", r.SequenceID, stored[i-1].SequenceID)
		}
		seen[r.SequenceID[25]]++
	}
	if len(seen) != 5 {
		t.Errorf("the last characters are %v", seen)
	}
}
