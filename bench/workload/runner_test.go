package workload

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/bench/system"
	"github.com/eventsource-go/eventsource/internal/testenv"
)

// config is a short run on a real server. The systems get a database of the
// test's own, and the test fails if it is still there at the end.
func config(t *testing.T, workloads string, systems ...system.System) *Config {
	t.Helper()
	url := testenv.Server(t)
	name := "test_" + uuid.NewString()[:8]
	for i := range systems {
		systems[i].Database = name
	}
	matching, err := Match(All(), workloads)
	if err != nil {
		t.Fatal(err)
	}
	server := testenv.Pool(t, url)
	t.Cleanup(func() {
		var left []string
		err := server.QueryRow(context.Background(), `SELECT array_agg(datname::text) FROM pg_database WHERE strpos(datname, $1) > 0`, name).Scan(&left)
		if err != nil || len(left) > 0 {
			t.Errorf("the run left the databases %q behind: %v", left, err)
		}
	})
	return &Config{
		URL: url, Systems: systems, Workloads: matching, Levels: []int{1000}, Rounds: 2,
		Time: 20 * time.Millisecond, WarmUp: 2 * time.Millisecond, Progress: func(Progress) {},
	}
}

func TestRunMeasuresEverySystemAtEveryWorkload(t *testing.T) {
	t.Parallel()
	c := config(t, `^(load/10|catch-up/(pages/1KB|stream|writers|memory)|save/10/hot/8)$`,
		system.Raw(), system.Records(), system.NaiveStore())
	var done []string
	c.Progress = func(p Progress) {
		done = append(done, p.Workload.Name)
		if p.Level != 1000 || p.Done != len(done) || p.Total != len(c.Workloads)-1 || len(p.Cells) != len(c.Systems) {
			t.Errorf("progress %d is %+v", len(done), p)
		}
	}
	cells, databases, err := Run(t.Context(), *c)
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	for _, w := range c.Workloads {
		if w.FromEvents > 1000 {
			continue // needs more events
		}
		if done[i/len(c.Systems)] != w.Name {
			t.Errorf("the workloads done are %q, want %q as number %d", done, w.Name, i/len(c.Systems)+1)
		}
		for _, s := range c.Systems {
			cell := cells[i]
			i++
			if cell.Level != 1000 || cell.Workload != w.Name || cell.System != s.Name {
				t.Errorf("cell %d is of level %d, %s, %s, want 1000, %s, %s", i, cell.Level, cell.Workload, cell.System, w.Name, s.Name)
			}
			if cell.Failed != "" || cell.Missing != "" || len(cell.Samples) != c.Rounds {
				t.Errorf("%s, %s: %d rounds were measured, want %d; failed: %q, missing: %q",
					w.Name, s.Name, len(cell.Samples), c.Rounds, cell.Failed, cell.Missing)
			}
			for _, sample := range cell.Samples {
				if sample.Rate() <= 0 {
					t.Errorf("%s, %s: nothing was done: %+v", w.Name, s.Name, sample)
				}
			}
		}
	}
	if i != len(cells) {
		t.Errorf("there are %d cells, want %d", len(cells), i)
	}
	if len(databases) != 1 || databases[0].Level != 1000 || databases[0].Events != 1000 || databases[0].BytesPerEvent <= 0 {
		t.Errorf("the databases are %+v, want one with 1000 events", databases)
	}
}

func TestRunGoesOnWithoutASystemThatFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	fails, closes, recovers := system.RawStatement(), system.NaiveStore(), system.Events()
	fails.Open = func(context.Context, string, int) (system.Session, error) { return nil, broken }
	open := closes.Open
	closes.Open = func(ctx context.Context, url string, conns int) (system.Session, error) {
		s, err := open(ctx, url, conns)
		return failsToClose{s, broken}, err
	}
	turns, reopen := 0, recovers.Open
	recovers.Open = func(ctx context.Context, url string, conns int) (system.Session, error) {
		if turns++; turns == 2 {
			return nil, broken
		}
		return reopen(ctx, url, conns)
	}
	c := config(t, `^save/1/new/1$`, fails, closes, recovers, system.Raw())
	c.Rounds = 3
	cells, _, err := Run(t.Context(), *c)
	if err != nil || len(cells) != 4 {
		t.Fatalf("got %d cells and %v, want 4", len(cells), err)
	}
	for i, want := range []struct {
		failed  string
		samples int
	}{{"broken", 0}, {"broken", 0}, {"broken", 1}, {"", 3}} {
		if cells[i].Failed != want.failed || len(cells[i].Samples) != want.samples {
			t.Errorf("%s has %d samples and failed with %q, want %d and %q",
				cells[i].System, len(cells[i].Samples), cells[i].Failed, want.samples, want.failed)
		}
	}
	if turns != 2 {
		t.Errorf("a system that failed in its second turn had %d turns", turns)
	}
}

func TestRunSaysWhichReaderDeliveredNothingInTime(t *testing.T) {
	t.Parallel()
	slow := system.Raw()
	open := slow.Open
	slow.Open = func(ctx context.Context, url string, conns int) (system.Session, error) {
		s, err := open(ctx, url, conns)
		return deliversNothing{s}, err
	}
	cells, _, err := Run(t.Context(), *config(t, `^catch-up/stream$`, slow))
	if err != nil || len(cells) != 1 {
		t.Fatalf("got %d cells and %v, want 1", len(cells), err)
	}
	if got := cells[0]; got.Missing != errNothing.Error() || got.Failed != "" || len(got.Samples) > 0 {
		t.Errorf("got %+v, want one that says that nothing was delivered, and did not fail", got)
	}
}

// deliversNothing waits until it is told to stop.
type deliversNothing struct{ system.Session }

