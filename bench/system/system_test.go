package system

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/eventsource-go/eventsource/bench/payload"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

const (
	// filledAggregates is how many aggregates a test's database has.
	filledAggregates = 20
	// filledVersion is how many events each of them has.
	filledVersion = 10

	// testLimit is what a step of a test may take.
	testLimit = 30 * time.Second
	// promptly is what it may take to end what was told to end.
	promptly = 5 * time.Second
	// testConns is the size of a session's pool.
	testConns = 4
)

func TestEverySystemDoesWhatTheInterfaceSays(t *testing.T) {
	for _, s := range All() {
		t.Run(s.Name, func(t *testing.T) { testSystem(t, s) })
	}
}

func TestSystemsSayWhatTheyAre(t *testing.T) {
	required, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range All() {
		if s.Name == "" || s.Kind == "" || s.Database == "" || len(s.Notes) == 0 {
			t.Errorf("the system has no name, kind, database or notes: %+v", s)
		}
		if names[s.Name] {
			t.Errorf("two systems are named %q", s.Name)
		}
		names[s.Name] = true
		// The list of names on the command line is separated by semicolons.
		if strings.Contains(s.Name, ";") {
			t.Errorf("the name %q has a semicolon", s.Name)
		}
		if peer := s.Kind == EventStore || s.Kind == MessageLog; peer != (s.Module != "") {
			t.Errorf("%s is of kind %q, and its module is %q; want one for peers, and none for others", s.Name, s.Kind, s.Module)
		}
		if s.Module != "" && !strings.Contains(string(required), "\t"+s.Module+"\n") {
			t.Errorf("%s: go.mod does not require %q", s.Name, s.Module)
		}
	}
	for _, name := range []string{NameRaw, NameRawStatement} {
		if !names[name] {
			t.Errorf("no system is named %q, to which ratios are given", name)
		}
	}
}

// A workload is left out where a session cannot do it, so what each can do is
// written down here.
func TestSystemsCanDoWhatIsMeasured(t *testing.T) {
	can := map[string]string{
		"raw": "page stream hold project", "raw, 1 statement": "page stream hold", "naive": "page stream follow hold",
		"ours": "page stream follow hold", "ours, JSON": "page stream follow project",
		"goes": "stream follow", "hallgren": "stream follow", "terraskye": "stream follow", "rnovatorov": "stream follow",
		"watermill": "stream follow project",
	}
	for _, s := range All() {
		session := openFixture(t, testedSystem{s, newTestDatabase(t)}).session
		var found []string
		if _, ok := session.(Pager); ok {
			found = append(found, "page")
		}
		if _, ok := session.(Streamer); ok {
			found = append(found, "stream")
		}
		if _, ok := session.(Follower); ok {
			found = append(found, "follow")
		}
		if _, ok := session.(Holder); ok {
			found = append(found, "hold")
		}
		if _, ok := session.(Projector); ok {
			found = append(found, "project")
		}
		if got := strings.Join(found, " "); got != can[s.Name] {
			t.Errorf("%s can %q, want %q", s.Name, got, can[s.Name])
		}
	}
}

func TestNamedKeepsTheOrderOfAll(t *testing.T) {
	systems, err := Named([]string{"naive", NameRaw, "ours, JSON", NameRaw})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range systems {
		got = append(got, s.Name)
	}
	if want := []string{NameRaw, "ours, JSON", "naive"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Named([]string{NameRaw, "nobody"}); err == nil || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("got %v, want an error that names nobody", err)
	}
}

// testSystem checks that a system does what the interface says. A session whose
// system knows no aggregates returns errors.ErrUnsupported from Load.
func testSystem(t *testing.T, system System) {
	// They append to the end of an aggregate, whatever the batch says: this module
	// because it may, and logs because they know no aggregates.
	ignoresVersion := system.Kind == Ours || system.Kind == MessageLog
	s := testedSystem{system, newTestDatabase(t)}
	t.Run("Load", func(t *testing.T) { testLoad(t, s) })
	t.Run("Save", func(t *testing.T) { testSave(t, s) })
	t.Run("SaveConcurrently", func(t *testing.T) { testSaveConcurrently(t, s, ignoresVersion) })
	t.Run("Conflict", func(t *testing.T) { testConflict(t, s, ignoresVersion) })
	t.Run("Page", func(t *testing.T) { testPage(t, s) })
	t.Run("Stream", func(t *testing.T) { testStream(t, s) })
	t.Run("StreamEnds", func(t *testing.T) { testStreamEnds(t, s) })
	t.Run("Follow", func(t *testing.T) { testFollow(t, s) })
	t.Run("FollowEnds", func(t *testing.T) { testFollowEnds(t, s) })
	t.Run("Hold", func(t *testing.T) { testHold(t, s) })
	t.Run("Project", func(t *testing.T) { testProject(t, s) })
}

