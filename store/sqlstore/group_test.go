package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// poolOf returns what makes a pool of so many connections.
func poolOf(conns int32) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.MaxConns = conns }
}

// holdMarked holds whatever carries the marked event on its way to the server, and
// gives the number of each connection that is held. The first call of release
// lets all of them pass, also later ones.
func holdMarked(t *testing.T, p *proxy) (held <-chan int, release func()) {
	t.Helper()
	arrived, released := make(chan int, 100), make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	t.Cleanup(release) // before the proxy and the pool end
	p.set(func(p *proxy) {
		p.toServer = func(conn int, chunk []byte) bool {
			if bytes.Contains(chunk, []byte(marker)) {
				arrived <- conn
				<-released
			}
			return true
		}
	})
	return arrived, release
}

// held is a store behind a proxy, whose first batch is held on its way: it is
// marked, and of aggregate "hot".
type held struct {
	t             *testing.T
	url           string
	store, direct *sqlstore.Store
	arrived       <-chan int
	release       func()
	saving        sync.WaitGroup
}

func holdFirstBatch(t *testing.T, conns int32) *held {
	t.Helper()
	url := migrated(t)
	p := newProxy(t, url)
	h := &held{t: t, url: url, store: sqlstore.New(testenv.Pool(t, p.url, poolOf(conns))), direct: sqlstoreAt(t, url)}
	if _, err := h.store.Append(t.Context(), plain("warm up")); err != nil {
		t.Fatal(err)
	}
	h.waitFor("nothing on its way", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	h.arrived, h.release = holdMarked(t, p)
	h.save(t.Context(), nil, marked("hot"))
	within(t, "the first batch", h.arrived)
	return h
}

// save starts a save and calls done with its outcome. Without done it has to be stored.
func (h *held) save(ctx context.Context, done func([]eventsource.Record, error), records ...eventsource.Record) {
	h.saving.Go(func() {
		stored, err := h.store.Append(ctx, records...)
		switch {
		case done != nil:
			done(stored, err)
		case err != nil:
			h.t.Errorf("save of %s: %v", records[0].AggregateID, err)
		}
	})
}

// queue starts a save and waits until it is queued.
func (h *held) queue(records ...eventsource.Record) {
	h.t.Helper()
	before := h.store.GroupState().Queued
	h.save(h.t.Context(), nil, records...)
	h.waitFor("a save in the queue", func(s sqlstore.GroupState) bool { return s.Queued == before+len(records) })
}

// goBy stores enough for a batch while the first is held, and waits until only the
// first is on its way.
func (h *held) goBy(id string) {
	h.t.Helper()
	stored := make(chan error)
	go func() {
		_, err := h.store.Append(h.t.Context(), slices.Repeat([]eventsource.Record{plain(id)}, 8)...)
		stored <- err
	}()
	if err := within(h.t, "a save that goes by", stored); err != nil {
		h.t.Errorf("a save that goes by: %v", err)
	}
	h.waitFor("the first batch to be the only one", func(s sqlstore.GroupState) bool { return s.Running == 1 })
	wantVersions(h.t, h.direct, id, 8)
}

func (h *held) waitFor(what string, is func(sqlstore.GroupState) bool) {
	h.t.Helper()
	waitForState(h.t, h.store, what, is)
}

func waitForState(t *testing.T, store *sqlstore.Store, what string, is func(sqlstore.GroupState) bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		state := store.GroupState()
		if is(state) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s, but it is %+v", what, state)
		}
	}
}

// within receives from a channel, or ends the test.
func within[T any](t *testing.T, what string, from <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-from:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited for %s in vain", what)
	}
	return value
}

func finish(t *testing.T, what string, wg *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	within(t, what, done)
}

func TestSavesOfOtherAggregatesAreStoredWhileABatchIsOnItsWay(t *testing.T) {
	h := holdFirstBatch(t, 4)
	for i := range 20 {
		h.goBy(fmt.Sprint("other ", i))
	}
	wantVersions(t, h.direct, "hot", 0)
	h.release()
	finish(t, "the saves", &h.saving)
	wantVersions(t, h.direct, "hot", 1)
}

