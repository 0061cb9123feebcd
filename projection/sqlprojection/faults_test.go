package sqlprojection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/projection"
	"github.com/eventsource-go/eventsource/projection/sqlprojection"
)

// bench is checkpoints with one row, on connections that can be cut, and a pool beside
// them that nobody cuts. There is a table for a read model.
type bench struct {
	*sqlprojection.Checkpoints
	wires  *wires
	direct *pgxpool.Pool
}

var errMine = errors.New("mine")

func newBench(t *testing.T, opts ...sqlprojection.Option) bench {
	t.Helper()
	url := testenv.Postgres(t)
	pool, w := wiredPool(t, url)
	b := bench{sqlprojection.NewCheckpoints(pool, opts...), w, migrated(t, url)}
	b.execute(t, `CREATE TABLE model (id text UNIQUE DEFERRABLE INITIALLY IMMEDIATE)`)
	update(t, b.Checkpoints, projection.Row{Name: "p", Version: 1, Token: 1})
	return b
}

func (b bench) execute(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := b.direct.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// step is what a handler and the runner do in a transaction.
func (b bench) step(ctx context.Context, id string) error {
	tx, _ := sqlprojection.Tx(ctx)
	if _, err := tx.Exec(ctx, `INSERT INTO model VALUES ($1)`, id); err != nil {
		return err
	}
	_, err := b.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1, Position: id, Handled: 1})
	return err
}

// check checks how many steps have been done, in the model and by the checkpoint.
func (b bench) check(t testing.TB, steps int) {
	t.Helper()
	var model int
	if err := b.direct.QueryRow(t.Context(), `SELECT count(*) FROM model`).Scan(&model); err != nil {
		t.Fatal(err)
	}
	rows, err := sqlprojection.NewCheckpoints(b.direct).Load(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	if model != steps || rows[0].Handled != int64(steps) {
		t.Errorf("%d steps are in the model and %d in the checkpoint, want %d", model, rows[0].Handled, steps)
	}
}

// goesOn checks that what has happened is no obstacle.
func (b bench) goesOn(t testing.TB, steps int) {
	t.Helper()
	if err := b.Transact(t.Context(), func(ctx context.Context) error { return b.step(ctx, "last") }); err != nil {
		t.Errorf("after it: %v", err)
	}
	b.check(t, steps+1)
}

func update(t testing.TB, c projection.Checkpoints, rows ...projection.Row) {
	t.Helper()
	if err := c.Update(t.Context(), rows, nil); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// breaks are ways to break the connection of a transaction.
func (b bench) breaks() map[string]func(t *testing.T, ctx context.Context) {
	return map[string]func(t *testing.T, ctx context.Context){
		"cut": func(*testing.T, context.Context) { b.wires.cutAll() },
		"terminated": func(t *testing.T, ctx context.Context) {
			tx, _ := sqlprojection.Tx(ctx)
			b.execute(t, `SELECT pg_terminate_backend($1, 60000)`, int32(tx.Conn().PgConn().PID()))
		},
	}
}

func TestATransactionWhoseConnectionBreaksIsUnavailableWhateverTheHandlerSays(t *testing.T) {
	for what := range (bench{}).breaks() {
		for says, handle := range map[string]func(ctx context.Context, b bench) error{
			"nothing":                func(context.Context, bench) error { return nil },
			"an error of its own":    func(context.Context, bench) error { return errMine },
			"a permanent error":      func(context.Context, bench) error { return projection.Permanent(errMine) },
			"the server's error":     func(ctx context.Context, b bench) error { return b.step(ctx, "2") },
			"of Advance that failed": func(ctx context.Context, b bench) error { return advanceOnly(ctx, b) },
		} {
			t.Run(what+", the handler says "+says, func(t *testing.T) {
				b := newBench(t)
				var said error
				err := b.Transact(t.Context(), func(ctx context.Context) error {
					if err := b.step(ctx, "1"); err != nil {
						return err
					}
					b.breaks()[what](t, ctx)
					said = handle(ctx, b)
					return said
				})
				if !errors.Is(err, projection.ErrUnavailable) {
					t.Errorf("error is %v, want %v", err, projection.ErrUnavailable)
				}
				if said != nil && !errors.Is(err, said) {
					t.Errorf("error %v does not tell of %v", err, said)
				}
				b.check(t, 0)
				b.goesOn(t, 0)
			})
		}
	}
}

func advanceOnly(ctx context.Context, b bench) error {
	_, err := b.Advance(ctx, projection.Move{Name: "p", Version: 1, Token: 1})
	return err
}

func TestACommitThatIsInterruptedIsUnavailable(t *testing.T) {
	for name, test := range map[string]struct {
		when  cut
		steps int
	}{"before it arrived": {before, 0}, "when it was done": {after, 1}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wires.watch(func(chunk []byte) cut {
				if bytes.Contains(bytes.ToLower(chunk), []byte("commit\x00")) {
					return test.when
				}
				return no
			})
			err := b.Transact(t.Context(), func(ctx context.Context) error { return b.step(ctx, "1") })
			if !errors.Is(err, projection.ErrUnavailable) {
				t.Errorf("error is %v, want %v", err, projection.ErrUnavailable)
			}
			b.wires.watch(nil)
			b.check(t, test.steps)
			b.goesOn(t, test.steps)
		})
	}
}

