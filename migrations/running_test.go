package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/eventsource-go/eventsource"
	"github.com/eventsource-go/eventsource/internal/testenv"
	"github.com/eventsource-go/eventsource/migrations"
	"github.com/eventsource-go/eventsource/store/sqlstore"
)

// What a later version of the schema may bring, made up. To it, the code that is
// tested here is that of the version before.
const (
	laterChanges = `-- +goose Up
-- +goose StatementBegin
ALTER TABLE "events" ADD COLUMN tenant text COLLATE "C";
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE "events" ADD COLUMN region text NOT NULL DEFAULT 'everywhere';
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE "events" ADD CONSTRAINT "events_region_check" CHECK (region <> '') NOT VALID;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TABLE IF NOT EXISTS "events_calls" (events integer NOT NULL);
-- +goose StatementEnd
-- +goose StatementBegin
DO $later$
BEGIN
    EXECUTE replace(pg_get_functiondef('"events_append"'::regproc),
        'outcome := ''stored'';', 'INSERT INTO "events_calls" VALUES (cardinality(event_tails)); outcome := ''stored'';');
    EXECUTE pg_get_functiondef('"events_horizon"'::regproc);
END
$later$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION "events_append"(tenant text) RETURNS text LANGUAGE sql AS $later$ SELECT tenant $later$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP FUNCTION "events_append"(text);
-- +goose StatementEnd
-- +goose StatementBegin
DO $later$
BEGIN
    EXECUTE replace(pg_get_functiondef('"events_append"'::regproc),
        'INSERT INTO "events_calls" VALUES (cardinality(event_tails)); ', '');
END
$later$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The new table stays: saves that are under way go on with the function as it was.
ALTER TABLE "events" DROP COLUMN tenant, DROP COLUMN region;
-- +goose StatementEnd
`
	laterIndex = `-- +goose NO TRANSACTION

-- +goose Up
-- +goose StatementBegin
DROP INDEX CONCURRENTLY IF EXISTS "events_tenant_idx";
-- +goose StatementEnd
-- +goose StatementBegin
CREATE INDEX CONCURRENTLY "events_tenant_idx" ON "events" (tenant, sequence_id);
-- +goose StatementEnd
-- +goose StatementBegin
ALTER TABLE "events" VALIDATE CONSTRAINT "events_region_check";
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DROP INDEX CONCURRENTLY IF EXISTS "events_tenant_idx";
-- +goose StatementEnd
`
)

// laterFiles are the migrations, and two made-up ones after them.
func laterFiles(t testing.TB) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names := migrationFiles(t)
	for _, name := range names {
		data, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	files[fmt.Sprintf("%05d_change.sql", len(names)+1)] = &fstest.MapFile{Data: []byte(laterChanges)}
	files[fmt.Sprintf("%05d_index.sql", len(names)+2)] = &fstest.MapFile{Data: []byte(laterIndex)}
	return files
}

func TestRunningProcessesFailNothingAndMissNothingWhileTheSchemaIsMigrated(t *testing.T) {
	for _, dump := range dumps(t) {
		for name, options := range map[string][]migrations.Option{
			"to the newest version":       nil,
			"to a later version and back": {migrations.WithFiles(laterFiles(t))},
		} {
			t.Run(filepath.Base(dump)+" "+name, func(t *testing.T) {
				url, _ := restore(t, dump)
				db := open(t, url)
				traffic := startTraffic(t, url)
				traffic.goOn(t)

				// Processes of the next release start, all at once.
				atOnce(t, []*sql.DB{db, open(t, url), open(t, url)}, func(db *sql.DB) error {
					return migrations.Up(t.Context(), db, options...)
				})
				checkAllApplied(t, db, options...)
				traffic.goOn(t)

				if options != nil {
					if one[int](t, db, `SELECT count(*) FROM events_calls`) == 0 {
						t.Error("no save has called the new function")
					}
					down(t, db, options...)
					down(t, db, options...)
					traffic.goOn(t)
					up(t, db, options...)
					traffic.goOn(t)
				}
				traffic.stop(t)
			})
		}
	}
}