func TestNoMoreThanTwoBatchesAreOnTheirWay(t *testing.T) {
	h := holdFirstBatch(t, 8)
	for i := range 7 {
		h.queue(plain(fmt.Sprint("second ", i)))
	}
	if state := h.store.GroupState(); state.Running != 1 {
		t.Errorf("a second batch started although little waits: %+v", state)
	}
	h.save(t.Context(), nil, marked("second 7"))
	within(t, "a second transaction beside the first", h.arrived)
	h.waitFor("a second batch", func(s sqlstore.GroupState) bool { return s.Batches == 2 && s.Queued == 0 })
	for i := range 30 {
		h.queue(plain(fmt.Sprint("third ", i)))
	}
	if state, want := h.store.GroupState(), (sqlstore.GroupState{Queued: 30, Running: 2, Batches: 2}); state != want {
		t.Errorf("%+v, want %+v", state, want)
	}
	h.release()
	finish(t, "the saves", &h.saving)
	h.waitFor("the end", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	for i := range 8 {
		wantVersions(t, h.direct, fmt.Sprint("second ", i), 1)
	}
	for i := range 30 {
		wantVersions(t, h.direct, fmt.Sprint("third ", i), 1)
	}
}

func TestASmallPoolKeepsToOneBatch(t *testing.T) {
	h := holdFirstBatch(t, 3)
	for i := range 50 {
		h.queue(plain(fmt.Sprint("other ", i)))
	}
	if state, want := h.store.GroupState(), (sqlstore.GroupState{Queued: 50, Running: 1, Batches: 1}); state != want {
		t.Errorf("%+v, want %+v", state, want)
	}
	wantVersions(t, h.direct, "other 0", 0)
	h.release()
	finish(t, "the saves", &h.saving)
	for i := range 50 {
		wantVersions(t, h.direct, fmt.Sprint("other ", i), 1)
	}
}

func TestSavesOfAnAggregateOnItsWayWaitInOrderAndOthersPass(t *testing.T) {
	h := holdFirstBatch(t, 8)
	named := func(id, name string) eventsource.Record {
		return eventsource.Record{AggregateID: id, Type: "Plain", Data: []byte(name)}
	}
	// What waits for "hot", also through another save that does, in this order.
	h.queue(named("hot", "2"))
	h.queue(named("hot", "3"))
	h.queue(named("beside", "1"), named("hot", "4"))
	h.queue(named("beside", "2"))
	h.queue(named("beside", "3"), named("last", "1"))
	h.queue(named("last", "2"))
	// 8 waited when the last came, so a runner looked and found nothing to do.
	h.waitFor("the runner that found nothing to be gone", func(s sqlstore.GroupState) bool {
		return s == sqlstore.GroupState{Queued: 8, Passed: 8, Running: 1, Batches: 1}
	})

	// The rest goes by.
	h.goBy("free")
	if state := h.store.GroupState(); state.Queued != 8 {
		t.Errorf("%+v, want 8 queued", state)
	}
	for _, id := range []string{"hot", "beside", "last"} {
		wantVersions(t, h.direct, id, 0)
	}
	h.release()
	finish(t, "the saves", &h.saving)
	for id, count := range map[string]int{"hot": 4, "beside": 3, "last": 2} {
		wantVersions(t, h.direct, id, count)
		records, err := h.direct.LoadByAggregate(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			if want := fmt.Sprint(i + 1); string(r.Data) != want && string(r.Data) != marker {
				t.Errorf("version %d of %q is that of save %s", r.Version, id, r.Data)
			}
		}
	}
}

func TestASaveThatGivesUpInTheQueueReturnsAtOnceAndStoresNothing(t *testing.T) {
	h := holdFirstBatch(t, 8)
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	const each = 4
	results := make(chan error, 10*each)
	give := func(_ []eventsource.Record, err error) { results <- err }

	// Some are passed over, since others went by.
	for range each {
		h.save(cancelled, give, plain("hot"))
		h.save(cancelled, give, plain("hot"), plain("beside hot"))
	}
	h.waitFor("all in the queue", func(s sqlstore.GroupState) bool { return s.Queued == 3*each })
	h.goBy("free")
	// The others are only queued.
	for i := range each {
		h.save(cancelled, give, plain(fmt.Sprint("queued ", i)))
	}
	h.waitFor("all in the queue", func(s sqlstore.GroupState) bool { return s.Queued == 4*each && s.Running == 1 })
	stays := plain("stays")
	h.queue(stays)

	cancel()
	for range 3 * each { // while the first batch is held
		if err := within(t, "a save that gave up", results); !errors.Is(err, context.Canceled) || errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Errorf("error is %v", err)
		}
	}
	ending, cancelEnding := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelEnding()
	h.save(ending, give, plain("hot"))
	if err := within(t, "a save whose time is over", results); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}

	h.release()
	finish(t, "the saves", &h.saving)
	h.waitFor("the end", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	wantVersions(t, h.direct, "hot", 1)
	wantVersions(t, h.direct, "beside hot", 0)
	wantVersions(t, h.direct, "stays", 1)
	for i := range each {
		wantVersions(t, h.direct, fmt.Sprint("queued ", i), 0)
	}
}

