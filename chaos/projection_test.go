package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/history"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/dynamoprojection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// The lease of the mixes: short, so that much happens.
const mixLease = time.Second

func TestEachEventIsHandledOnceAndInOrderWithPostgreSQLWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	folder := t.TempDir()
	p := newPostgres(t, record(t, folder, "test"))
	p.withBouncer(t)
	if err := p.sql(t.Context(), modelTables); err != nil {
		t.Fatal(err)
	}
	m := &mix{
		manager: projection.NewManager(p.repo, sqlprojection.NewCheckpoints(p.pool)),
		models: []Model{
			{Name: "plain", Once: true},
			{Name: "partitioned", Once: true, Partitions: []int{4, 4, 1, 3}, Batch: 100},
			{Name: "rebuilt", Once: true, Partitions: []int{1, 2}, Lives: 2 + int(4*duration(t).Minutes())},
			{Name: "parked", Once: true, Partitions: []int{2}, Poison: 20, Batch: 50},
			{Name: "journal", Partitions: []int{1, 3}},
		},
		journal: filepath.Join(folder, "journal"),
		active: func(ctx context.Context) (version int, err error) {
			err = p.pool.QueryRow(ctx, `SELECT coalesce(max(model_version), 1) FROM takeovers`).Scan(&version)
			return version, err
		},
	}
	configs := projecting(configs(folder, seed, 4), m)
	p.place(configs)
	configs[1].Projecting.PollOnly = true // behind PgBouncer
	r := runOf(t, folder, configs)
	m.run = r
	r.torment(t, seed, duration(t),
		kind{"the server", p.serverFaults(), 2 * time.Second, saved(p.store, 10)},
		kind{"open transactions", p.openTransactions(), 3 * time.Second, nil},
		kind{"the network", append(p.networkFaults(), p.valve.forgetting()), 2 * time.Second, nil},
		kind{"workers by a killer", r.crew.kills(), time.Second, nil},
		kind{"workers by a freezer", r.crew.freezes(mixLease), 2 * time.Second, nil},
		kind{"parked events", m.retries(), time.Second, nil})
	r.goOn(t, p.store)
	stored := m.end(t, p.repo, p.settle)
	m.succeed(t, sqlprojection.NewCheckpoints(p.pool))

	tables, err := readTables(t.Context(), p.pool)
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, tables, stored)
	if n := m.logged(t, "event is parked"); n == 0 {
		t.Error("no event was parked")
	}
	takeovers := one[string](t, p.pool, `SELECT coalesce(string_agg(format('%s by version %s', model, model_version), ', '), '') FROM takeovers`)
	if n := one[int](t, p.pool, `SELECT count(*) - count(DISTINCT (model, model_version)) FROM takeovers`); n != 0 {
		keep(t, m.folder)
		t.Errorf("%d takeovers happened twice: %s", n, takeovers)
	}
	t.Logf("longest pauses: %s", one[string](t, p.pool, `SELECT string_agg(format('%s %s', model, pause), ', ') FROM (
		SELECT model, max(pause) AS pause FROM (
			SELECT model, at - lag(at) OVER (PARTITION BY model ORDER BY at) AS pause FROM handled) p GROUP BY model) m`))
}

func TestEachEventIsHandledAndInOrderWithDynamoDBWhateverHappens(t *testing.T) {
	t.Parallel()
	seed := seed(t)
	folder := t.TempDir()
	d := newDynamo(t, 2)
	if err := dynamoprojection.CreateTable(t.Context(), d.client, checkpointTable, dynamoprojection.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	checkpoints := dynamoprojection.NewCheckpoints(d.client, checkpointTable)
	m := &mix{
		manager: projection.NewManager(d.repo, checkpoints),
		models: []Model{
			{Name: "plain"},
			{Name: "partitioned", Partitions: []int{4, 1, 3}, Batch: 20},
		},
		journal: filepath.Join(folder, "journal"),
	}
	configs := projecting(configs(folder, seed, 3), m)
	d.place(configs)
	r := runOf(t, folder, configs)
	m.run = r
	r.torment(t, seed, duration(t),
		kind{"the server", d.serverFaults(), 3 * time.Second, saved(d.store, 3)},
		kind{"the network", append(d.networkFaults(), d.valve.forgetting()), 3 * time.Second, nil},
		kind{"workers by a killer", r.crew.kills(), 3 * time.Second, nil},
		kind{"workers by a freezer", r.crew.freezes(mixLease), 2 * time.Second, nil})
	r.goOn(t, d.store)
	stored := m.end(t, d.repo, d.settle)
	m.succeed(t, checkpoints)
	m.check(t, nil, stored)
}

// mix is a test with projections that are disturbed.
type mix struct {
	*run
	manager *projection.Manager
	models  []Model
	journal string
	// active is the version of models with several that has taken over last.
	active func(context.Context) (int, error)
}

// projecting has workers run the projections of a mix.
func projecting(configs []Config, m *mix) []Config {
	for i := range configs {
		c := &configs[i]
		c.Readers, c.Writers, c.Pause, c.Timeout = 0, 2, 20*time.Millisecond, 3*time.Second
		c.Projecting = &Projecting{Models: m.models, Journal: m.journal, Lease: mixLease, IdleTimeout: 2 * mixLease}
	}
	return configs
}

// kills are what a killer does, whatever state its victim is in.
func (c *crew) kills() []fault {
	return []fault{{"a worker killed", 1, func(_ context.Context, random *rand.Rand) (healer, error) {
		return nil, c.replace(random.IntN(len(c.all())))
	}}}
}

// freezes are workers that are frozen, often for longer than their lease, so that
// others take over before they go on.
func (c *crew) freezes(lease time.Duration) []fault {
	return []fault{{"a worker frozen", 1, func(ctx context.Context, random *rand.Rand) (healer, error) {
		all := c.all()
		p := all[random.IntN(len(all))]
		if err := p.freeze(); err != nil {
			return nil, errNotNow // it has just been killed
		}
		rest(ctx, random, 2*lease)
		if err := p.thaw(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return nil, p.failure("was to go on", err)
		}
		return nil, nil
	}}}
}

// retries has parked events handled again.
func (m *mix) retries() []fault {
	return []fault{{"a retry of parked events", 1, func(ctx context.Context, _ *rand.Rand) (healer, error) {
		for _, model := range m.models {
			if model.Poison == 0 {
				continue
			}
			if _, err := m.manager.RetryParked(ctx, model.Name, 1, ""); err != nil {
				return nil, errNotNow // the server is not there
			}
		}
		return nil, nil
	}}}
}

// newest is the highest version of a model that some worker has run.
func (m *mix) newest(model Model) int {
	newest := 1
	for _, p := range m.crew.all() {
		newest = max(newest, model.version(p.config.Life))
	}
	return newest
}

// end has workers save no more, waits until all is handled, has them end and returns
// what is stored.
func (m *mix) end(t *testing.T, repo eventsource.Repository, calm func(context.Context) error) []history.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if err := m.crew.quiet(ctx); err != nil {
		t.Fatal(err)
	}
	if err := calm(ctx); err != nil {
		t.Fatal(err)
	}
	events, err := repo.GetEventsBySequenceID(ctx, "", 0)
	if err != nil || len(events) == 0 {
		t.Fatalf("%d events are stored, %v", len(events), err)
	}
	stored, began := allSeen(events), time.Now()
	for _, model := range m.models {
		if err := m.caughtUp(ctx, model, stored[len(stored)-1].SequenceID); err != nil {
			m.dump(t)
			t.Fatalf("not all is handled: %v", err)
		}
	}
	t.Logf("all %d events are handled %v after the last fault", len(stored), time.Since(began))
	if err := m.crew.finish(ctx); err != nil {
		t.Fatal(err)
	}
	return stored
}

