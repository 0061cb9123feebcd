package chaos

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// The test of the tests: with one mistake in the checkpoints, the same workers, killer
// and freezer, and the same check have to find it out.
func TestAMistakeInHandlingExactlyOnceIsFoundOut(t *testing.T) {
	t.Parallel()
	for _, mistake := range []string{mistakeNoFencing, mistakeCommitsFirst, mistakeMovesFirst, mistakeForgetsParked} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel()
			m, pool := newKillMix(t, mistake)
			found := m.untilFound(t, pool, 0)
			if found == nil {
				t.Fatal("it is not found out")
			}
			t.Logf("found: %v", found)
		})
	}
	for _, none := range []string{"", mistakeHaste} {
		t.Run("nothing is found without one, "+none, func(t *testing.T) {
			t.Parallel()
			m, pool := newKillMix(t, none)
			if err := m.untilFound(t, pool, 10); err != nil {
				t.Fatal(err)
			}
			c := clientOn(pool)
			stored := m.end(t, c.repo, c.calm)
			tables, err := readTables(t.Context(), pool)
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, tables, stored)
		})
	}
}

// handledMore returns what waits until more events are handled than the last time:
// processes that are killed before they do anything show nothing.
func handledMore(pool *pgxpool.Pool) func(context.Context) error {
	before := 0
	return func(ctx context.Context) error {
		for now := before; ; {
			err := pool.QueryRow(ctx, `SELECT count(*) FROM handled`).Scan(&now)
			if err != nil || now > before {
				before = now
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
}

// switches is how often another process handled the next event.
func (l list) switches() (n int) {
	for i := 1; i < len(l); i++ {
		if l[i].Process != l[i-1].Process {
			n++
		}
	}
	return n
}

// newKillMix is a mix in which nothing but processes is disturbed.
func newKillMix(t *testing.T, mistake string) (*mix, *pgxpool.Pool) {
	t.Helper()
	url, folder := testenv.Postgres(t), t.TempDir()
	pool := testenv.Pool(t, url)
	migrate(t, pool)
	if _, err := pool.Exec(t.Context(), modelTables); err != nil {
		t.Fatal(err)
	}
	model := Model{Name: "plain", Once: true, Batch: 10}
	if mistake == mistakeForgetsParked {
		model = Model{Name: "parked", Once: true, Batch: 10, Poison: 10}
	}
	m := &mix{
		manager: projection.NewManager(clientOn(pool).repo, sqlprojection.NewCheckpoints(pool)),
		models:  []Model{model},
		journal: filepath.Join(folder, "journal"),
	}
	configs := projecting(mixConfigs(t, folder, url, 3), m)
	for i := range configs {
		p := configs[i].Projecting
		// A transaction of a process that was frozen is to be there when it goes on.
		p.Mistake, p.Lease, p.IdleTimeout = mistake, 300*time.Millisecond, time.Minute
	}
	m.run = runOf(t, folder, configs)
	return m, pool
}

// untilFound disturbs the workers until something is wrong with a read model, or until
// other processes have gone on with it so many times, unless that is 0.
func (m *mix) untilFound(t *testing.T, pool *pgxpool.Pool, switches int) (found error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var all []*nemesis
	for i, faults := range [][]fault{m.crew.kills(), m.crew.freezes(300 * time.Millisecond), m.retries()} {
		all = append(all, &nemesis{
			faults: faults, random: rand.New(rand.NewPCG(1, uint64(i))), between: time.Second, lasting: time.Second,
			happened: make(map[string]int), report: func(string, ...any) {},
		})
	}
	all[0].ready = handledMore(pool)
	ended := make(chan error, 1)
	go func() { ended <- nemeses(ctx, all...) }()
	for {
		tables, err := readTables(t.Context(), pool)
		if err != nil {
			t.Fatal(err)
		}
		handled := tables[listKey{m.models[0].Name, 1}]
		found = handled.checkOrder(false)
		if found != nil || switches > 0 && handled.switches() >= switches {
			break
		}
		if ctx.Err() != nil {
			if switches > 0 {
				t.Errorf("processes went on %d times, want %d", handled.switches(), switches)
			}
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		t.Logf("what happened: %v", n.happened)
	}
	return found
}
