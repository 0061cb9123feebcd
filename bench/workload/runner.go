package workload

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource/bench/system"
)

// Config is what to run.
type Config struct {
	// URL is that of a server, as a role that may create databases.
	URL       string
	Systems   []system.System
	Workloads []Workload
	// Levels are how many events are stored before the workloads run, ascending.
	Levels []int
	// Rounds is how often each system has its turn at each workload.
	Rounds int
	// Time and WarmUp are how long a turn takes, and what precedes it uncounted.
	Time, WarmUp time.Duration
	// Progress is called when something has been done. It is required.
	Progress func(Progress)
}

// Progress says what has been done.
type Progress struct {
	Level int
	// Filled names the database that has been filled, "" if a workload is done.
	Filled string
	// Workload is one that has run on all systems, as number Done of Total, with these results.
	Workload    Workload
	Done, Total int
	Cells       []Cell
}

// Cell is what one system did at one workload.
type Cell struct {
	Level    int    `json:"level"`
	Workload string `json:"workload"`
	System   string `json:"system"`
	// Samples are in the order of the rounds.
	Samples []Sample `json:"samples,omitempty"`
	// Missing says why the system was not measured.
	Missing string `json:"missing,omitempty"`
	// Failed is the error that ended its measurement.
	Failed string `json:"failed,omitempty"`
}

// Database is how much one of the databases held at a level.
type Database struct {
	Level int    `json:"level"`
	Name  string `json:"name"`
	// Events and BytesPerEvent are those after filling.
	Events        int     `json:"events"`
	BytesPerEvent float64 `json:"bytes_per_event"`
}

// keptLevel is the level from which a database is filled once and then used by
// all workloads, which add to it. Below it, every workload gets a new one.
const keptLevel = 100_000

// databasePrefix begins the names of all databases that are made. What follows is
// the run's own, so that two runs on one server do not meet, and the system's.
const databasePrefix = "eventsource_bench_"

// runner is a run of everything.
type runner struct {
	Config
	cells     []Cell
	databases []Database
	prefix    string
	holds     map[string]contents // by name
}

// contents is what a kept database holds.
type contents struct {
	events  int
	payload string
}

// Run runs all workloads on all systems. After an error of a system it goes on
// with the others; it returns what was measured so far with any other error.
func Run(ctx context.Context, c Config) ([]Cell, []Database, error) {
	r := &runner{Config: c, prefix: databasePrefix + strings.ToLower(rand.Text()[:6]) + "_", holds: map[string]contents{}}
	err := r.run(ctx)
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // a broken connection, for instance
	}
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	for name := range r.holds {
		err = errors.Join(err, r.dropDatabase(cleaning, name))
	}
	return r.cells, r.databases, err
}

func (r *runner) run(ctx context.Context) error {
	for _, level := range r.Levels {
		var workloads []Workload
		for _, w := range r.Workloads {
			// A large database is not filled again for other events.
			fits := level >= w.FromEvents && (w.BelowEvents == 0 || level < w.BelowEvents)
			if fits && (level < keptLevel || w.Payload == PayloadGit) {
				workloads = append(workloads, w)
			}
		}
		for i, w := range workloads {
			cells, err := r.workload(ctx, level, w)
			r.cells = append(r.cells, cells...)
			if err != nil {
				return err
			}
			r.Progress(Progress{Level: level, Workload: w, Done: i + 1, Total: len(workloads), Cells: cells})
		}
	}
	return nil
}

// workload runs a workload at a level on all systems.
func (r *runner) workload(ctx context.Context, level int, w Workload) ([]Cell, error) {
	events, err := payloads(w.Payload)
	if err != nil {
		return nil, err
	}
	what := &stored{total: max(level, w.Stores), events: events}
	small := &stored{total: max(r.Levels[0], w.Stores), events: events}
	prepared := map[string]bool{}
	for _, s := range r.Systems {
		if prepared[s.Database] {
			continue
		}
		prepared[s.Database] = true
		if err := r.prepare(ctx, s, level, what, w.Payload); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.Database, err)
		}
		if r.grows(s, level, w) {
			if err := r.prepare(ctx, inSmall(s), r.Levels[0], small, w.Payload); err != nil {
				return nil, fmt.Errorf("prepare a small %s: %w", s.Database, err)
			}
		}
	}

	cells := make([]Cell, len(r.Systems))
	for i, s := range r.Systems {
		cells[i] = Cell{Level: level, Workload: w.Name, System: s.Name}
	}
	rounds := r.Rounds
	if w.Once {
		rounds = 1
	}
	for round := range rounds {
		for turn := range r.Systems {
			i := (turn + round) % len(r.Systems) // nobody is always first
			cell := &cells[i]
			if cell.Missing != "" || cell.Failed != "" {
				continue
			}
			sample, missing, err := r.turn(ctx, r.Systems[i], w, what)
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case errors.Is(err, errNothing):
				cell.Missing = err.Error()
			case err != nil:
				cell.Failed = err.Error()
			case missing != "":
				cell.Missing = missing
			default:
				if r.grows(r.Systems[i], level, w) {
					before, _, err := r.turn(ctx, inSmall(r.Systems[i]), w, small)
					switch {
					case ctx.Err() != nil:
						return nil, ctx.Err()
					case err != nil:
						cell.Failed = err.Error()
						continue
					case before.Rate() > 0:
						sample.Growth = sample.Rate() / before.Rate()
					}
				}
				cell.Samples = append(cell.Samples, sample)
			}
		}
	}
	return cells, nil
}

