package dynamostore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/dynamostore"
)

// writerVariable makes a process of this test binary a writer: it holds what to do.
const writerVariable = "EVENTSOURCE_TEST_WRITER"

// writer is what a writing process does.
type writer struct {
	Number int
	Table  string
	// Offset is how far its clock is off.
	Offset time.Duration
	Saves  int
}

// written is what it prints for each save, as a line of JSON.
type written struct {
	SequenceIDs []string
}

// TestWriter is the program of a writing process. Otherwise it does nothing.
func TestWriter(t *testing.T) {
	text := os.Getenv(writerVariable)
	if text == "" {
		return
	}
	var w writer
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	store := dynamostore.New(testenv.DynamoDBClient(t), w.Table,
		dynamostore.WithClock(func() time.Time { return time.Now().Add(w.Offset) }))
	random := rand.New(rand.NewPCG(uint64(w.Number), 4))
	for range w.Saves {
		records := make([]eventsource.Record, 1+random.IntN(3))
		for i := range records {
			records[i] = happened(fmt.Sprint("own of ", w.Number))
			if random.IntN(2) == 0 {
				records[i].AggregateID = fmt.Sprint("shared ", random.IntN(5))
			}
		}
		stored, err := store.Append(t.Context(), records...)
		if err != nil {
			t.Fatal(err)
		}
		var line written
		for _, r := range stored {
			line.SequenceIDs = append(line.SequenceIDs, r.SequenceID)
		}
		if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
			t.Fatal(err)
		}
	}
}

// run runs the writer as a process, and returns the sequence IDs that were
// acknowledged to it.
func (w writer) run(t *testing.T) ([]string, error) {
	text, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWriter$", "-test.count=1")
	command.Env = append(os.Environ(), writerVariable+"="+string(text), testenv.EnvDynamoDB+"="+testenv.DynamoDB(t))
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("writer %d: %w\n%s", w.Number, err, output)
	}
	var ids []string
	for lines := bufio.NewScanner(bytes.NewReader(output)); lines.Scan(); {
		var line written
		if json.Unmarshal(lines.Bytes(), &line) == nil { // others are those of go test
			ids = append(ids, line.SequenceIDs...)
		}
	}
	return ids, nil
}

func Test16ProcessesSavingAtOnceWithClocksUpTo1sApartAndAReaderLoseNothing(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 4} {
		t.Run(fmt.Sprintf("with shards=%d", shards), func(t *testing.T) { testProcesses(t, shards) })
	}
}

func testProcesses(t *testing.T, shards int) {
	const writers = 16
	table := newTable(t, dynamostore.TableOptions{Shards: shards})
	n := newNetwork(t, faults{delay: 200 * time.Millisecond})
	store := n.open(t, table)
	proven := &follower{next: store.LoadBySequenceID}
	naive := &follower{next: naiveReader(testenv.DynamoDBClient(t, n.attach), table, shards)}
	ended := make(chan struct{})
	var reading, writing sync.WaitGroup
	for _, f := range []*follower{proven, naive} {
		reading.Go(func() { f.follow(t, ended) })
	}
	var mu sync.Mutex
	var acknowledged []string
	for i := range writers {
		w := writer{Number: i, Table: table, Saves: 25, Offset: time.Duration(i)*time.Second/(writers-1) - 500*time.Millisecond}
		writing.Go(func() {
			ids, err := w.run(t)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			acknowledged = append(acknowledged, ids...)
		})
	}
	writing.Wait()
	n.heal() // what readers miss from here on, they have skipped
	close(ended)
	reading.Wait()

	slices.Sort(acknowledged)
	if len(acknowledged) < writers*25 {
		t.Errorf("%d events were saved", len(acknowledged))
	}
	if !slices.Equal(proven.seen, acknowledged) {
		t.Errorf("the reader was given %d events, acknowledged were %d: %s", len(proven.seen), len(acknowledged), difference(acknowledged, proven.seen))
	}
	if slices.Equal(naive.seen, acknowledged) {
		t.Error("a reader that trusts the index has missed nothing either, so the test shows nothing")
	}
	t.Logf("%d events; a reader that trusts the index: %s", len(acknowledged), difference(acknowledged, naive.seen))
	for id, count := range perAggregate(t, direct(t, table)) {
		wantVersions(t, direct(t, table), id, count)
	}
}

// follower reads pages, and keeps only the last sequence ID.
type follower struct {
	next func(ctx context.Context, after string, limit int) ([]eventsource.Record, error)
	seen []string
}

// follow reads until there is nothing after the end.
func (f *follower) follow(t *testing.T, ended <-chan struct{}) {
	for after := ""; ; {
		last := false
		select {
		case <-ended:
			last = true
		default:
		}
		page, err := f.next(t.Context(), after, 1+rand.IntN(50))
		if err != nil {
			t.Error(err)
			return
		}
		if len(page) == 0 && last {
			return
		}
		for _, r := range page {
			after = r.SequenceID
			f.seen = append(f.seen, after)
		}
	}
}

// difference says what is wrong with what was seen.
func difference(want, seen []string) string {
	times := make(map[string]int)
	for _, id := range seen {
		times[id]++
	}
	missed, doubled := 0, 0
	for _, id := range want {
		switch n := times[id]; {
		case n == 0:
			missed++
		case n > 1:
			doubled++
		}
		delete(times, id)
	}
	return fmt.Sprintf("%d missed, %d seen more than once, %d that nobody has saved, in order: %v", missed, doubled, len(times), slices.IsSorted(seen))
}

// perAggregate counts the events of each aggregate.
func perAggregate(t *testing.T, store *dynamostore.Store) map[string]int {
	t.Helper()
	records, err := store.LoadBySequenceID(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	for _, r := range records {
		counts[r.AggregateID]++
	}
	return counts
}
