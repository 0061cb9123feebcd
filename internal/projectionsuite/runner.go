package projectionsuite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	jsonserializer "github.com/eventsource-go/eventsource/serializer/json"
)

// Backend is an empty event store with empty checkpoints. What they use is closed when
// the test ends.
type Backend struct {
	// Store opens a store on one and the same storage, each time as another process
	// would, with the given clock. It has all optional interfaces. Required.
	Store func(clock func() time.Time) eventsource.Store
	// Checkpoints opens checkpoints, each time as another process would. Required.
	Checkpoints func() projection.Checkpoints
	// Lease is that of the tests' projections, so long that the backend can keep it.
	// Required.
	Lease time.Duration
	// Pause is at least between two saves of a test that saves all the time.
	Pause time.Duration
	// Partitions is the most partitions that a test has. Each one reads all events.
	// Required.
	Partitions int
	// Ledger is a read model that is written in the transaction of the checkpoint, nil
	// if there is no such transaction.
	Ledger Ledger
}

// Ledger is a read model that lists what was handled.
type Ledger interface {
	// Handler returns a handler that is [projection.Transactional] and adds what entry
	// makes of each event of the types. If entry returns an error, it fails with that
	// afterwards.
	Handler(entry func(ctx context.Context, event eventsource.Event) (Entry, error), types ...eventsource.Event) projection.Handler
	// Entries gives what was committed, in the order in which it was added.
	Entries(t testing.TB) []Entry
}

// Entry is an event that was handled.
type Entry struct {
	// By says which handler did.
	By string
	// AggregateID, Version and SequenceID are the event's.
	AggregateID string
	Version     int
	SequenceID  string
	// Silent says that it was handled silently.
	Silent bool
}

// RunRunner runs the suite of [projection.Projection] and [projection.Manager] on a
// backend. Each call of open makes one, for one test.
func RunRunner(t *testing.T, open func(t *testing.T) Backend) {
	if open == nil {
		t.Fatal("projectionsuite: open is nil")
	}
	run := opener(open)
	for _, group := range []struct {
		name string
		run  func(*testing.T, opener)
	}{
		{"Leaks", testLeaks}, // before those that run side by side
		{"Following", testFollowing},
		{"Restarts", testRestarts},
		{"Instances", testInstances},
		{"Partitions", testPartitions},
		{"Failures", testFailures},
		{"ParkedEvents", testParkedEvents},
		{"VersionsOfOne", testVersions},
		{"Resets", testResets},
		{"Divergence", testDivergence},
		{"Refusals", testRefusals},
	} {
		t.Run(group.name, func(t *testing.T) {
			if group.name != "Leaks" {
				t.Parallel()
			}
			group.run(t, run)
		})
	}
}

// SideBySide is for TestMain: n tests run side by side, more than there are processors,
// for those of the runner wait most of the time. On the command line, -parallel sets it again.
func SideBySide(n int) {
	if err := flag.Set("test.parallel", strconv.Itoa(n)); err != nil {
		panic(err)
	}
}

type opener func(t *testing.T) Backend

// run runs a test beside others.
func (open opener) run(t *testing.T, name string, test func(w *world)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(newWorld(t, open(t)))
	})
}

// limit is how long to wait for what has to happen. The machine may be busy.
const limit = 60 * time.Second

// name is that of the projection of a test, unless it has several.
const name = "accounts"

// Events of the tests.
type (
	opened struct {
		eventsource.BaseEvent
		N int
	}
	changed struct {
		eventsource.BaseEvent
		N int
	}
	noted struct {
		eventsource.BaseEvent
	}
	// broken cannot be decoded.
	broken struct {
		eventsource.BaseEvent
		Panics bool
	}
)

var errBroken = errors.New("this event cannot be decoded")

func (b *broken) UnmarshalJSON(data []byte) error {
	if bytes.Contains(data, []byte("true")) {
		panic(errBroken)
	}
	return errBroken
}

func serializer() eventsource.Serializer {
	return jsonserializer.NewSerializer(&opened{}, &changed{}, &noted{}, &broken{})
}