// dump has all workers write down what they are doing, and keeps it.
func (m *mix) dump(t *testing.T) {
	t.Helper()
	for _, p := range m.crew.all() {
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		select {
		case <-p.ended:
			// What it does is on its standard error.
			if err := os.WriteFile(filepath.Join(m.folder, p.config.process()+".stacks"), p.stderr.Bytes(), 0o600); err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s does not say what it does", p.config.process())
		}
	}
	keep(t, m.folder)
}

// caughtUp waits until a model has all events, none of them parked, in its newest version.
func (m *mix) caughtUp(ctx context.Context, model Model, last string) error {
	for {
		err := m.manager.WaitFor(ctx, model.Name, last)
		if err != nil {
			return err
		}
		waits := ""
		if model.Poison > 0 {
			n, err := m.manager.RetryParked(ctx, model.Name, 1, "")
			if err != nil {
				return err
			}
			if n > 0 {
				waits = fmt.Sprintf("%d events of %s are parked", n, model.Name)
			}
		}
		if model.Lives > 0 {
			version, err := m.active(ctx)
			if err != nil {
				return err
			}
			if newest := m.newest(model); version != newest {
				waits = fmt.Sprintf("version %d of %s has not taken over from version %d", newest, model.Name, version)
			}
		}
		if waits == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New(waits)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// check checks all models.
func (m *mix) check(t *testing.T, tables lists, stored []history.Event) {
	t.Helper()
	journal, err := readJournal(m.journal)
	if err != nil {
		t.Fatal(err)
	}
	for _, model := range m.models {
		all, newest := tables, m.newest(model)
		if !model.Once {
			all = journal
		}
		for version := 1; version <= newest; version++ {
			handled := all[listKey{model.Name, version}]
			t.Logf("version %d of %s has %d entries, %d of them repeated", version, model.Name, len(handled), handled.repeats())
			err := handled.checkOrder(!model.Once)
			if version == newest { // the others were dropped on their way
				err = errors.Join(err, handled.checkComplete(stored))
			}
			if err != nil {
				t.Errorf("version %d of %s: %v", version, model.Name, err)
			}
		}
	}
}

// succeed has one more process take over all leases, so that none is left behind by
// those that have ended or were killed.
func (m *mix) succeed(t *testing.T, checkpoints projection.Checkpoints) {
	t.Helper()
	config := Config{Life: -1}
	for _, p := range m.crew.all() { // one that runs the newest version
		if p.config.Life > config.Life {
			config = p.config
		}
	}
	config.Name, config.Writers = "successor", 0
	successor, err := start(config)
	if err != nil {
		t.Fatal(err)
	}
	defer successor.kill()
	owner := fmt.Sprintf("/%d/", successor.cmd.Process.Pid)
	for _, model := range m.models {
		eventually(t, "a new process has all leases of "+model.Name, func() bool {
			rows, err := checkpoints.Load(within(t), model.Name)
			if err != nil {
				t.Fatal(err)
			}
			held, others := 0, 0
			for _, row := range rows {
				switch {
				case row.Partition < 0 || row.Version != model.version(config.Life):
				case strings.Contains(row.Owner, owner):
					held++
				default:
					others++
				}
			}
			return held == model.partitions(config.Life) && others == 0
		})
	}
	if err := successor.finish(within(t)); err != nil {
		t.Error(err)
	}
}

// logged is how often the projections have logged something.
func (m *mix) logged(t *testing.T, message string) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(m.folder, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n += strings.Count(string(text), message)
	}
	t.Logf("logged %d times: %s", n, message)
	return n
}