func testLoad(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	for _, aggregate := range f.aggregates {
		wantLoad(t, f, aggregate, filledVersion)
	}
}

func testSave(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	fresh := uuid.NewString()
	saveEvents(t, f, fresh, 0, 1)
	wantLoad(t, f, fresh, 1)
	saveEvents(t, f, fresh, 1, 3)
	wantLoad(t, f, fresh, 4)

	filled := f.aggregates[0]
	saveEvents(t, f, filled, filledVersion, 2)
	wantLoad(t, f, filled, filledVersion+2)
	wantLoad(t, f, f.aggregates[1], filledVersion)

	// Every payload can be saved and loaded.
	kilobyte, err := payload.Kilobyte()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.session.Save(f.ctx, Batch{Aggregate: fresh, Version: 4, Events: kilobyte}); err != nil {
		t.Fatalf("Save of a kilobyte: %v", err)
	}
	wantLoad(t, f, fresh, 5)
	all := uuid.NewString()
	if err := f.session.Save(f.ctx, Batch{Aggregate: all, Events: f.events}); err != nil {
		t.Fatalf("Save of %d events: %v", len(f.events), err)
	}
	wantLoad(t, f, all, len(f.events))
}

func testSaveConcurrently(t *testing.T, s testedSystem, ignoresVersion bool) {
	f := openFixture(t, s)

	// Writers to aggregates of their own never disturb one another.
	var writers sync.WaitGroup
	var own [8]string
	for i := range own {
		own[i] = uuid.NewString()
		writers.Go(func() {
			for version := range 10 {
				if err := f.session.Save(f.ctx, Batch{Aggregate: own[i], Version: version, Events: f.events[:1]}); err != nil {
					t.Errorf("Save by writer %d at version %d: %v", i, version, err)
					return
				}
			}
		})
	}
	writers.Wait()
	for _, aggregate := range own {
		wantLoad(t, f, aggregate, 10)
	}

	// Of writers at the same version of one aggregate, one wins.
	if ignoresVersion {
		return
	}
	shared := f.aggregates[0]
	for round := range 5 {
		var won atomic.Int32
		for range 8 {
			writers.Go(func() {
				switch err := f.session.Save(f.ctx, Batch{Aggregate: shared, Version: filledVersion + round, Events: f.events[:1]}); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ErrConflict):
					t.Errorf("Save that lost returned %v, want ErrConflict", err)
				}
			})
		}
		writers.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d writers won in round %d, want 1", won.Load(), round)
		}
	}
	wantLoad(t, f, shared, filledVersion+5)
}

func testConflict(t *testing.T, s testedSystem, ignoresVersion bool) {
	if ignoresVersion {
		return // so it refuses none
	}
	f := openFixture(t, s)
	aggregate := f.aggregates[3]
	for _, version := range []int{0, filledVersion - 1} {
		err := f.session.Save(f.ctx, Batch{Aggregate: aggregate, Version: version, Events: f.events[:2]})
		if !errors.Is(err, ErrConflict) {
			t.Errorf("Save at version %d of %d returned %v, want ErrConflict", version, filledVersion, err)
		}
	}
	wantLoad(t, f, aggregate, filledVersion)
	// The session is still of use.
	saveEvents(t, f, aggregate, filledVersion, 1)
	wantLoad(t, f, aggregate, filledVersion+1)
}

func testPage(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	if _, ok := f.session.(Pager); !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	if n := countPages(t, f, 7); n != len(f.stored) {
		t.Errorf("pages of 7 have %d events, want %d", n, len(f.stored))
	}
	saveEvents(t, f, uuid.NewString(), 0, 3)
	if n := countPages(t, f, 1000); n != len(f.stored)+3 {
		t.Errorf("pages of 1000 have %d events, want %d", n, len(f.stored)+3)
	}
}