// A migration that needs the table for itself waits for the transactions that use
// it, and all others wait behind it: not for longer than a moment.
func TestSavesAndLoadsGoOnWhileAMigrationWaitsForAnOpenTransaction(t *testing.T) {
	url := testenv.Postgres(t)
	db := open(t, url)
	up(t, db)
	store := sqlstore.New(testenv.Pool(t, url))
	open, err := store.NewTransaction(t.Context(), eventsource.Record{AggregateID: "open", Type: "Saved", Data: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Rollback() }()

	migrated := make(chan error, 1)
	go func() { migrated <- migrations.Up(t.Context(), db, migrations.WithFiles(laterFiles(t))) }()
	for i := range 3 {
		// It tries again and again.
		waitFor(t, "the migration to wait for a lock", func() bool { return waitsForLock(t, db) })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if _, err := store.Append(ctx, eventsource.Record{AggregateID: fmt.Sprint("other ", i), Type: "Saved", Data: []byte(`{}`)}); err != nil {
			t.Fatalf("while a migration waits: %v", err)
		}
		if _, err := store.LoadByAggregate(ctx, "other 0"); err != nil {
			t.Fatalf("while a migration waits: %v", err)
		}
		cancel()
		waitFor(t, "the migration to give up for now", func() bool { return !waitsForLock(t, db) })
	}
	select {
	case err := <-migrated:
		t.Fatalf("Up did not wait for the transaction: %v", err)
	default:
	}
	if err := open.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Fatal(err)
	}
	checkAllApplied(t, db, migrations.WithFiles(laterFiles(t)))
	if n := count(t, db, "events"); n != 4 {
		t.Errorf("%d events are there of 4", n)
	}
}