func TestSavesThatHaveToWaitDoNotHoldUpASecondBatch(t *testing.T) {
	h := holdFirstBatch(t, 4)
	// The second batch waits for a version that another process is about to write.
	tx, err := h.direct.NewTransaction(t.Context(), plain("blocked"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	results := make(chan error, 8)
	for range 8 {
		h.save(cancelled, func(_ []eventsource.Record, err error) { results <- err }, plain("blocked"))
	}
	h.waitFor("the saves to go on alone", func(s sqlstore.GroupState) bool { return s.Alone == 1 && s.Batches == 1 })
	cancel()
	for range 8 {
		if err := within(t, "a save that gave up", results); !errors.Is(err, context.Canceled) {
			t.Errorf("error is %v", err)
		}
	}
	h.goBy("free")
	h.release()
	finish(t, "the saves", &h.saving)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	h.waitFor("the end", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	wantVersions(t, h.direct, "blocked", 1)
}

func TestHotAggregatesGetVersionsWithoutGapsAndEachSaversOrder(t *testing.T) {
	store := sqlstore.New(testenv.Pool(t, migrated(t), poolOf(6)))
	const savers, each, hot = 24, 40, 3
	var (
		wg      sync.WaitGroup
		counts  [hot]atomic.Int64
		twoSeen atomic.Bool
	)
	for s := range savers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(s), 1))
			last := map[string]eventsource.Record{}
			for i := range each {
				id := fmt.Sprint("new ", s, " ", i)
				if s%3 != 0 {
					n := random.IntN(hot)
					counts[n].Add(2)
					id = fmt.Sprint("hot ", n)
				}
				stored, err := store.Append(t.Context(), plain(id), plain(id))
				if err != nil {
					t.Errorf("saver %d, save %d: %v", s, i, err)
					return
				}
				before := last[id]
				if stored[0].Version <= before.Version || stored[1].Version != stored[0].Version+1 ||
					stored[0].SequenceID <= before.SequenceID || stored[1].SequenceID <= stored[0].SequenceID {
					t.Errorf("saver %d: after version %d, %s came %d, %s and %d, %s", s, before.Version, before.SequenceID,
						stored[0].Version, stored[0].SequenceID, stored[1].Version, stored[1].SequenceID)
				}
				last[id] = stored[1]
				if store.GroupState().Batches == 2 {
					twoSeen.Store(true)
				}
			}
		})
	}
	finish(t, "the saves", &wg)
	for n := range hot {
		wantVersions(t, store, fmt.Sprint("hot ", n), int(counts[n].Load()))
	}
	t.Logf("two batches at the same time: %v", twoSeen.Load())
}