func testStream(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	if _, ok := f.session.(Streamer); !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	wantStream(t, f, f.stored)

	// What was saved by the system's own code streams too, after what was filled.
	fresh := uuid.NewString()
	saveEvents(t, f, fresh, 0, 2)
	saveEvents(t, f, fresh, 2, 1)
	want := append([]ID{{fresh, 1}, {fresh, 2}, {fresh, 3}}, f.stored...)
	got := wantStream(t, f, want)
	versions := map[string]int{}
	for i, id := range got {
		if versions[id.Aggregate]++; id.Version != versions[id.Aggregate] {
			t.Fatalf("Stream delivered %v at place %d, want version %d", id, i, versions[id.Aggregate])
		}
	}
	if s.Name == Rnovatorov().Name {
		return // it orders the events of an aggregate only
	}
	for i, id := range got[len(f.stored):] {
		if wantID := (ID{fresh, i + 1}); id != wantID {
			t.Errorf("Stream delivered %v at place %d, want %v", id, len(f.stored)+i, wantID)
		}
	}
}

func testStreamEnds(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	streamer, ok := f.session.(Streamer)
	if !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	// More often than there are connections, which would show one that is not
	// given back.
	for range 2 * testConns {
		// Deliver returns false.
		n := 0
		err := mustEnd(t, "Stream whose deliver returned false", func() error {
			return streamer.Stream(f.ctx, func(ID) bool {
				n++
				return n < 5
			})
		})
		if err != nil || n != 5 {
			t.Fatalf("Stream delivered %d events and returned %v, want 5 and no error", n, err)
		}

		// The context ends.
		ctx, cancel := context.WithCancel(f.ctx)
		n = 0
		err = mustEnd(t, "Stream whose context ended", func() error {
			return streamer.Stream(ctx, func(ID) bool {
				n++
				if n == 5 {
					cancel()
				}
				return true
			})
		})
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("Stream whose context ended returned %v", err)
		}
	}
	wantLoad(t, f, f.aggregates[0], filledVersion)
}

func testFollow(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	if _, ok := f.session.(Follower); !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	reader := startFollower(t, f)

	var want []ID
	for i := range 50 {
		fresh, events := uuid.NewString(), i%3+1
		saveEvents(t, f, fresh, 0, events)
		for version := range events {
			want = append(want, ID{fresh, version + 1})
		}
		if i == 25 {
			reader.wait(t, len(want)) // so that it has nothing to read
		}
	}
	saveEvents(t, f, f.aggregates[0], filledVersion, 1)
	want = append(want, ID{f.aggregates[0], filledVersion + 1})

	reader.wait(t, len(want))
	// What is delivered twice comes before what is saved after it was delivered once.
	fresh := uuid.NewString()
	saveEvents(t, f, fresh, 0, 1)
	want = append(want, ID{fresh, 1})
	reader.wait(t, len(want))
	reader.stop(t)
	wantOnce(t, "Follow", reader.ids, want)
}

func testFollowEnds(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	if _, ok := f.session.(Follower); !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	for range 2 * testConns {
		reader := startFollower(t, f)
		reader.stop(t)
		if len(reader.ids) != 0 {
			t.Fatalf("Follow delivered %d events where none was saved", len(reader.ids))
		}
	}
	wantLoad(t, f, f.aggregates[0], filledVersion)
}

func testHold(t *testing.T, s testedSystem) {
	f := openFixture(t, s)
	holder, ok := f.session.(Holder)
	if !ok {
		return // as TestSystemsCanDoWhatIsMeasured says
	}
	release, err := holder.Hold(f.ctx, f.events[:10], 5)
	if err != nil {
		t.Fatalf("Hold: %v", err)
	}
	const open = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'idle in transaction'"
	if n := f.count(t, open); n != 1 {
		t.Errorf("%d transactions are open while one is held", n)
	}
	if err := release(); err != nil {
		t.Fatalf("release: %v", err)
	}
	if n := f.count(t, open); n != 0 {
		t.Errorf("%d transactions are open after the release", n)
	}
	wantLoad(t, f, f.aggregates[0], filledVersion)
	if _, ok := f.session.(Streamer); ok {
		wantStream(t, f, f.stored)
	}
	if _, ok := f.session.(Pager); ok {
		if n := countPages(t, f, 1000); n != len(f.stored) {
			t.Errorf("%d events are stored after the release, want %d", n, len(f.stored))
		}
	}
}

// testedSystem is a system with a database for its tests, one after the other.
type testedSystem struct {
	System
	database *testDatabase
}

// testDatabase is one on the server of the tests. Each test begins with an empty
// one, which takes a fraction of the time that a new one would.
type testDatabase struct {
	admin     *pgx.Conn // to the server's database
	name, url string
}