func (deliversNothing) Stream(ctx context.Context, _ func(system.ID) bool) error {
	<-ctx.Done()
	return ctx.Err()
}

type failsToClose struct {
	system.Session
	err error
}

func (f failsToClose) Close() error { return errors.Join(f.err, f.Session.Close()) }

func TestRunSaysWhatASystemCannotDo(t *testing.T) {
	t.Parallel()
	raw := system.Raw()
	raw.Kind = system.MessageLog
	c := config(t, `^load/10$`, raw)
	cells, _, err := Run(t.Context(), *c)
	if err != nil || len(cells) != 1 || cells[0].Missing != "knows no aggregates" || len(cells[0].Samples) > 0 {
		t.Errorf("got %+v, %v, want a cell that says what is missing", cells, err)
	}
}

func TestRunEndsWithItsContextAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"create", "fill", "open", "save"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := system.Raw()
			create, fill, open := s.Create, s.Fill, s.Open
			workloads := 0
			now := func(what string) {
				if what == when && workloads == 1 {
					cancel()
				}
			}
			s.Create = func(ctx context.Context, pool *pgxpool.Pool) error {
				now("create")
				return create(ctx, pool)
			}
			s.Fill = func(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[system.Row]) error {
				return fill(ctx, pool, func(yield func(system.Row) bool) {
					for row := range rows {
						now("fill")
						if !yield(row) {
							return
						}
					}
				})
			}
			s.Open = func(ctx context.Context, url string, conns int) (system.Session, error) {
				now("open")
				session, err := open(ctx, url, conns)
				return cancels{session, func() { now("save") }}, err
			}
			c := config(t, `^save/(1|10)/new/1$`, s)
			c.Progress = func(Progress) { workloads++ }
			cells, _, err := Run(ctx, *c)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			if len(cells) != 1 || len(cells[0].Samples) != c.Rounds {
				t.Errorf("got %+v, want what was measured before", cells)
			}
		})
	}
}

type cancels struct {
	system.Session
	now func()
}

func (c cancels) Save(ctx context.Context, batch system.Batch) error {
	c.now()
	return c.Session.Save(ctx, batch)
}

func TestRunThatCannotPrepareSaysWhichDatabase(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	s := system.Raw()
	s.Create = func(context.Context, *pgxpool.Pool) error { return broken }
	c := config(t, `^load/10$`, s)
	cells, _, err := Run(t.Context(), *c)
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), c.Systems[0].Database) || len(cells) > 0 {
		t.Errorf("got %+v, %v, want %v and the name of the database", cells, err, broken)
	}
}

func TestLargeDatabaseIsFilledOnceAndThenAddedTo(t *testing.T) {
	t.Parallel()
	s := system.Records()
	var filled []int
	fill := s.Fill
	s.Fill = func(ctx context.Context, pool *pgxpool.Pool, rows iter.Seq[system.Row]) error {
		n := 0
		err := fill(ctx, pool, func(yield func(system.Row) bool) {
			for row := range rows {
				n++
				if !yield(row) {
					return
				}
			}
		})
		filled = append(filled, n)
		return err
	}
	c := config(t, `^(load/10000|catch-up/pages|catch-up/pages/1KB)$`, s)
	c.Levels, c.Rounds = []int{keptLevel, keptLevel + 5000}, 1
	cells, databases, err := Run(t.Context(), *c)
	if err != nil {
		t.Fatal(err)
	}
	if want := []int{keptLevel, 5000}; !slices.Equal(filled, want) {
		t.Errorf("it was filled with %v events, want %v", filled, want)
	}
	if len(cells) != 4 { // none of other events than those that are stored
		t.Errorf("there are %d cells, want 2 at each level", len(cells))
	}
	for _, cell := range cells {
		if len(cell.Samples) != 1 || cell.Failed != "" {
			t.Errorf("level %d, %s: got %+v", cell.Level, cell.Workload, cell)
		}
	}
	for i, d := range databases {
		if len(databases) != 2 || d.Level != c.Levels[i] || d.Events != d.Level || d.BytesPerEvent < 50 || d.BytesPerEvent > 2000 {
			t.Errorf("database %d is %+v, want %d events of some hundred bytes", i, d, c.Levels[i])
		}
	}
}

func TestGrowthIsToTheRateWithTheFewestEvents(t *testing.T) {
	t.Parallel()
	opened := map[string]int{}
	raw := system.Raw()
	open := raw.Open
	raw.Open = func(ctx context.Context, url string, conns int) (system.Session, error) {
		opened[url[strings.LastIndex(url, "/"):]]++
		return open(ctx, url, conns)
	}
	c := config(t, `^catch-up/pages$`, raw, system.NaiveStore())
	c.Levels = []int{1000, keptLevel}
	cells, databases, err := Run(t.Context(), *c)
	if err != nil || len(cells) != 4 {
		t.Fatalf("got %d cells and %v, want 4", len(cells), err)
	}
	for _, cell := range cells {
		grows := cell.Level == keptLevel && cell.System == raw.Name
		for _, sample := range cell.Samples {
			if (sample.Growth > 0) != grows {
				t.Errorf("level %d, %s: the growth is %v; it is of limits and of this module, at high levels", cell.Level, cell.System, sample.Growth)
			}
		}
		if len(cell.Samples) != c.Rounds || cell.Failed != "" {
			t.Errorf("level %d, %s: got %+v", cell.Level, cell.System, cell)
		}
	}
	if len(databases) != 2 {
		t.Errorf("the databases are %+v, want one at each level", databases)
	}
	if len(opened) != 2 {
		t.Errorf("raw was opened in %v, want two databases", opened)
	}
}