// grows reports whether a system has a turn with the lowest level's events too, in
// another database, right after each turn at this level. What they differ by is
// then the events, and not the hour.
func (r *runner) grows(s system.System, level int, w Workload) bool {
	low := r.Levels[0]
	return level >= keptLevel && low < keptLevel && low >= w.FromEvents && (s.Kind == system.Limit || s.Kind == system.Ours)
}

// inSmall is the system in the database for comparisons with a higher level.
func inSmall(s system.System) system.System {
	s.Database += smallSuffix
	return s
}

const smallSuffix = "_small"

// turn is one system's turn at a workload.
func (r *runner) turn(ctx context.Context, s system.System, w Workload, what *stored) (_ Sample, missing string, err error) {
	address, err := r.databaseURL(s.Database)
	if err != nil {
		return Sample{}, "", err
	}
	admin, err := pgxpool.New(ctx, address)
	if err != nil {
		return Sample{}, "", err
	}
	defer admin.Close()
	session, err := s.Open(ctx, address, w.Conns)
	if err != nil {
		return Sample{}, "", err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	if missing := w.Missing(s, session); missing != "" {
		return Sample{}, missing, nil
	}
	sample, err := w.run(ctx, &run{
		system: s, session: session, url: address, stored: what, time: r.Time, warmUp: r.WarmUp, admin: admin,
	})
	return sample, "", err
}

// prepare sees to it that a system's database holds what the workload needs.
func (r *runner) prepare(ctx context.Context, s system.System, level int, what *stored, payload string) error {
	had := r.holds[s.Database]
	keep := level >= keptLevel
	if keep && had.payload == payload && had.events >= what.total {
		return nil
	}
	from := had.events
	if !keep || had.payload != payload {
		if err := r.newDatabase(ctx, s); err != nil {
			return err
		}
		from = 0
	}
	address, err := r.databaseURL(s.Database)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	if from == 0 {
		if err := s.Create(ctx, pool); err != nil {
			return err
		}
	}
	empty, err := databaseSize(ctx, pool)
	if err != nil {
		return err
	}
	if err := s.Fill(ctx, pool, what.rows(from)); err != nil {
		return err
	}
	// What the server would otherwise do while somebody is measured.
	for _, statement := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	full, err := databaseSize(ctx, pool)
	if err != nil {
		return err
	}
	r.holds[s.Database] = contents{}
	if keep {
		r.holds[s.Database] = contents{events: what.total, payload: payload}
		r.Progress(Progress{Level: level, Filled: s.Database})
	}
	if known := func(d Database) bool { return d.Level == level && d.Name == s.Database }; payload == PayloadGit &&
		!strings.HasSuffix(s.Database, smallSuffix) && !slices.ContainsFunc(r.databases, known) {
		r.databases = append(r.databases, Database{
			Level: level, Name: s.Database, Events: what.total, BytesPerEvent: float64(full-empty) / float64(what.total-from),
		})
	}
	return nil
}

func databaseSize(ctx context.Context, pool *pgxpool.Pool) (bytes int64, err error) {
	err = pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return bytes, err
}

func (r *runner) newDatabase(ctx context.Context, s system.System) error {
	if err := r.dropDatabase(ctx, s.Database); err != nil {
		return err
	}
	r.holds[s.Database] = contents{} // to be dropped at the end
	// Not interrupted, as the server might go on to create what has been dropped by then.
	return r.exec(context.WithoutCancel(ctx), "CREATE DATABASE "+r.databaseName(s.Database))
}

func (r *runner) dropDatabase(ctx context.Context, name string) error {
	return r.exec(ctx, "DROP DATABASE IF EXISTS "+r.databaseName(name)+" WITH (FORCE)")
}

func (r *runner) databaseName(name string) string { return pgx.Identifier{r.prefix + name}.Sanitize() }

// exec runs a statement in the server's own database.
func (r *runner) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, r.URL)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func (r *runner) databaseURL(name string) (string, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", err
	}
	u.Path = "/" + r.prefix + name
	return u.String(), nil
}