func TestATransactionThatCannotBeginIsUnavailable(t *testing.T) {
	b := newBench(t)
	b.wires.watch(func([]byte) cut { return before })
	err := b.Transact(t.Context(), func(context.Context) error {
		t.Error("the handler was called")
		return nil
	})
	if !errors.Is(err, projection.ErrUnavailable) {
		t.Errorf("error is %v, want %v", err, projection.ErrUnavailable)
	}
	b.wires.watch(nil)
	b.goesOn(t, 0)
}

// A process that froze in the middle of a transaction holds the row of its lease.
func TestAFrozenTransactionLosesItsLocksSoThatAnotherCanTakeOver(t *testing.T) {
	b := newBench(t, sqlprojection.WithIdleTimeout(500*time.Millisecond))
	took := make(chan time.Duration, 1)
	err := b.Transact(t.Context(), func(ctx context.Context) error {
		if err := b.step(ctx, "1"); err != nil {
			return err
		}
		began := time.Now()
		others := sqlprojection.NewCheckpoints(b.direct)
		rows, err := others.Load(t.Context(), "p")
		if err != nil {
			return err
		}
		rows[0].Token, rows[0].Owner = 2, "heir"
		if err := others.Update(t.Context(), rows, nil); err != nil { // waits for the lock
			t.Errorf("the heir's Update: %v", err)
		}
		took <- time.Since(began)
		return nil // it wakes up
	})
	if errors.Is(err, projection.ErrUnavailable) || !errors.Is(err, sqlprojection.ErrIdleTimeout) {
		t.Errorf("error is %v, want %v", err, sqlprojection.ErrIdleTimeout)
	}
	if d := <-took; d < 300*time.Millisecond || d > 30*time.Second {
		t.Errorf("the takeover took %v", d)
	}
	b.check(t, 0)
	_, err = b.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 1})
	if !errors.Is(err, projection.ErrFenced) {
		t.Errorf("the frozen one's next step: %v", err)
	}
}

