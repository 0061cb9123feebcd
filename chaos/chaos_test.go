package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

// The environment variables that "make chaos" sets.
const (
	durationVariable = "EVENTSOURCE_CHAOS_DURATION"
	seedVariable     = "EVENTSOURCE_CHAOS_SEED"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(workerVariable); config != "" {
		os.Exit(Work(config))
	}
	os.Exit(testenv.Main(m))
}

// duration is for how long a mix of faults goes on.
func duration(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv(durationVariable)
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		t.Fatalf("%s is %q, not a duration such as 10m", durationVariable, text)
	}
	return d
}

// seed is that of the random numbers of a test, another one each time unless it is given.
func seed(t *testing.T) uint64 {
	t.Helper()
	chosen := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if chosen, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s is %q, not a number", seedVariable, text)
		}
	}
	t.Logf("SEED=%d has the same faults happen again, in the same order", chosen)
	return chosen
}

func TestNoEventIsLostDoubledOrMovedInPostgreSQLWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	p := newPostgres(t, recorder, testenv.WithDisk(1000))
	p.withBouncer(t)
	configs := configs(folder, seed, 4)
	p.place(configs)
	r := runOf(t, folder, configs)

	server := append(p.serverFaults(), p.fullDisk())
	r.torment(t, seed, duration(t),
		kind{"the server", server, time.Second, saved(p.store, 10)},
		kind{"open transactions", p.openTransactions(), 3 * time.Second, nil},
		kind{"the network", p.networkFaults(), time.Second, nil},
		kind{"workers", r.crew.faults(), time.Second, nil})
	r.goOn(t, p.store)
	r.settle(t, p.settle)
	r.check(t, p.repo, recorder, history.Options{RealTime: true})
}

func TestNoEventIsLostDoubledOrMovedInDynamoDBWhateverHappens(t *testing.T) {
	t.Parallel()
	for _, shards := range []int{1, 3} {
		t.Run(fmt.Sprintf("with shards=%d", shards), func(t *testing.T) {
			t.Parallel()
			seed := seed(t)
			folder := t.TempDir()
			recorder := record(t, folder, "test")
			d := newDynamo(t, shards)
			configs := configs(folder, seed, 4)
			d.place(configs)
			r := runOf(t, folder, configs)
			r.torment(t, seed, duration(t),
				kind{"the server", d.serverFaults(), 5 * time.Second, saved(d.store, 10)},
				kind{"the network", d.networkFaults(), 2 * time.Second, nil},
				kind{"workers", r.crew.faults(), 2 * time.Second, nil})
			r.goOn(t, d.store)
			r.settle(t, d.settle)
			r.check(t, d.repo, recorder, history.Options{RealTime: shards == 1})
		})
	}
}

// record returns a recorder for what the test itself does.
func record(t *testing.T, folder, process string) *history.Recorder {
	t.Helper()
	recorder, err := history.Create(filepath.Join(folder, process+".history"), process)
	if err != nil {
		t.Fatal(err)
	}
	return recorder
}

// run is a test with worker processes.
type run struct {
	folder  string
	readers []string // of all workers
	crew    *crew
	began   time.Time

	mu sync.Mutex // of t's log
}