// world is what a test works with.
type world struct {
	*testing.T
	Backend
	store       eventsource.Store
	checkpoints projection.Checkpoints
	repository  eventsource.Repository
	manager     *projection.Manager
	log         *lockedBuffer

	mu        sync.Mutex
	instances []*instance
	saved     map[string]int // events by aggregate
}

func newWorld(t *testing.T, b Backend) *world {
	w := &world{T: t, Backend: b, store: b.Store(time.Now), checkpoints: b.Checkpoints(), log: &lockedBuffer{}, saved: make(map[string]int)}
	w.repository = repositoryOn(w.store)
	w.manager = projection.NewManager(w.repository, w.checkpoints)
	t.Cleanup(func() {
		w.stopAll()
		if t.Failed() {
			t.Logf("what the projections said:\n%s", w.log)
		}
	})
	return w
}

func repositoryOn(store eventsource.Store) eventsource.Repository {
	return eventsource.NewRepository(store, serializer())
}

// lockedBuffer is what several goroutines may log to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is a projection that runs.
type instance struct {
	*projection.Projection
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once it is done
}

// options are the test's defaults, with those given on top.
func (w *world) options(opts ...projection.Option) []projection.Option {
	return append([]projection.Option{
		projection.WithCheckpoints(w.checkpoints), projection.WithLease(w.Lease), projection.WithRetry(3, time.Millisecond, 5*time.Millisecond),
		projection.WithLogger(slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
	}, opts...)
}

// start runs a projection until the test ends or the instance is stopped.
func (w *world) start(h projection.Handler, opts ...projection.Option) *instance {
	w.Helper()
	return w.startOn(w.repository, h, opts...)
}

func (w *world) startOn(repository eventsource.Repository, h projection.Handler, opts ...projection.Option) *instance {
	w.Helper()
	return w.runInstance(projection.New(name, repository, h, w.options(opts...)...))
}

func (w *world) runInstance(p *projection.Projection) *instance {
	w.Helper()
	if err := p.Err(); err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{Projection: p, cancel: cancel, done: make(chan struct{})}
	w.mu.Lock()
	w.instances = append(w.instances, i)
	w.mu.Unlock()
	go func() {
		defer close(i.done)
		i.err = p.Run(ctx)
	}()
	return i
}

// stop ends instances as a process that ends does, and wants no error.
func (w *world) stop(instances ...*instance) {
	w.Helper()
	for _, i := range instances {
		i.cancel()
	}
	for _, i := range instances {
		if err := w.end(i); err != nil {
			w.Errorf("Run: %v", err)
		}
	}
}

// end waits until Run returns, and gives its error.
func (w *world) end(i *instance) error {
	w.Helper()
	select {
	case <-i.done:
		return i.err
	case <-time.After(limit):
		w.Fatalf("Run does not return; it said:\n%s", w.log)
		return nil
	}
}

func (w *world) stopAll() {
	w.mu.Lock()
	instances := w.instances
	w.mu.Unlock()
	for _, i := range instances {
		i.cancel()
	}
	for _, i := range instances {
		select {
		case <-i.done:
		case <-time.After(limit):
			w.Error("Run does not return at the end of the test")
		}
	}
}

// ctx ends when the test has taken too long.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	w.Cleanup(cancel)
	return ctx
}

// until waits for a condition.
func (w *world) until(what string, condition func() bool) {
	w.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("it never came to this: %s", what)
		}
	}
}

// receive waits for a value, or for the channel to be closed.
func receive[V any](w *world, what string, c <-chan V) V {
	w.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		w.Fatalf("it never came to this: %s", what)
		panic("unreachable")
	}
}

// save saves events and returns the sequence ID of the last one.
func (w *world) save(events ...eventsource.Event) string {
	w.Helper()
	if err := w.trySave(events...); err != nil {
		w.Fatalf("Save: %v", err)
	}
	return events[len(events)-1].GetSequenceID()
}

func (w *world) trySave(events ...eventsource.Event) error {
	if err := w.repository.Save(context.Background(), events...); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, event := range events {
		if eventsource.EventType(event) == "opened" {
			w.saved[event.GetAggregateID()]++
		}
	}
	return nil
}