func newTestDatabase(t *testing.T) *testDatabase {
	t.Helper()
	server := testenv.Server(t)
	admin, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	d := &testDatabase{admin: admin, name: "bench_" + uuid.NewString()[:8]}
	if _, err := admin.Exec(t.Context(), "CREATE DATABASE "+d.name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP DATABASE "+d.name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + d.name
	d.url = u.String()
	return d
}

// empty drops everything in the database.
func (d *testDatabase) empty(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), `
		DO $$
		DECLARE schema name;
		BEGIN
			FOR schema IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$)' LOOP
				EXECUTE format('DROP SCHEMA %I CASCADE', schema);
			END LOOP;
			CREATE SCHEMA public;
		END $$`)
	if err != nil {
		t.Fatal(err)
	}
}

// fixture is an open session on a database that has what fill stores.
type fixture struct {
	ctx      context.Context
	session  Session
	admin    *pgx.Conn // to the server's database
	database string

	aggregates []string
	stored     []ID
	events     []payload.Event
}

// openFixture fills the database anew and opens a session on it. When the test ends,
// it closes the session and checks that nothing is left of it.
func openFixture(t *testing.T, s testedSystem) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*testLimit)
	t.Cleanup(cancel)
	f := &fixture{ctx: ctx, admin: s.database.admin, database: s.database.name}

	events, err := payload.Git()
	if err != nil {
		t.Fatal(err)
	}
	f.events = events[:50]

	s.database.empty(t)
	f.fill(t, s, s.database.url)
	f.settle(t)
	before := runtime.NumGoroutine()
	f.session, err = s.Open(ctx, s.database.url, testConns)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		// Close waits for connections that the test still holds.
		if err := mustEnd(t, "Close", f.session.Close); err != nil {
			t.Errorf("Close: %v", err)
		}
		f.waitGone(t, before)
	})
	return f
}