// Everything at once, for a while. What was acknowledged is stored, as it was
// acknowledged, and nothing else; and every save returns.
func TestExactlyTheAcknowledgedSavesAreStoredWhateverComesTogether(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	const (
		savers   = 32
		duration = 2 * time.Second
	)
	url := migrated(t)
	pool := testenv.Pool(t, url, poolOf(8))
	// Two stores, as two processes; most savers use the first.
	stores := []*sqlstore.Store{sqlstore.New(pool), sqlstore.New(testenv.Pool(t, url, poolOf(4)))}

	var (
		mu     sync.Mutex
		acked  = map[string]eventsource.Record{} // by data, which is unique
		counts = map[string]int{}
		saving sync.WaitGroup
		twice  atomic.Int64
	)
	note := func(what string, stored []eventsource.Record) {
		mu.Lock()
		defer mu.Unlock()
		counts[what]++
		for _, r := range stored {
			acked[string(r.Data)] = r
		}
	}
	end := time.Now().Add(duration)
	for s := range savers {
		saving.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(s)))
			store := stores[0]
			if s%8 == 7 {
				store = stores[1]
			}
			for i := 0; time.Now().Before(end); i++ {
				what, ids := "new", []string{fmt.Sprint("new ", s, " ", i)}
				switch random.IntN(4) {
				case 0:
					what, ids = "hot", []string{fmt.Sprint("hot ", random.IntN(4))}
				case 1:
					what, ids = "several", []string{fmt.Sprint("hot ", random.IntN(4)), fmt.Sprint("warm ", random.IntN(40)), fmt.Sprint("new ", s, " ", i)}
					random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
				}
				records := make([]eventsource.Record, 0, len(ids))
				for j, id := range ids {
					records = append(records, eventsource.Record{AggregateID: id, Type: "Plain", Data: []byte(fmt.Sprint(s, "/", i, "/", j))})
				}
				mayConflict := random.IntN(8) == 0
				if mayConflict {
					what += ", version"
					j := random.IntN(len(records))
					records[j].Version = 1 + random.IntN(3)
					if random.IntN(2) == 0 {
						loaded, err := store.LoadByAggregate(t.Context(), records[j].AggregateID)
						if err != nil {
							t.Error(err)
							return
						}
						records[j].Version = len(loaded) + 1
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				gaveUp := random.IntN(8) == 0
				if gaveUp {
					what += ", cancelled"
					timer := time.AfterFunc(time.Duration(random.Int64N(int64(4*time.Millisecond))), cancel)
					defer timer.Stop()
				}
				var (
					stored []eventsource.Record
					err    error
				)
				if random.IntN(50) == 0 { // left open for a moment, others have to wait
					what += ", transaction"
					var tx eventsource.StoreTransaction
					if tx, err = store.NewTransaction(ctx, records...); err == nil {
						time.Sleep(time.Duration(random.Int64N(int64(5 * time.Millisecond))))
						if err = tx.Commit(); err == nil {
							stored = tx.Records()
						}
					}
				} else {
					stored, err = store.Append(ctx, records...)
				}
				cancel()
				switch {
				case err == nil:
					note(what, stored)
				case errors.Is(err, eventsource.ErrOutcomeUnknown):
					t.Errorf("%s: %v", what, err)
				case errors.Is(err, eventsource.ErrConflict) && mayConflict:
					note(what+": conflict", nil)
				case errors.Is(err, context.Canceled) && gaveUp:
					note(what+": cancelled", nil)
				default:
					t.Errorf("%s: %v", what, err)
				}
				if stores[0].GroupState().Batches == 2 {
					twice.Add(1)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { saving.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(duration + 30*time.Second):
		t.Fatalf("some saves do not return: %+v, %+v", stores[0].GroupState(), stores[1].GroupState())
	}
	for _, store := range stores {
		waitForState(t, store, "nothing on its way", func(s sqlstore.GroupState) bool { return s == sqlstore.GroupState{} })
	}

	records, err := stores[0].LoadBySequenceID(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]int{}
	for _, r := range records {
		if versions[r.AggregateID]++; r.Version != versions[r.AggregateID] {
			t.Errorf("%q has version %d where %d comes next", r.AggregateID, r.Version, versions[r.AggregateID])
		}
		want, ok := acked[string(r.Data)]
		if !ok {
			t.Errorf("%s is stored as %q %d, but was not acknowledged", r.Data, r.AggregateID, r.Version)
		} else if r.SequenceID != want.SequenceID || r.AggregateID != want.AggregateID || r.Version != want.Version || r.Timestamp != want.Timestamp {
			t.Errorf("%s is stored as %q %d, %s, but was acknowledged as %q %d, %s", r.Data,
				r.AggregateID, r.Version, r.SequenceID, want.AggregateID, want.Version, want.SequenceID)
		}
		delete(acked, string(r.Data))
	}
	for data, r := range acked {
		t.Errorf("%s was acknowledged as %q %d, %s, but is not stored", data, r.AggregateID, r.Version, r.SequenceID)
	}
	t.Logf("%d events; two batches were seen %d times; %v", len(records), twice.Load(), counts)
}
