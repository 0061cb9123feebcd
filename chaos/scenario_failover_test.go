package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// pair is a server and its standby. Workers use the database that both have from
// the beginning, and a scenario's own clients another one, "quiet".
type pair struct {
	*postgres
	standby     *testenv.Cluster
	standbyPool *pgxpool.Pool
	quietOfOne  string // URL of the quiet database on the server that is the primary at first
}

func newPair(t *testing.T, recorder *history.Recorder) *pair {
	t.Helper()
	p := &pair{postgres: newPostgres(t, recorder)}
	p.quietOfOne = newDatabase(t, p.cluster.URL(), "quiet", "")
	migrate(t, testenv.Pool(t, p.quietOfOne))
	var err error
	if p.standby, err = p.cluster.Standby(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.standbyPool = testenv.Pool(t, p.standby.URL())
	return p
}

// url lists both servers, and connects to the one that takes saves.
func (p *pair) url(t *testing.T, database string) string {
	t.Helper()
	return hosts(t, withDatabase(t, p.cluster.URL(), database),
		[]string{p.cluster.Address(), p.standby.Address()}, "target_session_attrs=read-write", "connect_timeout=5")
}

// through lists both servers too, the first one behind a network. A pool has one
// connection.
func (p *pair) through(t *testing.T, n *network, database string, parameters ...string) string {
	t.Helper()
	return hosts(t, withDatabase(t, p.cluster.URL(), database),
		[]string{n.address(), p.standby.Address()}, append(parameters, "connect_timeout=5", "pool_max_conns=1")...)
}

// promoted returns a client of the server that was the standby.
func (p *pair) promoted(t *testing.T) *client {
	t.Helper()
	return newClient(t, p.standby.URL())
}

func TestSavesThatAStandbyLacksAreLostWholeAndAllElseGoesOn(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	p := newPair(t, recorder)
	quiet := p.url(t, "quiet")

	// Workers that only save go on all the time. Those that only read are frozen
	// while saves get lost, so that the cursors they have are known afterwards.
	saving := mixConfigs(t, folder, p.url(t, "eventsource"), 3)
	reading := mixConfigs(t, folder, p.url(t, "eventsource"), 4)[3:]
	for i := range saving {
		saving[i].Readers = 0
	}
	reading[0].Writers, reading[0].Readers = 0, 3
	writers, readers := runOf(t, folder, saving), runOf(t, folder, reading)

	ahead := newClient(t, quiet, behind(-5*time.Second))
	reader := newClient(t, quiet)
	kept := ahead.save(t, "kept")
	goOn(t, p.pool, time.Second)
	if err := readers.crew.all()[0].freeze(); err != nil {
		t.Fatal(err)
	}

	losing := history.Interval{From: history.Now()} // the standby has what was saved before
	caughtUp(t, p.pool, p.standbyPool)
	cut(t, p.standbyPool)
	lost := ahead.save(t, "lost")
	reader.wantKeys(t, kept, "lost")
	network := networkTo(t, p.cluster.Address())
	hurried := newClient(t, p.through(t, network, "quiet", "target_session_attrs=read-write"), sqlstore.WithOutcomeTimeout(patience))
	unanswered := answerLost(t, hurried, network, reader, newEvent("unanswered", "unanswered", 0, false))
	goOn(t, p.pool, 500*time.Millisecond)

	if err := p.cluster.Stop(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	network.close()
	beginAnew(t, saving) // with that the last answer has been written down
	losing.To = history.Now()
	if err := p.standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Run("a cursor that is lost is above the head until something is saved", func(t *testing.T) {
		if head := reader.horizon(t).Head; head != kept || head >= lost {
			t.Errorf("the head is %s, want %s, below %s", head, kept, lost)
		}
		reader.wantKeys(t, lost)
	})
	t.Run("a save without an answer that is lost is not stored", func(t *testing.T) {
		wantRefused(t, receive(t, unanswered))
	})
	t.Run("new saves are above the new head, and a reader with a lost cursor may miss them", func(t *testing.T) {
		missed := newClient(t, quiet, behind(time.Hour)).save(t, "missed")
		if missed <= kept || missed >= lost {
			t.Errorf("the save of a clock that is behind got %s, want it above %s and, for this test, below %s", missed, kept, lost)
		}
		reader.wantKeys(t, kept, "missed")
		reader.wantKeys(t, lost)
		// Who has saved above the head goes on from there.
		if later := ahead.save(t, "later"); later <= lost {
			t.Errorf("a process that had saved %s got %s", lost, later)
		}
		reader.wantKeys(t, kept, "missed", "later")
		reader.wantKeys(t, lost, "later") // and nothing shows that there was another one
		if head := reader.horizon(t).Head; head <= lost {
			t.Errorf("the head is %s, want it above %s", head, lost)
		}
	})

	if err := readers.crew.all()[0].thaw(); err != nil {
		t.Fatal(err)
	}
	goOn(t, p.standbyPool, time.Second)
	after := p.promoted(t)
	writers.settle(t, after.calm)
	readers.settle(t, after.calm)
	readers.check(t, after.repo, recorder, history.Options{RealTime: true, LostBetween: losing})
}

func TestAFailoverWithSynchronousReplicationLosesNothing(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	recorder := record(t, folder, "test")
	p := newPair(t, recorder)
	quiet := p.url(t, "quiet")
	p.synchronous(t)
	configs := mixConfigs(t, folder, p.url(t, "eventsource"), 3)
	for i := range configs {
		// Who cancels shows everyone what the standby may lack.
		configs[i].Patient, configs[i].Timeout = true, patience
	}
	r := runOf(t, folder, configs)
	goOn(t, p.pool, time.Second)

	reader := newClient(t, quiet)
	cursor := reader.save(t, "first")
	prepared := reader.prepare(t, "prepared")
	// The standby has everything, but does not show it before it is promoted.
	if _, err := p.standbyPool.Exec(within(t), "SELECT pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	network := networkTo(t, p.cluster.Address())
	hurried := newClient(t, p.through(t, network, "quiet", "target_session_attrs=any"), sqlstore.WithOutcomeTimeout(patience))
	unanswered := newEvent("unanswered", "unanswered", 0, false)
	result := answerLost(t, hurried, network, reader, unanswered)
	goOn(t, p.pool, 300*time.Millisecond)

	if err := p.cluster.Stop(t.Context(), "immediate"); err != nil {
		t.Fatal(err)
	}
	network.close()
	eventually(t, "the outcome is looked up on the standby", func() bool {
		return one[int](t, p.standbyPool, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = 'quiet' AND state = 'idle' AND pid <> pg_backend_pid()`) > 0
	})
	time.Sleep(300 * time.Millisecond) // it asks again and again
	if err := p.standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, result); err != nil {
		t.Errorf("a save that is stored gets %v", err)
	}

	t.Run("a prepared transaction holds readers back as before", func(t *testing.T) {
		held := reader.horizon(t)
		if held.Lag == 0 || held.SafeEnd != cursor || held.Head <= cursor {
			t.Errorf("the horizon is %+v", held)
		}
		reader.wantKeys(t, cursor)
		reader.execute(t, "COMMIT PREPARED 'prepared'")
		if at := one[string](t, reader.pool, `SELECT sequence_id FROM events WHERE aggregate_id = 'aggregate-prepared'`); at != prepared {
			t.Errorf("the prepared event is at %s, want %s", at, prepared)
		}
		reader.wantKeys(t, cursor, "prepared", "unanswered-before", "unanswered")
		reader.wantKeys(t, prepared, "unanswered-before", "unanswered")
		reader.wantKeys(t, unanswered.GetSequenceID())
	})

	goOn(t, p.standbyPool, time.Second)
	after := p.promoted(t)
	r.settle(t, after.calm)
	r.check(t, after.repo, recorder, history.Options{RealTime: true})
}

func TestASaveThatTheStandbyHasNotConfirmedIsNotSaidToBeStored(t *testing.T) {
	t.Parallel()
	p := newPair(t, record(t, t.TempDir(), "test"))
	p.synchronous(t)
	c := newClient(t, p.quietOfOne, sqlstore.WithOutcomeTimeout(500*time.Millisecond))
	onlooker := newClient(t, p.quietOfOne)
	onlooker.save(t, "first")
	conninfo := one[string](t, p.standbyPool, `SHOW primary_conninfo`)
	cut(t, p.standbyPool)

	// When its context ends while the server waits for the standby, pgx cancels. The
	// server then stops waiting, and shows everyone what the standby lacks.
	stored := []string{"first"}
	for _, way := range []struct {
		key  string
		save func(context.Context, eventsource.Event) error
	}{
		{"Save", func(ctx context.Context, event eventsource.Event) error { return c.repo.Save(ctx, event) }},
		{"Commit", func(ctx context.Context, event eventsource.Event) error {
			return c.end(ctx, event, eventsource.StoreTransaction.Commit)
		}},
	} {
		result := p.cancelled(t, func(ctx context.Context) error { return way.save(ctx, newEvent(way.key, way.key, 0, false)) })
		if err := receive(t, result); !errors.Is(err, eventsource.ErrOutcomeUnknown) {
			t.Errorf("%s returns %v, want ErrOutcomeUnknown", way.key, err)
		}
		stored = append(stored, way.key)
		eventually(t, "the event is visible", func() bool { return slices.Equal(onlooker.keys(t, ""), stored) })
	}

	// With the standby back the outcome can be known.
	late := newClient(t, p.quietOfOne, sqlstore.WithOutcomeTimeout(patience))
	result := p.cancelled(t, func(ctx context.Context) error { return late.repo.Save(ctx, newEvent("late", "late", 0, false)) })
	eventually(t, "the late event is visible", func() bool {
		return one[int](t, onlooker.pool, `SELECT count(*) FROM events WHERE aggregate_id = 'late'`) == 1
	})
	reconnect(t, p.standbyPool, conninfo)
	if err := receive(t, result); err != nil {
		t.Errorf("a save that the standby has gets %v", err)
	}
	quietStandby := testenv.Pool(t, withDatabase(t, p.standby.URL(), "quiet"))
	caughtUp(t, p.pool, quietStandby)
	if n := one[int](t, quietStandby, `SELECT count(*) FROM events`); n != 4 {
		t.Errorf("the standby has %d events, want 4", n)
	}
}

// cancelled does something in the quiet database, and cancels its context once the
// server waits for the standby. What comes of it is on the channel.
func (p *pair) cancelled(t *testing.T, do func(context.Context) error) <-chan error {
	t.Helper()
	waiting := func() int {
		return one[int](t, p.pool, `SELECT count(*) FROM pg_stat_activity WHERE datname = 'quiet' AND wait_event = 'SyncRep'
			AND backend_type = 'client backend'`)
	}
	// What was cancelled before may go on for a moment.
	eventually(t, "nobody waits for the standby", func() bool { return waiting() == 0 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- do(ctx) }()
	eventually(t, "the server waits for the standby", func() bool { return waiting() == 1 })
	return result
}

// beginAnew waits until each writer of some workers has begun to save something else
// than now.
func beginAnew(t *testing.T, configs []Config) {
	t.Helper()
	for _, config := range configs {
		file := filepath.Join(config.Folder, config.process()+".history")
		read := func() []byte {
			lines, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			return lines
		}
		known := len(read())
		for writer := range config.Writers {
			key := fmt.Appendf(nil, `"k":"%s-%d-`, config.process(), writer)
			eventually(t, "each writer begins to save something else", func() bool {
				return slices.ContainsFunc(bytes.Split(read()[known:], []byte("\n")), func(line []byte) bool {
					return bytes.HasPrefix(line, []byte(`{"op":"save"`)) && bytes.Contains(line, key)
				})
			})
		}
	}
}

// synchronous has the primary wait for its standby at each commit from now on.
func (p *pair) synchronous(t *testing.T) {
	t.Helper()
	for _, statement := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'standby'", "SELECT pg_reload_conf()"} {
		if _, err := p.pool.Exec(within(t), statement); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "replication is synchronous", func() bool {
		return one[int](t, p.pool, `SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'`) == 1
	})
	// Each session takes the setting up on its own.
	p.pool.Reset()
}

// prepare saves an event in a transaction that it prepares, under the same name, and
// returns its sequence ID.
func (c *client) prepare(t *testing.T, key string) string {
	t.Helper()
	conn, err := c.pool.Acquire(within(t))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tx, err := conn.Begin(within(t))
	if err != nil {
		t.Fatal(err)
	}
	event := newEvent(key, "aggregate-"+key, 0, false)
	if err := eventsource.NewRepository(c.store.WithTx(tx), serializer()).Save(within(t), event); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(within(t), "PREPARE TRANSACTION '"+key+"'"); err != nil {
		t.Fatal(err)
	}
	nextMillisecond()
	return event.GetSequenceID()
}