// runOf starts the workers.
func runOf(t *testing.T, folder string, configs []Config) *run {
	t.Helper()
	crew, err := hire(configs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(crew.dismiss)
	r := &run{folder: folder, crew: crew, began: time.Now()}
	for _, c := range configs {
		for i := range c.Readers {
			r.readers = append(r.readers, readerName(c.Name, i))
		}
	}
	return r
}

// kind is faults that happen one after the other, with that much time in between on
// average, and when they are ready.
type kind struct {
	of      string // what they happen to
	faults  []fault
	between time.Duration
	ready   func(context.Context) error
}

// saved returns what waits until workers have saved so many events since the last
// time: a server that is hardly ever there shows nothing.
func saved(store eventsource.Store, events int) func(context.Context) error {
	cursor := ""
	return func(ctx context.Context) error {
		for ctx.Err() == nil {
			records, err := store.LoadBySequenceID(ctx, cursor, events)
			if err == nil && len(records) == events {
				all, err := store.LoadBySequenceID(ctx, cursor, 0)
				if err == nil && len(all) > 0 {
					cursor = all[len(all)-1].SequenceID
					return nil
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
		return ctx.Err()
	}
}

// torment has faults of several kinds happen side by side.
func (r *run) torment(t *testing.T, seed uint64, duration time.Duration, kinds ...kind) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), duration)
	defer cancel()
	var all []*nemesis
	for i, k := range kinds {
		all = append(all, &nemesis{
			faults: k.faults, random: rand.New(rand.NewPCG(seed, uint64(100+i))),
			between: k.between, lasting: time.Second, ready: k.ready, happened: make(map[string]int),
			report: func(format string, args ...any) { r.report(t, format, args...) },
		})
	}
	if err := nemeses(ctx, all...); err != nil {
		t.Fatal(err)
	}
	// On a busy machine the time may have been too short for what waits for saves.
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for i, n := range all {
		if err := n.runOnce(ctx); err != nil {
			t.Fatal(err)
		}
		t.Logf("what happened to %s: %v", kinds[i].of, n.happened)
		if len(n.happened) == 0 {
			t.Errorf("nothing happened to %s", kinds[i].of)
		}
	}
}

func (r *run) report(t *testing.T, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("%7.2fs %s", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// goOn waits until the workers have saved some events with no more faults.
func (r *run) goOn(t *testing.T, store eventsource.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	more := saved(store, 1)
	err := more(ctx) // those that there are
	for range 20 {
		if err == nil {
			err = more(ctx)
		}
	}
	if err != nil {
		t.Fatalf("no more events are saved: %v", err)
	}
}

// settle ends the saving, waits for calm, and has the readers read what there is.
func (r *run) settle(t *testing.T, calm func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.crew.quiet(ctx); err != nil {
		t.Fatal(err)
	}
	if err := calm(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.crew.finish(ctx); err != nil {
		t.Fatal(err)
	}
}

// check reads all there is and checks what all processes saw.
func (r *run) check(t *testing.T, repo eventsource.Repository, recorder *history.Recorder, options history.Options) {
	t.Helper()
	h := r.read(t, repo, recorder)
	options.ReadersFinished = r.readers
	if err := h.Check(options); err != nil {
		keep(t, r.folder)
		t.Error(err)
	}
}

// read reads all there is in the store, and then the histories of all processes.
func (r *run) read(t *testing.T, repo eventsource.Repository, recorder *history.Recorder) *history.History {
	t.Helper()
	if err := readFinally(t.Context(), repo, recorder); err != nil {
		t.Fatal(err)
	}
	if err := recorder.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := histories(r.folder)
	if err != nil {
		t.Fatal(err)
	}
	h, err := history.Read(files...)
	if err != nil {
		t.Fatal(err)
	}
	stats := h.Stats()
	t.Logf("%+v", stats)
	saves := stats.Stored + stats.Conflicts + stats.Failed + stats.RolledBack + stats.Unknown
	if stats.Stored < 20 || stats.Loads == 0 || stats.EventsRead == 0 || stats.Unknown > saves/4 {
		t.Error("too little happened, or too much is unknown, for the check to mean anything")
	}
	return h
}

// keep moves the histories to where they survive the test.
func keep(t *testing.T, folder string) {
	t.Helper()
	kept, err := os.MkdirTemp("", "eventsource-chaos-")
	if err == nil {
		err = os.CopyFS(kept, os.DirFS(folder))
	}
	if err != nil {
		t.Errorf("keep the histories: %v", err)
		return
	}
	t.Logf("the histories are in %s", kept)
}
