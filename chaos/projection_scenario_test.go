package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// watched is a read model in a database of its own, or in that of the events, kept in
// this process or in others.
type watched struct {
	pool        *pgxpool.Pool
	checkpoints *sqlprojection.Checkpoints
}

func newWatched(t *testing.T, pool *pgxpool.Pool) *watched {
	t.Helper()
	migrate(t, pool)
	if _, err := pool.Exec(t.Context(), modelTables); err != nil {
		t.Fatal(err)
	}
	return &watched{pool, sqlprojection.NewCheckpoints(pool)}
}

// projection returns one that keeps the read model in this process.
func (w *watched) projection(repo eventsource.Repository, options ...projection.Option) *projection.Projection {
	p := &projector{worker: &worker{Config: Config{Name: "test"}}}
	model := Model{Name: "watched", Once: true}
	return projection.New(model.Name, repo, p.handler(model), append([]projection.Option{projection.WithCheckpoints(w.checkpoints)}, options...)...)
}

// handled are the keys of the read model's events, as they were handled.
func (w *watched) handled(t *testing.T) list {
	t.Helper()
	tables, err := readTables(within(t), w.pool)
	if err != nil {
		t.Fatal(err)
	}
	return tables[listKey{"watched", 1}]
}

// follow runs a projection until the test ends, or stop, which returns what Run did.
func follow(t *testing.T, p *projection.Projection) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(patience):
			return errors.New("Run does not return")
		}
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// runToEnd runs a projection until it returns an error by itself.
func runToEnd(t *testing.T, p *projection.Projection) error {
	t.Helper()
	err := p.Run(within(t))
	if err == nil {
		t.Fatal("Run goes on, want an error")
	}
	return err
}

// wantHandled waits until exactly the events are handled that are stored, in order.
func (w *watched) wantHandled(t *testing.T, c *client) {
	t.Helper()
	events, err := c.repo.GetEventsBySequenceID(within(t), "", 0)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events are stored, %v", len(events), err)
	}
	last := events[len(events)-1].GetSequenceID()
	eventually(t, "the last event is handled", func() bool {
		return slices.ContainsFunc(w.handled(t), func(e entry) bool { return e.SequenceID == last })
	})
	handled := w.handled(t)
	if err := errors.Join(handled.checkOrder(false), handled.checkComplete(allSeen(events))); err != nil {
		t.Error(err)
	}
}

// watchers are configurations of workers that do nothing but keep the read model.
func watchers(folder, url string, number int) []Config {
	all := make([]Config, number)
	for i := range all {
		all[i] = Config{
			Name: fmt.Sprintf("worker-%d", i), Folder: folder, URL: url,
			Projecting: &Projecting{Models: []Model{{Name: "watched", Once: true}}},
		}
	}
	return all
}