func TestUpStopsWaitingForALockWhenItsContextOrItsPatienceEnds(t *testing.T) {
	url := testenv.Postgres(t)
	db := open(t, url)
	up(t, db)
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	insert(t, tx, "events", 1)

	var log notes
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	migrated := make(chan error, 1)
	go func() {
		migrated <- migrations.Up(ctx, db, migrations.WithFiles(laterFiles(t)), migrations.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	}()
	waitFor(t, "Up to say that it waits", func() bool { return strings.Contains(log.String(), "waits for transactions") })
	cancel()
	if err := <-migrated; !errors.Is(err, context.Canceled) || code(err) != "55P03" {
		t.Errorf("Up = %v, which does not say that it was cancelled while it waited for a lock", err)
	}
	options := []migrations.Option{migrations.WithFiles(laterFiles(t)), migrations.WithLockLimit(0)}
	if err := migrations.Up(t.Context(), db, options...); code(err) != "55P03" {
		t.Errorf("Up = %v, which does not say that it could not lock the table", err)
	}
	if one[bool](t, db, `SELECT to_regclass('events_calls') IS NOT NULL`) {
		t.Error("Up has left a part of a migration")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	up(t, db, migrations.WithFiles(laterFiles(t)))
}

func TestAMigrationWithoutATransactionStartsAnewAfterItWasInterrupted(t *testing.T) {
	url := testenv.Postgres(t)
	db := open(t, url)
	up(t, db, migrations.WithFiles(laterFiles(t)))
	down(t, db, migrations.WithFiles(laterFiles(t)))
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	execute(t, tx, `INSERT INTO events_calls VALUES (0)`) // which also holds up an index on another table
	insert(t, tx, "events", 1)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	migrated := make(chan error, 1)
	go func() { migrated <- migrations.Up(ctx, db, migrations.WithFiles(laterFiles(t))) }()
	invalid := func() bool {
		return one[bool](t, db, `SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = 'events'::regclass AND NOT indisvalid)`)
	}
	waitFor(t, "an index that is not finished", invalid)
	// It waits for longer than other migrations do: nobody waits behind it.
	store := sqlstore.New(testenv.Pool(t, url))
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		if _, err := store.Append(t.Context(), eventsource.Record{AggregateID: "a", Type: "Saved", Data: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-migrated; !errors.Is(err, context.Canceled) {
		t.Errorf("Up = %v", err)
	}
	if !invalid() {
		t.Fatal("the index was finished")
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	up(t, db, migrations.WithFiles(laterFiles(t)))
	if invalid() {
		t.Error("Up has left an index that is not finished")
	}
}

func TestAMigrationWithoutATransactionWorksInTheNamedSchemaAndTable(t *testing.T) {
	schema := newSchema(t)
	db := open(t, testenv.Postgres(t))
	db.SetMaxOpenConns(1)
	before := one[string](t, db, `SELECT current_setting('search_path')`)
	options := []migrations.Option{migrations.WithSchema(schema), migrations.WithTable("Shop.orders"), migrations.WithFiles(laterFiles(t))}
	for range 2 {
		up(t, db, options...)
		checkAllApplied(t, db, options...)
		if got := one[string](t, db, `SELECT coalesce(string_agg(schemaname || ' ' || tablename, ','), '') FROM pg_indexes
			WHERE indexname = 'Shop.orders_tenant_idx'`); got != schema+" Shop.orders" {
			t.Errorf("the index is on %q", got)
		}
		if got := one[string](t, db, `SELECT current_setting('search_path')`); got != before {
			t.Errorf("the caller's connection has the search path %q, not %q any more", got, before)
		}
		down(t, db, options...)
		down(t, db, options...)
	}
	if made := catalog(t, db); made != "" {
		t.Errorf("in the search path's own schema they made:\n%s", made)
	}
}

func TestAnOlderProcessLeavesANewerSchemaAlone(t *testing.T) {
	db := open(t, testenv.Postgres(t))
	up(t, db, migrations.WithFiles(laterFiles(t)))
	newer := catalog(t, db)

	up(t, db)
	checkAllApplied(t, db)
	if err := migrations.Down(t.Context(), db, migrations.WithDropEvents()); err == nil {
		t.Error("Down has taken back a migration that it does not know")
	}
	if diff := cmp.Diff(newer, catalog(t, db)); diff != "" {
		t.Errorf("it has changed the newer schema:\n%s", diff)
	}
}

// notes is what was logged, for a reader in another goroutine.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

func waitsForLock(t testing.TB, db *sql.DB) bool {
	t.Helper()
	return one[bool](t, db, `SELECT EXISTS (SELECT FROM pg_locks
		WHERE relation = 'events'::regclass AND mode = 'AccessExclusiveLock' AND NOT granted)`)
}

// traffic is two processes that save and read in all ways, without a pause.
type traffic struct {
	stopped chan struct{}
	written chan struct{} // closed when the writers have ended
	readers sync.WaitGroup
	kinds   []*progress

	mu    sync.Mutex
	saved []string // sequence IDs
	seen  map[string][]string
}

// progress is how often something has been done.
type progress struct {
	what string
	n    atomic.Int64
}

const writersOfAKind = 2

func startTraffic(t *testing.T, url string) *traffic {
	t.Helper()
	tr := &traffic{stopped: make(chan struct{}), written: make(chan struct{}), seen: map[string][]string{}}
	db := open(t, url)
	execute(t, db, `CREATE TABLE application (id text PRIMARY KEY)`)
	head := one[string](t, db, `SELECT max(sequence_id) FROM events`)
	// It ends by itself, not with the test, whose context is done before the cleanups.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	var writers sync.WaitGroup
	for process := range 2 {
		pool := testenv.Pool(t, url, func(c *pgxpool.Config) { c.MaxConns = 10 })
		store := sqlstore.New(pool)
		for kind, save := range map[string]func(context.Context, *sqlstore.Store, *pgxpool.Pool, []eventsource.Record) ([]eventsource.Record, error){
			"Append": saveAlone, "NewTransaction": saveInTransaction, "WithTx": saveWithTx,
		} {
			p := tr.progressOf(kind)
			for w := range writersOfAKind {
				own := fmt.Sprintf("%s-%d-%d", kind, process, w)
				writers.Go(func() {
					tr.write(t, p, own, func(records []eventsource.Record) ([]eventsource.Record, error) {
						return save(ctx, store, pool, records)
					})
				})
			}
		}
		for kind, load := range map[string]func(cursor string) ([]eventsource.Record, error){
			"all": func(cursor string) ([]eventsource.Record, error) {
				return store.LoadBySequenceID(ctx, cursor, 50)
			},
			"a type": func(cursor string) ([]eventsource.Record, error) {
				return store.LoadBySequenceIDAndType(ctx, cursor, "Moved", 50)
			},
			"types": func(cursor string) (page []eventsource.Record, err error) {
				query := eventsource.Query{Types: []string{"Moved", "Stayed", "Never"}, After: cursor, Limit: 50}
				for r, err := range store.Query(ctx, query) {
					if err != nil {
						return nil, err
					}
					page = append(page, r)
				}
				return page, nil
			},
		} {
			p := tr.progressOf("reading " + kind)
			name := fmt.Sprintf("%s by process %d", kind, process)
			tr.readers.Go(func() { tr.read(t, p, name, head, load) })
		}
		loads := tr.progressOf("loading an aggregate")
		tr.readers.Go(func() { tr.load(ctx, t, loads, store) })
	}
	go func() {
		writers.Wait()
		close(tr.written)
	}()
	t.Cleanup(func() {
		tr.end()
		cancel()
	})
	return tr
}

func (tr *traffic) progressOf(what string) *progress {
	p := &progress{what: what}
	tr.kinds = append(tr.kinds, p)
	return p
}

// goOn waits until everybody has got further.
func (tr *traffic) goOn(t *testing.T) {
	t.Helper()
	for _, p := range tr.kinds {
		want := p.n.Load() + 5
		for deadline := time.Now().Add(60 * time.Second); p.n.Load() < want; time.Sleep(5 * time.Millisecond) {
			if t.Failed() {
				t.FailNow()
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not go on", p.what)
			}
		}
	}
}

func (tr *traffic) end() {
	select {
	case <-tr.stopped:
	default:
		close(tr.stopped)
	}
	<-tr.written
	tr.readers.Wait()
}

// stop ends the traffic and checks that every reader has seen what was saved.
func (tr *traffic) stop(t *testing.T) {
	t.Helper()
	tr.end()
	if t.Failed() {
		return
	}
	slices.Sort(tr.saved)
	t.Logf("%d events", len(tr.saved))
	for name, seen := range tr.seen {
		if diff := cmp.Diff(tr.saved, seen); diff != "" {
			t.Errorf("the reader of %s saw other events (+) than were saved (-):\n%.2000s", name, diff)
		}
	}
	if len(tr.seen) != 6 {
		t.Errorf("there were %d readers", len(tr.seen))
	}
}

func (tr *traffic) running() bool {
	select {
	case <-tr.stopped:
		return false
	default:
		return true
	}
}

func (tr *traffic) write(t *testing.T, p *progress, own string, save func([]eventsource.Record) ([]eventsource.Record, error)) {
	for i := 0; tr.running(); i++ {
		records := []eventsource.Record{
			{AggregateID: own, Version: 2*i + 1, Type: "Moved", Data: []byte(`{}`)},
			{AggregateID: own, Version: 2*i + 2, Type: "Moved", Data: []byte(`{}`)},
		}
		saved, err := save(records)
		if err != nil {
			t.Errorf("save %d of %s: %v", i, own, err)
			return
		}
		tr.mu.Lock()
		for _, r := range saved {
			tr.saved = append(tr.saved, r.SequenceID)
		}
		tr.mu.Unlock()
		p.n.Add(1)
	}
}

func saveAlone(ctx context.Context, store *sqlstore.Store, _ *pgxpool.Pool, records []eventsource.Record) ([]eventsource.Record, error) {
	return store.Append(ctx, records...)
}

// saveInTransaction holds a transaction open for a moment, after one that it rolls back.
func saveInTransaction(ctx context.Context, store *sqlstore.Store, _ *pgxpool.Pool, records []eventsource.Record) ([]eventsource.Record, error) {
	undone, err := store.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	if err := undone.Rollback(); err != nil {
		return nil, err
	}
	tx, err := store.NewTransaction(ctx, records...)
	if err != nil {
		return nil, err
	}
	time.Sleep(rand.N(50 * time.Millisecond))
	db, _ := sqlstore.Tx(tx)
	if _, err := db.Exec(ctx, `SELECT count(*) FROM events WHERE aggregate_id = $1`, records[0].AggregateID); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx.Records(), tx.Commit()
}

func saveWithTx(ctx context.Context, store *sqlstore.Store, pool *pgxpool.Pool, records []eventsource.Record) (saved []eventsource.Record, err error) {
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		bound := store.WithTx(tx)
		if _, err := bound.LoadByAggregate(ctx, records[0].AggregateID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO application (id) VALUES ($1)`, fmt.Sprint(records[0].AggregateID, records[0].Version)); err != nil {
			return err
		}
		part, err := bound.NewTransaction(ctx, records...)
		if err != nil {
			return err
		}
		saved = part.Records()
		return part.Commit()
	})
	return saved, err
}

func (tr *traffic) read(t *testing.T, p *progress, name, cursor string, load func(cursor string) ([]eventsource.Record, error)) {
	var seen []string
	for last := false; ; {
		select {
		case <-tr.written:
			last = true // and to the end
		default:
		}
		page, err := load(cursor)
		if err != nil {
			t.Errorf("read %s: %v", name, err)
			break
		}
		for _, r := range page {
			seen, cursor = append(seen, r.SequenceID), r.SequenceID
		}
		p.n.Add(1)
		if last && len(page) == 0 {
			break
		}
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.seen[name] = seen
}

// load checks that an aggregate grows, and that its versions are without a gap.
func (tr *traffic) load(ctx context.Context, t *testing.T, p *progress, store *sqlstore.Store) {
	for events := 0; tr.running(); {
		records, err := store.LoadByAggregate(ctx, "Append-0-0")
		if err != nil || len(records) < events {
			t.Errorf("load: %d events after %d, %v", len(records), events, err)
			return
		}
		for i, r := range records {
			if r.Version != i+1 {
				t.Errorf("event %d has version %d", i+1, r.Version)
				return
			}
		}
		if len(records) > events {
			events = len(records)
			p.n.Add(1)
		}
	}
}