// open saves n events of the aggregates in turn, some at a time.
func (w *world) open(n int, aggregates ...string) (last string) {
	w.Helper()
	events := make([]eventsource.Event, 0, n)
	for i := range n {
		events = append(events, openedOf(aggregates[i%len(aggregates)]))
	}
	for part := range slices.Chunk(events, 50) {
		last = w.save(part...)
	}
	return last
}

func openedOf(aggregateID string) *opened {
	return &opened{BaseEvent: eventsource.BaseEvent{AggregateID: aggregateID}}
}

func changedOf(aggregateID string) *changed {
	return &changed{BaseEvent: eventsource.BaseEvent{AggregateID: aggregateID}}
}

func notedOf(aggregateID string) *noted {
	return &noted{BaseEvent: eventsource.BaseEvent{AggregateID: aggregateID}}
}

// many are the names of n aggregates.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("a%d", i)
	}
	return names
}

// waitFor waits until the active version has handled an event.
func (w *world) waitFor(sequenceID string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := w.manager.WaitFor(ctx, name, sequenceID); err != nil {
		for _, r := range load(w.T, w.checkpoints, name) {
			w.Logf("%+v", r)
		}
		w.Fatalf("WaitFor: %v", err)
	}
}

// rows gives the rows of a version's partitions.
func (w *world) rows(version int) []projection.Row {
	w.Helper()
	rows := load(w.T, w.checkpoints, name)
	return slices.DeleteFunc(rows, func(r projection.Row) bool { return r.Version != version || r.Partition < 0 })
}

// active is the active version, 0 if there is none.
func (w *world) active() int {
	w.Helper()
	for _, r := range load(w.T, w.checkpoints, name) {
		if r.Version == 0 {
			var head struct {
				Active int `json:"active"`
			}
			if err := json.Unmarshal(r.Data, &head); err != nil {
				w.Fatal(err)
			}
			return head.Active
		}
	}
	return 0
}

// untilLevel waits until a version has handled an event, active or not.
func (w *world) untilLevel(version int, sequenceID string) {
	w.Helper()
	w.until(fmt.Sprintf("version %d is at %s", version, sequenceID), func() bool {
		rows := w.rows(version)
		return len(rows) > 0 && !slices.ContainsFunc(rows, func(r projection.Row) bool { return r.Position < sequenceID })
	})
}

// untilActive waits until a version has taken over.
func (w *world) untilActive(version int) {
	w.Helper()
	w.until(fmt.Sprintf("version %d is active", version), func() bool { return w.active() == version })
}

// journal lists what handlers have handled. It is safe for concurrent use.
type journal struct {
	mu      sync.Mutex
	entries []Entry
}

func (j *journal) add(entries ...Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, entries...)
}

// all gives the entries of a handler, of all if it is "".
func (j *journal) all(by string) []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.entries), func(e Entry) bool { return by != "" && e.By != by })
}

// of gives the versions of an aggregate's events that were handled.
func (j *journal) of(aggregateID string) []int {
	var versions []int
	for _, e := range j.all("") {
		if e.AggregateID == aggregateID {
			versions = append(versions, e.Version)
		}
	}
	return versions
}

// ledger returns a handler of the opened events that writes the read model.
func (w *world) ledger(entry func(ctx context.Context, event eventsource.Event) (Entry, error)) projection.Handler {
	return w.Ledger.Handler(entry, &opened{})
}

func (j *journal) count() int { return len(j.all("")) }

func entryOf(ctx context.Context, by string, event eventsource.Event) Entry {
	return Entry{
		By: by, AggregateID: event.GetAggregateID(), Version: event.(eventsource.Versioned).GetVersion(),
		SequenceID: event.GetSequenceID(), Silent: projection.Silent(ctx),
	}
}

// handler returns a handler of the opened events that writes the journal. The functions
// are called before, with each event; the first error is the handler's.
func (j *journal) handler(by string, before ...func(ctx context.Context, e *opened) error) projection.Handler {
	return projection.On(func(ctx context.Context, e *opened) error {
		for _, f := range before {
			if err := f(ctx, e); err != nil {
				return err
			}
		}
		j.add(entryOf(ctx, by, e))
		return nil
	})
}

