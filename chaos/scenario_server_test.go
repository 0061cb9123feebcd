package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

// These share a server. Each has a database of its own; workers use the first one.
func TestBadDaysOfOneServer(t *testing.T) {
	t.Parallel()
	cluster := testenv.NewCluster(t, testenv.WithSettings(settings...), testenv.WithDisk(800))
	for _, scenario := range []struct {
		name string
		run  func(*testing.T, *testenv.Cluster)
	}{
		{"long transactions that append nothing hold nobody back", longReportsHoldNobodyBack},
		{"an open transaction is named, and its end frees readers", anOpenTransactionIsNamed},
		{"a prepared transaction outlives a crash and holds readers back", aPreparedTransactionOutlivesACrash},
		{"a wake-up connection that is dead only costs time", aDeadWakeUpConnectionOnlyCostsTime},
		{"cursors stay valid in a dump that is restored", cursorsStayValidAfterARestore},
		{"two databases with tables of the same oid do not hold each other's readers back", twoDatabasesDoNotHoldEachOther},
		{"what was acknowledged survives a full disk", whatWasAcknowledgedSurvivesAFullDisk},
	} {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(t, cluster) })
	}
}

// inDatabase returns the URL of a new database with the table of events.
func inDatabase(t *testing.T, cluster *testenv.Cluster, name string) string {
	t.Helper()
	url := newDatabase(t, cluster.URL(), name, "")
	migrate(t, testenv.Pool(t, url))
	return url
}