func TestAHandlerThatIsSlowBetweenTwoStatementsIsTold(t *testing.T) {
	for says, handle := range map[string]func(ctx context.Context, b bench) error{
		"its statement's error": func(ctx context.Context, b bench) error { return b.step(ctx, "2") },
		"that of Advance":       advanceOnly,
		"nothing":               func(context.Context, bench) error { return nil },
	} {
		t.Run(says, func(t *testing.T) {
			b := newBench(t, sqlprojection.WithIdleTimeout(300*time.Millisecond))
			err := b.Transact(t.Context(), func(ctx context.Context) error {
				tx, _ := sqlprojection.Tx(ctx)
				pid := tx.Conn().PgConn().PID()
				if err := b.step(ctx, "1"); err != nil {
					return err
				}
				waitFor(t, "the session to end", func() (ended bool) {
					if err := b.direct.QueryRow(t.Context(), `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, int32(pid)).Scan(&ended); err != nil {
						t.Fatal(err)
					}
					return ended
				})
				return handle(ctx, b)
			})
			if !errors.Is(err, sqlprojection.ErrIdleTimeout) || errors.Is(err, projection.ErrUnavailable) ||
				!strings.Contains(err.Error(), "300ms") || !strings.Contains(err.Error(), "WithIdleTimeout") {
				t.Errorf("error is %v", err)
			}
			b.check(t, 0)
			b.goesOn(t, 0)
		})
	}
}

func TestAHandlersFaultIsItsOwn(t *testing.T) {
	for name, test := range map[string]struct {
		handle func(ctx context.Context, tx pgx.Tx) error
		code   string
	}{
		"a statement that fails": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `INSERT INTO nowhere VALUES (1)`)
			return err
		}, "42P01"},
		"a constraint that is checked at the end": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SET CONSTRAINTS ALL DEFERRED`)
			if err == nil {
				_, err = tx.Exec(ctx, `INSERT INTO model VALUES ('twice'), ('twice')`)
			}
			return err
		}, "23505"},
		"a statement that takes too long": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 50`)
			if err == nil {
				_, err = tx.Exec(ctx, `SELECT pg_sleep(60)`)
			}
			return err
		}, "57014"},
		"an error that it keeps to itself": {func(ctx context.Context, tx pgx.Tx) error {
			_, _ = tx.Exec(ctx, `INSERT INTO nowhere VALUES (1)`)
			return nil
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			err := b.Transact(t.Context(), func(ctx context.Context) error {
				tx, _ := sqlprojection.Tx(ctx)
				return test.handle(ctx, tx)
			})
			if err == nil || errors.Is(err, projection.ErrUnavailable) {
				t.Fatalf("error is %v", err)
			}
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) != (test.code != "") || pgErr != nil && pgErr.Code != test.code {
				t.Errorf("error is %v, want SQLSTATE %q", err, test.code)
			}
			b.check(t, 0)
			b.goesOn(t, 0)
		})
	}
}

func TestAContextThatEndsDuringAStatementEndsTheTransaction(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := b.Transact(ctx, func(ctx context.Context) error {
		if err := b.step(ctx, "1"); err != nil {
			return err
		}
		tx, _ := sqlprojection.Tx(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err := tx.Exec(ctx, `SELECT pg_sleep(60)`)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
	waitFor(t, "the row to be free", func() bool {
		_, err := b.direct.Exec(t.Context(), `SELECT FROM events_projections FOR UPDATE NOWAIT`)
		return err == nil
	})
	b.check(t, 0)
	b.goesOn(t, 0)
}

func TestRequestsAndUnparkingAtOnceBothHappen(t *testing.T) {
	b := newBench(t)
	const count = 50
	for round := range 20 {
		var events []projection.Parked
		var ids []string
		for n := range count {
			ids = append(ids, fmt.Sprintf("%026d", n))
			events = append(events, projection.Parked{SequenceID: ids[n], AggregateID: "a", Type: "T", State: projection.StateParked})
		}
		if _, err := b.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 1, Park: events}); err != nil {
			t.Fatal(err)
		}
		requested := make(chan error, 1)
		go func() { requested <- b.RequestParked(t.Context(), "p", 1, projection.RequestRetry, ids...) }()
		_, err := b.Advance(t.Context(), projection.Move{Name: "p", Version: 1, Token: 1, Park: events[:5], Unpark: ids})
		if err := errors.Join(err, <-requested); err != nil {
			t.Fatal(err)
		}
		left, err := b.Parked(t.Context(), projection.ParkedQuery{Name: "p", Version: 1})
		if err != nil || len(left) != 5 {
			t.Fatalf("round %d: %d events are left, %v", round, len(left), err)
		}
	}
}

func TestARowThatAppearsDuringAnUpdateIsStaleAndDoesNotEndTheTransaction(t *testing.T) {
	b := newBench(t)
	other, err := b.direct.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Rollback(context.WithoutCancel(t.Context())) }()
	const insert = `INSERT INTO events_projections VALUES ('q', 0, 0, 1, 0, '', '', 0, '', '', 0, NULL)`
	if _, err := other.Exec(t.Context(), insert); err != nil {
		t.Fatal(err)
	}
	err = b.Transact(t.Context(), func(ctx context.Context) error {
		tx, _ := sqlprojection.Tx(ctx)
		pid := int32(tx.Conn().PgConn().PID())
		updated := make(chan error, 1)
		go func() { updated <- b.Update(ctx, []projection.Row{{Name: "q"}}, nil) }()
		waitFor(t, "the update to wait for the other one", func() (waits bool) {
			if err := b.direct.QueryRow(t.Context(), `SELECT cardinality(pg_blocking_pids($1)) > 0`, pid).Scan(&waits); err != nil {
				t.Fatal(err)
			}
			return waits
		})
		if err := other.Commit(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-updated; !errors.Is(err, projection.ErrStale) {
			t.Errorf("Update: %v, want %v", err, projection.ErrStale)
		}
		return b.step(ctx, "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	b.check(t, 1)
}

// Behind PgBouncer the session is others' afterwards.
func TestATransactionLeavesTheSessionAsItWas(t *testing.T) {
	url := testenv.Postgres(t)
	migrated(t, url)
	pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.MaxConns = 2 })
	settings := func() (all string) {
		if err := pool.QueryRow(t.Context(), `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := settings()
	if err := errors.Join(slices.Collect(maps.Values(everyCall(t.Context(), sqlprojection.NewCheckpoints(pool))))...); err != nil {
		t.Fatal(err)
	}
	if after := settings(); after != before {
		t.Errorf("the settings were\n%s\nand are\n%s", before, after)
	}
}

// everyCall makes a call of each method.
func everyCall(ctx context.Context, c *sqlprojection.Checkpoints) map[string]error {
	row := projection.Row{Name: "q", Version: 1, Token: 1}
	errs := map[string]error{}
	_, errs["Names"] = c.Names(ctx)
	_, errs["Load"] = c.Load(ctx, "p")
	errs["Update"] = c.Update(ctx, []projection.Row{row}, nil)
	_, errs["Advance"] = c.Advance(ctx, projection.Move{Name: "q", Version: 1, Token: 1})
	_, errs["Advance that parks"] = c.Advance(ctx, projection.Move{Name: "q", Version: 1, Token: 1, Park: []projection.Parked{{SequenceID: "1"}}})
	_, errs["Parked"] = c.Parked(ctx, projection.ParkedQuery{Name: "q", Version: 1})
	errs["RequestParked"] = c.RequestParked(ctx, "q", 1, projection.RequestRetry, "1")
	errs["DeleteParked"] = c.DeleteParked(ctx, "q", 1)
	errs["Transact"] = c.Transact(ctx, func(ctx context.Context) error {
		_, err := c.Load(ctx, "p")
		return err
	})
	return errs
}

func wantEveryCall(t *testing.T, c *sqlprojection.Checkpoints, want error, mentions ...string) {
	t.Helper()
	for call, err := range everyCall(t.Context(), c) {
		if !errors.Is(err, want) {
			t.Errorf("%s: error is %v, want %v", call, err, want)
			continue
		}
		for _, m := range mentions {
			if !strings.Contains(err.Error(), m) {
				t.Errorf("%s: error %q does not mention %q", call, err, m)
			}
		}
	}
}

func TestWithoutTablesTheErrorSaysHowToMakeThem(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	wantEveryCall(t, sqlprojection.NewCheckpoints(pool), sqlprojection.ErrNotMigrated, `"events_projections"`, "migrations.Up(ctx, db)")
	wantEveryCall(t, sqlprojection.NewCheckpoints(pool, sqlprojection.WithSchema("none"), sqlprojection.WithTable("Order")),
		sqlprojection.ErrNotMigrated, `"none"."Order_projections"`, `migrations.Up(ctx, db, migrations.WithSchema("none"), migrations.WithTable("Order"))`)
}

func TestAClosedPoolIsSaidToBeClosed(t *testing.T) {
	config, err := pgxpool.ParseConfig(testenv.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	pool.Close()
	for call, err := range everyCall(t.Context(), sqlprojection.NewCheckpoints(pool)) {
		if err == nil || !strings.Contains(err.Error(), "pool is closed") || errors.Is(err, projection.ErrUnavailable) != (call == "Transact") {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestAStandbyIsRefused(t *testing.T) {
	primary, standby := testenv.Standby(t)
	migrated(t, primary)
	c := sqlprojection.NewCheckpoints(testenv.Pool(t, standby))
	wantEveryCall(t, c, sqlprojection.ErrStandby)
	if err := c.Transact(t.Context(), func(context.Context) error { return nil }); !errors.Is(err, projection.ErrUnavailable) {
		t.Errorf("Transact: %v, which is said to be the handler's fault", err)
	}
}

func TestASessionThatMayNotWriteIsLikeAStandby(t *testing.T) {
	url := testenv.Postgres(t)
	migrated(t, url)
	c := sqlprojection.NewCheckpoints(testenv.Pool(t, url, func(config *pgxpool.Config) {
		config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	}))
	_, err := c.Advance(t.Context(), projection.Move{Name: "p", Version: 1})
	if !errors.Is(err, sqlprojection.ErrStandby) {
		t.Errorf("Advance: %v", err)
	}
	err = c.Transact(t.Context(), func(ctx context.Context) error {
		tx, _ := sqlprojection.Tx(ctx)
		_, err := tx.Exec(ctx, `CREATE TABLE model (id text)`)
		return err
	})
	if !errors.Is(err, projection.ErrUnavailable) || !errors.Is(err, sqlprojection.ErrStandby) {
		t.Errorf("Transact: %v", err)
	}
}

func TestWhatCannotBeIsMisconfigured(t *testing.T) {
	pool := testenv.Pool(t, testenv.Postgres(t))
	for mention, c := range map[string]*sqlprojection.Checkpoints{
		"pool is nil":             sqlprojection.NewCheckpoints(nil),
		`"my events"`:             sqlprojection.NewCheckpoints(pool, sqlprojection.WithTable("my events")),
		`table name ""`:           sqlprojection.NewCheckpoints(pool, sqlprojection.WithTable("")),
		`"a\"b"`:                  sqlprojection.NewCheckpoints(pool, nil, sqlprojection.WithSchema(`a"b`)),
		"42 bytes":                sqlprojection.NewCheckpoints(pool, sqlprojection.WithTable(strings.Repeat("m", 42))),
		"idle timeout is 0s":      sqlprojection.NewCheckpoints(pool, sqlprojection.WithIdleTimeout(0)),
		"idle timeout is -1s":     sqlprojection.NewCheckpoints(pool, sqlprojection.WithIdleTimeout(-time.Second)),
		"idle timeout is 999µs":   sqlprojection.NewCheckpoints(pool, sqlprojection.WithIdleTimeout(999*time.Microsecond)),
		"idle timeout is 600h0m0": sqlprojection.NewCheckpoints(pool, sqlprojection.WithIdleTimeout(600*time.Hour)),
	} {
		if !errors.Is(c.Err(), eventsource.ErrMisconfigured) {
			t.Errorf("%s: Err is %v", mention, c.Err())
		}
		wantEveryCall(t, c, eventsource.ErrMisconfigured, mention)
	}
	if err := sqlprojection.NewCheckpoints(pool, sqlprojection.WithIdleTimeout(24*24*time.Hour)).Err(); err != nil {
		t.Error(err)
	}
}