// versionsOf gives the versions that were handled of each aggregate, in order.
func versionsOf(entries []Entry) map[string][]int {
	all := make(map[string][]int)
	for _, e := range entries {
		all[e.AggregateID] = append(all[e.AggregateID], e.Version)
	}
	return all
}

// wantEach wants each opened event that was saved handled, those of an aggregate in
// order; exactly once, or else at least once.
func (w *world) wantEach(entries []Entry, exactly bool) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	checkEach(w, w.saved, entries, exactly)
}

func checkEach(t reporter, saved map[string]int, entries []Entry, exactly bool) {
	t.Helper()
	handled := versionsOf(entries)
	for aggregateID, versions := range handled {
		if saved[aggregateID] == 0 {
			t.Errorf("events of aggregate %q were handled, and none saved: %v", aggregateID, versions)
		}
	}
	for aggregateID, n := range saved {
		highest := 0
		for _, version := range handled[aggregateID] {
			if version > highest+1 || exactly && version != highest+1 {
				t.Errorf("aggregate %q: event %d was handled after %d; all: %v", aggregateID, version, highest, handled[aggregateID])
				break
			}
			highest = max(highest, version)
		}
		if highest != n {
			t.Errorf("aggregate %q has %d events, and was handled up to %d: %v", aggregateID, n, highest, handled[aggregateID])
		}
	}
}

// call is a call of checkpoints that can be kept from being made.
type call struct {
	method string
	move   projection.Move // of Advance
	put    []projection.Row
	remove []projection.Row
}

// around is called in place of a call, which next makes.
type around func(ctx context.Context, c call, next func(ctx context.Context) error) error

// intercept returns checkpoints whose calls go through a function.
func intercept(c projection.Checkpoints, f around) projection.Checkpoints {
	i := &interceptor{c, f}
	if t, ok := c.(projection.Transactor); ok {
		return &interceptingTransactor{i, t}
	}
	return i
}

type interceptor struct {
	inner projection.Checkpoints
	f     around
}

type interceptingTransactor struct {
	*interceptor
	transactor projection.Transactor
}

func (i *interceptingTransactor) Transact(ctx context.Context, fn func(ctx context.Context) error) error {
	return i.f(ctx, call{method: "Transact"}, func(ctx context.Context) error { return i.transactor.Transact(ctx, fn) })
}

func (i *interceptor) Names(ctx context.Context) (names []string, err error) {
	err = i.f(ctx, call{method: "Names"}, func(ctx context.Context) (err error) {
		names, err = i.inner.Names(ctx)
		return err
	})
	return names, err
}

func (i *interceptor) Load(ctx context.Context, name string) (rows []projection.Row, err error) {
	err = i.f(ctx, call{method: "Load"}, func(ctx context.Context) (err error) {
		rows, err = i.inner.Load(ctx, name)
		return err
	})
	return rows, err
}

func (i *interceptor) Update(ctx context.Context, put, remove []projection.Row) error {
	return i.f(ctx, call{method: "Update", put: put, remove: remove}, func(ctx context.Context) error {
		return i.inner.Update(ctx, put, remove)
	})
}

func (i *interceptor) Advance(ctx context.Context, move projection.Move) (ack projection.Ack, err error) {
	err = i.f(ctx, call{method: "Advance", move: move}, func(ctx context.Context) (err error) {
		ack, err = i.inner.Advance(ctx, move)
		return err
	})
	return ack, err
}

func (i *interceptor) Parked(ctx context.Context, query projection.ParkedQuery) (found []projection.Parked, err error) {
	err = i.f(ctx, call{method: "Parked"}, func(ctx context.Context) (err error) {
		found, err = i.inner.Parked(ctx, query)
		return err
	})
	return found, err
}

func (i *interceptor) RequestParked(ctx context.Context, name string, version int, request projection.Request, sequenceIDs ...string) error {
	return i.f(ctx, call{method: "RequestParked"}, func(ctx context.Context) error {
		return i.inner.RequestParked(ctx, name, version, request, sequenceIDs...)
	})
}