func longReportsHoldNobodyBack(t *testing.T, cluster *testenv.Cluster) {
	url := inDatabase(t, cluster, "reports")
	other, c := testenv.Pool(t, url, idleFor("0")), newClient(t, url)
	c.save(t, "before")
	c.execute(t, "CREATE TABLE other (id int)")

	var open []*pgxpool.Conn
	for _, statements := range [][]string{
		{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM events"},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT count(*) FROM events"},
		{"BEGIN", "INSERT INTO other VALUES (1)", "SELECT pg_advisory_xact_lock_shared(1)"}, // and now it thinks
	} {
		conn, err := other.Acquire(within(t))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Release()
		defer func() { _, _ = conn.Exec(context.Background(), "ROLLBACK") }()
		for _, statement := range statements {
			if _, err := conn.Exec(within(t), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		open = append(open, conn)
	}
	maintained, ctx := make(chan error, 2), within(t)
	go func() {
		_, err := other.Exec(ctx, "VACUUM (FREEZE, ANALYZE) events")
		maintained <- err
	}()
	go func() {
		_, err := cluster.Dump(ctx, "--dbname=reports")
		maintained <- err
	}()
	want := []string{"before"}
	for running := 2; running > 0; {
		select {
		case err := <-maintained:
			running--
			if err != nil {
				t.Error(err)
			}
		default:
		}
		cursor, key := c.horizon(t).Head, fmt.Sprint(len(want))
		c.save(t, key)
		want = append(want, key)
		c.wantKeys(t, cursor, key)
	}
	c.wantKeys(t, "", want...)
	if h := c.horizon(t); !free(h) {
		t.Errorf("the horizon is %+v", h)
	}
	for _, conn := range open {
		if _, err := conn.Exec(within(t), "SELECT 1"); err != nil || conn.Conn().PgConn().TxStatus() != 'T' {
			t.Errorf("a transaction that was to be open: %v", err)
		}
	}
}

func anOpenTransactionIsNamed(t *testing.T, cluster *testenv.Cluster) {
	url := inDatabase(t, cluster, "transactions")
	c, patient := newClient(t, url), newClient(t, url)
	impatient := clientOn(testenv.Pool(t, url, idleFor("3s")))
	for _, end := range []struct {
		name  string
		owner *client
		end   func(pid int)
	}{
		{"terminated", patient, func(pid int) { c.execute(t, "SELECT pg_terminate_backend($1)", pid) }},
		{"timeout", impatient, func(int) {}},
	} {
		t.Run(end.name, func(t *testing.T) {
			cursor := c.save(t, "before-"+end.name)
			tx := end.owner.open(t, "open-"+end.name)
			pid := pidOf(t, tx)
			after := newEvent("after-"+end.name, "after-"+end.name, 0, false)
			if err := c.repo.Save(within(t), after); err != nil {
				t.Fatal(err)
			}
			if end.owner == patient {
				h := c.horizon(t)
				if h.HolderPID != pid || h.SafeEnd != cursor || h.Head != after.GetSequenceID() {
					t.Errorf("process %d holds readers back, and the horizon is %+v", pid, h)
				}
				c.wantKeys(t, cursor)
			}
			end.end(pid)
			eventually(t, "readers are free", func() bool { return free(c.horizon(t)) })
			c.wantKeys(t, cursor, "after-"+end.name)
			wantRefused(t, tx.Commit())
			c.wantKeys(t, cursor, "after-"+end.name)
		})
	}
}

func aPreparedTransactionOutlivesACrash(t *testing.T, cluster *testenv.Cluster) {
	c := newClient(t, inDatabase(t, cluster, "prepared"))
	cursor := c.save(t, "before")
	first, second := c.prepare(t, "committed"), c.prepare(t, "rolled back")
	held := func() {
		t.Helper()
		eventually(t, "the server answers", func() bool { return c.pool.Ping(within(t)) == nil })
		h := c.horizon(t)
		// It has no process any more. Which it is PostgreSQL says.
		if h.SafeEnd != cursor || h.HolderPID != 0 || h.Lag == 0 || h.Head <= second {
			t.Errorf("a prepared transaction holds readers back, and the horizon is %+v", h)
		}
		holders := one[[]string](t, c.pool, holdersSQL)
		if !slices.Equal(holders, []string{"committed", "rolled back"}) {
			t.Errorf("PostgreSQL names %v", holders)
		}
		c.wantKeys(t, cursor)
	}
	last := c.save(t, "after")
	held()
	if err := cluster.Restart(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	c.pool.Reset()
	held()

	c.execute(t, "COMMIT PREPARED 'committed'")
	h := c.horizon(t)
	if h.SafeEnd >= last || h.SafeEnd < cursor {
		t.Errorf("one more holds readers back, and the horizon is %+v", h)
	}
	if got := c.keys(t, cursor); len(got) > 1 || len(got) == 1 && got[0] != "committed" {
		t.Errorf("readers are given %v before the second one", got)
	}
	c.execute(t, "ROLLBACK PREPARED 'rolled back'")
	c.wantKeys(t, cursor, "committed", "after")
	c.wantKeys(t, first, "after")
	if h := c.horizon(t); !free(h) {
		t.Errorf("the horizon is %+v", h)
	}
}

// holdersSQL asks which prepared transactions hold readers back.
const holdersSQL = `
SELECT array_agg(DISTINCT p.gid ORDER BY p.gid)
FROM pg_locks l
JOIN pg_locks x ON x.virtualtransaction = l.virtualtransaction AND x.locktype = 'transactionid'
JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
WHERE l.locktype = 'advisory' AND l.mode = 'ShareLock' AND l.objsubid = 1 AND p.database = current_database()
	AND l.classid::bigint >> 16 = 'events'::regclass::oid::bigint & 65535`

func aDeadWakeUpConnectionOnlyCostsTime(t *testing.T, cluster *testenv.Cluster) {
	url := inDatabase(t, cluster, "watched")
	n := networkTo(t, cluster.Address())
	writer, reader := newClient(t, url), newClient(t, url)
	wake, err := newClient(t, through(url, n.address())).store.Watch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := func(cursor, key string) (woken bool) {
		t.Helper()
		poll := time.NewTicker(300 * time.Millisecond)
		defer poll.Stop()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
			if got := reader.keys(t, cursor); slices.Equal(got, []string{key}) {
				return woken
			}
			select {
			case <-wake:
				woken = true
			case <-poll.C:
			}
		}
		t.Fatalf("%s does not come", key)
		return false
	}
	cursor := writer.save(t, "awake")
	next("", "awake")
	<-wake

	n.silence(t)
	for range 3 { // what was on its way may still come
		select {
		case <-wake:
		case <-time.After(100 * time.Millisecond):
		}
	}
	asleep := writer.save(t, "asleep")
	if next(cursor, "asleep") {
		t.Error("a wake-up came through a network that loses everything")
	}
	// Once the connection is known to be dead there is another one.
	n.renew(t)
	select {
	case <-wake:
	case <-time.After(patience):
		t.Fatal("no wake-up after the connection came back")
	}
	writer.save(t, "awake again")
	next(asleep, "awake again")
	select {
	case <-wake:
	case <-time.After(patience):
		t.Fatal("no wake-up on the new connection")
	}
}

func cursorsStayValidAfterARestore(t *testing.T, cluster *testenv.Cluster) {
	url := inDatabase(t, cluster, "dumped")
	ahead := newClient(t, url, behind(-30*time.Second))
	ahead.save(t, "1")
	second := ahead.save(t, "2")
	last := ahead.save(t, "3")
	forgotten := ahead.open(t, "never committed")
	oid := one[uint32](t, ahead.pool, `SELECT 'events'::regclass::oid`)

	target := testenv.NewCluster(t, testenv.WithSettings(settings...))
	for _, format := range []string{"plain", "custom"} {
		t.Run(format, func(t *testing.T) {
			dump, err := cluster.Dump(t.Context(), "--format="+format, "--dbname=dumped")
			if err != nil {
				t.Fatal(err)
			}
			restored := restore(t, target, format, dump)
			reader, slow := newClient(t, restored), newClient(t, restored, behind(time.Hour))
			if got := one[uint32](t, reader.pool, `SELECT 'events'::regclass::oid`); got == oid {
				t.Fatal("the table was to get another oid")
			}
			if h := reader.horizon(t); !free(h) || h.Head != last {
				t.Errorf("the horizon is %+v, want all up to %s", h, last)
			}
			reader.wantKeys(t, "", "1", "2", "3")
			reader.wantKeys(t, second, "3")
			if id := slow.save(t, "4"); id <= last {
				t.Errorf("a save got %s, which is not above %s", id, last)
			}
			reader.wantKeys(t, second, "3", "4")
			cursor := reader.horizon(t).Head
			tx := slow.open(t, "5")
			newClient(t, restored).save(t, "6")
			if h := reader.horizon(t); h.HolderPID != pidOf(t, tx) || h.SafeEnd > cursor {
				t.Errorf("an open transaction holds readers back, and the horizon is %+v", h)
			}
			reader.wantKeys(t, cursor)
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
			// Both are in the millisecond of the head, which is ahead of the clocks.
			if got := reader.keys(t, cursor); !slices.Contains(got, "5") || !slices.Contains(got, "6") || len(got) != 2 {
				t.Errorf("a reader is given %v, want 5 and 6", got)
			}
			if _, err := reader.pool.Exec(within(t), "DELETE FROM events"); sqlState(err) != "23001" {
				t.Errorf("DELETE in the restored table: %v", err)
			}
		})
	}
	wantOpen(t, forgotten)
	if err := forgotten.Rollback(); err != nil {
		t.Error(err)
	}
}

// restore restores a dump into a database of its own, in which the table gets
// another oid than it had.
func restore(t *testing.T, target *testenv.Cluster, name string, dump []byte) (url string) {
	t.Helper()
	conn := testenv.Pool(t, target.URL())
	for _, statement := range []string{"DROP TABLE IF EXISTS one", "CREATE TABLE one (id int)"} {
		if _, err := conn.Exec(within(t), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := target.Restore(t.Context(), dump); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	// The next one finds the database empty again.
	url = newDatabase(t, withDatabase(t, target.URL(), "postgres"), name, "TEMPLATE eventsource")
	again := testenv.Pool(t, target.URL())
	if _, err := again.Exec(within(t), "DROP SCHEMA public CASCADE; CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	again.Close()
	return url
}

func twoDatabasesDoNotHoldEachOther(t *testing.T, cluster *testenv.Cluster) {
	original := newDatabase(t, cluster.URL(), "original", "")
	pool, err := pgxpool.New(within(t), original)
	if err != nil {
		t.Fatal(err)
	}
	migrate(t, pool)
	cursor := clientOn(pool).save(t, "both")
	eventually(t, "nobody uses the database", func() bool { return pool.Stat().AcquiredConns() == 0 })
	pool.Close() // nobody may use it while it is copied
	here := newClient(t, cluster.URL())
	eventually(t, "nobody is connected to the database", func() bool {
		return one[int](t, here.pool, `SELECT count(*) FROM pg_stat_activity WHERE datname = 'original'`) == 0
	})
	twin := newDatabase(t, cluster.URL(), "twin", "TEMPLATE original")

	a, b := newClient(t, original), newClient(t, twin)
	const oid = `SELECT 'events'::regclass::oid`
	if one[uint32](t, a.pool, oid) != one[uint32](t, b.pool, oid) {
		t.Fatal("the tables were to have the same oid")
	}
	tx := a.open(t, "open")
	a.save(t, "held back")
	b.save(t, "free")
	a.wantKeys(t, cursor)
	b.wantKeys(t, cursor, "free")
	if h := b.horizon(t); !free(h) {
		t.Errorf("a transaction in another database holds readers back: %+v", h)
	}
	wantOpen(t, tx)
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	a.wantKeys(t, cursor, "open", "held back")
}

func whatWasAcknowledgedSurvivesAFullDisk(t *testing.T, cluster *testenv.Cluster) {
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	c := newClient(t, cluster.URL())
	migrate(t, c.pool)
	r := runOf(t, folder, mixConfigs(t, folder, cluster.URL(), 3))
	goOn(t, c.pool, time.Second)

	c.execute(t, "CREATE TABLE ballast (of text)")
	if err := cluster.FillDisk(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the disk is full to the last page", func() bool {
		_, err := c.pool.Exec(within(t), "INSERT INTO ballast SELECT repeat('x', 1000) FROM generate_series(1, 5000)")
		return err != nil
	})
	time.Sleep(500 * time.Millisecond)
	if err := errors.Join(cluster.FreeDisk(t.Context()), cluster.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	goOn(t, c.pool, time.Second)
	r.settle(t, c.calm)
	r.check(t, c.repo, recorder, history.Options{RealTime: true})
}