func TestAnotherProcessTakesOverWithinSecondsOfAKill(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	c := newClient(t, url)
	w := newWatched(t, c.pool)
	folder := t.TempDir()
	r := runOf(t, folder, watchers(folder, url, 3))
	const lease = projection.DefaultLease
	for i := range 3 {
		before := c.save(t, fmt.Sprint("before-", i))
		owner := w.whoHandles(t, before)
		number := slices.IndexFunc(r.crew.all(), func(p *process) bool { return p.config.process() == owner })
		if number < 0 {
			t.Fatalf("nobody is %s", owner)
		}
		killed := time.Now()
		r.crew.all()[number].kill()
		if next := w.whoHandles(t, c.save(t, fmt.Sprint("after-", i))); next == owner {
			t.Errorf("%s handles events after it was killed", owner)
		}
		took := time.Since(killed)
		t.Logf("takeover took %v", took)
		if took > 2*lease+5*time.Second { // it takes up to 4/3 of the lease, and the machine is busy
			t.Errorf("takeover took %v, with a lease of %v", took, lease)
		}
		if err := r.crew.revive(number); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.crew.finish(within(t)); err != nil {
		t.Error(err)
	}
	w.wantHandled(t, c)
}

// revive starts the next life of a worker that was killed.
func (c *crew) revive(number int) error {
	config := c.all()[number].config
	config.Life++
	next, err := start(config)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers[number] = next
	return nil
}

// explain says how things are, if the test has failed.
func (w *watched) explain(t *testing.T, folder string) {
	t.Helper()
	if !t.Failed() {
		return
	}
	keep(t, folder)
	rows, err := w.checkpoints.Load(context.Background(), "watched")
	t.Logf("checkpoints: %+v, %v", rows, err)
	found, err := w.pool.Query(context.Background(), `SELECT format('%s %s %s %s %s %s', a.pid, state, wait_event, pg_blocking_pids(a.pid), now() - xact_start, query)
		FROM pg_stat_activity a WHERE backend_type = 'client backend' AND datname = current_database()`)
	if err == nil {
		sessions, _ := pgx.CollectRows(found, pgx.RowTo[string])
		t.Logf("sessions:\n%s", strings.Join(sessions, "\n"))
	}
}

// whoHandles waits until an event is handled and returns which process did.
func (w *watched) whoHandles(t *testing.T, sequenceID string) (process string) {
	t.Helper()
	eventually(t, "event "+sequenceID+" is handled", func() bool {
		err := w.pool.QueryRow(within(t), `SELECT process FROM handled WHERE sequence_id = $1`, sequenceID).Scan(&process)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		return err == nil
	})
	return process
}

// A process freezes while it has a transaction open, at the worst moments. It holds
// nobody up for longer than its lease and its transaction last, and can do no harm
// when it goes on.
func TestAProcessThatFreezesInATransactionIsReplacedAndDoesNoHarm(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	for _, frozen := range []struct {
		name, in string
		idle     time.Duration
		bound    time.Duration // of the takeover
	}{
		{"in the handler", stopInHandler, 2 * time.Second, 2 * lease},
		{"with the checkpoint locked", stopAfterAdvance, 2 * time.Second, 2*lease + 2*time.Second},
		{"and its transaction goes on afterwards", stopInHandler, 5 * time.Minute, 2 * lease},
	} {
		t.Run(frozen.name, func(t *testing.T) {
			t.Parallel()
			url, folder := testenv.Postgres(t), t.TempDir()
			c := newClient(t, url)
			w := newWatched(t, c.pool)
			workers := watchers(folder, url, 2)
			for i := range workers {
				p := workers[i].Projecting
				p.Lease, p.IdleTimeout = lease, frozen.idle
			}
			workers[0].Projecting.StopAt, workers[0].Projecting.StopIn = "stop", frozen.in
			first := runOf(t, folder, workers[:1])
			t.Cleanup(func() { w.explain(t, folder) })
			eventually(t, "the first worker has the lease", func() bool {
				rows, err := w.checkpoints.Load(within(t), "watched")
				return err == nil && slices.ContainsFunc(rows, func(row projection.Row) bool { return row.Owner != "" })
			})
			second := runOf(t, folder, workers[1:])

			began := time.Now()
			if by := w.whoHandles(t, c.save(t, "stop")); by != "worker-1.0" {
				t.Errorf("the event is handled by %q, want worker-1.0", by)
			}
			took := time.Since(began)
			t.Logf("takeover took %v", took)
			if took < lease/2 {
				t.Errorf("takeover took %v, which is less than the lease: the first worker was not frozen", took)
			}
			if took > frozen.bound+10*time.Second { // the second one has to start, and the machine is busy
				t.Errorf("takeover took %v, want about %v", took, frozen.bound)
			}
			if err := first.crew.all()[0].thaw(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "its transaction is gone", func() bool {
				return one[int](t, c.pool, `SELECT count(*) FROM pg_locks l JOIN pg_class r ON r.oid = l.relation
					WHERE r.relname = 'handled' AND r.relnamespace = current_schema()::regnamespace AND l.mode = 'RowExclusiveLock'`) == 0
			})
			c.save(t, "later")
			w.wantHandled(t, c)
			// With the other one gone it is its turn again.
			if err := second.crew.finish(within(t)); err != nil {
				t.Error(err)
			}
			if by := w.whoHandles(t, c.save(t, "last")); by != "worker-0.0" {
				t.Errorf("the last event is handled by %q, want worker-0.0", by)
			}
			if err := first.crew.finish(within(t)); err != nil {
				t.Error(err)
			}
			w.wantHandled(t, c)
		})
	}
}

// The events are those of an older copy, and the read model is not.
func TestAnOlderCopyOfTheEventsIsNoticedBeforeAnythingIsHandled(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t, testenv.WithSettings(settings...))
	newDatabase(t, cluster.URL(), "models", "")
	for _, where := range []string{"the database of the events", "another database"} {
		for _, since := range []string{"nothing", "other events"} {
			t.Run(fmt.Sprintf("the read model is in %s, and %s were saved since", where, since), func(t *testing.T) {
				olderCopy(t, cluster, where == "another database", since != "nothing")
			})
		}
	}
}