func (i *interceptor) DeleteParked(ctx context.Context, name string, version int) error {
	return i.f(ctx, call{method: "DeleteParked"}, func(ctx context.Context) error {
		return i.inner.DeleteParked(ctx, name, version)
	})
}

// fullStore is a store with all optional interfaces.
type fullStore interface {
	eventsource.Store
	eventsource.Appender
	eventsource.Querier
	eventsource.Follower
	eventsource.Watcher
	eventsource.HorizonReporter
}

// full gives the test's store with all of its interfaces.
func (w *world) full() fullStore {
	w.Helper()
	store, ok := w.store.(fullStore)
	if !ok {
		w.Fatalf("%T lacks an optional interface", w.store)
	}
	return store
}

// bareStore is a store with none of them.
type bareStore struct{ eventsource.Store }

// spyStore is a store whose calls can be seen, changed and refused. A nil function
// changes nothing.
type spyStore struct {
	fullStore
	follow  func(query eventsource.Query) error
	hides   func(sequenceID string) bool
	head    func(head string) string
	watch   func(ctx context.Context) (<-chan struct{}, error)
	broken  func() error
	reached func(sequenceID string) string
}

func (s *spyStore) Query(ctx context.Context, query eventsource.Query) iter.Seq2[eventsource.Record, error] {
	limit := query.Limit
	if s.hides != nil {
		query.Limit = 0
	}
	return s.filter(query, limit, s.fullStore.Query(ctx, query))
}

func (s *spyStore) Follow(ctx context.Context, query eventsource.Query, reached func(string)) iter.Seq2[eventsource.Record, error] {
	return s.filter(query, query.Limit, s.fullStore.Follow(ctx, query, func(sequenceID string) {
		if s.reached != nil {
			sequenceID = s.reached(sequenceID)
		}
		reached(sequenceID)
	}))
}

func (s *spyStore) filter(query eventsource.Query, limit int, records iter.Seq2[eventsource.Record, error]) iter.Seq2[eventsource.Record, error] {
	return func(yield func(eventsource.Record, error) bool) {
		if s.follow != nil {
			if err := s.follow(query); err != nil {
				yield(eventsource.Record{}, err)
				return
			}
		}
		given := 0
		for record, err := range records {
			if err == nil && s.hides != nil && s.hides(record.SequenceID) {
				continue
			}
			if !yield(record, err) {
				return
			}
			if given++; given == limit {
				return
			}
		}
	}
}

func (s *spyStore) Watch(ctx context.Context) (<-chan struct{}, error) {
	if s.watch != nil {
		return s.watch(ctx)
	}
	return s.fullStore.Watch(ctx)
}

func (s *spyStore) Horizon(ctx context.Context) (eventsource.Horizon, error) {
	if s.broken != nil {
		if err := s.broken(); err != nil {
			return eventsource.Horizon{}, err
		}
	}
	h, err := s.fullStore.Horizon(ctx)
	if err == nil && s.head != nil {
		h.Head = s.head(h.Head)
		h.SafeEnd = min(h.SafeEnd, h.Head)
	}
	return h, err
}

// deafWatch never wakes anyone.
func deafWatch(ctx context.Context) (<-chan struct{}, error) {
	c := make(chan struct{})
	context.AfterFunc(ctx, func() { close(c) })
	return c, nil
}

// backgroundLoad saves events until it is stopped, and then returns how many.
func (w *world) backgroundLoad(pause time.Duration, aggregates ...string) (stop func() (last string)) {
	w.Helper()
	quit, done := make(chan struct{}), make(chan string, 1)
	go func() {
		last := ""
		for {
			select {
			case <-quit:
				done <- last
				return
			case <-time.After(max(pause, w.Pause)):
			}
			e := openedOf(aggregates[rand.IntN(len(aggregates))]) //nolint:gosec // not a secret
			if err := w.trySave(e); err != nil {
				w.Errorf("Save: %v", err)
				done <- last
				return
			}
			last = e.SequenceID
		}
	}()
	var once sync.Once
	var last string
	stop = func() string {
		once.Do(func() {
			close(quit)
			last = <-done
		})
		return last
	}
	w.Cleanup(func() { stop() })
	return stop
}
