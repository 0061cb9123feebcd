package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/serializer/json"
	"github.com/eventsource-go/eventsource/store/memstore"
)

type numbered struct {
	eventsource.BaseEvent
	N int
}

func numberedRepository() eventsource.Repository {
	return eventsource.NewRepository(memstore.New(), json.NewSerializer(&numbered{}))
}

func saveNumbered(t *testing.T, r eventsource.Repository, aggregate string, n int) string {
	t.Helper()
	e := &numbered{BaseEvent: eventsource.BaseEvent{AggregateID: aggregate}, N: n}
	if err := r.Save(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	return e.SequenceID
}

// runBeside runs a projection until stop is called.
func runBeside(t *testing.T, p *projection.Projection) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, projection.ErrSuperseded) {
			t.Error(err)
		}
	})
}

// comesTrue reports whether something has come true in time.
func comesTrue(_ *testing.T, limit time.Duration, f func() bool) bool {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

// a handler's error that wraps ErrFenced must stop the projection.
func TestAHandlersErrorIsItsOwnWhateverItWraps(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	saveNumbered(t, r, "a", 1)
	var calls atomic.Int64
	p := projection.New("p", r, projection.Each(func(context.Context, eventsource.Event) error {
		calls.Add(1)
		return fmt.Errorf("inner: %w", projection.ErrFenced)
	}), projection.WithRetry(1, time.Millisecond, time.Millisecond), unlogged)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := p.Run(ctx); !errors.Is(err, projection.ErrEventFailed) {
		t.Fatalf("Run: %v after %d calls", err, calls.Load())
	}
}

// rollback while the newer one runs must stick.
func TestTheOldVersionStaysActiveAfterItWasPromoted(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := projection.NewMemory()
	m := projection.NewManager(r, cp)
	h := projection.Each(func(context.Context, eventsource.Event) error { return nil })
	last := saveNumbered(t, r, "a", 1)
	opts := []projection.Option{projection.WithCheckpoints(cp), projection.WithLease(300 * time.Millisecond), unlogged}
	s1 := runBeside(t, projection.New("p", r, h, opts...))
	defer s1()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	s2 := runBeside(t, projection.New("p", r, h, append(opts, projection.WithVersion(2))...))
	defer s2()
	if err := m.WaitUntilActive(t.Context(), "p", 2); err != nil {
		t.Fatal(err)
	}
	if err := m.Promote(t.Context(), "p", 1); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitUntilActive(t.Context(), "p", 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if err := m.WaitUntilActive(ctx, "p", 2); err == nil {
		t.Fatal("version 2 has taken over again by itself")
	}
}

// a level inactive version that restarts says that it is level.
func TestAVersionThatIsLevelWhenItStartsSaysSo(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := projection.NewMemory()
	m := projection.NewManager(r, cp)
	h := projection.Each(func(context.Context, eventsource.Event) error { return nil })
	last := saveNumbered(t, r, "a", 1)
	opts := []projection.Option{projection.WithCheckpoints(cp), projection.WithLease(300 * time.Millisecond), unlogged}
	s1 := runBeside(t, projection.New("p", r, h, opts...))
	defer s1()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	two := func() *projection.Projection {
		return projection.New("p", r, h, append(opts, projection.WithVersion(2), projection.WithManualTakeover())...)
	}
	p := two()
	s2 := runBeside(t, p)
	if !comesTrue(t, 30*time.Second, func() bool { return p.Progress().Level }) {
		t.Fatal("never level the first time")
	}
	comesTrue(t, 30*time.Second, func() bool { st, err := p.Status(t.Context()); return err == nil && st.Lag == 0 })
	s2()
	p = two()
	defer runBeside(t, p)()
	if !comesTrue(t, 30*time.Second, func() bool { return p.Progress().Level }) {
		t.Fatalf("not level after the restart: %+v", p.Progress())
	}
}

// without transactions a takeover that fails keeps the parked events of the old one.
type failingUpdate struct {
	*projection.Memory
	fail atomic.Bool
}

func (f *failingUpdate) Update(ctx context.Context, put, remove []projection.Row) error {
	for _, row := range remove {
		if row.Version == 1 && f.fail.CompareAndSwap(true, false) {
			return errors.New("network")
		}
	}
	return f.Memory.Update(ctx, put, remove)
}

func TestATakeoverThatFailsKeepsTheParkedEventsOfTheOldVersion(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := &failingUpdate{Memory: projection.NewMemory()}
	m := projection.NewManager(r, cp)
	bad := projection.Each(func(_ context.Context, e eventsource.Event) error {
		if e.(*numbered).N == 1 {
			return errors.New("bad")
		}
		return nil
	})
	opts := []projection.Option{projection.WithCheckpoints(cp), projection.WithLease(300 * time.Millisecond), unlogged,
		projection.WithFailurePolicy(projection.Park), projection.WithRetry(1, time.Millisecond, time.Millisecond)}
	last := saveNumbered(t, r, "a", 1)
	s1 := runBeside(t, projection.New("p", r, bad, opts...))
	defer s1()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	cp.fail.Store(true)
	s2 := runBeside(t, projection.New("p", r, projection.Each(func(context.Context, eventsource.Event) error { return nil }),
		append(opts, projection.WithVersion(2), projection.WithDropOld())...))
	comesTrue(t, 30*time.Second, func() bool { return !cp.fail.Load() })
	s2() // the deployment is taken back
	parked, err := m.Parked(t.Context(), "p", 1, "", 0)
	st, _ := m.Status(t.Context(), "p")
	if err == nil && len(parked) == 0 {
		t.Fatalf("parked events are gone, and version 1 is active: %+v", st[0].Active)
	}
}

// batch size MaxInt.
func TestABatchMayBeAsLargeAsCanBe(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	for i := range 10 {
		saveNumbered(t, r, "a", i)
	}
	var calls atomic.Int64
	var n atomic.Int64
	p := projection.New("p", r, projection.Batch(func(_ context.Context, es []eventsource.Event) error {
		calls.Add(1)
		n.Add(int64(len(es)))
		return nil
	}), projection.WithBatchSize(math.MaxInt), unlogged)
	stop := runBeside(t, p)
	comesTrue(t, 30*time.Second, func() bool { return n.Load() == 10 })
	stop()
	if calls.Load() != 1 {
		t.Fatalf("%d calls for 10 events", calls.Load())
	}
}

// Permanent around Handled.
func TestWhatIsAroundHandledCounts(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	saveNumbered(t, r, "a", 1)
	var calls atomic.Int64
	p := projection.New("p", r, projection.Batch(func(_ context.Context, es []eventsource.Event) error {
		calls.Add(1)
		return projection.Permanent(fmt.Errorf("mails: %w", projection.Handled(0, errors.New("bad"))))
	}), projection.WithRetry(3, time.Millisecond, time.Millisecond), unlogged)
	err := p.Run(t.Context())
	if calls.Load() != 1 {
		t.Fatalf("%d calls: %v", calls.Load(), err)
	}
}

// Promote(3) survives version 2's own takeover.
func TestAPromotionOutlastsTheTakeoverOfAnotherVersion(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := projection.NewMemory()
	m := projection.NewManager(r, cp)
	h := projection.Each(func(context.Context, eventsource.Event) error { return nil })
	last := saveNumbered(t, r, "a", 1)
	opts := []projection.Option{projection.WithCheckpoints(cp), projection.WithLease(300 * time.Millisecond), unlogged}
	s1 := runBeside(t, projection.New("p", r, h, opts...))
	defer s1()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	three := func() *projection.Projection {
		return projection.New("p", r, h, append(opts, projection.WithVersion(3), projection.WithManualTakeover())...)
	}
	p := three()
	s3 := runBeside(t, p)
	comesTrue(t, 30*time.Second, func() bool { return p.Progress().Level })
	s3()
	if err := m.Promote(t.Context(), "p", 3); err != nil {
		t.Fatal(err)
	}
	s2 := runBeside(t, projection.New("p", r, h, append(opts, projection.WithVersion(2))...))
	defer s2()
	if err := m.WaitUntilActive(t.Context(), "p", 2); err != nil {
		t.Fatal(err)
	}
	defer runBeside(t, three())()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := m.WaitUntilActive(ctx, "p", 3); err != nil {
		t.Fatalf("the promotion of 3 is forgotten: %v", err)
	}
}

// A graceful end in the middle of a batch: what was handled is not handled again.
func TestAnEndInTheMiddleOfABatchKeepsWhatWasHandled(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	for i := range 10 {
		saveNumbered(t, r, "a", i)
	}
	cp := projection.NewMemory()
	var mu sync.Mutex
	calls := map[int]int{}
	reached := make(chan struct{}, 1)
	first := true
	h := projection.Each(func(ctx context.Context, e eventsource.Event) error {
		n := e.(*numbered).N
		if n == 5 && first {
			first = false
			reached <- struct{}{}
			<-ctx.Done()
			return ctx.Err() // as a client of a mail server would
		}
		mu.Lock()
		calls[n]++
		mu.Unlock()
		return nil
	})
	stop := runBeside(t, projection.New("p", r, h, projection.WithCheckpoints(cp), unlogged))
	<-reached
	stop()
	stop = runBeside(t, projection.New("p", r, h, projection.WithCheckpoints(cp), unlogged))
	comesTrue(t, 30*time.Second, func() bool { mu.Lock(); defer mu.Unlock(); return calls[9] > 0 })
	stop()
	if calls[0] != 1 {
		t.Fatalf("calls by event: %v", calls)
	}
}

type countingMemory struct {
	*projection.Memory
	parked atomic.Int64
	rows   atomic.Int64
}

func (c *countingMemory) Parked(ctx context.Context, q projection.ParkedQuery) ([]projection.Parked, error) {
	c.parked.Add(1)
	p, err := c.Memory.Parked(ctx, q)
	c.rows.Add(int64(len(p)))
	return p, err
}

// To drop events of one aggregate reads all of its parked events for each of them.
func TestToDropManyParkedEventsOfOneAggregateDoesNotReadThemAllEachTime(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := &countingMemory{Memory: projection.NewMemory()}
	m := projection.NewManager(r, cp)
	var es []eventsource.Event
	const n = 1500
	for i := range n {
		es = append(es, &numbered{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}, N: i})
	}
	if err := r.Save(t.Context(), es...); err != nil {
		t.Fatal(err)
	}
	h := projection.Each(func(_ context.Context, e eventsource.Event) error { return errors.New("bad") })
	defer runBeside(t, projection.New("p", r, h, projection.WithCheckpoints(cp), projection.WithLease(300*time.Millisecond), unlogged,
		projection.WithFailurePolicy(projection.Park), projection.WithRetry(1, time.Millisecond, time.Millisecond)))()
	if err := m.WaitFor(t.Context(), "p", es[n-1].GetSequenceID()); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range es[:500] {
		ids = append(ids, e.GetSequenceID())
	}
	cp.rows.Store(0)
	if err := m.DropParked(t.Context(), "p", 1, ids...); err != nil {
		t.Fatal(err)
	}
	comesTrue(t, 20*time.Second, func() bool {
		p, _ := cp.Memory.Parked(t.Context(), projection.ParkedQuery{Name: "p", Version: 1})
		return len(p) == n-500
	})
	if got := cp.rows.Load(); got > 100_000 {
		t.Fatalf("%d rows were read to drop 500 events of %d", got, n)
	}
}

type failingDelete struct {
	*projection.Memory
	fail atomic.Bool
}

func (d *failingDelete) DeleteParked(ctx context.Context, name string, version int) error {
	if d.fail.CompareAndSwap(true, false) {
		return errors.New("network")
	}
	return d.Memory.DeleteParked(ctx, name, version)
}

func TestADropThatFailedHalfWayCanBeRepeated(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	cp := &failingDelete{Memory: projection.NewMemory()}
	m := projection.NewManager(r, cp)
	e := &numbered{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
	if err := r.Save(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	run := func(h projection.Handler) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- projection.New("p", r, h, projection.WithCheckpoints(cp), unlogged, projection.WithFailurePolicy(projection.Park),
				projection.WithRetry(1, time.Millisecond, time.Millisecond)).Run(ctx)
		}()
		if err := m.WaitFor(t.Context(), "p", e.SequenceID); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-done
	}
	run(projection.Each(func(context.Context, eventsource.Event) error { return errors.New("bad") }))
	cp.fail.Store(true)
	t.Logf("first Drop: %v", m.Drop(t.Context(), "p", 1))
	t.Logf("second Drop: %v", m.Drop(t.Context(), "p", 1))
	var n atomic.Int64
	run(projection.Each(func(context.Context, eventsource.Event) error { n.Add(1); return nil }))
	if n.Load() == 0 {
		p, _ := m.Parked(t.Context(), "p", 1, "", 0)
		t.Fatalf("the handler of the new projection never got the event; parked: %+v", p)
	}
}

// A Load that is no snapshot: the head before a takeover, the rest after it.
type tornMemory struct {
	*projection.Memory
	armed atomic.Bool
	at    func()
}

func (c *tornMemory) Load(ctx context.Context, name string) ([]projection.Row, error) {
	before, err := c.Memory.Load(ctx, name)
	if err != nil || !c.armed.CompareAndSwap(true, false) {
		return before, err
	}
	c.at()
	after, err := c.Memory.Load(ctx, name)
	after[0] = before[0]
	return after, err
}

func TestALoadThatIsNoSnapshotDoesNotMakeTheOldVersionLoud(t *testing.T) {
	t.Parallel()
	r := numberedRepository()
	mem := projection.NewMemory()
	m := projection.NewManager(r, mem)
	save := func() string {
		e := &numbered{BaseEvent: eventsource.BaseEvent{AggregateID: "a"}}
		if err := r.Save(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		return e.SequenceID
	}
	var loud1, loud2 atomic.Int64
	lease := projection.WithLease(300 * time.Millisecond)
	one := func(cp projection.Checkpoints) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- projection.New("p", r, projection.SideEffect(projection.Each(func(context.Context, eventsource.Event) error { loud1.Add(1); return nil })),
				projection.WithCheckpoints(cp), lease, unlogged).Run(ctx)
		}()
		return func() { cancel(); <-done }
	}
	last := save()
	stop := one(mem)
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	stop()
	torn := &tornMemory{Memory: mem}
	torn.at = func() { // meanwhile version 2 takes over
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- projection.New("p", r, projection.SideEffect(projection.Each(func(context.Context, eventsource.Event) error { loud2.Add(1); return nil })),
				projection.WithCheckpoints(mem), projection.WithVersion(2), lease, unlogged).Run(ctx)
		}()
		t.Cleanup(func() { cancel(); <-done })
		if err := m.WaitUntilActive(t.Context(), "p", 2); err != nil {
			t.Error(err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	torn.armed.Store(true)
	stop = one(torn)
	defer stop()
	for torn.armed.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := m.WaitUntilActive(t.Context(), "p", 2); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	before := loud1.Load()
	last = save()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if loud1.Load() != before {
		t.Fatalf("version 1 has had %d side effects after version 2 became active, which has had %d", loud1.Load()-before, loud2.Load())
	}
}

func TestTheMetricOfParkedEventsOutlastsTheProcess(t *testing.T) {
	t.Parallel()
	r, checkpoints := numberedRepository(), projection.NewMemory()
	m := projection.NewManager(r, checkpoints)
	first, last := saveNumbered(t, r, "a", 1), saveNumbered(t, r, "a", 2)
	start := func() (parked func() float64, stop func()) {
		reader := sdkmetric.NewManualReader()
		stop = runBeside(t, projection.New("p", r, projection.Each(func(context.Context, eventsource.Event) error { return errors.New("bad") }),
			projection.WithCheckpoints(checkpoints), projection.WithLease(300*time.Millisecond), projection.WithFailurePolicy(projection.Park),
			projection.WithRetry(1, time.Millisecond, time.Millisecond), unlogged,
			projection.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))))
		return func() float64 {
			metrics, ok := collected(t, reader)["eventsource.projection.parked.current"]
			if !ok {
				return -1
			}
			n, _ := value(t, metrics)
			return n
		}, stop
	}
	parked, stop := start()
	if !comesTrue(t, 30*time.Second, func() bool { return parked() == 2 }) {
		t.Errorf("%v events are parked, want 2", parked())
	}
	stop()
	if err := m.WaitFor(t.Context(), "p", last); err != nil {
		t.Fatal(err)
	}
	parked, stop = start()
	defer stop()
	if !comesTrue(t, 30*time.Second, func() bool { return parked() == 2 }) {
		t.Errorf("after a restart %v events are parked, want 2", parked())
	}
	if err := m.DropParked(t.Context(), "p", 1, first); err != nil {
		t.Fatal(err)
	}
	if !comesTrue(t, 30*time.Second, func() bool { return parked() == 1 }) {
		t.Errorf("after a drop %v events are parked, want 1", parked())
	}
}