func olderCopy(t *testing.T, cluster *testenv.Cluster, elsewhere, others bool) {
	c := newClient(t, cluster.URL())
	c.execute(t, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	migrate(t, c.pool)
	models := c.pool
	if elsewhere {
		models = testenv.Pool(t, withDatabase(t, cluster.URL(), "models"))
		if _, err := models.Exec(t.Context(), `DROP SCHEMA public CASCADE; CREATE SCHEMA public`); err != nil {
			t.Fatal(err)
		}
	}
	w := newWatched(t, models)
	for i := range 10 {
		c.save(t, fmt.Sprint("first-", i))
	}
	copied, err := cluster.Dump(t.Context(), "--format=plain", "--table=public.events")
	if err != nil {
		t.Fatal(err)
	}
	var lost string
	for i := range 10 {
		lost = c.save(t, fmt.Sprint("second-", i))
	}
	stop := follow(t, w.projection(c.repo))
	w.wantHandled(t, c)
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	c.execute(t, `DROP TABLE events`)
	if err := cluster.Restore(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if others {
		for i := range 20 {
			c.save(t, fmt.Sprint("other-", i))
		}
	}
	before := w.handled(t)
	err = runToEnd(t, w.projection(c.repo))
	var diverged *projection.DivergedError
	if !errors.As(err, &diverged) || !errors.Is(err, projection.ErrDiverged) {
		t.Fatalf("got %v, want a DivergedError", err)
	}
	if diverged.Projection != "watched" || diverged.Version != 1 || diverged.LastEvent != lost || diverged.Position < lost {
		t.Errorf("got %+v, want one of the event %s", diverged, lost)
	}
	if after := w.handled(t); !slices.Equal(after, before) {
		t.Errorf("%d events are handled, want the %d from before", len(after), len(before))
	}

	// As its documentation says: empty the read model, and reset the projection.
	if _, err := models.Exec(t.Context(), `TRUNCATE handled`); err != nil {
		t.Fatal(err)
	}
	if err := projection.NewManager(c.repo, w.checkpoints).Reset(within(t), "watched", 1, ""); err != nil {
		t.Fatal(err)
	}
	follow(t, w.projection(c.repo))
	w.wantHandled(t, c)
}

func TestTwoProcessesThatAskForOtherEventsUnderOneNameDoNotShareACheckpoint(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Postgres(t))
	w := newWatched(t, c.pool)
	stop := follow(t, w.projection(c.repo))
	c.save(t, "before")
	w.wantHandled(t, c)

	never := sqlprojection.On(func(context.Context, pgx.Tx, *Noted) error {
		t.Error("an event is handled by the second process")
		return nil
	})
	err := runToEnd(t, projection.New("watched", c.repo, never, projection.WithCheckpoints(w.checkpoints)))
	var changed *projection.DefinitionError
	if !errors.As(err, &changed) || !errors.Is(err, projection.ErrDefinitionChanged) {
		t.Fatalf("got %v, want a DefinitionError", err)
	}
	if len(changed.Started) != 0 || !slices.Equal(changed.Now, []string{"Noted"}) {
		t.Errorf("got %+v, want all types and then Noted", changed)
	}
	c.save(t, "after") // the first one goes on
	w.wantHandled(t, c)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// wokenElsewhere is a store whose wake-ups come through another one.
type wokenElsewhere struct {
	polled
	eventsource.Watcher
}

func TestAWakeUpConnectionThatIsDeadButOpenOnlyCostsTime(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t, testenv.WithSettings(settings...))
	c := newClient(t, cluster.URL())
	w := newWatched(t, c.pool)
	n := networkTo(t, cluster.Address())
	listener := newClient(t, through(cluster.URL(), n.address()))
	repo := eventsource.NewRepository(&wokenElsewhere{polled{c.store, c.store, c.store, c.store}, listener.store}, serializer())
	const poll = 2 * time.Second
	follow(t, w.projection(repo, projection.WithPollInterval(poll)))
	eventually(t, "the projection listens", func() bool {
		return one[int](t, c.pool, `SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen%'`) == 1
	})
	c.save(t, "before")
	w.wantHandled(t, c)

	n.silence(t)
	time.Sleep(poll / 2) // for a while, it looks again by itself more often
	began := time.Now()
	c.save(t, "silence")
	w.wantHandled(t, c)
	t.Logf("without a wake-up it took %v", time.Since(began))
	if took := time.Since(began); took > poll+10*time.Second {
		t.Errorf("it took %v, with a poll interval of %v", took, poll)
	}
}

// As when a firewall forgets connections: nothing is said to either side.
func TestAProjectionOutlivesConnectionsThatAreDeadButOpen(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t, testenv.WithSettings(settings...))
	c := newClient(t, cluster.URL())
	w := newWatched(t, c.pool)
	v, err := newValve(cluster.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)
	far := newClient(t, through(cluster.URL(), v.address()))
	w.checkpoints = sqlprojection.NewCheckpoints(far.pool)
	follow(t, w.projection(far.repo, projection.WithTimeout(2*time.Second), projection.WithLease(time.Second)))
	for i := range 3 {
		c.save(t, fmt.Sprint("before-", i))
		w.wantHandled(t, c)
		v.forget()
		c.save(t, fmt.Sprint("forgotten-", i))
		began := time.Now()
		w.wantHandled(t, c)
		t.Logf("it went on after %v", time.Since(began))
	}
}