// fill stores the rows that every test finds in its database.
func (f *fixture) fill(t *testing.T, s testedSystem, url string) {
	t.Helper()
	pool, err := openPool(f.ctx, url, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := s.Create(f.ctx, pool); err != nil {
		t.Fatalf("Create: %v", err)
	}
	for range filledAggregates {
		f.aggregates = append(f.aggregates, uuid.NewString())
	}
	for version := range filledVersion {
		for _, aggregate := range f.aggregates {
			f.stored = append(f.stored, ID{aggregate, version + 1})
		}
	}
	start := time.Now().Add(-time.Hour)
	err = s.Fill(f.ctx, pool, func(yield func(Row) bool) {
		for i, id := range f.stored {
			row := Row{
				Aggregate: id.Aggregate,
				Version:   id.Version,
				Event:     f.events[i%len(f.events)],
				Time:      start.Add(time.Duration(i) * time.Millisecond),
			}
			if !yield(row) {
				return
			}
		}
	})
	if err != nil {
		t.Fatalf("Fill: %v", err)
	}
}

// settle waits until every transaction of the server that writes has begun after
// what is stored now: some readers leave out the rest.
func (f *fixture) settle(t *testing.T) {
	t.Helper()
	var now string
	if err := f.admin.QueryRow(f.ctx, "SELECT pg_current_xact_id()::text").Scan(&now); err != nil {
		t.Fatal(err)
	}
	for settled := false; !settled; time.Sleep(time.Millisecond) {
		err := f.admin.QueryRow(f.ctx, "SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8", now).Scan(&settled)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// count returns the number that a query over the database's name returns.
func (f *fixture) count(t *testing.T, query string) int {
	t.Helper()
	var n int
	if err := f.admin.QueryRow(f.ctx, query, f.database).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// waitGone waits until no connection and no goroutine is left of the session.
func (f *fixture) waitGone(t *testing.T, goroutines int) {
	t.Helper()
	var conns, extra int
	for deadline := time.Now().Add(promptly); ; time.Sleep(10 * time.Millisecond) {
		conns = f.count(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'")
		extra = runtime.NumGoroutine() - goroutines
		if conns == 0 && extra <= 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	stacks := make([]byte, 1<<14)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("after Close there are %d connections and %d more goroutines than before\n%s", conns, extra, stacks)
}

// saveEvents stores events of a batch at a version.
func saveEvents(t *testing.T, f *fixture, aggregate string, version, events int) {
	t.Helper()
	err := f.session.Save(f.ctx, Batch{Aggregate: aggregate, Version: version, Events: f.events[:events]})
	if err != nil {
		t.Fatalf("Save of %d events at version %d: %v", events, version, err)
	}
}

// wantLoad checks how many events an aggregate has.
func wantLoad(t *testing.T, f *fixture, aggregate string, want int) {
	t.Helper()
	n, err := f.session.Load(f.ctx, aggregate)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if n != want {
		t.Fatalf("Load returned %d events, want %d", n, want)
	}
}

// countPages pages through all events.
func countPages(t *testing.T, f *fixture, limit int) int {
	t.Helper()
	total, after := 0, ""
	for {
		n, last, err := f.session.(Pager).Page(f.ctx, after, limit)
		if err != nil {
			t.Fatalf("Page: %v", err)
		}
		if n > limit {
			t.Fatalf("Page returned %d events, more than %d", n, limit)
		}
		if n == 0 {
			return total
		}
		if last == "" || last == after {
			t.Fatalf("Page of %d events after %q ends at %q", n, after, last)
		}
		total, after = total+n, last
	}
}

// wantStream checks that a stream delivers every event once, and returns them in
// their order. A stream that cannot tell its end is ended a while after it.
func wantStream(t *testing.T, f *fixture, want []ID) []ID {
	t.Helper()
	f.settle(t)
	ctx, cancel := context.WithTimeout(f.ctx, testLimit)
	defer cancel()
	var got []ID
	err := f.session.(Streamer).Stream(ctx, func(id ID) bool {
		got = append(got, id)
		if len(got) == len(want) {
			time.AfterFunc(200*time.Millisecond, cancel)
		}
		return true
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("Stream: %v", err)
	}
	wantOnce(t, "Stream", got, want)
	return got
}

// wantOnce checks that what was delivered is what was wanted, each event once, in
// any order.
func wantOnce(t *testing.T, who string, got, want []ID) {
	t.Helper()
	left := make(map[ID]bool, len(want))
	for _, id := range want {
		left[id] = true
	}
	for i, id := range got {
		switch missing, wanted := left[id]; {
		case !wanted:
			t.Fatalf("%s delivered %v at place %d, which is not expected", who, id, i)
		case !missing:
			t.Fatalf("%s delivered %v at place %d again", who, id, i)
		}
		left[id] = false
	}
	if len(got) != len(want) {
		t.Fatalf("%s delivered %d events, want %d", who, len(got), len(want))
	}
}

// testFollower collects what a Follow delivers.
type testFollower struct {
	cancel context.CancelFunc
	done   chan error

	mu  sync.Mutex
	ids []ID
}

// startFollower starts to follow, and returns when Follow says that it is ready.
func startFollower(t *testing.T, f *fixture) *testFollower {
	t.Helper()
	ctx, cancel := context.WithCancel(f.ctx)
	t.Cleanup(cancel)
	r := &testFollower{cancel: cancel, done: make(chan error, 1)}
	ready := make(chan struct{})
	var calls atomic.Int32
	go func() {
		err := f.session.(Follower).Follow(ctx,
			func() {
				if calls.Add(1) == 1 {
					close(ready)
				}
			},
			func(id ID) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.ids = append(r.ids, id)
			})
		if n := calls.Load(); err == nil && n != 1 {
			err = fmt.Errorf("ready was called %d times", n)
		}
		r.done <- err
	}()
	select {
	case <-ready:
	case err := <-r.done:
		t.Fatalf("Follow ended before it was ready: %v", err)
	case <-time.After(testLimit):
		t.Fatal("Follow does not get ready")
	}
	return r
}

// wait waits until so many events were delivered.
func (r *testFollower) wait(t *testing.T, want int) {
	t.Helper()
	n := 0
	for deadline := time.Now().Add(testLimit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		r.mu.Lock()
		n = len(r.ids)
		r.mu.Unlock()
		if n >= want {
			return
		}
		select {
		case err := <-r.done:
			t.Fatalf("Follow ended: %v", err)
		default:
		}
	}
	t.Fatalf("Follow delivered %d events, want %d", n, want)
}

// stop ends the context and checks that Follow returns nil.
func (r *testFollower) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	err := mustEnd(t, "Follow whose context ended", func() error { return <-r.done })
	if err != nil {
		t.Fatalf("Follow whose context ended returned %v, want nil", err)
	}
}

// mustEnd calls f, which must return promptly.
func mustEnd(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(promptly):
		t.Fatalf("%s does not end", what)
		return nil
	}
}
